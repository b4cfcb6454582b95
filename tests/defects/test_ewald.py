from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from recorded_defects import pydefect
from scipy.constants import angstrom, e, epsilon_0
from scipy.spatial.transform import Rotation

from hibana.defects.ewald import is_positive, lattice_energy, point_charge_potential

VOLT = e / (epsilon_0 * angstrom)
"""Potential at 1 Å in units of e/ε₀Å."""
COULOMB = VOLT / (4 * np.pi)
"""eV Å of two unit charges."""

# Coulomb crystals in a uniform background: energy of an ion over e²/a, a the radius of a sphere of the volume of an ion
# (bcc and fcc: D. A. Baiko et al., Phys. Rev. E 64, 057402 (2001); sc: 2.8372974794806 e²/2L of a cube of length L)
COULOMB_CRYSTALS = {
    "sc": (np.eye(3), 2.8372974794806 / 2 * (3 / (4 * np.pi)) ** (1 / 3)),
    "bcc": (np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2, 0.895929255682),
    "fcc": (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2, 0.895873615195),
}

TRICLINIC = np.array([[10.0, 1.0, 0.5], [-3.0, 12.0, 1.0], [2.0, 1.0, 9.0]])
TENSOR = np.array([[5.0, 1.0, 0.3], [1.0, 8.0, -0.4], [0.3, -0.4, 3.0]])


@st.composite
def cells(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A lattice and a dielectric tensor, neither with special axes."""
    numbers = st.floats(-1.0, 1.0, allow_subnormal=False)
    lattice = np.diag(draw(arrays(float, 3, elements=st.floats(6.0, 15.0)))) + 2.5 * draw(arrays(float, (3, 3), elements=numbers))
    skew = draw(arrays(float, (3, 3), elements=numbers))
    return lattice, np.diag(draw(arrays(float, 3, elements=st.floats(1.5, 60.0)))) + skew @ skew.T


places = arrays(float, (3, 3), elements=st.floats(0.15, 0.45))
turns = arrays(float, 3, elements=st.floats(-np.pi, np.pi)).map(lambda vector: Rotation.from_rotvec(vector).as_matrix())


@pytest.mark.parametrize("name", COULOMB_CRYSTALS)
def test_energies_of_coulomb_crystals(name: str) -> None:
    lattice, expected = COULOMB_CRYSTALS[name]
    radius = (3 * abs(np.linalg.det(lattice)) / (4 * np.pi)) ** (1 / 3)
    assert -lattice_energy(lattice, np.eye(3)) * radius / COULOMB == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize(
    ("lattice", "anion", "nearest", "madelung"),
    [
        ("fcc", [0.5, 0.5, 0.5], 1 / 2, 1.747564594633),
        ("sc", [0.5, 0.5, 0.5], np.sqrt(3) / 2, 1.762674773070),
        ("fcc", [0.25, 0.25, 0.25], np.sqrt(3) / 4, 1.638055053388),
    ],
    ids=["NaCl", "CsCl", "ZnS"],
)
def test_madelung_constants(lattice: str, anion: list[float], nearest: float, madelung: float) -> None:
    """Of a cation and an anion in one cell the backgrounds cancel."""
    cell = COULOMB_CRYSTALS[lattice][0]
    at_cation = 2 * lattice_energy(cell, np.eye(3)) - point_charge_potential(cell, np.eye(3), anion)[0]
    assert -at_cation * nearest / COULOMB == pytest.approx(madelung, abs=1e-11)


def test_near_the_charge_it_is_the_coulomb_potential_in_the_dielectric() -> None:
    direction = np.array([0.6, -0.5, 0.3])
    step = 1e-4 * direction
    expected = COULOMB / np.sqrt(np.linalg.det(TENSOR) * (step @ np.linalg.solve(TENSOR, step)))
    found = point_charge_potential(TRICLINIC, TENSOR, [step @ np.linalg.inv(TRICLINIC)])
    assert found[0] == pytest.approx(expected + 2 * lattice_energy(TRICLINIC, TENSOR), rel=1e-9)


def test_average_over_the_cell_is_zero() -> None:
    grid = (np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) + 0.5) / 16
    potential = point_charge_potential(TRICLINIC, TENSOR, grid)
    assert abs(potential.mean()) < 0.01 * np.abs(potential).mean()


@given(cells(), places, st.floats(0.6, 1.7))
@settings(max_examples=25)
def test_splitting_does_not_matter(cell: tuple[np.ndarray, np.ndarray], places: np.ndarray, splitting: float) -> None:
    reference = point_charge_potential(*cell, places)
    np.testing.assert_allclose(point_charge_potential(*cell, places, splitting=splitting), reference, atol=1e-11)
    assert lattice_energy(*cell, splitting=splitting) == pytest.approx(lattice_energy(*cell), rel=1e-11)


@given(cells(), places, turns)
@settings(max_examples=25)
def test_rotation_of_everything_changes_nothing(
    cell: tuple[np.ndarray, np.ndarray], places: np.ndarray, turn: np.ndarray
) -> None:
    lattice, epsilon = cell
    turned = lattice @ turn.T, turn @ epsilon @ turn.T
    np.testing.assert_allclose(point_charge_potential(*turned, places), point_charge_potential(*cell, places), atol=1e-11)
    assert lattice_energy(*turned) == pytest.approx(lattice_energy(*cell), rel=1e-11)


@given(cells(), places, st.floats(1.2, 5.0), st.floats(0.2, 30.0))
@settings(max_examples=25)
def test_scaling_with_cell_size_and_permittivity(
    cell: tuple[np.ndarray, np.ndarray], places: np.ndarray, size: float, permittivity: float
) -> None:
    lattice, epsilon = cell
    scaled = size * lattice, permittivity * epsilon
    expected = point_charge_potential(*cell, places) / (size * permittivity)
    np.testing.assert_allclose(point_charge_potential(*scaled, places), expected, atol=1e-11)
    assert lattice_energy(*scaled) == pytest.approx(lattice_energy(*cell) / (size * permittivity), rel=1e-11)


@given(cells(), places, arrays(np.int64, (3, 3), elements=st.integers(-3, 3)))
@settings(max_examples=25)
def test_potential_is_periodic_and_even(cell: tuple[np.ndarray, np.ndarray], places: np.ndarray, steps: np.ndarray) -> None:
    reference = point_charge_potential(*cell, places)
    np.testing.assert_allclose(point_charge_potential(*cell, steps - places), reference, atol=1e-11)


def test_lattice_vectors_of_either_hand_and_choice() -> None:
    places = np.array([[0.2, 0.3, 0.4], [0.5, 0.1, -0.2]])
    change = np.array([[1, 1, 0], [0, 1, 0], [2, 0, -1]])
    inverse = np.linalg.inv(change)
    np.testing.assert_allclose(
        point_charge_potential(change @ TRICLINIC, TENSOR, places @ inverse),
        point_charge_potential(TRICLINIC, TENSOR, places),
        atol=1e-11,
    )
    assert lattice_energy(change @ TRICLINIC, TENSOR) == pytest.approx(lattice_energy(TRICLINIC, TENSOR), rel=1e-11)


def test_accuracy_is_the_reach_of_the_sums() -> None:
    places = np.array([[0.2, 0.3, 0.4]])
    converged = point_charge_potential(TRICLINIC, TENSOR, places)[0]
    errors = [abs(point_charge_potential(TRICLINIC, TENSOR, places, accuracy=reach)[0] - converged) for reach in (1, 2, 3, 4)]
    assert errors[0] > errors[1] > errors[2] > errors[3] > 0
    assert errors[3] < 1e-6


@pytest.mark.parametrize("epsilon", [-np.eye(3), np.diag([3.0, 0.0, 3.0]), np.full((3, 3), np.nan)])
def test_tensors_that_are_none(epsilon: np.ndarray) -> None:
    assert not is_positive(epsilon)
    with pytest.raises(ValueError, match="positive definite"):
        lattice_energy(TRICLINIC, epsilon)


CELLS = {
    "cubic": (8.3457 * np.eye(3), 8.775 * np.eye(3)),
    "hexagonal": (np.array([[13.5, 0, 0], [-6.75, 11.69, 0], [0, 0, 18.67]]), np.diag([4.077, 4.077, 3.392])),
    "triclinic": (TRICLINIC, TENSOR),
}


@pytest.mark.parametrize("name", CELLS)
def test_equals_pydefect(name: str) -> None:
    lattice, epsilon = CELLS[name]
    places = np.array([[0.31, 0.12, 0.44], [0.5, 0.5, 0.5], [0.97, 0.02, 0.51]])
    theirs = pydefect("corrections.ewald", "Ewald")(lattice, epsilon, accuracy=15.0)
    expected = [theirs.atomic_site_potential(place) for place in places.tolist()]
    np.testing.assert_allclose(point_charge_potential(lattice, epsilon, places, accuracy=15.0) / VOLT, expected, atol=1e-14)
    assert lattice_energy(lattice, epsilon, accuracy=15.0) / VOLT == pytest.approx(theirs.lattice_energy, rel=1e-9)


def test_pydefect_leaves_terms_out_where_the_permittivity_is_high() -> None:
    """pydefect's real-space sum ends where erfc(15/√ε) is still large; ours obeys V(ε) = V(1)/ε."""
    lattice, place = 12.0 * np.eye(3), [0.31, 0.12, 0.44]
    exact = point_charge_potential(lattice, np.eye(3), [place])[0] / 100
    assert point_charge_potential(lattice, 100 * np.eye(3), [place])[0] == pytest.approx(exact, rel=1e-10)
    assert lattice_energy(lattice, 100 * np.eye(3)) == pytest.approx(lattice_energy(lattice, np.eye(3)) / 100, rel=1e-10)
    theirs = pydefect("corrections.ewald", "Ewald")(lattice, 100 * np.eye(3), accuracy=15.0)
    assert abs(theirs.atomic_site_potential(place) * VOLT - exact) > 0.01
