"""Rows of a table, and the candidates that have none with the reason, in one pass sorted by material."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hibana.core.errors import HibanaError
from hibana.documents.properties import PropertyDoc
from hibana.tables.cells import Value
from hibana.tables.columns import Record, property_name
from hibana.tables.errors import OTHER_GRID
from hibana.tables.left_out import LeftOut, LeftOutCode
from hibana.tables.parts import Parts
from hibana.tables.reading import Account, accounts, makes
from hibana.tables.series import Series
from hibana.tables.table import Table

if TYPE_CHECKING:
    from hibana.store.store import Store


@dataclass(frozen=True)
class Row:
    """One row: its values in the order of the table's columns."""

    material_id: str
    values: tuple[Value, ...]


def rows(store: Store, table: Table, series: Series, *, include_flagged: bool = False) -> Iterator[Row | LeftOut]:
    """Every candidate of the store, sorted by ``material_id``: as its row or rows, or left out with the reason.

    In a table with parts each part has its row, or is left out with its reason.

    Parameters
    ----------
    store
        Where the property documents and their arrays are.
    table
        The table.
    series
        The one series of the rows.
    include_flagged
        Whether rows with flags stay in the table.
    """
    for account in accounts(store, table, series):
        if table.parts is not None:
            yield from _part_rows(account, table, table.parts, store, include_flagged=include_flagged)
            continue
        left_out = _left_out(account, table, include_flagged=include_flagged)
        if left_out is not None:
            yield left_out
            continue
        try:
            made = [tuple(column.value(record) for column in table.columns) for record in _records(account, table, store)]
        except HibanaError as error:
            if error.kind is not OTHER_GRID:
                raise
            yield LeftOut(account.material_id, account.formula, "unavailable", error.what)
            continue
        yield from (Row(account.material_id, values) for values in made)


def _records(account: Account, table: Table, store: Store) -> Iterator[Record]:
    items = (None,) if table.items is None else getattr(account.documents[table.subject], table.items)
    for item in items:
        yield Record(account.documents, store.array, item)


def _left_out(account: Account, table: Table, *, include_flagged: bool) -> LeftOut | None:
    """Why an account makes no row; None if it makes one."""

    def because(code: LeftOutCode, reason: str) -> LeftOut:
        return LeftOut(account.material_id, account.formula, code, reason)

    documents = [account.documents[kind] for kind in table.documents if kind in account.documents]
    if len(documents) < len(table.documents):
        return because(*_without_documents(account, table))
    for document in documents:
        if document.status == "unavailable":
            return because("unavailable", f"{property_name(type(document))}: {document.reason or 'no reason given'}")
    subject = account.documents[table.subject]
    if table.items is not None and not getattr(subject, table.items):
        return because("unavailable", f"{property_name(table.subject)}: {subject.reason or f'it has no {table.items}'}")
    flags = tuple(dict.fromkeys(flag for document in documents for flag in document.flags))
    if flags and not include_flagged:
        return because("flagged", "; ".join(flags))
    return None


def _part_rows(account: Account, table: Table, parts: Parts, store: Store, *, include_flagged: bool) -> Iterator[Row | LeftOut]:
    """Every part of a candidate, as its row or left out."""

    def because(code: LeftOutCode, reason: str, part: str = "") -> LeftOut:
        return LeftOut(account.material_id, account.formula, code, reason, part)

    if refusal := parts.refusal(account.documents):
        yield because("refused", refusal)
        return
    expected = parts.expected(account.documents, account.parts)
    if not account.parts and not expected:
        yield because(*_without_documents(account, table))
        return
    for part in sorted(account.parts, key=parts.order):
        record = _part_record(account, part, parts, store)
        flags = parts.flags(record.documents)
        if reason := parts.why_unavailable(record.documents):
            yield because("unavailable", reason, part.part)
        elif flags and not include_flagged:
            yield because("flagged", "; ".join(flags), part.part)
        else:
            yield Row(account.material_id, tuple(column.value(record) for column in table.columns))
    for name, why in expected.items():
        code, otherwise = _without_documents(account, table)
        yield because("no_result", why, name) if why else because(code, otherwise, name)


def _part_record(account: Account, part: PropertyDoc, parts: Parts, store: Store) -> Record:
    documents = {**account.documents, type(part): part}
    return Record(documents, store.array, parts.item(documents))


def _without_documents(account: Account, table: Table) -> tuple[LeftOutCode, str]:
    asked = {flow for flow in account.submitted if makes(flow, table)}
    ended = {flow: said for flow, said in sorted(account.outcomes.items()) if makes(flow, table)}
    missing = f"no {' and no '.join(property_name(kind) for kind in table.documents if kind not in account.documents)} document"
    if asked - ended.keys():
        return "unfinished", f"{missing} yet"
    if ended:
        return "no_result", "; ".join(dict.fromkeys(ended.values()))
    if account.submitted:
        return "not_submitted", f"submitted for {', '.join(sorted(account.submitted))}, which does not give {table.name}"
    return "not_submitted", "was not submitted with this calculator and protocol"
