"""The launcher processes of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.launch.errors import LAUNCHERS_DIE
from hibana.launch.launcher import Orders

if TYPE_CHECKING:
    from fireworks import FWorker

    from hibana.launch.launchpad import HibanaLaunchPad

STOP_SECONDS = 60.0
"""How long launchers get to stop cleanly before they are killed; a killed one is recovered by the next run."""

MAX_REPLACED = 5
"""So many launchers may die by themselves before the run is given up."""


class Crew(ABC):
    """Launchers under the same orders.

    Parameters
    ----------
    orders
        What they are told.
    """

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.noticed = False
        self._died = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is begun: the time is over, or the queue wants its job to end."""
        return self.noticed or self.orders.is_over

    @abstractmethod
    def processes(self) -> Mapping[int, subprocess.Popen[bytes]]:
        """The launchers by number."""

    @abstractmethod
    def begin(self) -> None:
        """Start the launchers."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a launcher works, or looks for work."""

    @abstractmethod
    def replace_dead(self) -> bool:
        """See after launchers that died; whether there was one."""

    @abstractmethod
    def finds_work(self) -> bool:
        """Whether there is something to run for launchers that are not busy."""

    @abstractmethod
    def call_back(self) -> None:
        """Give launchers that found nothing to do something to do."""

    def packing(self) -> dict[str, Any] | None:
        """How the cores were used; None where that is not counted."""
        return None

    def wait(self) -> None:
        """Wait until the next look."""
        time.sleep(self.orders.poll_seconds)

    def pass_on(self) -> None:
        """Tell the launchers that the queue wants the job to end; nothing more is begun."""
        self.noticed = True
        for process in self.processes().values():
            if process.poll() is None:
                process.send_signal(signal.SIGUSR1)

    def stop(self) -> None:
        """Ask all to stop, and kill those that do not."""
        living = [process for process in self.processes().values() if process.poll() is None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in living:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def count_death(self, number: int) -> None:
        """Count a launcher that died.

        Raises
        ------
        HibanaError
            HIB-117 if too many have.
        """
        self._died += 1
        if self._died > MAX_REPLACED:
            raise LAUNCHERS_DIE.error(f"{self._died} launchers have died", where=self.log(number))

    def start(
        self, number: int, *, takes: int = subprocess.DEVNULL, replies: int | None = None, keep: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a launcher.

        Parameters
        ----------
        number
            Its number.
        takes
            Its standard input.
        replies
            File descriptor on which it answers.
        keep
            File descriptors that it inherits.
        """
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        with self.log(number).open("ab") as log:
            return subprocess.Popen(
                replace(self.orders, replies=replies).command(),
                cwd=self.orders.directory,
                env=environment,
                stdin=takes,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=keep,
                bufsize=0,
            )

    def log(self, number: int) -> Path:
        """Log of a launcher."""
        return Path(self.orders.directory) / f"launcher-{number}.log"


class Launchers(Crew):
    """So many launchers, each of which takes one run after the other.

    Parameters
    ----------
    orders
        What they are told.
    size
        How many.
    launchpad
        Where the work is.
    fworker
        The worker they are.
    """

    def __init__(self, orders: Orders, size: int, launchpad: HibanaLaunchPad, fworker: FWorker) -> None:
        super().__init__(orders)
        self._size = size
        self._launchpad = launchpad
        self._fworker = fworker
        self._members: dict[int, subprocess.Popen[bytes]] = {}

    def processes(self) -> Mapping[int, subprocess.Popen[bytes]]:
        """As :meth:`Crew.processes`."""
        return self._members

    def begin(self) -> None:
        """As :meth:`Crew.begin`."""
        for number in range(1, self._size + 1):
            self._enlist(number)

    def is_busy(self) -> bool:
        """As :meth:`Crew.is_busy`."""
        return any(member.poll() is None for member in self._members.values())

    def replace_dead(self) -> bool:
        """Start another launcher for each that died; whether there was one. After a notice none is replaced."""
        dead = [number for number, member in self._members.items() if member.poll() not in (None, 0)]
        if self.noticed:
            return False
        for number in dead:
            self.count_death(number)
            self._enlist(number)
        return bool(dead)

    def finds_work(self) -> bool:
        """As :meth:`Crew.finds_work`."""
        return self._launchpad.run_exists(self._fworker)

    def call_back(self) -> None:
        """Start the launchers again that found nothing to do."""
        for number, member in list(self._members.items()):
            if member.poll() == 0:
                self._enlist(number)

    def _enlist(self, number: int) -> None:
        if self.noticed:
            return
        self._members[number] = self.start(number)
        if self.noticed:  # just now, before it was there
            self._members[number].send_signal(signal.SIGUSR1)
