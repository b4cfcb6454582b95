"""Standard cells: idealised, settled, and taken by vise as they are."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from hibana.core.errors import HibanaError
from hibana.structures.standardise import standardise
from prototypes import make_prototypes, other_description

PROTOTYPES = make_prototypes()
NAMES = sorted(PROTOTYPES)
SPACE_GROUPS = {
    "rock salt MgO": (225, 2),
    "wurtzite ZnO": (186, 4),
    "corundum Al2O3": (167, 10),
    "rutile TiO2": (136, 6),
    "anatase TiO2": (141, 6),
    "baddeleyite ZrO2": (14, 12),
    "beta-Ga2O3": (12, 10),
    "spinel MgAl2O4": (227, 14),
    "P1": (1, 12),
}


@pytest.mark.parametrize(("name", "expected"), SPACE_GROUPS.items())
def test_space_group_and_size(name, expected):
    standard = standardise(PROTOTYPES[name])
    assert (standard.space_group_number, len(standard.primitive)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_standardising_again_changes_nothing(name):
    once = standardise(PROTOTYPES[name])
    twice = standardise(once.primitive)
    assert twice.primitive == once.primitive
    assert twice.space_group_number == once.space_group_number


@pytest.mark.parametrize("name", NAMES)
def test_vise_takes_the_cell_as_it_is(name):
    symmetrizer = importlib.import_module("vise.util.structure_symmetrizer").StructureSymmetrizer
    primitive = standardise(PROTOTYPES[name]).primitive
    chosen = symmetrizer(primitive, symprec=0.01, angle_tolerance=0.3).primitive
    assert [site.specie for site in chosen] == [site.specie for site in primitive]
    np.testing.assert_allclose(chosen.lattice.matrix, primitive.lattice.matrix, atol=1e-8)
    difference = chosen.frac_coords - primitive.frac_coords
    np.testing.assert_allclose(difference - np.rint(difference), 0, atol=1e-6)


@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6))
@settings(max_examples=60)
def test_cells_of_other_descriptions_are_alike(name, seed):
    ours = standardise(PROTOTYPES[name])
    theirs = standardise(other_description(PROTOTYPES[name], seed))
    assert theirs.space_group_number == ours.space_group_number
    assert theirs.primitive.composition == ours.primitive.composition
    assert theirs.primitive.volume == pytest.approx(ours.primitive.volume, rel=1e-5)
    assert sorted(theirs.conventional.lattice.abc) == pytest.approx(sorted(ours.conventional.lattice.abc), abs=1e-3)


def test_noise_is_idealised_away():
    rng = np.random.default_rng(3)
    noisy = PROTOTYPES["perovskite SrTiO3"].copy()
    noisy.translate_sites([1], rng.normal(size=3) * 1e-4)
    primitive = standardise(noisy).primitive
    assert primitive.lattice.abc == pytest.approx((3.905,) * 3, abs=1e-9)
    assert np.abs(primitive.frac_coords * 2 - np.rint(primitive.frac_coords * 2)).max() < 1e-9


def test_magnetic_cell_is_kept():
    lattice = Lattice([[4.17, 2.085, 2.085], [2.085, 4.17, 2.085], [2.085, 2.085, 4.17]])
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    magnet = Structure(lattice, ["Ni", "Ni", "O", "O"], sites, site_properties={"magmom": [1.73, -1.73, 0, 0]})
    primitive = standardise(magnet).primitive
    assert sorted(primitive.site_properties["magmom"]) == [-1.73, 0, 0, 1.73]
    magnet.add_site_property("magmom", [1.73, 1.73, 0, 0])
    assert len(standardise(magnet).primitive) == 2


def test_atoms_on_one_another_are_refused():
    broken = Structure(Lattice.cubic(4), ["Mg", "Mg"], [[0, 0, 0], [0.001, 0, 0]])
    with pytest.raises(HibanaError, match="HIB-017"):
        standardise(broken)


@pytest.mark.parametrize(
    ("lattice", "species", "coords", "number"),
    [
        (Lattice.tetragonal(4.4, 4.18), ["Ca", "Ca"], [[0, 0, 0], [0.5, 0.5, 0.5]], 139),
        (Lattice.rhombohedral(4.1, 88.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], 166),
        (Lattice.monoclinic(4.0, 5.0, 6.0, 91.0), ["Ca"], [[0, 0, 0]], 10),
    ],
)
def test_a_sheared_or_strained_crystal_is_not_made_symmetric(lattice, species, coords, number):
    found = standardise(Structure(lattice, species, coords))
    assert found.space_group_number == number
    assert found.primitive.volume / len(found.primitive) == pytest.approx(lattice.volume / len(species), rel=1e-6)
