"""Every input has a row, the sums agree, and neither order, names of files nor processes change the result."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure

from hibana.core.errors import HibanaError
from hibana.structures.identity import make_candidate, structure_key
from hibana.structures.intake import died
from hibana.structures.parallel import work
from hibana.structures.reading import ReadStructure, read_structures
from hibana.structures.rules import NO_RULES, Rules, load_rules
from hibana.structures.screened import summary_of, write_screening
from hibana.structures.screening import Screening, screen
from hibana.structures.sources import Piece
from prototypes import make_prototypes, other_description
from size import FULL

PROTOTYPES = make_prototypes()
MGO, ZNO, TIO2 = (PROTOTYPES[name] for name in ("rock salt MgO", "wurtzite ZnO", "rutile TiO2"))
RULES = Rules.model_validate(
    {
        "name": "test",
        "rules": [
            {"rule": "elements", "require": ["O"]},
            {"rule": "sites", "max": 8},
            {"rule": "elements", "exclude": ["V"]},
            {"rule": "hull_distance", "max": 0.1, "unknown": "keep"},
        ],
    }
)


def lines() -> list[str]:
    """Inputs of every fate, with copies of some crystals."""

    def line(name: str, structure: Structure, **values: float) -> str:
        return json.dumps({"material_id": name, "structure": structure.as_dict(), **values})

    larger = TIO2.copy()
    larger.scale_lattice(1.02 * larger.volume)
    half = MGO.copy()
    half.replace(0, {"Mg": 0.5})
    return [
        line("MgO 1", MGO, energy_above_hull=0.05),
        line("MgO 2", other_description(MGO, 1, volume=1), energy_above_hull=0.0),
        line("MgO 3", other_description(MGO, 2, volume=2), energy_above_hull=0.2),
        line("ZnO", ZNO),
        line("TiO2 1", TIO2),
        line("TiO2 2", larger),
        line("anatase", PROTOTYPES["anatase TiO2"]),
        line("ZnS", PROTOTYPES["zinc blende ZnS"]),
        line("spinel", PROTOTYPES["spinel MgAl2O4"]),
        line("half", half),
        '{"material_id": "none"}',
        "not json",
    ]


LINES = lines()
EXPECTED = {
    "MgO 1": "duplicate",
    "MgO 2": "candidate",
    "MgO 3": "refused",
    "ZnO": "candidate",
    "TiO2 1": {"candidate", "duplicate"},
    "TiO2 2": {"candidate", "duplicate"},
    "anatase": "candidate",
    "ZnS": "refused",
    "spinel": "refused",
    "half": "refused",
    "none": "unreadable",
    "": "unreadable",
}


def screened(folder: Path, order, rules: Rules = RULES, **changes) -> Screening:
    path = folder / "in.jsonl"
    path.write_text("\n".join(LINES[number] for number in order))
    return screen([path], folder, rules, **{"workers": 1, **changes})


def essence(found: Screening) -> dict[str, tuple[str, ...]]:
    return {row.name: (row.fate, row.rule, row.reason, row.family, row.material_id, row.formula) for row in found.rows}


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Screening:
    return screened(tmp_path_factory.mktemp("first"), range(len(LINES)))


def test_every_input_has_its_fate(first):
    fates = {row.name: row.fate for row in first.rows}
    assert {name for name, fate in fates.items() if fate not in EXPECTED[name]} == set()
    assert sorted(fates[name] for name in ("TiO2 1", "TiO2 2")) == ["candidate", "duplicate"]
    rows = {row.name: row for row in first.rows}
    assert rows["MgO 1"].reason == "the same crystal as MgO 2", "the one nearer to the hull stands for both"
    assert rows["MgO 3"].family == rows["MgO 1"].family
    assert rows["MgO 3"].reason == "energy above the hull 0.2 eV/atom, at most 0.1"
    assert rows["spinel"].reason == "14 atoms in the primitive cell, at most 8"
    assert (rows["half"].rule, rows["none"].rule, rows[""].rule) == ("disorder", "HIB-010", "HIB-013")
    assert all(row.reason for row in first.rows if row.fate != "candidate")


def test_the_sums_agree(first):
    assert [row.place for row in first.rows] == [(number, 0) for number in range(1, len(LINES) + 1)]
    summary = summary_of(first)
    assert sum(summary["fates"].values()) == len(LINES) == summary["inputs"]
    assert sum(summary["by_rule"].values()) == len(LINES) - summary["fates"]["candidate"]
    assert first.funnel() == [
        ("inputs", 12),
        ("readable", 10),
        ("disorder", 9),
        ("elements", 8),
        ("sites", 7),
        ("hull_distance", 6),
        ("duplicates", 4),
    ]
    assert summary["fates"]["candidate"] == 4
    assert (summary["crystals"], summary["families"], summary["candidates_of_one_family"]) == (7, 6, 0)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(order=st.permutations(range(len(LINES))))
def test_the_order_of_inputs_changes_nothing(first, tmp_path, order):
    assert essence(screened(tmp_path, order)) == essence(first)


def test_files_are_the_same_bytes_however_they_were_made(tmp_path):
    """Copies of a crystal in several files, given in another order and to two processes."""
    paths = []
    for number, line in enumerate(LINES[:7]):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(line)
        paths.append(path)
    written = []
    for name, given_paths, workers in (("a", paths, 1), ("b", paths[::-1], 2)):
        folder = tmp_path / name
        folder.mkdir()
        files = write_screening(screen(given_paths, tmp_path, RULES, workers=workers), folder)
        written.append({key: path.read_bytes() for key, path in files.items()})
    assert written[0] == written[1]


def test_what_is_written_can_be_submitted(first, tmp_path):
    files = write_screening(first, tmp_path)
    read = read_structures(tmp_path)
    assert read == read_structures(files["candidates"])
    wanted = [row for row in first.rows if row.fate == "candidate"]
    assert {structure_key(item.structure) for item in read} == {row.key for row in wanted}
    assert {make_candidate(item).material_id for item in read} == {row.material_id for row in wanted}
    assert {item.source.rpartition("(")[2][:-1] for item in read} == {row.name for row in wanted}
    with gzip.open(files["candidates"], "rt") as file:
        found = [json.loads(line) for line in file]
    assert {"id", "family", "source", "structure"} <= found[0].keys()
    with files["report"].open(newline="") as file:
        report = list(csv.DictReader(file))
    assert Counter(row["fate"] for row in report) == Counter(row.fate for row in first.rows)
    assert [row["index"] for row in report] == [str(number) for number in range(1, len(LINES) + 1)]
    assert json.loads(files["summary"].read_text()) == json.loads(json.dumps(summary_of(first)))


def test_what_the_store_has_is_left_out(tmp_path):
    stored = [make_candidate(ReadStructure(structure, "x")) for structure in (other_description(ZNO, 3, noise=1e-3), TIO2)]
    asked = []

    def store(formulas, collection):
        asked.append((sorted(formulas), collection))
        return [candidate for candidate in stored if candidate.formula in formulas]

    found = screened(tmp_path, range(len(LINES)), RULES.not_in_store("electronic"), stored=store)
    assert asked == [(["MgO", "TiO2", "ZnO"], "electronic")], "only formulas that the rules let pass"
    rows = {row.name: row for row in found.rows}
    assert rows["ZnO"].fate == "in_store"
    assert rows["ZnO"].reason == f"the store has it as {stored[0].material_id}"
    assert sorted((rows["TiO2 1"].fate, rows["TiO2 2"].fate)) == ["duplicate", "in_store"]
    assert rows["anatase"].fate == "candidate"
    assert found.funnel()[-2:] == [("duplicates", 4), ("not_in_store", 2)]
    assert found.count("candidate") == 2


def test_values_of_a_table_win(tmp_path):
    found = screened(tmp_path, range(3), values={"MgO 3": {"hull_distance": -0.01}, "MgO 2": {"hull_distance": 3.0}})
    fates = {row.name: row.fate for row in found.rows}
    assert fates == {"MgO 1": "duplicate", "MgO 2": "refused", "MgO 3": "candidate"}


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(HibanaError, match="HIB-014"):
        screen([tmp_path / "in"], tmp_path, NO_RULES, workers=1)


def deadly(number: int) -> int:
    if number in (5, 17):
        os._exit(1)
    return number * number


def test_a_process_that_dies_takes_one_item_with_it():
    found = dict(work(deadly, range(20), workers=2, died=lambda number: -number, chunk=4))
    assert found == {number: -number if number in (5, 17) else number * number for number in range(20)}
    (row,) = died(Piece("x.cif", "cif"))
    assert (row.source, row.error.kind.code) == ("x.cif", "HIB-024")


@pytest.mark.slow
def test_the_real_oxides(recorded, tmp_path):
    """All 5,966 in the full form, one in 40 of them else, forwards and backwards."""
    with gzip.open(recorded / "ml_data" / "mp_oxide_structures" / "structures.jsonl.gz", "rt") as file:
        given_lines = list(file)[:: 1 if FULL else 40]
    found = []
    for name, some in (("a", given_lines), ("b", given_lines[::-1])):
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(gzip.compress("".join(some).encode(), 1))
        found.append(screen([path], tmp_path, load_rules("oxides")))
    assert essence(found[0]) == essence(found[1])
    summary = summary_of(found[0])
    assert sum(summary["fates"].values()) == summary["inputs"] == len(given_lines) == len(found[0].rows)
    assert summary["fates"]["unreadable"] == summary["fates"]["passed_over"] == 0
    assert found[0].funnel()[-1][1] == summary["fates"]["candidate"] == len(list(found[0].candidates()))
