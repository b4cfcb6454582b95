"""The collections of the store and the indexes that serve every query hibana makes of them."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING
from pymongo.database import Database

DEFECT_COLLECTIONS = ("supercells", "vacancies", "vacancy_summaries", "chemical_potentials")
PROPERTY_COLLECTIONS = (
    *("relaxation", "electronic", "dielectric", "phonon", "optics", "sites", "dispersion", "materials"),
    *DEFECT_COLLECTIONS,
)
COLLECTIONS = ("candidates", "tasks", "arrays", "claims", *PROPERTY_COLLECTIONS, "outcomes")

INDEXES: dict[str, tuple[tuple[str, ...], ...]] = {
    "candidates": (
        *(("formula",), ("elements",), ("structure_key",), ("sources",)),
        ("submissions.protocol", "submissions.calculator"),
    ),
    "tasks": (("material_id", "task"), ("formula",), ("status",)),
    "arrays": (),
    "claims": (("state",),),
    **dict.fromkeys(PROPERTY_COLLECTIONS, (("material_id",), ("formula",), ("protocol", "calculator", "status"))),
    "outcomes": (("material_id",), ("flow", "protocol", "calculator", "state")),
}
"""Fields of the indexes of each collection, besides ``_id``, which every collection is keyed by: candidates by material_id,
tasks and claims by address, arrays by hash, properties and outcomes by what they are about."""


def create_indexes(database: Database[dict[str, Any]]) -> None:
    """Create the indexes that are missing."""
    for collection, indexes in INDEXES.items():
        for fields in indexes:
            database[collection].create_index([(field, ASCENDING) for field in fields])


def is_served(collection: str, filter: dict[str, Any]) -> bool:
    """Whether an index serves a filter: the filter is empty, or names ``_id`` or the first field of an index."""
    named = {"_id"} | {fields[0] for fields in INDEXES[collection]}
    return not filter or any(field in named for field in filter)
