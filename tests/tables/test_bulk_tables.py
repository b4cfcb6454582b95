"""The tables of the bulk branches, from documents in a real store."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bulk_results import ENERGIES, BulkCampaign, site, spectra
from hibana.core.errors import HibanaError
from hibana.flows.branches import BRANCHES
from hibana.properties.registry import PROPERTIES
from hibana.tables.export import export
from hibana.tables.phonon_gamma import broadened
from hibana.tables.registry import TABLES
from results import material_id

BULK = [name for name, table in TABLES.items() if table.parts is None]
"""Tables of the properties of crystals."""

OF_BRANCHES = [name for name in BULK if TABLES[name].branches]
"""Those whose property only some flows give."""


def parquet(folder: Path, table: str) -> list[dict]:
    """Rows of an exported table."""
    return pq.read_table(folder / f"{table}.parquet").to_pylist()


def text(folder: Path, table: str) -> pd.DataFrame:
    """An exported CSV, read as the card says."""
    return pd.read_csv(folder / f"{table}.csv", keep_default_na=False, na_values=[""]).set_index("formula")


def left_out(folder: Path) -> dict[str, tuple[str, str]]:
    """Formula to (code, reason)."""
    with (folder / "left_out.csv").open(newline="") as file:
        return {line["formula"]: (line["code"], line["reason"]) for line in csv.DictReader(file)}


def run_example(card: str) -> dict:
    """What the Python code of a card defines, run in the folder of the table."""
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    defined: dict = {}
    exec(code, defined)
    return defined


@pytest.fixture
def full(bulk: BulkCampaign) -> BulkCampaign:
    """Two materials with all their properties."""
    for formula in ("MgO", "ZnO"):
        bulk.submit(formula, "bulk")
        bulk.relaxation(formula)
        bulk.electronic(formula)
        bulk.dielectric(formula)
        bulk.phonon(formula)
        bulk.optics(formula, spectra(anisotropy=0.5 if formula == "ZnO" else 0.0))
        bulk.sites(formula, site(0, "Zn"), site(1, "O", born_charge=-2.0188))
    return bulk


@pytest.mark.parametrize("name", OF_BRANCHES)
def test_a_table_is_for_the_branches_that_make_its_property(name: str) -> None:
    (made,) = [item for item in PROPERTIES if item.kind is TABLES[name].subject]
    assert {BRANCHES[branch].step for branch in TABLES[name].branches} == set(made.steps)


@pytest.mark.parametrize("name", BULK)
def test_every_table_is_written_and_the_same_again(name: str, full, tmp_path, monkeypatch) -> None:
    contents = []
    for number in ("first", "second"):
        report = export(full.store, name, tmp_path / number)
        assert (report.n_rows, report.left_out) == (4 if name == "sites" else 2, {})
        contents.append({path.name: path.read_bytes() for path in report.files})
    assert contents[0] == contents[1]
    assert (f"{name}_long.csv" in contents[0]) == (name in ("optical_absorption", "phonon_gamma"))
    dictionary = json.loads(contents[0]["dictionary.json"])["columns"]
    schema = pq.read_schema(tmp_path / "first" / f"{name}.parquet")
    assert [column["name"] for column in dictionary] == schema.names
    for column in dictionary:
        assert column["meaning"].endswith(".")
        assert column["source"]
        numeric = column["type"] in ("number", "list of numbers", "map of numbers", "spectrum")
        assert (column["unit"] is not None) == numeric, column
        assert schema.field(column["name"]).metadata[b"meaning"].decode() == column["meaning"]
        if column["steps"]:
            assert {f"address_{step}" for step in column["steps"]} <= set(schema.names), f"{column['name']} cannot be traced"
    card = contents[0]["README.md"].decode()
    monkeypatch.chdir(tmp_path / "first")
    there = run_example(card)
    assert list(there["table"].columns) == schema.names
    if name == "sites":
        assert there["voronoi_weights"].loc[0].to_dict() == {"O": 0.06896, "Zn": 0.93104}
    elif TABLES[name].grid:
        assert there["spectra"].shape == (2, TABLES[name].grid.count)
        assert there[TABLES[name].grid.name] == pytest.approx(TABLES[name].grid.points)
    assert all(f"| `{column}` |" in card for column in schema.names)


def test_tensors_have_their_components_where_the_names_say(full, tmp_path) -> None:
    export(full.store, "dielectric", tmp_path)
    row = next(row for row in parquet(tmp_path, "dielectric") if row["formula"] == "MgO")
    electronic = {"xx": 3.0, "yy": 3.2, "zz": 3.4, "yz": 0.17, "xz": 0.13, "xy": 0.11}
    ionic = {"xx": 7.0, "yy": 8.0, "zz": 9.0, "yz": 0.29, "xz": 0.23, "xy": 0.21}
    for component, value in electronic.items():
        assert row[f"epsilon_electronic_{component}"] == value
        assert row[f"epsilon_ionic_{component}"] == ionic[component]
        assert row[f"epsilon_static_{component}"] == value + ionic[component]
    principal = [row[f"epsilon_electronic_eigenvalues_{number}"] for number in (1, 2, 3)]
    assert principal == sorted(principal)
    assert sum(principal) / 3 == pytest.approx(row["epsilon_electronic_average"])
    assert (row["method"], row["born_sum_rule_residual"], row["address_dielectric"]) == ("dfpt", 0.004, "9" * 64)
    assert "x along a of the conventional cell" in (tmp_path / "README.md").read_text()


def test_a_tensor_that_is_missing_is_null_and_never_zero(full, tmp_path) -> None:
    full.dielectric("MgO", epsilon_ionic=None, epsilon_ionic_eigenvalues=None, epsilon_ionic_average=None, status="partial")
    export(full.store, "dielectric", tmp_path)
    row = next(row for row in parquet(tmp_path, "dielectric") if row["formula"] == "MgO")
    line = text(tmp_path, "dielectric").loc["MgO"]
    for name in (
        "epsilon_ionic_xx",
        "epsilon_ionic_yz",
        "epsilon_static_xx",
        "epsilon_ionic_eigenvalues_1",
        "epsilon_ionic_average",
    ):
        assert row[name] is None
        assert pd.isna(line[name])
    assert row["epsilon_electronic_xx"] == line["epsilon_electronic_xx"] == 3.0


def test_why_there_are_no_effective_masses_stands_in_the_row(full, tmp_path) -> None:
    full.electronic("MgO", masses_reason="BoltzTraP2 is not installed")
    export(full.store, "electronic", tmp_path)
    rows = {row["formula"]: row for row in parquet(tmp_path, "electronic")}
    assert (rows["MgO"]["electron_mass_average"], rows["MgO"]["masses_reason"]) == (None, "BoltzTraP2 is not installed")
    assert rows["ZnO"]["masses_reason"] is None


def test_absorption_spectra_come_back_on_the_grid_that_the_file_names(full, tmp_path) -> None:
    full.optics("MgO", spectra(end=12.0), reason="ends at 12 eV", status="partial")
    export(full.store, "optical_absorption", tmp_path)
    path = tmp_path / "optical_absorption.parquet"
    grid = json.loads(pq.read_schema(path).metadata[b"grid"])
    assert (grid["name"], grid["unit"], grid["start"], grid["stop"], grid["step"], grid["count"]) == (
        *("energy", "eV"),
        *(0.0, 15.0, 0.01, 1501),
    )
    assert np.allclose(np.linspace(grid["start"], grid["stop"], grid["count"]), ENERGIES)
    assert str(pq.read_schema(path).field("log10_absorption").type) == "list<element: float>"
    rows = {row["formula"]: row for row in parquet(tmp_path, "optical_absorption")}
    assert rows["ZnO"]["log10_absorption"] == spectra(anisotropy=0.5)["log10_absorption"].astype(np.float32).tolist()
    short = rows["MgO"]["log10_absorption"]
    assert None not in short[:1201]
    assert short[1201:] == [None] * 300
    assert (rows["ZnO"]["scissor_shift"], rows["ZnO"]["gap_used"], rows["ZnO"]["onset"]) == (1.5, 6.0, 6.5)
    stacked = np.stack(pd.read_parquet(path)["log10_absorption"])
    assert stacked.shape == (2, 1501)
    assert np.isnan(stacked).sum() == 300


def test_the_long_file_says_what_the_list_column_says(full, tmp_path) -> None:
    full.optics("MgO", spectra(end=12.0))
    full.optics("ZnO", {})
    export(full.store, "optical_absorption", tmp_path)
    rows = {row["material_id"]: row["log10_absorption"] for row in parquet(tmp_path, "optical_absorption")}
    assert rows[material_id("ZnO")] is None
    lines = pd.read_csv(tmp_path / "optical_absorption_long.csv", dtype={"log10_absorption": np.float32})
    assert list(lines.columns) == ["material_id", "energy", "log10_absorption"]
    assert set(lines["material_id"]) == {material_id("MgO")}, "a material without a spectrum has no lines"
    assert lines["energy"].tolist() == [round(0.01 * i, 2) for i in range(1501)]
    wide = np.array(rows[material_id("MgO")], dtype=np.float32)
    assert np.array_equal(lines["log10_absorption"].to_numpy(), wide, equal_nan=True)
    assert "log10_absorption" not in text(tmp_path, "optical_absorption").columns


def test_a_spectrum_on_another_grid_is_left_out_with_the_reason(full, tmp_path) -> None:
    full.optics("ZnO", spectra(np.linspace(0.0, 15.0, 301)))
    full.optics("MgO", spectra(np.linspace(0.0, 20.0, 1501)))
    report = export(full.store, "optical_absorption", tmp_path)
    assert report.left_out == {"unavailable": 2}
    for formula in ("MgO", "ZnO"):
        assert left_out(tmp_path)[formula][1].startswith(
            "optics: log10_absorption is not given on 0 to 15 eV in steps of 0.01 eV"
        )


def test_frequencies_come_back_from_both_files(full, tmp_path) -> None:
    full.phonon("ZnO", frequencies_raw=None, is_stable=False, n_imaginary=1, frequencies=(-2.5, 0.0, 0.0, 0.0, 1 / 3, 12.0))
    export(full.store, "phonon_gamma", tmp_path)
    rows = {row["formula"]: row for row in parquet(tmp_path, "phonon_gamma")}
    lines = text(tmp_path, "phonon_gamma")
    assert rows["ZnO"]["frequencies"] == [-2.5, 0.0, 0.0, 0.0, 1 / 3, 12.0]
    assert [float(item) for item in lines.loc["ZnO", "frequencies"].split(";")] == rows["ZnO"]["frequencies"]
    assert rows["ZnO"]["frequencies_raw"] is None
    assert pd.isna(lines.loc["ZnO", "frequencies_raw"])
    assert rows["MgO"]["frequencies_raw"] == [-0.05, -0.04, 0.02, 11.9, 11.9, 11.9]
    assert (rows["ZnO"]["is_stable"], rows["ZnO"]["n_imaginary"], rows["ZnO"]["threshold"]) == (False, 1, -0.3)
    assert len(rows["MgO"]["spectrum"]) == 111


def test_the_broadened_spectrum_counts_the_modes() -> None:
    spectrum = broadened(np.array([0.0, 0.0, 0.0, 12.0, 12.0, 13.0]))
    assert np.sum(spectrum) * 0.5 == pytest.approx(1.0, abs=1e-6)
    assert spectrum[10] == pytest.approx(0.5 / (0.5 * np.sqrt(2 * np.pi)), rel=1e-6), "half of the modes are at 0 THz"


def test_the_broadened_spectrum_is_the_published_one(recorded) -> None:
    """857 oxides: their published frequencies against the spectra made of them (printed with six decimals)."""
    folder = recorded / "ml_data"
    published = pd.read_csv(folder / "gamma_phonon_spectra" / "spectra.csv.gz").set_index("material_id")
    grid = pd.read_csv(folder / "gamma_phonon_spectra" / "grid.csv")
    columns = grid["column"].tolist()
    assert grid["frequency_THz"].tolist() == pytest.approx(np.linspace(-5.0, 50.0, 111))
    ids = pd.read_csv(folder / "oxide_dielectric_pbesol" / "table.csv")["material_id"]
    with gzip.open(folder / "oxide_dielectric_pbesol" / "tensors.jsonl.gz", "rt") as lines:
        tensors = [json.loads(line) for line in lines]
    assert len(tensors) == len(ids) > 800
    wanted = published.loc[ids, columns].to_numpy()
    made = np.array([broadened(np.array(item["phonon_gamma_freq_THz"])) for item in tensors])
    assert np.abs(made - wanted).max() < 2e-6


def test_sites_have_a_row_each_and_their_weights_as_a_map(full, tmp_path) -> None:
    full.sites("MgO", site(0, "Mg", reasons={"bader_charge": "no bader program"}), site(1, "O"), site(4, "O", label="O2"))
    report = export(full.store, "sites", tmp_path)
    assert report.n_rows == 5
    assert "- **Rows**: 5, one of the sites of 2 materials" in (tmp_path / "README.md").read_text()
    rows = [row for row in parquet(tmp_path, "sites") if row["formula"] == "MgO"]
    assert [(row["site_index"], row["site_label"], row["element"]) for row in rows] == [
        *((0, "Mg1", "Mg"), (1, "O1", "O"), (4, "O2", "O"))
    ]
    assert dict(rows[0]["voronoi_weights"]) == {"Zn": 0.93104, "O": 0.06896}
    assert rows[0]["missing_reasons"] == ["bader_charge: no bader program"]
    lines = text(tmp_path, "sites")
    cell = lines[lines["site_label"] == "O2"].loc["MgO", "voronoi_weights"]
    assert {key: float(value) for key, value in (item.split(":") for item in cell.split(";"))} == {"Zn": 0.93104, "O": 0.06896}
    zinc_oxide = lines.loc["ZnO"].set_index("site_label")
    assert zinc_oxide.loc["O1", "born_charge"] == -2.0188
    assert pd.isna(zinc_oxide.loc["Zn1", "born_charge"])


def test_a_material_without_sites_is_left_out(full, tmp_path) -> None:
    full.sites("MgO", status="unavailable", reason="structure_opt: killed")
    export(full.store, "sites", tmp_path)
    assert left_out(tmp_path) == {"MgO": ("unavailable", "sites: structure_opt: killed")}


def test_flags_of_other_properties_do_not_touch_a_row(full, tmp_path) -> None:
    full.optics("MgO", flags=("f-sum: too few",))
    full.electronic("ZnO", flags=("dos: VBM above CBM",))
    assert export(full.store, "dielectric", tmp_path / "d").n_rows == 2
    export(full.store, "optical_absorption", tmp_path / "o")
    assert left_out(tmp_path / "o") == {"MgO": ("flagged", "f-sum: too few")}
    full.relaxation("ZnO", flags=("forces",))
    export(full.store, "dielectric", tmp_path / "e")
    assert left_out(tmp_path / "e") == {"ZnO": ("flagged", "forces")}


def test_candidates_of_any_flow_are_accounted_for(bulk, tmp_path) -> None:
    """A table knows who was asked for its property, whatever the flow is called."""
    for formula, flow in {
        "MgO": "bulk",
        "CaO": "bulk:band+dos+dielectric",
        "SrO": "electronic",
        "BaO": "bulk",
        "ZnO": "bulk:band+dos",
        "CdO": "bulk",
        "NiO": "another:flow",
    }.items():
        bulk.submit(formula, flow)
        bulk.relaxation(formula)
        bulk.electronic(formula)
    bulk.dielectric("MgO")
    bulk.ended("CaO", "bulk:band+dos+dielectric", "partial", "dielectric: killed")
    bulk.ended("SrO", "electronic", "done", "every step has its answer")
    bulk.ended("CdO", "electronic", "failed", "structure_opt: killed")
    report = export(bulk.store, "dielectric", tmp_path / "d")
    assert report.n_rows == 1
    assert left_out(tmp_path / "d") == {
        "CaO": ("no_result", "dielectric: killed"),
        "SrO": ("not_submitted", "submitted for electronic, which does not give dielectric"),
        "BaO": ("unfinished", "no dielectric document yet"),
        "ZnO": ("not_submitted", "submitted for bulk:band+dos, which does not give dielectric"),
        "CdO": ("unfinished", "no dielectric document yet"),
        "NiO": ("not_submitted", "submitted for another:flow, which does not give dielectric"),
    }
    assert export(bulk.store, "electronic", tmp_path / "e").n_rows == 7


def test_a_second_flow_that_still_runs_keeps_a_candidate_unfinished(bulk, tmp_path) -> None:
    bulk.submit("MgO", "bulk:band+dos+dielectric")
    bulk.submit("MgO", "bulk")
    bulk.ended("MgO", "bulk:band+dos+dielectric", "failed", "structure_opt: killed")
    export(bulk.store, "dielectric", tmp_path / "a")
    assert left_out(tmp_path / "a")["MgO"] == ("unfinished", "no relaxation and no dielectric document yet")
    bulk.ended("MgO", "bulk", "failed", "structure_opt: walltime")
    export(bulk.store, "dielectric", tmp_path / "b")
    assert left_out(tmp_path / "b")["MgO"] == ("no_result", "structure_opt: walltime; structure_opt: killed")


def test_a_series_counts_only_for_tables_it_was_asked_for(bulk, tmp_path) -> None:
    bulk.submit("MgO", "electronic", protocol_version=2)
    bulk.submit("MgO", "bulk")
    assert export(bulk.store, "dielectric", tmp_path / "d").series.protocol_version == 1
    with pytest.raises(HibanaError, match="HIB-131"):
        export(bulk.store, "electronic", tmp_path / "e")


def test_the_electronic_table_has_both_hybrids(full, tmp_path) -> None:
    shares = {"vbm_s": 0.01, "vbm_p": 0.9, "vbm_d": 0.09, "vbm_f": 0.0}
    full.electronic("MgO", band_gap_ddh_nsc=7.9, exchange_ratio_ddh=0.317, recipe_ddh_nsc="subrot", **shares)
    export(full.store, "electronic", tmp_path)
    row = next(row for row in parquet(tmp_path, "electronic") if row["formula"] == "MgO")
    assert (row["band_gap_hse06_nsc"], row["band_gap_ddh_nsc"], row["exchange_ratio_ddh"]) == (6.57, 7.9, 0.317)
    assert row["recipe_ddh_nsc"] == "subrot"
    assert {name: row[name] for name in shares} == shares
    assert row["cbm_s"] is None
