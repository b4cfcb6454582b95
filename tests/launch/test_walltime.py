"""The time that a queue gives: its end, its notice, and what a correction under way becomes in the table."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import sys

import pytest
from farm import FAKE_VASP, SCRIPTS, STEPS_OF_MGO, wait_until

from hibana.core.errors import HibanaError
from hibana.launch import firetasks, schedulers
from hibana.launch.firetasks import leave_at_the_end, run_context
from hibana.launch.stopping import STOP, Stopped
from hibana.tables.export import export
from size import FULL

BRMIX = "BRMIX: very serious problems the old and the new charge density differ"
TETRAHEDRA = "VERY BAD NEWS! internal error in subroutine BZINTS: Tetrahedron method fails (number of k-points < 4) 3"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A job of Slurm with so much time left, by a stand-in squeue."""
    folder = tmp_path / "commands"
    folder.mkdir()

    def job(left: str) -> dict[str, str]:
        path = folder / "squeue"
        path.write_text(f"#!/bin/sh\necho {left}\n")
        path.chmod(0o755)
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "4711"}

    monkeypatch.setattr(schedulers, "_ENDS", {})
    return job


def test_an_end_that_is_not_known_is_asked_for_again_and_a_known_one_is_kept(slurm, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    for name, value in slurm("INVALID").items():
        monkeypatch.setenv(name, value)
    assert schedulers.time_left() is None
    slurm("1000")
    left = schedulers.time_left()
    assert left == pytest.approx(1000 - 60, abs=5)
    slurm("5000")
    assert schedulers.time_left() <= left  # not asked again yet
    slurm("INVALID")
    monkeypatch.setattr(schedulers, "ASK_EVERY", -1.0)
    assert 0 < schedulers.time_left() <= left
    slurm("5000")
    assert schedulers.time_left() > left


def test_the_nearest_of_three_ends_counts(launchpad, slurm, monkeypatch):
    for name, value in slurm("1000").items():
        monkeypatch.setenv(name, value)
    left = run_context(launchpad, {"_fw_env": {}}, 1).walltime
    assert left == pytest.approx(1000 - 60, abs=5)  # 60 s are kept
    assert run_context(launchpad, {"_fw_env": {"walltime": 1e9}}, 1).walltime == pytest.approx(left, abs=5)
    assert run_context(launchpad, {"_fw_env": {"walltime": firetasks.process_age() + 50}}, 1).walltime == pytest.approx(50, abs=5)
    leave_at_the_end()


def test_at_the_end_of_the_job_nothing_is_begun(slurm, monkeypatch):
    for name, value in slurm("0:00").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Stopped):
        leave_at_the_end()


def test_the_queues_limit_stops_a_run_cleanly_and_another_goes_on(farm, slurm, undisturbed):
    """Stock rlaunch in a job that is too short for the first relaxation."""
    farm.submit()
    farm.behave(seconds=60)
    farm.env |= slurm("0:20")
    words = ("-l", farm.launchpad_file, "-w", farm.fworker, "singleshot")
    farm.call(SCRIPTS / "rlaunch", *words)
    continued(farm, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU] if FULL else [signal.SIGUSR1])
def test_a_notice_of_the_queue_stops_a_run_cleanly_and_another_goes_on(farm, undisturbed, number):
    """Preemption: no walltime is near, the queue gives notice by a signal."""
    farm.submit()
    farm.behave(seconds=100)
    first = farm.start(sys.executable, "-c", LAUNCH_ONCE, farm.launchpad_file, farm.fworker)
    wait_until(farm.ran, 180, "the first calculation")
    first.send_signal(number)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    continued(farm, undisturbed)


LAUNCH_ONCE = """
import sys
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
import hibana.vasp.run
hibana.vasp.run.POLLING_SECONDS, hibana.vasp.run.MONITOR_SECONDS = 0.1, 0.5
launch_rocket(LaunchPad.from_file(sys.argv[1]), FWorker.from_file(sys.argv[2]))
"""


def continued(farm, undisturbed):
    """The first relaxation was stopped: a state, not a failure; another job goes on with it, and its cost is summed."""
    assert set(farm.states().values()) <= {"COMPLETED", "READY", "WAITING"}
    assert [claim["state"] for claim in farm.store.query("claims", {})] == ["released"]
    assert farm.store.count("tasks") == 0
    before = farm.launchpad.fireworks.count_documents({})
    farm.behave()
    farm.env.pop("SLURM_JOB_ID", None)
    farm.work()
    assert farm.launchpad.fireworks.count_documents({}) >= before
    assert set(farm.states().values()) == {"COMPLETED"}
    assert farm.ran() == sorted([*STEPS_OF_MGO, "relax"])
    # the cell the first part had come to is where the second began, so the answer is the same
    assert farm.electronic().band_gap_hse06_nsc == undisturbed[1]["band_gap_hse06_nsc"]
    (first,) = (task for task in farm.store.query("tasks", {"task": "structure_opt"}) if task["round"] == 1)
    machine = first["machine"]
    assert (machine["finished"] - machine["started"]).total_seconds() / 3600 > machine["core_hours"] > 0


def test_a_correction_is_recorded_and_its_verdict_decides_whether_the_row_is_in_the_table(farm, tmp_path):
    farm.behave(say_first={"band": BRMIX, "dos": TETRAHEDRA})
    farm.submit()
    farm.work()
    found = {task["task"]: task for task in farm.store.query("tasks", {"functional": "pbesol"})}
    (accepted,), (flagged,) = found["band"]["corrections"], found["dos"]["corrections"]
    assert (accepted["errors"], accepted["verdict"]) == (["brmix"], "accepted")
    assert (flagged["errors"], flagged["verdict"]) == (["tet"], "flagged")
    assert found["band"]["flags"] == []
    assert found["dos"]["flags"] == ["VaspErrorHandler corrected tet (flagged)"]
    flag = "dos: VaspErrorHandler corrected tet (flagged)"
    assert flag in farm.electronic().flags
    report = export(farm.store, "electronic", tmp_path / "table")
    assert (report.n_rows, report.left_out) == (0, {"flagged": 1})
    (line,) = csv.DictReader((tmp_path / "table" / "left_out.csv").open())
    assert flag in line["reason"]


@pytest.mark.parametrize(("left", "end"), [(0.0, Stopped), (None, HibanaError)])
def test_a_code_that_dies_with_its_job_in_the_queue_is_no_failure(left, end, farm, monkeypatch):
    """At the end the queue ends the code first: the launcher that sees it die in time gives the job to the next one."""
    farm.behave(fail={"relax": "half"})
    farm.submit()
    (fw_id,) = farm.launchpad.get_fw_ids({"name": "MgO relax 1"})
    firework = farm.launchpad.get_fw_by_id(fw_id)
    (task,) = firework.tasks
    task.launchpad, task.fw_id = farm.launchpad, fw_id
    for name in ("PMG_VASP_PSP_DIR", "FAKE_VASP", "FAKE_VASP_LOG"):
        monkeypatch.setenv(name, farm.env[name])
    monkeypatch.chdir(farm.folder)
    monkeypatch.setattr(STOP, "interruptible", contextlib.nullcontext)
    monkeypatch.setattr(firetasks, "time_left", lambda: left if farm.ran() else None)
    env = {"vasp_cmd": f"{sys.executable} {FAKE_VASP}"}
    with pytest.raises(end, match="HIB-104" if end is HibanaError else None):
        task.run_task({**firework.spec, "_fw_env": env})
    (claim,) = farm.store.query("claims", {})
    assert (claim["state"], farm.store.count("tasks")) == ("released", 0)
