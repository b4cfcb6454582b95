from __future__ import annotations

import numpy as np
import pytest
from engine_runs import GAMMA_MESH, mgo, write_run
from scipy.special import erfc

from hibana.rehearsal.bands import filled_bands, level_in_gap, occupation
from hibana.rehearsal.dos import density_of_states, smearing
from hibana.rehearsal.inputs import read_inputs
from hibana.rehearsal.kpoints import Grid

X = np.linspace(-60, 60, 24001)


def settings(tmp_path, incar):
    folder = write_run(tmp_path, poscar=mgo(), incar=incar, kpoints=GAMMA_MESH.format(2, 2, 2), elements=["Mg", "O"])
    return read_inputs(folder).settings


@pytest.mark.parametrize("ismear", [-1, 0, 1, 2])
def test_smearing_is_a_normalised_delta_and_its_integral(ismear):
    delta, step = smearing(ismear, X)
    width = X[1] - X[0]
    assert delta.sum() * width == pytest.approx(1)
    assert (np.cumsum(delta) - delta / 2) * width == pytest.approx(step, abs=1e-5)
    assert step[0] == pytest.approx(0, abs=1e-12)
    assert step[-1] == pytest.approx(1)


@pytest.mark.parametrize(("ismear", "moment"), [(0, 2), (1, 2), (2, 4)])
def test_methfessel_paxton_of_order_n_keeps_polynomials_of_degree_two_n_plus_one(ismear, moment):
    delta, _ = smearing(ismear, X)
    value = (delta * X**moment).sum() * (X[1] - X[0])
    assert value == pytest.approx(0.5 if ismear == 0 else 0.0, abs=1e-9)


@pytest.mark.parametrize("ismear", [-4, 0])
def test_partial_densities_sum_to_the_total_when_characters_sum_to_one(tmp_path, ismear):
    chosen = settings(tmp_path, f"ISMEAR = {ismear}\nSIGMA = 0.2\nNEDOS = 801\nEMIN = -15\nEMAX = 15\n")
    rng = np.random.default_rng(0)
    bands = rng.normal(scale=3, size=(2, 8, 3))
    characters = rng.random((2, 8, 3, 2, 9))
    characters /= characters.sum(axis=(3, 4), keepdims=True)
    mesh = (Grid((2, 2, 2), (0.0, 0.0, 0.0)), np.arange(8), np.eye(3))
    dos = density_of_states(chosen, bands, characters, np.full(8, 1 / 8), mesh)
    assert dos.partial is not None
    assert dos.partial.shape == (2, 2, 9, 801)
    assert dos.partial.sum(axis=(0, 2)) == pytest.approx(dos.total)
    assert dos.integrated[:, -1] == pytest.approx([3, 3], abs=1e-6)
    unpolarised = density_of_states(chosen, bands[:1], None, np.full(8, 1 / 8), mesh)
    assert unpolarised.integrated[0, -1] == pytest.approx(6, abs=1e-6)


def test_the_level_of_an_insulator_lies_in_the_gap_of_all_points(tmp_path):
    occupations = np.array([[[1, 1, 0.0], [1, 1, 5e-5]]])
    assert filled_bands(occupations) == [2]
    assert filled_bands(np.array([[[1, 0.5, 0]]])) is None
    assert filled_bands(np.array([[[1, 1, 0], [1, 0, 0]]])) is None
    assert level_in_gap(np.array([[[-1, 0, 4.0], [-2, 1, 3]]]), [2]) == 2
    assert level_in_gap(np.array([[[-1, 0, 4.0], [-2, 3, 2]]]), [2]) is None
    chosen = settings(tmp_path, "ISMEAR = 0\nSIGMA = 0.1\n")
    on_path = np.array([[[-1, 0.99, 1.01]]])
    assert occupation(chosen, on_path, 1.0, [2]).tolist() == [[[1, 1, 0]]]
    assert occupation(chosen, on_path, 1.0, None)[0, 0, 1:] == pytest.approx([0.5562, 0.4438], abs=1e-3)


@pytest.mark.parametrize("ismear", [-1, 0, 1, 2])
def test_occupations_off_the_mesh_follow_the_smearing_of_the_run(tmp_path, ismear):
    """Fermi, and Methfessel and Paxton, Phys. Rev. B 40, 3616 (1989), eq. 11."""
    sigma, distance = 0.2, 0.15
    chosen = settings(tmp_path, f"ISMEAR = {ismear}\nSIGMA = {sigma}\n")
    found = occupation(chosen, np.array([[[1.0 + distance]]]), 1.0, None)[0, 0, 0]
    x = distance / sigma
    gauss = np.exp(-(x**2)) / np.sqrt(np.pi)
    terms = [0.5 * erfc(x), -2 * x * gauss / 4, (8 * x**3 - 12 * x) * gauss / 32]
    expected = 1 / (1 + np.exp(x)) if ismear == -1 else sum(terms[: ismear + 1])
    assert found == pytest.approx(expected)
