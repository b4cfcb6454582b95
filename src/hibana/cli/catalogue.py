"""All kinds of error of all rooms, for ``hibana errors`` and docs/errors.md."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

from hibana.core.errors import KINDS

ROOMS = {
    "core": range(1, 10),
    "structures": range(10, 30),
    "protocol": range(30, 50),
    "vasp": range(50, 70),
    "store": range(70, 90),
    "flows": range(90, 110),
    "launch": (*range(110, 130), *range(240, 260)),
    "tables": range(130, 150),
    "report": range(150, 160),
    "cli": range(160, 180),
    "rehearsal": range(180, 210),
    "properties": range(210, 220),
    "defects": range(220, 240),
    "learn": range(260, 290),
}
"""The numbers each room may use."""

STANDS_ALONE = "rehearsal"
"""Room that is a program of its own and keeps a table of its own: number to title and fix."""


@dataclass(frozen=True)
class Entry:
    """One kind of error and the room it comes from."""

    number: int
    code: str
    title: str
    fix: str
    room: str


def catalogue() -> list[Entry]:
    """Every kind of error, by number: those of each room's ``errors`` module and those the verbs declare themselves."""
    importlib.import_module("hibana.cli.main")
    for room in ROOMS:
        if room != STANDS_ALONE and importlib.util.find_spec(f"hibana.{room}.errors") is not None:
            importlib.import_module(f"hibana.{room}.errors")
    texts = {number: (kind.title, kind.fix) for number, kind in KINDS.items()}
    texts |= importlib.import_module(f"hibana.{STANDS_ALONE}.errors").KINDS
    return [Entry(number, f"HIB-{number:03d}", *texts[number], room_of(number)) for number in sorted(texts)]


def room_of(number: int) -> str:
    """Room that a number belongs to.

    Raises
    ------
    StopIteration
        If the number is in no room's range.
    """
    return next(room for room, numbers in ROOMS.items() if number in numbers)


def as_markdown(entries: Iterable[Entry]) -> str:
    """The page docs/errors.md."""
    lines = [
        "# Errors",
        "",
        "Every error that a user can mend has a number, which means one thing for ever. The command prints what is wrong,",
        "where, and how to mend it, and ends with exit code 2; with `--json` the same stands in `error` on the standard output.",
        "`hibana errors` lists the kinds, `hibana errors 42` explains one.",
        "",
        "This page is the output of `hibana errors --markdown`.",
    ]
    room = None
    for entry in entries:
        if entry.room != room:
            room = entry.room
            lines += ["", f"## {room}", "", "| number | what | how to mend it |", "| --- | --- | --- |"]
        lines.append(f"| {entry.code} | {_cell(entry.title)} | {_cell(entry.fix)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
