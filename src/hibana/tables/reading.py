"""What tables read from the store: streams sorted by material, joined without holding them in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING

from hibana.core.errors import HibanaError
from hibana.documents.properties import PropertyDoc
from hibana.flows.branches import branches_of
from hibana.tables.columns import property_name
from hibana.tables.families import with_families
from hibana.tables.series import Series
from hibana.tables.table import Table

if TYPE_CHECKING:
    from hibana.store.store import Store

PAGE = 1000
"""Documents of a collection that are read at once."""

SERIES_FIELDS = ("protocol", "protocol_version", "calculator")


@dataclass
class Account:
    """All that the store knows of one candidate in one series.

    Parameters
    ----------
    material_id, formula
        Which candidate.
    submitted
        Flows that were asked for, as submissions name them.
    outcomes
        What the collector of each flow said at its end; a flow that has not ended is missing.
    documents
        Its property documents.
    parts
        Those of them that are about a part of the material.
    family
        Family of duplicates that screening put it into; None for one that was not screened.
    """

    material_id: str
    formula: str = ""
    submitted: set[str] = field(default_factory=set)
    outcomes: dict[str, str] = field(default_factory=dict)
    documents: dict[type[PropertyDoc], PropertyDoc] = field(default_factory=dict)
    parts: list[PropertyDoc] = field(default_factory=list)
    family: str | None = None

    def add(self, item: PropertyDoc | Mapping[str, Any], series: Series) -> None:
        """Enter a property document, an outcome (it has a ``state``) or a candidate."""
        if isinstance(item, PropertyDoc):
            self.formula = item.formula
            if item.part:
                self.parts.append(item)
            else:
                self.documents[type(item)] = item
        elif "state" in item:
            self.outcomes[item["flow"]] = item.get("reason") or item["state"]
        else:
            self.formula = item["formula"]
            self.family = item.get("family")
            self.submitted |= {submission["flow"] for submission in item.get("submissions", ()) if _of(submission) == series}


def accounts(store: Store, table: Table, series: Series) -> Iterator[Account]:
    """The account of every candidate, sorted by ``material_id``.

    Parameters
    ----------
    store
        Where the documents are.
    table
        The table the candidates are accounted for.
    series
        The series.
    """
    key = series.as_dict()
    streams: list[Iterator[PropertyDoc | Mapping[str, Any]]] = [
        with_families(store, _pages(store, "candidates", {}, ("material_id", "formula", "submissions", "families"))),
        _pages(store, "outcomes", key, ("material_id", "flow", "state", "reason")),
        *(_documents(store, kind, key) for kind in (*table.optional, *table.documents)),
    ]
    for material_id, items in groupby(heapq.merge(*streams, key=_material_id), key=_material_id):
        account = Account(material_id)
        for item in items:
            account.add(item, series)
        yield account


def _documents(store: Store, kind: type[PropertyDoc], query: Mapping[str, Any]) -> Iterator[PropertyDoc]:
    return (kind.model_validate(found) for found in _pages(store, property_name(kind), query))


def _pages(store: Store, collection: str, query: Mapping[str, Any], fields: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Documents of a collection, sorted by key, page by page.

    A cursor would not do: one of a collection with few documents among a million materials is idle for longer than the server
    keeps it.
    """
    projection = dict.fromkeys(fields, 1) or None
    last = None
    while True:
        after: dict[str, Any] = {} if last is None else {"_id": {"$gt": last}}
        page = list(store.database[collection].find({**query, **after}, projection).sort("_id", ASCENDING).limit(PAGE))
        for found in page:
            last = found.pop("_id")
            yield found
        if len(page) < PAGE:
            return


def makes(flow: str, table: Table) -> bool:
    """Whether a flow, as a submission names it, gives what a table is about; a flow of another version of hibana does not."""
    try:
        branches = branches_of(flow)
    except HibanaError:
        return False
    return not table.branches or not set(table.branches).isdisjoint(branches)


def series_there(store: Store, table: Table) -> list[Series]:
    """Every series that has a document the table is about, or a candidate submitted for it."""
    return sorted(stored_series(store, table.subject) | submitted_series(store, lambda flow: makes(flow, table)))


def stored_series(store: Store, *kinds: type[PropertyDoc]) -> set[Series]:
    """Every series that has a document of one of some kinds."""
    return {_of(document) for kind in kinds for document in store.query(property_name(kind), {}, SERIES_FIELDS)}


def submitted_series(store: Store, wanted: Callable[[str], bool] = lambda _flow: True) -> set[Series]:
    """Every series that has a candidate submitted, for a flow that is wanted."""
    candidates = store.query("candidates", {}, ("submissions",))
    return {_of(item) for candidate in candidates for item in candidate.get("submissions", ()) if wanted(item["flow"])}


def joined(
    store: Store, kinds: tuple[type[PropertyDoc], ...], query: Mapping[str, Any]
) -> Iterator[dict[type[PropertyDoc], PropertyDoc]]:
    """Property documents of several kinds that are about the same material and series, not about a part of it.

    Parameters
    ----------
    store
        Where the documents are.
    kinds
        Which kinds; a group lacks those that are not there.
    query
        MongoDB filter all of them match.
    """
    for group in gathered(store, kinds, query):
        yield {kind: found[0] for kind, found in group.items()}


def gathered(
    store: Store, kinds: tuple[type[PropertyDoc], ...], query: Mapping[str, Any]
) -> Iterator[dict[type[PropertyDoc], list[PropertyDoc]]]:
    """Property documents of several kinds that are about the same material and series, of a kind with parts all.

    Parameters are those of :func:`joined`.
    """
    streams = [store.properties(kind, query) for kind in kinds]
    for _, documents in groupby(heapq.merge(*streams, key=_material_id), key=_material_id):
        groups: dict[Series, dict[type[PropertyDoc], list[PropertyDoc]]] = {}
        for document in documents:
            groups.setdefault(_series(document), {}).setdefault(type(document), []).append(document)
        yield from groups.values()


def _material_id(item: PropertyDoc | Mapping[str, Any]) -> str:
    return item.material_id if isinstance(item, PropertyDoc) else item["material_id"]


def _series(document: PropertyDoc) -> Series:
    return Series(document.protocol, document.protocol_version, document.calculator)


def _of(item: Mapping[str, Any]) -> Series:
    """Series of a stored submission or document."""
    return Series(**{name: item[name] for name in SERIES_FIELDS})
