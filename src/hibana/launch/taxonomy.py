"""Causes of failures: how they are told from documents, and what to do about each."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML

from hibana.core.errors import KINDS

LOST, UNREADABLE = "lost", "unreadable"

ROOMS = ("structures", "protocol", "vasp", "properties", "defects", "store", "flows", "launch", "tables")
"""Rooms whose errors a job may end with."""

LONGEST = 120
"""A reason in words is cut to this length where it becomes a cause."""

_WITH_DIGIT = re.compile(r"[^\s(,;:]*\d[^\s,;:)]*")
_NAMES = re.compile(r"(hse06|hse06_nsc|O2|f12|[A-Z]{3}-\d+)$")
_NUMBER = re.compile(r"\bHIB-\d{3}\b")


@dataclass(frozen=True)
class Advice:
    """What a cause means, and what to do."""

    title: str
    mend: str


NOT_LISTED = Advice("", "Look at an example: hibana why MATERIAL, hibana diagnose FOLDER.")


def cause_of_run(task: Mapping[str, Any]) -> str:
    """Cause of a run without an answer: the key of its failure, or its status."""
    failure = task.get("failure") or {}
    return str(failure.get("kind") or task["status"])


def cause_of_launch(launch: Mapping[str, Any] | None) -> str:
    """Cause of a job that ended with an error, from its last launch: the number of the error, or the exception's class.

    Parameters
    ----------
    launch
        The launch's document; None if there is none.
    """
    if launch is None:
        return UNREADABLE
    stored = (launch.get("action") or {}).get("stored_data") or {}
    trace = (stored.get("_exception") or {}).get("_stacktrace")
    if not trace:
        return LOST
    message = last_lines(trace)
    number = _NUMBER.search(message)
    if number is not None:
        return number[0]
    return message.splitlines()[0].partition(":")[0].rpartition(".")[2] if message else LOST


def pattern(text: str) -> str:
    """A reason in words without the numbers and labels of the single case: ``force of # eV/Å is above # eV/Å``."""

    def without(match: re.Match[str]) -> str:
        return match[0] if _NAMES.fullmatch(match[0]) else "#"

    return " ".join(_WITH_DIGIT.sub(without, text).split())[:LONGEST]


def last_lines(traceback: str) -> str:
    """The message at the end of a traceback, without the calls that led to it."""
    lines = traceback.rstrip().splitlines()
    begin = len(lines) - 1
    while begin > 0 and not _names_exception(lines[begin]):
        begin -= 1
    return "\n".join(lines[begin:])


def advice(kind: str, cause: str) -> Advice:
    """What a cause means, and what to do.

    Parameters
    ----------
    kind
        ``run``, ``job``, ``correction`` (cause ``handler:error``) or ``flag``, as :class:`~hibana.launch.cells.Cell` has it.
    cause
        The cause.
    """
    if _NUMBER.fullmatch(cause):
        return _of_number(cause)
    data = _data()
    if kind == "flag":
        return next((item for match, item in data["flags"] if match.search(cause)), NOT_LISTED)
    handler, colon, error = cause.partition(":")
    if kind == "correction" and colon:
        return data["errors"].get(error) or data["handlers"].get(handler) or NOT_LISTED
    section = data["jobs"] if kind == "job" else data["runs"]
    return section.get(cause) or data["errors"].get(cause) or NOT_LISTED


def _of_number(code: str) -> Advice:
    for room in ROOMS:
        if importlib.util.find_spec(f"hibana.{room}.errors") is not None:
            importlib.import_module(f"hibana.{room}.errors")
    kind = KINDS.get(int(code.partition("-")[2]))
    return Advice("", f"hibana errors {code}") if kind is None else Advice(kind.title, kind.fix)


@cache
def _data() -> dict[str, Any]:
    text = (files("hibana.launch") / "data" / "failures.yaml").read_text()
    read = YAML(typ="safe").load(text)
    data: dict[str, Any] = {name: {key: Advice(**item) for key, item in read[name].items()} for name in read if name != "flags"}
    data["flags"] = [(re.compile(item["match"]), Advice(item["title"], item["mend"])) for item in read["flags"]]
    return data


def _names_exception(line: str) -> bool:
    """Whether a line of a traceback is the one with the class of the exception."""
    name, colon, _ = line.partition(":")
    return (
        bool(line) and not line[0].isspace() and (bool(colon) or " " not in line) and "Traceback" not in name and " " not in name
    )
