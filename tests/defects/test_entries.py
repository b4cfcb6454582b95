"""Vacancies to be calculated: pydefect's sites and neighbours, displacements that are the same wherever they are made."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from defect_hosts import OXIDES, defect_rule, protocol, prototype_host, published_hosts, recorded_supercell
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, IStructure
from scipy.stats import kstest

from hibana.defects.binding import pydefect_module, vise_module
from hibana.defects.entries import displaced_atoms, displacement_seed, vacancy_entries
from hibana.defects.gate import Refusal
from hibana.defects.supercell import make_supercell
from hibana.structures.convert import from_pymatgen, to_pymatgen
from hibana.structures.standardise import standardise
from size import FULL

RULE = defect_rule()
MADE_ELSEWHERE = """
import sys
sys.path[:0] = sys.argv[1:3]
from test_entries import prototype_supercell, fingerprint
print(fingerprint(prototype_supercell("wurtzite ZnO"), "zinc"))
"""


@cache
def prototype_supercell(name: str):
    return supercell(prototype_host(name))


def supercell(crystal, **changes):
    found = make_supercell(crystal, defect_rule(**changes), protocol().symmetry)
    assert not isinstance(found, Refusal), found
    return found


def fingerprint(cell, seed_material: str) -> str:
    entries = vacancy_entries(cell, RULE, seed_material)
    return repr([(entry.full_name, entry.seed, entry.displacements) for entry in entries])


def pydefect_entries(cell, anion="O"):
    """pydefect's own entries for a supercell, by full name."""
    site = vise_module("util.structure_symmetrizer").Site
    info = pydefect_module("input_maker.supercell_info").SupercellInfo(
        structure=IStructure.from_sites(to_pymatgen(cell.crystal).sites),
        space_group="",
        transformation_matrix=[list(row) for row in cell.matrix],
        sites={s.name: site(s.element, s.wyckoff, s.site_symmetry, list(s.indices)) for s in cell.sites},
    )
    chosen = pydefect_module("input_maker.defect_set_maker").DefectSetMaker(info, keywords=[f"Va_{anion}[0-9]+_"]).defect_set
    made = pydefect_module("input_maker.defect_entries_maker").DefectEntriesMaker(info, chosen).defect_entries
    return {entry.full_name: entry for entry in made}


def assert_equal_to_pydefect(cell, rule=RULE) -> None:
    ours = {entry.full_name: entry for entry in vacancy_entries(cell, rule, "host")}
    theirs = pydefect_entries(cell, rule.host.anions[0])
    assert set(ours) == set(theirs)
    for name, entry in ours.items():
        known = theirs[name]
        assert (entry.name, entry.charge, entry.site_symmetry) == (known.name, known.charge, known.site_symmetry)
        assert entry.centre == pytest.approx(known.defect_center)
        assert list(entry.unperturbed.species) == [site.specie.symbol for site in known.structure]
        np.testing.assert_allclose(entry.unperturbed.lattice, known.structure.lattice.matrix)
        np.testing.assert_allclose(entry.unperturbed.frac_coords, known.structure.frac_coords, atol=1e-10)
        assert [item.index for item in entry.displacements] == known.perturbed_site_indices


@pytest.mark.parametrize("name", OXIDES)
def test_equals_pydefect(name):
    assert_equal_to_pydefect(prototype_supercell(name))


@pytest.mark.slow
def test_equals_pydefect_on_published_hosts(recorded):
    hosts = [crystal for _, crystal in published_hosts(recorded, 3 if FULL else 40)]
    for crystal in hosts:
        assert_equal_to_pydefect(supercell(crystal))
    assert len(hosts) > 10


@pytest.mark.parametrize(
    ("case", "limits", "removed", "sites"),
    [
        ("MgO_supercell_perfect", {}, "Mg32 O31", 1),
        ("V2O5_supercell", {}, "V36 O89", 3),
        ("KInO2_Va_O_2", {"min_atoms": 50, "max_atoms": 250}, "K48 In48 O95", 1),
    ],
)
def test_recorded_hosts(recorded, case, limits, removed, sites):
    """The recorded vacancies have these compositions; V2O5 has three of them."""
    cell = supercell(from_pymatgen(standardise(recorded_supercell(recorded, case)).primitive), **limits)
    assert_equal_to_pydefect(cell)
    entries = vacancy_entries(cell, RULE, case)
    assert len(entries) == 3 * sites
    assert {to_pymatgen(entry.crystal).composition for entry in entries} == {Composition(removed)}


@pytest.mark.parametrize(
    ("case", "anion", "charges"), [("CdTe_supercell_hse", "Te", (0, 1, 2)), ("GaN_supercell", "N", (-1, 0, 1, 2, 3))]
)
def test_recorded_hosts_of_other_anions(recorded, case, anion, charges):
    """The charges pydefect gives to vacancies of Te2- and N3- are asked for."""
    cell = supercell(from_pymatgen(standardise(recorded_supercell(recorded, case)).primitive))
    rule = RULE.model_copy(update={"charges": charges, "host": RULE.host.model_copy(update={"anions": (anion,)})})
    assert_equal_to_pydefect(cell, rule)
    assert len(vacancy_entries(cell, rule, case)) == len(charges)


def test_names_and_charges():
    cell = prototype_supercell("tetragonal BaTiO3")
    names = [entry.full_name for entry in vacancy_entries(cell, RULE, "host")]
    assert names == ["Va_O1_0", "Va_O1_1", "Va_O1_2", "Va_O2_0", "Va_O2_1", "Va_O2_2"]
    shuffled = vacancy_entries(cell, defect_rule(charges=(2, 0, 1, 2)), "host")
    assert shuffled == vacancy_entries(cell, RULE, "host")
    assert {tuple(entry.n_removed.items()) for entry in shuffled} == {(("O", -1),)}
    assert [entry.site.name for entry in shuffled[::3]] == ["O1", "O2"]


def test_charges_of_the_protocol_are_those_pydefect_takes_for_oxygen():
    charges = pydefect_module("input_maker.defect_set_maker").charge_set(2)
    assert list(RULE.charges) == charges


@given(name=st.sampled_from(OXIDES), host=st.text(max_size=20), limit=st.floats(0.01, 0.4))
@settings(max_examples=20)
def test_what_a_vacancy_is(name, host, limit):
    cell = prototype_supercell(name)
    for entry in vacancy_entries(cell, defect_rule(max_displacement=limit), host):
        perfect, start = cell.crystal, entry.crystal
        assert len(start.species) == cell.n_atoms - 1
        assert start.lattice == perfect.lattice
        assert perfect.species[entry.perfect_index] == "O"
        assert entry.perfect_index in entry.site.indices
        assert start.species == perfect.species[: entry.perfect_index] + perfect.species[entry.perfect_index + 1 :]
        moved = {item.index: item for item in entry.displacements}
        steps = (np.array(start.frac_coords) - entry.unperturbed.frac_coords) @ np.array(start.lattice)
        for index, step in enumerate(steps):
            if index in moved:
                assert step == pytest.approx(moved[index].vector, abs=1e-9)
                assert 0 <= moved[index].length <= limit * (1 + 1e-12)
            else:
                assert not step.any()


@given(host=st.text(min_size=1, max_size=20))
@settings(max_examples=20)
def test_made_again_it_is_the_same_and_otherwise_another(host):
    cell = prototype_supercell("rock salt MgO")
    entries = vacancy_entries(cell, RULE, host)
    assert entries == vacancy_entries(cell, RULE, host)
    others = vacancy_entries(cell, RULE, host + "'")
    assert len({entry.displacements for entry in (*entries, *others)}) == 6


def test_seed_is_the_digest_it_is_said_to_be():
    text = b'{"host":"abc","vacancy":"Va_O1_2","version":1}'
    assert displacement_seed("abc", "Va_O1_2") == hashlib.sha256(text).hexdigest()


def test_another_process_makes_the_same(monkeypatch):
    ours = fingerprint(prototype_supercell("wurtzite ZnO"), "zinc")
    folders = [str(folder) for folder in sys.path if folder.endswith(("tests", "tests/defects"))]
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    made = subprocess.run([sys.executable, "-c", MADE_ELSEWHERE, *folders], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == ours


def test_numbers_are_those_of_numpys_generator():
    """The same vectors from NumPy's own doubles: three for a point of the ball, one for the length."""
    entry = vacancy_entries(prototype_supercell("rock salt MgO"), RULE, "host")[1]
    generator = np.random.Generator(np.random.PCG64(int(entry.seed, 16)))
    for item in entry.displacements:
        point = np.full(3, 2.0)
        while not 0 < point @ point <= 1:
            point = 2 * generator.random(3) - 1
        vector = point / np.linalg.norm(point) * generator.random() * RULE.max_displacement
        assert item.vector == pytest.approx(vector, abs=1e-14)


def test_directions_are_isotropic_and_lengths_uniform():
    cell = prototype_supercell("rock salt MgO")
    vectors = np.array([d.vector for i in range(1500) for e in vacancy_entries(cell, RULE, f"{i}") for d in e.displacements])
    lengths = np.linalg.norm(vectors, axis=1)
    assert len(vectors) == 1500 * 3 * 6
    assert kstest(lengths / RULE.max_displacement, "uniform").statistic < 0.015
    directions = vectors / lengths[:, None]
    assert all(kstest((component + 1) / 2, "uniform").statistic < 0.015 for component in directions.T)
    np.testing.assert_allclose(directions.T @ directions / len(directions), np.eye(3) / 3, atol=0.01)


@given(name=st.sampled_from(OXIDES), small=st.floats(1.0, 2.5), more=st.floats(0, 1))
@settings(max_examples=20)
def test_a_larger_radius_displaces_no_fewer(name, small, more):
    perfect = to_pymatgen(prototype_supercell(name).crystal)
    index = len(perfect) - 1
    assert set(displaced_atoms(perfect, index, small)) <= set(displaced_atoms(perfect, index, small + more))


@pytest.mark.parametrize(("name", "neighbours"), [("rock salt MgO", 6), ("wurtzite ZnO", 4), ("perovskite SrTiO3", 2)])
def test_neighbours_are_displaced(name, neighbours):
    for entry in vacancy_entries(prototype_supercell(name), RULE, "host"):
        assert len(entry.displacements) == neighbours
        assert "O" not in {entry.unperturbed.species[item.index] for item in entry.displacements}
