"""What tables read from the store: streams sorted by material, joined without holding them in memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from hibana.documents.properties import PropertyDoc
from hibana.tables.columns import property_name
from hibana.tables.series import Series
from hibana.tables.table import Table

if TYPE_CHECKING:
    from hibana.store.store import Store

SERIES_FIELDS = ("protocol", "protocol_version", "calculator")


@dataclass
class Account:
    """All that the store knows of one candidate in one series.

    Parameters
    ----------
    material_id, formula
        Which candidate.
    submitted
        Whether its workflow was asked for.
    outcome
        What the workflow's collector said at its end; None where it has not ended.
    documents
        Its property documents.
    """

    material_id: str
    formula: str = ""
    submitted: bool = False
    outcome: str | None = None
    documents: dict[type[PropertyDoc], PropertyDoc] = field(default_factory=dict)

    def add(self, item: PropertyDoc | Mapping[str, Any], table: Table, series: Series) -> None:
        """Enter a property document, an outcome (it has a ``state``) or a candidate."""
        if isinstance(item, PropertyDoc):
            self.documents[type(item)] = item
            self.formula = item.formula
        elif "state" in item:
            self.outcome = item.get("reason") or item["state"]
        else:
            self.formula = item["formula"]
            self.submitted = series in _submitted(item, table)


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
        store.query("candidates", {}, ("material_id", "formula", "submissions"), by_key=True),
        store.query("outcomes", {**key, "flow": table.flow}, ("material_id", "state", "reason"), by_key=True),
        *(store.properties(kind, key) for kind in table.documents),
    ]
    for material_id, items in groupby(heapq.merge(*streams, key=_material_id), key=_material_id):
        account = Account(material_id)
        for item in items:
            account.add(item, table, series)
        yield account


def series_there(store: Store, table: Table) -> list[Series]:
    """Every series that has a document of the table, or a candidate submitted for it."""
    found = {
        Series(**{name: document[name] for name in SERIES_FIELDS})
        for kind in table.documents
        for document in store.query(property_name(kind), {}, SERIES_FIELDS)
    }
    for candidate in store.query("candidates", {}, ("submissions",)):
        found |= _submitted(candidate, table)
    return sorted(found)


def joined(
    store: Store, kinds: tuple[type[PropertyDoc], ...], query: Mapping[str, Any]
) -> Iterator[dict[type[PropertyDoc], PropertyDoc]]:
    """Property documents of several kinds that are about the same material and series.

    Parameters
    ----------
    store
        Where the documents are.
    kinds
        Which kinds; a group lacks those that are not there.
    query
        MongoDB filter all of them match.
    """
    streams = [store.properties(kind, query) for kind in kinds]
    for _, documents in groupby(heapq.merge(*streams, key=_material_id), key=_material_id):
        groups: dict[Series, dict[type[PropertyDoc], PropertyDoc]] = {}
        for document in documents:
            groups.setdefault(_series(document), {})[type(document)] = document
        yield from groups.values()


def _material_id(item: PropertyDoc | Mapping[str, Any]) -> str:
    return item.material_id if isinstance(item, PropertyDoc) else item["material_id"]


def _series(document: PropertyDoc) -> Series:
    return Series(document.protocol, document.protocol_version, document.calculator)


def _submitted(candidate: Mapping[str, Any], table: Table) -> set[Series]:
    """Series a stored candidate was submitted with for a table's flow."""
    return {
        Series(**{name: submission[name] for name in SERIES_FIELDS})
        for submission in candidate.get("submissions", ())
        if submission["flow"] == table.flow
    }
