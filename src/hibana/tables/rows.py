"""Rows of a table, and the candidates that have none with the reason, in one pass sorted by material."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hibana.tables.columns import Value, property_name
from hibana.tables.reading import Account, accounts
from hibana.tables.series import Series
from hibana.tables.table import Table

if TYPE_CHECKING:
    from hibana.store.store import Store

LeftOutCode = Literal["flagged", "unavailable", "no_result", "unfinished", "not_submitted"]

LEFT_OUT_MEANINGS: Mapping[LeftOutCode, str] = {
    "flagged": "has a result that fails an invariant or rests on a correction to know of",
    "unavailable": "was calculated, but the property the table is about has no value",
    "no_result": "its workflow ended without the property",
    "unfinished": "its workflow has not ended",
    "not_submitted": "was not submitted with this calculator and protocol",
}


@dataclass(frozen=True)
class Row:
    """One row: its values in the order of the table's columns."""

    material_id: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class LeftOut:
    """A candidate without a row, and why."""

    material_id: str
    formula: str
    code: LeftOutCode
    reason: str


def rows(store: Store, table: Table, series: Series, *, include_flagged: bool = False) -> Iterator[Row | LeftOut]:
    """Every candidate of the store once, sorted by ``material_id``: as a row, or left out with the reason.

    Parameters
    ----------
    store
        Where the documents are.
    table
        The table.
    series
        The one series of the rows.
    include_flagged
        Whether rows with flags stay in the table.
    """
    for account in accounts(store, table, series):
        yield _left_out(account, table, include_flagged=include_flagged) or _row(account, table)


def _row(account: Account, table: Table) -> Row:
    return Row(account.material_id, tuple(column.value(account.documents) for column in table.columns))


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
    flags = tuple(dict.fromkeys(flag for document in documents for flag in document.flags))
    if flags and not include_flagged:
        return because("flagged", "; ".join(flags))
    return None


def _without_documents(account: Account, table: Table) -> tuple[LeftOutCode, str]:
    if account.outcome is not None:
        return "no_result", account.outcome
    if account.documents or account.submitted:
        missing = [property_name(kind) for kind in table.documents if kind not in account.documents]
        return "unfinished", f"no {' and no '.join(missing)} document yet"
    return "not_submitted", LEFT_OUT_MEANINGS["not_submitted"]
