from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_defects import calc_results, dielectric_tensor, pydefect, pydefect_run, recorded_run, without

from hibana.defects.correction import Correction, NoCorrection, extended_fnv, sphere_radius
from hibana.defects.ewald import point_charge_potential
from hibana.defects.run import DefectRun
from hibana.documents.crystal import Crystal
from hibana.protocol.protocol import load_protocol

RULE = load_protocol("pbesol").defects
EPSILON = np.diag([8.0, 9.0, 11.0])
TENSORS = {"CdTe": 10.3 * np.eye(3), "GaN": np.diag([9.28, 9.28, 10.1])}
GAN_CHARGES = (0, 1, -1, -2)


def rocksalt(repeat: int = 2, length: float = 4.2) -> Crystal:
    """Conventional cells of MgO, slightly tetragonal."""
    sites = [("Mg", p) for p in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0))]
    sites += [("O", p) for p in ((1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    steps = np.stack(np.meshgrid(*[np.arange(repeat)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    placed = [(symbol, (np.array(place) / 2 + step) / repeat) for symbol, place in sites for step in steps]
    edges = repeat * length * np.array([1.0, 1.0, 1.02])
    return Crystal(
        lattice=tuple(tuple(row) for row in np.diag(edges).tolist()),
        species=tuple(symbol for symbol, _ in placed),
        frac_coords=tuple(tuple(place.tolist()) for _, place in placed),
    )


def vacancy(charge: float, *, offset: float = 0.0, noise: float = 0.0, repeat: int = 2) -> tuple[DefectRun, DefectRun]:
    """A perfect cell and an O vacancy whose potentials are those of a point charge, an offset and noise."""
    perfect = rocksalt(repeat)
    removed = perfect.species.index("O")
    crystal = without(perfect, removed)
    random = np.random.default_rng(7)
    potentials = random.normal(-40.0, 10.0, len(perfect.species))
    steps = np.array(crystal.frac_coords) - perfect.frac_coords[removed]
    change = charge * point_charge_potential(crystal.lattice, EPSILON, steps) + offset + random.normal(0.0, noise, len(steps))
    return (
        DefectRun(perfect, perfect, energy=-400.0, site_potentials=potentials),
        DefectRun(crystal, crystal, energy=-390.0, site_potentials=np.delete(potentials, removed) + change),
    )


def corrected(charge: float, perfect: DefectRun, defect: DefectRun, epsilon: np.ndarray = EPSILON) -> Correction:
    found = extended_fnv(charge, perfect, defect, epsilon, RULE)
    assert isinstance(found, Correction)
    return found


def refused(*arguments: object) -> NoCorrection:
    found = extended_fnv(*arguments)
    assert isinstance(found, NoCorrection)
    return found


def equals_pydefect(charge: float, perfect: DefectRun, defect: DefectRun, epsilon: np.ndarray) -> Correction:
    """The correction, each number of which is compared with pydefect's."""
    ours = corrected(charge, perfect, defect, epsilon)
    function = pydefect("cli.vasp.make_efnv_correction", "make_efnv_correction")
    theirs = function(charge, calc_results(defect), calc_results(perfect), epsilon)
    assert ours.point_charge == pytest.approx(theirs.point_charge_correction, abs=1e-9)
    assert ours.alignment == pytest.approx(theirs.alignment_correction, abs=1e-9)
    assert ours.total == pytest.approx(theirs.correction_energy, abs=1e-9)
    assert ours.radius == pytest.approx(theirs.defect_region_radius)
    np.testing.assert_allclose(ours.position, theirs.defect_coords, atol=1e-12)
    assert ours.sheet is not None
    assert list(ours.sheet.elements) == [site.specie for site in theirs.sites]
    np.testing.assert_allclose(ours.sheet.distances, [site.distance for site in theirs.sites], atol=1e-12)
    np.testing.assert_allclose(ours.sheet.differences, [site.potential for site in theirs.sites], atol=1e-12)
    outside = np.array([site.pc_potential is not None for site in theirs.sites])
    np.testing.assert_array_equal(ours.sheet.outside, outside)
    potentials = [site.pc_potential for site in theirs.sites if site.pc_potential is not None]
    np.testing.assert_allclose(ours.sheet.point_charge[outside], potentials, atol=1e-9)
    return ours


@pytest.mark.parametrize("charge", [1, 2, -2])
def test_disordered_cell(charge: int) -> None:
    perfect, defect = vacancy(charge, offset=0.05, noise=0.02)
    random = np.random.default_rng(charge + 2)
    places = np.array(defect.crystal.frac_coords) + random.normal(0.0, 0.01, (63, 3))
    crystal = defect.crystal.model_copy(update={"frac_coords": tuple(tuple(place) for place in places.tolist())})
    equals_pydefect(charge, perfect, dataclasses.replace(defect, crystal=crystal), EPSILON)


def test_cadmium_vacancy_in_cdte(recorded: Path) -> None:
    perfect, defect = (recorded_run(recorded / "vasp_runs" / name) for name in ("CdTe_supercell_hse", "CdTe_v_Cd_q-2_hse"))
    assert defect.charge == -2
    equals_pydefect(-2, perfect, defect, TENSORS["CdTe"])


@pytest.mark.parametrize("charge", GAN_CHARGES)
def test_magnesium_in_gan(recorded: Path, charge: int) -> None:
    perfect, defect = (recorded_run(recorded / "vasp_runs" / name) for name in ("GaN_supercell", f"GaN_Mg_Ga_q{charge:+d}"))
    assert defect.charge == charge
    found = equals_pydefect(charge, perfect, defect, TENSORS["GaN"])
    assert (found.total == 0) == (charge == 0)
    assert found.unmapped == (0,)


def test_oxygen_vacancy_in_kino2(recorded: Path) -> None:
    case = recorded / "vasp_runs" / "KInO2_Va_O_2"
    files = case / "outputs" / "pydefect"
    perfect, defect = (pydefect_run(files / f"{name}.json") for name in ("perfect_calc_results", "calc_results"))
    found = equals_pydefect(2, perfect, defect, dielectric_tensor(files / "unitcell.json"))
    printed = json.loads((case / "case.json").read_text())["reference"]["pydefect"]["efnv_correction"]
    assert round(found.total, 5) == printed["correction_energy_eV"]
    assert round(found.point_charge, 5) == printed["point_charge_eV"]
    assert round(found.alignment, 5) == printed["alignment_eV"]


def test_oxygen_vacancy_in_mgo(recorded: Path) -> None:
    """The perfect run is not recorded: its potentials are those of the vacancy less the recorded differences."""
    case = recorded / "vasp_runs" / "MgO_Va_O_transition_initial"
    files = case / "outputs" / "pydefect"
    sheet = json.loads((files / "correction.json").read_text())
    defect = recorded_run(case)
    np.testing.assert_allclose(defect.site_potentials, pydefect_run(files / "calc_results.json").site_potentials)
    places = [tuple(place) for place in (np.rint(np.array(defect.crystal.frac_coords) * 4) / 4).tolist()]
    perfect = Crystal(
        lattice=defect.crystal.lattice,
        species=(*defect.crystal.species, "O"),
        frac_coords=(*places, tuple(sheet["defect_coords"])),
    )
    potentials = np.append(defect.site_potentials - [site["potential"] for site in sheet["sites"]], 0.0)
    found = corrected(
        1, DefectRun(perfect, perfect, site_potentials=potentials), defect, dielectric_tensor(files / "unitcell.json")
    )
    printed = json.loads((case / "case.json").read_text())["reference"]["pydefect"]["efnv_correction"]
    assert round(found.total, 6) == printed["correction_energy_eV"]
    assert round(found.point_charge, 6) == printed["point_charge_eV"]
    assert round(found.alignment, 6) == printed["alignment_eV"]
    assert found.radius == pytest.approx(sheet["defect_region_radius"])
    assert found.sheet is not None
    np.testing.assert_allclose(found.sheet.distances, [site["distance"] for site in sheet["sites"]])
    recorded_potentials = [site["pc_potential"] for site in sheet["sites"]]
    np.testing.assert_array_equal(found.sheet.outside, [value is not None for value in recorded_potentials])
    expected = [value for value in recorded_potentials if value is not None]
    np.testing.assert_allclose(found.sheet.point_charge[found.sheet.outside], expected, atol=1e-8)


def test_a_run_without_potentials(recorded: Path) -> None:
    perfect, defect = (recorded_run(recorded / "vasp_runs" / name) for name in ("V2O5_supercell", "V2O5_v_O_1"))
    found = refused(2, perfect, defect, EPSILON, RULE)
    assert (found.kind, found.reason) == ("no_site_potentials", "perfect supercell: the run has no site potentials")
    assert corrected(0, perfect, defect).sheet is None


@pytest.mark.parametrize("charge", [-1, 1, 2])
def test_point_charge_with_an_offset_is_recovered(charge: int) -> None:
    """Potentials that are exactly the model's leave minus q times the offset for the alignment."""
    found = corrected(charge, *vacancy(charge, offset=0.07))
    assert found.alignment == pytest.approx(-0.07 * charge, abs=1e-9)
    assert found.offset == pytest.approx(0.07, abs=1e-9)
    assert found.spread == pytest.approx(0.0, abs=1e-9)
    assert found.point_charge > 0


@given(st.floats(0.1, 4.0), st.sampled_from([-1, 1]))
@settings(max_examples=20)
def test_point_charge_term_goes_with_the_square_of_the_charge(size: float, sign: int) -> None:
    perfect, defect = vacancy(1.0, noise=0.05)
    one, other = corrected(1.0, perfect, defect), corrected(sign * size, perfect, defect)
    assert other.point_charge == pytest.approx(size**2 * one.point_charge)


@given(st.floats(1.0, 50.0))
@settings(max_examples=20)
def test_correction_vanishes_with_the_size_of_the_cell(size: float) -> None:
    """All lengths scaled: potentials of a point charge and both terms go with one over the length."""
    perfect, defect = vacancy(2.0)
    lattice = (size * np.array(perfect.crystal.lattice)).tolist()
    bigger = [dataclasses.replace(run, crystal=run.crystal.model_copy(update={"lattice": lattice})) for run in (perfect, defect)]
    assert corrected(2.0, *bigger).point_charge == pytest.approx(corrected(2.0, perfect, defect).point_charge / size)


def test_larger_supercells_need_less() -> None:
    terms = [corrected(2.0, *vacancy(2.0, repeat=repeat)).total for repeat in (1, 2, 3)]
    np.testing.assert_allclose(np.array(terms) * [1, 2, 3], terms[0], rtol=1e-9)


@given(st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_origin_and_order_of_sites_do_not_matter(shift: list[float], random: object) -> None:
    runs = vacancy(2.0, offset=0.1, noise=0.05)
    moved = []
    for run in runs:
        order = np.array(random.sample(range(len(run.crystal.species)), len(run.crystal.species)))
        crystal = Crystal(
            lattice=run.crystal.lattice,
            species=tuple(np.array(run.crystal.species)[order].tolist()),
            frac_coords=tuple(tuple(place) for place in (np.array(run.crystal.frac_coords) + shift)[order].tolist()),
        )
        moved.append(dataclasses.replace(run, crystal=crystal, site_potentials=run.site_potentials[order]))
    reference, found = corrected(2.0, *runs), corrected(2.0, *moved)
    assert (found.point_charge, found.alignment) == pytest.approx((reference.point_charge, reference.alignment), abs=1e-9)
    assert sorted(found.sheet.distances) == pytest.approx(sorted(reference.sheet.distances))
    assert [moved[1].crystal.species[site] for site in found.sheet.sites] == list(found.sheet.elements)
    assert [moved[0].crystal.species[site] for site in found.sheet.partners] == list(found.sheet.elements)


def test_neutral_cell_keeps_its_sheet() -> None:
    perfect, defect = vacancy(0.0, offset=0.02)
    found = extended_fnv(0, perfect, defect, None, RULE)
    assert isinstance(found, Correction)
    assert (found.total, found.point_charge, found.alignment) == (0.0, 0.0, 0.0)
    np.testing.assert_allclose(found.sheet.differences, 0.02)
    assert not found.sheet.point_charge.any()


def test_position_may_be_given() -> None:
    perfect, defect = vacancy(2.0, noise=0.05)
    place = perfect.crystal.frac_coords[perfect.crystal.species.index("O")]
    found = extended_fnv(2, perfect, defect, EPSILON, RULE, defect_position=place)
    assert isinstance(found, Correction)
    assert found.total == pytest.approx(corrected(2, perfect, defect).total)
    with_other = extended_fnv(2, perfect, defect, EPSILON, RULE, defect_position=(0.1, 0.2, 0.3))
    assert isinstance(with_other, Correction)
    assert abs(with_other.alignment - found.alignment) > 0.01


def test_atoms_on_the_sphere_are_outside() -> None:
    """Whatever the rounding of their distances."""
    found = corrected(2.0, *vacancy(2.0))
    on_sphere = np.abs(found.sheet.distances - found.radius) < 1e-9
    assert on_sphere.any()
    assert found.sheet.outside[on_sphere].all()


def test_radius_is_half_of_the_largest_face_distance() -> None:
    assert sphere_radius(np.diag([5.0, 10.0, 20.0])) == pytest.approx(10.0)
    assert sphere_radius([[10, 0, 0], [0, 10, 0], [10, 10, 10]]) == pytest.approx(5.0)


def test_refuses_different_lattices() -> None:
    perfect, defect = vacancy(2.0)
    lattice = (np.array(defect.crystal.lattice) * 1.001).tolist()
    strained = dataclasses.replace(defect, crystal=defect.crystal.model_copy(update={"lattice": lattice}))
    assert refused(2, perfect, strained, EPSILON, RULE).kind == "different_lattices"
    assert refused(0, perfect, strained, EPSILON, RULE).kind == "different_lattices"


def test_refuses_where_no_atom_is_outside() -> None:
    """In an elongated cell half of the largest face distance reaches beyond every atom."""
    cell = Crystal(
        lattice=((4.0, 0, 0), (0, 4.0, 0), (0, 0, 30.0)),
        species=("Mg", "O", "O"),
        frac_coords=((0, 0, 0.1), (0, 0, 0), (0.5, 0.5, 0.4)),
    )
    perfect = DefectRun(cell, cell, site_potentials=np.zeros(3))
    defect = DefectRun(without(cell, 1), without(cell, 1), site_potentials=np.zeros(2))
    found = refused(1, perfect, defect, EPSILON, RULE)
    assert (found.kind, found.reason) == ("no_site_outside", "no atom is farther than 15.00 Å from the defect")
    assert corrected(0, perfect, defect).total == 0


def test_one_atom_outside_says_nothing_of_the_scatter() -> None:
    cell = Crystal(
        lattice=((6.0, 0, 0), (0, 6.0, 0), (0, 0, 12.0)),
        species=("Mg", "O", "O"),
        frac_coords=((0, 0, 0.1), (0, 0, 0), (0.5, 0.5, 0.5)),
    )
    perfect = DefectRun(cell, cell, site_potentials=np.zeros(3))
    defect = DefectRun(without(cell, 1), without(cell, 1), site_potentials=np.array([0.3, 0.1]))
    found = corrected(1, perfect, defect)
    assert found.sheet is not None
    assert found.sheet.outside.sum() == 1
    assert found.offset is not None
    assert found.spread is None


def test_refuses_cells_that_do_not_match() -> None:
    perfect, defect = vacancy(2.0)
    places = [(x + 0.11, y + 0.09, z + 0.13) for x, y, z in defect.crystal.frac_coords]
    shifted = dataclasses.replace(defect, crystal=defect.crystal.model_copy(update={"frac_coords": tuple(places)}))
    found = refused(2, perfect, shifted, EPSILON, RULE)
    assert found.kind == "not_mapped"
    assert found.reason.startswith("63 of 63 atoms are farther than 1.0 Å")
    assert refused(2, perfect, perfect, EPSILON, RULE).kind == "no_defect"


@pytest.mark.parametrize(("epsilon", "state"), [(None, "not known"), (-np.eye(3), "not positive definite")])
def test_refuses_without_a_dielectric_tensor(epsilon: np.ndarray | None, state: str) -> None:
    found = refused(2, *vacancy(2.0), epsilon, RULE)
    assert (found.kind, found.reason) == ("no_dielectric_tensor", f"the static dielectric tensor of the host is {state}")
