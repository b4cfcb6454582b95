"""Families: what is alike, that neither order nor direction matters, and that nobody is left out unjustly."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from hibana.structures.identity import make_candidate
from hibana.structures.intake import packed
from hibana.structures.matching import (
    ANGLE_TOLERANCE,
    FAMILY_RULE,
    LENGTH_TOLERANCE,
    ORDERED_MOMENT,
    SITE_TOLERANCE,
    SYMPRECS,
    Bucket,
    Member,
    are_alike,
    difference,
    find_families,
    lattices_differ,
    make_matcher,
)
from hibana.structures.reading import ReadStructure
from prototypes import make_prototypes, other_description
from size import FULL

PROTOTYPES = make_prototypes()


def member(structure: Structure) -> Member:
    candidate = make_candidate(ReadStructure(structure, "x"))
    return Member(candidate.structure_key, packed(candidate.crystal))


def test_a_change_of_the_rule_is_a_new_version():
    """Labels in stores and tables say by which version they are: whoever changes a number here writes a new line."""
    numbers = {1: ((0.01, 0.03, 0.1), 0.2, 5.0, 0.15, 0.5)}
    assert numbers[FAMILY_RULE] == (SYMPRECS, LENGTH_TOLERANCE, ANGLE_TOLERANCE, SITE_TOLERANCE, ORDERED_MOMENT)


def alike(one: Structure, other: Structure) -> bool:
    first, second = member(one), member(other)
    assert are_alike(first, second) == are_alike(second, first)
    return are_alike(first, second)


@pytest.mark.parametrize("name", sorted(PROTOTYPES))
def test_a_copy_rounded_strained_or_in_another_cell_is_alike(name):
    """Distances as between two functionals: 1.5 % in the lattice, 0.02 Å in positions that keep the symmetry's shape."""
    copy = other_description(PROTOTYPES[name], 5)
    copy.scale_lattice(copy.volume * 1.045)
    assert alike(PROTOTYPES[name], copy)
    rounded = Structure(
        Lattice(np.round(PROTOTYPES[name].lattice.matrix, 4)),
        PROTOTYPES[name].species,
        np.round(PROTOTYPES[name].frac_coords, 4),
    )
    assert alike(PROTOTYPES[name], rounded)


def test_phases_of_one_compound_are_not_alike():
    cubic = Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.0), ["Ba", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]])
    phases = [cubic, PROTOTYPES["R3m BaTiO3"], PROTOTYPES["tetragonal BaTiO3"]]
    assert not any(alike(one, other) for one, other in itertools.combinations(phases, 2))
    assert not alike(PROTOTYPES["rutile TiO2"], PROTOTYPES["anatase TiO2"])
    plain = make_matcher(stol=0.3)
    assert plain.fit(cubic, PROTOTYPES["tetragonal BaTiO3"]), "pymatgen's matcher alone takes the ferroelectric for cubic"


@pytest.mark.parametrize("step", [0.0099, 0.0101, 0.029, 0.031, 0.099, 0.101])
def test_a_boundary_of_the_symmetry_search_separates_no_neighbours(step):
    """Two crystals that differ by 1e-3 Å, on both sides of the distortion at which a symmetry is lost."""
    base = PROTOTYPES["rutile TiO2"]
    copies = []
    for move in (step - 5e-4, step + 5e-4):
        copy = base.copy()
        copy.translate_sites([0], [0, 0, move], frac_coords=False)
        copies.append(copy)
    assert alike(*copies)


def test_mirror_images_are_alike():
    right = PROTOTYPES["right quartz"]
    left = Structure(Lattice(right.lattice.matrix * [1, 1, -1]), right.species, right.frac_coords)
    assert alike(right, left)


def test_orders_of_moments_are_compared_up_to_a_common_sign():
    cell = Structure(
        Lattice.tetragonal(4.2, 8.4), ["Ni", "Ni", "O", "O"], [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5]]
    )
    cell.translate_sites([1], [0, 0, 0.004])
    up, down, both = ([a, b, 0.0, 0.0] for a, b in ((1.7, -1.6), (-1.8, 1.7), (1.7, 1.7)))
    orders = [cell.copy(site_properties={"magmom": order}) for order in (up, down, both)]
    assert alike(orders[0], orders[1])
    assert not alike(orders[0], orders[2])
    assert not alike(orders[0], cell)


def test_the_bound_on_lattices_never_refuses_a_match():
    rng = np.random.default_rng(3)
    refused = 0
    matcher = make_matcher(stol=0.5)
    for _ in range(150):
        one, other = (
            Structure(Lattice.from_parameters(*rng.uniform(3, 9, 3), *rng.uniform(65, 115, 3)), ["Si"], [[0, 0, 0]])
            for _ in range(2)
        )
        first, second = Member("a", b""), Member("b", b"")
        first.reduced, second.reduced = (item.get_reduced_structure("niggli") for item in (one, other))
        if lattices_differ(first, second):
            refused += 1
            assert not matcher.fit(one, other)
            assert not matcher.fit(other, one)
    assert refused > 10


def chain(steps: int, width: float) -> dict[str, Structure]:
    """Crystals in a row: neighbours are within the tolerance, ends are not; all have one space group and one lattice."""
    rows = {}
    for number in range(steps):
        z = 0.18 + number * width
        rows[f"c{number}"] = Structure(
            Lattice.from_parameters(4.1, 4.9, 6.3, 90, 90, 90),
            ["Mg", "Si", "O", "O", "O"],
            [[0, 0, 0], [0.5, 0.45, 0.31], [0.21, 0.52, z], [0.7, 0.1, 0.57], [0.33, 0.88, 0.77]],
        )
    return rows


def bucket(members: dict[str, Structure], order) -> tuple[Bucket, dict[str, str]]:
    made = {name: make_candidate(ReadStructure(structure, name)) for name, structure in members.items()}
    keys = {name: candidate.structure_key for name, candidate in made.items()}
    crystals = tuple((keys[name], packed(made[name].crystal)) for name in order)
    return Bucket(crystals, tuple(keys[name] for name in sorted(members))), keys


@settings(max_examples=8)
@given(order=st.permutations([f"c{number}" for number in range(5)]))
def test_a_chain_is_one_family_whose_ends_both_stay(order):
    asked, keys = bucket(chain(5, 0.045), order)
    names = {key: name for name, key in keys.items()}
    found = find_families(asked)
    assert len(set(found.family.values())) == 1
    stands_for = {names[key]: names[other] for key, other in found.representative.items()}
    assert stands_for["c0"] == "c0"
    heads = set(stands_for.values())
    assert len(heads) > 1, "the ends are not alike, so one cannot stand for the other"
    members = dict(asked.members)
    for key, other in found.representative.items():
        assert key == other or are_alike(Member(key, members[key]), Member(other, members[other]))
    assert find_families(bucket(chain(5, 0.045), sorted(order))[0]) == found


def test_what_the_store_has_is_told():
    asked, keys = bucket(chain(2, 0.3), ["c0", "c1"])
    copy = make_candidate(ReadStructure(other_description(chain(2, 0.3)["c1"], 4, noise=1e-3), "x"))
    known = ((copy.material_id, copy.structure_key, packed(copy.crystal)),)
    found = find_families(Bucket(asked.members, asked.wanted, known))
    assert found.stored == {keys["c1"]: copy.material_id}


@pytest.mark.slow
def test_real_crystals_alike_are_a_match_for_pymatgen_too(recorded):
    """Families are finer than the matcher at its own tolerances, and what separates a pair that it joins is told."""
    groups: dict[str, list[dict]] = defaultdict(list)
    with gzip.open(recorded / "ml_data" / "mp_oxide_structures" / "structures.jsonl.gz", "rt") as file:
        for line in file:
            structure = json.loads(line)["structure"]
            symbols = Counter(site["species"][0]["element"] for site in structure["sites"])
            if sum(symbols.values()) <= 16:
                groups[Composition(symbols).reduced_formula].append(structure)
    chosen = sorted(formula for formula, group in groups.items() if len(group) > 1)[:: 1 if FULL else 12]
    matcher, told = make_matcher(stol=0.3), set()
    for formula in chosen:
        members = [member(Structure.from_dict(structure)) for structure in groups[formula][:4]]
        for one, other in itertools.combinations(members, 2):
            fits = matcher.fit(one.reduced, other.reduced) or matcher.fit(other.reduced, one.reduced)
            said = difference(one, other)
            assert said == difference(other, one)
            assert fits or said is not None
            if fits and said is not None:
                told.add(said)
    assert told <= {"space group", "sites"}
