"""Which run is started next in an allocation that many share: strict in priority, the largest that fits among equals."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from fireworks.fw_config import SORT_FWS
from pymongo import ASCENDING, DESCENDING

from hibana.flows.resources import N_ATOMS, QUEUE, RESOURCES, Rows, cores_of, queue_of
from hibana.launch.stages import stage_of_job
from hibana.launch.workflows import JOB
from hibana.store.patience import patiently

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

LOOK = 500
"""So many fireworks that are ready are looked at, those of the highest priority; more only while none of them may be begun."""

LOOK_ON_SECONDS = 60.0
"""Where nothing that is ready may be begun, only the first are looked at for so long."""

PATIENCE_SECONDS = 1800.0
"""A run that was passed over for so long by smaller ones of its priority gets the next cores that become free."""

WHOLE_SHARE = 0.8
"""A run that is expected to take longer than this share of the whole allocation is begun in its first part, and continued."""

THREADS = "cpus_per_task"
"""Key of a row of resources: threads of each MPI process."""


@dataclass(frozen=True)
class Size:
    """What a run needs.

    Parameters
    ----------
    processes
        MPI processes.
    threads
        Threads of each.
    """

    processes: int
    threads: int = 1

    @property
    def cores(self) -> int:
        """Cores it takes."""
        return self.processes * self.threads


@dataclass(frozen=True)
class Waiting:
    """A firework that is ready to run.

    Parameters
    ----------
    fw_id, name
        Which.
    priority
        FireWorks' priority; minus infinity where it has none.
    size
        What it needs; None for a job that calculates nothing.
    n_atoms
        Atoms of its cell; None where unknown.
    """

    fw_id: int
    name: str
    priority: float
    size: Size | None
    n_atoms: int | None = None

    @property
    def stage(self) -> str:
        """Stage of a campaign that it belongs to."""
        return stage_of_job(self.name, self.name.partition(" ")[0])


class Ready:
    """What is ready to run, read as far as it is looked at, and once.

    Parameters
    ----------
    read
        Reads the next :data:`LOOK` behind so many.
    """

    def __init__(self, read: Callable[[int], list[Waiting]]) -> None:
        self._read = read
        self._found: list[Waiting] = []
        self._is_whole = False

    def __iter__(self) -> Iterator[Waiting]:
        place = 0
        while place < len(self._found) or not self._is_whole:
            if place == len(self._found):
                more = self._read(place)
                self._found += more
                self._is_whole = len(more) < LOOK
            else:
                yield self._found[place]
                place += 1


def waiting(launchpad: HibanaLaunchPad, query: Mapping[str, Any], rows: Rows | None, default: int) -> Ready:
    """What is ready to run, the highest priority first.

    Parameters
    ----------
    launchpad
        The launchpad.
    query
        What the worker may run.
    rows
        Table of a site (:func:`hibana.flows.resources.read_resources`); it goes before what the fireworks say.
    default
        Processes of a run of which nothing else is known.
    """
    names = ("fw_id", "name", "spec._priority", f"spec.{N_ATOMS}", f"spec.{QUEUE}", f"spec.{RESOURCES}", f"spec.{JOB}")
    order: list[tuple[str, int]] = [("spec._priority", DESCENDING)]
    if SORT_FWS.upper() in ("FIFO", "FILO"):
        order.append(("created_on", ASCENDING if SORT_FWS.upper() == "FIFO" else DESCENDING))
    ready, fields = {**query, "state": "READY"}, dict.fromkeys(names, 1)

    def read(behind: int) -> list[Waiting]:
        found = patiently(lambda: list(launchpad.fireworks.find(ready, fields, sort=order, skip=behind, limit=LOOK)))
        return [_waiting(document, rows, default) for document in found]

    return Ready(read)


def _waiting(document: Mapping[str, Any], rows: Rows | None, default: int) -> Waiting:
    spec = document.get("spec") or {}
    priority, n_atoms = spec.get("_priority"), spec.get(N_ATOMS)
    return Waiting(
        fw_id=document["fw_id"],
        name=document["name"],
        priority=float("-inf") if priority is None else float(priority),
        size=size_of(spec, rows, default),
        n_atoms=n_atoms,
    )


def size_of(spec: Mapping[str, Any], rows: Rows | None, default: int) -> Size | None:
    """What a firework needs, see :func:`waiting`; None for a job of hibana that calculates nothing.

    Parameters
    ----------
    spec
        Its spec.
    rows
        Table of the site.
    default
        Processes of a run of which nothing else is known.
    """
    n_atoms = spec.get(N_ATOMS)
    if n_atoms is None:
        return None if JOB in spec else Size(default)
    table = rows or spec.get(RESOURCES)
    queue = queue_of(table, n_atoms) if table else spec.get(QUEUE) or {}
    return Size(cores_of({QUEUE: queue}) or default, int(queue.get(THREADS, 1)))


@dataclass(frozen=True)
class Room:
    """What is free in an allocation.

    Parameters
    ----------
    free, total
        Cores.
    desks
        How many more jobs that calculate nothing may be started; they take no cores.
    left, whole
        Seconds left of the allocation, and seconds that it had when the launcher began; None for no limit.
    """

    free: int
    total: int
    desks: int
    left: float | None = None
    whole: float | None = None

    def has_time_for(self, seconds: float | None) -> bool:
        """Whether a run of an expected time is begun; one longer than any allocation is, as long as this one is young."""
        if self.left is None or seconds is None:
            return True
        return seconds <= self.left or min(seconds, self.left) >= WHOLE_SHARE * (self.whole or self.left)


class Choice:
    """Chooses what is started next.

    Parameters
    ----------
    expected
        Seconds that a run is expected to take; None where that is unknown.
    patience
        Seconds after which a run is no longer passed over by smaller ones.
    """

    def __init__(self, expected: Callable[[Waiting], float | None], patience: float = PATIENCE_SECONDS) -> None:
        self.too_large: set[int] = set()
        self.too_long: set[int] = set()
        self._expected = expected
        self._patience = patience
        self._passed_over: dict[int, float] = {}
        self._look_on = float("-inf")

    def next(self, ready: Iterable[Waiting], room: Room, busy: Collection[int]) -> Waiting | None:
        """The firework to start now; None if none may be.

        A run that needs more cores than the allocation has, or more time than is left of it, is left to others. Of the rest only
        those of the highest priority are started; among them the largest that fits into the free cores, the first in order of
        those of a size. Where one of them was passed over for too long, nothing smaller goes before it.

        Parameters
        ----------
        ready
            In the order of :func:`waiting`.
        room
            What is free.
        busy
            Fireworks that were begun already, or that others took.
        """
        light, possible = self._look(ready, room, busy)
        if light is not None or not possible:
            return light
        top = [(item, cores) for item, cores in possible if item.priority == possible[0][0].priority]
        fitting = [(item, cores) for item, cores in top if cores <= room.free]
        passed_over = self._note([(item, cores) for item, cores in top if cores > room.free])
        if not fitting or passed_over:
            return None
        chosen, _ = max(fitting, key=lambda pair: pair[1])
        return chosen

    def _look(
        self, ready: Iterable[Waiting], room: Room, busy: Collection[int]
    ) -> tuple[Waiting | None, list[tuple[Waiting, int]]]:
        """The first job that calculates nothing, if there is a desk, else the runs that are possible; on as far as needed."""
        self.too_large, self.too_long = set(), set()
        coming, seen = iter(ready), 0
        while page := list(islice(coming, LOOK)):
            seen += len(page)
            there = [item for item in page if item.fw_id not in busy]
            if room.desks > 0 and (light := next((item for item in there if item.size is None), None)) is not None:
                return light, []
            if possible := self._possible(there, room):
                return None, possible
            if time.monotonic() < self._look_on:
                return None, []
        if seen > LOOK:
            self._look_on = time.monotonic() + LOOK_ON_SECONDS
        return None, []

    def _possible(self, there: Iterable[Waiting], room: Room) -> list[tuple[Waiting, int]]:
        found = []
        for item in there:
            if item.size is None:
                continue
            if item.size.cores > room.total:
                self.too_large.add(item.fw_id)
            elif not room.has_time_for(self._expected(item)):
                self.too_long.add(item.fw_id)
            else:
                found.append((item, item.size.cores))
        return found

    def _note(self, not_fitting: Iterable[tuple[Waiting, int]]) -> bool:
        """Note which runs do not fit; whether one has not for too long."""
        now = time.monotonic()
        self._passed_over = {item.fw_id: self._passed_over.get(item.fw_id, now) for item, _ in not_fitting}
        return any(now - since > self._patience for since in self._passed_over.values())
