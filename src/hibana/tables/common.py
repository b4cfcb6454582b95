"""Columns that all tables have: what a row is about, the relaxed cell, and what to know of the row."""

from __future__ import annotations

from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.tables.columns import Column, flags_column, projection

_IDENTITY = ("material_id", "formula", "calculator", "calculator_version", "protocol", "protocol_version")
_SPACE_GROUP = ("space_group_number", "space_group_symbol")
_CELL = ("a", "b", "c", "alpha", "beta", "gamma", "volume_per_atom", "energy_per_atom")


def identity_columns(kind: type[PropertyDoc]) -> tuple[Column, ...]:
    """Material, code and protocol of a row, as a document says them."""
    return tuple(projection(kind, field) for field in _IDENTITY)


def space_group_columns() -> tuple[Column, ...]:
    """Space group after relaxation."""
    return tuple(projection(RelaxationDoc, field) for field in _SPACE_GROUP)


def crystal_columns() -> tuple[Column, ...]:
    """Space group, lattice parameters, volume and energy after relaxation."""
    return (*space_group_columns(), *(projection(RelaxationDoc, field) for field in _CELL))


def quality_columns(*kinds: type[PropertyDoc]) -> tuple[Column, ...]:
    """Status and reason of the last kind of document, and the flags of all of them and of no other."""
    return projection(kinds[-1], "status"), projection(kinds[-1], "reason"), flags_column(*kinds)
