"""The tables ``structures`` and ``materials``."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet as pq

from bulk_results import site
from hibana.documents.dispersion import DispersionDoc
from hibana.tables.export import export
from results import ROCK_SALT


def rows(folder: Path, table: str) -> dict[str, dict]:
    return {row["formula"]: row for row in pq.read_table(folder / f"{table}.parquet").to_pylist()}


def test_structures_have_every_relaxed_crystal_whatever_it_was_submitted_for(bulk, tmp_path) -> None:
    for formula, flow in (("MgO", "electronic"), ("ZnO", "bulk:phonon"), ("Mg", "competing:Mg+O"), ("CaO", "bulk")):
        bulk.submit(formula, flow)
        if formula != "CaO":
            bulk.relaxation(formula, crystal=ROCK_SALT, initial_space_group_number=186)
    report = export(bulk.store, "structures", tmp_path)
    assert (report.n_rows, report.left_out) == (3, {"unfinished": 1})
    row = rows(tmp_path, "structures")["MgO"]
    assert (row["n_sites"], row["n_elements"], row["space_group_number"], row["initial_space_group_number"]) == (2, 2, 225, 186)
    assert (row["address_structure_opt"], row["volume_per_atom"]) == ("a" * 64, 9.3)


def test_materials_join_what_is_known_and_name_the_tables(bulk, tmp_path) -> None:
    bulk.submit("MgO", "bulk")
    bulk.relaxation("MgO")
    bulk.submit("ZnO", "bulk")
    bulk.relaxation("ZnO")
    bulk.electronic("ZnO")
    bulk.dielectric("ZnO")
    bulk.phonon("ZnO", status="unavailable", reason="dielectric: printed nothing", is_stable=None)
    bulk.optics("ZnO")
    bulk.sites("ZnO", site(0, "Zn"))
    runs = {"phonon_force-002": "2" * 64, "phonon_force-001": "1" * 64}
    bulk.put(DispersionDoc, "ZnO", min_frequency=-0.1, is_stable=True, addresses=runs)
    export(bulk.store, "materials", tmp_path)
    there = rows(tmp_path, "materials")
    zinc, magnesia = there["ZnO"], there["MgO"]
    assert (zinc["band_gap_pbesol"], zinc["epsilon_ionic_average"], zinc["absorption_onset"]) == (4.66, 8.0, 6.5)
    assert (zinc["min_frequency_dispersion"], zinc["is_stable_dispersion"]) == (-0.1, True)
    assert zinc["address_phonon_force"] == ["1" * 64, "2" * 64]
    assert zinc["tables"] == ["electronic", "dielectric", "optical_absorption", "sites", "structures"]
    assert (zinc["is_stable_gamma"], dict(zinc["missing"])["is_stable_gamma"]) == (None, "unavailable")
    assert magnesia["tables"] == ["structures"]
    assert dict(magnesia["missing"])["band_gap_pbesol"] == "no_document"


def test_a_flagged_property_does_not_hide_the_material(bulk, tmp_path) -> None:
    bulk.submit("MgO", "bulk")
    bulk.relaxation("MgO")
    bulk.electronic("MgO", flags=("dos: VBM above CBM",))
    bulk.dielectric("MgO")
    report = export(bulk.store, "materials", tmp_path / "a")
    assert (report.n_rows, report.left_out) == (1, {})
    row = rows(tmp_path / "a", "materials")["MgO"]
    assert (row["band_gap_pbesol"], dict(row["missing"])["band_gap_pbesol"]) == (None, "flagged")
    assert (row["epsilon_ionic_average"], row["tables"]) == (8.0, ["dielectric", "structures"])
    export(bulk.store, "materials", tmp_path / "b", include_flagged=True)
    row = rows(tmp_path / "b", "materials")["MgO"]
    assert (row["band_gap_pbesol"], row["tables"]) == (4.66, ["dielectric", "structures"])
    bulk.relaxation("MgO", flags=("forces",))
    assert export(bulk.store, "materials", tmp_path / "c").left_out == {"flagged": 1}


def test_vacancies_are_counted_as_their_table_does(vacancies, tmp_path) -> None:
    for formula in ("MgO", "ZnO", "CaO"):
        vacancies.host(formula)
        for charge in (0, 1, 2):
            vacancies.vacancy(formula, "O1", charge)
    vacancies.vacancy("ZnO", "O1", 1, left_out="perturbed_host", edge_state="shallow_electron")
    vacancies.vacancy("ZnO", "O1", 2, formation_energy=None, status="unavailable", reason="vacancy: walltime")
    vacancies.dielectric("CaO", flags=("soft mode",))
    export(vacancies.store, "materials", tmp_path / "m")
    export(vacancies.store, "oxygen_vacancy", tmp_path / "v")
    counted = {formula: row["n_vacancies"] for formula, row in rows(tmp_path / "m", "materials").items()}
    assert counted == {"MgO": 3, "ZnO": 1, "CaO": 0}, "flags of the host are flags of its vacancies"
    found = [row["formula"] for row in pq.read_table(tmp_path / "v" / "oxygen_vacancy.parquet").to_pylist()]
    assert counted == {formula: found.count(formula) for formula in counted}
    for formula, row in rows(tmp_path / "m", "materials").items():
        assert ("oxygen_vacancy" in row["tables"]) == (counted[formula] > 0)


def test_the_tables_that_a_material_is_in_are_those_that_have_it(bulk, tmp_path) -> None:
    flagged = {"flags": ("odd",)}
    for number, formula in enumerate(("MgO", "ZnO", "CaO", "SrO")):
        bulk.submit(formula, "bulk")
        bulk.relaxation(formula)
        bulk.electronic(formula, **(flagged if number == 1 else {}))
        bulk.dielectric(formula, **({"status": "unavailable", "reason": "killed"} if number == 2 else {}))
        bulk.phonon(formula)
        if number != 3:
            bulk.optics(formula)
        bulk.sites(formula, *((site(0, "Zn"),) if number else ()))
    export(bulk.store, "materials", tmp_path / "materials")
    said = {formula: row["tables"] for formula, row in rows(tmp_path / "materials", "materials").items()}
    for table in ("electronic", "dielectric", "optical_absorption", "phonon_gamma", "sites", "structures"):
        export(bulk.store, table, tmp_path / table)
        there = set(rows(tmp_path / table, table))
        assert there == {formula for formula, tables in said.items() if table in tables}, table
        with (tmp_path / table / "left_out.csv").open() as file:
            assert {line["formula"] for line in csv.DictReader(file)} == set(said) - there
