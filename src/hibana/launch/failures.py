"""``hibana failures``: what failed, how often, where to look, and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from hibana.launch.cells import Cell
from hibana.launch.counters import Counters
from hibana.launch.errors import NO_SUCH_CAUSE
from hibana.launch.sources import JOBS, RUNS, SOURCES
from hibana.launch.taxonomy import advice
from hibana.store.indexes import PROPERTY_COLLECTIONS

if TYPE_CHECKING:
    from hibana.store.store import Store

Kind = Literal["run", "job", "correction", "flag"]

KINDS_OF_FAILURE: Mapping[Kind, str] = {
    "run": "Runs without an answer",
    "job": "Jobs that ended with an error",
    "correction": "Corrections that custodian made",
    "flag": "Flagged, refused or without a value",
}

EXAMPLES, MORE_EXAMPLES = 2, 20


@dataclass(frozen=True)
class Example:
    """A document with a failure.

    Parameters
    ----------
    name
        Formula and material, or name and number of a job.
    place
        Folder of the run, with its host; empty for a property document.
    """

    name: str
    place: str = ""


@dataclass(frozen=True)
class Failure:
    """All failures of one cause.

    Parameters
    ----------
    kind
        What failed.
    cause
        Key of a failure, number of an error or class of an exception, ``handler:error``, or a reason in words.
    state
        Status of the runs, verdict on the corrections; flagged, refused or unavailable.
    n
        How many documents.
    unresolved
        Of the corrections those of runs that have no answer all the same.
    places
        How many at which stage, or in which collection.
    title, mend
        What it means, and what to do.
    examples
        Some of the documents.
    """

    kind: Kind
    cause: str
    state: str
    n: int
    unresolved: int
    places: Mapping[str, int]
    title: str
    mend: str
    examples: tuple[Example, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def failures(store: Store, cause: str | None = None, *, say: Callable[[str, int], None] = lambda *_: None) -> tuple[Failure, ...]:
    """What failed, by kind and cause, the most frequent first.

    Parameters
    ----------
    store
        The store.
    cause
        Only what has this cause, or this text in its cause; with more examples.
    say
        Called with the name of a source and the number of documents looked at, now and then.

    Raises
    ------
    HibanaError
        HIB-122 or HIB-123, and HIB-124 if nothing has the cause.
    """
    counters = Counters(store.database, SOURCES)
    counters.fold(say=say)
    groups: dict[tuple[Kind, str, str], dict[Cell, tuple[str, int]]] = defaultdict(dict)
    for source in SOURCES:
        for key, amount in counters.cells(source.name).items():
            cell = Cell.of_key(key)
            kind = _kind(cell)
            if kind is not None:
                groups[kind, cell.cause, cell.state if kind in ("correction", "flag") else ""][cell] = (source.name, amount.n)
    chosen = groups if cause is None else {group: cells for group, cells in groups.items() if _is_of(group[1], cause)}
    if cause is not None and not chosen:
        there = ", ".join(sorted({name for _, name, _ in groups})) or "none"
        raise NO_SUCH_CAUSE.error(f"{cause!r}; there are: {there}")
    limit = EXAMPLES if cause is None else MORE_EXAMPLES
    found = [_failure(store, counters, *group, cells, limit) for group, cells in chosen.items()]
    kinds = list(KINDS_OF_FAILURE)
    return tuple(sorted(found, key=lambda item: (kinds.index(item.kind), -item.n, item.cause, item.state)))


def _kind(cell: Cell) -> Kind | None:
    if cell.kind == "run":
        return "run" if cell.cause else None
    if cell.kind == "job":
        return "job" if cell.state == "FIZZLED" else None
    if cell.kind == "correction":
        return "correction"
    return "flag" if cell.kind == "flag" else None


def _is_of(cause: str, asked: str) -> bool:
    """Whether a cause is the one that is asked for, by its key, or by a part of a reason in words."""
    low, wanted = cause.lower(), asked.lower()
    keyed = wanted in (low, low.partition(":")[0], low.partition(":")[2])
    return keyed or (" " in low and wanted in low)


def _failure(
    store: Store, counters: Counters, kind: Kind, cause: str, state: str, cells: Mapping[Cell, tuple[str, int]], limit: int
) -> Failure:
    places: dict[str, int] = defaultdict(int)
    by_source: dict[str, list[Cell]] = defaultdict(list)
    for cell, (source, number) in cells.items():
        places[cell.stage] += number
        by_source[source].append(cell)
    examples: list[Example] = []
    for source, some in by_source.items():
        if len(examples) < limit:
            keys = counters.examples(source, some, limit - len(examples))
            examples += _examples(store, source, keys)
    said = advice(kind, cause)
    return Failure(
        kind=kind,
        cause=cause,
        state=state or next(iter(cells)).state,
        n=sum(number for _, number in cells.values()),
        unresolved=sum(number for cell, (_, number) in cells.items() if cell.material == "unanswered"),
        places=dict(sorted(places.items(), key=lambda item: -item[1])),
        title=said.title,
        mend=said.mend,
        examples=tuple(examples),
    )


def _examples(store: Store, source: str, keys: list[Any]) -> Iterable[Example]:
    if source == JOBS.name:
        return _jobs(store, keys)
    if source == RUNS.name:
        fields = {"formula": 1, "material_id": 1, "machine.host": 1, "machine.directory": 1}
        found = store.database[source].find({"_id": {"$in": keys}}, fields)
        return [
            Example(f"{item['formula']} {item['material_id']}", f"{item['machine']['host']}:{item['machine']['directory']}")
            for item in found
        ]
    assert source in PROPERTY_COLLECTIONS
    found = store.database[source].find({"_id": {"$in": keys}}, {"formula": 1, "material_id": 1, "part": 1})
    return [Example(f"{item['formula']} {item['material_id']} {item.get('part', '')}".strip()) for item in found]


def _jobs(store: Store, keys: list[Any]) -> list[Example]:
    found = list(store.database["fireworks"].find({"fw_id": {"$in": keys}}, {"fw_id": 1, "name": 1, "launches": 1}))
    last = [item["launches"][-1] for item in found if item.get("launches")]
    launches = store.database["launches"].find({"launch_id": {"$in": last}}, {"launch_id": 1, "launch_dir": 1, "host": 1})
    places = {item["launch_id"]: f"{item.get('host', '')}:{item.get('launch_dir', '')}" for item in launches}
    return [
        Example(f"{item['name']} (fw_id {item['fw_id']})", places.get((item.get("launches") or [None])[-1], "")) for item in found
    ]
