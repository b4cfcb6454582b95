"""Stopping a launcher cleanly: the code ends, the lease is given back, and the job can be run again at once.

FireWorks would take the interruption of a job for its failure (FIZZLED) and let its children go on without it. So the process
ends while its Firework is RUNNING; :func:`hibana.launch.recover.recover` sees that its process is gone and makes it READY.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

LOG = logging.getLogger(__name__)


class Stopped(BaseException):
    """The launcher was asked to stop while a job ran."""


class StopSignal:
    """Remembers that this process was asked to stop, and interrupts a job that runs."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._inside = False
        self._interrupted = False

    @property
    def asked(self) -> bool:
        """Whether this process was asked to stop."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask this process to start nothing more, without interrupting the job that runs."""
        self._asked.set()

    def listen(self) -> None:
        """Stop on SIGTERM; leave SIGINT, which the terminal sends to all, to the process that started this one."""
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A block in which a job runs. Asked to stop, the block is left, its clean-up is done, and the process ends."""
        try:
            self._inside = True
            if self.asked:
                raise Stopped
            yield
        except Stopped:
            LOG.info("stopped; the job will be run again")
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0)
        finally:
            self._inside = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        already, self._interrupted = self._interrupted, True
        self._asked.set()
        if self._inside and not already:  # a notice before it has interrupted nothing
            raise Stopped


STOP = StopSignal()
"""Of this process."""
