"""Fields that a filter misspells."""

from __future__ import annotations

import pytest

from hibana.core.errors import HibanaError
from hibana.store.fields import check_filter, named_fields
from hibana.store.indexes import COLLECTIONS


def refused(database, collection: str, filter: dict) -> str | None:
    try:
        check_filter(database, collection, filter)
    except HibanaError as error:
        return str(error)
    return None


def test_names_are_found_wherever_a_filter_has_them():
    filter = {
        "$or": [{"a": 1}, {"b.0": {"$gt": 1}}],
        "c": {"$elemMatch": {"d": 1, "$or": [{"e": 2}]}},
        "f": {"$not": {"$elemMatch": {"g": 1}}},
        "h": {"i": 1},
        "k": {"$all": [{"$elemMatch": {"l": 1}}]},
        "$expr": {"$gt": ["$x", "$y"]},
        "m": {"$in": [1, {"n": 1}]},
    }
    assert list(named_fields(filter)) == ["a", "b.0", "c", "c.d", "c.e", "f", "f.g", "h", "k", "k.l", "m"]


@pytest.mark.parametrize(
    ("collection", "filter", "meant"),
    [
        ("electronic", {"band_gap_pbsol": {"$gt": 1}}, "band_gap_pbesol"),
        ("electronic", {"$and": [{"formula": "MgO"}, {"fromula": "MgO"}]}, "formula"),
        ("candidates", {"n_site": 2}, "n_sites"),
        ("candidates", {"submissions": {"$elemMatch": {"protocl": "pbesol"}}}, "submissions.protocol"),
        ("tasks", {"corrections.0.handlr": "x"}, "corrections.handler"),
        ("tasks", {"machine.hots": "x"}, "machine.host"),
        ("materials", {"formula.x": 1}, "formula"),
    ],
)
def test_a_field_of_no_model_is_refused_with_the_name_that_is_near(database, collection, filter, meant):
    said = refused(database, collection, filter)
    assert said is not None
    assert said.startswith("HIB-078")
    assert f"no document of {collection} has a field" in said
    assert meant in said


@pytest.mark.parametrize(
    ("collection", "filter"),
    [
        ("electronic", {"_id": "x", "arrays.dos.shape": 3, "addresses.band": "x"}),
        ("tasks", {"inputs.incar.LDAUTYPE": 2, "calculator.provenance.data_sets.O": "f12", "failure.kind": "zbrent"}),
        ("tasks", {"corrections.0.actions.0.dict": "INCAR", "forces.0.1": {"$gt": 1}, "versions.vise": "0.9"}),
        ("candidates", {"submissions.0.flow": "bulk", "crystal.species": "O", "$comment": "mine"}),
        *((collection, {}) for collection in COLLECTIONS),
        ("outcomes", {"states": "done"}),
        ("no such collection", {"a": 1}),
    ],
)
def test_fields_of_a_model_and_what_is_free_below_them_are_not_refused(database, collection, filter):
    assert refused(database, collection, filter) is None


def test_a_field_of_ones_own_is_not_refused_where_a_document_has_it(database):
    documents = database["candidates"]
    documents.insert_many([{"_id": str(number), "formula": "MgO"} for number in range(300)])
    assert refused(database, "candidates", {"tags.mine": {"$exists": False}}) is not None
    documents.update_one({"_id": "299"}, {"$set": {"tags": {"mine": 1}}})
    assert refused(database, "candidates", {"tags.mine": {"$exists": False}}) is None
    assert refused(database, "candidates", {"tags.yours": 1}) is not None


def test_without_a_model_the_documents_tell(database):
    database["outcomes"].insert_one({"_id": "a", "state": "done"})
    assert "state" in (refused(database, "outcomes", {"states": "done"}) or "")
    assert refused(database, "outcomes", {"state": "done"}) is None
