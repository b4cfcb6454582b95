"""Phonons from displaced supercells: recorded forces of VASP, and force fields made by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Element, Structure
from response_evidence import PROTOCOL, Arrays, crystal_of, evidence_of, recorded_run, rock_salt, run_of
from scipy.spatial.transform import Rotation

from hibana.documents.arrays import unpack
from hibana.documents.crystal import Crystal
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.task import Failure, RunDoc
from hibana.properties.dispersion import build_dispersion
from hibana.properties.displacements import displacements, supercell_matrix
from hibana.properties.evidence import Built
from hibana.properties.force_constants import ForcesError, force_constants
from hibana.structures.convert import from_pymatgen, to_pymatgen
from prototypes import make_prototypes

Runs = dict[str, tuple[RunDoc, Arrays]]


@cache
def prototypes() -> dict[str, Structure]:
    return make_prototypes()


NACL = rock_salt("Na", "Cl", 5.691694)
RULE = PROTOCOL.phonon.model_copy(update={"min_length": 7.0})


def dispersion(runs: Runs, reasons: dict[str, str] | None = None) -> tuple[DispersionDoc, Built]:
    built = build_dispersion(evidence_of(runs, reasons))
    assert isinstance(built.document, DispersionDoc)
    return built.document, built


def array(built: Built, name: str) -> np.ndarray:
    return unpack(built.arrays[name])


def nacl_runs(recorded) -> Runs:
    runs: Runs = {"structure_opt": (run_of(NACL), {})}
    for number in (1, 2):
        runs[f"phonon_force-{number:03d}"] = recorded_run(recorded, f"NaCl_3_phonon_{number}")
    return runs


def nacl_response(recorded) -> tuple[RunDoc, Arrays]:
    """The recorded response of the eight-atom cell as one of the primitive cell."""
    run, arrays = recorded_run(recorded, "NaCl_2_dielectric")
    charges = np.array([arrays["born_charges"][0], arrays["born_charges"][4]])
    return run_of(NACL, epsilon_electronic=run.epsilon_electronic, epsilon_ionic=run.epsilon_ionic), {"born_charges": charges}


def tin_oxide_runs(recorded) -> Runs:
    cell, _ = recorded_run(recorded, "SnO2_dielectric_pbesol")
    runs: Runs = {"structure_opt": (run_of(cell.final), {})}
    for number in range(4):
        runs[f"phonon_force-{number:03d}"] = recorded_run(recorded, "SnO2_phonon_pbesol", f"disp-{number:03d}")
    return runs


def central_forces(ideal: Crystal, displaced: Crystal, reach: float = 3.6) -> np.ndarray:
    """Forces of springs between neighbours, stiffer for heavier pairs; no force without displacement."""
    structure, moved = to_pymatgen(ideal), to_pymatgen(displaced)
    centres, others, images, distances = structure.get_neighbor_list(reach)
    lattice = structure.lattice.matrix
    places = (moved.frac_coords - structure.frac_coords + 0.5) % 1 - 0.5 + structure.frac_coords
    here = (places[others] + images - places[centres]) @ lattice
    lengths = np.linalg.norm(here, axis=1)
    numbers = np.array([site.specie.Z for site in structure])
    pulls = 0.1 * np.sqrt(numbers[centres] * numbers[others]) * (lengths - distances)
    forces = np.zeros((len(structure), 3))
    np.add.at(forces, centres, pulls[:, None] * here / lengths[:, None])
    return forces


def model_runs(crystal: Crystal, min_length: float = 7.0) -> Runs:
    cells = displacements(crystal, RULE.model_copy(update={"min_length": min_length}), PROTOCOL.symmetry)
    runs: Runs = {"structure_opt": (run_of(crystal), {})}
    for number, cell in enumerate(cells.cells, start=1):
        forces = central_forces(cells.supercell, cell)
        runs[f"phonon_force-{number:03d}"] = (run_of(cell, forces=tuple(map(tuple, forces.tolist()))), {})
    return runs


def test_recorded_salt_against_phonopy(recorded):
    """The same forces through phonopy alone, with its own displacement data set."""
    runs = nacl_runs(recorded)
    pairs = [(run.initial, np.array(run.forces)) for step, (run, _) in runs.items() if step != "structure_opt"]
    ours = force_constants(NACL, pairs, symprec=0.01)
    atoms = PhonopyAtoms(symbols=["Na", "Cl"], cell=NACL.lattice, scaled_positions=NACL.frac_coords)
    alone = Phonopy(atoms, supercell_matrix=[[-1, 1, 1], [1, -1, 1], [1, 1, -1]], primitive_matrix="P")
    alone.generate_displacements(distance=0.01)
    forces = []
    for cell in alone.supercells_with_displacements:
        for initial, values in pairs:
            order = _order(cell, initial)
            if order is not None:
                forces.append(values[order])
    assert len(forces) == 2
    alone.produce_force_constants(forces=forces, show_drift=False)
    for q in ([0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]):
        assert ours.get_frequencies(q) == pytest.approx(alone.get_frequencies(q), abs=1e-4)


def _order(cell: PhonopyAtoms, initial: Crystal) -> list[int] | None:
    """Sites of a recorded cell in the order of phonopy's, if they are the same displaced cell but for a lattice vector."""
    for shift in ([0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]):
        steps = np.array(initial.frac_coords)[None] + shift - cell.scaled_positions[:, None]
        distances = np.linalg.norm((steps - np.rint(steps)) @ cell.cell, axis=2)
        order = distances.argmin(axis=1)
        same = distances[np.arange(len(order)), order].max() < 1e-4
        if same and [initial.species[i] for i in order] == list(cell.symbols):
            return order.tolist()
    return None


def test_recorded_salt(recorded):
    """NaCl: transverse and longitudinal optical modes at 4.9 and 7.9 THz by experiment; stable."""
    runs = nacl_runs(recorded) | {"dielectric": nacl_response(recorded)}
    doc, built = dispersion(runs)
    assert (doc.status, doc.is_stable, doc.has_nac, doc.flags) == ("complete", True, True, ())
    assert doc.supercell_matrix == ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
    assert (doc.n_supercell_sites, doc.n_displacements) == (8, 2)
    assert doc.displacement == pytest.approx(0.01, abs=1e-5)
    assert doc.gamma_frequencies[:3] == pytest.approx((0, 0, 0), abs=1e-4)
    assert doc.gamma_frequencies[3:] == pytest.approx((4.9,) * 3, rel=0.12)
    assert doc.max_frequency == pytest.approx(7.9, rel=0.1)
    assert doc.acoustic_residual < 0.05
    assert doc.addresses["phonon_force-002"] == "address of phonon_force-002"
    step = np.diff(array(built, "dos_frequencies"))[0]
    assert array(built, "dos_total").sum() * step == pytest.approx(6, rel=0.02)
    assert array(built, "frequencies").shape == (len(array(built, "qpoints")), 6)
    labels = dict(zip(doc.path_indices, doc.path_labels, strict=True))
    assert all(np.allclose(array(built, "qpoints")[i], 0) for i, label in labels.items() if label == "GAMMA")


def test_recorded_salt_agrees_with_perturbation_theory(recorded):
    """Two routes by VASP: displaced atoms, and the response of the eight-atom cell, which holds Γ and X of the primitive one."""
    runs = nacl_runs(recorded)
    pairs = [(run.initial, np.array(run.forces)) for step, (run, _) in runs.items() if step != "structure_opt"]
    phonons = force_constants(NACL, pairs, symprec=0.01)
    points = ([0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5])
    displaced = np.sort(np.concatenate([phonons.get_frequencies(q) for q in points]))
    _, arrays = recorded_run(recorded, "NaCl_2_dielectric")
    assert displaced == pytest.approx(np.sort(arrays["gamma_frequencies"]), abs=0.06)


def test_without_charges_the_splitting_is_missing_and_said_so(recorded):
    with_field, _ = dispersion(nacl_runs(recorded) | {"dielectric": nacl_response(recorded)})
    without, _ = dispersion(nacl_runs(recorded), {"dielectric": "not gapped"})
    assert without.has_nac is False
    assert without.max_frequency < with_field.max_frequency - 1
    assert any("without Born charges" in flag for flag in without.flags)
    run, arrays = nacl_response(recorded)
    other = run.model_copy(update={"final": rock_salt("Na", "Cl", 5.8)})
    doc, _ = dispersion(nacl_runs(recorded) | {"dielectric": (other, arrays)})
    assert doc.has_nac is False
    assert any("another cell" in flag for flag in doc.flags)


def test_recorded_tin_oxide(recorded):
    """SnO2, tetragonal, with the forces of the undisplaced cell taken off; Raman Eg 14.3, A1g 19.0, B2g 23.3 THz."""
    doc, built = dispersion(tin_oxide_runs(recorded))
    assert (doc.status, doc.is_stable) == ("complete", True)
    assert doc.supercell_matrix == ((2, 0, 0), (0, 2, 0), (0, 0, 3))
    assert doc.n_displacements == 3
    gamma = np.array(doc.gamma_frequencies)
    for measured in (14.3, 19.0, 23.3):
        assert np.abs(gamma - measured).min() < 0.07 * measured
    assert doc.acoustic_residual < 0.02
    assert array(built, "frequencies").shape[1] == 18


@pytest.mark.parametrize("name", ["rock salt MgO", "wurtzite ZnO", "rutile TiO2", "corundum Al2O3", "baddeleyite ZrO2"])
def test_supercells_are_large_enough_and_whole(name):
    crystal = from_pymatgen(prototypes()[name].get_primitive_structure())
    matrix = supercell_matrix(crystal, 10.0, PROTOCOL.symmetry)
    lattice = matrix @ np.array(crystal.lattice)
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(steps[np.any(steps != 0, axis=1)] @ lattice, axis=1)
    assert lengths.min() >= 10.0 * (1 - 1e-5)
    assert np.linalg.det(matrix) > 0
    same = np.isclose(np.linalg.norm(lattice, axis=1)[:, None], np.linalg.norm(lattice, axis=1)[None], atol=1e-4)
    assert same.sum() >= {"rock salt MgO": 9, "baddeleyite ZrO2": 3}.get(name, 5)


def test_displaced_cells():
    cells = displacements(NACL, RULE, PROTOCOL.symmetry)
    assert cells.supercell_matrix @ np.array(NACL.lattice) == pytest.approx(np.eye(3) * 2 * 5.691694)
    assert len(cells.cells) == 2
    assert len(cells.supercell.species) == 64
    for cell in cells.cells:
        steps = np.array(cell.frac_coords) - np.array(cells.supercell.frac_coords)
        lengths = np.linalg.norm((steps - np.rint(steps)) @ np.array(cell.lattice), axis=1)
        assert np.sort(lengths)[-2:] == pytest.approx([0, 0.01], abs=1e-10)


def test_the_matrix_is_that_of_the_supercell():
    """Corundum: the vectors of its conventional cell are no symmetric combination of the primitive ones."""
    crystal = from_pymatgen(prototypes()["corundum Al2O3"].get_primitive_structure())
    cells = displacements(crystal, RULE.model_copy(update={"min_length": 4.5}), PROTOCOL.symmetry)
    matrix = cells.supercell_matrix
    assert np.abs(matrix - matrix.T).max() > 0
    assert np.array(cells.supercell.lattice) == pytest.approx(matrix @ np.array(crystal.lattice), abs=1e-8)
    assert len(cells.supercell.species) == 10 * round(np.linalg.det(matrix))
    places = np.array(cells.supercell.frac_coords) @ matrix
    steps = (places[:, None] - np.array(crystal.frac_coords)[None]).reshape(-1, 3)
    assert np.isclose(np.abs(steps - np.rint(steps)).max(axis=1), 0, atol=1e-6).sum() == len(places)


def test_forces_left_by_the_relaxation_are_taken_off():
    crystal = rock_salt("Mg", "O", 4.2)
    runs = model_runs(crystal)
    reference, _ = dispersion(runs)
    ideal = displacements(crystal, RULE, PROTOCOL.symmetry).supercell
    left = np.random.default_rng(1).normal(size=(len(ideal.species), 3)) * 0.05
    for step, (run, arrays) in list(runs.items()):
        if run.forces is not None:
            runs[step] = (run.model_copy(update={"forces": tuple(map(tuple, (np.array(run.forces) + left).tolist()))}), arrays)
    disturbed, _ = dispersion(runs)
    assert abs(disturbed.max_frequency - reference.max_frequency) > 0.1
    runs["phonon_force-000"] = (run_of(ideal, forces=tuple(map(tuple, left.tolist()))), {})
    doc, _ = dispersion(runs)
    assert (doc.min_frequency, doc.max_frequency) == pytest.approx((reference.min_frequency, reference.max_frequency), abs=1e-6)
    assert doc.n_displacements == reference.n_displacements


def test_moments_stay_with_their_atoms():
    chain = crystal_of(
        np.diag([4.2, 4.2, 8.4]), ("Ni", "Ni", "O", "O"), [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0.25], [0.5, 0.5, 0.75]]
    )
    chain = chain.model_copy(update={"magmoms": (2.0, -2.0, 0.0, 0.0)})
    cells = displacements(chain, RULE, PROTOCOL.symmetry)
    for cell in (cells.supercell, *cells.cells):
        heights = np.round(np.array(cell.frac_coords)[:, 2] * np.linalg.norm(cell.lattice[2]) / 4.2) % 2
        signs = np.sign(cell.magmoms)
        nickel = np.array(cell.species) == "Ni"
        assert np.all(signs[nickel] == np.where(heights[nickel] == 0, 1, -1))
        assert np.all(signs[~nickel] == 0)


@pytest.mark.parametrize("name", ["rock salt MgO", "wurtzite ZnO"])
def test_springs_give_their_own_modes(name):
    """The dispersion of a spring model is known: at Γ from the sum of its force constants over the cells."""
    crystal = from_pymatgen(prototypes()[name].get_primitive_structure())
    doc, _ = dispersion(model_runs(crystal))
    step, n_sites = 1e-4, len(crystal.species)
    matrix = np.zeros((3 * n_sites, 3 * n_sites))
    for site in range(n_sites):
        for axis in range(3):
            places = np.array(crystal.frac_coords)
            forces = []
            for sign in (1, -1):
                moved = places.copy()
                moved[site] += sign * step * np.linalg.inv(np.array(crystal.lattice))[axis]
                forces.append(central_forces(crystal, crystal.model_copy(update={"frac_coords": tuple(map(tuple, moved))})))
            matrix[3 * site + axis] = -(forces[0] - forces[1]).ravel() / (2 * step)
    masses = np.repeat([float(Element(symbol).atomic_mass) for symbol in crystal.species], 3)
    values = np.linalg.eigvalsh(matrix / np.sqrt(np.outer(masses, masses)))
    expected = np.sign(values) * np.sqrt(np.abs(values)) * 15.633302
    assert doc.gamma_frequencies == pytest.approx(expected, abs=0.02)
    assert expected[-1] > 6


def test_a_turned_crystal_has_the_same_phonons():
    crystal = from_pymatgen(prototypes()["wurtzite ZnO"])
    turn = Rotation.random(random_state=5).as_matrix()
    turned = crystal.model_copy(update={"lattice": tuple(map(tuple, np.array(crystal.lattice) @ turn.T))})
    one, _ = dispersion(model_runs(crystal))
    other, _ = dispersion(model_runs(turned))
    assert other.gamma_frequencies == pytest.approx(one.gamma_frequencies, abs=1e-3)
    assert (other.min_frequency, other.max_frequency) == pytest.approx((one.min_frequency, one.max_frequency), abs=1e-3)


def test_an_unstable_crystal_is_told_with_its_wave_vector():
    """A cubic crystal whose springs push: no restoring force anywhere."""
    crystal = rock_salt("Mg", "O", 4.2)
    runs = model_runs(crystal)
    for step, (run, arrays) in list(runs.items()):
        if run.forces is not None:
            runs[step] = (run.model_copy(update={"forces": tuple(map(tuple, (-np.array(run.forces)).tolist()))}), arrays)
    doc, built = dispersion(runs)
    assert doc.is_stable is False
    assert doc.min_frequency < -1
    assert any(flag.startswith("unstable") for flag in doc.flags)
    assert array(built, "frequencies").min() >= doc.min_frequency - 1e-6
    assert any(doc.min_frequency_qpoint)


def test_what_is_missing_is_said():
    runs = model_runs(rock_salt("Mg", "O", 4.2))
    failed = runs["phonon_force-002"][0].model_copy(
        update={"status": "failed", "failure": Failure(kind="killed", message="no memory")}
    )
    doc, _ = dispersion(runs | {"phonon_force-002": (failed, {})})
    assert (doc.status, doc.reason) == ("unavailable", "phonon_force-002: killed: no memory")
    doc, _ = dispersion({step: runs[step] for step in ("structure_opt", "phonon_force-001")})
    assert doc.reason.startswith("no displacement of O")
    doc, _ = dispersion({"structure_opt": runs["structure_opt"]})
    assert doc.reason == "phonon_force: not calculated"
    doc, _ = dispersion({"phonon_force-001": runs["phonon_force-001"]})
    assert doc.reason == "structure_opt: not calculated"
    doc, _ = dispersion(runs | {"structure_opt": (run_of(rock_salt("Mg", "O", 4.3)), {})})
    assert doc.reason == "the displaced cell is no supercell of the relaxed crystal"


def test_two_displaced_atoms_are_refused():
    cells = displacements(NACL, RULE, PROTOCOL.symmetry)
    places = np.array(cells.cells[0].frac_coords)
    places[5] += 0.002
    cell = cells.cells[0].model_copy(update={"frac_coords": tuple(map(tuple, places))})
    with pytest.raises(ForcesError, match="2 atoms are displaced"):
        force_constants(NACL, [(cell, np.zeros((64, 3)))], symprec=0.01)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda forces: forces * 0, "no displacement gives a force"),
        (lambda forces: forces * np.nan, "phonon_force-001: the forces are not all finite numbers; phonon_force-002: "),
    ],
)
def test_forces_that_say_nothing(change, reason):
    runs = model_runs(NACL)
    for step, (run, arrays) in list(runs.items()):
        if run.forces is not None:
            runs[step] = (run.model_copy(update={"forces": tuple(map(tuple, change(np.array(run.forces)).tolist()))}), arrays)
    doc, _ = dispersion(runs)
    assert doc.status == "unavailable"
    assert doc.reason.startswith(reason)


def test_a_run_without_forces_is_named():
    runs = model_runs(NACL)
    runs["phonon_force-002"] = (runs["phonon_force-002"][0].model_copy(update={"forces": None}), {})
    assert dispersion(runs)[0].reason == "phonon_force-002: the run has no forces"


def test_a_direction_without_displacement_is_not_taken_for_one_without_forces():
    """Without symmetry three directions, with both signs, of each atom are wanted; phonopy solves for fewer and says nothing."""
    crystal = crystal_of([[3.1, 0, 0], [0.4, 3.7, 0], [0.3, 0.5, 4.3]], ("Na", "Cl"), [[0, 0, 0], [0.47, 0.52, 0.55]])
    runs = model_runs(crystal, 5.0)
    whole, _ = dispersion(runs)
    assert (whole.n_displacements, whole.flags) == (12, ())
    lost, _ = dispersion({step: run for step, run in runs.items() if step[-3:] not in ("001", "002")})
    assert (lost.status, lost.reason) == ("unavailable", "the displacements of Na1 do not span space")
    one_sided, _ = dispersion({step: run for step, run in runs.items() if step[-3:] != "002"})
    assert [flag.partition(":")[0] for flag in one_sided.flags] == ["11 displacements where the symmetry asks for 12"]


def test_what_is_wrong_with_the_dielectric_run_is_said_where_its_field_is_used(recorded):
    run, arrays = nacl_response(recorded)
    flagged = run.model_copy(update={"flags": ("gap closed in the dielectric run",)})
    doc, _ = dispersion(model_runs(NACL) | {"dielectric": (flagged, arrays)})
    assert doc.has_nac
    assert "dielectric: gap closed in the dielectric run" in doc.flags
    doc, _ = dispersion(model_runs(NACL) | {"dielectric": (run, {"born_charges": arrays["born_charges"] * np.nan})})
    assert doc.has_nac is False
    assert any("without Born charges" in flag for flag in doc.flags)


def test_symmetry_is_that_of_the_crystal_the_cells_were_made_of():
    """A relaxation that starts with moments a little apart and ends with equal ones: displacements are made of its end."""
    chain = crystal_of(
        np.diag([3.9, 3.9, 7.8]), ("Ni", "Ni", "O", "O"), [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0.25], [0.5, 0.5, 0.75]]
    )
    ended = chain.model_copy(update={"magmoms": (2.0, -2.0, 0.0, 0.0)})
    started = chain.model_copy(update={"magmoms": (2.1, -2.0, 0.0, 0.0)})
    runs = model_runs(ended, 4.0)
    runs["structure_opt"] = (run_of(ended, initial=started), {})
    doc, _ = dispersion(runs)
    assert (doc.status, doc.reason) == ("complete", None)
    assert not any("displacements" in flag for flag in doc.flags)


def test_a_crystal_without_symmetry_search_is_a_reason():
    crystal = crystal_of(np.eye(3) * 4.0, ("Mg", "Mg", "O"), [[0, 0, 0], [0, 0, 1e-4], [0.5, 0.5, 0.5]])
    forces = ((0.0, 0.0, 0.1),) * 3
    doc, _ = dispersion({"structure_opt": (run_of(crystal), {}), "phonon_force-001": (run_of(crystal, forces=forces), {})})
    assert doc.status == "unavailable"
    assert doc.reason.startswith("HIB-017")
