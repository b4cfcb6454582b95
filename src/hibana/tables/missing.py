"""Why a cell is missing: a code for each, in the column ``missing`` of every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from hibana.documents.properties import ElectronicDoc, PropertyDoc
from hibana.documents.sites import SiteDescriptor, SitesDoc
from hibana.tables.cells import Value
from hibana.tables.columns import Column, Record, property_name
from hibana.tables.keys import FAMILY

MissingCode = Literal[
    "no_document", "unavailable", "flagged", "failed", "metal", "not_asked", "not_given", "not_applicable", "not_screened"
]

MISSING_MEANINGS: Mapping[MissingCode, str] = {
    "no_document": "the property that it shows was not asked for, or is not there yet",
    "unavailable": "the property that it shows has no value; its own table lists the material as left out, with the reason",
    "flagged": "the property that it shows has flags; `--include-flagged` lets it in",
    "failed": "a run that it is read from has no answer",
    "metal": "is not defined of a metal, or not calculated for one",
    "not_asked": "not looked for: a run that it is read from is not part of what was asked for, or was not spin-polarised",
    "not_given": "the runs are there and do not give it: the quantity has no value for this material, or could not be derived",
    "not_applicable": "has no meaning for a site of this kind",
    "not_screened": "the material was submitted without `hibana screen`, which finds the families of duplicates",
}

ALTERNATIVES = (frozenset({"hse06_nsc", "ddh_nsc"}), frozenset({"oxygen_molecule", "oxygen_atom"}))
"""Steps of which one is enough where a value is read from any of them."""

OF_METALS_TOO = frozenset({"gap_class", "band_gap_pbesol", "band_gap_dos", "magnetization"})
"""Fields of the electronic document that a metal has like any other crystal; all others need a gap."""

MISSING = "missing"
"""Name of the column."""


def missing_column() -> Column:
    """The column: a map of each missing cell of the row to its code. It is filled when all other cells are known."""
    return Column(
        name=MISSING,
        dtype="map of strings",
        unit=None,
        meaning="Columns that are null in this row, each with the code that says why; the codes are listed with the columns.",
        source="reasons, addresses and status of the documents of the row",
        read=lambda _record: {},
    )


def missing_codes(columns: Sequence[Column], values: Sequence[Value], record: Record) -> dict[str, MissingCode]:
    """Code of each missing cell of a row; notes and, but for the family, what is not read from runs are never missing.

    Parameters
    ----------
    columns, values
        Columns of the table and cells of the row, in the same order.
    record
        What the row was made from.
    """
    documents = {property_name(kind): document for kind, document in record.documents.items()}
    withheld = {property_name(kind) for kind in record.withheld}
    steps: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    found: dict[str, MissingCode] = {}
    for column, value in zip(columns, values, strict=True):
        if value is None and column.name == FAMILY:
            found[column.name] = "not_screened"
        if value is not None or not column.steps or column.is_note:
            continue
        name = column.source.partition(".")[0]
        document = documents.get(name)
        if document is None:
            found[column.name] = "flagged" if name in withheld else "no_document"
        elif document.status == "unavailable":
            found[column.name] = "unavailable"
        elif isinstance(document, SitesDoc):
            found[column.name] = _code_of_site(column, record.item)
        else:
            if name not in steps:
                steps[name] = _steps(document)
            found[column.name] = _code_of_steps(column, document, *steps[name])
    return found


def _code_of_site(column: Column, site: BaseModel | None) -> MissingCode:
    """Sites name their missing quantities themselves; one without a reason is none of theirs."""
    if not isinstance(site, SiteDescriptor):
        return "not_given"
    quantity = column.source.rpartition(".")[2]
    around = quantity.removeprefix("nn_").partition("_")[2]
    return "not_given" if {quantity, f"nn_{around}"} & site.reasons.keys() else "not_applicable"


def _code_of_steps(column: Column, document: PropertyDoc, there: frozenset[str], without: frozenset[str]) -> MissingCode:
    """Code by the steps that the document has runs of, and those that have no answer.

    What needs a gap is missing because of the metal, whatever became of its run: a hybrid that is skipped has a reason too.
    """
    field = column.source.rpartition(".")[2]
    if isinstance(document, ElectronicDoc) and document.gap_class == "metal" and field not in OF_METALS_TOO:
        return "metal"
    if any(step in without and step not in there for step in column.steps):
        return "failed"
    if isinstance(document, ElectronicDoc) and field == "magnetization":
        return "not_asked"
    needed = set(column.steps)
    for either in ALTERNATIVES:
        if needed.issuperset(either):
            needed -= either
    return "not_given" if there.issuperset(needed) else "not_asked"


def _steps(document: PropertyDoc) -> tuple[frozenset[str], frozenset[str]]:
    """Steps that a document has runs of, and steps that have no answer."""
    there, without = (frozenset(name.partition("-")[0] for name in names) for names in (document.addresses, document.reasons))
    return there, without
