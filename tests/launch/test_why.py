"""Where a candidate is, or why it is not in the table."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest
from farm import MGO
from fireworks import FWorker

from hibana.core.errors import HibanaError
from hibana.documents.properties import RelaxationDoc
from hibana.launch.submit import keys_of_submission, submit
from hibana.launch.taxonomy import last_lines
from hibana.launch.why import why
from hibana.protocol.protocol import load_protocol
from hibana.store.owner import Owner


def asked(farm, material="MgO"):
    (explanation,) = why(farm.store, farm.launchpad, material)
    return explanation


def entry(farm):
    (found,) = asked(farm).entries
    return found


def test_unknown_material_is_a_numbered_error(farm):
    with pytest.raises(HibanaError, match="HIB-114"):
        why(farm.store, farm.launchpad, "MgO")


def test_by_formula_or_identity_with_sources(farm):
    farm.submit()
    material = farm.launchpad.workflows.find_one()["metadata"]["material_id"]
    assert asked(farm) == asked(farm, material)
    assert asked(farm).sources == (str(MGO),)


@pytest.mark.parametrize("name", [str(MGO), "MgO.cif", f"{MGO.parent.name}/MgO.cif", "MgO"])
def test_by_the_file_it_was_read_from(farm, tmp_path, name):
    copy = tmp_path / "sample-7.b.cif"
    copy.write_text(MGO.read_text())
    farm.submit(MGO, copy)
    assert asked(farm, name).formula == "MgO"
    assert asked(farm, "sample-7.b.cif") == asked(farm, "sample-7.b") == asked(farm, name)
    for other in (
        "elsewhere/MgO.cif",
        f"/{MGO.parent.name}/MgO.cif",
        "sample",
        "ample-7.b.cif",
        "gO.cif",
        ".cif",
        "/",
        MGO.parent.name,
        MGO.parent.parent.name,
    ):
        with pytest.raises(HibanaError, match="HIB-114"):
            why(farm.store, farm.launchpad, other)


def test_the_jobs_of_a_submission_are_found_without_reading_other_workflows(farm):
    """With a table of energies too, whose hash the key ends with; a search by a pattern would read every workflow."""
    farm.submit()
    (submission,) = farm.store.candidate(asked(farm).material_id).submissions
    keys = keys_of_submission(asked(farm).material_id, submission)
    key = farm.launchpad.workflows.find_one()["metadata"]["submission"]
    farm.launchpad.workflows.update_one({}, {"$set": {"metadata.submission": f"{key}|energies:0123456789ab"}})
    others = [{"nodes": [], "metadata": {"submission": other}} for other in ("a", "z", f"x{key}", key.replace("hib", "hic"))]
    farm.launchpad.workflows.insert_many(others)
    assert len(entry(farm).jobs) == 5
    done = farm.launchpad.workflows.find({"metadata.submission": keys}).explain()["executionStats"]
    assert (done["nReturned"], done["totalDocsExamined"]) == (1, 1)


def test_waiting_then_paused_then_gone(farm):
    farm.submit()
    assert entry(farm).place == "waiting"
    assert "MgO relax 1" in entry(farm).reason
    assert [job.name for job in entry(farm).jobs] == ["MgO relax 1", "MgO band", "MgO dos", "MgO decide", "MgO collect"]
    first = entry(farm).jobs[0].fw_id
    farm.launchpad.pause_wf(first)
    assert entry(farm).place == "held"
    farm.launchpad.delete_wf(first)
    assert entry(farm).place == "no_workflow"


def test_in_the_table_or_flagged(farm):
    farm.submit()
    farm.work()
    found = entry(farm)
    assert (found.place, found.outcome, found.flags, found.failures) == ("in_table", "done", (), ())
    assert all(job.state == "COMPLETED" for job in found.jobs)
    printed = farm.hibana("why", "MgO")
    assert "in the table" in printed
    (told,) = json.loads(farm.hibana("why", "MgO", "--json"))
    assert told["entries"][0]["place"] == "in_table"

    farm.store.database["electronic"].update_one({}, {"$set": {"flags": ["band: something"]}})
    assert (entry(farm).place, entry(farm).reason) == ("flagged", "band: something")


def test_no_value_names_the_run_that_failed(farm):
    farm.behave(fail={"band": "nelm"})
    farm.submit()
    farm.work()
    found = entry(farm)
    assert (found.place, found.outcome) == ("no_value", "failed")
    assert "band" in found.reason
    (failure,) = found.failures
    assert failure.task == "band"
    assert str(farm.folder) in failure.directory


def test_an_error_is_shown_with_its_folder(farm):
    farm.behave(fail={"band": "crash"})
    farm.submit()
    farm.work()
    (job,) = [job for job in entry(farm).jobs if job.state == "FIZZLED"]
    assert job.name == "MgO band"
    assert job.error.startswith("hibana.core.errors.HibanaError: HIB-095")
    assert "mend:" in job.error
    assert job.directory.startswith(str(farm.folder))


def test_a_lost_root_job_is_stuck(farm):
    submit([MGO], "electronic", "pbesol-demo", "vasp", farm.launchpad)
    key = {"name": {"$in": ["MgO collect", "MgO relax 1"]}}
    farm.launchpad.fireworks.update_many(key, {"$set": {"state": "FIZZLED"}})
    assert entry(farm).place == "stuck"
    assert "MgO collect" in entry(farm).reason


NUMBERED = "hibana.core.errors.HibanaError: HIB-001 it: x\n  where: y\n  mend:  z"
CALLS = "Traceback (most recent call last):\n  File 'x', line 1\n"


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        (f"{CALLS}ValueError: no\n", "ValueError: no"),
        (f"{CALLS}{NUMBERED}\n", NUMBERED),
        ("the launcher was lost", "the launcher was lost"),
    ],
)
def test_the_message_without_the_calls(trace, message):
    assert last_lines(trace) == message


def test_a_job_that_runs_says_where_and_who_holds_its_lease(farm):
    farm.submit()
    firework, launch_id = farm.launchpad.checkout_fw(FWorker(name="node7"), "/scratch/1")
    running = next(job for job in entry(farm).jobs if job.state == "RUNNING")
    assert entry(farm).place == "running"
    assert "on node7" in entry(farm).reason
    assert "since " in entry(farm).reason
    assert "holds no lease" in running.lease
    claim = farm.store.claim("ab" * 32, owner=Owner.here(launch_id))
    running = next(job for job in entry(farm).jobs if job.fw_id == firework.fw_id)
    assert f"lease {claim.token} of abababababab held by process {os.getpid()}" in running.lease
    assert "held by process" in farm.hibana("why", "MgO")


def test_a_job_in_a_queue_says_its_number(farm):
    farm.submit()
    _, launch_id = farm.launchpad.checkout_fw(FWorker(name="cluster"), "/scratch/1", state="RESERVED")
    farm.launchpad.set_reservation_id(launch_id, "4711")
    found = entry(farm)
    assert found.place == "queued"
    assert "on cluster, job 4711, since " in found.reason


def test_an_error_has_its_cause_and_what_to_do(farm):
    farm.behave(fail={"band": "crash", "dos": "nelm"})
    farm.submit()
    farm.work()
    (job,) = [job for job in entry(farm).jobs if job.state == "FIZZLED"]
    assert job.cause == "HIB-095"
    assert "rerun" in job.hint
    (failure,) = entry(farm).failures
    assert failure.hint
    printed = farm.hibana("why", "MgO")
    assert job.hint in printed
    assert failure.hint in printed


def test_no_reason_names_its_document_twice(farm, store):
    farm.submit()
    identity = farm.launchpad.workflows.find_one()["metadata"]["material_id"]
    head = {"material_id": identity, "formula": "MgO", "elements": ("Mg", "O"), "calculator_version": "1"}
    series = {"calculator": "gpaw-rehearsal", "protocol": "pbesol-demo", "protocol_version": load_protocol("pbesol-demo").version}
    made = {"status": "unavailable", "built_with": "0", "built_at": datetime.now(UTC)}
    store.put_property(RelaxationDoc(**head, **series, **made, reason="relaxation: no round converged"))
    (part,) = entry(farm).properties
    assert (part.name, part.reason) == ("relaxation", "no round converged")
    assert "relaxation: unavailable: no round converged" in farm.hibana("why", "MgO")
