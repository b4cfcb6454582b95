"""A run killed without notice goes on in another one: from its last cell, with its cost; nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from potcars import write_library
from test_execution import FAKE_VASP, relaxation

import hibana.vasp.run
from flow_documents import MGO
from hibana.flows.context import RunContext, use_context
from hibana.flows.execution import carry_out
from hibana.flows.leftover import taken_up, under_way
from hibana.flows.messages import Past
from hibana.protocol.protocol import load_protocol
from hibana.store.owner import Owner
from hibana.vasp.processes import processes_of

REPOSITORY = Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join(map(str, (REPOSITORY / "src", REPOSITORY / "tests", REPOSITORY / "tests" / "flows")))

LAUNCHER = """
import sys
from dataclasses import replace
from pathlib import Path
from flow_documents import MGO
from test_execution import FAKE_VASP, relaxation
from hibana.flows.context import RunContext, use_context
from hibana.flows.execution import carry_out
from hibana.store.connection import connect
import hibana.vasp.run

hibana.vasp.run.POLLING_SECONDS = 0.05
context = RunContext(store=connect(Path(sys.argv[1])), vasp_cmd=f"{sys.executable} {FAKE_VASP}", cores=2)
with use_context(context):
    carry_out(replace(relaxation(), crystal=MGO))
"""


@pytest.fixture
def place(tmp_path, monkeypatch, store, launchpad_file):
    """Folder, script of the fake VASP and a way to ask in this process."""
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(write_library(tmp_path / "potcars")))
    monkeypatch.setenv("FAKE_VASP", str(tmp_path / "script.json"))
    monkeypatch.setenv("FAKE_VASP_LOG", str(tmp_path / "vasp.log"))
    monkeypatch.setattr(hibana.vasp.run, "POLLING_SECONDS", 0.05)
    return Place(tmp_path, monkeypatch, store, launchpad_file)


class Place:
    def __init__(self, folder, monkeypatch, store, launchpad_file) -> None:
        self.folder, self.monkeypatch, self.store, self.launchpad_file = folder, monkeypatch, store, launchpad_file
        self.question = replace(relaxation(), crystal=MGO)
        self.address = self.question.spec(load_protocol("pbesol-demo")).address

    def behave(self, **script) -> None:
        (self.folder / "script.json").write_text(json.dumps(script))

    def ask(self, name: str):
        work = self.folder / name
        work.mkdir()
        self.monkeypatch.chdir(work)
        context = RunContext(store=self.store, vasp_cmd=f"{sys.executable} {FAKE_VASP}", cores=2, poll_seconds=0.1)
        with use_context(context):
            return carry_out(self.question)

    def claim(self) -> dict:
        return self.store.database["claims"].find_one({"_id": self.address})

    def launcher(self, name: str) -> tuple[subprocess.Popen, Path]:
        """A process whose fake VASP hangs behind its first ionic step."""
        self.behave(hang_first=["relax"])
        work = self.folder / name
        work.mkdir()
        words = [sys.executable, "-c", LAUNCHER, str(self.launchpad_file)]
        process = subprocess.Popen(words, cwd=work, env={**os.environ, "PYTHONPATH": PATHS}, start_new_session=True)
        deadline = time.monotonic() + 60
        while not (work / "HANGS").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process, work


def test_a_job_killed_as_a_whole_goes_on_from_its_last_cell_and_no_ghost_stays(place):
    """Launcher, guard and code are killed at once; a child of the code survives and is ended before the next run."""
    launcher, work = place.launcher("dead")
    part = place.claim()["part"]
    assert part["directory"] == str(work)
    family = processes_of(part["mark"])
    child = next(process for process in family if process.group == process.pid and "time.sleep(300)" in words_of(process.pid))
    for process in family:
        if process.pid != child.pid:
            os.kill(process.pid, signal.SIGKILL)
    launcher.kill()
    launcher.wait()
    assert [process.pid for process in processes_of(part["mark"])] == [child.pid]
    # the last sign of life came half an hour after the start
    place.store.database["claims"].update_one(
        {"_id": place.address}, {"$set": {"heartbeat": place.claim()["part_noted"] + timedelta(minutes=30)}}
    )
    place.behave()
    done = place.ask("alive").task
    assert processes_of(part["mark"]) == []
    assert done.status == "converged"
    assert done.address == place.address
    left = np.loadtxt((work / "CONTCAR").read_text().splitlines()[2:5])
    assert np.allclose(done.initial.lattice, left)
    assert not np.allclose(done.initial.lattice, MGO.lattice)
    assert done.has_moved_before
    assert done.machine.core_hours == pytest.approx(1.0, abs=0.1)
    assert done.machine.started < done.machine.finished - timedelta(seconds=0.5)
    assert "part" not in place.claim()


def test_a_stopped_launcher_leaves_its_part_and_its_lease(place):
    """SIGTERM as a queue sends it to all: VASP ends with its launcher, and the next run goes on."""
    launcher, work = place.launcher("stopped")
    launcher.send_signal(signal.SIGTERM)
    launcher.wait(120)
    place.behave()
    done = place.ask("alive").task
    assert np.allclose(done.initial.lattice, np.loadtxt((work / "CONTCAR").read_text().splitlines()[2:5]))
    assert processes_of(place.claim().get("part", {}).get("mark", "")) == []


def test_a_part_whose_files_are_gone_or_damaged_begins_again_with_its_cost(place):
    launcher, work = place.launcher("dead")
    for process in processes_of(place.claim()["part"]["mark"]):
        os.kill(process.pid, signal.SIGKILL)
    launcher.kill()
    launcher.wait()
    text = (work / "CONTCAR").read_text()
    (work / "CONTCAR").write_text(text[: len(text) // 2])
    place.store.database["claims"].update_one(
        {"_id": place.address}, {"$set": {"heartbeat": place.claim()["part_noted"] + timedelta(minutes=15)}}
    )
    place.behave()
    done = place.ask("alive").task
    assert np.allclose(done.initial.lattice, MGO.lattice)
    assert done.machine.core_hours == pytest.approx(0.5, abs=0.1)


def test_a_run_whose_claim_was_taken_over_is_stopped(place, monkeypatch):
    """It would calculate for nothing."""
    monkeypatch.setattr("hibana.flows.execution.HEARTBEAT_SECONDS", 0.3)
    monkeypatch.setattr(hibana.vasp.run, "MONITOR_SECONDS", 0.3)
    place.behave(seconds=100)

    def take_over() -> None:
        deadline = time.monotonic() + 60
        while not (place.folder / "vasp.log").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        place.store.database["claims"].update_one({"_id": place.address}, {"$inc": {"token": 1}})

    thief = threading.Thread(target=take_over)
    thief.start()
    assert place.ask("zombie").task.status == "walltime"
    thief.join()
    assert (place.claim()["state"], place.claim()["token"]) == ("held", 2)


class TestTakenUp:
    """Whose past counts, and what of it."""

    def left(self, tmp_path, past=None, **changes) -> dict:
        context = RunContext(store=None, cores=4)
        calculation = replace(relaxation(), past=past or Past())
        return {**under_way(context, calculation), "directory": str(tmp_path), "seconds": 900.0, **changes}

    def test_cost_and_parts_add_up(self, tmp_path):
        before = Past(parts=2, core_hours=3.0, longest=50.0, idle_parts=1, started="2026-01-01T00:00:00+00:00")
        past = taken_up(relaxation(), self.left(tmp_path, before)).past
        assert (past.parts, past.core_hours, past.idle_parts) == (3, 4.0, 1)
        assert past.started == before.started

    def test_threads_cost_too(self, tmp_path):
        context = RunContext(store=None, cores=4, threads=3)
        left = {**under_way(context, relaxation()), "directory": str(tmp_path), "seconds": 900.0}
        assert taken_up(relaxation(), left).past.core_hours == 3.0

    def test_nothing_left_nothing_changed(self):
        assert taken_up(relaxation(), None) == relaxation()

    def test_a_part_older_than_what_the_job_knows_is_not_taken_up(self, tmp_path):
        calculation = relaxation(past=Past(parts=2, core_hours=3.0))
        assert taken_up(calculation, self.left(tmp_path, Past(parts=1, core_hours=1.0))) == calculation

    @pytest.mark.parametrize("changes", [{"past": {"no": "such field"}}, {"cores": None}, {"seconds": "long"}])
    def test_what_is_not_understood_is_not_taken_up(self, tmp_path, changes):
        assert taken_up(relaxation(), {**self.left(tmp_path), **changes}) == relaxation()

    def test_whole_wave_functions_are_used_and_others_are_not(self, tmp_path):
        earlier = Past(parts=1, directory="/earlier")
        assert taken_up(relaxation(), self.left(tmp_path, earlier)).past.directory == "/earlier"
        data = bytearray(64 * 4)
        data[:24], data[64:88] = struct.pack("<ddd", 64, 1, 45200), struct.pack("<ddd", 1, 1, 400.0)
        (tmp_path / "WAVECAR").write_bytes(data)
        assert taken_up(relaxation(), self.left(tmp_path, earlier)).past.directory == str(tmp_path)
        (tmp_path / "WAVECAR").write_bytes(data[:-1])
        assert taken_up(relaxation(), self.left(tmp_path, earlier)).past.directory == "/earlier"


def test_a_claim_keeps_what_was_left_until_somebody_notes_something_new(store):
    first = store.claim("a", owner=Owner.here())
    assert first.left is None
    assert store.note(first, {"directory": "/first"})
    store.release(first)
    for _ in range(2):  # one that takes it over and is stopped before it begins passes it on
        claim = store.claim("a", owner=Owner.here())
        assert claim.left["directory"] == "/first"
        assert claim.left["seconds"] >= 0
        store.release(claim)
    assert not store.note(first, {"directory": "/late"})
    claim = store.claim("a", owner=Owner.here())
    assert store.note(claim, {"directory": "/second"})
    store.release(claim, ended=True)
    assert store.claim("a", owner=Owner.here()).left is None


def words_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
