"""Killed launchers: what they leave is mended, nothing is lost and nothing doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fireworks import Firework, Workflow
from fireworks.core.fworker import FWorker
from fireworks.core.rocket_launcher import launch_rocket
from jobflow import Job, job
from launchpad_tasks import chain, dynamic, note, open_launchpad, quiet, run_all
from monty.json import MontyEncoder
from test_launchpad import assert_consistent, ran, start, states

from hibana.launch.firetasks import RunJobTask
from hibana.launch.launchpad import HibanaLaunchPad
from hibana.launch.patient import PatientCollection
from hibana.launch.recover import RecoverReport, is_lost, recover
from hibana.store.owner import Owner
from size import FULL

WRITES = ("change", "replace", "add", "remove")
LONG = 3600.0


def in_a_process_killed_at_its_write(number, work):
    """Do some work in a forked process that dies just before its given write to the launchpad; whether it died."""
    pid = os.fork()
    if pid == 0:
        left = number
        for name in WRITES:
            original = getattr(PatientCollection, name)

            def counted(self, *arguments, _original=original, **keywords):
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return _original(self, *arguments, **keywords)

            setattr(PatientCollection, name, counted)
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def runner(launchpad_file, directory):
    def work():
        launchpad = HibanaLaunchPad.from_file(str(launchpad_file))
        quiet()
        run_all(launchpad, directory)

    return work


@pytest.mark.parametrize("step", [1 if FULL else 5])
@pytest.mark.parametrize("make", [chain, dynamic])
def test_killed_at_any_write_while_running(launchpad, launchpad_file, tmp_path, make, step):
    """Kill a launcher before its n-th write, for every n; recover and finish: the end is that of an undisturbed run."""
    launchpad.add_wf(make())
    run_all(launchpad, tmp_path / "undisturbed")
    expected = states(launchpad)
    specs = {fw["name"]: fw["spec"].get("got") for fw in launchpad.fireworks.find()}
    number, killed = 0, True
    while killed:
        launchpad.reset("", require_password=False)
        launchpad.db["notes"].delete_many({})
        launchpad.add_wf(make())
        killed = in_a_process_killed_at_its_write(number, runner(launchpad_file, tmp_path / f"killed-{number}"))
        recover(launchpad, stale_after=LONG)
        run_all(launchpad, tmp_path / f"after-{number}")
        assert states(launchpad) == expected, f"killed at write {number}"
        assert {fw["name"]: fw["spec"].get("got") for fw in launchpad.fireworks.find()} == specs, f"killed at write {number}"
        assert not recover(launchpad, stale_after=LONG), f"killed at write {number}"
        times = ran(launchpad)
        assert sum(times.values()) <= len(expected) + 1, f"killed at write {number}"
        assert_consistent(launchpad)
        number += step
    assert number > 25


@pytest.mark.parametrize("make", [chain, dynamic])
def test_killed_at_any_write_while_recovering(launchpad, launchpad_file, tmp_path, make):
    """The one who recovers may be killed as well."""
    expected = {"chain": 4, "dynamic": 5}[make.__name__]

    def recovering():
        pad = HibanaLaunchPad.from_file(str(launchpad_file))
        recover(pad, stale_after=LONG)

    deaths = 0
    for number in (6, 8, 9, 10, 12, 13, 14):
        launchpad.reset("", require_password=False)
        launchpad.db["notes"].delete_many({})
        launchpad.add_wf(make())
        assert in_a_process_killed_at_its_write(number, runner(launchpad_file, tmp_path / f"killed-{number}"))
        for second in range(4):
            deaths += in_a_process_killed_at_its_write(second, recovering)
        recover(launchpad, stale_after=LONG)
        run_all(launchpad, tmp_path / f"after-{number}")
        assert len(states(launchpad)) == expected
        assert set(states(launchpad).values()) == {"COMPLETED"}
        assert_consistent(launchpad)
    assert deaths > 7


def test_killed_at_any_write_while_adding(launchpad, launchpad_file):
    """A workflow is there as a whole or not at all."""

    def adding():
        pad = HibanaLaunchPad.from_file(str(launchpad_file))
        quiet()
        pad.bulk_add_wfs([chain(), chain()])

    found = set()
    for number in range(5):
        launchpad.reset("", require_password=False)
        killed = in_a_process_killed_at_its_write(number, adding)
        assert killed == (number < 4)
        recover(launchpad, stale_after=LONG)
        found.add(launchpad.workflows.count_documents({}))
        assert launchpad.fireworks.count_documents({}) == 4 * launchpad.workflows.count_documents({})
        assert_consistent(launchpad)
    assert found == {0, 2}


def test_half_added_workflow_with_some_fireworks(launchpad, launchpad_file):
    def adding():
        pad = HibanaLaunchPad.from_file(str(launchpad_file))
        quiet()
        original = PatientCollection.add

        def partly(self, documents, key):
            if key == "fw_id":
                original(self, documents[:2], key)
                os.kill(os.getpid(), signal.SIGKILL)
            original(self, documents, key)

        PatientCollection.add = partly
        pad.add_wf(chain())

    assert in_a_process_killed_at_its_write(1000, adding)
    assert launchpad.fireworks.count_documents({}) == 2
    assert not launchpad.run_exists(FWorker())
    assert recover(launchpad, stale_after=LONG) == RecoverReport(removed=[1])
    assert launchpad.fireworks.count_documents({}) == launchpad.workflows.count_documents({}) == 0


def test_a_live_launch_is_left_alone(launchpad):
    launchpad.add_wf(chain())
    firework, _ = launchpad.checkout_fw(FWorker(), "/tmp")
    assert not recover(launchpad, stale_after=0.0)
    assert launchpad.fireworks.find_one({"fw_id": firework.fw_id})["state"] == "RUNNING"


def test_several_recover_at_once_and_the_firework_runs_again_once(launchpad, launchpad_file, tmp_path):
    launchpad.bulk_add_wfs([chain() for _ in range(6)])

    def start_all():
        pad = HibanaLaunchPad.from_file(str(launchpad_file))
        quiet()
        for _ in range(6):
            pad.checkout_fw(FWorker(), "/tmp")
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_process_killed_at_its_write(1000, start_all)
    assert launchpad.fireworks.count_documents({"state": "RUNNING"}) == 6
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "from hibana.launch.launchpad import HibanaLaunchPad as L; from hibana.launch.recover import recover;"
        "print(*recover(L.from_file(sys.argv[1]), stale_after=3600.0).rerun)"
    )
    command = [sys.executable, "-c", code, str(launchpad_file)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate(timeout=120)[0].split("\n")[-2].split() for process in processes]
    assert set().union(*answers) == {str(fw["fw_id"]) for fw in launchpad.fireworks.find({"name": "a"})}
    assert launchpad.fireworks.count_documents({"state": "READY"}) == 6
    run_all(launchpad, tmp_path)
    assert ran(launchpad) == dict.fromkeys("abcd", 6)
    assert_consistent(launchpad)


def test_a_stock_launcher_is_judged_by_its_pings(launchpad, launchpad_file, tmp_path):
    stock = open_launchpad("stock", launchpad_file)
    stock.add_wf(Workflow([note("a")]))
    stock.checkout_fw(FWorker(), "/tmp")
    assert not recover(launchpad, stale_after=LONG)
    time.sleep(0.6)
    assert recover(launchpad, stale_after=0.5).rerun == [1]
    run_all(launchpad, tmp_path)
    assert_consistent(launchpad)
    stock.connection.close()


def test_a_stock_launcher_killed_on_this_machine_is_found_dead_at_once(launchpad, launchpad_file, tmp_path):
    """The job names the process that runs it, so that nobody has to wait for the expiry of FireWorks."""
    task = RunJobTask(job=json.dumps(job(os.getpid)(), cls=MontyEncoder))
    launchpad.add_wf(Workflow([Firework([task], spec={"_add_launchpad_and_fw_id": True}, name="a")]))
    pid = os.fork()
    if pid == 0:
        Job.run = lambda *arguments, **keywords: os.kill(os.getpid(), signal.SIGKILL)
        os.chdir(tmp_path)
        launch_rocket(open_launchpad("stock", launchpad_file))
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert states(launchpad) == {"a": "RUNNING"}
    assert recover(launchpad, stale_after=LONG).rerun == [1]


def test_what_a_stock_launcher_leaves_reserved_without_a_launch(launchpad, tmp_path):
    launchpad.add_wf(Workflow([note("a")]))
    launchpad.fireworks.update_one({}, {"$set": {"state": "RESERVED"}})
    launchpad.workflows.update_one({}, {"$set": {"state": "RESERVED", "fw_states": {"1": "RESERVED"}}})
    assert not recover(launchpad, stale_after=LONG)
    assert launchpad.fireworks.find_one()["state"] == "RESERVED"
    time.sleep(0.6)
    assert recover(launchpad, stale_after=0.5).rerun == [1]
    run_all(launchpad, tmp_path)
    assert states(launchpad) == {"a": "COMPLETED"}
    assert_consistent(launchpad)


def test_a_reservation_in_a_queue_is_left_alone(launchpad):
    launchpad.add_wf(Workflow([note("a")]))
    launchpad.reserve_fw(FWorker(), "/tmp")
    time.sleep(0.1)
    assert not recover(launchpad, stale_after=0.01)
    assert launchpad.fireworks.find_one()["state"] == "RESERVED"


def test_a_workflow_that_lags_behind_its_fireworks(launchpad, tmp_path):
    launchpad.add_wf(chain())
    run_all(launchpad, tmp_path)
    right = launchpad.workflows.find_one()
    launchpad.workflows.update_one({}, {"$set": {"state": "RUNNING", "fw_states.4": "READY"}})
    assert recover(launchpad, stale_after=LONG).refreshed == [1]
    now = launchpad.workflows.find_one()
    assert (now["state"], now["fw_states"]) == (right["state"], right["fw_states"])


def test_a_result_of_a_launch_that_was_given_up_does_not_count(launchpad, tmp_path):
    """A zombie that ends after its firework was given to another changes nothing."""
    launchpad.add_wf(dynamic())
    _, zombie = launchpad.checkout_fw(FWorker(), "/tmp")
    owner = "state_history.0.owner"
    launchpad.launches.update_one(
        {}, {"$set": {f"{owner}.machine": "another", "state_history.0.updated_on": "2020-01-01T00:00:00+00:00"}}
    )
    assert recover(launchpad, stale_after=LONG).rerun == [1]
    launchpad.complete_launch(zombie, None, "COMPLETED")
    assert states(launchpad)["a"] == "READY"
    run_all(launchpad, tmp_path)
    assert ran(launchpad)["a"] == 1
    assert_consistent(launchpad)


def test_a_deleted_firework_does_not_cost_the_others(launchpad):
    launchpad.add_wf(chain())
    launchpad.fireworks.delete_one({"name": "d"})
    launchpad.fireworks.update_one({"name": "a"}, {"$set": {"state": "RUNNING", "updated_on": "2020-01-01T00:00:00+00:00"}})
    recover(launchpad, stale_after=1.0)
    assert launchpad.fireworks.count_documents({}) == 3
    assert "locked" not in launchpad.workflows.find_one()


def test_a_workflow_this_machine_cannot_read_does_not_keep_others_from_being_mended(launchpad, launchpad_file):
    launchpad.bulk_add_wfs([chain(), chain()])

    def start_both():
        pad = HibanaLaunchPad.from_file(str(launchpad_file))
        quiet()
        for _ in range(2):
            pad.checkout_fw(FWorker(), "/tmp")
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_process_killed_at_its_write(1000, start_both)
    launchpad.fireworks.update_one({"fw_id": 2}, {"$set": {"spec._tasks.0._fw_name": "{{no_such.Task}}"}})
    report = recover(launchpad, stale_after=LONG)
    assert (report.rerun, report.failed) == ([5], [1])
    assert launchpad.workflows.count_documents({"locked": {"$exists": True}}) == 0


def test_when_a_launch_is_lost():
    me = Owner.here(1)
    now, old = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()), "2020-01-01T00:00:00+00:00"

    def launch(owner, pinged):
        entry = {"state": "RUNNING", "created_on": old, "updated_on": pinged}
        return {"state_history": [entry if owner is None else {**entry, "owner": owner.as_dict()}]}

    gone = Owner(me.host, me.machine, me.pid, me.started - 1)
    elsewhere = Owner("other", "another boot", 1, 1)
    assert is_lost(launch(gone, now), LONG)
    assert not is_lost(launch(me, now), 0.0)
    assert is_lost(launch(me, old), 0.0)
    assert not is_lost(launch(elsewhere, now), LONG)
    assert is_lost(launch(elsewhere, old), LONG)
    assert not is_lost(launch(None, now), LONG)
    assert is_lost(launch(None, old), LONG)


def test_launchers_killed_at_random_and_everything_completes(launchpad, launchpad_file, tmp_path):
    launchpad.bulk_add_wfs([chain(seconds=0.05) for _ in range(8)] + [dynamic() for _ in range(4)])
    chance = random.Random(7)
    for number in range(5):
        processes = [start("launch", launchpad_file, tmp_path / f"{number}-{n}", 60) for n in range(2)]
        time.sleep(2.2 + chance.random())
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(0.2 * chance.random())
        recover(launchpad, stale_after=LONG)
        assert launchpad.workflows.count_documents({"locked": {"$exists": True}}) == 0
        assert launchpad.fireworks.count_documents({"state": "RUNNING"}) == 0
    run_all(launchpad, tmp_path / "last")
    counts = Counter((fw["name"], fw["state"]) for fw in launchpad.fireworks.find())
    assert counts == {(name, "COMPLETED"): 12 if name in "abc" else 8 for name in "abcd"} | {
        ("detour", "COMPLETED"): 4,
        ("addition", "COMPLETED"): 4,
    }
    assert_consistent(launchpad)
