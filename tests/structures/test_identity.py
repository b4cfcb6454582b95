"""The key of a crystal is one for every description of it, and differs where the physics does."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from hibana.structures.identity import make_candidate, material_id, structure_key
from hibana.structures.reading import ReadStructure
from hibana.structures.standardise import standardise
from prototypes import make_prototypes, other_description

PROTOTYPES = make_prototypes()
KEYS = {name: structure_key(structure) for name, structure in PROTOTYPES.items()}
NAMES = sorted(PROTOTYPES)
SEEDS = st.integers(0, 2**31 - 1)


@st.composite
def random_crystals(draw):
    """Any crystal, mostly without symmetry, with the decimals that files have; lattices may look more symmetric than it is."""
    lengths = draw(st.lists(st.sampled_from([5.0, 5.0, 5.001, 6.25, 7.1, 8.888]), min_size=3, max_size=3))
    angles = draw(st.lists(st.sampled_from([90.0, 90.0, 60.0, 120.0, 82.5, 100.03]), min_size=3, max_size=3))
    cosines = np.cos(np.radians(angles))
    assume(1 + 2 * np.prod(cosines) - np.sum(cosines**2) > 0.15)
    n_sites = draw(st.integers(1, 8))
    numbers = st.lists(st.integers(0, 999), min_size=3, max_size=3)
    positions = np.array(draw(st.lists(numbers, min_size=n_sites, max_size=n_sites))) / 1000
    species = draw(st.lists(st.sampled_from(["Mg", "O", "Si"]), min_size=n_sites, max_size=n_sites))
    structure = Structure(Lattice.from_parameters(*lengths, *angles), species, positions)
    assume(structure.is_valid(0.5))
    return structure


@given(name=st.sampled_from(NAMES), seed=SEEDS)
@settings(max_examples=150)
def test_every_description_has_the_same_key(name, seed):
    assert structure_key(other_description(PROTOTYPES[name], seed)) == KEYS[name]


@given(structure=random_crystals(), seed=SEEDS)
@settings(max_examples=150)
def test_every_description_of_a_random_crystal_has_the_same_key(structure, seed):
    assert structure_key(other_description(structure, seed, noise=1e-8)) == structure_key(structure)


@pytest.mark.parametrize("noise", [1e-10, 1e-8, 1e-7, 1e-6])
@pytest.mark.parametrize("name", NAMES)
def test_noise_does_not_change_the_key(name, noise):
    structure = PROTOTYPES[name]
    assert {structure_key(other_description(structure, seed, noise=noise, volume=1)) for seed in range(5)} == {KEYS[name]}


@pytest.mark.parametrize("name", NAMES)
def test_standard_cells_keep_the_key(name):
    standard = standardise(PROTOTYPES[name])
    assert structure_key(standard.primitive) == structure_key(standard.conventional) == KEYS[name]


def test_prototypes_differ_from_each_other():
    assert len(set(KEYS.values())) == len(KEYS)


@pytest.mark.parametrize("name", NAMES)
def test_strain_changes_the_key(name):
    strained = PROTOTYPES[name].copy()
    strained.apply_strain(0.002)
    assert structure_key(strained) != KEYS[name]
    sheared = PROTOTYPES[name].copy()
    deformation = np.eye(3)
    deformation[0, 2] = 0.01
    sheared.lattice = Lattice(sheared.lattice.matrix @ deformation)
    assert structure_key(sheared) != KEYS[name]


@given(name=st.sampled_from([name for name in NAMES if len(PROTOTYPES[name]) > 1]), seed=SEEDS)
@settings(max_examples=60)
def test_a_moved_atom_changes_the_key(name, seed):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=3)
    moved = PROTOTYPES[name].copy()
    moved.translate_sites([int(rng.integers(len(moved)))], 0.05 * direction / np.linalg.norm(direction), frac_coords=False)
    assert structure_key(moved) != KEYS[name]


@pytest.mark.parametrize("name", NAMES)
def test_another_species_changes_the_key(name):
    structure = PROTOTYPES[name]
    other = structure.copy()
    other.replace_species({structure[0].specie.symbol: "Be"})
    assert structure_key(other) != KEYS[name]
    one_site = structure.copy()
    one_site[0] = "Be"
    assert structure_key(one_site) != KEYS[name]
    assert (structure_key(one_site) == structure_key(other)) == (one_site.composition == other.composition)


def test_exchanged_species_differ_only_if_the_sites_do():
    rock_salt, perovskite = PROTOTYPES["rock salt MgO"], PROTOTYPES["perovskite SrTiO3"]
    exchanged = rock_salt.copy()
    exchanged.replace_species({"Mg": "O", "O": "Mg"})
    assert structure_key(exchanged) == structure_key(rock_salt)
    exchanged = perovskite.copy()
    exchanged.replace_species({"Sr": "Ti", "Ti": "Sr"})
    assert structure_key(exchanged) != structure_key(perovskite)


def test_centring_is_part_of_the_key():
    """One atom in a primitive cell, the same conventional axes: only the centring differs."""
    lattice = Lattice.orthorhombic(5, 6, 7)
    cells = [Structure(lattice, ["Fe"] * 2, [[0, 0, 0], shift]) for shift in ([0.5, 0.5, 0], [0.5, 0, 0.5], [0.5, 0.5, 0.5])]
    assert len({structure_key(cell) for cell in cells}) == 3


def test_mirror_images_are_one_material():
    left = PROTOTYPES["right quartz"].copy()
    left.lattice = Lattice(left.lattice.matrix * [1, 1, -1])
    assert standardise(left).space_group_number == 152
    assert standardise(PROTOTYPES["right quartz"]).space_group_number == 154
    assert structure_key(left) == KEYS["right quartz"]


def test_oxidation_states_do_not_count():
    decorated = PROTOTYPES["rock salt MgO"].copy()
    decorated.add_oxidation_state_by_element({"Mg": 2, "O": -2})
    assert structure_key(decorated) == KEYS["rock salt MgO"]


def _nickel_oxide(moments):
    """Rock salt with two formula units along [111], as for antiferromagnetic order."""
    lattice = Lattice([[4.17, 2.085, 2.085], [2.085, 4.17, 2.085], [2.085, 2.085, 4.17]])
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    return Structure(lattice, ["Ni", "Ni", "O", "O"], sites, site_properties={"magmom": [*moments, 0, 0]})


def test_magnetic_order_is_part_of_the_key():
    orders = {"none": (0, 0), "ferro": (2, 2), "antiferro": (2, -2), "stronger": (2.5, -2.5), "ferri": (2, -1)}
    keys = {name: structure_key(_nickel_oxide(moments)) for name, moments in orders.items()}
    assert len(set(keys.values())) == len(keys)
    assert structure_key(_nickel_oxide((-2, 2))) == keys["antiferro"]
    assert structure_key(_nickel_oxide((-2, 1))) == keys["ferri"] == structure_key(_nickel_oxide((1, -2)))
    bare = _nickel_oxide((0, 0))
    bare.remove_site_property("magmom")
    assert structure_key(bare) == keys["none"]


@given(seed=SEEDS, moments=st.sampled_from([(2, 2), (2, -2), (2.25, -1.75), (0.6, 0.6)]))
@settings(max_examples=40)
def test_every_description_of_a_magnet_has_the_same_key(seed, moments):
    structure = _nickel_oxide(moments)
    assert structure_key(other_description(structure, seed)) == structure_key(structure)


def test_key_does_not_depend_on_the_process():
    code = (
        "from prototypes import make_prototypes\n"
        "from hibana.structures.identity import structure_key\n"
        "for name, structure in sorted(make_prototypes().items()): print(structure_key(structure))"
    )
    for seed in ("0", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert run.stdout.split() == [KEYS[name] for name in NAMES]


def test_candidate_of_a_structure():
    conventional = PROTOTYPES["rock salt MgO"]
    candidate = make_candidate(ReadStructure(conventional, "MgO.cif"))
    assert candidate.structure_key == KEYS["rock salt MgO"]
    assert candidate.material_id == material_id(candidate.structure_key) == f"hib-{candidate.structure_key[:16]}"
    assert (candidate.formula, candidate.elements, candidate.n_sites) == ("MgO", ("Mg", "O"), 2)
    assert (candidate.space_group_number, candidate.space_group_symbol) == (225, "Fm-3m")
    assert candidate.crystal.species == ("Mg", "O")
    assert candidate.sources == ("MgO.cif",)
