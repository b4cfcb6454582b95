"""Columns that all tables have: what a row is about, the relaxed cell, and what to know of the row."""

from __future__ import annotations

from collections.abc import Callable

from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.tables.columns import Column, Record, flags_column, projection
from hibana.tables.keys import group_columns, row_id_column
from hibana.tables.missing import missing_column

_IDENTITY = ("material_id", "formula", "calculator", "calculator_version", "protocol", "protocol_version")
_SPACE_GROUP = ("space_group_number", "space_group_symbol")
_CELL = ("a", "b", "c", "alpha", "beta", "gamma", "volume_per_atom", "energy_per_atom")


def identity_columns(kind: type[PropertyDoc], part: Callable[[Record], str] | None = None) -> tuple[Column, ...]:
    """Name of a row, its material, code and protocol as a document says them, and what to group rows by.

    Parameters
    ----------
    kind
        The document the table is about.
    part
        Which part of the material a row is about; default: what the document says.
    """
    return row_id_column(kind, part), *(projection(kind, field) for field in _IDENTITY), *group_columns(kind)


def space_group_columns() -> tuple[Column, ...]:
    """Space group after relaxation."""
    return tuple(projection(RelaxationDoc, field) for field in _SPACE_GROUP)


def crystal_columns() -> tuple[Column, ...]:
    """Space group, lattice parameters, volume and energy after relaxation."""
    return (*space_group_columns(), *(projection(RelaxationDoc, field) for field in _CELL))


def quality_columns(*kinds: type[PropertyDoc]) -> tuple[Column, ...]:
    """Status and reason of the last kind of document, what is missing, and the flags of all of them and of no other."""
    return projection(kinds[-1], "status"), projection(kinds[-1], "reason"), missing_column(), flags_column(*kinds)
