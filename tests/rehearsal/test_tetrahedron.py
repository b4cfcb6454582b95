from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hibana.rehearsal.tetrahedron import corner_weights, densities, tetrahedra

CUBIC = np.eye(3)
SAMPLES = np.random.default_rng(0).dirichlet(np.ones(4), 4000)


def mesh(n: int) -> np.ndarray:
    axis = np.arange(n) / n
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def test_tetrahedra_fill_the_zone_with_equal_use_of_points():
    corners = tetrahedra((3, 4, 5), np.diag([1.0, 2.0, 0.5]))
    assert corners.shape == (6 * 60, 4)
    assert (np.bincount(corners.ravel(), minlength=60) == 24).all()


def test_cell_is_cut_along_the_shortest_diagonal():
    reciprocal = np.array([[1.0, 0, 0], [-0.9, 0.5, 0], [0, 0, 1]])
    corners = tetrahedra((5, 5, 5), reciprocal)
    indices = np.stack(np.unravel_index(corners, (5, 5, 5)), axis=-1)
    diagonal = (indices[:, 3] - indices[:, 0] + 1) % 5 - 1
    assert (np.abs(diagonal) == 1).all()
    lengths = np.linalg.norm(diagonal @ reciprocal, axis=1)
    others = [np.linalg.norm(np.array([1, a, b]) @ reciprocal) for a in (1, -1) for b in (1, -1)]
    assert lengths == pytest.approx(min(others))


def test_free_electrons_follow_the_square_root_law():
    n = 32
    k = mesh(n)
    k -= np.round(k)
    band = (k**2).sum(axis=1)[:, None]
    energies = np.linspace(0.05, 0.2, 31)
    density, integrated = densities(energies, band, np.ones((n**3, 1, 1)), tetrahedra((n, n, n), CUBIC))
    assert density[0] == pytest.approx(2 * np.pi * np.sqrt(energies), rel=0.04)
    assert integrated[0] == pytest.approx(4 * np.pi / 3 * energies**1.5, rel=0.04)


def test_tight_binding_chain_has_its_analytic_density():
    n = 400
    axis = np.arange(n) / n
    band = -2 * np.cos(2 * np.pi * axis)[:, None]
    energies = np.linspace(-1.8, 1.8, 37)
    density, integrated = densities(energies, band, np.ones((n, 1, 1)), tetrahedra((n, 1, 1), CUBIC))
    assert density[0] == pytest.approx(1 / np.pi / np.sqrt(4 - energies**2), rel=0.02)
    assert integrated[0] == pytest.approx(np.arccos(-energies / 2) / np.pi, abs=1e-3)


def test_simple_cubic_tight_binding_is_symmetric_and_has_its_exact_second_moment():
    n = 14
    band = -2 * np.cos(2 * np.pi * mesh(n)).sum(axis=1)[:, None]
    energies = np.linspace(-6.5, 6.5, 651)
    density, _ = densities(energies, band, np.ones((n**3, 1, 1)), tetrahedra((n, n, n), CUBIC))
    step = energies[1] - energies[0]
    assert density[0].sum() * step == pytest.approx(1, abs=2e-3)
    assert (density[0] * energies).sum() * step == pytest.approx(0, abs=0.02)
    assert (density[0] * energies**2).sum() * step == pytest.approx(6, rel=0.05)


@given(
    e=hnp.arrays(float, 4, elements=st.floats(-5, 5, width=32)),
    x=st.floats(-5.5, 5.5),
)
def test_corner_weights_sum_to_the_volume_below_and_stay_within_it(e, x):
    e = np.sort(e)
    if not e[0] <= x < e[3]:
        return
    state, integral = corner_weights(np.array([x]), e[None])
    assert (integral >= -1e-9).all()
    assert (integral <= 0.25 + 1e-9).all()
    assert (state >= -1e-9).all()
    below = SAMPLES @ e < x
    assert integral.sum() == pytest.approx(below.mean(), abs=0.03)
    assert integral[0] == pytest.approx((SAMPLES * below[:, None]).mean(axis=0), abs=0.03)


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_density_is_the_derivative_of_its_integral_for_every_weight(seed):
    rng = np.random.default_rng(seed)
    n = 3
    bands = rng.normal(size=(n**3, 2))
    weights = rng.random((n**3, 2, 3))
    corners = tetrahedra((n, n, n), CUBIC)
    energies = np.linspace(-6, 6, 4001)
    density, integrated = densities(energies, bands, weights, corners)
    summed = np.cumsum(density, axis=1) * (energies[1] - energies[0])
    assert summed == pytest.approx(integrated, abs=0.03)
    assert integrated[:, -1] == pytest.approx(weights.mean(axis=0).sum(axis=0))
    assert (np.diff(integrated, axis=1) >= -1e-9).all()
