"""What the document of a vacancy keeps of its states, and what may not change it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_vacancy_curation import documents, evidence, vacancies

from hibana.defects.analysis import analyse, entries_of, host_of, host_supercell
from hibana.defects.vacancy_document import build_vacancy
from hibana.documents.arrays import unpack
from hibana.documents.vacancy import VacancyDoc
from hibana.properties.evidence import Evidence
from vacancy_runs import Shelf, vacancy_run


def with_site_weights(shelf, supercell, values):
    """The level of the vacancy is on its six neighbours to six tenths, the band edges are on all atoms alike."""
    n_sites = len(values["final"].species)
    weights = np.full((1, 1, 3, n_sites), 0.01)
    place = supercell.crystal.frac_coords[supercell.sites[1].indices[0]]
    steps = np.array(values["final"].frac_coords) - place
    distances = np.linalg.norm((steps - np.rint(steps)) @ np.array(values["final"].lattice), axis=1)
    near = np.argsort(distances)[:6]
    weights[0, 0, 1] = 0.4 / (n_sites - 6)
    weights[0, 0, 1, near] = 0.1
    arrays = shelf.put(site_weights=weights, site_weight_bands=np.arange(3))
    return {"arrays": {**values["arrays"], **arrays}}


def test_states_of_each_spin_are_kept():
    document = documents(evidence(vacancy_Va_O1_1=with_site_weights))["Va_O1_1"]
    (channel,) = document.channels
    (level,) = channel.levels
    assert (channel.vbm.band, level.band, channel.cbm.band) == (0, 1, 2)
    assert (channel.vbm.energy, level.energy, channel.cbm.energy) == (0, pytest.approx(2.5), pytest.approx(4.6))
    assert (channel.vbm_holes, channel.cbm_electrons) == (0, 0)
    assert (level.occupation, level.degeneracy) == (0.5, 1)
    assert level.characters["Mg"] == pytest.approx((0.2, 0.2, 0, 0))
    assert level.participation == pytest.approx(0.6, abs=1e-3)
    assert channel.vbm.participation == channel.cbm.participation == pytest.approx(6 / 63, abs=1e-3)
    assert document.localised_levels == (level.energy,)
    assert VacancyDoc.model_validate_json(document.model_dump_json()) == document


def test_without_site_weights_there_is_no_participation():
    (channel,) = documents(evidence())["Va_O1_1"].channels
    assert channel.levels[0].participation is channel.vbm.participation is None


def test_eigenvalues_around_the_gap_are_kept():
    built = vacancies(evidence())[2]
    document = built.document
    arrays = {name: unpack(packed) for name, packed in built.arrays.items()}
    assert set(arrays) == set(document.arrays)
    assert (document.supercell_gap, document.first_band) == (pytest.approx(4.6), 0)
    np.testing.assert_allclose(arrays["eigenvalue_energies"], [[[0.0, 2.5, 4.6]]], atol=1e-6)
    np.testing.assert_allclose(arrays["eigenvalue_occupations"], [[[1.0, 0.0, 0.0]]])
    np.testing.assert_allclose(arrays["eigenvalue_kpoints"], [[0.0, 0.0, 0.0]])
    np.testing.assert_allclose(arrays["eigenvalue_weights"], [1.0])


def test_a_vacancy_without_band_edges_keeps_its_eigenvalues():
    def unlike(shelf, supercell, values):
        return vacancy_run(shelf, values["final"], 1, supercell.crystal, unlike=True)

    built = vacancies(evidence(vacancy_Va_O1_1=unlike))[1]
    assert built.document.edge_state == "undetermined"
    assert built.document.channels == ()
    assert {"eigenvalue_energies", "eigenvalue_occupations"} <= set(built.document.arrays)


def test_without_eigenvalues_there_are_none():
    def bare(shelf, supercell, values):
        return {"arrays": {name: ref for name, ref in values["arrays"].items() if name != "eigenvalues"}}

    document = documents(evidence(vacancy_Va_O1_1=bare))["Va_O1_1"]
    assert (document.supercell_gap, document.first_band) == (None, None)
    assert not [name for name in document.arrays if name.startswith("eigenvalue")]


@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_relaxation_leaves_of_the_displacements_is_no_change_of_symmetry(seed):
    """Some hundredths of an Å, as forces of 0.03 eV/Å leave them: pydefect's tolerance is 0.1 Å."""

    def noisy(shelf, supercell, values):
        cell = values["final"]
        places = np.array(cell.frac_coords) @ np.array(cell.lattice) + np.random.default_rng(seed).normal(0, 0.008, (63, 3))
        relaxed = cell.model_copy(update={"frac_coords": tuple(map(tuple, (places @ np.linalg.inv(cell.lattice)).tolist()))})
        return vacancy_run(shelf, relaxed, 2, supercell.crystal)

    document = documents(evidence(vacancy_Va_O1_2=noisy))["Va_O1_2"]
    assert (document.symmetry_before, document.symmetry_after, document.symmetry_relation) == ("m-3m", "m-3m", "same")
    assert document.structure_class == "simple"


def test_an_alignment_at_one_atom_is_a_flag():
    evidence_ = evidence()
    supercell = host_supercell(evidence_)
    host = host_of(evidence_, supercell)
    entry = entries_of(supercell, evidence_)[2]
    found = analyse(evidence_, host, entry)
    assert build_vacancy(evidence_, host, found).document.flags == ()
    table = found.correction.sheet
    alone = replace(table, outside=np.arange(len(table.sites)) == table.distances.argmax())
    few = replace(found, correction=replace(found.correction, sheet=alone))
    assert build_vacancy(evidence_, host, few).document.flags == ("the potentials are aligned at one atom",)


CHANGED = {"crystal", "arrays", "built_at", "sheet_elements", "channels"}
"""What follows the order of the atoms, or is compared on its own."""


@given(st.randoms(use_true_random=False))
@settings(max_examples=4)
def test_the_order_of_atoms_in_a_run_changes_nothing(random):
    def relabelled(shelf: Shelf, supercell, values):
        cell = values["final"]
        order = random.sample(range(len(cell.species)), len(cell.species))
        crystal = cell.model_copy(
            update={
                "species": tuple(cell.species[site] for site in order),
                "frac_coords": tuple(cell.frac_coords[site] for site in order),
            }
        )
        potentials = shelf.get(values["arrays"]["site_potentials"])[order]
        by_element = shelf.get(values["arrays"]["projections"])
        first = list(dict.fromkeys(crystal.species))
        by_element = by_element[..., [("Mg", "O").index(element) for element in first], :]
        arrays = shelf.put(site_potentials=potentials, projections=by_element)
        return {"final": crystal, "arrays": {**values["arrays"], **arrays}}

    one, two = (documents(found)["Va_O1_2"] for found in (evidence(), evidence(vacancy_Va_O1_2=relabelled)))
    before, after = (document.model_dump(exclude=CHANGED) for document in (one, two))
    for name, value in before.items():
        approximate = isinstance(value, float) or name in ("centre", "localised_levels")
        assert after[name] == (pytest.approx(value, abs=1e-6) if approximate else value), name
    assert sorted(one.sheet_elements) == sorted(two.sheet_elements)
    assert two.channels[0].levels[0].energy == pytest.approx(one.channels[0].levels[0].energy)


@given(shift=st.floats(-3, 3).map(lambda value: round(value, 3)))
@settings(max_examples=4)
def test_another_zero_of_the_potential_changes_no_claim(shift):
    """Eigenvalues of every run rise by the shift, energies of charged cells fall by charge times it."""
    moved = documents(_shifted(evidence(), shift))
    for name, document in documents(evidence()).items():
        other = moved[name]
        assert other.formation_energy == pytest.approx(document.formation_energy, abs=1e-6)
        assert (other.edge_state, other.left_out) == (document.edge_state, document.left_out)
        assert other.localised_levels == pytest.approx(document.localised_levels, abs=1e-5)
        assert other.vbm == pytest.approx(document.vbm + shift)


def _shifted(found: Evidence, shift: float) -> Evidence:
    shelf = Shelf()

    def moved(step, run):
        edges = run.edges
        known = {name: getattr(edges, name) + shift for name in ("vbm", "cbm") if getattr(edges, name) is not None}
        changes = {"edges": edges.model_copy(update=known)}
        if step == "supercell" or step.startswith("vacancy-"):
            arrays = {name: np.array(found.array(ref), dtype=float) for name, ref in run.arrays.items()}
            arrays["eigenvalues"] += shift
            changes["arrays"] = shelf.put(**arrays)
            charge = int(step[-1]) if step.startswith("vacancy-") else 0
            changes["energy"] = run.energy - charge * shift
        return run.model_copy(update=changes)

    tasks = {step: moved(step, run) for step, run in found.tasks.items()}
    return replace(found, tasks=tasks, array=shelf.get)
