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

LOOK = 0.3
"""Seconds between two looks at the campaign."""

SHARE = 0.1
"""Share of the time that each question to the store takes, at most: a large campaign is asked less often."""

UNFINISHED = ("READY", "RUNNING", "RESERVED")
"""States of fireworks with which the campaign is not over."""

LAST_KILL = 0.7
"""Share of the jobs of the submission that are done, at most, when the last kill falls due."""


def load_what_launchers_need() -> None:
    """Import it once, and not in each of the many processes that are forked from this one."""
    import hibana.flows.calculation
    import hibana.flows.collect
    import hibana.flows.relax
    import hibana.launch.job_outputs
    import hibana.launch.launchpad
    import hibana.vasp.gates
    import hibana.vasp.reader
    import hibana.vasp.run  # noqa: F401
    from hibana.protocol.binding import load_vise

    load_vise()


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


class Paced:
    """A question that is asked as often as its share of the time allows, and answered by None in between.

    Parameters
    ----------
    ask
        The question.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._next = 0.0

    def __call__(self) -> Any:
        """The answer, if it is time."""
        begun = time.monotonic()
        if begun < self._next:
            return None
        try:
            return self._ask()
        finally:
            now = time.monotonic()
            self._next = now + (now - begun) * (1 / SHARE - 1)


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
    _leader: int = field(default=0, init=False)
    _repeats: int = field(default=0, init=False)

    def run(self) -> None:
        """Run until nothing is left; what failed is started again."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        load_what_launchers_need()
        end = time.monotonic() + self.patience
        rng = random.Random(self.seed)
        victims = list(self.kills)
        rng.shuffle(victims)
        self._leader = self._start_scheduler()
        jobs = self.launchpad.fireworks.count_documents({})
        due = sorted(rng.uniform(1, LAST_KILL * jobs) for _ in victims)
        done, mend, over = Paced(self._completed), Paced(lambda: recover(self.launchpad)), Paced(self._is_over)
        try:
            while time.monotonic() < end:
                time.sleep(LOOK)
                reap()
                with contextlib.suppress(PyMongoError):
                    if due and (done() or 0) >= due[0]:
                        due.pop(0)
                        time.sleep(rng.uniform(0, 1))
                        self._strike(victims.pop(), rng)
                    mend()
                    if over():
                        return
            raise AssertionError(f"not over after {self.patience} s: {self.states()}; {self.log}")
        finally:
            kill(self._leader, signal.SIGKILL)
            for pid in self._launchers():
                kill(pid, signal.SIGKILL)
            time.sleep(0.5)
            reap()
            recover(self.launchpad)

    def states(self) -> dict[str, int]:
        """Fireworks by state."""
        return dict(Counter(doc["state"] for doc in self.launchpad.fireworks.find({}, {"state": 1})))

    def _completed(self) -> int:
        return int(self.launchpad.fireworks.count_documents({"state": "COMPLETED"}))

    def _is_over(self) -> bool:
        """Whether nothing is left to run; failed jobs are started again."""
        if any(self.launchpad.fireworks.find_one({"state": state}, {"_id": 1}) for state in UNFINISHED):
            return False
        failed = failed_jobs(self.launchpad)
        self.failures.update(failed.values())
        if not failed or self._repeats == OPERATOR:
            return True
        self._repeats += 1
        start_again(self.launchpad, failed)
        return False

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

    def _strike(self, victim: str, rng: random.Random) -> None:
        """Kill one thing; a scheduler and a store are started again."""
        self.log.append(f"{victim} at {time.strftime('%H:%M:%S')}")
        if victim == "launcher" and (launchers := self._launchers()):
            kill(rng.choice(launchers), signal.SIGKILL)
        elif victim == "scheduler":
            kill(self._leader, signal.SIGKILL)
            reap()
            self._leader = self._start_scheduler()
        elif victim == "store":
            self._kill_store()

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
