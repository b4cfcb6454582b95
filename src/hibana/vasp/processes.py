"""The processes of one run: told apart from everybody else's, found again, and ended.

Every process that a run starts carries the run's mark in its environment, which its children inherit, whatever sessions and
process groups an MPI launcher makes for them. Where a whole tree was torn apart by SIGKILL, some of it may go on calculating in
a folder that nobody watches: a ghost. It is found by the mark, or by the process group it shares with a marked process. A mark
is a random number of 128 bits and is used once; process ids, which are used again, decide nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

MARK = "HIBANA_RUN"
"""Environment variable with the mark of a run."""

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

PAUSE = 0.05

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process that runs now.

    Parameters
    ----------
    pid
        Process id.
    started
        Start in clock ticks since boot.
    group
        Process group.
    command
        Name of its executable, for people.
    """

    pid: int
    started: int
    group: int
    command: str


def new_mark() -> str:
    """A mark that no other run has."""
    return uuid.uuid4().hex


def processes_of(mark: str) -> list[Process]:
    """The living processes of a run on this machine, as far as this user may see; empty where the system does not tell.

    Parameters
    ----------
    mark
        The run's mark.
    """
    if not mark:
        return []
    sought = f"{MARK}={mark}".encode()
    own = {os.getpid(), os.getppid()}
    seen = [found for pid in _pids() if pid not in own and (found := _process(pid)) is not None]
    marked = [found for found in seen if _carries(found.pid, sought)]
    groups = {found.group for found in marked} - {os.getpgrp()}
    return [found for found in seen if found in marked or found.group in groups]


def end_processes(mark: str, grace: float = GRACE) -> list[Process]:
    """End what is left of a run on this machine: SIGTERM, and SIGKILL to what remains after the grace.

    Parameters
    ----------
    mark
        The run's mark.
    grace
        Seconds between the two.

    Returns
    -------
    list of Process
        What was found.
    """
    found = processes_of(mark)
    for process in found:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(_lives(process) for process in found):
        time.sleep(PAUSE)
    # what was started meanwhile by one of them is found now
    for process in {*found, *processes_of(mark)}:
        _signal(process, signal.SIGKILL)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(_lives(process) for process in found):
        time.sleep(PAUSE)
    return found


def _signal(process: Process, number: signal.Signals) -> None:
    """Send a signal to this very process: the descriptor cannot come to mean another one between the look and the signal."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError as error:
        if error.errno == errno.ENOSYS and _lives(process):  # kernels before 5.3
            with contextlib.suppress(OSError):
                os.kill(process.pid, number)
        return
    try:
        if _lives(process):
            signal.pidfd_send_signal(handle, number)
    except OSError:  # it has ended, or is somebody else's by now
        return
    finally:
        os.close(handle)


def _lives(process: Process) -> bool:
    now = _process(process.pid)
    return now is not None and now.started == process.started


def _pids() -> list[int]:
    try:
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    except OSError:
        return []


def _process(pid: int) -> Process | None:
    """A process; None if it has ended, is a zombie, or belongs to another user."""
    folder = _PROC / str(pid)
    try:
        if folder.stat().st_uid != os.getuid():
            return None
        text = (folder / "stat").read_text(errors="replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]), int(fields[2]), head.partition("(")[2])


def _carries(pid: int, sought: bytes) -> bool:
    try:
        return sought in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
