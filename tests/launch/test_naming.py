"""Many materials by name: few queries, and the same as one by one."""

from __future__ import annotations

import pytest

from hibana.core.errors import HibanaError
from hibana.launch import naming
from hibana.launch.naming import chosen_materials, find_materials
from hibana.store.store import Store

SOURCES = (
    *("/data/a/MgO.cif", "b/MgO.cif#block", "b/POSCAR_7", "c/x+y (1).vasp"),
    *("dump.zip!in/ZnO.json#3", "MgO.cif.gz", "mp-1", "d/MgO2.cif"),
)
NAMES = (
    *("MgO", "MgO.cif", "a/MgO.cif", "b/MgO", "POSCAR_7", "x+y (1).vasp", "x+y (1)", "mp-1", "MgO2", "dump.zip"),
    *("hib-3", "Zn2O2", "/elsewhere/b/POSCAR_7"),
)


@pytest.fixture
def filled(store) -> Store:
    documents = [
        {
            "_id": f"hib-{number}",
            "material_id": f"hib-{number}",
            "formula": f"Zn{number}O{number}",
            "n_sites": 2,
            "sources": [source],
        }
        for number, source in enumerate(SOURCES)
    ]
    documents[4]["sources"] += ["a/ZnO.json", "MgO.cif"]
    store.database["candidates"].insert_many(documents)
    return store


def counted(store, monkeypatch) -> list:
    queries, query = [], Store.query

    def noted(self, *args, **kwargs):
        queries.append(args)
        return query(self, *args, **kwargs)

    monkeypatch.setattr(Store, "query", noted)
    return queries


@pytest.mark.parametrize("longest", [naming.LONGEST_PATTERN, 8])
def test_together_as_one_by_one(filled, monkeypatch, longest):
    monkeypatch.setattr(naming, "LONGEST_PATTERN", longest)
    single = {name: find_materials(filled, name) for name in NAMES}
    assert single["MgO.cif"] == ["hib-4"]  # a source as it is noted comes first
    assert single["MgO"] == ["hib-0", "hib-1", "hib-4", "hib-5"]
    assert single["b/MgO"] == ["hib-1", "hib-4", "hib-5"]
    assert (single["x+y (1)"], single["mp-1"], single["hib-3"]) == (["hib-3"], ["hib-6"], ["hib-3"])
    assert single["Zn2O2"] == single["POSCAR_7"] == single["/elsewhere/b/POSCAR_7"] == ["hib-2"]
    together = find_materials(filled, *NAMES, *NAMES)
    assert together == list(dict.fromkeys(found for name in NAMES for found in single[name]))


def test_many_names_are_few_queries(filled, monkeypatch):
    documents = [{"_id": f"m{n}", "material_id": f"m{n}", "formula": "X", "sources": [f"f/{n}.cif"]} for n in range(400)]
    filled.database["candidates"].insert_many(documents)
    queries = counted(filled, monkeypatch)
    assert find_materials(filled, *(f"f/{n}" for n in range(400))) == [f"m{n}" for n in range(400)]
    assert len(queries) <= 4


def test_the_name_that_is_nothing_is_told(filled):
    with pytest.raises(HibanaError, match=r"HIB-114.*'nothing'"):
        find_materials(filled, "hib-1", "nothing", "MgO")
    assert find_materials(filled) == []


def test_a_filter_that_misspells_a_field_is_refused(filled):
    assert chosen_materials(filled, ["hib-1"], '{"n_sites": 2}')[:2] == ["hib-1", "hib-0"]
    with pytest.raises(HibanaError, match=r"HIB-078.*n_site"):
        chosen_materials(filled, [], '{"n_site": {"$ne": 2}}')
