"""Run a command, and end it with all its processes when whoever started it is gone.

``python guard.py GRACE COMMAND...`` is started by :mod:`hibana.vasp.job` with a pipe for standard input that only the launcher
holds open. However the launcher ends, even by SIGKILL, the pipe closes; then the command's process group, an MPI launcher and
its ranks included, gets SIGTERM and, after a grace, SIGKILL. The same happens when this process is told to end. So no VASP
outlives its launcher and goes on writing into a folder that another run may use. Nothing but the standard library is imported
here: the file is run by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL, as hibana starts it."""

PAUSE = 0.05
"""Seconds between two looks at a command that is being ended."""

PR_SET_PDEATHSIG = 1
"""Linux: signal to get when the parent dies."""

NOT_STARTED = 127
"""Exit status for a command that cannot be started, as a shell gives it."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ended(Exception):  # noqa: N818 - no error
    """Raised where this process is told to end."""


def main(grace: float, command: list[str]) -> int:
    """Run the command; its exit status, or 128 and the number of the signal that ended it.

    Parameters
    ----------
    grace
        Seconds between SIGTERM and SIGKILL.
    command
        Executable and arguments.
    """
    for number in SIGNALS:
        signal.signal(number, _end)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_dying_with_parent())
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_STARTED
    try:
        _wait(child, os.getppid())
    except Ended:
        pass
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        _end_group(child, grace)
    status: int = child.wait()
    return status if status >= 0 else 128 - status


def _end(_number: int, _frame: object) -> None:
    raise Ended


def _wait(child: subprocess.Popen[bytes], launcher: int) -> None:
    """Return when the command has ended or the launcher is gone."""
    watched = [0]
    with contextlib.suppress(AttributeError, OSError):
        watched.append(os.pidfd_open(child.pid))
    while not _has_ended(child) and os.getppid() == launcher:
        ready, _, _ = select.select(watched, [], [], 1.0 if len(watched) > 1 else PAUSE)
        if 0 in ready and not os.read(0, 1):
            return


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the command has ended; it is not reaped, so that the number of its group stays its own."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(child: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM to the command's group, and SIGKILL to what is left of it after the grace or after the command's end."""
    if not _has_ended(child):
        os.killpg(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while not _has_ended(child) and time.monotonic() < deadline:
            time.sleep(PAUSE)
    os.killpg(child.pid, signal.SIGKILL)


def _dying_with_parent() -> Callable[[], object] | None:
    """What the command does before it starts: ask to be killed should this process be killed alone (Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
