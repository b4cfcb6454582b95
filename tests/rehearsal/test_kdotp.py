"""The refined integration around the points of a mesh, on models."""

from __future__ import annotations

import numpy as np
import pytest

from hibana.rehearsal.kdotp import _irreducible, _mesh_rotations, _oscillators, cell_points
from hibana.rehearsal.kpoints import Grid

RECIPROCALS = {
    "cubic": np.eye(3),
    "hexagonal": np.array([[1, 1 / np.sqrt(3), 0], [0, 2 / np.sqrt(3), 0], [0, 0, 0.6]]),
    "fcc": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]], dtype=float),
    "triclinic": np.array([[1, 0.1, 0.2], [-0.3, 0.9, 0.1], [0.2, 0.25, 1.3]]),
}


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("name", RECIPROCALS)
def test_the_cells_of_all_points_fill_the_zone_once(name, count):
    grid = Grid((3, 4, 2), (0.0, 0.0, 0.0))
    offsets, shares = cell_points(grid, RECIPROCALS[name], count)
    assert shares.sum() == pytest.approx(1)
    size = count * np.array(grid.divisions)
    fine = np.round((grid.points[:, None] + offsets[None]) * size).astype(int) % size
    weight = np.zeros(tuple(size))
    np.add.at(weight, tuple(fine.reshape(-1, 3).T), np.tile(shares, len(grid.points)))
    assert weight == pytest.approx(1 / count**3)


def test_symmetry_saves_points_and_keeps_the_sum():
    """Cubic point group on a cubic mesh at Gamma: a cubic function's average is that of a few points."""
    import itertools

    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3), dtype=int)
            matrix[range(3), order] = signs
            rotations.append(matrix)
    grid = Grid((2, 2, 2), (0.0, 0.0, 0.0))
    offsets, shares = cell_points(grid, np.eye(3), 5)
    operations = _mesh_rotations(np.array(rotations), grid, 5)
    assert len(operations) == 48

    def function(k):
        return np.exp(-10 * (k**2).sum()) + (k**4).sum()

    full = sum(s * function(k) for k, s in zip(offsets, shares, strict=True))
    few = list(_irreducible(np.zeros(3), offsets, shares, operations))
    assert len(few) <= 10
    assert sum(s * function(k) for k, s in few) == pytest.approx(full)
    assert len(list(_irreducible(np.array([0.1, 0.2, 0.3]), offsets, shares, operations))) == len(offsets)


def test_rotations_that_the_mesh_does_not_have_are_left_out():
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    operations = _mesh_rotations(np.array([np.eye(3, dtype=int), quarter]), Grid((2, 3, 2), (0.0, 0.0, 0.0)), 3)
    assert len(operations) == 2  # the identity and the inversion


def test_states_near_a_point_follow_from_those_at_it():
    """Two bands of a free electron in one dimension stay exact: energies and momenta at k + d are known."""
    wave_numbers = np.array([0.2, -0.8])
    energies = wave_numbers**2 / 2
    elements = np.zeros((2, 2, 3), dtype=complex)
    elements[0, 0, 0], elements[1, 1, 0] = wave_numbers
    mixing = 0.05  # a weak periodic potential couples the two plane waves
    hamiltonian = np.diag(energies) + mixing * np.array([[0, 1], [1, 0]])
    values, vectors = np.linalg.eigh(hamiltonian)
    turned = np.einsum("an,abv,bm->nmv", vectors, elements, vectors)
    shift = np.array([0.15, 0.0, 0.0])
    moved_numbers = wave_numbers + shift[0]
    exact_values, exact_vectors = np.linalg.eigh(np.diag(moved_numbers**2 / 2) + mixing * np.array([[0, 1], [1, 0]]))
    momentum = exact_vectors.T @ np.diag(moved_numbers) @ exact_vectors
    expected = momentum[0, 1] ** 2 / (exact_values[1] - exact_values[0]) ** 3
    found = _oscillators(values, turned, shift, 1)
    assert found[0, 0] == pytest.approx(expected)
    assert found[1:, 1:] == pytest.approx(np.zeros((2, 2)))
