"""What differs between the database, the queue, the heartbeats and the processes is found and mended. The queue is a stand-in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from farm import wait_until
from fireworks import FWorker, LaunchPad, Workflow
from launchpad_tasks import chain, note, quiet, run_all
from test_launchpad import assert_consistent
from test_recover import in_a_process_killed_at_its_write

from hibana.launch import reconcile as reconciling
from hibana.launch.launchpad import HibanaLaunchPad
from hibana.launch.reconcile import reconcile
from hibana.launch.schedulers import Slurm
from hibana.store.owner import Owner, machine_id
from hibana.store.store import Store
from hibana.vasp.processes import MARK, new_mark, processes_of

ELSEWHERE = Owner("node17", "another boot", 4711, 99)
HERE = str(Path(__file__).parent)
OLD = "2020-01-01T00:00:00+00:00"


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """squeue as a stand-in: it prints the jobs that the test says."""
    folder = tmp_path / "commands"
    folder.mkdir()
    jobs = folder / "jobs"
    jobs.touch()
    path = folder / "squeue"
    path.write_text(f"#!/bin/sh\ncat {jobs}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(reconciling, "GRACE_SECONDS", 0.0)
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "PJM_JOBID", "SGE_ROOT"):
        monkeypatch.delenv(name, raising=False)

    def listed(**states: str) -> None:
        jobs.write_text("".join(f"{job[1:]}|{job[1:]}|{state}\n" for job, state in states.items()))

    return listed


def reserve(launchpad, folder, job, worker="local"):
    """A firework reserved for a job of the queue, as qlaunch does it."""
    launchpad.add_wf(Workflow([note("a")]))
    firework, launch_id = launchpad.reserve_fw(FWorker(name=worker), str(folder))
    launchpad.set_reservation_id(launch_id, job)
    return firework.fw_id, launch_id


def begin(launchpad, fw_id, launch_id, folder, owner=ELSEWHERE):
    """The job begins on another machine."""
    launchpad.checkout_fw(FWorker(), str(folder), fw_id)
    last = len(launchpad.launches.find_one({"launch_id": launch_id})["state_history"]) - 1
    fields = {f"state_history.{last}.owner": owner.as_dict(), f"state_history.{last}.created_on": OLD}
    launchpad.launches.update_one({"launch_id": launch_id}, {"$set": fields})


def beat(launchpad, launch_id, ago, every=60.0, **fields):
    at = datetime.now(UTC) - timedelta(seconds=ago)
    launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"heartbeat": {"at": at, "every": every, **fields}}})


def cases(found):
    return [(mending.case, mending.what) for mending in found.mendings]


def state_of(launchpad, fw_id):
    return launchpad.fireworks.find_one({"fw_id": fw_id})["state"]


class TestQueue:
    """Cases that only the queue can tell."""

    def test_cancelled_while_it_waited(self, launchpad, queue, tmp_path):
        kept, _ = reserve(launchpad, tmp_path, "11")
        lost, launch_id = reserve(launchpad, tmp_path, "12")
        queue(j11="PENDING", j12="CANCELLED")
        assert cases(reconcile(launchpad, Slurm(), dry_run=True)) == [("launch lost", str(lost))]
        assert state_of(launchpad, lost) == "RESERVED"
        found = reconcile(launchpad, Slurm())
        assert [(m.case, m.what, m.name, m.reason) for m in found.mendings] == [
            ("launch lost", str(lost), "a", "job 12 is gone from the queue and has not begun")
        ]
        assert (found.queue, found.asked, found.answered) == ("slurm", 2, True)
        assert (state_of(launchpad, lost), state_of(launchpad, kept)) == ("READY", "RESERVED")
        assert launchpad.launches.find_one({"launch_id": launch_id})["state"] == "FIZZLED"
        assert not reconcile(launchpad, Slurm()).mendings
        run_all(launchpad, tmp_path / "runs")
        assert state_of(launchpad, lost) == "COMPLETED"

    def test_stock_qlaunchs_reservations_are_mended_too(self, launchpad, launchpad_file, queue, tmp_path):
        stock = LaunchPad.from_file(str(launchpad_file))
        lost, _ = reserve(stock, tmp_path, "12")
        assert cases(reconcile(launchpad, Slurm())) == [("launch lost", str(lost))]
        assert state_of(launchpad, lost) == "READY"
        assert_consistent(launchpad)
        stock.connection.close()

    def test_cancelled_while_it_ran(self, launchpad, queue, tmp_path):
        fw_id, launch_id = reserve(launchpad, tmp_path, "12")
        begin(launchpad, fw_id, launch_id, tmp_path)
        queue(j12="RUNNING")
        assert not reconcile(launchpad, Slurm()).mendings
        queue()
        found = reconcile(launchpad, Slurm())
        assert [mending.reason for mending in found.mendings] == ["job 12 is gone from the queue"]
        assert state_of(launchpad, fw_id) == "READY"
        assert_consistent(launchpad)

    def test_preempted_and_put_back(self, launchpad, queue, tmp_path):
        fw_id, launch_id = reserve(launchpad, tmp_path, "12")
        begin(launchpad, fw_id, launch_id, tmp_path)
        queue(j12="PENDING")
        assert [mending.reason for mending in reconcile(launchpad, Slurm()).mendings] == ["job 12 was put back into the queue"]
        assert state_of(launchpad, fw_id) == "READY"
        # the job begins again with the command it was submitted with
        firework, _ = launchpad.checkout_fw(FWorker(), str(tmp_path), fw_id)
        assert firework.fw_id == fw_id

    def test_who_beats_is_not_given_up_whatever_the_queue_says(self, launchpad, queue, tmp_path, monkeypatch):
        monkeypatch.setattr("hibana.store.silence._uptime", lambda _: float("inf"))
        fw_id, launch_id = reserve(launchpad, tmp_path, "12")
        begin(launchpad, fw_id, launch_id, tmp_path)
        queue(j12="CANCELLED")
        beat(launchpad, launch_id, ago=80.0)
        assert not reconcile(launchpad, Slurm()).mendings
        beat(launchpad, launch_id, ago=100.0)
        assert cases(reconcile(launchpad, Slurm())) == [("launch lost", str(fw_id))]

    def test_the_job_that_a_launcher_of_many_runs_in(self, launchpad, queue, tmp_path, monkeypatch):
        """hibana run or rlaunch rapidfire in one allocation: no reservation, but the heartbeat names the job."""
        monkeypatch.setattr("hibana.store.silence._uptime", lambda _: float("inf"))
        launchpad.add_wf(Workflow([note("a")]))
        firework, launch_id = launchpad.checkout_fw(FWorker(), str(tmp_path))
        begin(launchpad, firework.fw_id, launch_id, tmp_path)
        beat(launchpad, launch_id, ago=100.0, job={"kind": "pbs", "id": "12"})
        assert not reconcile(launchpad, Slurm()).mendings
        beat(launchpad, launch_id, ago=100.0, job={"kind": "slurm", "id": "12"})
        assert cases(reconcile(launchpad, Slurm())) == [("launch lost", str(firework.fw_id))]

    def test_a_queue_that_does_not_answer_gives_nobody_up(self, launchpad, queue, tmp_path):
        fw_id, _ = reserve(launchpad, tmp_path, "12")
        (tmp_path / "commands" / "squeue").write_text("#!/bin/sh\nexit 1\n")
        found = reconcile(launchpad, Slurm())
        assert (found.mendings, found.asked, found.answered) == ((), 1, False)
        assert state_of(launchpad, fw_id) == "RESERVED"

    def test_a_launch_of_another_site_or_worker_is_not_judged_by_this_queue(self, launchpad, queue, tmp_path):
        away, _ = reserve(launchpad, "/no/such/folder/here", "11")
        other, _ = reserve(launchpad, tmp_path, "12", worker="other")
        found = reconcile(launchpad, Slurm(), worker="local")
        assert (found.mendings, found.asked) == ((), 0)
        assert cases(reconcile(launchpad, Slurm(), worker="other")) == [("launch lost", str(other))]
        assert state_of(launchpad, away) == "RESERVED"

    def test_without_a_name_the_launches_of_two_workers_are_not_judged(self, launchpad, queue, tmp_path):
        own, _ = reserve(launchpad, tmp_path, "11")
        others, _ = reserve(launchpad, tmp_path, "12", worker="other cluster")
        queue(j11="PENDING")
        found = reconcile(launchpad, Slurm())
        assert (found.mendings, found.queue, found.asked) == ((), None, 0)
        assert [state_of(launchpad, fw_id) for fw_id in (own, others)] == ["RESERVED", "RESERVED"]

    def test_a_new_launch_is_not_judged_yet(self, launchpad, queue, tmp_path, monkeypatch):
        monkeypatch.setattr(reconciling, "GRACE_SECONDS", 60.0)
        reserve(launchpad, tmp_path, "12")
        assert not reconcile(launchpad, Slurm()).mendings

    def test_several_at_once_count_once(self, launchpad, launchpad_file, queue, tmp_path):
        for job in range(6):
            reserve(launchpad, tmp_path, str(20 + job))
        code = (
            "import sys; from hibana.launch.launchpad import HibanaLaunchPad as L; from hibana.launch import reconcile as r;"
            "from hibana.launch.schedulers import Slurm; r.GRACE_SECONDS = 0.0;"
            "print(*[m.what for m in r.reconcile(L.from_file(sys.argv[1]), Slurm()).mendings])"
        )
        command = [sys.executable, "-c", code, str(launchpad_file)]
        env = {**os.environ, "PYTHONPATH": HERE}
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)]
        answers = [process.communicate(timeout=120)[0].split("\n")[-2].split() for process in processes]
        assert set().union(*answers) == {str(fw["fw_id"]) for fw in launchpad.fireworks.find({})}
        assert launchpad.fireworks.count_documents({"state": "READY"}) == 6
        assert_consistent(launchpad)


class TestDatabase:
    """Cases that the database and the processes of this machine tell."""

    def test_reserved_without_a_launch(self, launchpad):
        launchpad.add_wf(Workflow([note("a")]))
        launchpad.fireworks.update_one({}, {"$set": {"state": "RESERVED"}})
        assert not [m for m in reconcile(launchpad).mendings if m.case == "launch lost"]
        launchpad.fireworks.update_one({}, {"$set": {"state": "RESERVED", "updated_on": OLD}})
        (mending,) = [m for m in reconcile(launchpad).mendings if m.case == "launch lost"]
        assert mending.reason == "it has no launch"
        assert state_of(launchpad, 1) == "READY"

    def test_reserved_by_a_qlaunch_that_died_before_it_submitted(self, launchpad, launchpad_file):
        launchpad.add_wf(Workflow([note("a")]))

        def reserving():
            pad = HibanaLaunchPad.from_file(str(launchpad_file))
            pad.reserve_fw(FWorker(), "/tmp")
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_a_process_killed_at_its_write(1000, reserving)
        assert state_of(launchpad, 1) == "RESERVED"
        (mending,) = reconcile(launchpad).mendings
        assert mending.reason == "reserved by a process that is gone and has submitted nothing"
        assert state_of(launchpad, 1) == "READY"

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_lock_of_a_dead_process(self, launchpad, launchpad_file, dry_run):
        launchpad.add_wf(chain())

        def locking():
            pad = HibanaLaunchPad.from_file(str(launchpad_file))
            pad.locks.take(1)
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_a_process_killed_at_its_write(1000, locking)
        assert cases(reconcile(launchpad, dry_run=dry_run)) == [("lock", "1")]
        assert ("locked" in launchpad.workflows.find_one({})) is dry_run

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_orphans_of_a_half_written_workflow(self, launchpad, launchpad_file, dry_run):
        def adding():
            pad = HibanaLaunchPad.from_file(str(launchpad_file))
            quiet()
            original = pad.p_fireworks.add

            def partly(documents, key):
                original(documents[:2], key)
                os.kill(os.getpid(), signal.SIGKILL)

            pad.p_fireworks.add = partly
            pad.add_wf(chain())

        assert in_a_process_killed_at_its_write(1000, adding)
        assert launchpad.fireworks.count_documents({}) == 2
        assert cases(reconcile(launchpad, dry_run=dry_run)) == [("half-added workflow", "1")]
        assert launchpad.fireworks.count_documents({}) == (2 if dry_run else 0)

    def test_a_workflow_that_lags_behind(self, launchpad, tmp_path):
        launchpad.add_wf(chain())
        run_all(launchpad, tmp_path)
        launchpad.workflows.update_one({}, {"$set": {"state": "RUNNING", "fw_states.4": "READY"}})
        assert cases(reconcile(launchpad, dry_run=True)) == [("state behind", "1")]
        assert cases(reconcile(launchpad)) == [("state behind", "1")]
        assert launchpad.workflows.find_one({})["state"] == "COMPLETED"

    def test_claim_that_nobody_holds_any_more(self, launchpad, launchpad_file):
        store = Store(launchpad.db)
        assert store.claim("live", owner=Owner.here()) is not None

        def claiming():
            from hibana.store.connection import connect

            connect(launchpad_file).claim("dead", owner=Owner.here())
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_a_process_killed_at_its_write(1000, claiming)
        assert cases(reconcile(launchpad, dry_run=True)) == [("claim", "dead")]
        assert cases(reconcile(launchpad)) == [("claim", "dead")]
        assert not reconcile(launchpad).mendings
        assert {doc["_id"]: doc["state"] for doc in store.query("claims", {})} == {"dead": "released", "live": "held"}

    def test_ghosts_of_a_lost_launch_are_ended_on_their_machine_and_nobody_else(self, launchpad, tmp_path):
        store, mark, others = Store(launchpad.db), new_mark(), new_mark()
        sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(300)"]
        ghost, other = (
            subprocess.Popen(sleeper, env={**os.environ, MARK: word}, start_new_session=True) for word in (mark, others)
        )
        try:
            fw_id, launch_id = reserve(launchpad, tmp_path, "12")
            gone = Owner("here", machine_id(), os.getpid(), 1, launch_id)
            begin(launchpad, fw_id, launch_id, tmp_path, gone)
            claim = store.claim("address", owner=gone)
            store.note(claim, {"directory": str(tmp_path), "machine": machine_id(), "mark": mark})
            found = reconcile(launchpad)
            assert (cases(found), found.ghosts) == ([("launch lost", str(fw_id))], 1)
            assert ghost.wait(120) is not None
            assert processes_of(mark) == []
            assert other.poll() is None
            assert next(store.query("claims", {"_id": "address"}))["state"] == "released"
        finally:
            for process in (ghost, other):
                process.kill()
                process.wait()


def test_the_command(farm, queue, tmp_path):
    """Text, JSON, a dry run, and again and again."""
    farm.env |= {"PATH": os.environ["PATH"], "PYTHONPATH": HERE}
    launchpad = farm.launchpad
    assert "nothing to mend" in farm.hibana("reconcile")
    lost, launch_id = reserve(launchpad, tmp_path, "12", worker="test")
    launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"state_history.0.created_on": OLD}})
    words = ("reconcile", "--fworker", farm.fworker)
    assert "1 would be mended" in farm.hibana(*words, "--dry-run")
    assert state_of(launchpad, lost) == "RESERVED"
    found = json.loads(farm.hibana(*words, "--json"))
    assert (found["queue"], found["jobs_asked"], found["dry_run"]) == ("slurm", 1, False)
    assert found["mendings"][0]["what"] == str(lost)
    assert state_of(launchpad, lost) == "READY"
    farm.hibana(*words, "--once", "--every", "5", code=2)
    watching = farm.start(sys.executable, "-m", "hibana.cli", *words, "--every", "1", "--json")
    try:
        json.loads(watching.stdout.readline())
        lost, launch_id = reserve(launchpad, tmp_path, "13", worker="test")
        launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"state_history.0.created_on": OLD}})
        wait_until(lambda: state_of(launchpad, lost) == "READY", 180, "the reservation to be given back")
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(120) == 0
    assert launchpad.fireworks.count_documents({"state": "READY"}) == 2
