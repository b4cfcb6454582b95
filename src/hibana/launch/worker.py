"""``hibana run``: recover what was lost, then run launchers side by side until nothing is left to run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hibana.launch.errors import LAUNCHERS_DIE, UNWRITABLE_LAUNCHES
from hibana.launch.launcher import Orders, is_active, read_fworker
from hibana.launch.recover import recover

if TYPE_CHECKING:
    from fireworks import FWorker

    from hibana.launch.launchpad import HibanaLaunchPad

STATES = ("READY", "WAITING", "RESERVED", "RUNNING", "COMPLETED", "FIZZLED", "PAUSED", "DEFUSED", "ARCHIVED")
RECOVER_SECONDS = 60.0
STOP_SECONDS = 60.0
"""How long launchers get to stop cleanly before they are killed; a killed one is recovered by the next run."""

SPARE_SECONDS, SPARE_SHARE = 60.0, 0.1
"""With less than this left of a timeout (seconds, or share of it), no job is started any more."""

MAX_REPLACED = 5
"""So many launchers may die by themselves before the run is given up."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Parameters
    ----------
    counts
        Fireworks in each of FireWorks' states.
    running
        Names of the jobs that run.
    seconds
        Since the start.
    """

    counts: Mapping[str, int]
    running: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    counts: Mapping[str, int]
    seconds: float
    stopped: bool = False
    recovered: Mapping[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Jobs that could still run."""
        return sum(self.counts.get(state, 0) for state in ("READY", "RESERVED", "RUNNING"))

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "counts": dict(self.counts),
            "seconds": round(self.seconds, 1),
            "stopped": self.stopped,
            "left": self.left,
            "recovered": dict(self.recovered),
        }


def run_workers(
    launchpad: HibanaLaunchPad,
    launchpad_file: Path,
    *,
    workers: int = 1,
    fworker_file: Path | None = None,
    directory: Path = Path("launches"),
    timeout: float | None = None,
    poll_seconds: float = 1.0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> RunSummary:
    """Run all that is ready, with several launchers side by side, until nothing is left.

    What a killed launcher left behind is recovered at the start and every minute. Ctrl-C (or SIGTERM) stops the launchers
    cleanly: their jobs are made ready again and go on with the next run.

    Parameters
    ----------
    launchpad, launchpad_file
        The launchpad, and the file that the launchers read it from.
    workers
        Number of launchers.
    fworker_file
        FireWorks worker file.
    directory
        Where the folders of the launches and the launchers' logs go.
    timeout
        Seconds after which all ends; runs are stopped cleanly before it.
    poll_seconds
        How often to look.
    on_progress
        Called at every look.

    Raises
    ------
    HibanaError
        HIB-113 (worker file), HIB-117 (launchers die), HIB-118 (folder).
    """
    started = time.monotonic()
    fworker = read_fworker(None if fworker_file is None else str(fworker_file))
    folder = _writable(directory)
    recovered = recover(launchpad)
    deadline = None if timeout is None else time.time() + timeout
    orders = Orders(
        launchpad_file=str(launchpad_file.resolve()),
        fworker_file=None if fworker_file is None else str(fworker_file.resolve()),
        directory=str(folder),
        last_start=None if deadline is None else deadline - min(SPARE_SECONDS, SPARE_SHARE * (timeout or 0)),
        deadline=deadline,
        poll_seconds=poll_seconds,
    )
    crew = _Crew(orders, workers)
    stopped = False
    try:
        with _sigterm_as_interrupt():
            _watch(crew, launchpad, fworker, started, poll_seconds, on_progress)
    except KeyboardInterrupt:
        stopped = True
    finally:
        crew.stop()
    if stopped:
        recover(launchpad)
    return RunSummary(count_states(launchpad), time.monotonic() - started, stopped, recovered.as_dict())


def count_states(launchpad: HibanaLaunchPad) -> dict[str, int]:
    """Number of Fireworks in each state; states that do not occur are left out."""
    counts = {state: launchpad.fireworks.count_documents({"state": state}) for state in STATES}
    return {state: count for state, count in counts.items() if count}


class _Crew:
    """The launcher processes of a run."""

    def __init__(self, orders: Orders, size: int) -> None:
        self.orders = orders
        self.died = 0
        self.members = [self._start(number) for number in range(1, size + 1)]

    def living(self) -> int:
        return sum(member.poll() is None for member in self.members)

    def replace_dead(self) -> bool:
        """Start another launcher for each that died; whether there was one."""
        dead = [number for number, member in enumerate(self.members, 1) if member.poll() not in (None, 0)]
        for number in dead:
            self.died += 1
            if self.died > MAX_REPLACED:
                raise LAUNCHERS_DIE.error(f"{self.died} launchers have died", where=self._log(number))
            self.members[number - 1] = self._start(number)
        return bool(dead)

    def call_back(self) -> None:
        """Start the launchers again that found nothing to do."""
        for number, member in enumerate(self.members, 1):
            if member.poll() == 0:
                self.members[number - 1] = self._start(number)

    def stop(self) -> None:
        """Ask all to stop, and kill those that do not."""
        for member in self.members:
            if member.poll() is None:
                member.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for member in self.members:
            try:
                member.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        with self._log(number).open("ab") as log:
            return subprocess.Popen(
                self.orders.command(),
                cwd=self.orders.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _log(self, number: int) -> Path:
        return Path(self.orders.directory) / f"launcher-{number}.log"


def _watch(
    crew: _Crew,
    launchpad: HibanaLaunchPad,
    fworker: FWorker,
    started: float,
    poll_seconds: float,
    on_progress: Callable[[Progress], None],
) -> None:
    """Watch the launchers until they have ended and nothing is left."""
    recovered = time.monotonic()
    while True:
        on_progress(_progress(launchpad, time.monotonic() - started))
        if crew.replace_dead() or time.monotonic() - recovered > RECOVER_SECONDS:
            recover(launchpad)
            recovered = time.monotonic()
        if not crew.living():
            if crew.orders.is_over:
                return
            recover(launchpad)
            if not (launchpad.run_exists(fworker) or is_active(launchpad)):
                return
            crew.call_back()
        time.sleep(poll_seconds)


def _progress(launchpad: HibanaLaunchPad, seconds: float) -> Progress:
    running = launchpad.fireworks.find({"state": "RUNNING"}, {"name": 1}).sort("fw_id", 1).limit(20)
    return Progress(count_states(launchpad), tuple(item["name"] for item in running), seconds)


def _writable(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".hibana-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UNWRITABLE_LAUNCHES.error(error.strerror or str(error), where=directory) from error
    return directory.resolve()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, which batch systems send before the end, stop the run as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
