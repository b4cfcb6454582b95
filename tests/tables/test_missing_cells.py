"""Why cells are missing, and numbers that cannot be."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bulk_results import site, spectra
from hibana.core.errors import HibanaError
from hibana.documents.properties import ElectronicDoc
from hibana.tables.columns import projection
from hibana.tables.export import export
from hibana.tables.missing import MISSING_MEANINGS
from hibana.tables.ranges import Range, outside
from hibana.tables.registry import TABLES
from hibana.tables.writers import ParquetWriter

METAL = {
    "gap_class": "metal",
    "band_gap_pbesol": 0.0,
    **dict.fromkeys(("is_gap_direct", "vbm", "cbm", "band_gap_hse06_nsc")),
    "addresses": {"band": "b" * 64, "dos": "d" * 64},
}


def rows(folder: Path, table: str) -> dict[str, dict]:
    return {row["formula"]: row for row in pq.read_table(folder / f"{table}.parquet").to_pylist()}


def codes(row: dict) -> dict[str, str]:
    return dict(row["missing"])


def left_out(folder: Path) -> dict[str, tuple[str, str]]:
    with (folder / "left_out.csv").open(newline="") as file:
        return {line["formula"]: (line["code"], line["reason"]) for line in csv.DictReader(file)}


def test_each_way_to_miss_a_number_has_its_code(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    killed = {"band_gap_hse06_nsc": None, "reasons": {"hse06_nsc": "killed"}}
    campaign.complete("ZnO", status="partial", addresses={"band": "b" * 64, "dos": "d" * 64}, **killed)
    campaign.complete("Al", **METAL)
    export(campaign.store, "electronic", tmp_path)
    there = rows(tmp_path, "electronic")
    assert codes(there["ZnO"])["band_gap_hse06_nsc"] == "failed"
    assert codes(there["MgO"])["band_gap_ddh_nsc"] == "not_asked"
    assert codes(there["MgO"])["electron_mass_average"] == "not_given", "its run is there"
    assert {codes(there["Al"])[name] for name in ("vbm", "cbm", "band_gap_hse06_nsc")} == {"metal"}
    assert "band_gap_pbesol" not in codes(there["Al"]), "0 is an answer"


def test_a_hybrid_that_a_metal_has_no_run_of_did_not_fail(campaign, tmp_path) -> None:
    campaign.complete("CdO", **METAL, reasons={"hse06_nsc": "the band run finds a metal"})
    export(campaign.store, "electronic", tmp_path)
    found = codes(rows(tmp_path, "electronic")["CdO"])
    hybrid = [
        f"{field}_{name}" for name in ("hse06_nsc", "ddh_nsc") for field in ("band_gap", "vbm", "cbm", "direct_gap", "recipe")
    ]
    assert {found[name] for name in (*hybrid, "exchange_ratio_ddh", "vbm_p", "hole_mass_average")} == {"metal"}


def test_what_a_metal_has_like_others_is_missing_by_its_run(campaign, tmp_path) -> None:
    failed = {"addresses": {"dos": "d" * 64}, "reasons": {"band": "killed"}, "band_gap_pbesol": None}
    campaign.complete("Al", **METAL | failed, status="partial")
    export(campaign.store, "electronic", tmp_path)
    found = codes(rows(tmp_path, "electronic")["Al"])
    assert (found["band_gap_pbesol"], found["magnetization"], found["vbm"]) == ("failed", "failed", "metal")


def test_a_moment_is_not_looked_for_without_spin_polarisation(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("CdO", **METAL)
    campaign.complete("NiO", magnetization=0.0)
    for table in ("electronic", "materials"):
        export(campaign.store, table, tmp_path / table)
        found = {formula: codes(row).get("magnetization") for formula, row in rows(tmp_path / table, table).items()}
        assert found == {"MgO": "not_asked", "CdO": "not_asked", "NiO": None}


@pytest.mark.parametrize("name", [name for name in TABLES if name != "oxygen_vacancy"])
def test_every_missing_number_has_a_code_and_no_other_cell_has_one(name: str, bulk, tmp_path) -> None:
    for formula in ("MgO", "Al"):
        bulk.submit(formula, "bulk")
        bulk.relaxation(formula)
        bulk.electronic(formula, **(METAL if formula == "Al" else {}))
        bulk.dielectric(formula, epsilon_ionic=None, epsilon_ionic_average=None)
        bulk.phonon(formula, frequencies_raw=None)
        bulk.optics(formula, {})
        bulk.sites(formula, site(0, "Mg", reasons={"bader_charge": "no bader program"}))
    export(bulk.store, name, tmp_path)
    columns = {column.name: column for column in TABLES[name].columns}
    for row in rows(tmp_path, name).values():
        found = codes(row)
        assert set(found.values()) <= set(MISSING_MEANINGS)
        for column, value in row.items():
            dtype = columns[column].dtype
            if value is not None:
                assert column not in found
            elif dtype in ("number", "boolean", "list of numbers", "spectrum") and columns[column].steps:
                assert column in found


def test_the_codes_can_be_read_from_the_csv(campaign, tmp_path) -> None:
    campaign.complete("Al", **METAL)
    export(campaign.store, "electronic", tmp_path)
    text = pd.read_csv(tmp_path / "electronic.csv", keep_default_na=False, na_values=[""])
    read = dict(item.split(":") for item in text.loc[0, "missing"].split(";"))
    assert read == codes(rows(tmp_path, "electronic")["Al"])
    card = (tmp_path / "README.md").read_text()
    for code, meaning in MISSING_MEANINGS.items():
        assert f"- `{code}`: {meaning}" in card


def test_quantities_of_sites_have_codes(bulk, tmp_path) -> None:
    bulk.submit("MgO", "bulk")
    bulk.relaxation("MgO")
    bulk.sites("MgO", site(0, "Mg", reasons={"bader_charge": "no bader program", "nn_bader_charge": "no bader program"}))
    export(bulk.store, "sites", tmp_path)
    found = codes(rows(tmp_path, "sites")["MgO"])
    assert (found["bader_charge"], found["nn_max_bader_charge"]) == ("not_given", "not_given")
    assert found["o2p_center_from_vbm"] == "not_applicable", "it is no oxygen"


def test_one_of_two_hybrids_is_enough(bulk, tmp_path) -> None:
    bulk.submit("MgO", "bulk")
    bulk.relaxation("MgO")
    bulk.optics("MgO", onset=None, epsilon_zero_over_dfpt=None)
    export(bulk.store, "optical_absorption", tmp_path)
    found = codes(rows(tmp_path, "optical_absorption")["MgO"])
    assert found["onset"] == "not_given", "the run of one hybrid is there, nobody needs the other"
    assert found["epsilon_zero_over_dfpt"] == "not_asked", "it is a ratio of two runs, one of which is not there"


def test_vacancies_say_what_of_the_host_is_missing(vacancies, tmp_path) -> None:
    vacancies.submit("MgO", "bulk:vacancy")
    vacancies.vacancy("MgO", "O1", 1, vbm_from_o_core=None, formation_energy_core_reference=None, reasons={"dos": "no ZnO"})
    vacancies.relaxation("MgO")
    vacancies.sites("MgO", status="unavailable", reason="dos: killed")
    export(vacancies.store, "oxygen_vacancy", tmp_path)
    found = codes(rows(tmp_path, "oxygen_vacancy")["MgO"])
    assert (found["ave_ele_diele"], found["Mg"], found["vbm_from_o_core"]) == ("no_document", "unavailable", "failed")


def test_a_number_out_of_range_leaves_the_row_out_with_the_reason(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("ZnO", band_gap_pbesol=-1.0)
    campaign.complete("CaO")
    campaign.relaxation("CaO", a=421.0, c=0.01)
    report = export(campaign.store, "electronic", tmp_path)
    assert (report.n_rows, report.left_out) == (1, {"out_of_range": 2})
    assert left_out(tmp_path) == {
        "ZnO": ("out_of_range", "band_gap_pbesol is -1 eV, allowed: 0 to 40"),
        "CaO": ("out_of_range", "c is 0.01 Å, allowed: 0.5 to 500"),
    }
    kept = export(campaign.store, "electronic", tmp_path / "kept", include_flagged=True)
    assert (kept.n_rows, kept.left_out) == (3, {})
    assert rows(tmp_path / "kept", "electronic")["ZnO"]["flags"] == ["band_gap_pbesol is -1 eV, allowed: 0 to 40"]


def test_ranges_hold_inside_lists_maps_and_spectra(bulk, tmp_path) -> None:
    for formula in ("MgO", "ZnO"):
        bulk.submit(formula, "bulk")
        bulk.relaxation(formula)
        bulk.phonon(formula, frequencies=(0.0, 0.0, 0.0, 1e4)) if formula == "MgO" else bulk.phonon(formula)
        bulk.optics(formula, {**spectra(), "log10_absorption": np.full(1501, 60.0)} if formula == "MgO" else None)
        bulk.sites(formula, site(0, "Zn"), site(1, "O", voronoi_weights={"Zn": 1.5 if formula == "MgO" else 1.0}))
    for table in ("phonon_gamma", "optical_absorption"):
        export(bulk.store, table, tmp_path / table)
        assert list(left_out(tmp_path / table)) == ["MgO"]
    export(bulk.store, "sites", tmp_path / "sites")
    assert left_out(tmp_path / "sites")["MgO"] == ("out_of_range", "O1: voronoi_weights is 1.5, allowed: 0 to 1")
    assert len(pq.read_table(tmp_path / "sites" / "sites.parquet")) == 3, "the other site of MgO stays"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_number_has_a_range(table) -> None:
    for column in table.columns:
        if column.dtype in ("integer", "number", "list of numbers", "map of numbers", "spectrum"):
            assert column.allowed is not None, column.name
        else:
            assert column.allowed is None, column.name


def test_a_bound_is_inside_and_rounding_does_not_hurt() -> None:
    span = Range(0.0, 1.0)
    assert all(map(span.has, (0.0, 1.0, 1.0 + 1e-9, -1e-9)))
    assert not span.has(1.001)
    assert not Range(None, 3.0).has(3.1)
    assert Range(2.0, None).has(math.inf)
    assert outside(span, [None, 0.5, 7.0]) == 7.0
    assert outside(span, [None, 0.5]) is None
    assert [str(item) for item in (span, Range(1, None), Range(None, 2.5), Range())] == [
        *("0 to 1", "at least 1", "at most 2.5", "any number")
    ]


def test_a_cell_of_the_wrong_type_is_a_numbered_error(tmp_path) -> None:
    columns = (projection(ElectronicDoc, "material_id"), projection(ElectronicDoc, "vbm"))
    with pytest.raises(HibanaError, match=r"HIB-138[\s\S]*where: vbm"), ParquetWriter(tmp_path / "t", columns, {}) as writer:
        writer.write(("hib-0", "3.07"))
