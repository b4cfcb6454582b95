"""One self-consistent calculation with GPAW, told step by step."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Ha

from hibana.rehearsal.datasets import DatasetFile
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.listener import Listener, StopFile
from hibana.rehearsal.result import Floats, IonicStep, ScfStep
from hibana.rehearsal.settings import Settings

KBAR = 1602.1766208
"""kB in one eV/Å^3."""

GUARD_BANDS = 8
"""Bands iterated above NBANDS and not reported; without them the highest bands would be off by electronvolts."""

RESIDUAL = 1e-5
"""Largest residual of the bands that :func:`converged_bands` counts (eV^2 per electron); that of the occupied ones is then far
smaller."""

EMPTY_BANDS, EMPTY_SHARE = 4, 8
"""Of a relaxation so many empty bands converge as strictly, or as many as the filled ones divided by this."""

GROUND_STATE_STEPS = 100
"""NELM of the ground state under a hybrid, whose own NELM is 1."""


@dataclass(frozen=True)
class ScfOutcome:
    """The electronic steps of one geometry and whether they met EDIFF."""

    steps: tuple[ScfStep, ...]
    converged: bool


def make_atoms(inputs: RunInputs) -> Atoms:
    """The structure of POSCAR with the initial moments."""
    atoms = Atoms(inputs.symbols, cell=inputs.lattice, scaled_positions=inputs.frac_coords, pbc=True)
    if inputs.settings.nspin == 2:
        atoms.set_initial_magnetic_moments(initial_moments(inputs.settings))
    return atoms


def initial_moments(settings: Settings) -> Floats:
    """Moment of each atom to start from, μB; those of a fixed total add up to it, because GPAW keeps their sum."""
    moments = np.array(settings.magmom, dtype=float)
    return moments if settings.nupdown is None else moments + (settings.nupdown - moments.sum()) / len(moments)


def occupations(settings: Settings) -> dict[str, Any]:
    """GPAW's occupation function for ISMEAR, SIGMA and NUPDOWN."""
    if settings.ismear == -5:
        return {"name": "improved-tetrahedron-method"}
    if settings.ismear == -4:
        return {"name": "tetrahedron-method"}
    fixed = {} if settings.nupdown is None else {"fixmagmom": True}
    if settings.ismear == -1:
        return {"name": "fermi-dirac", "width": settings.sigma, **fixed}
    return {"name": "methfessel-paxton", "order": settings.ismear, "width": settings.sigma, **fixed}


def solved_bands(settings: Settings) -> int:
    """How many bands are iterated: NBANDS and some more, whose only use is that the highest reported ones converge."""
    return settings.nbands + min(GUARD_BANDS, max(4, settings.nbands // 2))


def converged_bands(settings: Settings) -> int:
    """How many bands have to meet :data:`RESIDUAL`.

    All of NBANDS in a static run. A relaxation is after forces: the highest of the empty bands of a large cell, where shells of
    degenerate bands are cut by NBANDS, would keep a density iterating that has converged long before. They go on converging from
    one ionic step to the next.
    """
    if not settings.relaxes:
        return settings.nbands
    filled = math.ceil((settings.nelect + max(sum(map(abs, settings.magmom)), settings.nupdown or 0.0)) / 2)
    return min(settings.nbands, filled + max(EMPTY_BANDS, filled // EMPTY_SHARE))


def gpaw_parameters(inputs: RunInputs, datasets: list[DatasetFile]) -> dict[str, Any]:
    """Arguments of ``gpaw.GPAW`` for a run.

    Parameters
    ----------
    inputs
        What the directory asks for.
    datasets
        One a block of POSCAR; their folder must be on GPAW's search path.
    """
    settings = inputs.settings
    mode: dict[str, Any] = {"name": "pw", "ecut": settings.encut}
    if settings.hybrid or settings.lepsilon or settings.loptics or len(inputs.kpoints.path):
        mode["force_complex_dtype"] = True
    parameters: dict[str, Any] = {
        "mode": mode,
        "xc": settings.functional,
        "setups": {d.recipe.symbol: d.recipe.name for d in datasets},
        "kpts": sampling(inputs),
        "nbands": solved_bands(settings),
        "occupations": occupations(settings),
        "charge": settings.charge,
        "symmetry": symmetry(inputs),
        "spinpol": settings.nspin == 2,
        "maxiter": GROUND_STATE_STEPS if settings.hybrid else settings.nelm,
        "convergence": {
            "energy": max(settings.ediff / settings.nelect, 1e-7),
            "density": 1e-4,
            "eigenstates": RESIDUAL,
            "bands": converged_bands(settings),
            "minimum iterations": 1 if settings.hybrid else min(settings.nelmin, settings.nelm),
        },
    }
    return parameters


def sampling(inputs: RunInputs) -> Any:
    """The k points for GPAW: a regular mesh where they form one, otherwise all of them one by one."""
    from hibana.rehearsal.sampling import RegularMesh

    grid = inputs.kpoints.grid
    return inputs.kpoints.full if grid is None else RegularMesh(grid)


def symmetry(inputs: RunInputs) -> dict[str, Any]:
    """GPAW's symmetry argument for ISYM, without the point group where the k points do not have it."""
    if inputs.settings.isym == -1:
        return {"point_group": False, "time_reversal": False}
    if inputs.settings.isym == 0 or not _sampling_is_symmetric(inputs):
        return {"point_group": False}
    return {"tolerance": inputs.settings.symprec}


def _sampling_is_symmetric(inputs: RunInputs) -> bool:
    from hibana.rehearsal.kpoints import unique

    full = inputs.kpoints.full
    images = np.einsum("sji,kj->ski", inputs.rotations, full).reshape(-1, 3)
    return len(unique(np.concatenate([full, images]))) == len(unique(full))


def converge(calculator: Any, atoms: Atoms, listener: Listener, stop: StopFile) -> ScfOutcome:
    """Run the SCF of one geometry to EDIFF or NELM.

    Parameters
    ----------
    calculator
        GPAW's calculator; it keeps density and wave functions from one geometry to the next.
    atoms
        The geometry.
    listener
        Hears of each step.
    stop
        LABORT in it ends the SCF.

    Raises
    ------
    RehearsalError
        HIB-193 if GPAW cannot do it.
    """
    from gpaw import KohnShamConvergenceError

    steps: list[ScfStep] = []
    converged = True
    try:
        for context in calculator.iconverge(atoms):
            energy = float(context.energies.total_free * Ha)
            change = energy - steps[-1].energy if steps else energy
            steps.append(ScfStep(energy, change, float(context.dens.error)))
            listener.scf_step(len(steps), steps[-1])
            if stop.now:
                converged = False
                break
    except KohnShamConvergenceError:
        converged = False
    except (ValueError, RuntimeError, AssertionError, np.linalg.LinAlgError, ArithmeticError) as error:
        raise RehearsalError(193, f"{type(error).__name__}: {error}") from error
    if not converged:
        calculator.dft.calculate_energy()
        calculator.dft.magmoms()
    return ScfOutcome(tuple(steps), converged)


def fresh_view(calculator: Any) -> Any:
    """A calculator of the same calculation for GPAW's response code.

    A calculator keeps the states it first hands to that code, however much its calculation moves on; and one that shares
    another's log closes it when it is dropped.
    """
    from gpaw.new.ase_interface import ASECalculator
    from gpaw.new.logger import Logger

    dft = calculator.dft
    return ASECalculator(params=dft.params, log=Logger(None, None), dft=dft, atoms=dft.atoms)


def evaluate(
    calculator: Any, atoms: Atoms, settings: Settings, listener: Listener, stop: StopFile, *, with_stress: bool
) -> tuple[IonicStep, bool]:
    """Energy, forces and, where asked for, stress of one geometry.

    Returns
    -------
    step
        The ionic step.
    converged
        Whether its SCF met EDIFF.
    """
    start = time.perf_counter()
    outcome = converge(calculator, atoms, listener, stop)
    forces = np.array(calculator.dft.calculate_forces())
    stress = stress_of(calculator) if with_stress else None
    results = calculator.dft.results
    free, sigma0 = float(results["free_energy"] * Ha), float(results["energy"] * Ha)
    step = IonicStep(
        lattice=np.array(atoms.cell),
        frac_coords=atoms.get_scaled_positions(),
        free_energy=free,
        energy_wo_entropy=free + minus_entropy_term(settings, free, sigma0),
        energy_sigma0=sigma0,
        forces=forces,
        stress=stress,
        scf=outcome.steps,
        magnetization=float(results["magmom"]) if settings.nspin == 2 else None,
        seconds=time.perf_counter() - start,
    )
    return step, outcome.converged


def stress_of(calculator: Any) -> Floats:
    """Stress of the geometry calculated last, (3, 3), kB, with VASP's sign."""
    calculator.dft.calculate_stress()
    return -full_stress(calculator.dft.results["stress"] * Ha / Bohr**3) * KBAR


def minus_entropy_term(settings: Settings, free: float, sigma0: float) -> float:
    """The energy without entropy less the free energy.

    For Fermi and Gaussian smearing ``E(0) = (F + E) / 2``; for Methfessel-Paxton of order n, ``E(0)`` is
    ``F + TS / (n + 2)`` with the same n, and tetrahedra have no entropy.
    """
    if settings.ismear <= -4:
        return 0.0
    order = max(settings.ismear, 0)
    return (order + 2) * (sigma0 - free)


def full_stress(voigt: Floats) -> Floats:
    """Stress (3, 3) from xx, yy, zz, yz, xz, xy."""
    xx, yy, zz, yz, xz, xy = voigt
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def search_path(datasets: list[DatasetFile]) -> None:
    """Put the folders of the data sets on GPAW's search path."""
    import gpaw

    for folder in {str(Path(d.path).parent) for d in datasets}:
        if folder not in gpaw.setup_paths:
            gpaw.setup_paths.insert(0, folder)
