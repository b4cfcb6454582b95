"""LEPSILON and IBRION = 5 to 8: dielectric tensors, Born charges, force constants and vibrations at Gamma.

GPAW has neither density-functional perturbation theory nor fields in crystals. The electrons' tensor is a sum over states;
derivatives with respect to the ions are differences of displaced crystals, whose forces give the force constants and whose
Berry phases give the Born charges.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from hibana.rehearsal.bands import MeshStates, filled_bands, level_in_gap
from hibana.rehearsal.datasets import DatasetFile
from hibana.rehearsal.displacements import Line, Move, born_charges, force_constants, plan
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.kdotp import Head, dielectric_head
from hibana.rehearsal.kpoints import Grid
from hibana.rehearsal.listener import Listener, StopFile
from hibana.rehearsal.local_fields import BROADENING, RESPONSE_CUTOFF, LocalFields, local_field_tensors
from hibana.rehearsal.manybands import SHARP, with_many_bands
from hibana.rehearsal.modes import ionic_tensor, vibrations, without_translations
from hibana.rehearsal.polarisation import dipole_change, string_phases
from hibana.rehearsal.result import Floats, Response, ScfStep
from hibana.rehearsal.scf import converge, gpaw_parameters, make_atoms
from hibana.rehearsal.settings import Settings
from hibana.rehearsal.spacegroup import SpaceGroup

BANDS_PER_FILLED = 8
"""How many times the filled bands enter the sum over states."""

FEWEST_BANDS = 64
"""At least so many bands enter the sum over states."""

MESH_ERROR = 0.05
"""Relative error of the electrons' tensor above which the run warns."""

UNSTABLE = -0.3
"""Frequency (THz) of a mode below which the run says that the ions' tensor has no meaning."""

DENSITY_ERROR, RESIDUAL = 1e-6, 1e-9
"""Convergence of displaced crystals: density (electrons per electron) and residual of the filled bands (eV^2 per electron)."""


@dataclass(frozen=True)
class ResponseRun:
    """A response with what the run has to say about it: notes for the user and how the numbers were made."""

    response: Response
    warnings: tuple[str, ...]
    account: dict[str, Any]


def insulator(mesh: MeshStates, task: str) -> list[int]:
    """Number of filled bands of each spin.

    Raises
    ------
    RehearsalError
        HIB-196 if there is no gap on the mesh.
    """
    filled = filled_bands(mesh.occupations)
    if filled is None or level_in_gap(mesh.eigenvalues, filled) is None:
        raise RehearsalError(196, f"{task} for a crystal without a gap on this mesh", where="INCAR")
    return filled


def static_response(
    inputs: RunInputs, files: list[DatasetFile], calculator: Any, mesh: MeshStates, listener: Listener, stop: StopFile
) -> ResponseRun:
    """What LEPSILON and IBRION ask for.

    Parameters
    ----------
    inputs
        What the directory asks for.
    files
        Data sets, one a block of POSCAR.
    calculator
        The ground state of the undisplaced crystal; its states are replaced by many more.
    mesh
        Its states as they were.
    listener
        Hears how far the run is.
    stop
        LABORT in it ends the run with an error.

    Raises
    ------
    RehearsalError
        HIB-196 without a gap, HIB-197 if a displaced crystal does not converge, HIB-193 if GPAW fails.
    """
    group = SpaceGroup.of(inputs)
    filled = insulator(mesh, "LEPSILON") if inputs.settings.lepsilon else None
    derivatives = None
    if inputs.settings.displaces_ions:
        derivatives = _Displaced(inputs, files, calculator, group, filled).derivatives(listener, stop)
    electrons = None
    if filled is not None:
        electrons = _electrons(inputs, calculator, group, filled, listener)
    return _assemble(inputs, electrons, derivatives)


@dataclass(frozen=True)
class _Electrons:
    """The electrons' tensors, averaged over the crystal's operations, and their cost."""

    head: Head
    plain: Floats
    refined: Floats
    fields: LocalFields
    bands: int
    seconds: float

    def tensor(self, with_fields: Floats) -> Floats:
        """The refined tensor with the local fields' part of the mesh's sums."""
        return self.refined + with_fields - self.fields.none


@dataclass(frozen=True)
class _Derivatives:
    """Derivatives with respect to the ions, and how they were come by."""

    force_constants: Floats
    born_charges: Floats | None
    length: float
    calculations: int
    seconds: float


def _electrons(inputs: RunInputs, calculator: Any, group: SpaceGroup, filled: list[int], listener: Listener) -> _Electrons:
    start = time.process_time()
    listener.note(" dielectric tensor of the electrons: sum over states")
    calculator, bands = with_many_bands(calculator, max(FEWEST_BANDS, BANDS_PER_FILLED * max(filled), inputs.settings.nbands))
    head = dielectric_head(calculator, regular_grid(inputs, "LEPSILON"), group.rotations, filled)
    try:
        fields = local_field_tensors(calculator, group, bands, exchange_correlation=not inputs.settings.lrpa)
    except (ValueError, AssertionError, NotImplementedError, np.linalg.LinAlgError) as error:
        raise RehearsalError(193, f"response function: {type(error).__name__}: {error}") from error
    plain, refined = group.average(head.plain), group.average(head.refined)
    return _Electrons(head, plain, refined, fields, bands, time.process_time() - start)


def regular_grid(inputs: RunInputs, task: str) -> Grid:
    """The mesh of KPOINTS.

    Raises
    ------
    RehearsalError
        HIB-195 if KPOINTS is no regular mesh or holds points of zero weight.
    """
    grid = inputs.kpoints.grid
    if grid is None or len(inputs.kpoints.path):
        raise RehearsalError(195, f"{task} with k points that are not one regular mesh", where="KPOINTS")
    return grid


class _Displaced:
    """Calculations of displaced crystals."""

    def __init__(
        self, inputs: RunInputs, files: list[DatasetFile], calculator: Any, group: SpaceGroup, filled: list[int] | None
    ) -> None:
        self.inputs, self.files, self.group, self.filled = inputs, files, group, filled
        self.length = inputs.settings.displacement
        self.forces = np.array(calculator.dft.calculate_forces())
        self.phases = self._phases(calculator)

    def derivatives(self, listener: Listener, stop: StopFile) -> _Derivatives:
        """Displace what symmetry asks for and fit."""
        start = time.process_time()
        moves: list[Move] = []
        forces: list[Floats] = []
        dipoles: list[Floats] = []
        lines = plan(self.group, self.inputs.lattice)
        for number, line in enumerate(lines):
            listener.note(
                f" displaced ion {line.atom + 1} ({self.inputs.symbols[line.atom]}), direction {number + 1} of {len(lines)}"
            )
            for move, calculator in self._calculations(line, listener, stop):
                moves.append(move)
                forces.append(np.array(calculator.dft.calculate_forces()) - self.forces)
                phases = self._phases(calculator)
                if self.phases is not None and phases is not None:
                    electrons = dipole_change(self.phases, phases, self.inputs.lattice)
                    dipoles.append(electrons + self._valence(move.atom) * move.vector)
        matrix = force_constants(self.group, moves, forces)
        charges = born_charges(self.group, moves, dipoles) if dipoles else None
        return _Derivatives(matrix, charges, self.length, len(moves), time.process_time() - start)

    def _calculations(self, line: Line, listener: Listener, stop: StopFile) -> Iterator[tuple[Move, Any]]:
        """Converged calculations of a line's one or two displacements; the second starts from the first."""
        from gpaw.new.ase_interface import GPAW

        parameters = gpaw_parameters(self.inputs, self.files)
        parameters["nbands"] = max(self.filled or [self.inputs.settings.nbands]) + 2
        parameters["convergence"] = {"energy": np.inf, "density": DENSITY_ERROR, "eigenstates": RESIDUAL, "bands": "occupied"}
        if self.filled is not None:  # whatever ISMEAR fills, in an insulator it is the same
            parameters["occupations"] = {"name": "fermi-dirac", "width": SHARP}
        if "tolerance" in parameters["symmetry"]:
            parameters["symmetry"] = {"tolerance": min(parameters["symmetry"]["tolerance"], self.length / 100)}
        calculator = GPAW(**parameters, txt=None)
        for sign in (1, -1) if line.both else (1,):
            move = Move(line.atom, sign * self.length * line.direction)
            atoms: Atoms = make_atoms(self.inputs)
            atoms.positions[move.atom] += move.vector
            if not converge(calculator, atoms, _Silent(listener), stop).converged:
                raise RehearsalError(197, f"ion {move.atom + 1} displaced by {np.round(move.vector, 4)} Å", where="INCAR")
            yield move, calculator

    def _phases(self, calculator: Any) -> list[list[Floats]] | None:
        if self.filled is None:
            return None
        return string_phases(calculator, regular_grid(self.inputs, "LEPSILON"), self.filled)

    def _valence(self, atom: int) -> float:
        return [s.zval for s in self.inputs.species for _ in range(s.count)][atom]


class _Silent:
    """Passes notes on and keeps the electronic steps of displaced crystals, which are none of this run's, to itself."""

    def __init__(self, listener: Listener) -> None:
        self.note = listener.note

    def scf_step(self, n: int, step: ScfStep) -> None:
        """Electronic step of a displaced crystal."""

    def ionic_step(self, n: int, step: Any) -> None:
        """There is none."""


def _assemble(inputs: RunInputs, electrons: _Electrons | None, derivatives: _Derivatives | None) -> ResponseRun:
    settings = inputs.settings
    epsilon = hartree = ionic = charges = matrix = frequencies = vectors = None
    warnings: list[str] = []
    account: dict[str, Any] = {}
    if electrons is not None:
        hartree = epsilon = electrons.tensor(electrons.fields.hartree)
        if electrons.fields.exchange_correlation is not None:
            epsilon = electrons.tensor(electrons.fields.exchange_correlation)
        warnings += _mesh_warnings(electrons)
        account["electrons"] = _account_of_electrons(electrons, settings)
    if derivatives is not None:
        matrix, charges = derivatives.force_constants, derivatives.born_charges
        frequencies, vectors = vibrations(matrix, np.array([s.mass for s in inputs.species for _ in range(s.count)]))
        account["ions"] = _account_of_ions(derivatives, matrix)
        if charges is not None:
            volume = abs(float(np.linalg.det(inputs.lattice)))
            ionic = ionic_tensor(without_translations(matrix), charges, volume)
            account["ions"]["born_charge_sum_e"] = (np.round(charges.sum(axis=0), 5) + 0.0).tolist()
            soft = frequencies[frequencies < UNSTABLE]
            if len(soft):
                warnings.append(f"{len(soft)} modes at Gamma are imaginary: the ions' dielectric tensor has no meaning")
    elif settings.lepsilon:
        warnings.append("no Born charges and no ions' part of the dielectric tensor: they need IBRION = 5 to 8 and NSW = 1")
    response = Response(epsilon, hartree, charges, ionic, matrix, frequencies, vectors)
    return ResponseRun(response, tuple(warnings), account)


def _mesh_warnings(electrons: _Electrons) -> list[str]:
    """What there is to say about the mesh."""
    plain, refined = np.trace(electrons.plain) / 3, np.trace(electrons.refined) / 3
    warnings = []
    if abs(plain - refined) > MESH_ERROR * refined:
        warnings.append(
            f"the k mesh is too coarse for this gap: a plain sum over it gives a dielectric constant of {plain:.2f}, the sum "
            f"refined by k.p around each point {refined:.2f} (written); VASP needs a denser mesh"
        )
    if electrons.head.uncertainty > MESH_ERROR:
        change = 100 * electrons.head.uncertainty
        warnings.append(f"the dielectric constant still changed by {change:.0f} % in the last refinement: use a denser mesh")
    return warnings


def _account_of_electrons(electrons: _Electrons, settings: Settings) -> dict[str, Any]:
    kernel = "Hartree" if settings.lrpa else "Hartree and adiabatic local exchange-correlation (ALDA)"
    return {
        "method": "sum over states, independent particles, refined by k.p around each point of the mesh; local fields from "
        "GPAW's response function on the mesh itself",
        "kernel": kernel,
        "bands": electrons.bands,
        "response_cutoff_eV": RESPONSE_CUTOFF,
        "broadening_eV": BROADENING,
        "points_per_cell_edge": list(electrons.head.refinements),
        "independent_particles_plain_mesh": (np.round(electrons.plain, 5) + 0.0).tolist(),
        "independent_particles_refined": (np.round(electrons.refined, 5) + 0.0).tolist(),
        "relative_change_in_last_refinement": round(electrons.head.uncertainty, 5),
        "cpu_seconds": round(electrons.seconds, 1),
    }


def _account_of_ions(derivatives: _Derivatives, matrix: Floats) -> dict[str, Any]:
    n_atoms = len(matrix) // 3
    total = matrix.reshape(n_atoms, 3, n_atoms, 3).sum(axis=0).transpose(1, 0, 2)
    return {
        "method": "differences of displaced crystals; Born charges by the Berry phase; averaged over symmetry, no sum rule "
        "imposed on what is written, translations projected out for the ions' dielectric tensor",
        "displacement_A": derivatives.length,
        "displaced_calculations": derivatives.calculations,
        "largest_violation_of_translation_invariance_eV_per_A2": round(float(np.abs(total).max()), 5),
        "cpu_seconds": round(derivatives.seconds, 1),
    }
