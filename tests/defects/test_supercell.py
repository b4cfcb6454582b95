"""Supercells: pydefect's rule, the published sizes, and no part in it for rounding or for spglib's choice of setting."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from defect_hosts import (
    OXIDES,
    PROTOTYPES,
    defect_rule,
    protocol,
    prototype_host,
    published_host,
    published_hosts,
    pydefect_maker,
    random_crystal,
    recorded_supercell,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from hibana.core.errors import HibanaError
from hibana.defects.binding import pydefect_module
from hibana.defects.gate import Refusal
from hibana.defects.host_cell import host_cell
from hibana.defects.supercell import TIE, anisotropy, make_supercell, most_isotropic_supercell, supercell_series
from hibana.properties.sites import orbits_of
from hibana.structures.convert import from_pymatgen, to_pymatgen
from hibana.structures.standardise import standardise
from prototypes import other_description
from size import FULL

RULE = defect_rule()
SYMMETRY = protocol().symmetry


def made(crystal, **changes):
    found = make_supercell(crystal, defect_rule(**changes), SYMMETRY)
    assert not isinstance(found, Refusal), found
    return found


def assert_equal_to_pydefect(found, maker) -> None:
    """Equal but for the order of the copies of one site, which is up to rounding in pydefect."""
    info = maker.supercell_info
    assert np.array(found.matrix).tolist() == info.transformation_matrix
    assert list(found.crystal.species) == [site.specie.symbol for site in info.structure]
    np.testing.assert_allclose(found.crystal.lattice, info.structure.lattice.matrix, atol=1e-5)
    lattice, copies = info.structure.lattice, found.multiplicity
    for begin in range(0, found.n_atoms, copies):
        block = slice(begin, begin + copies)
        distances = lattice.get_all_distances(found.crystal.frac_coords[block], info.structure.frac_coords[block])
        assert sorted(distances.argmin(axis=1)) == list(range(copies))
        assert distances.min(axis=1).max() < 1e-4
    ours = {site.name: (site.element, site.wyckoff, site.site_symmetry, list(site.indices)) for site in found.sites}
    theirs = {
        name: (site.element, site.wyckoff_letter, site.site_symmetry, site.equivalent_atoms) for name, site in info.sites.items()
    }
    assert ours == theirs
    assert found.anisotropy == pytest.approx(maker.supercell.isotropy, abs=1e-6)


@pytest.mark.parametrize("name", OXIDES)
def test_equals_pydefect(name):
    crystal = prototype_host(name)
    found, maker = made(crystal), pydefect_maker(crystal, RULE)
    if found.n_atoms != len(maker.supercell.structure):
        assert found.anisotropy == pytest.approx(maker.supercell.isotropy, abs=TIE)
        maker = pydefect_maker(crystal, defect_rule(max_atoms=found.n_atoms))
    assert_equal_to_pydefect(found, maker)


@pytest.mark.slow
def test_equals_pydefect_on_published_hosts_but_where_rounding_decides(recorded):
    total, ties = 0, []
    for formula, crystal in published_hosts(recorded, 1 if FULL else 8):
        found, maker = made(crystal), pydefect_maker(crystal, RULE)
        total += 1
        if found.n_atoms != len(maker.supercell.structure):
            ties.append(formula)
            assert found.n_atoms < len(maker.supercell.structure)
            assert found.anisotropy == pytest.approx(maker.supercell.isotropy, abs=TIE)
        else:
            assert_equal_to_pydefect(found, maker)
    assert total >= (600 if FULL else 70)
    assert len(ties) <= 0.04 * total, ties


@pytest.mark.slow
def test_published_sizes(recorded):
    """60 to 480 atoms, median about 224, median anisotropy 0.056, as published."""
    cells = [made(crystal) for _, crystal in published_hosts(recorded, 1 if FULL else 5)]
    sizes = np.array([cell.n_atoms for cell in cells])
    assert sizes.min() >= 60
    assert sizes.max() <= 480
    assert 200 <= np.median(sizes) <= 240
    assert np.median([cell.anisotropy for cell in cells]) == pytest.approx(0.056, abs=0.004)


@pytest.mark.parametrize(("formula", "n_atoms"), [("KTaO3", 135), ("BaHfO3", 135), ("ZrO2", 96)])
def test_published_cells_that_rounding_had_chosen(recorded, formula, n_atoms):
    crystal = published_host(recorded, formula)
    if crystal is None:
        pytest.skip(f"{formula} is not among the recorded hosts")
    assert made(crystal).n_atoms == n_atoms


@pytest.mark.parametrize("name", OXIDES)
def test_every_site_of_a_supercell_is_a_copy_of_its_host_site(name):
    found = made(prototype_host(name))
    host = Structure(found.host.lattice, found.host.species, found.host.frac_coords)
    places = np.array(found.crystal.frac_coords) @ np.array(found.crystal.lattice)
    for index, place in enumerate(places):
        site = host[found.host_index(index)]
        away = np.array(host.lattice.get_fractional_coords(place)) - site.frac_coords
        assert site.specie.symbol == found.crystal.species[index]
        np.testing.assert_allclose(away, np.round(away), atol=1e-6)


def test_wurtzite_zno():
    found = made(prototype_host("wurtzite ZnO"))
    assert found.matrix == ((5, 0, 0), (0, 5, 0), (0, 0, 3))
    assert (found.n_atoms, found.multiplicity) == (300, 75)
    assert [(site.name, site.wyckoff, site.site_symmetry, len(site.indices)) for site in found.sites] == [
        ("Zn1", "b", "3m.", 150),
        ("O1", "b", "3m.", 150),
    ]


def test_rock_salt_mgo_is_cubic():
    found = made(prototype_host("rock salt MgO"))
    assert found.n_atoms == 64
    assert to_pymatgen(found.crystal).lattice.abc == pytest.approx((2 * 4.212,) * 3)
    assert to_pymatgen(found.crystal).lattice.angles == pytest.approx((90,) * 3)
    assert found.anisotropy == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("MgO_supercell_perfect", {}),
        ("V2O5_supercell", {}),
        ("CdTe_supercell_hse", {}),
        ("KInO2_Va_O_2", {"min_atoms": 50, "max_atoms": 250}),
    ],
)
def test_recorded_supercells(recorded, case, changes):
    """From the primitive cell of a recorded supercell to the recorded one; pydefect's default limits for that of pydefect."""
    known = recorded_supercell(recorded, case)
    found = to_pymatgen(made(from_pymatgen(standardise(known).primitive), **changes).crystal)
    assert len(found) == len(known)
    assert sorted(found.lattice.abc) == pytest.approx(sorted(known.lattice.abc), abs=2e-4)
    assert StructureMatcher(primitive_cell=False, scale=False, ltol=1e-3, stol=1e-2, angle_tol=0.1).fit(found, known)


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("MgO_supercell_perfect", {}),
        ("V2O5_supercell", {}),
        ("CdTe_supercell_hse", {}),
        ("GaN_supercell", {}),
        ("KInO2_Va_O_2", {"min_atoms": 50, "max_atoms": 250}),
    ],
)
def test_recorded_hosts_equal_pydefect(recorded, case, changes):
    """Sites, Wyckoff letters, site symmetries, matrix and isotropy, where rounding does not decide.

    pydefect takes the smallest of equally isotropic cells only if it is told to, and lengthens one of the equal axes of KInO2.
    """
    crystal = from_pymatgen(standardise(recorded_supercell(recorded, case)).primitive)
    found = made(crystal, **changes)
    limits = {**{"min_atoms": RULE.min_atoms}, **changes, "max_atoms": found.n_atoms}
    assert_equal_to_pydefect(found, pydefect_maker(crystal, defect_rule(**limits)))


@given(length=st.floats(3.7, 4.5))
@settings(max_examples=20)
def test_equally_isotropic_cells_are_told_apart_by_size(length):
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(length), ["K", "Ta", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )
    assert made(from_pymatgen(standardise(perovskite).primitive)).n_atoms == 135


def test_pydefect_still_lets_rounding_decide():
    """Fails once pydefect compares anisotropies with a tolerance: the search here may then be left to it."""
    sizes = set()
    for length in np.linspace(3.8, 4.3, 40):
        supercells = pydefect_module("input_maker.supercell").Supercells(
            Structure(Lattice.cubic(length), ["K", "Ta", "O", "O", "O"], np.zeros((5, 3))), 60, 480
        )
        sizes.add(len(supercells.most_isotropic_supercell.structure))
    assert sizes == {135, 320}


def test_axes_of_one_length_grow_together():
    """Hexagonal a and b that differ in the last bits do not make a cell without the axis of symmetry."""
    host = prototype_host("wurtzite ZnO")
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=(3, 3)) * 1e-9
        noisy = host.model_copy(update={"lattice": tuple(map(tuple, (np.array(host.lattice) + noise).tolist()))})
        assert made(noisy).matrix == ((5, 0, 0), (0, 5, 0), (0, 0, 3))


@pytest.mark.parametrize("number", range(1, 231, 1 if FULL else 6))
def test_every_space_group(number):
    crystal = random_crystal(number, 1)
    if crystal is None:
        pytest.skip("atoms coincide")
    found = made(crystal, min_atoms=1, max_atoms=3 * len(crystal.species) * 4)
    cell = host_cell(crystal, SYMMETRY)
    assert found.n_atoms == len(crystal.species) * round(np.linalg.det(found.matrix))
    np.testing.assert_allclose(np.array(found.matrix) @ np.array(found.host.lattice), found.crystal.lattice, atol=1e-8)
    assert cell.space_group_number == found.space_group_number
    axes = to_pymatgen(found.host).lattice.matrix
    conventional = Lattice(cell.conventional @ axes)
    standard = standardise(to_pymatgen(crystal)).conventional.lattice
    assert conventional.abc == pytest.approx(standard.abc, abs=1e-3)
    assert conventional.angles == pytest.approx(standard.angles, abs=1e-3)
    host_sites = {orbit.label: orbit for orbit in orbits_of(found.host, symprec=0.01, angle_tolerance=0.3).orbits}
    equivalent = orbits_of(found.crystal, symprec=0.01, angle_tolerance=0.3).orbits
    assert sorted(index for site in found.sites for index in site.indices) == list(range(found.n_atoms))
    for site in found.sites:
        assert {found.crystal.species[index] for index in site.indices} == {site.element}
        assert len(site.indices) == len(host_sites[site.name].members) * found.multiplicity
        classes = [orbit for orbit in equivalent if set(orbit.members) & set(site.indices)]
        assert set().union(*(orbit.members for orbit in classes)) == set(site.indices)


@pytest.mark.parametrize(("number", "seed"), [(110, 1), (196, 0), (202, 0), (216, 1), (219, 1)])
def test_crystals_that_spglib_standardises_in_a_circle(number, seed):
    """pydefect refuses them as not primitive; their setting is one of several, and any is good."""
    crystal = random_crystal(number, seed)
    with pytest.raises(pydefect_module("util.error_classes").NotPrimitiveError):
        pydefect_maker(crystal, RULE)
    found = made(crystal)
    assert found.host.species == crystal.species
    np.testing.assert_allclose(found.host.frac_coords, crystal.frac_coords, atol=1e-6)
    assert standardise(to_pymatgen(found.crystal)).space_group_number == number


@given(name=st.sampled_from(OXIDES), seed=st.integers(0, 10**6))
@settings(max_examples=25)
def test_noise_of_a_relaxation_does_not_change_the_setting(name, seed):
    """Wyckoff letters may change: those of one Wyckoff set are a matter of the origin, which spglib chooses anew."""
    crystal = prototype_host(name)
    rng = np.random.default_rng(seed)
    noisy = to_pymatgen(crystal)
    places = noisy.cart_coords + rng.normal(size=noisy.frac_coords.shape) * 1e-5
    noisy = Structure(noisy.lattice.matrix + rng.normal(size=(3, 3)) * 1e-6, noisy.species, places, coords_are_cartesian=True)
    found, known = made(from_pymatgen(noisy)), made(crystal)
    assert found.matrix == known.matrix
    assert [(site.name, site.indices) for site in found.sites] == [(site.name, site.indices) for site in known.sites]
    np.testing.assert_allclose(found.crystal.lattice, known.crystal.lattice, atol=1e-4)
    away = np.array(found.crystal.frac_coords) - known.crystal.frac_coords
    np.testing.assert_allclose(away - np.rint(away), 0, atol=1e-4)


@given(name=st.sampled_from(OXIDES), seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_noise_is_taken_off(name, seed):
    """The host is symmetric to rounding: spglib finds the whole space group at a millionth of the protocol's tolerance."""
    rng = np.random.default_rng(seed)
    noisy = to_pymatgen(prototype_host(name))
    places = noisy.cart_coords + rng.normal(size=noisy.frac_coords.shape) * 1e-4
    noisy = Structure(noisy.lattice, noisy.species, places, coords_are_cartesian=True)
    cell = host_cell(from_pymatgen(noisy), SYMMETRY)
    assert standardise(to_pymatgen(cell.crystal), symprec=1e-7).space_group_number == cell.space_group_number
    assert np.abs(np.array(cell.crystal.frac_coords) @ np.array(cell.crystal.lattice) - places).max() < 1e-3


@given(name=st.sampled_from(OXIDES), seed=st.integers(0, 10**6))
@settings(max_examples=25)
def test_any_description_gives_the_same_supercell(name, seed):
    found = made(from_pymatgen(other_description(PROTOTYPES[name], seed)))
    known = made(prototype_host(name))
    assert found.n_atoms == known.n_atoms
    assert found.anisotropy == pytest.approx(known.anisotropy, abs=1e-6)
    assert sorted(len(site.indices) for site in found.sites) == sorted(len(site.indices) for site in known.sites)


def test_matrix_of_the_protocol():
    """Sixteen atoms: the primitive cell of MgO doubled."""
    found = made(prototype_host("rock salt MgO"), matrix=((2, 0, 0), (0, 2, 0), (0, 0, 2)))
    assert found.n_atoms == 16
    assert [(site.name, site.indices) for site in found.sites] == [("Mg1", tuple(range(8))), ("O1", tuple(range(8, 16)))]
    assert to_pymatgen(found.crystal).lattice.abc == pytest.approx((2 * 4.212 / 2**0.5,) * 3)


@pytest.mark.parametrize("matrix", [((1, 0, 0), (0, 1, 0), (1, 1, 0)), ((0, 1, 0), (1, 0, 0), (0, 0, 1))])
def test_matrix_without_a_cell_is_refused(matrix):
    with pytest.raises(HibanaError, match="HIB-221"):
        make_supercell(prototype_host("rock salt MgO"), defect_rule(matrix=matrix), SYMMETRY)


def test_no_supercell_within_the_limits_is_an_answer():
    rule = defect_rule(min_atoms=65, max_atoms=200)
    found = make_supercell(prototype_host("rock salt MgO"), rule, SYMMETRY)
    assert found == Refusal("supercell_size", "no supercell of 65 to 200 atoms; the nearest: 64 and 216")
    large = make_supercell(prototype_host("bixbyite In2O3"), defect_rule(min_atoms=10, max_atoms=40), SYMMETRY)
    assert large == Refusal("supercell_size", "no supercell of 10 to 40 atoms; the nearest: 80")


@pytest.mark.parametrize("name", OXIDES)
def test_the_chosen_cell_is_the_most_isotropic_of_the_series(name):
    cell = host_cell(prototype_host(name), SYMMETRY)
    chosen = most_isotropic_supercell(cell, 60, 480)
    series = []
    for candidate in supercell_series(cell):
        if candidate.n_atoms > 480:
            break
        series.append(candidate)
    assert [item.n_atoms for item in series] == sorted({item.n_atoms for item in series})
    assert chosen.anisotropy <= min(item.anisotropy for item in series if item.n_atoms >= 60) + TIE
    assert all(np.linalg.det(item.matrix) > 0 for item in series)


@given(lengths=st.tuples(*[st.floats(1, 30)] * 3), scale=st.floats(0.1, 10))
def test_anisotropy(lengths, scale):
    value = anisotropy(np.diag(lengths))
    assert 0 <= value <= 4 / 3
    assert anisotropy(scale * np.diag(lengths)) == pytest.approx(value, abs=1e-12)
    assert anisotropy(np.diag([lengths[0]] * 3)) == pytest.approx(0, abs=1e-12)


def test_nothing_is_printed(capfd, caplog):
    with caplog.at_level(logging.DEBUG):
        made(prototype_host("tetragonal BaTiO3"))
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name.startswith(("pydefect", "vise"))]
