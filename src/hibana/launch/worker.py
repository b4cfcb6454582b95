"""``hibana run``: recover what was lost, then run launchers side by side until nothing is left to run."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hibana.launch.crew import Crew, Launchers
from hibana.launch.errors import UNWRITABLE_LAUNCHES
from hibana.launch.launcher import Orders, is_active, read_fworker
from hibana.launch.notice import heeding
from hibana.launch.packers import Pack, Packers
from hibana.launch.recover import recover
from hibana.launch.relay import Watch
from hibana.launch.schedulers import time_left
from hibana.store.patience import patiently

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

LOG = logging.getLogger(__name__)

STATES = ("READY", "WAITING", "RESERVED", "RUNNING", "COMPLETED", "FIZZLED", "PAUSED", "DEFUSED", "ARCHIVED")
RECOVER_SECONDS = 30.0
"""How often lost runs are looked for: half a heartbeat, so that they are found within three."""

SPARE_SECONDS, SPARE_SHARE = 60.0, 0.1
"""With less than this left of a timeout (seconds, or share of it), no job is started any more."""


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
    """How a run ended; `packing` says how its cores were used, where runs shared an allocation."""

    counts: Mapping[str, int]
    seconds: float
    stopped: bool = False
    recovered: Mapping[str, Any] = field(default_factory=dict)
    packing: Mapping[str, Any] | None = None

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
            "packing": None if self.packing is None else dict(self.packing),
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
    pack: Pack | None = None,
    relay: Path | None = None,
) -> RunSummary:
    """Run all that is ready, with several launchers side by side, until nothing is left.

    What a killed launcher left behind is recovered at the start and every half minute. Ctrl-C (or SIGTERM) stops the launchers
    cleanly: their jobs are made ready again and go on with the next run. A notice of the queue (SIGUSR1, SIGUSR2, SIGXCPU) is
    passed on to the launchers, which stop the code at its next step; nothing more is begun.

    Parameters
    ----------
    launchpad, launchpad_file
        The launchpad, and the file that the launchers read it from.
    workers
        Number of launchers; without meaning for packed runs.
    fworker_file
        FireWorks worker file.
    directory
        Where the folders of the launches and the launchers' logs go.
    timeout
        Seconds after which all ends; runs are stopped cleanly before it. In a job of a queue it ends with the job at the latest.
    poll_seconds
        How often to look.
    on_progress
        Called at every look.
    pack
        Cores that the runs share, each with as many as it needs; None for launchers that take one run after the other.
    relay
        Folder of the relay (:mod:`hibana.launch.relay`) through which ``vasp_cmd`` runs the code; all ends with it.

    Raises
    ------
    HibanaError
        HIB-113 (worker file), HIB-117 (launchers die), HIB-118 (folder).
    """
    started = time.monotonic()
    fworker = read_fworker(None if fworker_file is None else str(fworker_file))
    folder = _writable(directory)
    timeout = min((limit for limit in (timeout, time_left()) if limit is not None), default=None)
    deadline = None if timeout is None else time.time() + timeout
    orders = Orders(
        launchpad_file=str(launchpad_file.resolve()),
        fworker_file=None if fworker_file is None else str(fworker_file.resolve()),
        directory=str(folder),
        last_start=None if deadline is None else deadline - min(SPARE_SECONDS, SPARE_SHARE * (timeout or 0)),
        deadline=deadline,
        poll_seconds=poll_seconds,
    )
    notice = threading.Event()
    crew: Crew = Launchers(orders, workers, launchpad, fworker) if pack is None else Packers(orders, pack, launchpad, fworker)
    stopped = False
    with _sigterm_as_interrupt(), heeding(notice, crew.pass_on):
        try:
            recovered = recover(launchpad)
            _watch(crew, launchpad, started, on_progress, None if relay is None else Watch(relay))
        except KeyboardInterrupt:
            stopped = True
        finally:
            crew.stop()
    if stopped or crew.is_over:
        recover(launchpad)
    seconds = time.monotonic() - started
    return RunSummary(count_states(launchpad), seconds, stopped, recovered.as_dict(), crew.packing())


def count_states(launchpad: HibanaLaunchPad) -> dict[str, int]:
    """Number of Fireworks in each state; states that do not occur are left out."""

    def count() -> dict[str, int]:
        return {state: launchpad.fireworks.count_documents({"state": state}) for state in STATES}

    return {state: number for state, number in patiently(count).items() if number}


def _watch(
    crew: Crew,
    launchpad: HibanaLaunchPad,
    started: float,
    on_progress: Callable[[Progress], None],
    relay: Watch | None,
) -> None:
    """Watch the launchers until they have ended and nothing is left.

    Raises
    ------
    KeyboardInterrupt
        If the relay is gone.
    """
    recovered = time.monotonic()
    crew.begin()
    while True:
        on_progress(_progress(launchpad, time.monotonic() - started))
        if relay is not None:
            _heed(relay, crew)
        if crew.replace_dead() or time.monotonic() - recovered > RECOVER_SECONDS:
            recover(launchpad)
            recovered = time.monotonic()
        if not crew.is_busy():
            if crew.is_over:
                return
            recover(launchpad)
            if not (crew.finds_work() or is_active(launchpad)):
                return
            crew.call_back()
        crew.wait()


def _heed(relay: Watch, crew: Crew) -> None:
    """Stop with the relay: its commands have ended with it, and say nothing of the materials."""
    gone, notice = relay.look()
    if gone:
        LOG.warning("the relay is gone; stopping")
        raise KeyboardInterrupt
    if notice and not crew.noticed:
        crew.pass_on()


def _progress(launchpad: HibanaLaunchPad, seconds: float) -> Progress:
    running = launchpad.p_fireworks.all({"state": "RUNNING"}, {"name": 1}, [("fw_id", 1)], 20)
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
