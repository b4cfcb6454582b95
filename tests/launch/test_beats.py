"""Heartbeats of launches, with the real server, killed and restarted, and with stock launchers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from farm import wait_until
from fireworks import Firework, FWAction, FWorker, LaunchPad, Workflow
from jobflow import Job, job
from launchpad_tasks import note, open_launchpad, run_all
from monty.json import MontyEncoder

from hibana.launch.beats import LaunchBeat, beating, is_silent
from hibana.launch.firetasks import RunJobTask
from hibana.launch.launchpad import HibanaLaunchPad
from hibana.launch.recover import recover
from hibana.store import silence as silences
from hibana.store.launchpad_file import write_launchpad_file
from hibana.store.owner import Owner, process_start
from hibana.store.server import down, free_port, up
from hibana.store.silence import silence
from hibana.store.store import Store

QUICK = 0.2


def running(launchpad):
    launchpad.add_wf(Workflow([note("a")]))
    firework, launch_id = launchpad.checkout_fw(FWorker(), "/tmp")
    return firework.fw_id, launch_id


def beat_of(launchpad, launch_id):
    return launchpad.launches.find_one({"launch_id": launch_id})["heartbeat"]["at"]


def updated(launchpad, launch_id):
    """What stock FireWorks looks at."""
    history = launchpad.launches.find_one({"launch_id": launch_id})["state_history"]
    return datetime.fromisoformat(history[-1]["updated_on"]).replace(tzinfo=UTC)


def test_a_launch_beats_until_its_end_is_noted(launchpad):
    fw_id, launch_id = running(launchpad)
    noted = updated(launchpad, launch_id)
    with beating(launchpad, fw_id, QUICK):
        first = beat_of(launchpad, launch_id)
        wait_until(lambda: beat_of(launchpad, launch_id) > first, 180, "a second beat")
        assert updated(launchpad, launch_id) > noted
    # FireWorks has not yet noted the end
    after = beat_of(launchpad, launch_id)
    wait_until(lambda: beat_of(launchpad, launch_id) > after, 180, "a beat behind the job")
    launchpad.complete_launch(launch_id, FWAction(), "COMPLETED")
    time.sleep(3 * QUICK)
    document = launchpad.launches.find_one({"launch_id": launch_id})
    assert document["state"] == "COMPLETED"
    assert "heartbeat" not in document


def test_a_launch_whose_end_is_never_noted_is_silent_in_the_end(launchpad, monkeypatch):
    """Its process may live on, as that of a launcher whose database was away for too long."""
    monkeypatch.setattr("hibana.launch.beats.LINGER_SECONDS", 3 * QUICK)
    fw_id, launch_id = running(launchpad)
    with beating(launchpad, fw_id, QUICK):
        pass
    time.sleep(6 * QUICK)
    last = beat_of(launchpad, launch_id)
    time.sleep(3 * QUICK)
    assert beat_of(launchpad, launch_id) == last


def test_the_beat_survives_kill_9_and_a_restart_of_the_server(tmp_path):
    now = up(tmp_path / "store", free_port())
    write_launchpad_file(tmp_path / "my_launchpad.yaml", now, "beats")
    launchpad = HibanaLaunchPad.from_file(str(tmp_path / "my_launchpad.yaml"))
    launchpad.initialise()
    try:
        fw_id, launch_id = running(launchpad)
        with beating(launchpad, fw_id, 1.0):
            for _ in range(2):
                os.kill(now.pid, signal.SIGKILL)
                wait_until(lambda pid=now.pid: process_start(pid) is None, 180, "the death of the server")
                time.sleep(1.5)
                now = up(tmp_path / "store", now.port)
                seen = beat_of(launchpad, launch_id)
                wait_until(lambda seen=seen: beat_of(launchpad, launch_id) > seen, 180, "a beat after the restart")
        assert launchpad.launches.find_one({"launch_id": launch_id})["state"] == "RUNNING"
        assert not recover(launchpad)
    finally:
        launchpad.connection.close()
        down(tmp_path / "store")


def test_a_server_that_was_down_makes_nobody_look_dead(database, monkeypatch):
    long_ago = datetime.now(UTC) - timedelta(days=1)
    uptime = database.client.admin.command("serverStatus")["uptime"]
    assert silence(database, long_ago) == pytest.approx(uptime, abs=5)
    monkeypatch.setattr(silences, "_uptime", lambda _: float("inf"))
    assert silence(database, long_ago) == pytest.approx(86400, abs=5)
    assert silence(database, datetime.now(UTC).replace(tzinfo=None)) == pytest.approx(0, abs=5)


def test_when_a_launch_is_silent():
    at = datetime.now(UTC)
    launch = {"heartbeat": {"at": at, "every": 60.0}}
    assert is_silent({}, lambda _: 1e9) is None
    assert is_silent(launch, lambda _: 149.0) is False
    assert is_silent(launch, lambda _: 151.0) is True
    assert is_silent(launch, lambda _: 100.0, beats=1.5) is True


STOCK = """
import os, sys
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
os.chdir(sys.argv[2])
launch_rocket(LaunchPad.from_file(sys.argv[1]), FWorker())
"""


def slow(seconds: float = 0.0) -> None:
    time.sleep(seconds)


def test_a_job_beats_whoever_launched_it(launchpad, launchpad_file, tmp_path):
    """Stock rlaunch: the launch beats from its first moment, names its process, and detect_lostruns lets it be."""
    task = RunJobTask(job=json.dumps(job(slow)(20.0), cls=MontyEncoder))
    launchpad.add_wf(Workflow([Firework([task], spec={"_add_launchpad_and_fw_id": True}, name="a")]))
    launcher = subprocess.Popen(
        [sys.executable, "-c", STOCK, str(launchpad_file), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "SLURM_JOB_ID": "4711"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        launch = wait_until(lambda: launchpad.launches.find_one({"heartbeat.at": {"$exists": True}}), 180, "a beat")
        assert launch["heartbeat"]["job"] == {"kind": "slurm", "id": "4711"}
        assert launch["state_history"][-1]["owner"]["pid"] == launcher.pid
        stock = LaunchPad.from_file(str(launchpad_file))
        assert stock.detect_lostruns(expiration_secs=15)[0] == []
        stock.connection.close()
        assert not recover(launchpad, stale_after=0.1)
    finally:
        launcher.kill()
        launcher.wait()
    assert recover(launchpad).rerun == [launch["fw_id"]]


def test_a_launch_on_another_machine_is_found_by_its_silence_and_its_claim_is_freed(launchpad, tmp_path, monkeypatch):
    """Between two and three beats, not after the four hours of FireWorks."""
    store = Store(launchpad.db)
    fw_id, launch_id = running(launchpad)
    elsewhere = Owner("node17", "another boot", 4711, 99, launch_id)
    launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"state_history.0.owner": elsewhere.as_dict()}})
    assert store.claim("address", owner=elsewhere) is not None
    beat = LaunchBeat(launchpad, launch_id, 0, interval=2.0)
    assert beat.beat()
    assert store.claim("address", owner=Owner.here()) is None
    for seconds, rerun in ((2 * 2.0, []), (3 * 2.0, [fw_id])):
        monkeypatch.setattr("hibana.launch.recover.silence_now", lambda _, seconds=seconds: lambda heard: seconds)
        assert recover(launchpad).rerun == rerun
    assert store.claim("address", owner=Owner.here()).token == 2
    run_all(launchpad, tmp_path)
    assert launchpad.fireworks.find_one({"fw_id": fw_id})["state"] == "COMPLETED"


def test_a_job_that_ends_with_an_error_beats_no_more(launchpad, launchpad_file, tmp_path, monkeypatch):
    task = RunJobTask(job=json.dumps(job(os.getpid)(), cls=MontyEncoder))
    launchpad.add_wf(Workflow([Firework([task], spec={"_add_launchpad_and_fw_id": True}, name="a")]))
    monkeypatch.setattr(Job, "run", lambda *arguments, **keywords: 1 / 0)
    run_all(open_launchpad("hibana", launchpad_file), tmp_path)
    launch = launchpad.launches.find_one({})
    assert launch["state"] == "FIZZLED"
