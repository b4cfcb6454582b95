"""Columns that tell rows apart and columns to group rows by, for splits that do not leak."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.tables.columns import Column, Record, property_name
from hibana.tables.series import Series

FAMILY = "family"
"""Name of the column with the family of duplicates."""

SEPARATOR = ":"
"""Between the components of a row id: ``hib-0123456789abcdef:Va_O1_2:pbesol@1:vasp``."""


def row_id(document: PropertyDoc, part: str = "") -> str:
    """Name of a row: the same in every export, in another order or with other rows around it.

    Parameters
    ----------
    document
        A property document of the row's material and series.
    part
        Which part of the material the row is about; empty for the whole of it.
    """
    about = (document.material_id, part) if part else (document.material_id,)
    return SEPARATOR.join((*about, series_key(Series(document.protocol, document.protocol_version, document.calculator))))


def series_key(series: Series) -> str:
    """The last components of the row ids of a series."""
    return f"{series.protocol}@{series.protocol_version}{SEPARATOR}{series.calculator}"


def row_id_column(kind: type[PropertyDoc], part: Callable[[Record], str] | None = None) -> Column:
    """Column ``row_id``.

    Parameters
    ----------
    kind
        The document the table is about.
    part
        Which part of the material a row is about; default: what the document says.
    """

    def read(record: Record) -> str:
        document = record.documents[kind]
        return row_id(document, document.part if part is None else part(record))

    return Column(
        name="row_id",
        dtype="string",
        unit=None,
        meaning="Name of the row, unique and stable: material, part of it where the row is about one, protocol, calculator.",
        source=f"{property_name(kind)}.material_id, part, protocol, protocol_version, calculator",
        read=read,
    )


def family_column() -> Column:
    """Column ``family``, which screening knows and no property document."""
    return Column(
        *(FAMILY, "string", None),
        "Family of duplicates that `hibana screen` put the input crystal into: rows of one family are one crystal within its "
        "tolerances. Labels by the latest version of its rule; candidates that share a label of any screening have one.",
        "candidates.families",
        lambda record: record.family,
    )


def group_columns(kind: type[PropertyDoc]) -> tuple[Column, ...]:
    """Columns to group rows by: formula, anonymous formula, prototype, chemical system."""
    name = property_name(kind)

    def prototype(record: Record) -> str | None:
        relaxed = record.documents.get(RelaxationDoc)
        number = relaxed.space_group_number if isinstance(relaxed, RelaxationDoc) else None
        return None if number is None else f"{_anonymous(record.documents[kind].formula)}-{number}"

    return (
        Column(
            *("reduced_formula", "string", None),
            "Reduced formula, under this name in every table; the same as `formula`.",
            f"{name}.formula",
            lambda record: record.documents[kind].formula,
        ),
        Column(
            *("anonymous_formula", "string", None),
            "Reduced formula with letters in place of elements, ascending amounts: AB2.",
            f"{name}.formula",
            lambda record: _anonymous(record.documents[kind].formula),
        ),
        Column(
            *("prototype", "string", None),
            "Anonymous formula and space group after relaxation: AB-225. Crystals of one structure type share it.",
            f"{name}.formula, relaxation.space_group_number",
            prototype,
            steps=("structure_opt",),
        ),
        Column(
            *("chemical_system", "string", None),
            "Elements, alphabetically: Mg-O.",
            f"{name}.elements",
            lambda record: "-".join(sorted(record.documents[kind].elements)),
        ),
    )


@lru_cache(maxsize=4096)
def _anonymous(formula: str) -> str:
    from pymatgen.core import Composition

    return str(Composition(formula).anonymized_formula)
