"""Ghosts: what is left of a run's processes after kill -9 is found and ended, and nobody else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from test_run import alive, inputs_of, start, wait_for

from hibana.vasp import guard
from hibana.vasp.processes import MARK, end_processes, new_mark, processes_of

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(300)"]

MPIRUN = """
import os, signal, subprocess, sys, time
rank = [sys.executable, "-S", "-c", "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"]
own_group = subprocess.Popen(rank, process_group=0)
own_session = subprocess.Popen(rank, start_new_session=True)
same_group = subprocess.Popen(rank)
cleaned = subprocess.Popen(rank, env={})
with open(sys.argv[1], "w") as file:
    print(os.getpid(), own_group.pid, own_session.pid, same_group.pid, cleaned.pid, file=file)
time.sleep(300)
"""
"""An MPI launcher whose ranks are deaf to SIGTERM: in groups and sessions of their own, in its group, one without environment."""


@pytest.fixture
def bystanders():
    """Processes of the same user that have nothing to do with the run: unmarked, marked by another run, alike in name."""
    made = [
        subprocess.Popen(SLEEP, start_new_session=True),
        subprocess.Popen(SLEEP, start_new_session=True, env={**os.environ, MARK: new_mark()}),
        subprocess.Popen(SLEEP),
    ]
    yield made
    for process in made:
        process.kill()
        process.wait()


def mpi(tmp_path: Path) -> tuple[Path, Path]:
    script, pids = tmp_path / "mpirun.py", tmp_path / "pids"
    script.write_text(MPIRUN)
    return script, pids


def numbers(pids: Path) -> list[int]:
    assert wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 5)
    return [int(word) for word in pids.read_text().split()]


def test_ranks_that_survive_their_killed_launcher_are_ended_and_nobody_else(tmp_path, bystanders):
    mark, (script, pids) = new_mark(), mpi(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-S", str(script), str(pids)], env={**os.environ, MARK: mark}, start_new_session=True
    )
    ranks = numbers(pids)
    parent.kill()
    parent.wait()
    time.sleep(0.2)
    assert [alive(pid) for pid in ranks] == [False, True, True, True, True]
    assert {process.pid for process in processes_of(mark)} == set(ranks[1:])
    assert {process.pid for process in end_processes(mark, grace=0.5)} == set(ranks[1:])
    assert not any(alive(pid) for pid in ranks)
    assert all(process.poll() is None for process in bystanders)
    assert end_processes(mark) == []


def test_an_empty_mark_and_an_unknown_one_find_nobody(bystanders):
    assert processes_of("") == processes_of(new_mark()) == []
    assert end_processes("") == []
    assert all(process.poll() is None for process in bystanders)


def test_this_process_and_its_group_are_never_found(monkeypatch):
    mark = new_mark()
    child = subprocess.Popen(SLEEP, env={**os.environ, MARK: mark})
    try:
        found = {process.pid for process in processes_of(mark)}
        assert found == {child.pid}
    finally:
        child.kill()
        child.wait()


LAUNCHER = """
import sys
from pathlib import Path
from tests.vasp.test_run import inputs_of, start
from hibana.vasp import guard

guard.GRACE = 1.0
run, folder, script, pids, mark = sys.argv[1:6]
start(inputs_of(Path(run)), Path(folder), f"{sys.executable} -S {script} {pids}", mark=mark)
"""


def test_a_run_whose_launcher_guard_and_mpirun_are_killed_at_once(recorded, tmp_path, bystanders):
    """As the kernel's memory killer may do: nobody is left to end the ranks."""
    repository = Path(__file__).resolve().parents[2]
    mark, (script, pids) = new_mark(), mpi(tmp_path)
    run = recorded / "vasp_runs" / "Si_double_relax_2"
    words = [sys.executable, "-c", textwrap.dedent(LAUNCHER), str(run), str(tmp_path / "run"), str(script), str(pids), mark]
    launcher = subprocess.Popen(
        words,
        cwd=repository,
        env={**os.environ, "PYTHONPATH": f"{repository / 'src'}{os.pathsep}{repository}{os.pathsep}{Path(__file__).parent}"},
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 5, 60)
        ranks = numbers(pids)
        marked = {process.pid for process in processes_of(mark)}
        assert set(ranks) <= marked
        the_guard = [pid for pid in marked - set(ranks) if guard.__file__ in Path(f"/proc/{pid}/cmdline").read_text()]
        assert len(the_guard) == 1
        for pid in (launcher.pid, *the_guard, ranks[0]):
            os.kill(pid, signal.SIGKILL)
        launcher.wait()
        assert wait_for(lambda: not alive(ranks[0]))
        assert any(alive(pid) for pid in ranks[1:])
        end_processes(mark, grace=0.5)
        assert not any(alive(pid) for pid in ranks)
        assert all(process.poll() is None for process in bystanders)
    finally:
        launcher.kill()
        end_processes(mark, grace=0.1)


def test_every_start_of_the_code_carries_the_mark(recorded, tmp_path):
    mark = new_mark()
    command = f"{sys.executable} -S -c \"import os; print(os.environ['{MARK}'], end='')\""
    start(inputs_of(recorded / "vasp_runs" / "Si_double_relax_2"), tmp_path, command, mark=mark)
    assert (tmp_path / "vasp.out").read_text() == mark
