"""What an export is known by: its snapshot, its manifest, the names of its rows and the structures beside it."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import stat
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Structure

from bulk_results import site
from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.learn.dataset import read_dataset
from hibana.structures.convert import to_pymatgen
from hibana.tables.export import export
from hibana.tables.structures_file import StructuresWriter, as_pymatgen
from hibana.tables.tally import Tally
from results import ROCK_SALT, material_id


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def test_the_snapshot_is_of_the_content_and_of_nothing_else(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("ZnO", band_gap_pbesol=0.8)
    first = export(campaign.store, "electronic", tmp_path / "a").snapshot
    assert export(campaign.store, "electronic", tmp_path / "b").snapshot == first
    described = export(campaign.store, "electronic", tmp_path / "c", licence="CC-BY-4.0", formats=("jsonl",))
    assert described.snapshot == first, "the same rows with another card"
    campaign.candidate("CaO")
    assert export(campaign.store, "electronic", tmp_path / "d").snapshot == first, "a candidate without a row changes no row"
    assert manifest(tmp_path / "d")["content"]["left_out"] != manifest(tmp_path / "a")["content"]["left_out"]
    campaign.electronic("ZnO", band_gap_pbesol=0.8 + 1e-15)
    assert export(campaign.store, "electronic", tmp_path / "e").snapshot != first
    campaign.electronic("ZnO", band_gap_pbesol=0.8)
    assert export(campaign.store, "electronic", tmp_path / "f").snapshot == first
    assert export(campaign.store, "electronic", tmp_path / "g", include_flagged=True).snapshot != first, "another filter"


def test_a_structure_is_part_of_the_content(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    without = export(campaign.store, "electronic", tmp_path / "a").snapshot
    campaign.relaxation("MgO", crystal=ROCK_SALT)
    assert export(campaign.store, "electronic", tmp_path / "b").snapshot != without


def test_the_manifest_says_what_a_reader_asks(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("ZnO", flags=("dos: VBM above CBM",))
    campaign.candidate("CaO", submit=False)
    export(campaign.store, "electronic", tmp_path, licence="CC-BY-4.0", citation=("A. Author (2026)",))
    said = manifest(tmp_path)
    assert re.fullmatch("[0-9a-f]{64}", said["snapshot"])
    assert (said["protocol"], said["protocol_version"], said["calculator"], said["calculator_versions"]) == (
        *("pbesol", 1, "vasp"),
        ["6.4.2"],
    )
    assert said["counts"] == {
        "candidates": 3,
        "rows": 1,
        "materials": 1,
        "structures": 0,
        "flagged_rows": 0,
        "left_out": {"flagged": 1, "not_submitted": 1},
    }
    assert (said["licence"], said["citation"], said["filter"]) == ("CC-BY-4.0", ["A. Author (2026)"], {"include_flagged": False})
    assert said["software"]["hibana"]
    assert "electronic" in said["query"]["collections"]
    columns = {column["name"]: column for column in said["columns"]}
    assert columns["band_gap_pbesol"]["allowed"] == [0.0, 40.0]
    card = (tmp_path / "README.md").read_text()
    for fact in (said["snapshot"], "CC-BY-4.0", "A. Author (2026)", "**Candidates considered**: 3"):
        assert fact in card


def test_the_manifest_vouches_for_every_other_file(full_bulk, tmp_path) -> None:
    tmp_path = tmp_path / "table"
    export(full_bulk.store, "optical_absorption", tmp_path, formats=("jsonl", "hdf5"))
    files = manifest(tmp_path)["files"]
    assert set(files) == {path.name for path in tmp_path.iterdir()} - {"manifest.json"}
    for name, about in files.items():
        content = (tmp_path / name).read_bytes()
        assert about == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_files_of_an_earlier_export_do_not_stay(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    (tmp_path / "notes.txt").write_text("mine")
    export(campaign.store, "electronic", tmp_path, formats=("jsonl", "hdf5"))
    export(campaign.store, "electronic", tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert not {"electronic.jsonl", "electronic.h5"} & names
    assert "notes.txt" in names


def test_a_kept_snapshot_is_never_written_to_again(campaign, tmp_path) -> None:
    tmp_path = tmp_path / "tables"
    campaign.complete("MgO")
    first = export(campaign.store, "electronic", tmp_path, keep=True)
    assert first.directory == tmp_path / f"electronic-{first.snapshot[:12]}"
    times = {path: path.stat().st_mtime_ns for path in first.files}
    assert not any(path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) for path in first.files)
    again = export(campaign.store, "electronic", tmp_path, keep=True)
    assert (again.directory, again.snapshot) == (first.directory, first.snapshot)
    assert {path: path.stat().st_mtime_ns for path in first.files} == times
    campaign.complete("ZnO")
    second = export(campaign.store, "electronic", tmp_path, keep=True)
    assert second.directory != first.directory
    assert {path.name for path in tmp_path.iterdir()} == {first.directory.name, second.directory.name}
    assert len(pd.read_parquet(first.directory / "electronic.parquet")) == 1


def test_the_same_snapshot_of_another_export_that_comes_first_is_taken(campaign, tmp_path, monkeypatch) -> None:
    campaign.complete("MgO")
    tmp_path = tmp_path / "tables"
    rename, others = Path.rename, []

    def late(self, target):
        if not others:
            others.append(target)
            shutil.copytree(self, target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    kept = export(campaign.store, "electronic", tmp_path, keep=True)
    assert others == [kept.directory]
    assert [path.name for path in tmp_path.iterdir()] == [kept.directory.name]


def test_a_kept_snapshot_that_was_edited_is_told_of(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    kept = export(campaign.store, "electronic", tmp_path, keep=True).directory
    (kept / "electronic.csv").chmod(0o644)
    (kept / "electronic.csv").write_text("edited\n")
    with pytest.raises(HibanaError, match=r"HIB-140.*electronic.csv"):
        export(campaign.store, "electronic", tmp_path, keep=True)


def test_learning_modules_name_the_snapshot_and_index_by_the_row(full_bulk, tmp_path) -> None:
    report = export(full_bulk.store, "sites", tmp_path)
    dataset = read_dataset(tmp_path)
    assert dataset.snapshot == report.snapshot
    assert dataset.frame.index.tolist() == dataset.frame["row_id"].tolist()
    assert dict(dataset.structures()).keys() == set(dataset.frame["material_id"])


@pytest.mark.parametrize("table", ["electronic", "sites", "oxygen_vacancy", "materials"])
def test_rows_have_names_that_do_not_depend_on_other_rows(table: str, vacancies, tmp_path) -> None:
    def ids(folder: Path) -> dict[str, str]:
        rows = pq.read_table(folder / f"{table}.parquet").to_pylist()
        found = {row["row_id"]: row["formula"] for row in rows}
        assert len(found) == len(rows) > 0
        return found

    def add(formula: str) -> None:
        vacancies.host(formula)
        for charge in (0, 2):
            vacancies.vacancy(formula, "O1", charge)

    add("ZnO")
    export(vacancies.store, table, tmp_path / "one")
    for formula in ("MgO", "CaO", "SrO"):
        add(formula)
    export(vacancies.store, table, tmp_path / "more")
    one, more = ids(tmp_path / "one"), ids(tmp_path / "more")
    assert one.items() <= more.items()
    assert all(name.startswith(material_id(formula) + ":") and name.endswith(":pbesol@1:vasp") for name, formula in more.items())


def test_two_rows_of_one_name_are_a_numbered_error(full_bulk, tmp_path) -> None:
    full_bulk.sites("MgO", site(0, "O"), site(1, "O"))
    with pytest.raises(HibanaError, match="HIB-137"):
        export(full_bulk.store, "sites", tmp_path / "table")
    assert not list((tmp_path / "table").iterdir())


def test_a_tally_knows_the_names_of_one_material_only() -> None:
    tally = Tally()
    assert tally.add_row("a", name="a:1", is_flagged=False, version="6")
    assert not tally.add_row("a", name="a:2", is_flagged=False, version="6")
    for number in range(100):
        tally.add_row(f"b{number}", name=f"b{number}", is_flagged=False, version="6")
    assert len(tally._names) == 1
    assert (tally.n_candidates, tally.n_rows, tally.n_materials) == (101, 102, 101)


def test_rows_can_be_grouped(campaign, tmp_path) -> None:
    for formula, number in (("MgO", 225), ("ZnO", 186), ("Mg2SiO4", 62), ("NaN", 225)):
        campaign.complete(formula)
        campaign.relaxation(formula, space_group_number=number)
    campaign.relaxation("ZnO", space_group_number=None)
    export(campaign.store, "electronic", tmp_path)
    rows = {row["formula"]: row for row in pq.read_table(tmp_path / "electronic.parquet").to_pylist()}
    assert {name: row["anonymous_formula"] for name, row in rows.items()} == {
        "MgO": "AB",
        "ZnO": "AB",
        "Mg2SiO4": "AB2C4",
        "NaN": "AB",
    }
    assert (rows["MgO"]["prototype"], rows["NaN"]["prototype"], rows["ZnO"]["prototype"]) == ("AB-225", "AB-225", None)
    assert {row["reduced_formula"] for row in rows.values()} == set(rows)
    assert rows["MgO"]["chemical_system"] == "Mg-O"


MOMENTS = Crystal(**ROCK_SALT.model_dump() | {"magmoms": (5.0, 0.0)})
ODD = Crystal(
    lattice=((3.1, 0.1, 0.2), (-1.0 / 3.0, 4.2, 0.0), (0.3, 1e-17, 5.5)),
    species=("Na", "N", "No"),
    frac_coords=((0.0, 0.1, 0.2), (1 / 3, 2 / 3, 0.9999999999999999), (-0.25, 0.5, 0.125)),
)


@pytest.mark.parametrize("crystal", [ROCK_SALT, MOMENTS, ODD], ids=["plain", "moments", "odd"])
def test_structures_are_read_by_pymatgen_to_the_last_digit(crystal: Crystal) -> None:
    read = Structure.from_dict(json.loads(json.dumps(as_pymatgen(crystal))))
    wanted = to_pymatgen(crystal)
    assert read.lattice.matrix.tolist() == wanted.lattice.matrix.tolist()
    assert read.frac_coords.tolist() == wanted.frac_coords.tolist()
    assert read == wanted
    assert read.site_properties == wanted.site_properties


def test_structures_stand_beside_the_table_once_a_material(full_bulk, tmp_path) -> None:
    full_bulk.relaxation("MgO", crystal=ODD)
    export(full_bulk.store, "sites", tmp_path / "s")
    export(full_bulk.store, "phonon_gamma", tmp_path / "p")
    with gzip.open(tmp_path / "s" / "structures.jsonl.gz", "rt") as file:
        sites = {line["material_id"]: line["structure"] for line in map(json.loads, file)}
    assert sites == dict.fromkeys((material_id("MgO"), material_id("ZnO")), as_pymatgen(ROCK_SALT)), "indices refer to these"
    with gzip.open(tmp_path / "p" / "structures.jsonl.gz", "rt") as file:
        relaxed = [json.loads(line) for line in file]
    assert relaxed == [{"material_id": material_id("MgO"), "structure": as_pymatgen(ODD)}], "ZnO has no structure"
    assert manifest(tmp_path / "p")["counts"]["structures"] == 1


def test_the_compressed_file_has_no_time_and_no_name(tmp_path) -> None:
    for name in ("a", "b"):
        with StructuresWriter(tmp_path / name) as writer:
            writer.write("hib-1", ROCK_SALT)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes()[4:8] == bytes(4)


@pytest.fixture
def full_bulk(bulk):
    """Two materials with their properties."""
    for formula in ("MgO", "ZnO"):
        bulk.submit(formula, "bulk")
        bulk.relaxation(formula)
        bulk.electronic(formula)
        bulk.phonon(formula)
        bulk.optics(formula)
        bulk.sites(formula, site(0, "Zn"), site(1, "O"))
    return bulk
