"""Signals by which a queue says that a job's time is over sooner than was known: preemption, a warning before the limit.

SIGUSR1, SIGUSR2 and SIGXCPU are such notices (``#SBATCH --signal=B:USR1@300``, ``qsub -notify``). The code that runs is stopped
cleanly and goes on in another job, as at the walltime. SIGTERM leaves no time and ends the run at once.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NOTICES = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)

LOG = logging.getLogger(__name__)


@contextmanager
def heeding(notice: threading.Event, also: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A block in which a queue's notice sets an event; elsewhere than in the main thread nothing is heeded.

    Parameters
    ----------
    notice
        Set at the first notice.
    also
        Called at every notice, in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        LOG.warning("%s: the queue wants this job to end; stopping the code cleanly", signal.Signals(number).name)
        notice.set()
        also()

    before = {number: signal.signal(number, handle) for number in NOTICES}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, signal.SIG_DFL if former is None else former)
