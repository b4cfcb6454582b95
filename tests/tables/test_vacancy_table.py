"""The table of oxygen vacancies, from documents in a real store."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from test_bulk_tables import run_example

from bulk_results import site
from hibana.defects.formation import NoEnergy
from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.documents.sites import SitesDoc
from hibana.documents.vacancy import EdgeLike, GateVerdict, SpinChannel, SupercellDoc, VacancyDoc, VacancyLevel
from hibana.tables.columns import Record
from hibana.tables.export import export
from hibana.tables.oxygen_vacancy import ELEMENTS
from hibana.tables.registry import TABLES
from vacancy_results import ATOM, ENERGIES, MOLECULE, VBM_FROM_CORE, VacancyCampaign, binary, sheet, states

HEADER = (
    "formula,full_name,ave_ele_diele,ave_ion_diele,band_gap,cbm_d,cbm_f,cbm_p,cbm_s,formation_energy,vbm_d,vbm_f,vbm_p,vbm_s,"
    "ave_bec,bader_charge,bader_volume,nn_ave_ave_bec,nn_ave_bader_charge,nn_ave_eleneg,nn_max_ave_bec,nn_max_bader_charge,"
    "nn_max_eleneg,nn_min_ave_bec,nn_min_bader_charge,nn_min_eleneg,o2p_center_from_vbm,Bi,Ag,O,vacancy_formation_energy,Hg,Au,"
    "Ge,Al,Pb,Zn,As,Cu,Sb,Mo,Tl,B,Ba,Ca,Pd,Cd,Pt,Ce,Hf,In,Ga,La,Ta,Mg,Si,Sc,Sn,Ti,Y,Zr,Nb,Na,Sr,V,Li,Be,W,Cr,Cs,K,Re,Rb"
)
"""The header of the published table of neutral vacancies."""

NOT_YET = ("unfinished", "no vacancies document yet")


def rows(folder: Path) -> dict[tuple[str, str], dict]:
    """Rows of the exported table by formula and vacancy."""
    found = pq.read_table(folder / "oxygen_vacancy.parquet").to_pylist()
    return {(row["formula"], row["vacancy"]): row for row in found}


def left_out(folder: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Formula and vacancy to (code, reason)."""
    with (folder / "left_out.csv").open(newline="") as file:
        return {(line["formula"], line["part"]): (line["code"], line["reason"]) for line in csv.DictReader(file)}


@pytest.fixture
def full(vacancies: VacancyCampaign) -> VacancyCampaign:
    """Two hosts: MgO with one site, ZnO with two, all in the charges 0, 1 and 2."""
    for formula, names in (("MgO", ("O1",)), ("ZnO", ("O1", "O2"))):
        vacancies.host(formula, *names)
        for name in names:
            for charge in (0, 1, 2):
                vacancies.vacancy(formula, name, charge)
        vacancies.summary(formula, *(state for name in names for state in states(name, ENERGIES)))
    return vacancies


def test_every_published_column_is_there_by_its_name() -> None:
    columns = {column.name: column for column in TABLES["oxygen_vacancy"].columns}
    published = HEADER.split(",")
    assert len(published) == 73
    assert [name for name in published if name not in columns] == []
    assert len(ELEMENTS) == len(set(ELEMENTS)) == 45
    units = {"bader_charge": "e", "ave_bec": "e", "bader_volume": "Å^3", "band_gap": "eV", "formation_energy": "eV/atom"}
    assert {name: columns[name].unit for name in units} == units
    assert columns["band_gap"].source == "electronic.band_gap_pbesol", "the published gap is no hybrid one"
    assert columns["ave_ion_diele"].source == "dielectric.epsilon_ionic_average", "the published one is the ionic part alone"


def test_a_row_holds_host_site_and_vacancy(full, tmp_path) -> None:
    report = export(full.store, "oxygen_vacancy", tmp_path)
    assert (report.n_rows, report.left_out) == (9, {})
    row = rows(tmp_path)["ZnO", "Va_O2_2"]
    assert (row["full_name"], row["group"], row["site"], row["charge"]) == ("ZnO_Va_O2", "ZnO", "O2", 2)
    assert (row["ave_ele_diele"], row["ave_ion_diele"], row["band_gap"]) == (3.2, 8.0, 4.66)
    assert sum(row[f"vbm_{orbital}"] for orbital in "spdf") == pytest.approx(1.0)
    assert row["ave_bec"] == pytest.approx(-2.06), "of the second site"
    assert (row["bader_charge"], row["bader_volume"], row["o2p_center_from_vbm"]) == (-1.46, 12.6, 1.8)
    assert (row["nn_ave_eleneg"], row["nn_max_bader_charge"], row["nn_min_ave_bec"]) == (1.77, 1.04, -2.02)
    assert row["formation_energy"] == pytest.approx(-3.0)
    assert (row["chemical_potential_o_rich"], row["chemical_potential_o_poor"]) == (0.0, -6.0)
    assert (row["edge_state"], row["structure_class"], row["supercell_atoms"]) == ("localised", "simple", 64)
    assert (row["flags"], row["missing_reasons"], row["left_out"]) == ([], [], None)


def test_charged_energies_have_both_references_of_the_fermi_level(full, tmp_path) -> None:
    """The published relation: E(core) = E(VBM) - q VBM(site)."""
    export(full.store, "oxygen_vacancy", tmp_path)
    for (_, _), row in rows(tmp_path).items():
        at_vbm, at_core = row["vacancy_formation_energy_vbm"], row["vacancy_formation_energy"]
        assert at_vbm == ENERGIES[row["charge"]]
        assert at_core == pytest.approx(at_vbm - row["charge"] * row["vbm_from_o_core"])
        assert row["vbm_from_o_core"] == VBM_FROM_CORE
        assert row["vacancy_formation_energy_other_oxygen"] - at_vbm == pytest.approx(ATOM - MOLECULE)
        assert row["oxygen_reference"] == "molecule"


def test_without_the_core_alignment_only_charged_states_lose_the_published_energy(full, tmp_path) -> None:
    unknown = {"vbm_from_o_core": None, "formation_energy_core_reference": None, "reasons": {"dos": "no ZnO"}}
    for charge in (0, 1):
        full.vacancy("MgO", "O1", charge, **unknown)
    export(full.store, "oxygen_vacancy", tmp_path)
    neutral, charged = (rows(tmp_path)["MgO", f"Va_O1_{charge}"] for charge in (0, 1))
    assert neutral["vacancy_formation_energy"] == ENERGIES[0]
    assert charged["vacancy_formation_energy"] is None
    assert charged["vacancy_formation_energy_vbm"] == ENERGIES[1]
    assert charged["missing_reasons"] == ["dos: no ZnO"]


def test_no_weight_is_zero_and_no_descriptor_is_null(full, tmp_path) -> None:
    full.sites("MgO", status="unavailable", reason="dos: killed")
    export(full.store, "oxygen_vacancy", tmp_path)
    zinc, magnesia = rows(tmp_path)["ZnO", "Va_O1_0"], rows(tmp_path)["MgO", "Va_O1_0"]
    assert (zinc["Zn"], zinc["O"], zinc["Mg"], zinc["Cu"]) == (0.93104, 0.06896, 0.0, 0.0)
    assert sum(zinc[symbol] for symbol in ELEMENTS) == pytest.approx(1.0)
    assert dict(zinc["voronoi_weights"]) == {"Zn": 0.93104, "O": 0.06896}
    for name in (*ELEMENTS, "voronoi_weights", "ave_bec", "nn_ave_eleneg", "wyckoff"):
        assert magnesia[name] is None, name
    assert magnesia["vacancy_formation_energy"] == ENERGIES[0]
    assert magnesia["missing_reasons"] == ["sites: dos: killed"]
    text = pd.read_csv(tmp_path / "oxygen_vacancy.csv", keep_default_na=False, na_values=[""]).set_index(["formula", "vacancy"])
    assert text.loc[("ZnO", "Va_O1_0"), "Mg"] == 0.0
    assert pd.isna(text.loc[("MgO", "Va_O1_0"), "Mg"])


def test_an_element_without_a_column_is_in_the_map(full, tmp_path) -> None:
    full.sites("MgO", site(1, "O", voronoi_weights={"Gd": 0.75, "O": 0.25}))
    export(full.store, "oxygen_vacancy", tmp_path)
    row = rows(tmp_path)["MgO", "Va_O1_0"]
    assert "Gd" not in row
    assert dict(row["voronoi_weights"]) == {"Gd": 0.75, "O": 0.25}
    assert sum(row[symbol] for symbol in ELEMENTS) == 0.25


def test_a_host_without_some_documents_still_has_its_vacancies(vacancies, tmp_path) -> None:
    vacancies.submit("MgO", "bulk:vacancy")
    vacancies.vacancy("MgO", "O1", 2)
    export(vacancies.store, "oxygen_vacancy", tmp_path)
    row = rows(tmp_path)["MgO", "Va_O1_2"]
    assert row["vacancy_formation_energy_vbm"] == ENERGIES[2]
    for name in ("ave_ele_diele", "band_gap", "formation_energy", "Mg", "space_group_number", "band_gap_edges"):
        assert row[name] is None, name
    assert "dielectric: no document" in row["missing_reasons"]
    assert "chemical_potentials: no document" in row["missing_reasons"]


def test_the_error_of_the_alignment_is_the_scatter_of_its_potentials(full, tmp_path) -> None:
    """Residuals of 0.12 and 0.08 V times the charge, twice each: a deviation of 0.02 V times the charge."""
    full.vacancy("ZnO", "O1", 1, arrays={})
    export(full.store, "oxygen_vacancy", tmp_path)
    errors = {charge: rows(tmp_path)["MgO", f"Va_O1_{charge}"]["alignment_error"] for charge in (0, 1, 2)}
    assert errors == {0: 0.0, 1: pytest.approx(0.02, rel=1e-4), 2: pytest.approx(0.08, rel=1e-4)}
    assert rows(tmp_path)["ZnO", "Va_O1_1"]["alignment_error"] is None
    alone = {name: array[-1:] for name, array in sheet(1).items()}
    full.vacancy("MgO", "O1", 1, arrays=alone)
    export(full.store, "oxygen_vacancy", tmp_path / "alone")
    assert rows(tmp_path / "alone")["MgO", "Va_O1_1"]["alignment_error"] is None, "one atom has no scatter"


def test_a_vacancy_without_results_has_no_error_of_the_alignment() -> None:
    column = next(column for column in TABLES["oxygen_vacancy"].columns if column.name == "alignment_error")
    assert column.read(Record({VacancyDoc: PropertyDoc.model_construct()})) is None


def test_levels_have_their_occupations_and_participations(full, tmp_path) -> None:
    edge = EdgeLike(band=0, energy=0.0, occupation=1.0, dissimilarity=0.0)

    def channel(energy: float, occupation: float, participation: float | None) -> SpinChannel:
        about = {"band": 1, "degeneracy": 1, "characters": {"Mg": (0.1, 0.0, 0.0, 0.0)}}
        level = VacancyLevel(**about, energy=energy, occupation=occupation, participation=participation)
        return SpinChannel(vbm=edge, cbm=edge, vbm_holes=0.0, cbm_electrons=0.0, levels=(level,))

    full.vacancy("MgO", "O1", 1, localised_levels=(2.0, 2.5), channels=(channel(2.0, 1.0, 0.7), channel(2.5, 0.0, 0.6)))
    full.vacancy("MgO", "O1", 2, localised_levels=(2.0,), channels=(channel(2.0, 0.0, None),))
    export(full.store, "oxygen_vacancy", tmp_path)
    one, two = (rows(tmp_path)["MgO", f"Va_O1_{charge}"] for charge in (1, 2))
    assert (one["localised_levels"], one["level_occupations"], one["level_participations"]) == (
        [2.0, 2.5],
        [1.0, 0.0],
        [0.7, 0.6],
    )
    assert (two["level_occupations"], two["level_participations"]) == ([0.0], None)
    assert rows(tmp_path)["MgO", "Va_O1_0"]["level_occupations"] is None


def test_formation_energies_of_the_host_by_the_oxygen_reference_used(full, tmp_path) -> None:
    """By the atom's reference oxygen is 0.7 eV higher, so MgO is 0.35 eV an atom lower."""
    other = binary()
    swapped = other.model_copy(update={"oxygen": other.oxygen.model_copy(update={"used": "atom"})})
    full.chemical_potentials("MgO", chemical_potentials=swapped, source="energies.csv")
    export(full.store, "oxygen_vacancy", tmp_path)
    row = rows(tmp_path)["MgO", "Va_O1_0"]
    assert row["formation_energy"] == pytest.approx(-3.0 - (ATOM - MOLECULE) / 2)
    assert row["formation_energy_table"] == "energies.csv"
    assert rows(tmp_path)["ZnO", "Va_O1_0"]["formation_energy_table"] is None


def test_every_vacancy_that_did_not_make_it_is_named_with_its_reason(full, tmp_path) -> None:
    """MgO: +1 failed, +2 is a perturbed host state. ZnO: O1 in +1 was never finished. CaO is refused, SrO is under way."""
    full.vacancy("MgO", "O1", 1, formation_energy=None, left_out="failed", status="unavailable", reason="vacancy: walltime")
    full.vacancy("MgO", "O1", 2, left_out="perturbed_host", edge_state="shallow_electron")
    full.summary("MgO", *states("O1", {0: 7.5}, {1: NoEnergy("failed", "vacancy: the run ended as walltime")}))
    full.store.database["vacancies"].delete_one({"formula": "ZnO", "part": "Va_O1_1"})
    full.summary("ZnO", *states("O1", {0: 7.5, 2: 2.5}, {1: NoEnergy("not_calculated", "no run")}), *states("O2", ENERGIES))
    for formula in ("CaO", "SrO", "BaO"):
        full.submit(formula, "bulk:vacancy")
    refused = GateVerdict(rule="max_oxygen_sites", what="5 oxygen sites, at most 4")
    full.supercell("CaO", refusals=(refused,), status="unavailable")
    full.ended("BaO", "bulk:vacancy", "failed", "supercell: killed")
    report = export(full.store, "oxygen_vacancy", tmp_path)
    assert report.n_rows == 6
    assert left_out(tmp_path) == {
        ("MgO", "Va_O1_1"): ("unavailable", "failed: vacancy: the run ended as walltime"),
        ("MgO", "Va_O1_2"): ("flagged", "perturbed_host: no reason given"),
        ("ZnO", "Va_O1_1"): ("no_result", "not_calculated: no run"),
        ("CaO", ""): ("refused", "max_oxygen_sites: 5 oxygen sites, at most 4"),
        ("SrO", ""): NOT_YET,
        ("BaO", ""): ("no_result", "supercell: killed"),
    }
    card = (tmp_path / "README.md").read_text()
    assert "| Va_O1_2 | flagged | perturbed_host: no reason given |" in card
    assert "one of the vacancies of 2 materials" in card
    again = export(full.store, "oxygen_vacancy", tmp_path / "flagged", include_flagged=True)
    assert again.n_rows == 7
    row = rows(tmp_path / "flagged")["MgO", "Va_O1_2"]
    assert (row["flags"], row["left_out"]) == (["perturbed_host: no reason given"], "perturbed_host")


def test_a_charge_that_another_site_has_is_missed(full, tmp_path) -> None:
    full.store.database["vacancies"].delete_many({"formula": "ZnO", "site": "O2"})
    full.store.database["vacancy_summaries"].delete_many({})
    export(full.store, "oxygen_vacancy", tmp_path)
    assert left_out(tmp_path) == {("ZnO", f"Va_O2_{charge}"): NOT_YET for charge in (0, 1, 2)}


def test_flags_of_the_host_are_flags_of_its_vacancies(full, tmp_path) -> None:
    full.dielectric("MgO", flags=("soft mode",))
    full.vacancy("MgO", "O1", 2, flags=("the cell moved",))
    export(full.store, "oxygen_vacancy", tmp_path)
    assert left_out(tmp_path) == {
        ("MgO", "Va_O1_0"): ("flagged", "soft mode"),
        ("MgO", "Va_O1_1"): ("flagged", "soft mode"),
        ("MgO", "Va_O1_2"): ("flagged", "the cell moved; soft mode"),
    }


def test_numbers_can_be_traced_to_their_runs(full, tmp_path) -> None:
    export(full.store, "oxygen_vacancy", tmp_path)
    row = rows(tmp_path)["MgO", "Va_O1_2"]
    steps = {"structure_opt": "a", "band": "b", "dos": "d", "dielectric": "9", "supercell": "5", "vacancy": "7"}
    assert {step: row[f"address_{step}"][0] for step in steps} == steps
    assert row["address_competing"] == ["4" * 64, "3" * 64], "by the names of the phases"
    assert row["address_oxygen_molecule"] == "6" * 64
    assert row["address_oxygen_atom"] is None


def test_the_dictionary_says_everything_of_every_column(full, tmp_path, monkeypatch) -> None:
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        report = export(full.store, "oxygen_vacancy", folder)
        contents.append({path.name: path.read_bytes() for path in report.files})
    assert contents[0] == contents[1]
    schema = pq.read_schema(tmp_path / "a" / "oxygen_vacancy.parquet")
    columns = json.loads(contents[0]["dictionary.json"])["columns"]
    assert [column["name"] for column in columns] == schema.names
    for column in columns:
        assert column["meaning"].endswith("."), column
        assert column["source"]
        dimensional = column["type"] in ("number", "list of numbers", "map of numbers") or column["name"] == "charge"
        assert (column["unit"] is not None) == dimensional, column
        assert {f"address_{step}" for step in column["steps"]} <= set(schema.names), f"{column['name']} cannot be traced"
    card = contents[0]["README.md"].decode()
    assert all(f"| `{name}` |" in card for name in schema.names)
    monkeypatch.chdir(tmp_path / "a")
    there = run_example(card)
    assert list(there["same"].columns) == schema.names
    assert there["voronoi_weights"].loc[0].to_dict() == {"O": 0.06896, "Zn": 0.93104}


def test_a_missing_map_does_not_break_the_example_of_the_card(full, tmp_path, monkeypatch) -> None:
    full.store.database[SitesDoc.collection].delete_many({"formula": "MgO"})
    export(full.store, "oxygen_vacancy", tmp_path)
    monkeypatch.chdir(tmp_path)
    there = run_example((tmp_path / "README.md").read_text())
    weights = there["voronoi_weights"][there["table"]["formula"] == "MgO"]
    assert weights["Zn"].isna().all()


def test_the_schema_does_not_depend_on_the_rows(vacancies, tmp_path) -> None:
    """A store without a vacancy has the same columns as one with many, as streams need."""
    vacancies.submit("MgO", "bulk:vacancy")
    export(vacancies.store, "oxygen_vacancy", tmp_path / "empty")
    empty = pq.read_schema(tmp_path / "empty" / "oxygen_vacancy.parquet")
    vacancies.host("MgO")
    vacancies.vacancy("MgO")
    export(vacancies.store, "oxygen_vacancy", tmp_path / "one")
    assert pq.read_schema(tmp_path / "one" / "oxygen_vacancy.parquet").equals(empty, check_metadata=True)


def test_vacancies_are_sorted_by_number_and_not_by_letter(vacancies, tmp_path) -> None:
    names = tuple(f"O{number}" for number in (1, 2, 10))
    vacancies.host("MgO", *names)
    for name in names:
        vacancies.vacancy("MgO", name, 0)
    export(vacancies.store, "oxygen_vacancy", tmp_path)
    assert [vacancy for _, vacancy in rows(tmp_path)] == ["Va_O1_0", "Va_O2_0", "Va_O10_0"]


def test_the_removed_site_is_found_in_the_structure_beside_the_table(full, tmp_path) -> None:
    """By the supercell's host where that is the structure; of another cell, or an older document, the first of its orbit."""
    (sites,) = full.store.properties(SitesDoc, {"formula": "ZnO"})
    (cell,) = full.store.properties(SupercellDoc, {"formula": "ZnO"})
    oxygen = {item.label: item for item in sites.sites if item.element == "O"}
    export(full.store, "oxygen_vacancy", tmp_path / "older")
    assert rows(tmp_path / "older")["ZnO", "Va_O2_0"]["site_index"] == oxygen["O2"].index

    places = {"O1": 1, "O2": 0}
    named = tuple(item.model_copy(update={"host_index": places[item.name]}) for item in cell.sites)
    crystal = sites.crystal or next(iter(full.store.properties(RelaxationDoc, {"formula": "ZnO"}))).crystal
    full.store.put_property(cell.model_copy(update={"sites": named, "host": crystal}))
    export(full.store, "oxygen_vacancy", tmp_path / "same")
    found = rows(tmp_path / "same")
    assert {found["ZnO", f"Va_{name}_0"]["site_index"] for name in places} == {0, 1}
    assert found["ZnO", "Va_O2_0"]["site_index"] == 0

    stretched = crystal.model_copy(update={"lattice": tuple(tuple(1.1 * x for x in row) for row in crystal.lattice)})
    full.store.put_property(cell.model_copy(update={"sites": named, "host": stretched}))
    export(full.store, "oxygen_vacancy", tmp_path / "other")
    assert rows(tmp_path / "other")["ZnO", "Va_O2_0"]["site_index"] == oxygen["O2"].index
