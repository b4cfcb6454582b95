"""The table ``structures``: relaxed crystals, one row a material."""

from __future__ import annotations

from hibana.documents.crystal import Crystal
from hibana.documents.properties import RelaxationDoc
from hibana.tables.columns import Column, Record, address_column, projection, steps_of
from hibana.tables.common import crystal_columns, identity_columns, quality_columns
from hibana.tables.keys import family_column
from hibana.tables.table import Table


def _crystal(record: Record) -> Crystal | None:
    document = record.documents[RelaxationDoc]
    return document.crystal if isinstance(document, RelaxationDoc) else None


def _n_sites(record: Record) -> int | None:
    crystal = _crystal(record)
    return None if crystal is None else len(crystal.species)


def _n_elements(record: Record) -> int:
    return len(record.documents[RelaxationDoc].elements)


STRUCTURES = Table(
    name="structures",
    title="Relaxed crystals",
    about=(
        "Each crystal was relaxed with PBEsol until a relaxation converged at its first ionic step. Lattice parameters are those "
        "of the conventional cell; `n_sites` counts the atoms of the primitive cell, which `structures.jsonl.gz` has.",
        "A row is in this table whatever else was calculated of the material: it is the widest of all tables but `materials`.",
    ),
    branches=(),
    documents=(RelaxationDoc,),
    columns=(
        *identity_columns(RelaxationDoc),
        family_column(),
        Column(
            *("n_sites", "integer", None, "Atoms in the relaxed primitive cell.", "relaxation.crystal", _n_sites),
            steps=steps_of(RelaxationDoc, "crystal"),
        ),
        Column("n_elements", "integer", None, "Number of elements.", "relaxation.elements", _n_elements),
        projection(RelaxationDoc, "initial_space_group_number"),
        *crystal_columns(),
        *(projection(RelaxationDoc, field) for field in ("max_force", "n_rounds")),
        *quality_columns(RelaxationDoc),
        address_column(RelaxationDoc, "structure_opt"),
    ),
)
