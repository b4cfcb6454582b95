from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from recorded_defects import bare, pydefect, pydefect_run, recorded_run, whole_mgo, without

from hibana.defects.mapping import map_sites
from hibana.defects.structure_change import NotComparable, StructureChange, structure_change
from hibana.documents.crystal import Crystal
from hibana.structures.convert import from_pymatgen
from hibana.structures.symmetry import KindCell, symmetry_dataset

SYMPREC = 0.1


def compare(perfect: Crystal, initial: Crystal, final: Crystal) -> StructureChange | NotComparable:
    return structure_change(
        perfect, initial, final, mapping_distance=1.0, neighbour_factor=1.3, symprec=SYMPREC, angle_tolerance=5.0
    )


def changed(perfect: Crystal, initial: Crystal, final: Crystal) -> StructureChange:
    found = compare(perfect, initial, final)
    assert isinstance(found, StructureChange)
    return found


def equals_pydefect(perfect: Crystal, initial: Crystal, final: Crystal) -> tuple[StructureChange, Any]:
    """The change, each number of which is compared with pydefect's, but for the name of the defect."""
    ours = changed(perfect, initial, final)
    maker = pydefect("analyzer.make_defect_structure_info", "MakeDefectStructureInfo")
    theirs = maker(bare(perfect), bare(initial), bare(final), symprec=SYMPREC, dist_tol=1.0).defect_structure_info
    assert ours.same_configuration == theirs.same_config_from_init
    assert (ours.symmetry_before, ours.symmetry_after) == (theirs.initial_site_sym, theirs.final_site_sym)
    assert ours.symmetry_relation == str(theirs.symm_relation)
    assert ours.anchor == theirs.anchor_atom_idx
    assert ours.drift == pytest.approx(theirs.drift_dist, abs=1e-12)
    np.testing.assert_allclose(ours.centre, theirs.center, atol=1e-12)
    assert list(ours.neighbours) == theirs.neighbor_atom_indices
    assert ours.moved_from == tuple(index for index, _, _ in theirs.site_diff_from_initial.removed)
    assert ours.moved_to == tuple(index for index, _, _ in theirs.site_diff_from_initial.inserted)
    table = {site: entry for site, entry in enumerate(theirs.displacements) if entry is not None}
    moves = ours.displacements
    assert moves.sites.tolist() == list(table)
    assert list(moves.elements) == [entry.specie for entry in table.values()]
    np.testing.assert_allclose(moves.lengths, [entry.displace_distance for entry in table.values()], atol=1e-12)
    np.testing.assert_allclose(moves.distances, [entry.distance_from_defect for entry in table.values()], atol=1e-12)
    np.testing.assert_allclose(moves.vectors, [entry.disp_vector for entry in table.values()], atol=1e-12)
    # atoms at the border of the cell are outward of two images of the defect
    far = (moves.lengths > 1e-3) & (moves.distances < 0.49 * np.linalg.norm(perfect.lattice, axis=1).min())
    angles = np.degrees(np.pi - np.arccos(np.clip(moves.outward[far] / moves.lengths[far], -1, 1)))
    expected = [table[site].angle for site in moves.sites[far].tolist()]
    np.testing.assert_allclose(angles, expected, atol=0.051)
    return ours, theirs


def vacancy_of(perfect: Crystal, final: Crystal, site: int | None = None) -> tuple[StructureChange, Any]:
    removed = map_sites(final, perfect, 1.0).removed[0] if site is None else site
    ours, theirs = equals_pydefect(perfect, without(perfect, removed), final)
    assert ours.defect_type == str(theirs.defect_type)
    assert ours.removed == tuple(index for index, _, _ in theirs.site_diff.removed)
    assert ours.inserted == tuple(index for index, _, _ in theirs.site_diff.inserted)
    return ours, theirs


def test_cadmium_vacancy_in_cdte(recorded: Path) -> None:
    perfect, defect = (recorded_run(recorded / "vasp_runs" / name) for name in ("CdTe_supercell_hse", "CdTe_v_Cd_q-2_hse"))
    found, _ = vacancy_of(perfect.crystal, defect.crystal)
    assert (found.kind, found.defect_type, found.symmetry_relation) == ("simple", "vacancy", "same")
    assert {found.displacements.elements[site] for site in found.neighbours} == {"Te"}
    assert len(found.neighbours) == 4


@pytest.mark.parametrize(("name", "kind"), [("V2O5_v_O_1", "simple"), ("V2O5_v_O_2", "reconstructed"), ("V2O5_v_O_3", "simple")])
def test_oxygen_vacancies_in_v2o5(recorded: Path, name: str, kind: str) -> None:
    """In the second a vanadium atom leaves its place; its oxygen is what was removed."""
    perfect, defect = (recorded_run(recorded / "vasp_runs" / case) for case in ("V2O5_supercell", name))
    removed = [site for site in map_sites(defect.crystal, perfect.crystal, 1.0).removed if perfect.crystal.species[site] == "O"]
    found, _ = vacancy_of(perfect.crystal, defect.crystal, removed[0])
    assert found.kind == kind
    assert found.same_configuration == (kind == "simple")


def test_oxygen_vacancy_in_kino2(recorded: Path) -> None:
    files = recorded / "vasp_runs" / "KInO2_Va_O_2" / "outputs" / "pydefect"
    perfect, defect = (pydefect_run(files / f"{name}.json") for name in ("perfect_calc_results", "calc_results"))
    found, _ = vacancy_of(perfect.crystal, defect.crystal)
    assert (found.kind, found.symmetry_after) == ("simple", "3m")


@pytest.mark.parametrize(
    ("case", "missing", "kind"),
    [("MgO_Va_O_transition_initial", (0.25, 0.0, 0.0), "simple"), ("MgO_conv_Va_O_0", (0.5, 0.0, 0.0), "simple")],
)
def test_oxygen_vacancies_in_mgo(recorded: Path, case: str, missing: tuple[float, float, float], kind: str) -> None:
    """Their perfect cells are not recorded: they are those of rock salt. In the small one the whole cell has drifted."""
    defect = recorded_run(recorded / "vasp_runs" / case).crystal
    found, _ = vacancy_of(whole_mgo(defect, missing), defect)
    assert (found.kind, found.defect_type, found.removed) == (kind, "vacancy", (len(defect.species),))
    assert {found.displacements.elements[site] for site in found.neighbours} == {"Mg"}


@pytest.mark.parametrize("charge", [0, 1, -1, -2])
def test_magnesium_in_gan(recorded: Path, charge: int) -> None:
    """pydefect takes the index 0 of the inserted atom for none and does not see the substitution."""
    perfect, defect = (recorded_run(recorded / "vasp_runs" / name) for name in ("GaN_supercell", f"GaN_Mg_Ga_q{charge:+d}"))
    found, theirs = equals_pydefect(perfect.crystal, defect.initial, defect.crystal)
    assert (found.kind, found.defect_type, found.substituted) == ("simple", "substituted", ((0, 0),))
    assert str(theirs.defect_type) == "unknown"


def rocksalt() -> Crystal:
    """MgO, 64 atoms."""
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[np.argsort(grid.sum(axis=1) % 2, kind="stable")]
    return Crystal(
        lattice=((8.4, 0, 0), (0, 8.4, 0), (0, 0, 8.4)),
        species=("Mg",) * 32 + ("O",) * 32,
        frac_coords=tuple(tuple(place) for place in (grid / 4).tolist()),
    )


def moved(crystal: Crystal, steps: np.ndarray) -> Crystal:
    """The crystal with its atoms moved by Cartesian steps (n, 3), Å."""
    places = np.array(crystal.frac_coords) + steps @ np.linalg.inv(crystal.lattice)
    return crystal.model_copy(update={"frac_coords": tuple(tuple(place) for place in places.tolist())})


PERFECT = rocksalt()
REMOVED = PERFECT.species.index("O")
INITIAL = without(PERFECT, REMOVED)


def steps_of(site: int, step: tuple[float, float, float]) -> np.ndarray:
    steps = np.zeros((len(INITIAL.species), 3))
    steps[site] = step
    return steps


def neighbours_outward(length: float) -> np.ndarray:
    offsets = np.array(INITIAL.frac_coords) - PERFECT.frac_coords[REMOVED]
    offsets = (offsets - np.rint(offsets)) @ np.array(INITIAL.lattice)
    distances = np.linalg.norm(offsets, axis=1, keepdims=True)
    return np.where(distances < 2.2, length * offsets / distances, 0.0)


@pytest.mark.parametrize("length", [0.2, -0.15])
def test_breathing_keeps_the_symmetry(length: float) -> None:
    found = changed(PERFECT, INITIAL, moved(INITIAL, neighbours_outward(length)))
    assert (found.kind, found.defect_type, found.removed) == ("simple", "vacancy", (REMOVED,))
    assert (found.symmetry_before, found.symmetry_after, found.symmetry_relation) == ("m-3m", "m-3m", "same")
    assert found.max_displacement == pytest.approx(abs(length))
    near = found.displacements.distances < 2.2
    assert near.sum() == 6
    np.testing.assert_allclose(found.displacements.outward[near], length)
    assert set(found.displaced(0.1)) == set(found.displacements.sites[near].tolist()) <= set(found.neighbours)
    assert found.drift == pytest.approx(0.0, abs=1e-12)


def test_a_neighbour_off_centre_lowers_the_symmetry() -> None:
    site = int(np.flatnonzero(np.linalg.norm(neighbours_outward(1.0), axis=1))[0])
    found = changed(PERFECT, INITIAL, moved(INITIAL, steps_of(site, (0.3, 0.2, 0.15))))
    assert (found.kind, found.symmetry_before, found.symmetry_relation) == ("simple", "m-3m", "subgroup")
    assert found.symmetry_after == "1"
    reverse = changed(PERFECT, moved(INITIAL, steps_of(site, (0.3, 0.2, 0.15))), INITIAL)
    assert reverse.symmetry_relation == "supergroup"


def nearest_oxygen() -> tuple[int, np.ndarray]:
    offsets = np.array(INITIAL.frac_coords) - PERFECT.frac_coords[REMOVED]
    offsets = (offsets - np.rint(offsets)) @ np.array(INITIAL.lattice)
    oxygen = [site for site, symbol in enumerate(INITIAL.species) if symbol == "O"]
    site = min(oxygen, key=lambda index: (np.linalg.norm(offsets[index]), index))
    return site, offsets[site]


def test_an_oxygen_halfway_is_a_split_vacancy() -> None:
    site, offset = nearest_oxygen()
    found, _ = vacancy_of(PERFECT, moved(INITIAL, steps_of(site, tuple(-offset / 2))), REMOVED)
    assert (found.kind, found.defect_type) == ("split", "vacancy_split")
    assert found.inserted == (site,)
    assert found.moved_to == (site,)
    assert site in found.displaced(0.1)


def test_a_vacancy_that_moved_is_no_simple_one() -> None:
    """Against the perfect cell one oxygen is missing, but it is another than at the start."""
    site, offset = nearest_oxygen()
    found, _ = vacancy_of(PERFECT, moved(INITIAL, steps_of(site, tuple(-offset))), REMOVED)
    assert (found.kind, found.defect_type, found.same_configuration) == ("reconstructed", "vacancy", False)


def test_a_cation_off_its_place_is_a_reconstruction() -> None:
    found, _ = vacancy_of(PERFECT, moved(INITIAL, steps_of(0, (0.0, 0.9, 0.9))), REMOVED)
    assert (found.kind, found.defect_type) == ("reconstructed", "unknown")


def test_of_two_atoms_near_one_place_the_nearer_is_its_own() -> None:
    place = tuple(np.array(PERFECT.frac_coords[REMOVED]) + np.array([0.06, 0.03, 0.0]))
    crystal = Crystal(lattice=PERFECT.lattice, species=("O", *PERFECT.species), frac_coords=(place, *PERFECT.frac_coords))
    found, theirs = equals_pydefect(PERFECT, crystal, crystal)
    assert (found.kind, found.defect_type, found.inserted) == ("simple", "interstitial", (0,))
    assert str(theirs.defect_type) == "interstitial"


@given(st.lists(st.floats(-0.4, 0.4), min_size=3, max_size=3), st.floats(-0.3, 0.3), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_drift_and_order_of_sites_do_not_matter(drift: list[float], length: float, random: Any) -> None:
    relaxed = moved(INITIAL, neighbours_outward(length))
    reference = changed(PERFECT, INITIAL, relaxed)
    order = random.sample(range(len(relaxed.species)), len(relaxed.species))
    drifted = moved(relaxed, np.tile(drift, (len(order), 1)))
    shuffled = Crystal(
        lattice=drifted.lattice,
        species=tuple(drifted.species[site] for site in order),
        frac_coords=tuple(drifted.frac_coords[site] for site in order),
    )
    found = changed(PERFECT, INITIAL, shuffled)
    assert (found.kind, found.removed, found.symmetry_after) == (reference.kind, reference.removed, reference.symmetry_after)
    assert found.drift == pytest.approx(np.linalg.norm(drift), abs=1e-9)
    assert found.max_displacement == pytest.approx(reference.max_displacement, abs=1e-9)
    assert sorted(order[site] for site in found.neighbours) == list(reference.neighbours)


@given(
    st.lists(st.sampled_from([0.0, 0.25, -0.25]), min_size=6, max_size=6), st.lists(st.floats(-0.1, 0.1), min_size=3, max_size=3)
)
@settings(max_examples=12)
def test_point_groups_are_those_of_spglib_alone(lengths: list[float], drift: list[float]) -> None:
    """Each of the six neighbours outward, inward or at its place, the whole cell adrift; pydefect's search knows no defect."""
    outward = neighbours_outward(1.0)
    outward[np.linalg.norm(outward, axis=1) > 0] *= np.array(lengths)[:, None]
    relaxed = moved(INITIAL, outward + drift)
    found = changed(PERFECT, INITIAL, relaxed)
    symmetrizer = pydefect("analyzer.make_defect_structure_info", "StructureSymmetrizer")
    unique = pydefect("analyzer.defect_structure_info", "unique_point_group")
    assert found.symmetry_before == unique(symmetrizer(bare(INITIAL), SYMPREC).point_group) == "m-3m"
    assert found.symmetry_after == unique(symmetrizer(bare(relaxed), SYMPREC).point_group)
    assert found.symmetry_relation in ("same", "subgroup")


@given(st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3), st.floats(-0.3, 0.3))
@settings(max_examples=10)
def test_the_origin_of_all_cells_does_not_matter(origin: list[float], length: float) -> None:
    cells = PERFECT, INITIAL, moved(INITIAL, neighbours_outward(length) + np.random.default_rng(1).normal(0, 0.005, (63, 3)))
    reference = changed(*cells)
    found = changed(*(moved_all(cell, origin) for cell in cells))
    for name in ("kind", "removed", "neighbours", "symmetry_before", "symmetry_after", "symmetry_relation", "anchor"):
        assert getattr(found, name) == getattr(reference, name), name
    assert (found.max_displacement, found.drift) == pytest.approx((reference.max_displacement, reference.drift), abs=1e-9)
    np.testing.assert_allclose(found.displacements.vectors, reference.displacements.vectors, atol=1e-9)


def moved_all(crystal: Crystal, step: list[float]) -> Crystal:
    places = np.array(crystal.frac_coords) + np.array(step) @ np.linalg.inv(crystal.lattice)
    return crystal.model_copy(update={"frac_coords": tuple(tuple(place) for place in places.tolist())})


def test_the_search_of_large_cells_has_one_translation_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pair of atoms of an element would be one: 511 atoms of MgO took spglib seconds."""
    searched = []

    def search(cell: KindCell, *tolerances: float) -> object:
        searched.append(min(np.unique(cell.types, return_counts=True)[1]))
        return symmetry_dataset(cell, *tolerances)

    monkeypatch.setattr("hibana.structures.symmetry.symmetry_dataset", search)
    whole = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]) * 4
    perfect = from_pymatgen(whole)
    initial = without(perfect, perfect.species.index("O"))
    found = changed(perfect, initial, initial)
    assert set(searched) == {1}
    assert (found.symmetry_before, found.symmetry_after, found.kind) == ("m-3m", "m-3m", "simple")


def test_cells_that_cannot_be_compared() -> None:
    strained = INITIAL.model_copy(update={"lattice": ((8.5, 0, 0), (0, 8.4, 0), (0, 0, 8.4))})
    found = compare(PERFECT, INITIAL, strained)
    assert isinstance(found, NotComparable)
    assert found.kind == "different_lattices"
    found = compare(PERFECT, INITIAL, PERFECT)
    assert isinstance(found, NotComparable)
    assert found.kind == "no_defect"
