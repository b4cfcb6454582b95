"""The toy model: numbers of no material, but with the laws of physics that readers and gates rely on."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from questions import CRYSTALS, RELAX, STATIC, ask, rotations

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.replay.relaxation import KBAR, PERIOD, path
from hibana.rehearsal.replay.synthesis import synthesise
from hibana.rehearsal.replay.traits import Traits, number, reduced_formula, traits_of

ALL = pytest.mark.parametrize("crystal", list(CRYSTALS))


def insulator(question) -> Traits:
    traits = traits_of(question)
    assert traits.gap > 0, f"{reduced_formula(question.symbols)} is a metal of the model; choose another crystal"
    return traits


@ALL
def test_the_stress_is_minus_the_slope_of_the_energy(tmp_path, crystal):
    structure = CRYSTALS[crystal].copy()
    places = {}
    for factor in (0.9995, 1.0, 1.0005):
        structure.scale_lattice(CRYSTALS[crystal].volume * factor)
        question = ask(tmp_path / str(factor), structure, RELAX)
        places[factor] = (structure.volume, path(question, traits_of(question))[0][0])
    (low, below), (_, here), (high, above) = (places[factor] for factor in sorted(places))
    slope = (above.energy - below.energy) / (high - low)
    assert here.stress == pytest.approx(-slope * KBAR * np.eye(3), rel=2e-2, abs=0.05)
    assert abs(here.stress[0, 0]) > 0.1


@ALL
def test_a_relaxation_ends_in_the_same_place_however_it_is_cut(tmp_path, crystal):
    whole = synthesise(ask(tmp_path / "whole", CRYSTALS[crystal], RELAX)).steps
    structure = CRYSTALS[crystal].get_sorted_structure()
    for part in range(20):
        cut = synthesise(ask(tmp_path / str(part), structure, {**RELAX, "NSW": 2}))
        structure = type(structure)(cut.steps[-1].lattice, structure.species, structure.frac_coords)
        if cut.ionic_converged:
            break
    assert part > 1
    assert cut.steps[-1].lattice == pytest.approx(whole[-1].lattice, abs=1e-9)
    assert cut.steps[-1].free_energy == pytest.approx(whole[-1].free_energy, abs=1e-12)
    energies = [step.free_energy for step in whole]
    assert all(after <= before for before, after in itertools.pairwise(energies))
    assert abs(np.log(np.linalg.det(whole[-1].lattice) / np.linalg.det(whole[0].lattice))) <= PERIOD / 2
    assert np.abs(whole[-1].stress).max() < 1e-6


@ALL
def test_electrons_are_counted_and_the_density_of_states_has_the_gap(tmp_path, crystal):
    question = ask(tmp_path, CRYSTALS[crystal], STATIC)
    traits, result = insulator(question), synthesise(question)
    bands, dos = result.bands, result.dos
    assert 2 * (bands.weights[None, :, None] * bands.occupations).sum() == pytest.approx(question.valence)
    filled = bands.occupations > 0.5
    vbm, cbm = bands.eigenvalues[filled].max(), bands.eigenvalues[~filled].min()
    assert cbm - vbm == pytest.approx(traits.gap)
    middle = np.searchsorted(dos.energies, (vbm + cbm) / 2)
    assert dos.integrated[0, middle] == pytest.approx(question.valence)
    inside = (dos.energies > vbm + 0.05) & (dos.energies < cbm - 0.05)
    assert dos.total[0, inside].max() < 1e-8
    step = dos.energies[1] - dos.energies[0]
    assert np.cumsum(dos.total[0]) * step + dos.integrated[0, 0] == pytest.approx(dos.integrated[0])
    assert dos.partial.sum(axis=(0, 2))[0] == pytest.approx(0.9 * dos.total[0])


@ALL
def test_bands_have_the_symmetry_of_the_crystal_and_the_period_of_the_lattice(tmp_path, crystal):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = CRYSTALS[crystal].get_sorted_structure()
    fractional = [op.rotation_matrix for op in SpacegroupAnalyzer(structure).get_point_group_operations()]
    point = np.array([0.13, 0.29, -0.41])
    images = [np.round(rotation).T @ point for rotation in fractional] + [point + np.array([1, -2, 3]), -point]
    rows = "".join(f"{x:.12f} {y:.12f} {z:.12f} 1\n" for x, y, z in images)
    values = synthesise(ask(tmp_path, structure, STATIC, f"list\n{len(images)}\nReciprocal\n{rows}")).bands.eigenvalues[0]
    assert values == pytest.approx(np.broadcast_to(values[0], values.shape), abs=1e-8)
    assert np.ptp(values[0]) > 1


@ALL
def test_tensors_have_the_symmetry_of_the_crystal(tmp_path, crystal):
    question = ask(tmp_path, CRYSTALS[crystal], {**STATIC, "LEPSILON": ".TRUE.", "IBRION": 8, "NSW": 1, "LOPTICS": ".TRUE."})
    traits, result = insulator(question), synthesise(question)
    response = result.response
    group = rotations(CRYSTALS[crystal].get_sorted_structure())
    assert len(group) == {"rock salt": 48, "wurtzite": 12, "monoclinic": 4}[crystal]
    for tensor in (response.epsilon, response.epsilon_ionic):
        assert np.einsum("sij,jk,slk->sil", group, tensor, group) == pytest.approx(np.array([tensor] * len(group)), abs=1e-6)
    assert np.trace(response.epsilon) / 3 == pytest.approx(traits.epsilon)
    assert np.linalg.eigvalsh(response.epsilon).min() > 1
    assert np.linalg.eigvalsh(response.epsilon_ionic).min() > 0
    assert np.abs(response.born_charges.sum(axis=0)).max() < 1e-10
    rows = response.force_constants.reshape(len(question.symbols) * 3, -1, 3).sum(axis=1)
    assert np.abs(rows).max() < 1e-8
    assert np.sort(np.abs(response.frequencies))[:3].max() < 1e-3
    assert response.frequencies[:-3].min() > 0.5
    assert abs(result.spectrum.real[0, :3].mean() - traits.epsilon) < 1e-9


def test_the_spectrum_obeys_kramers_kronig_and_the_sum_rule(tmp_path):
    tags = {**STATIC, "LOPTICS": ".TRUE.", "OMEGAMAX": 400, "NEDOS": 16001}
    question = ask(tmp_path, CRYSTALS["wurtzite"], tags)
    spectrum = synthesise(question).spectrum
    energies, imaginary = spectrum.energies, spectrum.imag[:, 2]
    assert imaginary.min() >= 0
    static = 1 + 2 / np.pi * np.trapezoid(imaginary[1:] / energies[1:], energies[1:])
    assert static == pytest.approx(spectrum.real[0, 2], rel=1e-3)
    volume = CRYSTALS["wurtzite"].volume
    electrons = np.trapezoid(energies * imaginary, energies) * volume / (np.pi / 2 * 1378.85)
    assert electrons == pytest.approx(question.valence, rel=2e-2)


def test_exact_exchange_opens_the_gap_and_screening_closes_it_again(tmp_path):
    def gap(**tags) -> float:
        bands = synthesise(ask(tmp_path, CRYSTALS["rock salt"], {**STATIC, **tags})).bands
        return bands.eigenvalues[bands.occupations < 0.5].min() - bands.eigenvalues[bands.occupations > 0.5].max()

    hse = gap(LHFCALC=".TRUE.", AEXX=0.25, HFSCREEN=0.2)
    assert gap() < hse < gap(LHFCALC=".TRUE.", AEXX=0.25, HFSCREEN=0) < gap(LHFCALC=".TRUE.", AEXX=0.35, HFSCREEN=0)


def test_displaced_atoms_of_a_supercell_are_pulled_back(tmp_path):
    supercell = CRYSTALS["rock salt"].get_primitive_structure() * (2, 2, 2)
    assert np.abs(synthesise(ask(tmp_path / "0", supercell, STATIC)).steps[0].forces).max() < 1e-12
    moved = supercell.get_sorted_structure()
    moved.translate_sites([3], [0.0, 0.0, 0.01], frac_coords=False)
    once = synthesise(ask(tmp_path / "1", moved, STATIC)).steps[0].forces
    moved.translate_sites([3], [0.0, 0.0, 0.01], frac_coords=False)
    twice = synthesise(ask(tmp_path / "2", moved, STATIC)).steps[0].forces
    assert once[3, 2] < -0.05
    assert once.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert twice == pytest.approx(2 * once, rel=1e-3, abs=1e-6)
    assert np.abs(once[3, :2]).max() < 1e-6


def test_odd_electrons_make_a_metal_or_a_moment(tmp_path):
    tags = {**STATIC, "NELECT": 31}
    metal = synthesise(ask(tmp_path, CRYSTALS["rock salt"], tags)).bands
    partly = (metal.occupations > 0.02) & (metal.occupations < 0.98)
    assert partly.any()
    assert 2 * (metal.weights[None, :, None] * metal.occupations).sum() == pytest.approx(31, abs=1e-6)
    polarised = synthesise(ask(tmp_path, CRYSTALS["rock salt"], {**tags, "ISPIN": 2}))
    assert polarised.steps[-1].magnetization == 1
    assert set(np.unique(polarised.bands.occupations)) == {0.0, 1.0}


def test_the_answer_is_a_function_of_what_is_asked_and_not_of_how(tmp_path):
    first = ask(tmp_path / "1", CRYSTALS["wurtzite"], {**RELAX, "ALGO": "Normal"})
    again = ask(tmp_path / "2", CRYSTALS["wurtzite"], {**RELAX, "ALGO": "Damped", "NELM": 200, "NBANDS": 60, "AMIX": 0.1})
    other = ask(tmp_path / "3", CRYSTALS["wurtzite"], {**RELAX, "ENCUT": 600})
    assert first.digest == again.digest != other.digest
    one, two = synthesise(first), synthesise(again)
    assert [step.free_energy for step in one.steps] == [step.free_energy for step in two.steps]
    assert one.efermi == two.efermi


def test_numbers_are_spread_over_the_materials():
    numbers = np.array([number("gap", f"X{n}") for n in range(2000)])
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert counts.min() > 150
    assert counts.max() < 250


@pytest.mark.parametrize("tag", ["LCALCEPS", "LSORBIT"])
def test_what_the_model_cannot_answer_is_refused(tmp_path, tag):
    with pytest.raises(RehearsalError) as caught:
        synthesise(ask(tmp_path, CRYSTALS["rock salt"], {**STATIC, tag: ".TRUE."}))
    assert caught.value.number == 198
