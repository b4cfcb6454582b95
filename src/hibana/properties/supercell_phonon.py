"""Phonons from forces in displaced supercells, by phonopy's public interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import seekpath
import spglib
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Element

from hibana.core.errors import HibanaError
from hibana.documents.arrays import pack
from hibana.documents.crystal import Crystal
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.task import TaskDoc
from hibana.properties.consistency import run_flags
from hibana.properties.evidence import Built, Evidence
from hibana.properties.invariants import acoustic_findings, stability_findings
from hibana.properties.tensors import conventional_frame
from hibana.vasp.cells import vectors

if TYPE_CHECKING:
    from hibana.protocol.protocol import PhononRule, SymmetryRule

Array = NDArray[np.float64]

STEP = "phonon_force"
"""The runs are ``phonon_force-001``, ``phonon_force-002``, ..."""

NAC_FACTOR = 14.399652
"""e²/(4π ε0) in eV Å with phonopy's digits."""

SAME_LATTICE = 1e-3
"""Å. Lattice vectors of two cells of one crystal differ by less."""

SAME_SITE = 0.2
"""Å. A displaced atom is nearer than this to its place."""

DISPLACED = 1e-4
"""Å. Smaller displacements are rounded digits."""

SPANNING = 0.1
"""Least singular value of the unit vectors of displacements that span space."""

DOS_STEP = 0.05
"""THz. Step of the density of states."""


class ForcesError(ValueError):
    """Runs that do not make force constants, with the reason."""


@dataclass(frozen=True)
class DisplacedCells:
    """The supercells whose forces are wanted.

    Parameters
    ----------
    supercell_matrix
        Vectors of the supercell (rows) in units of the crystal's, (3, 3) integers.
    supercell
        The supercell without displacement.
    cells
        One supercell for each displacement that symmetry does not give from another.
    """

    supercell_matrix: NDArray[np.int64]
    supercell: Crystal
    cells: tuple[Crystal, ...]


def supercell_matrix(crystal: Crystal, min_length: float, symmetry: SymmetryRule) -> NDArray[np.int64]:
    """Supercell (rows, in units of the crystal's vectors) whose periodic images are at least ``min_length`` (Å) apart.

    It is made of whole conventional cells, so that it has the crystal's symmetry as far as its lengths allow; symmetry-related
    axes are repeated alike.
    """
    setting = np.rint(conventional_frame(crystal, symmetry).setting).astype(np.int64)
    cell = setting @ np.array(crystal.lattice)
    lengths = np.linalg.norm(cell, axis=1)
    repeats = np.maximum(np.ceil(min_length / lengths - 1e-6), 1).astype(np.int64)
    while _shortest(repeats[:, None] * cell) < min_length - 1e-6 * min_length:
        reach = repeats * lengths
        repeats[reach <= reach.min() + SAME_LATTICE] += 1
    matrix: NDArray[np.int64] = repeats[:, None] * setting
    return matrix


def displacements(crystal: Crystal, rule: PhononRule, symmetry: SymmetryRule) -> DisplacedCells:
    """Supercells with one atom displaced each, as many as the symmetry of the crystal leaves.

    Parameters
    ----------
    crystal
        The relaxed primitive cell.
    rule
        Size of the supercell and of the displacement.
    symmetry
        Tolerances of the symmetry search.

    Raises
    ------
    HibanaError
        HIB-017 where no symmetry is found.
    """
    matrix = supercell_matrix(crystal, rule.min_length, symmetry)
    phonons = _phonopy(crystal, matrix, symmetry.symprec)
    phonons.generate_displacements(distance=rule.displacement)
    cells = tuple(_crystal(atoms) for atoms in phonons.supercells_with_displacements or ())
    return DisplacedCells(matrix, _crystal(phonons.supercell), cells)


def build_dispersion(evidence: Evidence) -> Built:
    """Dispersion, density of states and dynamical stability.

    Parameters
    ----------
    evidence
        With the relaxation under ``structure_opt``, the runs of the displaced supercells under ``phonon_force-001``, ..., and
        the run of the dielectric tensors, if any, under ``dielectric``. A supercell without displacement among them gives the
        forces left by the relaxation, which are taken off.

    Raises
    ------
    ValueError
        If no calculation was done at all.
    """
    steps = sorted(step for step in {**evidence.tasks, **evidence.reasons} if step.partition("-")[0] == STEP)
    threshold = evidence.protocol.gates.min_phonon_frequency
    head = evidence.head("structure_opt", "dielectric", *steps) | {"threshold": threshold}
    try:
        crystal = _relaxed(evidence)
        runs = _forces(evidence, steps)
        conventional_frame(crystal, evidence.protocol.symmetry)  # phonopy fails less clearly where there is no symmetry
        phonons = force_constants(crystal, runs, symprec=evidence.protocol.symmetry.symprec)
    except (ForcesError, HibanaError) as error:
        return Built(DispersionDoc(**head, status="unavailable", reason=str(error)))
    raw = np.array(phonons.get_frequencies([0, 0, 0]))
    acoustic = float(np.sort(np.abs(raw))[2])
    phonons.symmetrize_force_constants(show_drift=False)
    gamma = tuple(float(value) for value in np.sort(phonons.get_frequencies([0, 0, 0])))
    flags = [flag for step in steps for flag in run_flags(step, evidence.tasks[step])]
    flags += _fewer_than_wanted(phonons, crystal, evidence.protocol.symmetry.symprec)
    has_nac = _add_field(phonons, crystal, evidence, flags)
    values, arrays = _spectra(phonons, crystal, evidence)
    findings = acoustic_findings(acoustic) + stability_findings(values["min_frequency"], threshold)
    flags += [finding.flag for finding in findings]
    if not has_nac and evidence.asked("dielectric"):
        flags.append("without Born charges the splitting of longitudinal and transverse modes is missing")
    packed = {name: pack(array) for name, array in arrays.items()}
    moves = np.array([move[1:4] for move in phonons.displacements], dtype=float)
    document = DispersionDoc(
        **head,
        status="complete",
        flags=tuple(flags),
        crystal=crystal,
        supercell_matrix=tuple(tuple(int(n) for n in row) for row in phonons.supercell_matrix.T),
        n_supercell_sites=len(phonons.supercell),
        n_displacements=len(moves),
        displacement=float(np.linalg.norm(moves, axis=1).max()),
        has_nac=has_nac,
        gamma_frequencies=gamma,
        acoustic_residual=acoustic,
        is_stable=values["min_frequency"] >= threshold,
        arrays={name: item.ref for name, item in packed.items()},
        **values,
    )
    return Built(document, packed)


def force_constants(crystal: Crystal, runs: Sequence[tuple[Crystal, Array]], *, symprec: float) -> Phonopy:
    """A Phonopy object with force constants, without the sum rule.

    Parameters
    ----------
    crystal
        The primitive cell the supercells were made of.
    runs
        Displaced supercell and forces (n, 3) in eV/Å on its sites, in any order of the sites.
    symprec
        Tolerance of the symmetry search, Å.

    Raises
    ------
    ForcesError
        If a cell is no supercell of the crystal, more than one atom is displaced, or the displacements do not suffice.
    """
    matrix = _matrix_of(crystal, runs[0][0])
    phonons = _phonopy(crystal, matrix, symprec)
    ideal = _crystal(phonons.supercell)
    found: list[dict[str, Any]] = []
    left = np.zeros((len(ideal.species), 3))
    for cell, forces in runs:
        shifts, ordered = _on_ideal(ideal, cell, forces)
        moved = np.flatnonzero(np.linalg.norm(shifts, axis=1) > DISPLACED)
        if moved.size == 0:
            left = ordered
        elif moved.size == 1:
            number = int(moved[0])
            found.append({"number": number, "displacement": shifts[number], "forces": ordered})
        else:
            raise ForcesError(f"{moved.size} atoms are displaced in one supercell; one is wanted")
    if not found:
        raise ForcesError("no atom is displaced in any supercell")
    lacking = _not_displaced(phonons, {item["number"] for item in found})
    if lacking:
        raise ForcesError(f"no displacement of {', '.join(lacking)}")
    lacking = _undetermined(phonons, found)
    if lacking:
        raise ForcesError(f"the displacements of {', '.join(lacking)} do not span space")
    if not any((np.abs(item["forces"] - left) > 0).any() for item in found):
        raise ForcesError("no displacement gives a force")
    phonons.dataset = {
        "natom": len(ideal.species),
        "first_atoms": [item | {"forces": item["forces"] - left} for item in found],
    }
    try:
        phonons.produce_force_constants(show_drift=False)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        raise ForcesError(f"the displacements do not give force constants: {error}") from error
    return phonons


def _relaxed(evidence: Evidence) -> Crystal:
    """The crystal the displaced cells were made of, its moments those the relaxation ended with: symmetry is judged alike."""
    task = evidence.answer("structure_opt")
    if task is None:
        raise ForcesError(f"structure_opt: {evidence.why_not('structure_opt')}")
    return task.final


def _forces(evidence: Evidence, steps: Sequence[str]) -> list[tuple[Crystal, Array]]:
    if not steps:
        raise ForcesError(f"{STEP}: not calculated")
    missing = [f"{step}: {evidence.why_not(step)}" for step in steps if evidence.answer(step) is None]
    runs = {step: task for step in steps if (task := evidence.answer(step)) is not None}
    missing += [f"{step}: the run has no forces" for step, task in runs.items() if task.forces is None]
    missing += [
        f"{step}: the forces are not all finite numbers"
        for step, task in runs.items()
        if task.forces is not None and not np.isfinite(task.forces).all()
    ]
    if missing:
        raise ForcesError("; ".join(missing))
    return [(task.initial, np.array(task.forces)) for task in runs.values()]


def _phonopy(crystal: Crystal, matrix: NDArray[np.int64], symprec: float) -> Phonopy:
    """Phonopy of the crystal as its own primitive cell."""
    atoms = PhonopyAtoms(
        symbols=list(crystal.species),
        cell=np.array(crystal.lattice),
        scaled_positions=np.array(crystal.frac_coords),
        magnetic_moments=None if crystal.magmoms is None else list(crystal.magmoms),
    )
    return Phonopy(atoms, supercell_matrix=matrix.T, primitive_matrix="P", symprec=symprec)


def _crystal(atoms: PhonopyAtoms) -> Crystal:
    a, b, c = vectors(atoms.cell)
    moments = atoms.magnetic_moments
    return Crystal(
        lattice=(a, b, c),
        species=tuple(atoms.symbols),
        frac_coords=vectors(atoms.scaled_positions),
        magmoms=None if moments is None else tuple(float(moment) for moment in moments),
    )


def _shortest(lattice: Array) -> float:
    """Length of the shortest vector of a lattice, Å."""
    reduced = spglib.niggli_reduce(lattice)
    return float(np.linalg.norm(lattice if reduced is None else reduced, axis=1).min())


def _matrix_of(crystal: Crystal, supercell: Crystal) -> NDArray[np.int64]:
    lattice, large = np.array(crystal.lattice), np.array(supercell.lattice)
    matrix: NDArray[np.int64] = np.rint(large @ np.linalg.inv(lattice)).astype(np.int64)
    n_cells = abs(round(np.linalg.det(matrix)))
    if np.abs(matrix @ lattice - large).max() > SAME_LATTICE or n_cells * len(crystal.species) != len(supercell.species):
        raise ForcesError("the displaced cell is no supercell of the relaxed crystal")
    return matrix


def _on_ideal(ideal: Crystal, cell: Crystal, forces: Array) -> tuple[Array, Array]:
    """Displacements and forces (n, 3) in the order of the ideal supercell's sites."""
    lattice = np.array(ideal.lattice)
    if np.abs(np.array(cell.lattice) - lattice).max() > SAME_LATTICE or len(cell.species) != len(ideal.species):
        raise ForcesError("the displaced cells are not of one supercell")
    steps = np.array(cell.frac_coords)[None] - np.array(ideal.frac_coords)[:, None]
    steps = (steps - np.rint(steps)) @ lattice
    distances = np.linalg.norm(steps, axis=2)
    distances[np.array(ideal.species)[:, None] != np.array(cell.species)[None]] = np.inf
    order = distances.argmin(axis=1)
    places = np.arange(len(order))
    if distances[places, order].max() > SAME_SITE or len(set(order.tolist())) != len(order):
        raise ForcesError("the atoms of a displaced cell are not at the places of the relaxed crystal")
    return steps[places, order], forces[order]


def _not_displaced(phonons: Phonopy, displaced: set[int]) -> list[str]:
    """Symmetry-inequivalent atoms of which none is displaced, by symbol and number in the supercell."""
    orbits = phonons.symmetry.get_map_atoms()
    seen = {int(orbits[number]) for number in displaced}
    missing = sorted({int(orbit) for orbit in orbits} - seen)
    return [f"{phonons.supercell.symbols[number]}{number + 1}" for number in missing]


def _undetermined(phonons: Phonopy, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Displaced atoms whose displacements and their images do not span space, by symbol and number in the supercell.

    Phonopy would silently take what is missing for zero.
    """
    lattice = np.array(phonons.supercell.cell).T
    lacking = []
    for number in sorted({item["number"] for item in found}):
        rotations = lattice @ phonons.symmetry.get_site_symmetry(number) @ np.linalg.inv(lattice)
        moves = np.array([item["displacement"] for item in found if item["number"] == number])
        directions = (moves / np.linalg.norm(moves, axis=1)[:, None]) @ np.swapaxes(rotations, 1, 2)
        if np.linalg.svd(directions.reshape(-1, 3), compute_uv=False)[2:].sum() < SPANNING:
            lacking.append(f"{phonons.supercell.symbols[number]}{number + 1}")
    return lacking


def _fewer_than_wanted(phonons: Phonopy, crystal: Crystal, symprec: float) -> list[str]:
    """A flag if displacements were left out whose forces would cancel terms of even order."""
    whole = _phonopy(crystal, np.array(phonons.supercell_matrix).T, symprec)
    whole.generate_displacements()
    given, wanted = len(phonons.displacements), len(whole.displacements)
    if given >= wanted:
        return []
    return [f"{given} displacements where the symmetry asks for {wanted}: anharmonic forces are in the force constants"]


def _add_field(phonons: Phonopy, crystal: Crystal, evidence: Evidence, flags: list[str]) -> bool:
    """Add the macroscopic field of longitudinal modes, where the run of the dielectric tensors gives what it takes."""
    task = evidence.answer("dielectric")
    charges = evidence.sound("dielectric", "born_charges", (len(crystal.species), 3, 3))
    if task is None or task.epsilon_electronic is None or charges is None or not np.isfinite(task.epsilon_electronic).all():
        return False
    flags += run_flags("dielectric", task)
    if not _same_cell(crystal, task):
        flags.append("the run of the dielectric tensors has another cell than the relaxation: its Born charges were not used")
        return False
    corrected = charges - charges.mean(axis=0)
    phonons.nac_params = {"born": corrected, "dielectric": np.array(task.epsilon_electronic), "factor": NAC_FACTOR}
    return True


def _same_cell(crystal: Crystal, task: TaskDoc) -> bool:
    other = task.final
    if other.species != crystal.species or np.abs(np.array(other.lattice) - np.array(crystal.lattice)).max() > SAME_LATTICE:
        return False
    steps = np.array(other.frac_coords) - np.array(crystal.frac_coords)
    return bool(np.linalg.norm((steps - np.rint(steps)) @ np.array(crystal.lattice), axis=1).max() < SAME_SITE)


def _spectra(phonons: Phonopy, crystal: Crystal, evidence: Evidence) -> tuple[dict[str, Any], dict[str, Array]]:
    """Frequencies along the path and on the mesh, and the density of states."""
    reciprocal = 2 * np.pi * np.linalg.inv(np.array(crystal.lattice)).T
    density = evidence.protocol.phonon.mesh_density
    mesh = [max(1, int(np.ceil(density * length))) for length in np.linalg.norm(reciprocal, axis=1)]
    on_mesh = phonons.run_mesh(mesh, is_gamma_center=True)
    dos = phonons.run_total_dos(freq_pitch=DOS_STEP)
    branches, labels = _path(crystal, evidence.protocol.kpoints.band_spacing, evidence.protocol.symmetry)
    frequencies = np.concatenate(phonons.run_band_structure(branches).frequencies)
    qpoints = np.concatenate(branches)
    steps = [np.linalg.norm(np.diff(branch @ reciprocal, axis=0), axis=1) for branch in branches]
    distances = np.cumsum(np.concatenate([np.concatenate([[0.0], step]) for step in steps]))
    ends = np.cumsum([len(branch) for branch in branches])
    everywhere = np.concatenate([np.array(on_mesh.frequencies), frequencies])
    where = np.concatenate([np.array(on_mesh.qpoints), qpoints])
    lowest = int(everywhere.min(axis=1).argmin())
    values = {
        "mesh": tuple(mesh),
        "path_labels": labels,
        "path_indices": tuple(int(i) for end, branch in zip(ends, branches, strict=True) for i in (end - len(branch), end - 1)),
        "min_frequency": float(everywhere.min()),
        "min_frequency_qpoint": tuple(float(q) for q in where[lowest]),
        "max_frequency": float(everywhere.max()),
    }
    arrays = {
        "qpoints": qpoints,
        "distances": distances,
        "frequencies": frequencies,
        "dos_frequencies": np.array(dos.frequency_points),
        "dos_total": np.array(dos.dos),
    }
    return values, arrays


def _path(crystal: Crystal, spacing: float, symmetry: SymmetryRule) -> tuple[list[Array], tuple[str, ...]]:
    """Segments of the band path (Hinuma et al., 2017) as q points (n, 3), and the labels of both ends of each."""
    lattice = np.array(crystal.lattice)
    cell = (lattice, crystal.frac_coords, [Element(symbol).Z for symbol in crystal.species])
    found = seekpath.get_path_orig_cell(cell, symprec=symmetry.symprec, angle_tolerance=symmetry.angle_tolerance)
    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    branches, labels = [], []
    for start, end in found["path"]:
        first, last = (np.array(found["point_coords"][name]) for name in (start, end))
        n_steps = max(1, int(np.ceil(np.linalg.norm((last - first) @ reciprocal) / spacing)))
        branches.append(first + np.linspace(0, 1, n_steps + 1)[:, None] * (last - first))
        labels += [start, end]
    return branches, tuple(labels)
