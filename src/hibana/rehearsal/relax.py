"""Ionic steps: one static step, or a relaxation of ions (ISIF = 0-2) or ions and cell (ISIF = 3).

The cell is moved by ASE's ``FrechetCellFilter`` with BFGS and without any line search: the plane-wave basis is made anew
for every cell, so energies of different cells do not lie on one smooth curve, while forces and stress do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixScaled
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.listener import Listener, StopFile
from hibana.rehearsal.result import Floats, IonicStep
from hibana.rehearsal.scf import KBAR, evaluate, stress_of
from hibana.rehearsal.settings import Settings

CURVATURE = 30.0
"""Initial guess of the Hessian, eV/Å^2."""

LONGEST_STEP = 0.1
"""Largest displacement in one step, Å."""


@dataclass(frozen=True)
class Trajectory:
    """The ionic steps, and whether the last one's SCF met EDIFF and the relaxation EDIFFG."""

    steps: tuple[IonicStep, ...]
    electronic_converged: bool
    ionic_converged: bool


class _Evaluator(Calculator):  # type: ignore[misc]
    """Hands GPAW's forces and stress to ASE's optimizer and keeps each geometry's ionic step."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's attribute)

    def __init__(self, gpaw: Any, settings: Settings, listener: Listener, stop: StopFile) -> None:
        super().__init__()
        self.gpaw, self.settings, self.listener, self.stop = gpaw, settings, listener, stop
        self.steps: list[IonicStep] = []
        self.converged = True

    def calculate(self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        plain = self.atoms.copy()
        plain.set_constraint()
        with_stress = self.settings.relaxes_cell and self.settings.wants_stress
        step, self.converged = evaluate(self.gpaw, plain, self.settings, self.listener, self.stop, with_stress=with_stress)
        self.steps.append(step)
        self.listener.ionic_step(len(self.steps), step)
        self.results = {"energy": step.energy_sigma0, "free_energy": step.free_energy, "forces": step.forces}
        if step.stress is not None:
            self.results["stress"] = -step.stress.ravel()[[0, 4, 8, 5, 2, 1]] / KBAR


def run_ionic_steps(gpaw: Any, atoms: Atoms, inputs: RunInputs, listener: Listener, stop: StopFile) -> Trajectory:
    """Calculate the geometry of POSCAR and, for a relaxation, follow the forces to EDIFFG or NSW.

    In a fixed cell the stress, which takes as long as several steps of an SCF, is calculated of the last geometry alone.

    Parameters
    ----------
    gpaw
        GPAW's calculator.
    atoms
        The starting geometry; it is left at the last one calculated.
    inputs
        Settings and selective dynamics.
    listener
        Hears of every step.
    stop
        LSTOP in it ends the relaxation after the present step.
    """
    settings = inputs.settings
    evaluator = _Evaluator(gpaw, settings, listener, stop)
    atoms.calc = evaluator
    if inputs.movable is not None:
        atoms.set_constraint([FixScaled(i, ~free) for i, free in enumerate(inputs.movable) if not free.all()])
    atoms.get_forces(apply_constraint=False)
    met = evaluator.converged and is_relaxed(evaluator.steps, settings, inputs.movable)
    if settings.relaxes and not met and not stop.after_ionic_step:
        target = FrechetCellFilter(atoms) if settings.relaxes_cell else atoms
        optimizer = BFGS(target, alpha=CURVATURE, maxstep=LONGEST_STEP, logfile=None)
        for _ in optimizer.irun(fmax=1e-12, steps=settings.ionic_steps - 1):
            met = evaluator.converged and is_relaxed(evaluator.steps, settings, inputs.movable)
            if met or stop.after_ionic_step or not evaluator.converged:
                break
    steps = evaluator.steps
    if settings.wants_stress and steps[-1].stress is None:
        steps[-1] = replace(steps[-1], stress=stress_of(gpaw))
    return Trajectory(tuple(steps), evaluator.converged, met or not settings.relaxes)


def is_relaxed(steps: list[IonicStep], settings: Settings, movable: Any = None) -> bool:
    """Whether the last step meets EDIFFG.

    ``EDIFFG > 0`` is the largest change of the free energy from the step before (eV). ``EDIFFG < 0``: every force is below
    ``|EDIFFG|`` (eV/Å) and, when the cell moves, every component of the stress times the volume per atom is below
    ``|EDIFFG|`` too (eV).
    """
    last = steps[-1]
    if settings.ediffg > 0:
        return len(steps) > 1 and abs(last.free_energy - steps[-2].free_energy) < settings.ediffg
    limit = -settings.ediffg
    forces = np.zeros((1, 3)) if last.forces is None else _free_forces(last.forces, movable)
    if np.linalg.norm(forces, axis=1).max() >= limit:
        return False
    if not settings.relaxes_cell or last.stress is None:
        return True
    per_atom = abs(np.linalg.det(last.lattice)) / len(last.frac_coords)
    return bool(np.abs(last.stress).max() / KBAR * per_atom < limit)


def _free_forces(forces: Floats, movable: Any) -> Floats:
    """Forces on atoms that may move; an atom held in all directions does not count."""
    return forces if movable is None else forces[np.asarray(movable).any(axis=1)]
