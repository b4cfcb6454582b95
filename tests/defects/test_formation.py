from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_defects import bare, dielectric_tensor, pydefect, pydefect_run, without

from flow_documents import CANDIDATE, NOW, task
from hibana.defects.charge_states import ChargeState, site_energies, site_levels
from hibana.defects.chemical_potentials import chemical_potentials
from hibana.defects.correction import Correction, NoCorrection, extended_fnv
from hibana.defects.formation import (
    FormationEnergy,
    GapEdges,
    NoEnergy,
    at_core_reference,
    atoms_removed,
    formation_energy,
    gap_edges,
    vbm_from_core,
)
from hibana.defects.oxygen import references_of
from hibana.defects.phases import PhaseEnergy
from hibana.defects.run import DefectRun, defect_run
from hibana.documents.crystal import Crystal
from hibana.documents.properties import ElectronicDoc, PropertyDoc
from hibana.documents.task import Inputs
from hibana.documents.vacancy import SiteLevels, VacancyDoc, VacancySummaryDoc
from hibana.protocol.protocol import load_protocol
from vacancy_runs import Shelf

RULE = load_protocol("pbesol").defects
EDGES = GapEdges("pbesol", 3.0, 10.9)
CELL = Crystal(
    lattice=((8.0, 0.0, 0.0), (0.0, 8.0, 0.0), (0.0, 0.0, 8.0)),
    species=("Mg", "Mg", "O", "O"),
    frac_coords=((0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.0, 0.0), (0.0, 0.5, 0.0)),
)
PERFECT = DefectRun(CELL, CELL, energy=-24.0, charge=0.0)
NUMBER = st.floats(-30, 30).map(lambda value: round(value, 4))


def vacancy(charge: float | None = 0.0, energy: float | None = -15.0, **changes: object) -> DefectRun:
    cell = without(CELL, 2)
    return replace(DefectRun(cell, cell, energy=energy, charge=charge), **changes)


def corrected(charge: float, point_charge: float = 0.0, alignment: float = 0.0) -> Correction:
    return Correction(charge, point_charge, alignment, 4.0, np.zeros(3), None)


def made(charge: int = 2, energy: float = -20.0, *, point_charge: float = 0.6, alignment: float = -0.1) -> FormationEnergy:
    found = formation_energy(
        charge, PERFECT, vacancy(charge, energy), EDGES, {"O": -5.0}, corrected(charge, point_charge, alignment)
    )
    assert isinstance(found, FormationEnergy)
    return found


def test_every_term_is_kept_and_the_sum_is_the_energy():
    found = made()
    assert found.terms == {
        "E[vacancy]": -20.0,
        "-E[perfect]": 24.0,
        "Σ n μ": -5.0,
        "q VBM": 6.0,
        "point charge": 0.6,
        "alignment": -0.1,
    }
    assert found.at() == pytest.approx(5.5) == pytest.approx(sum(found.terms.values()))
    assert found.correction == pytest.approx(0.5)


@given(st.integers(-2, 3), NUMBER, NUMBER, NUMBER)
def test_the_slope_in_the_fermi_level_is_the_charge_and_in_the_potential_the_atoms(charge, fermi, other, potential):
    found = made(charge)
    assert found.at(fermi) - found.at(other) == pytest.approx(charge * (fermi - other), abs=1e-9)
    assert found.at(fermi, {"O": potential}) - found.at(fermi) == pytest.approx(potential, abs=1e-9)
    assert found.at(fermi, {"Mg": potential}) == found.at(fermi)


@given(st.integers(-2, 3), NUMBER)
def test_another_zero_of_the_potential_changes_nothing(charge, shift):
    """Electrons less by the charge: the energy of the cell falls by charge times the shift of all eigenvalues."""
    one = made(charge)
    moved = GapEdges("pbesol", EDGES.vbm + shift, EDGES.cbm + shift)
    run = vacancy(charge, -20.0 - charge * shift)
    two = formation_energy(charge, PERFECT, run, moved, {"O": -5.0}, corrected(charge, 0.6, -0.1))
    assert isinstance(two, FormationEnergy)
    assert two.at(1.3) == pytest.approx(one.at(1.3), abs=1e-9)


@given(NUMBER, NUMBER, st.integers(0, 2))
def test_another_zero_of_the_energies_of_elements_changes_nothing(oxygen, magnesium, charge):
    numbers = CELL.species.count("O"), CELL.species.count("Mg")
    perfect = replace(PERFECT, energy=PERFECT.energy + numbers[0] * oxygen + numbers[1] * magnesium)
    run = vacancy(charge, -20.0 + (numbers[0] - 1) * oxygen + numbers[1] * magnesium)
    two = formation_energy(charge, perfect, run, EDGES, {"O": -5.0 + oxygen}, corrected(charge, 0.6, -0.1))
    assert isinstance(two, FormationEnergy)
    assert two.at(0.4) == pytest.approx(made(charge).at(0.4), abs=1e-9)


SPECIES = st.lists(st.sampled_from(["Mg", "O", "K"]), min_size=1, max_size=8)


def cell_of(species: list[str]) -> Crystal:
    places = tuple((number / 9, 0.0, 0.0) for number in range(len(species)))
    return Crystal(lattice=CELL.lattice, species=tuple(species), frac_coords=places)


@given(SPECIES, SPECIES)
def test_atoms_balance(before, after):
    cells = [cell_of(before), cell_of(after)]
    removed = atoms_removed(*cells)
    assert sum(removed.values()) == len(before) - len(after)
    assert all(before.count(element) - after.count(element) == removed.get(element, 0) for element in ("Mg", "O", "K"))
    assert 0 not in removed.values()
    assert atoms_removed(*reversed(cells)) == {element: -number for element, number in removed.items()}


def counted(run: DefectRun, valence: int, nelect: int) -> DefectRun:
    """The run with its charge as the document of a run with these electrons gives it."""
    inputs = Inputs(incar={}, kpoints={}, potcars=(), valence=valence, nelect=nelect)
    return replace(run, charge=defect_run(task("defect", inputs=inputs), Shelf().get).charge)


@given(st.integers(-2, 3), st.integers(200, 400), st.integers(-3, 3), st.integers(-1, 1))
def test_electrons_balance(charge, valence, extra, host_extra):
    """NELECT is that of the neutral atoms that are there less the charge, or there is no energy."""
    perfect = counted(PERFECT, valence + 6, valence + 6 + host_extra)
    run = counted(vacancy(energy=-20.0), valence, valence - charge + extra)
    found = formation_energy(charge, perfect, run, EDGES, {"O": -5.0}, corrected(charge))
    if extra == host_extra == 0:
        assert isinstance(found, FormationEnergy)
    else:
        assert isinstance(found, NoEnergy)
        assert found.kind == "charge"
        assert f"has the charge {(-host_extra or charge - extra):+g}" in found.reason


@pytest.mark.parametrize(
    ("charge", "perfect", "defect", "standard", "correction", "kind", "words"),
    [
        (0, PERFECT, vacancy(status="failed"), {"O": -5.0}, corrected(0), "failed", "vacancy: the run ended as failed"),
        (0, replace(PERFECT, status="ionic_limit"), vacancy(), {"O": -5.0}, corrected(0), "failed", "perfect supercell: the run"),
        (0, PERFECT, vacancy(energy=None, missing={"energy": "truncated"}), {"O": -5.0}, corrected(0), "failed", "truncated"),
        (1, PERFECT, vacancy(0.0), {"O": -5.0}, corrected(1), "charge", "has the charge +0, not +1"),
        (0, replace(PERFECT, charge=1.0), vacancy(), {"O": -5.0}, corrected(0), "charge", "perfect supercell"),
        (0, PERFECT, replace(vacancy(), crystal=CELL), {"O": -5.0}, corrected(0), "atoms", "nothing missing"),
        (0, PERFECT, replace(vacancy(), crystal=without(CELL, 0)), {"O": -5.0}, corrected(0), "atoms", "1 Mg missing"),
        (0, PERFECT, vacancy(), {}, corrected(0), "no_reference", "no energy of O"),
        (2, PERFECT, vacancy(2.0), {"O": -5.0}, NoCorrection("no_site_outside", "too small"), "no_correction", "too small"),
        (0, PERFECT, vacancy(), {"O": -5.0}, NoCorrection("different_lattices", "unlike"), "no_correction", "unlike"),
        (0, PERFECT, vacancy(energy=-200.0), {"O": -5.0}, corrected(0), "strange_energy", "-181.0 eV"),
    ],
)  # fmt: skip
def test_what_leaves_no_energy_says_why(charge, perfect, defect, standard, correction, kind, words):
    found = formation_energy(charge, perfect, defect, EDGES, standard, correction)
    assert isinstance(found, NoEnergy)
    assert found.kind == kind
    assert words in found.reason


def test_a_charged_vacancy_needs_band_edges_and_a_neutral_one_does_not():
    arguments = ({"O": -5.0}, corrected(0))
    assert formation_energy(1, PERFECT, vacancy(1.0), None, *arguments) == NoEnergy(
        "no_band_edges", "no band edges of the host are known"
    )
    neutral = formation_energy(0, PERFECT, vacancy(0.0), None, *arguments)
    assert isinstance(neutral, FormationEnergy)
    assert neutral.at() == pytest.approx(4.0)


def test_a_neutral_vacancy_needs_no_correction():
    found = formation_energy(0, PERFECT, vacancy(), EDGES, {"O": -5.0}, NoCorrection("no_dielectric_tensor", "failed"))
    assert isinstance(found, FormationEnergy)
    assert found.correction == 0.0


def electronic(**fields: float) -> ElectronicDoc:
    head = {"material_id": CANDIDATE.material_id, "formula": "MgO", "elements": ("Mg", "O"), "calculator": "vasp"}
    head |= {"calculator_version": "6", "protocol": "pbesol", "protocol_version": 1, "status": "complete", "built_with": "0"}
    return ElectronicDoc(**head, built_at=NOW, gap_class="gapped", **fields)


def test_the_edges_are_the_first_of_the_protocol_there_are():
    semilocal = {"vbm": 3.0, "cbm": 7.6}
    hybrid = {"vbm_hse06_nsc": 2.2, "cbm_hse06_nsc": 8.6}
    best = {"vbm_ddh_nsc": 1.6, "cbm_ddh_nsc": 9.4}
    assert gap_edges(electronic(**semilocal, **hybrid, **best), RULE) == GapEdges("ddh_nsc", 1.6, 9.4)
    assert gap_edges(electronic(**semilocal, **hybrid, vbm_ddh_nsc=1.6), RULE) == GapEdges("hse06_nsc", 2.2, 8.6)
    assert gap_edges(electronic(**semilocal), RULE).gap == pytest.approx(4.6)
    assert gap_edges(electronic(vbm=3.0, cbm=3.0), RULE) is None
    other = RULE.model_copy(update={"edges": ("pbesol",)})
    assert gap_edges(electronic(**semilocal, **best), other).source == "pbesol"


# -- charge states of a site ------------------------------------------------------------------------------------------


def states(**changes: dict) -> list[ChargeState]:
    """Three charge states of O1, levels at 1.2 and 2.6 eV, and one of O2."""
    energies = {0: 7.2, 1: 4.6, 2: 3.4}
    found = [
        ChargeState(f"Va_O1_{charge}", "O1", charge, made(charge, energy - 24 + 5 - 3 * charge, point_charge=0.0, alignment=0.0))
        for charge, energy in energies.items()
    ]
    found = [replace(state, **changes.get(state.name, {})) for state in found]
    return [*found, ChargeState("Va_O2_0", "O2", 0, made(0))]


def test_levels_of_a_site():
    found = site_levels("O1", states(), EDGES.gap)
    assert [(line.charge, round(line.energy, 9)) for line in found.lines] == [(0, 7.2), (1, 4.6), (2, 3.4)]
    assert [(level.charges, round(level.level, 9)) for level in found.levels] == [((2, 1), 1.2), ((1, 0), 2.6)]
    assert found.left_out == ()
    assert [part.charge for part in found.stable] == [2, 1, 0]
    assert len(found.pair_levels) == 3


@pytest.mark.parametrize("state", ["shallow_hole", "shallow_electron", "perturbed_host"])
def test_perturbed_host_states_are_left_out_unless_asked_for(state):
    changed = states(Va_O1_1={"edge_state": state})
    found = site_levels("O1", changed, EDGES.gap)
    assert [(level.charges, round(level.level, 9)) for level in found.levels] == [((2, 0), 1.9)]
    (left,) = found.left_out
    assert (left.name, left.charge, left.kind) == ("Va_O1_1", 1, "perturbed_host")
    assert state.replace("_", " ") in left.reason
    assert site_levels("O1", changed, EDGES.gap, perturbed=True) == site_levels("O1", states(), EDGES.gap)


def test_undetermined_states_are_left_out_unless_asked_for():
    changed = states(Va_O1_1={"edge_state": "undetermined", "edge_reason": "no projections"})
    (left,) = site_levels("O1", changed, EDGES.gap).left_out
    assert (left.kind, left.reason) == ("undetermined", "no projections")
    assert len(site_levels("O1", changed, EDGES.gap, undetermined=True).lines) == 3


def test_states_without_energy_are_left_out_with_their_reason():
    failed = {"energy": NoEnergy("failed", "zpotrf"), "edge_state": "undetermined"}
    found = site_levels("O1", states(Va_O1_0=failed, Va_O1_1={"energy": NoEnergy("not_calculated", "refused")}), EDGES.gap)
    assert [(item.kind, item.reason) for item in found.left_out] == [("failed", "zpotrf"), ("not_calculated", "refused")]
    assert [line.charge for line in found.lines] == [2]
    assert found.levels == ()
    nothing = site_levels("O3", states(), EDGES.gap)
    assert (nothing.lines, nothing.stable) == ((), ())


@pytest.mark.parametrize("gap", [None, 0.0])
def test_without_a_gap_there_are_lines_and_no_levels(gap):
    found = site_levels("O1", states(), gap)
    assert (len(found.lines), found.levels, found.stable) == (3, (), ())


POTENTIALS = [PhaseEnergy("Mg", -1.5), PhaseEnergy("MgO", -6.0)]


def test_energies_under_both_references_and_at_both_limits():
    oxygen = references_of(-5.2, -5.0 + 2.6067, "atom")
    potentials = chemical_potentials(POTENTIALS, "MgO", oxygen)
    found = site_energies(site_levels("O1", states(), EDGES.gap), potentials, EDGES.gap)
    energies = {(item.oxygen_reference, item.limit): {line.charge: line.energy for line in item.lines} for item in found}
    assert len(energies) == 6
    assert energies["atom", "standard"] == energies["atom", "O-rich"] == pytest.approx({0: 7.2, 1: 4.6, 2: 3.4})
    for charge in (0, 1, 2):
        gap = energies["atom", "standard"][charge] - energies["molecule", "standard"][charge]
        assert gap == pytest.approx(oxygen.difference)
        assert energies["atom", "O-poor"][charge] == pytest.approx(energies["molecule", "O-poor"][charge])
    poor = potentials.diagram("atom").limit("O-poor").chemical_potentials["O"]
    assert energies["atom", "O-poor"][0] == pytest.approx(7.2 + poor)
    pinning = next(item for item in found if (item.oxygen_reference, item.limit) == ("atom", "O-poor"))
    assert pinning.pinning_low == pytest.approx(max(-(3.4 + poor) / 2, -(4.6 + poor)))
    assert pinning.pinning_high is None


def test_an_unstable_host_has_energies_at_standard_states_only():
    phases = [*POTENTIALS, PhaseEnergy("MgO2", -9.0)]
    potentials = chemical_potentials(phases, "MgO", references_of(-5.2, None, "molecule"))
    (only,) = site_energies(site_levels("O1", states(), EDGES.gap), potentials, None)
    assert (only.oxygen_reference, only.limit, only.pinning_low) == ("molecule", "standard", None)


# -- against pydefect and published tables ----------------------------------------------------------------------------

KINO2, KINO2_ZEROS = "KInO2_Va_O_2", {"O": -4.93, "K": -1.04, "In": -2.7}


@cache
def kino2(recorded):
    folder = recorded / "vasp_runs" / KINO2 / "outputs" / "pydefect"
    perfect, defect = pydefect_run(folder / "perfect_calc_results.json"), pydefect_run(folder / "calc_results.json")
    correction = extended_fnv(2, perfect, defect, dielectric_tensor(folder / "unitcell.json"), RULE)
    return perfect, defect, correction


def pydefect_info(charge, perfect, defect, vbm, zeros, correction, is_shallow=False):
    """pydefect's formation energy of the same numbers."""
    results = pydefect("analyzer.calc_results", "CalcResults")
    make = pydefect("analyzer.make_defect_energy_info", "make_defect_energy_info")
    runs = [results(bare(run.crystal), run.energy, 0.0, [], True, True) for run in (defect, perfect)]
    terms = SimpleNamespace(correction_dict={"pc term": correction.point_charge, "alignment term": correction.alignment})
    return make(
        SimpleNamespace(name="Va_O1", charge=charge),
        runs[0],
        terms,
        runs[1],
        zeros,
        SimpleNamespace(vbm=vbm),
        SimpleNamespace(is_shallow=is_shallow),
    )


def test_the_recorded_potassium_indate_is_pydefects(recorded):
    """Energies of the recorded cells, -948.9053 and -953.4296 eV, and the VBM of the recorded unit cell, 0.5275 eV."""
    perfect, defect, correction = kino2(recorded)
    found = formation_energy(2, perfect, defect, GapEdges("pbesol", 0.5275, 2.5579), KINO2_ZEROS, correction)
    assert isinstance(found, FormationEnergy)
    info = pydefect_info(2, perfect, defect, 0.5275, KINO2_ZEROS, correction)
    assert info.atom_io == {element: -number for element, number in found.removed.items()}
    assert found.at() == pytest.approx(info.defect_energy.energy(with_correction=True), abs=1e-9)
    assert found.at() - found.correction == pytest.approx(info.defect_energy.formation_energy, abs=1e-9)
    assert found.at() == pytest.approx(-948.90530108 + 953.42962159 - 4.93 + 2 * 0.5275 + found.correction, abs=1e-9)
    assert found.correction == pytest.approx(0.0329, abs=5e-4)


def test_a_summary_of_recorded_charge_states_is_pydefects(recorded):
    """V_O in MgO in its recorded charge states +1 and +2, against a perfect cell of a stated energy, and a neutral one."""
    folder = recorded / "vasp_runs"
    runs = {
        1: pydefect_run(folder / "MgO_Va_O_transition_initial/outputs/pydefect/calc_results.json"),
        2: pydefect_run(folder / "MgO_Va_O_transition_final/outputs/pydefect/calc_results.json"),
    }
    cell = runs[1].crystal
    whole = cell.model_copy(update={"species": (*cell.species, "O"), "frac_coords": (*cell.frac_coords, (0.5, 0.5, 0.25))})
    perfect = DefectRun(whole, whole, energy=-496.0)
    runs[0] = replace(runs[1], energy=-482.6)
    edges, zeros = GapEdges("hse06_nsc", 3.0675, 7.7262), {"O": -6.0}
    corrections = {charge: corrected(charge, 0.2789 * charge**2, -0.13 * charge) for charge in runs}
    given_states, infos = [], []
    for charge, run in runs.items():
        energy = formation_energy(charge, perfect, run, edges, zeros, corrections[charge])
        shallow = charge == 1
        given_states.append(ChargeState(f"Va_O1_{charge}", "O1", charge, energy, "shallow_electron" if shallow else "localised"))
        infos.append(pydefect_info(charge, perfect, run, edges.vbm, zeros, corrections[charge], shallow))
    potentials = {"A": {"O": 0.0, "Mg": -5.9}, "B": {"O": -5.9, "Mg": 0.0}}
    summary = pydefect("analyzer.make_defect_energy_summary", "make_defect_energy_summary")(
        infos,
        SimpleNamespace(chem_pots=potentials),
        SimpleNamespace(system="MgO", vbm=edges.vbm, cbm=edges.cbm),
        SimpleNamespace(vbm_info=SimpleNamespace(energy=3.0), cbm_info=SimpleNamespace(energy=7.8)),
    )
    for allowed in (True, False):
        ours = site_levels("O1", given_states, edges.gap, perturbed=allowed)
        for label, potential in potentials.items():
            theirs = summary.charge_energies(label, allowed, True, (0.0, edges.gap), name_style=False)
            lines = {line.charge: line.energy + potential["O"] for line in ours.lines}
            assert lines == pytest.approx(dict(theirs.charge_energies_dict["Va_O1"].charge_energies), abs=1e-9)
            points = sorted(theirs.cross_point_dicts["Va_O1"].inner_cross_points)
            levels = [(level.level, level.energy + potential["O"]) for level in ours.levels]
            np.testing.assert_allclose(np.reshape(levels, (-1, 2)), np.reshape(points, (-1, 2)), atol=1e-7)


def test_the_common_reference_of_the_published_table(recorded):
    """E(core) = E(VBM) - q VBM on every row that has both energies."""
    with (recorded / "ml_data/oxygen_vacancy_formation/table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["formation_energy_core_ref_eV"] and row["formation_energy_vbm_ref_eV"]]
    assert len(rows) > 3000
    for row in rows:
        found = at_core_reference(float(row["formation_energy_vbm_ref_eV"]), int(row["charge"]), float(row["vbm_from_o_core_eV"]))
        assert found == pytest.approx(float(row["formation_energy_core_ref_eV"]), abs=1e-12)


@given(NUMBER, NUMBER, NUMBER, st.integers(0, 2))
def test_the_common_reference_does_not_know_the_zero_of_the_potential(vbm, potential, shift, charge):
    """All eigenvalues rise with the potential of an electron, which is the negative of the site potential."""
    one = vbm_from_core(vbm, potential, zero=-20.0)
    two = vbm_from_core(vbm + shift, potential - shift, zero=-20.0)
    assert two == pytest.approx(one, abs=1e-9)
    assert vbm_from_core(vbm, potential, zero=vbm_from_core(vbm, potential)) == 0.0
    assert at_core_reference(5.0, charge, one) == pytest.approx(5.0 - charge * one)


def test_documents_of_vacancies_go_through_json():
    head = electronic().model_dump(include=set(PropertyDoc.model_fields))
    potentials = chemical_potentials(POTENTIALS, "MgO", references_of(-5.2, -2.4, "atom"))
    levels = site_levels("O1", states(Va_O1_1={"edge_state": "undetermined"}), EDGES.gap)
    summary = VacancySummaryDoc(
        **head, chemical_potentials=potentials, sites=(levels,), energies=site_energies(levels, potentials, EDGES.gap)
    )
    assert VacancySummaryDoc.model_validate_json(summary.model_dump_json()) == summary
    assert SiteLevels.model_validate_json(levels.model_dump_json()) == levels
    vacancy_doc = VacancyDoc(**(head | {"part": "Va_O1_2"}), name="Va_O1", site="O1", charge=2, removed={"O": 1})
    assert VacancyDoc.model_validate_json(vacancy_doc.model_dump_json()) == vacancy_doc
