"""Launchers that share an allocation: each run gets as many cores as it needs, and what ends makes room for what comes next."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hibana.flows.resources import Rows
from hibana.launch.cores import CorePool, Share
from hibana.launch.crew import Crew
from hibana.launch.experience import Experience
from hibana.launch.firetasks import CORES
from hibana.launch.launcher import Assignment, Orders
from hibana.launch.launchpad import worker_query
from hibana.launch.packing import PATIENCE_SECONDS, Choice, Ready, Room, Waiting, waiting

if TYPE_CHECKING:
    from fireworks import FWorker

    from hibana.launch.launchpad import HibanaLaunchPad

DESKS = 2
"""Jobs that calculate nothing (decisions, tables) at a time; they take a second and no cores."""

REFUSED_SECONDS = 60.0
"""A firework that could not be had is not tried again for so long."""

LEARN_SECONDS = 600.0
"""How often earlier runs are looked at again."""


LONGEST_REPLY = 4096
"""Bytes; a launcher answers once an assignment."""


@dataclass(frozen=True)
class Pack:
    """Cores that runs share.

    Parameters
    ----------
    cores
        How many.
    rows
        Table of the site: how many a cell needs. None: what the fireworks say, else ``cores`` of the worker file.
    pin
        Whether each run gets CPUs of its own, where the cores are all of this machine.
    patience
        Seconds after which a run is no longer passed over by smaller ones of its priority.
    """

    cores: int
    rows: Rows | None = None
    pin: bool = True
    patience: float = PATIENCE_SECONDS


@dataclass
class _Member:
    """A launcher, and what it does."""

    process: subprocess.Popen[bytes]
    replies: int
    busy: Waiting | None = None
    share: Share | None = None


@dataclass
class _Tally:
    """What is counted for the summary."""

    runs: int = 0
    most_at_once: int = 0
    begun: float = field(default_factory=time.monotonic)


class Packers(Crew):
    """Launchers that are told what to run.

    Parameters
    ----------
    orders
        What all are told.
    pack
        The cores.
    launchpad
        Where the work is.
    fworker
        The worker they are.
    """

    def __init__(self, orders: Orders, pack: Pack, launchpad: HibanaLaunchPad, fworker: FWorker) -> None:
        super().__init__(orders)
        self._launchpad = launchpad
        self._query = worker_query(fworker)
        self._default = int((fworker.env or {}).get(CORES) or 1)
        self._rows = pack.rows
        self._pool = CorePool(pack.cores, pin=pack.pin)
        self._experience = Experience(launchpad.db)
        self._learned = float("-inf")
        self._choice = Choice(self._expected, pack.patience)
        self._members: dict[int, _Member] = {}
        self._refused: dict[int, float] = {}
        self._whole = None if orders.deadline is None else orders.deadline - time.time()
        self._tally = _Tally()

    def processes(self) -> Mapping[int, subprocess.Popen[bytes]]:
        """As :meth:`Crew.processes`."""
        return {number: member.process for number, member in self._members.items()}

    def begin(self) -> None:
        """Give out the first work."""
        self._tally = _Tally()
        self.call_back()

    def is_busy(self) -> bool:
        """Give out work for what is free; whether anything runs."""
        self.call_back()
        return bool(self._busy())

    def replace_dead(self) -> bool:
        """Take the cores of launchers that ended; whether one left its work behind."""
        dead = [number for number, member in self._members.items() if member.process.poll() is not None]
        left = False
        for number in dead:
            member = self._members.pop(number)
            left = left or member.busy is not None
            self._free(member)
            _dismiss(member)
            os.close(member.replies)
            if member.process.returncode != 0 and not self.noticed:
                self.count_death(number)
        return left

    def finds_work(self) -> bool:
        """As :meth:`Crew.finds_work`: what is too large, or too long for the time left, is no work here."""
        return self._next(self._waiting()) is not None

    def call_back(self) -> None:
        """Start whatever there is room for."""
        if self.is_over or not (self._pool.free or self._desks()):
            return
        ready = self._waiting()
        while not self.is_over and (chosen := self._next(ready)) is not None:
            self._assign(chosen)

    def wait(self) -> None:
        """Wait until a run ends, but not longer than until the next look."""
        by_pipe = {member.replies: member for member in self._members.values() if member.busy is not None}
        if not by_pipe:
            super().wait()
            return
        readable, _, _ = select.select(list(by_pipe), [], [], self.orders.poll_seconds)
        for pipe in readable:
            self._take_reply(by_pipe[pipe])

    def stop(self) -> None:
        """As :meth:`Crew.stop`; launchers that have nothing to do end at once."""
        for member in self._members.values():
            _dismiss(member)
        super().stop()
        for member in self._members.values():
            self._free(member)
            os.close(member.replies)
        self._members.clear()

    def packing(self) -> dict[str, Any]:
        """How the cores were used."""
        available = self._pool.total * (time.monotonic() - self._tally.begun)
        return {
            "cores": self._pool.total,
            "runs": self._tally.runs,
            "most_at_once": self._tally.most_at_once,
            "core_seconds_used": round(self._pool.used_seconds, 1),
            "core_seconds_available": round(available, 1),
            "occupancy": round(self._pool.used_seconds / available, 4) if available > 0 else 0.0,
            "too_large": len(self._choice.too_large),
            "too_long": len(self._choice.too_long),
        }

    # -- choosing -----------------------------------------------------------------------------------------------------

    def _waiting(self) -> Ready:
        return waiting(self._launchpad, self._query, self._rows, self._default)

    def _next(self, ready: Ready) -> Waiting | None:
        now = time.monotonic()
        self._refused = {fw_id: until for fw_id, until in self._refused.items() if until > now}
        left = None if self.orders.deadline is None else self.orders.deadline - time.time()
        room = Room(self._pool.free, self._pool.total, self._desks(), left, self._whole)
        taken = {member.busy.fw_id for member in self._busy() if member.busy is not None} | self._refused.keys()
        return self._choice.next(ready, room, taken)

    def _desks(self) -> int:
        return DESKS - sum(member.share is None for member in self._busy())

    def _busy(self) -> list[_Member]:
        return [member for member in self._members.values() if member.busy is not None]

    def _expected(self, item: Waiting) -> float | None:
        """Seconds that a run will take, where the time is limited."""
        if self._whole is None or item.n_atoms is None or item.size is None:
            return None
        if time.monotonic() - self._learned > LEARN_SECONDS:
            self._experience.refresh()
            self._learned = time.monotonic()
        cost = self._experience.core_seconds(item.stage, item.n_atoms)
        return None if cost is None else cost / item.size.cores

    # -- launchers ----------------------------------------------------------------------------------------------------

    def _assign(self, chosen: Waiting) -> None:
        share = None if chosen.size is None else self._pool.take(chosen.size.cores)
        member = next((item for item in self._members.values() if item.busy is None and item.process.poll() is None), None)
        member = member or self._hire()
        member.busy, member.share = chosen, share
        assignment = Assignment(chosen.fw_id)
        if chosen.size is not None and share is not None:
            assignment = Assignment(chosen.fw_id, chosen.size.processes, chosen.size.threads, share.cpus)
        self._tally.most_at_once = max(self._tally.most_at_once, sum(item.share is not None for item in self._busy()))
        assert member.process.stdin is not None
        try:
            member.process.stdin.write(assignment.line())
        except BrokenPipeError:  # it has died; its cores are taken at the next look
            return
        if self.noticed:  # just now, perhaps before it was there
            member.process.send_signal(signal.SIGUSR1)

    def _hire(self) -> _Member:
        number = next(n for n in range(1, len(self._members) + 2) if n not in self._members)
        reading, writing = os.pipe()
        process = self.start(number, takes=subprocess.PIPE, replies=writing, keep=[writing])
        os.close(writing)
        self._members[number] = _Member(process, reading)
        return self._members[number]

    def _take_reply(self, member: _Member) -> None:
        line = os.read(member.replies, LONGEST_REPLY)
        if not line:  # it has ended, or is about to
            member.process.wait()
            return
        reply = json.loads(line)
        if not reply["ran"]:
            self._refused[reply["fw_id"]] = time.monotonic() + REFUSED_SECONDS
        elif member.share is not None:
            self._tally.runs += 1
        self._free(member)

    def _free(self, member: _Member) -> None:
        if member.share is not None:
            self._pool.give_back(member.share)
        member.busy = member.share = None


def _dismiss(member: _Member) -> None:
    """Tell a launcher that nothing more comes."""
    if member.process.stdin is not None:
        member.process.stdin.close()
