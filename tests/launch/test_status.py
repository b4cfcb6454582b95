"""Status, failures and cost of a campaign whose documents are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from counted import firework, launch, outcome, run, soon, workflow
from pymongo import monitoring

from hibana.core.errors import HibanaError
from hibana.launch.cost import cost
from hibana.launch.failures import failures
from hibana.launch.sources import SOURCES
from hibana.launch.status import status
from hibana.store.connection import StoreAddress
from hibana.store.store import Store
from results import Campaign


def call(launchpad_file, *words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "hibana.cli", *words, "-l", str(launchpad_file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def fill(database, now):
    """Twelve relaxations: eight that ended, one that failed on the machine, one each running, ready and waiting."""
    states = ["COMPLETED"] * 8 + ["FIZZLED", "RUNNING", "READY", "WAITING"]
    for number, state in enumerate(states):
        database["fireworks"].insert_one(firework(number, state, now))
    database["launches"].insert_one(
        {
            **launch(8, "hibana.core.errors.HibanaError: HIB-095 the code did not do it: x"),
            "state": "FIZZLED",
            "time_start": "2026-01-01T00:00:00",
            "time_end": "2026-01-01T02:00:00+00:00",
            "fworker": {"name": "node", "env": {"cores": 4, "threads": 2}},
        }
    )
    for number in range(8):
        status = "electronic_limit" if number == 7 else "converged"
        database["tasks"].insert_one(run(number, status, now - timedelta(hours=2), hours=2.0))
    for number in range(6):
        database["outcomes"].insert_one(outcome(number, "done" if number else "metal", now))
    database["fireworks"].insert_one(firework(20, "WAITING", now, name="collect", told=False))
    database["workflows"].insert_one(workflow(20))


@pytest.fixture
def noon():
    return datetime.now(UTC).replace(microsecond=0)


def test_rows_of_stages_with_rates_and_an_estimate(store, noon):
    fill(store.database, noon)
    found = status(store, at=noon)
    relax, collect = found.rows
    assert (relax.name, collect.name) == ("relax", "collect")
    assert relax.jobs == {"COMPLETED": 8, "FIZZLED": 1, "RUNNING": 1, "READY": 1, "WAITING": 1}
    assert (relax.answered, relax.unanswered, relax.core_hours) == (7, 1, 16.0)
    assert (relax.last_hour, relax.last_day) == (0, 8)
    assert relax.left == pytest.approx(3 * 2.0)
    assert found.outcomes == {"done": 5, "metal": 1}
    assert found.failures == {"HIB-095": 1, "electronic_limit": 1}
    assert found.workflows == 1
    assert found.total.count("COMPLETED") == 8
    estimate = found.estimate
    hours = 16.0 / estimate.core_hours_per_hour
    assert 2.0 <= hours <= 2.2  # all ended two hours ago, in one slot of ten minutes
    assert estimate.end - noon == pytest.approx(timedelta(hours=6.0 / estimate.core_hours_per_hour), abs=timedelta(seconds=1))
    assert estimate.unknown == ()


def test_without_a_run_in_the_last_day_there_is_no_estimate(store, noon):
    fill(store.database, noon)
    store.database["fireworks"].insert_one(firework(30, "READY", noon, name="band"))
    found = status(store, at=noon + timedelta(days=3))
    assert found.estimate.end is None
    assert found.estimate.core_hours_left == pytest.approx(6.0)
    assert found.estimate.unknown == ("band",)
    assert found.total.last_day == 0


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("class", ["metallic", "nitride", "oxide", "oxychalcogenide"]),
        ("flow", ["bulk"]),
        ("series", ["vasp pbesol@1"]),
    ],
)
def test_other_groupings_add_up_to_the_same(store, noon, by, names):
    fill(store.database, noon)
    found = status(store, by, at=noon)
    assert [row.name for row in found.rows] == names
    assert found.total.jobs == status(store, at=noon).total.jobs
    assert sum(row.count("COMPLETED") for row in found.rows) == 8
    if by != "flow":
        assert sum(row.core_hours for row in found.rows) == pytest.approx(16.0)
        assert sum(row.answered for row in found.rows) == 7


def test_a_campaign_with_nothing_in_it(store, launchpad_file):
    assert status(store).is_empty
    assert "nothing was submitted yet" in call(launchpad_file, "status")
    assert json.loads(call(launchpad_file, "status", "--json"))["is_empty"]
    assert "nothing failed" in call(launchpad_file, "failures")
    assert "no run has ended yet" in call(launchpad_file, "cost")
    with pytest.raises(HibanaError, match="HIB-124"):
        failures(store, "zbrent")


def test_a_database_that_is_not_there(tmp_path):
    path = tmp_path / "my_launchpad.yaml"
    path.write_text("host: 127.0.0.1\nport: 1\nname: nowhere\nmongoclient_kwargs: {serverSelectionTimeoutMS: 300}\n")
    for verb in ("status", "failures", "cost"):
        said = json.loads(call(path, verb, "--json", code=2))
        assert said["error"]["code"] == "HIB-070"


def test_a_launchpad_whose_indexes_fireworks_has_made(launchpad, launchpad_file):
    launchpad.tuneup()
    assert "nothing was submitted yet" in call(launchpad_file, "status")
    assert "nothing failed" in call(launchpad_file, "failures")


def test_the_command_prints_what_is_counted(store, launchpad_file, noon):
    fill(store.database, noon)
    printed = call(launchpad_file, "status")
    assert "relax" in printed
    assert "6 ended: 5 done, 1 metal" in printed
    assert "1 HIB-095, 1 electronic_limit" in printed
    assert "running now:" in printed
    assert "core-hours left" in printed
    told = json.loads(call(launchpad_file, "status", "--by", "class", "--json"))
    assert told["total"]["answered"] == 7
    store.database["counters"].update_one({"_id": "tasks"}, {"$set": {"cells": []}})
    assert json.loads(call(launchpad_file, "status", "--json"))["total"]["answered"] == 0
    assert json.loads(call(launchpad_file, "status", "--recount", "--json"))["total"]["answered"] == 7


def test_watching_goes_on_until_it_is_stopped(store, launchpad_file, noon):
    fill(store.database, noon)
    words = [sys.executable, "-m", "hibana.cli", "status", "--watch", "0.5", "-l", str(launchpad_file)]
    watching = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    seen = 0
    for line in watching.stdout:
        seen += "hibana status" in line
        if seen == 2:
            break
    watching.send_signal(2)
    watching.communicate(timeout=120)
    assert watching.returncode == 0


# -- failures ---------------------------------------------------------------------------------------------------------


def by_cause(found):
    return {(item.kind, item.cause): item for item in found}


def test_failures_by_cause_with_examples_and_what_to_do(store, noon):
    fill(store.database, noon)
    store.database["tasks"].insert_one(run(40, "failed", noon))
    found = by_cause(failures(store))
    job = found["job", "HIB-095"]
    assert (job.n, job.places) == (1, {"relax": 1})
    assert "rerun" in job.mend
    assert job.examples[0].name.startswith("MgO relax 1 (fw_id 8)")
    assert job.examples[0].place.endswith(":/scratch/8")
    limit = found["run", "electronic_limit"]
    assert limit.title == "the electronic steps reached NELM"
    assert limit.examples[0].place == "node1:/scratch/7"
    zbrent = found["run", "zbrent"]
    assert (zbrent.n, zbrent.state) == (1, "failed")
    corrections = found["correction", "VaspErrorHandler:zbrent"]
    assert (corrections.n, corrections.state, corrections.unresolved) == (3, "flagged", 1)
    flag = found["flag", "force of # eV/Å is above # eV/Å"]
    assert (flag.n, flag.state) == (3, "flagged")


def test_one_cause_has_more_examples_and_an_unknown_one_is_an_error(store, noon):
    for number in range(30):
        store.database["tasks"].insert_one(run(number, "electronic_limit", noon))
    (found,) = failures(store, "electronic_limit")
    assert (found.n, len(found.examples)) == (30, 20)
    assert [item.kind for item in failures(store, "zbrent")] == ["correction"]
    assert [item.kind for item in failures(store, "FORCE of")] == ["flag"]
    with pytest.raises(HibanaError, match="HIB-124"):
        failures(store, "nothing of the kind")


def test_flags_refusals_and_missing_values_of_properties(store):
    campaign = Campaign(store)
    campaign.complete("MgO", flags=("band: total moment of 0.312 μB is no integer, but there is a gap",))
    campaign.complete("CaO", flags=("band: total moment of 0.415 μB is no integer, but there is a gap",))
    campaign.candidate("SrO")
    campaign.electronic("SrO", status="unavailable", reason="band: the run of 7 ionic steps is cut off")
    found = by_cause(failures(store))
    flag = found["flag", "band: total moment of # μB is no integer, but there is a gap"]
    assert (flag.n, flag.state, flag.places) == (2, "flagged", {"electronic": 2})
    assert "moment" in flag.title
    assert {example.name.split()[0] for example in flag.examples} == {"MgO", "CaO"}
    assert found["flag", "band: the run of # ionic steps is cut off"].state == "unavailable"


def test_the_command_lists_them(store, launchpad_file, noon):
    fill(store.database, noon)
    printed = call(launchpad_file, "failures")
    for words in ("Runs without an answer", "Jobs that ended with an error", "HIB-095", "e.g. MgO relax 1 (fw_id 8)"):
        assert words in printed
    (only,) = json.loads(call(launchpad_file, "failures", "--cause", "electronic_limit", "--json"))
    assert only["n"] == 1
    assert json.loads(call(launchpad_file, "failures", "-c", "x", "--json", code=2))["error"]["code"] == "HIB-124"


# -- cost -------------------------------------------------------------------------------------------------------------


def test_cost_with_failed_runs_apart_and_percentiles(store):
    for number in range(10):
        store.database["tasks"].insert_one(run(number, "converged", soon(0), hours=float(number + 1)))
    store.database["tasks"].insert_one(run(0, "failed", soon(0), hours=100.0, task="band"))
    found = cost(store)
    relax, band = found.groups
    assert (relax.name, relax.runs, relax.core_hours, relax.failed_runs) == ("relax", 10, 55.0, 0)
    assert (relax.low, relax.median, relax.high, relax.largest) == pytest.approx((1.9, 5.5, 9.1, 10.0))
    assert (band.runs, band.failed_runs, band.failed_core_hours) == (0, 1, 100.0)
    assert (found.total.core_hours, found.total.failed_core_hours) == (55.0, 100.0)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("formula", ["TiAl", "La2O2S", "GaN", "MgO"]),
        ("worker", ["node0", "node2", "node1"]),
        ("month", ["2026-03", "2026-04"]),
    ],
)
def test_cost_by_other_groups(store, by, names):
    for number in range(4):
        at = datetime(2026, 3 + number // 2, 1, tzinfo=UTC)
        store.database["tasks"].insert_one(run(number, "converged", at, hours=float(number + 1)))
    found = cost(store, by)
    assert [item.name for item in found.groups] == names
    assert sum(item.core_hours for item in found.groups) == 10.0


def test_launches_that_were_lost_are_told_apart(store, launchpad_file, noon):
    fill(store.database, noon)
    found = cost(store)
    assert (found.lost_launches, found.lost_core_hours) == (1, 16.0)
    printed = call(launchpad_file, "cost", "--by", "material", "--limit", "3")
    assert "5 more" in printed
    assert "16.00 core-hours (not part of the sums)" in printed


# -- cheap ------------------------------------------------------------------------------------------------------------


class _Commands(monitoring.CommandListener):
    """Counts commands and documents that come back."""

    def __init__(self):
        self.commands, self.documents, self.bytes = 0, 0, 0

    def started(self, event):
        self.commands += 1

    def succeeded(self, event):
        cursor = event.reply.get("cursor", {})
        self.documents += len(cursor.get("firstBatch", ())) + len(cursor.get("nextBatch", ()))

    def failed(self, event):
        pass


def asked_for(launchpad_file, store):
    """Commands to the server and documents from it for one look at the status."""
    seen = _Commands()
    address = StoreAddress.from_launchpad_file(launchpad_file)
    kwargs = {"event_listeners": [seen], "retryWrites": False}
    client = StoreAddress(address.host, address.port, address.name, mongoclient_kwargs=kwargs).client()
    status(Store(client[address.name]))
    client.close()
    return seen


def test_a_look_reads_what_has_changed_and_not_what_there_is(store, launchpad_file):
    long_ago = soon(-86400)
    store.database["fireworks"].insert_many([firework(n, "COMPLETED", long_ago) for n in range(20)])
    status(store)
    few = asked_for(launchpad_file, store)
    later = [firework(n, "COMPLETED", long_ago + timedelta(seconds=n)) for n in range(20, 2000)]
    store.database["fireworks"].insert_many(later)
    store.database["counters"].update_one({"_id": "fireworks"}, {"$set": {"built": False}})
    assert status(store).total.count("COMPLETED") == 2000
    many = asked_for(launchpad_file, store)
    assert many.commands <= few.commands + 6
    assert many.documents < 700  # what the sweep looks at, and no more
    store.database["fireworks"].insert_one(firework(5000, "READY", soon(0)))
    assert status(store).total.count("READY") == 1


def test_every_source_has_its_own_counters():
    names = [source.name for source in SOURCES]
    assert len(set(names)) == len(names)
    assert {"fireworks", "tasks", "outcomes", "electronic", "vacancies"} <= set(names)
    assert "materials" not in names
