"""A campaign on a rough machine: a stand-in for a batch queue whose launchers, store and scheduler are killed at random."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo.errors import PyMongoError

from hibana.launch.launcher import Orders, launch
from hibana.launch.recover import recover
from hibana.launch.rehearse import Stage, failed_jobs, start_again
from hibana.store.server import up

PR_SET_CHILD_SUBREAPER = 36
GRACE = 5.0
"""Seconds between a job's walltime and its end by SIGKILL."""

OPERATOR = 6
"""How often the operator starts failed jobs again."""

LAST_KILL = 0.7
"""Share of the jobs of the submission that are done, at most, when the last kill falls due."""


def in_a_process(work: Callable[[], Any], log: Path) -> int:
    """Do some work in a forked process of its own session, its output in a log; its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work()
    finally:
        os._exit(0)


def scheduler(orders: dict[str, Any], jobs: int, walltime: float, folder: Path) -> None:
    """Keep so many jobs running, each with a walltime; one job is one launcher. Those of a scheduler before are adopted."""
    running = folder / "running"
    running.mkdir(exist_ok=True)
    while True:
        reap()
        now = time.time()
        for job in list(running.iterdir()):
            begun = float(job.read_text() or now)
            if not is_alive(int(job.name)):
                job.unlink(missing_ok=True)
            elif now > begun + walltime + GRACE:
                kill(int(job.name), signal.SIGKILL)
        if len(list(running.iterdir())) < jobs:
            deadline = now + walltime
            own = Orders(**orders, deadline=deadline, last_start=deadline - 0.3 * walltime, poll_seconds=0.2)
            pid = in_a_process(lambda own=own: launch(own), folder / "launchers.log")
            (running / str(pid)).write_text(str(now))
        time.sleep(0.1)


def reap() -> None:
    """Collect processes that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@dataclass
class RoughQueue:
    """Runs what is submitted to a rehearsal's store to its end, while everything is killed now and then.

    Kills fall due when so many jobs are done, so that a fast machine meets all of them as a slow one does.

    Parameters
    ----------
    stage
        The rehearsal.
    launchpad
        Its launchpad.
    seed
        Of the times and victims.
    jobs, walltime
        Launchers side by side, and how long each may run, s.
    kills
        Victims before the machine calms down: launchers, store, scheduler.
    patience
        Seconds after which it should be over.
    """

    stage: Stage
    launchpad: Any
    seed: int
    jobs: int = 2
    walltime: float = 40.0
    kills: tuple[str, ...] = ()
    patience: float = 900.0
    log: list[str] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Run until nothing is left; what failed is started again."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        end = time.monotonic() + self.patience
        rng = random.Random(self.seed)
        victims = list(self.kills)
        rng.shuffle(victims)
        leader = self._start_scheduler()
        jobs = self.launchpad.fireworks.count_documents({})
        due = sorted(rng.uniform(1, LAST_KILL * jobs) for _ in victims)
        again = 0
        try:
            while time.monotonic() < end:
                time.sleep(0.3)
                reap()
                with contextlib.suppress(PyMongoError):
                    if due and self.states().get("COMPLETED", 0) >= due[0]:
                        due.pop(0)
                        time.sleep(rng.uniform(0, 1))
                        leader = self._strike(victims.pop(), leader, rng)
                    recover(self.launchpad)
                    if self._is_over():
                        failed = failed_jobs(self.launchpad)
                        self.failures.update(failed.values())
                        if not failed or again == OPERATOR:
                            return
                        again += 1
                        start_again(self.launchpad, failed)
            raise AssertionError(f"not over after {self.patience} s: {self.states()}; {self.log}")
        finally:
            kill(leader, signal.SIGKILL)
            for pid in self._launchers():
                kill(pid, signal.SIGKILL)
            time.sleep(0.5)
            reap()
            recover(self.launchpad)

    def states(self) -> dict[str, int]:
        """Fireworks by state."""
        return dict(Counter(doc["state"] for doc in self.launchpad.fireworks.find({}, {"state": 1})))

    def _is_over(self) -> bool:
        return not set(self.states()) & {"READY", "RUNNING", "RESERVED"}

    def _launchers(self) -> list[int]:
        folder = self.stage.folder / "running"
        return [int(job.name) for job in folder.iterdir() if is_alive(int(job.name))] if folder.is_dir() else []

    def _start_scheduler(self) -> int:
        orders = {
            "launchpad_file": str(self.stage.launchpad_file),
            "fworker_file": str(self.stage.folder / "my_fworker.yaml"),
            "directory": str(self.stage.folder / "launches"),
        }
        (self.stage.folder / "launches").mkdir(exist_ok=True)
        folder = self.stage.folder
        return in_a_process(lambda: scheduler(orders, self.jobs, self.walltime, folder), folder / "scheduler.log")

    def _strike(self, victim: str, leader: int, rng: random.Random) -> int:
        """Kill one thing; the scheduler's process afterwards."""
        self.log.append(f"{victim} at {time.strftime('%H:%M:%S')}")
        if victim == "launcher" and (launchers := self._launchers()):
            kill(rng.choice(launchers), signal.SIGKILL)
        elif victim == "scheduler":
            kill(leader, signal.SIGKILL)
            reap()
            return self._start_scheduler()
        elif victim == "store":
            self._kill_store()
        return leader

    def _kill_store(self) -> None:
        directory = self.stage.folder / "store"
        state = up(directory)
        assert state.pid is not None
        kill(state.pid, signal.SIGKILL)
        time.sleep(0.5)
        up(directory, state.port)


def write_rates(path: Path, seed: int, **more: Any) -> Path:
    """A table of faults from which every run comes back with its numbers unharmed."""
    errors = ["brmix", "eddrmm", "edddav", "subspacematrix", "posmap", "inv_rot_mat", "too_few_bands"]
    rates = {
        "error": 0.08,
        "oscillate": 0.04,
        "truncate": 0.03,
        "signal": 0.05,
        "hang": 0.02,
        "deaf": 0.02,
        "slow": 0.1,
        "disk": 0.02,
    }
    table = {"seed": seed, "attempts": 2, "errors": errors, "rates": rates, "seconds": {"hang": 2, "deaf": 2, "slow": 2}}
    path.write_text(json.dumps({**table, **more}))
    return path
