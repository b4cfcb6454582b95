"""What counters count: cells with a number of documents and of core-seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

SLOT_MINUTES = 10
SLOTS_KEPT = 25 * 60 // SLOT_MINUTES
"""Ends of runs are counted by slots of time, of which those of a day and an hour are kept."""

SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class Cell:
    """Where something is counted.

    Parameters
    ----------
    kind
        ``job``, ``run``, ``outcome``, ``correction``, ``flag``, or ``slot`` for the ends of runs in a slot of time.
    flow
        Name of the flow without its branches.
    series
        Calculator and protocol.
    material
        Class of the material.
    stage
        Stage of the flow, or the collection of a property.
    state
        FireWorks' state, status of a run, state of an outcome, verdict on a correction.
    cause
        Why, by :mod:`hibana.launch.taxonomy`; the number of a slot.
    """

    kind: str
    flow: str = ""
    series: str = ""
    material: str = ""
    stage: str = ""
    state: str = ""
    cause: str = ""

    @property
    def key(self) -> str:
        """The cell as text."""
        return SEPARATOR.join(word.replace(SEPARATOR, "/") for word in astuple(self))

    @classmethod
    def of_key(cls, key: str) -> Cell:
        """The cell of a text."""
        return cls(*key.split(SEPARATOR))


class Amount(NamedTuple):
    """Documents and core-seconds."""

    n: int
    seconds: int = 0


Cells = dict[str, Amount]
"""Amounts by the text of their cell."""


@dataclass
class Counted:
    """What one document counts as.

    Parameters
    ----------
    cells
        Its cells.
    causes
        Those of its cells that are failures, to find examples by.
    about
        What stays the same of it and need not be looked up again.
    """

    cells: Cells = field(default_factory=dict)
    causes: list[str] = field(default_factory=list)
    about: list[str] | None = None

    def add(self, cell: Cell, n: int = 1, seconds: int = 0, *, is_failure: bool = False) -> None:
        """Count it in a cell, too."""
        before = self.cells.get(cell.key, Amount(0))
        self.cells[cell.key] = Amount(before.n + n, before.seconds + seconds)
        if is_failure and cell.key not in self.causes:
            self.causes.append(cell.key)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without what is empty."""
        fields: dict[str, Any] = {"cells": self.plain(self.cells)}
        if self.causes:
            fields["causes"] = self.causes
        if self.about is not None:
            fields["about"] = self.about
        return fields

    @staticmethod
    def plain(cells: Cells) -> list[list[Any]]:
        """Cells as they are stored."""
        return [[key, amount.n, amount.seconds] for key, amount in sorted(cells.items())]

    @staticmethod
    def cells_of(stored: Iterable[Iterable[Any]]) -> Cells:
        """Cells from what is stored."""
        return {key: Amount(int(n), int(seconds)) for key, n, seconds in stored}


def added(cells: Cells, more: Mapping[str, Amount], less: Mapping[str, Amount]) -> Cells:
    """Cells with some added and some taken away; what comes to nothing is left out."""
    for sign, change in ((1, more), (-1, less)):
        for key, amount in change.items():
            before = cells.get(key, Amount(0))
            cells[key] = Amount(before.n + sign * amount.n, before.seconds + sign * amount.seconds)
            if cells[key] == Amount(0):
                del cells[key]
    return cells


def slot_of(moment: datetime) -> int:
    """Number of the slot of time of a moment."""
    return int(moment.timestamp() // (60 * SLOT_MINUTES))


def slot_begin(slot: int) -> datetime:
    """Begin of a slot."""
    return datetime.fromtimestamp(0, UTC) + timedelta(minutes=SLOT_MINUTES * slot)


def pruned(cells: Cells) -> Cells:
    """Cells without the slots that are too old to be kept."""
    slots = {key: int(Cell.of_key(key).cause) for key in cells if key.startswith(f"slot{SEPARATOR}")}
    if not slots:
        return cells
    oldest = max(slots.values()) - SLOTS_KEPT
    return {key: amount for key, amount in cells.items() if slots.get(key, oldest) >= oldest}
