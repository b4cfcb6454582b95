"""The family of screening: from its file to the store, the tables and the splits."""

from __future__ import annotations

import itertools
import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Lattice, Structure

from hibana.documents.candidate import Family
from hibana.learn.dataset import read_dataset
from hibana.learn.splits import splits_of
from hibana.structures.identity import make_candidate
from hibana.structures.matching import FAMILY_RULE
from hibana.structures.reading import ReadStructure, read_structures
from hibana.tables.export import export

FORMULAS = ("MgO", "CaO", "ZnO", "SrO", "BaO")
A, B, C, D = (f"fam-{letter * 16}" for letter in "abcd")


def families(folder, table: str) -> dict[str, tuple[str | None, str | None]]:
    """Family and code for a missing one, by formula."""
    rows = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return {row["formula"]: (row["family"], dict(row["missing"]).get("family")) for row in rows}


@pytest.fixture
def relaxed(bulk):
    """Relaxed candidates that screenings can say more of."""
    for formula in FORMULAS:
        bulk.submit(formula, "bulk")
        bulk.relaxation(formula)

    def say(formula: str, label: str, rule: int = FAMILY_RULE) -> None:
        found = next(item for item in bulk.store.candidates_of(formula))
        bulk.store.add_candidate(found.model_copy(update={"families": (Family(label=label, rule=rule),)}))

    bulk.say = say
    return bulk


OLD = FAMILY_RULE - 1
SAID = [("MgO", B), ("CaO", B), ("CaO", A), ("ZnO", A), ("SrO", C, OLD), ("SrO", D), ("SrO", D)]


@pytest.mark.parametrize("table", ["structures", "materials"])
@pytest.mark.parametrize("order", [SAID, SAID[::-1]])
def test_screenings_join_by_the_crystals_they_share_in_any_order(relaxed, tmp_path, table, order):
    for said in order:
        relaxed.say(*said)
    export(relaxed.store, table, tmp_path)
    assert families(tmp_path, table) == {
        "MgO": (A, None),
        "CaO": (A, None),
        "ZnO": (A, None),
        "SrO": (D, None),
        "BaO": (None, "not_screened"),
    }
    (strontia,) = relaxed.store.candidates_of("SrO")
    assert set(strontia.families) == {Family(label=C, rule=OLD), Family(label=D, rule=FAMILY_RULE)}


@pytest.mark.parametrize("other", [OLD, FAMILY_RULE + 1])
def test_labels_by_several_versions_of_the_rule_are_of_several_families(relaxed, tmp_path, other):
    """Also where they have the same name, and where another crystal has it with a second one."""
    said = [("MgO", A, other), ("CaO", A), ("CaO", B), ("ZnO", B), ("SrO", A, other), ("SrO", C, other), ("BaO", C, other)]
    for item in said:
        relaxed.say(*item)
    export(relaxed.store, "structures", tmp_path)
    found = {formula: family for formula, (family, _) in families(tmp_path, "structures").items()}
    assert found == {"CaO": A, "ZnO": A} | dict.fromkeys(("MgO", "SrO", "BaO"), f"{A}@{other}")


def test_a_label_of_an_older_rule_links_nothing(relaxed, tmp_path):
    for said in (("MgO", A, OLD), ("CaO", A, OLD), ("CaO", B)):
        relaxed.say(*said)
    export(relaxed.store, "structures", tmp_path)
    found = families(tmp_path, "structures")
    assert (found["MgO"][0], found["CaO"][0]) == (f"{A}@{OLD}", B)


def test_the_family_is_read_with_the_candidate_and_changes_no_identity(tmp_path):
    rocksalt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    line = {"source": "MgO.cif", "family": A, "structure": rocksalt.as_dict()}
    lines = [line | {"family_rule": 3}, line, line | {"family": "halides"}]
    (tmp_path / "candidates.jsonl").write_text("".join(json.dumps(item) + "\n" for item in lines))
    read = read_structures(tmp_path / "candidates.jsonl")
    assert [item.family for item in read] == [Family(label=A, rule=3), Family(label=A, rule=1), None]
    plain = make_candidate(ReadStructure(rocksalt, "x"))
    assert {make_candidate(item).material_id for item in read} == {plain.material_id}
    assert (make_candidate(read[0]).families, plain.families) == ((Family(label=A, rule=3),), ())


@pytest.mark.parametrize("rows", list(itertools.permutations(range(6)))[::97])
def test_splits_keep_families_together(tmp_path, rows):
    frame = pd.DataFrame(
        {
            "material_id": [f"m{n}" for n in range(6)],
            "formula": ["MgO", "MgO", "CaO", "CaO", "SrO", "SrO"],
            "family": [A, B, C, None, None, None],
        }
    )
    frame.iloc[list(rows)].to_csv(tmp_path / "t.csv", index=False)
    table = splits_of(read_dataset(tmp_path), 2)
    labels = dict(zip((row.partition(":")[0] for row in table.row_ids), table.groups["duplicate_family"], strict=True))
    assert labels["m0"] == labels["m1"]  # without structures one formula may be one crystal
    assert labels["m2"] == labels["m3"] != labels["m4"] == labels["m5"]
    (split,) = (split for split in table.splits if split.name == "duplicate_family")
    numbers = {number for number, (_, test) in enumerate(split.folds) if {"m0", "m1"} & {table.row_ids[row] for row in test}}
    assert len(numbers) == 1


def test_families_of_screening_join_formulas_of_the_table(tmp_path):
    """What screening held to be one crystal stays together even where the table has two formulas for it."""
    frame = pd.DataFrame({"material_id": list("abcd"), "formula": ["MgO", "MgO2", "CaO", "SrO"], "family": [A, A, B, C]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    labels = splits_of(read_dataset(tmp_path), 2).groups["duplicate_family"]
    assert labels[0] == labels[1]
    assert len(set(labels)) == 3
