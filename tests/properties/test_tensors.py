"""The conventional frame: one for every description of a crystal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from hibana.documents.crystal import Crystal
from hibana.properties.tensors import (
    Frame,
    asymmetry,
    conventional_frame,
    other_setting_residual,
    point_group_residual,
    site_tensor_residual,
)
from hibana.protocol.protocol import load_protocol
from hibana.structures.convert import from_pymatgen
from prototypes import make_prototypes, other_description
from size import FULL

RULE = load_protocol("pbesol").symmetry
CRYSTALS = make_prototypes()
NAMES = sorted(CRYSTALS)
DESCRIPTIONS = 300 if FULL else 60


def frame_of(structure: Structure) -> Frame:
    return conventional_frame(from_pymatgen(structure), RULE)


def site_tensors(structure: Structure) -> np.ndarray:
    """A tensor of every site made of its surroundings, (n_sites, 3, 3): covariant, not symmetric under more than the crystal."""
    found = []
    for site in structure:
        tensor = np.zeros((3, 3))
        for neighbour in structure.get_neighbors(site, 5.0):
            step = neighbour.coords - site.coords
            tensor += np.outer(step, step) * np.exp(-np.linalg.norm(step)) * (neighbour.specie.Z + 0.3 * site.specie.Z)
        found.append(tensor)
    return np.array(found)


def same_set(one: np.ndarray, other: np.ndarray) -> float:
    """How far two sets of tensors are from each other, relative to the largest component."""
    distances = np.abs(one[:, None] - other[None]).max(axis=(2, 3))
    return float(max(distances.min(axis=1).max(), distances.min(axis=0).max()) / np.abs(one).max())


def mirrored(structure: Structure) -> Structure:
    mirror = np.diag([1.0, 1.0, -1.0])
    lattice = structure.lattice.matrix @ mirror
    return Structure(lattice, structure.species, structure.cart_coords @ mirror, coords_are_cartesian=True)


@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**31 - 1), mirror=st.booleans())
@hypothesis_settings(max_examples=DESCRIPTIONS)
@example(name="baddeleyite ZrO2", seed=1, mirror=False)
@example(name="beta-Ga2O3", seed=2, mirror=True)
@example(name="turquoise-like P-1", seed=3, mirror=False)
@example(name="P1", seed=4, mirror=True)
@example(name="right quartz", seed=5, mirror=True)
@example(name="P1 in a cubic lattice", seed=6, mirror=False)
@example(name="pyrite FeS2", seed=7, mirror=False)
def test_tensors_are_the_same_for_every_description(name, seed, mirror):
    crystal = CRYSTALS[name]
    other = other_description(crystal, seed, noise=1e-8, volume=1)
    other = mirrored(other) if mirror else other
    frame, turned = frame_of(crystal), frame_of(other)
    one, two = frame.turn(site_tensors(crystal)), turned.turn(site_tensors(other))
    assert turned.lattice == pytest.approx(frame.lattice, abs=1e-5)
    assert two.mean(axis=0) == pytest.approx(one.mean(axis=0), rel=1e-6, abs=1e-6 * np.abs(one).max())
    assert same_set(one, two) < 1e-6
    assert np.linalg.det(turned.rotation) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_frame_is_attached_to_the_conventional_cell(name):
    crystal = CRYSTALS[name]
    frame = frame_of(crystal)
    a, b, c = frame.lattice
    assert a == pytest.approx([np.linalg.norm(a), 0, 0], abs=1e-10)
    assert np.cross(a, b) == pytest.approx([0, 0, np.linalg.norm(np.cross(a, b))], abs=1e-8)
    assert np.linalg.det(frame.lattice) > 0
    assert c[2] > 0
    assert frame.rotation @ frame.rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert frame.setting @ crystal.lattice.matrix @ frame.rotation.T == pytest.approx(frame.lattice, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_point_group_leaves_covariant_tensors_alone(name):
    crystal = CRYSTALS[name]
    frame, tensors = frame_of(crystal), site_tensors(crystal)
    turned = frame.turn(tensors)
    assert frame.rotations @ np.swapaxes(frame.rotations, 1, 2) == pytest.approx(
        np.broadcast_to(np.eye(3), frame.rotations.shape), abs=1e-10
    )
    assert site_tensor_residual(turned, frame) < 1e-6 * np.abs(turned).max()
    assert point_group_residual(turned.mean(axis=0), frame) < 1e-6
    assert sorted(frame.permutations[-1]) == list(range(len(crystal)))
    if len(frame.rotations) > 2:
        skew = Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix()
        uneven = skew @ np.diag([1.0, 2.0, 4.0]) @ skew.T
        assert point_group_residual(uneven, frame) > 0.1


def test_monoclinic_axes_are_those_of_the_textbook_cell():
    """Baddeleyite: b is the unique axis, the angle is obtuse, z is normal to a and b."""
    crystal = CRYSTALS["baddeleyite ZrO2"]
    frame = frame_of(other_description(crystal, 12, noise=0, volume=1))
    assert Lattice(frame.lattice).parameters == pytest.approx((5.1505, 5.2116, 5.3173, 90, 99.23, 90), abs=1e-6)
    a, b, _ = crystal.lattice.matrix
    x, z = a / np.linalg.norm(a), np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    by_hand = np.array([x, np.cross(z, x), z])
    tensors = site_tensors(crystal)
    expected = by_hand @ tensors.mean(axis=0) @ by_hand.T
    found = frame_of(crystal).turn(tensors).mean(axis=0)
    assert found == pytest.approx(expected, abs=1e-8)
    assert abs(expected[0, 2]) > 1e-2
    assert expected[0, 1] == pytest.approx(0, abs=1e-8)
    assert expected[1, 2] == pytest.approx(0, abs=1e-8)


def test_monoclinic_axes_are_the_shortest_of_their_plane():
    """P2/m, where a and c may be exchanged and replaced by sums: a is the shortest, c the next, the angle obtuse."""
    sites = {"Mg": [0.1, 0.0, 0.3], "O": [0.4, 0.5, 0.1]}
    crystal = Structure.from_spacegroup("P2/m", Lattice.monoclinic(7.0, 4.0, 5.0, 100), list(sites), list(sites.values()))
    skew = crystal.copy()
    skew.make_supercell([[1, 0, 1], [0, 1, 0], [1, 0, 2]], to_unit_cell=False)
    for description in (crystal, skew):
        assert Lattice(frame_of(description).lattice).parameters == pytest.approx((5, 4, 7, 90, 100, 90), abs=1e-6)


def test_orthorhombic_axes_follow_the_symbol_not_the_input():
    """Olivine in the setting Pbnm gets the axes of Pnma."""
    crystal = CRYSTALS["olivine Mg2SiO4"]
    order = [2, 0, 1]
    other = Structure(Lattice.orthorhombic(4.756, 10.207, 5.98), crystal.species, crystal.frac_coords[:, order])
    assert frame_of(other).lattice == pytest.approx(np.diag([10.207, 5.98, 4.756]), abs=1e-6)
    tensor = frame_of(other).turn(np.diag([4.0, 1.0, 2.0]))
    assert tensor == pytest.approx(np.diag([1.0, 2.0, 4.0]), abs=1e-10)


@pytest.mark.parametrize(("name", "angle"), [("bixbyite In2O3", 90), ("right quartz", 60), ("P1 in a cubic lattice", 90)])
def test_symmetries_of_the_lattice_alone_are_told_apart(name, angle):
    """A turn that leaves the lattice as it is, but not the crystal, must not go unseen."""
    turn = Rotation.from_euler("z", angle, degrees=True).as_matrix()
    crystal = CRYSTALS[name]
    frame = frame_of(crystal)
    tensors = frame.turn(site_tensors(crystal))
    assert same_set(tensors, turn @ tensors @ turn.T) > 1e-3
    if len(frame.rotations) > 1:
        assert site_tensor_residual(turn @ tensors @ turn.T, frame) > 1e-3 * np.abs(tensors).max()
        assert other_setting_residual(turn @ tensors @ turn.T, frame) < 1e-6 * np.abs(tensors).max()


def test_orthorhombic_crystal_with_equal_axes_has_the_axes_of_its_symbol():
    crystal = CRYSTALS["olivine Mg2SiO4"]
    equal = Structure(Lattice.orthorhombic(6.0, 6.0, 6.0), crystal.species, crystal.frac_coords)
    reference = frame_of(equal).turn(site_tensors(equal)).mean(axis=0)
    by_name = site_tensors(equal).mean(axis=0)
    assert reference == pytest.approx(by_name, abs=1e-8)
    for seed in range(6):
        other = other_description(equal, seed, noise=1e-8, volume=1)
        assert frame_of(other).turn(site_tensors(other)).mean(axis=0) == pytest.approx(reference, abs=1e-5)


def test_a_left_handed_basis_describes_the_same_crystal():
    crystal = CRYSTALS["turquoise-like P-1"]
    swapped = Structure(crystal.lattice.matrix[[1, 0, 2]], crystal.species, crystal.frac_coords[:, [1, 0, 2]])
    assert np.linalg.det(swapped.lattice.matrix) < 0
    frame, other = frame_of(crystal), frame_of(swapped)
    assert other.rotation == pytest.approx(frame.rotation, abs=1e-10)
    assert other.setting @ swapped.lattice.matrix @ other.rotation.T == pytest.approx(other.lattice, abs=1e-8)


def test_a_standard_cell_is_not_turned():
    for name in ("rock salt MgO", "rutile TiO2", "olivine Mg2SiO4"):
        assert frame_of(CRYSTALS[name]).rotation == pytest.approx(np.eye(3), abs=1e-10)


def test_moments_tell_axes_apart_and_their_sign_does_not_matter():
    """A cubic lattice with moments that alternate along one axis: the frame finds that axis, whichever it was called."""

    def chain(axis: int, sign: float) -> Crystal:
        lattice = np.eye(3) * 4.2
        lattice[axis] *= 2
        places = np.zeros((2, 3))
        places[1, axis] = 0.5
        structure = Structure(lattice, ["Ni", "Ni"], places, site_properties={"magmom": [2 * sign, -2 * sign]})
        return from_pymatgen(structure)

    for axis in range(3):
        for sign in (1.0, -1.0):
            frame = conventional_frame(chain(axis, sign), RULE)
            along = np.eye(3)[axis]
            assert frame.space_group_number == 123
            assert frame.turn(np.outer(along, along)) == pytest.approx(np.diag([0.0, 0.0, 1.0]), abs=1e-10)


def test_the_cell_turns_with_the_tensors():
    crystal = CRYSTALS["beta-Ga2O3"]
    other = other_description(crystal, 3, noise=0, volume=1)
    frame, given_cell = frame_of(other), from_pymatgen(other)
    turned = frame.turn_crystal(given_cell)
    assert turned.frac_coords == given_cell.frac_coords
    again = conventional_frame(turned, RULE)
    assert again.rotation == pytest.approx(np.eye(3), abs=1e-8)


def test_asymmetry_is_relative():
    assert asymmetry(np.diag([1.0, 2.0, 3.0])) == 0
    assert asymmetry(np.array([[4.0, 0.1, 0], [0, 4.0, 0], [0, 0, 4.0]])) == pytest.approx(0.025)
