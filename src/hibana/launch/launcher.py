"""One launcher process (``python -m hibana.launch.launcher``).

It takes what is ready, runs it, and ends when nothing is left; or, where many share an allocation, runs what it is told to.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fireworks import FWorker

    from hibana.launch.launchpad import HibanaLaunchPad

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Orders:
    """What a launcher is told; no passwords, they stay in the launchpad file.

    Parameters
    ----------
    launchpad_file
        FireWorks launchpad file.
    fworker_file
        FireWorks worker file; None for a worker with no settings.
    directory
        Where the folders of the launches are made.
    last_start, deadline
        Times (seconds since 1970) from which on no job is started, and before which runs are stopped cleanly.
    poll_seconds
        How often to look for something to run while others are still running.
    replies
        File descriptor on which each :class:`Assignment` of the standard input is answered; None for a launcher that finds its
        work itself.
    """

    launchpad_file: str
    fworker_file: str | None
    directory: str
    last_start: float | None = None
    deadline: float | None = None
    poll_seconds: float = 1.0
    replies: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is too late to start a job."""
        return self.last_start is not None and time.time() >= self.last_start

    def command(self) -> list[str]:
        """Command line of a launcher with these orders."""
        return [sys.executable, "-m", "hibana.launch.launcher", json.dumps(asdict(self))]


@dataclass(frozen=True)
class Assignment:
    """A firework to run, and on what.

    Parameters
    ----------
    fw_id
        The firework.
    processes, threads
        MPI processes, and threads of each; None for what the worker file says.
    cpus
        CPUs of this machine on which it is to run; empty for all.
    """

    fw_id: int
    processes: int | None = None
    threads: int = 1
    cpus: tuple[int, ...] = ()

    def line(self) -> bytes:
        """The assignment as it is sent."""
        return (json.dumps(asdict(self)) + "\n").encode()

    def worker(self, fworker: FWorker) -> FWorker:
        """The worker with the cores of this run."""
        from copy import deepcopy

        from hibana.launch.firetasks import CORES, CPUS, THREADS

        own = deepcopy(fworker)
        if self.processes is not None:
            own.env = {**(own.env or {}), CORES: self.processes, THREADS: self.threads, CPUS: ",".join(map(str, self.cpus))}
        return own


def launch(orders: Orders) -> None:
    """Run what is ready until nothing is left, the deadline is reached, or the process is asked to stop.

    A job that is interrupted by the request to stop is left RUNNING and is made ready again by whoever recovers next.
    """
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.stopping import STOP

    with _listening():
        launchpad = HibanaLaunchPad.connect(Path(orders.launchpad_file))
        fworker = read_fworker(orders.fworker_file, orders.deadline)
        while not STOP.asked and not orders.is_over:
            if launchpad.run_exists(fworker):
                _launch_one(launchpad, fworker, Path(orders.directory))
            elif not is_active(launchpad):
                break
            else:
                time.sleep(orders.poll_seconds)


def serve(orders: Orders) -> None:
    """Run the fireworks that are assigned on the standard input, each answered by a line, until it is closed.

    A job that is interrupted by the request to stop is left RUNNING and is made ready again by whoever recovers next.
    """
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.stopping import STOP

    assert orders.replies is not None
    os.set_inheritable(orders.replies, False)
    inbox = os.fdopen(os.dup(0), "rb", buffering=0)
    with Path(os.devnull).open("rb") as nothing:  # the code that is started must not read the assignments
        os.dup2(nothing.fileno(), 0)
    with _listening(), os.fdopen(orders.replies, "wb", buffering=0) as outbox:
        launchpad = HibanaLaunchPad.connect(Path(orders.launchpad_file))
        fworker = read_fworker(orders.fworker_file, orders.deadline)
        while not STOP.asked and (line := inbox.readline()):
            fields = json.loads(line)
            assignment = Assignment(**{**fields, "cpus": tuple(fields["cpus"])})
            with _on(assignment):
                ran = _launch_one(launchpad, assignment.worker(fworker), Path(orders.directory), assignment.fw_id)
            outbox.write((json.dumps({"fw_id": assignment.fw_id, "ran": ran}) + "\n").encode())


@contextmanager
def _listening() -> Iterator[None]:
    """Heed SIGTERM and the notices of a queue, also between two jobs."""
    from hibana.launch.notice import heeding
    from hibana.launch.stopping import STOP

    STOP.listen()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with heeding(threading.Event(), STOP.ask):
        yield


@contextmanager
def _on(assignment: Assignment) -> Iterator[None]:
    """Let what is started in the block run on the CPUs of an assignment, with its threads."""
    everywhere, threads = os.sched_getaffinity(0), os.environ["OMP_NUM_THREADS"]
    if assignment.cpus:
        os.sched_setaffinity(0, assignment.cpus)
    if assignment.processes is not None:
        os.environ["OMP_NUM_THREADS"] = str(assignment.threads)
    try:
        yield
    finally:
        os.environ["OMP_NUM_THREADS"] = threads
        os.sched_setaffinity(0, everywhere)


def read_fworker(path: str | None, deadline: float | None = None) -> FWorker:
    """The worker of a file.

    Parameters
    ----------
    path
        FireWorks worker file; None for a worker named ``local`` without settings.
    deadline
        Time (seconds since 1970) at which all its runs must have ended.

    Raises
    ------
    HibanaError
        HIB-113 if the file cannot be used.
    """
    from fireworks import FWorker

    from hibana.launch.firetasks import DEADLINE
    from hibana.launch.worker_file import read_worker_file

    worker = FWorker(name="local") if path is None else FWorker.from_dict(read_worker_file(Path(path)))
    if deadline is not None:
        worker.env = {**(worker.env or {}), DEADLINE: deadline}
    return worker


def is_active(launchpad: HibanaLaunchPad) -> bool:
    """Whether something runs, after which there may be more to run; what waits in a queue is not waited for."""
    return launchpad.p_fireworks.one({"state": "RUNNING"}, {"_id": 1}) is not None


def _launch_one(launchpad: HibanaLaunchPad, fworker: FWorker, directory: Path, fw_id: int | None = None) -> bool:
    """Run the next Firework, or the one that is named, in a folder of its own; False if there was none."""
    from fireworks.core.rocket_launcher import launch_rocket
    from fireworks.utilities.fw_utilities import create_datestamp_dir

    folder = Path(create_datestamp_dir(str(directory), LOG, prefix="launcher_"))
    os.chdir(folder)
    ran = launch_rocket(launchpad, fworker, fw_id=fw_id, strm_lvl="INFO")
    os.chdir(directory)
    if not any(folder.iterdir()):
        folder.rmdir()
    return bool(ran)


def _log_to_output() -> None:
    """Say which job runs and what hibana does; FireWorks' own loggers have handlers already."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("hibana", "jobflow"):
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)


if __name__ == "__main__":
    _log_to_output()
    told = Orders(**json.loads(sys.argv[1]))
    (launch if told.replies is None else serve)(told)
