"""Optical functions of plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hibana.properties import spectra
from hibana.properties.kramers_kronig import susceptibility

GRID = np.linspace(0.0, 60.0, 3001)
PACKED = [0, 4, 8, 1, 5, 2]

oscillators = st.lists(
    st.tuples(st.floats(3.0, 15.0), st.floats(0.3, 1.0), st.floats(1.0, 80.0)),
    min_size=1,
    max_size=3,
)


def absorbing(terms, gap=1.0):
    """Imaginary part of Lorentz oscillators that do not absorb below a gap."""
    total = sum(s * width * GRID / ((e**2 - GRID**2) ** 2 + (width * GRID) ** 2) for e, width, s in terms)
    return total * np.clip((GRID - gap) / 0.5, 0.0, 1.0)


def f_sum(energies, imag):
    return np.trapezoid(energies * imag, energies)


@given(oscillators, st.floats(0.0, 6.0))
def test_scissor_keeps_the_f_sum_and_lowers_the_constant(terms, shift):
    imag = absorbing(terms)
    grid, moved = spectra.scissor(GRID, imag, shift)
    # The strength that linear interpolation and the last partial step may cost.
    assert f_sum(grid, moved) == pytest.approx(f_sum(GRID, imag), rel=5e-3)
    before, after = susceptibility(GRID, imag)[0], susceptibility(grid, moved)[0]
    assert after <= before * (1 + 1e-9)
    assert (moved >= 0).all()
    assert not moved[grid < 1.0 + shift - 1e-9].any()


@given(oscillators, st.integers(0, 200))
def test_scissor_by_whole_steps_is_exact(terms, steps):
    imag, shift = absorbing(terms), steps * GRID[1]
    grid, moved = spectra.scissor(GRID, imag, shift)
    assert len(grid) == len(GRID) + steps
    np.testing.assert_allclose(grid * moved, np.concatenate([np.zeros(steps), GRID * imag]), atol=1e-9)


def test_without_shift_nothing_changes_above_the_gap():
    imag = np.stack([absorbing([(5.0, 0.5, 20.0)]), 0.3 * absorbing([(7.0, 0.5, 20.0)])], axis=1)
    grid, same = spectra.scissor(GRID, imag, 0.0)
    np.testing.assert_array_equal(same, imag)
    np.testing.assert_allclose(grid, GRID, atol=1e-12)
    _, cut = spectra.scissor(GRID, imag, 0.0, gap=4.0)
    assert not cut[GRID < 4.0].any()
    np.testing.assert_array_equal(cut[GRID >= 4.0], imag[GRID >= 4.0])


@pytest.mark.parametrize("shift", [-0.01, float("nan")])
def test_a_negative_shift_is_refused(shift):
    with pytest.raises(ValueError, match="not negative"):
        spectra.scissor(GRID, GRID, shift)


@pytest.mark.parametrize("shift", [0.013, 1.7])
def test_scissor_is_vises_between_gap_and_end(shift):
    from vise.analyzer.dielectric_function import imag_shift

    grid, gap = GRID[:400], 2.0
    imag = np.random.default_rng(2).random((400, 2))
    theirs = imag_shift(imag.T.tolist(), grid.tolist(), gap + shift, shift).T
    ours = spectra.scissor(grid, imag, shift, gap)[1][:400]
    inside = np.abs(grid - gap - shift) > 1e-6
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-10)


@given(st.floats(1.0, 30.0), st.just(0.0) | st.floats(1e-9, 30.0), st.floats(0.1, 15.0))
def test_index_absorption_and_reflectivity_are_those_of_a_plane_wave(real, imag, energy):
    epsilon = np.array([real + 1j * imag])
    index = spectra.refractive_index(epsilon)
    assert index[0] ** 2 == pytest.approx(epsilon[0])
    assert index[0].real >= 0
    assert index[0].imag >= 0
    wavelength = 1.239841984e-4 / energy  # cm
    assert spectra.absorption([energy], epsilon)[0] == pytest.approx(4 * np.pi * index[0].imag / wavelength, rel=1e-6)
    expected = np.abs((index - 1) / (index + 1)) ** 2
    assert spectra.reflectivity(epsilon)[0] == pytest.approx(expected[0])
    assert 0 <= spectra.reflectivity(epsilon)[0] < 1


@settings(max_examples=20)
@given(st.floats(-20.0, 20.0), st.floats(1e-3, 20.0), st.floats(0.1, 15.0))
def test_absorption_is_vises(real, imag, energy):
    from vise.analyzer.dielectric_function import absorption_coeff

    assert spectra.absorption([energy], [real + 1j * imag])[0] == pytest.approx(absorption_coeff(energy, real, imag), rel=1e-4)


def test_weak_absorption_is_not_lost_to_rounding():
    assert spectra.absorption([1.0], [9.0 + 1e-14j])[0] == pytest.approx(4 * np.pi * 8065.543937 * 1e-14 / 6, rel=1e-6)


def test_columns_are_polarisations():
    epsilon = np.array([[2 + 1j, 3 + 2j], [4 + 1j, 5 + 3j]])
    both = spectra.absorption([1.0, 2.0], epsilon)
    assert both.shape == (2, 2)
    np.testing.assert_allclose(both[:, 1], spectra.absorption([1.0, 2.0], epsilon[:, 1]))


def test_logarithm_has_a_floor_and_keeps_what_is_missing():
    got = spectra.log10_absorption([0.0, -5.0, 100.0, 1e6, np.nan])
    np.testing.assert_array_equal(got[:4], [2, 2, 2, 6])
    assert np.isnan(got[4])


@given(st.integers(0, 1000))
def test_rotation_keeps_what_does_not_depend_on_axes(seed):
    random = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=seed).as_matrix()
    tensor = random.normal(size=(4, 6)) + 1j * random.normal(size=(4, 6))
    turned = spectra.rotate(tensor, rotation)
    np.testing.assert_allclose(spectra.average(turned), spectra.average(tensor), atol=1e-12)
    full = rotation @ spectra.unpack_tensor(tensor) @ rotation.T
    np.testing.assert_allclose(turned, full.reshape(4, 9)[:, PACKED], atol=1e-12)
    np.testing.assert_allclose(spectra.rotate(turned, rotation.T), tensor, atol=1e-12)
    vector = random.normal(size=3)
    for old, new in zip(spectra.unpack_tensor(tensor), spectra.unpack_tensor(turned), strict=True):
        assert rotation @ vector @ new @ (rotation @ vector) == pytest.approx(vector @ old @ vector)


def test_grid_of_the_published_spectra():
    grid = spectra.energy_grid(15.0, 0.01)
    assert len(grid) == 1501
    assert (grid[0], grid[-1]) == (0.0, 15.0)
    np.testing.assert_allclose(np.diff(grid), 0.01)


def test_resampling_is_linear_and_ends_where_the_spectrum_does():
    values = np.array([[0.0, 1j], [2.0, 3j], [4.0, 5j]])
    got = spectra.resample([0.0, 1.0, 2.0], values, [0.5, 2.0, 2.0 + 1e-8, 2.1])
    np.testing.assert_allclose(got[:3], [[1.0, 2j], [4.0, 5j], [4.0, 5j]])
    assert np.isnan(got[3].real).all()
    assert np.isnan(got[3].imag).all()


def test_a_free_electron_gas_counts_its_electrons():
    """Drude metal of n electrons in a cell: ε = 1 - ω_p^2/(E^2 + iγE), with the plasma energy of the textbooks."""
    volume, electrons, width = 23.6, 3.0, 0.5
    density = electrons / volume * 1e30
    joule = 1.602176634e-19
    plasma = 1.054571817e-34 / joule * np.sqrt(density * joule**2 / (8.8541878128e-12 * 9.1093837015e-31))
    grid = np.linspace(0.0, 2000.0, 400001)
    imag = plasma**2 * width / np.where(grid > 0, grid, np.inf) / (grid**2 + width**2)
    counted = spectra.effective_electrons(grid, imag, volume)
    assert counted[-1] == pytest.approx(electrons, rel=5e-3)
    assert counted[0] == 0
    assert (np.diff(counted) >= 0).all()


def test_onset_lies_between_the_points():
    energies = [0.0, 1.0, 2.0, 3.0]
    assert spectra.onset_energy(energies, [0, 0, 2e4, np.nan]) == pytest.approx(1.5)
    assert spectra.onset_energy(energies, [0, 0, 1e4, 5e3]) is None
    assert spectra.onset_energy(energies, [np.nan] * 4) is None
    assert spectra.onset_energy(energies, [2e4, 0, 0, 0]) == 0.0


def test_edge_integral_is_that_of_the_line():
    energies = np.linspace(0.0, 3.0, 31)
    assert spectra.edge_integral(energies, 100 * energies, 0.53) == pytest.approx(50 * (1.53**2 - 0.53**2))
    assert spectra.edge_integral(energies, 100 * energies, 2.5) is None
