"""Phonon dispersion, density of states and dynamical stability from forces in displaced supercells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import seekpath
from numpy.typing import NDArray
from phonopy import Phonopy
from pymatgen.core import Element

from hibana.core.errors import HibanaError
from hibana.documents.arrays import pack
from hibana.documents.crystal import Crystal
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.task import TaskDoc
from hibana.properties.consistency import run_flags
from hibana.properties.displacements import SAME_LATTICE
from hibana.properties.evidence import Built, Evidence
from hibana.properties.force_constants import SAME_SITE, ForcesError, fewer_than_wanted, force_constants
from hibana.properties.invariants import acoustic_findings, stability_findings
from hibana.properties.tensors import conventional_frame

if TYPE_CHECKING:
    from hibana.protocol.protocol import SymmetryRule

Array = NDArray[np.float64]

STEP = "phonon_force"
"""The runs are ``phonon_force-001``, ``phonon_force-002``, ..."""

NAC_FACTOR = 14.399652
"""e²/(4π ε0) in eV Å with phonopy's digits."""

DOS_STEP = 0.05
"""THz. Step of the density of states."""


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
    flags += fewer_than_wanted(phonons, crystal, evidence.protocol.symmetry.symprec)
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
