"""Graphs of the structures beside a table, kept on disk by content address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from hibana.core.address import content_address
from hibana.learn.errors import NO_STRUCTURES
from hibana.learn.features.address import structure_address
from hibana.learn.features.cache import FeatureCache, Outcome
from hibana.learn.features.crystals import NO_STRUCTURE, Progress, rows_of_structures
from hibana.learn.features.parallel import DIED, PassingReason, reason_of
from hibana.learn.spectra.graph import VERSION, Graph, crystal_graph, graph_from_array

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from hibana.learn.dataset import Dataset

Item = tuple[str, str, "Structure"]
"""Name, address of the graph, and structure."""


@dataclass(frozen=True)
class Graphs:
    """Graphs of the rows of a table.

    Parameters
    ----------
    of_row
        Graph by number of the row.
    left_out
        By number of the row: why it has none.
    """

    of_row: dict[int, Graph]
    left_out: dict[int, str]


def graphs_of(
    dataset: Dataset, neighbours: int, cache: Path | None = None, workers: int = 1, progress: Progress | None = None
) -> Graphs:
    """Graphs of the structures beside a table.

    Parameters
    ----------
    dataset
        The table with its structures.
    neighbours
        Bonds an atom has at least.
    cache
        Folder to keep graphs in; without one they are made anew.
    workers
        Processes.
    progress
        Told how many of how many are done.

    Raises
    ------
    HibanaError
        HIB-263 if there are no structures or they do not belong to the table, HIB-266 if the cache cannot be used.
    """
    rows = rows_of_structures(dataset)
    found = Graphs({}, dict.fromkeys(range(len(dataset.frame)), NO_STRUCTURE))
    seen: set[str] = set()

    def take(name: str, outcome: Outcome) -> None:
        graph = None if isinstance(outcome, str) else graph_from_array(outcome)
        for row in rows[name]:
            if graph is None:
                found.left_out[row] = str(outcome)
            else:
                found.of_row[row] = graph
                found.left_out.pop(row, None)
        if progress:
            progress(len(seen), len(rows))

    def missing(kept: FeatureCache | None) -> Iterator[Item]:
        for name, structure in dataset.structures():
            if name not in rows:
                continue
            if name in seen:
                raise NO_STRUCTURES.error(f"two structures have the name {name!r}", where=dataset.path.parent)
            seen.add(name)
            address = graph_address(structure, neighbours)
            outcome = None if kept is None else kept.get(address)
            if outcome is None:
                yield name, address, structure
            else:
                take(name, outcome)

    if cache is None:
        _make(missing(None), neighbours, workers, lambda item, outcome: take(item[0], outcome))
        return found
    with FeatureCache(cache) as kept:

        def keep(item: Item, outcome: Outcome) -> None:
            if not isinstance(outcome, PassingReason):
                kept.put(item[1], outcome)
            take(item[0], outcome)

        _make(missing(kept), neighbours, workers, keep)
    return found


def graph_address(structure: Structure, neighbours: int) -> str:
    """Content address of a graph: the cell, and what the graph depends on besides."""
    return content_address(
        {
            "set": "graph",
            "version": {"definition": VERSION, "spglib": version("spglib")},
            "neighbours": neighbours,
            "structure": structure_address(structure),
        }
    )


def _make(items: Iterator[Item], neighbours: int, workers: int, done: Callable[[Item, Outcome], None]) -> None:
    from hibana.structures.parallel import work

    for item, outcome in work(partial(_outcome, neighbours), items, workers=workers, died=_died, chunk=16):
        done(item, outcome)


def _outcome(neighbours: int, item: Item) -> Outcome:
    """A graph as an array, or the reason why there is none."""
    try:
        return crystal_graph(item[2], neighbours).as_array()
    except Exception as error:
        return reason_of(error)


def _died(_: Item) -> Outcome:
    return DIED
