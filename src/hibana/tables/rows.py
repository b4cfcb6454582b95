"""Rows of a table, and the candidates that have none with the reason, in one pass sorted by material."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.documents.properties import PropertyDoc
from hibana.tables.cells import Value, as_cell
from hibana.tables.columns import FLAGS, Column, Record, property_name
from hibana.tables.errors import OTHER_GRID
from hibana.tables.left_out import LeftOut, LeftOutCode
from hibana.tables.missing import MISSING, missing_codes
from hibana.tables.parts import Parts
from hibana.tables.ranges import outside
from hibana.tables.reading import Account, accounts, makes
from hibana.tables.series import Series
from hibana.tables.table import Table

if TYPE_CHECKING:
    from hibana.store.store import Store


@dataclass(frozen=True)
class Row:
    """One row.

    Parameters
    ----------
    material_id
        Which material it is about.
    values
        Its cells in the order of the table's columns.
    crystal
        Structure of the material; None where no document has it.
    """

    material_id: str
    values: tuple[Value, ...]
    crystal: Crystal | None = None


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
            records = _records(account, table, store, include_flagged=include_flagged)
            made = [_finished(record, account, table, include_flagged=include_flagged) for record in records]
        except HibanaError as error:
            if error.kind is not OTHER_GRID:
                raise
            yield LeftOut(account.material_id, account.formula, "unavailable", error.what)
            continue
        yield from made


def _records(account: Account, table: Table, store: Store, *, include_flagged: bool) -> Iterator[Record]:
    items = (None,) if table.items is None else getattr(account.documents[table.subject], table.items)
    documents = account.documents
    flagged = [kind for kind in table.optional if kind in documents and documents[kind].flags] if table.is_overview else []
    withheld = {} if include_flagged else {kind: documents[kind] for kind in flagged}
    for item in items:
        yield Record(
            {kind: document for kind, document in documents.items() if kind not in withheld},
            store.array,
            item,
            parts=tuple(account.parts),
            withheld=withheld,
            family=account.family,
        )


def _finished(record: Record, account: Account, table: Table, *, include_flagged: bool, part: str = "") -> Row | LeftOut:
    """The row of a record, its missing cells explained; a number outside its range leaves it out, or is a flag."""
    values = [column.value(record) for column in table.columns]
    wrong = [text for column, value in zip(table.columns, values, strict=True) if (text := _out_of_range(column, value))]
    if wrong and not include_flagged:
        label = getattr(record.item, "label", "") if table.items else ""
        reason = f"{label}: {'; '.join(wrong)}" if label else "; ".join(wrong)
        return LeftOut(account.material_id, account.formula, "out_of_range", reason, part)
    values[table.index(MISSING)] = as_cell(missing_codes(table.columns, values, record), "map of strings")
    if wrong:
        flags = values[table.index(FLAGS)]
        values[table.index(FLAGS)] = [*(flags if isinstance(flags, list) else ()), *wrong]
    return Row(account.material_id, tuple(values), table.crystal(record.documents))


def _out_of_range(column: Column, value: Value) -> str | None:
    """What is wrong with a cell; None for one that is missing or in range."""
    if value is None or column.allowed is None:
        return None
    found: float | None
    if isinstance(value, np.ndarray):
        there = value[np.isfinite(value)]
        found = outside(column.allowed, (float(there.min()), float(there.max()))) if there.size else None
    else:
        numbers = value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,)
        found = outside(column.allowed, numbers)  # type: ignore[arg-type]
    if found is None:
        return None
    unit = f" {column.unit}" if column.unit and column.unit != "1" else ""
    return f"{column.name} is {found:g}{unit}, allowed: {column.allowed}"


def _left_out(account: Account, table: Table, *, include_flagged: bool) -> LeftOut | None:
    """Why an account makes no row; None if it makes one."""

    def because(code: LeftOutCode, reason: str) -> LeftOut:
        return LeftOut(account.material_id, account.formula, code, reason)

    documents = [account.documents[kind] for kind in table.documents if kind in account.documents]
    if len(documents) < len(table.documents):
        return because(*_without_documents(account, table))
    for document in documents:
        if document.status == "unavailable":
            return because("unavailable", _said(type(document), document.reason or "no reason given"))
    subject = account.documents[table.subject]
    if table.items is not None and not getattr(subject, table.items):
        return because("unavailable", _said(table.subject, subject.reason or f"it has no {table.items}"))
    flags = tuple(dict.fromkeys(flag for document in documents for flag in document.flags))
    if flags and not include_flagged:
        return because("flagged", "; ".join(flags))
    return None


def _said(kind: type[PropertyDoc], reason: str) -> str:
    """A reason with the name of the property, where it does not begin with that already."""
    name = property_name(kind)
    return reason if reason.startswith(f"{name}: ") else f"{name}: {reason}"


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
            yield _finished(record, account, table, include_flagged=include_flagged, part=part.part)
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
