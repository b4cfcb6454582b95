"""Eigenvalues, occupations and characters on the k points that KPOINTS asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import Ha

from hibana.rehearsal.dos import smearing
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.kpoints import locate
from hibana.rehearsal.listener import Listener
from hibana.rehearsal.projections import Complex, SphereMatrices, SymmetryOperations, at_images, join, sphere_matrices
from hibana.rehearsal.result import Bands, Floats
from hibana.rehearsal.settings import Settings

INTEGRAL = 1e-4
"""How far an occupation may be from 0 or 1 in an insulator."""

LONGEST = 200
"""Iterations after which states in a fixed potential are given up."""

GUARD_BANDS = 12
"""Bands iterated above NBANDS in a fixed potential; more of them save iterations."""

RESIDUAL = 1e-3
"""Largest residual of the bands in a fixed potential (eV^2 per electron): the highest is then right to about 0.1 meV."""

CHUNK = 32
"""Path points that are solved together."""


@dataclass(frozen=True)
class MeshStates:
    """States at GPAW's irreducible points.

    ``eigenvalues`` (nspin, nk, nbands), eV; ``occupations`` 0-1; ``weights`` (nk,); ``matrices`` of the spheres or None.
    """

    kpoints: Floats
    weights: Floats
    eigenvalues: Floats
    occupations: Floats
    matrices: SphereMatrices | None


def mesh_states(calculator: Any, nbands: int, *, projected: bool, rotations: Complex | None = None) -> MeshStates:
    """The lowest states of a converged GPAW calculation at its irreducible k points.

    ``rotations`` (nspin, nk, nbands, n) makes the matrices those of other states, of which it has the coefficients.
    """
    ibz = calculator.dft.ibzwfs.ibz
    return MeshStates(
        kpoints=np.array(ibz.kpt_kc),
        weights=np.array(ibz.weight_k),
        eigenvalues=np.array(calculator.eigenvalues())[:, :, :nbands],
        occupations=np.array(calculator.occupations())[:, :, :nbands],
        matrices=sphere_matrices(calculator, nbands, rotations) if projected else None,
    )


def path_calculators(calculator: Any, path: Floats, settings: Settings, listener: Listener) -> list[Any]:
    """Solve the bands at path points in the converged potential.

    Parameters
    ----------
    calculator
        The converged calculation.
    path
        Different k points (n, 3).
    settings
        NBANDS and NELM.
    listener
        Is told how far it is.

    Returns
    -------
    list
        Non-self-consistent calculators, one for each part of the path.
    """
    parts = []
    for start in range(0, len(path), CHUNK):
        points = path[start : start + CHUNK]
        fixed = fixed_density(
            calculator,
            settings,
            kpts=points,
            symmetry={"point_group": False, "time_reversal": False},
            occupations={"name": "fermi-dirac", "width": 0.05},
        )
        parts.append(fixed)
        listener.note(f" bands at path points {start + 1:5d} to {start + len(points):5d} of {len(path):5d}")
    return parts


def fixed_density(calculator: Any, settings: Settings, **arguments: Any) -> Any:
    """Solve the states at other k points in the potential of a converged calculation.

    Parameters
    ----------
    calculator
        The converged calculation.
    settings
        NBANDS and NELM.
    arguments
        Further arguments of GPAW's ``fixed_density``.

    Raises
    ------
    RehearsalError
        HIB-193 if the bands do not converge.
    """
    from gpaw import KohnShamConvergenceError

    try:
        return calculator.fixed_density(
            nbands=settings.nbands + GUARD_BANDS,
            convergence={"eigenstates": RESIDUAL, "bands": settings.nbands},
            maxiter=LONGEST,
            txt=None,
            **arguments,
        )
    except (KohnShamConvergenceError, ValueError, AssertionError) as error:
        raise RehearsalError(193, f"bands in a fixed potential: {type(error).__name__}: {error}") from error


def filled_bands(occupations: Floats) -> list[int] | None:
    """Number of filled bands of each spin (nspin, nk, nbands); None unless it is the same at all k points (no metal)."""
    full = occupations > 1 - INTEGRAL
    if not np.all(full | (occupations < INTEGRAL)):
        return None
    counts = full.sum(axis=2)
    return None if (counts != counts[:, :1]).any() else [int(n) for n in counts[:, 0]]


def level_in_gap(eigenvalues: Floats, filled: list[int]) -> float | None:
    """The middle of the gap (eV) of bands (nspin, nk, nbands) with given numbers of filled ones, or None without a gap."""
    top = max((e[:, n - 1].max() for e, n in zip(eigenvalues, filled, strict=True) if n > 0), default=None)
    bottom = min((e[:, n].min() for e, n in zip(eigenvalues, filled, strict=True) if n < e.shape[1]), default=None)
    if top is None or bottom is None or bottom <= top:
        return None
    return float((top + bottom) / 2)


def fermi_energy(calculator: Any, mesh: MeshStates, path: Floats | None) -> float:
    """The Fermi level, eV.

    For an insulator it is the middle of the gap over all points, those of zero weight included: band edges often lie on
    the path and off the mesh. Otherwise it is GPAW's.
    """
    level = float(calculator.dft.ibzwfs.fermi_levels[0] * Ha)
    filled = filled_bands(mesh.occupations)
    if filled is None:
        return level
    together = mesh.eigenvalues
    if path is not None:
        together = np.concatenate([together, path], axis=1)
    middle = level_in_gap(together, filled)
    return level if middle is None else middle


def occupation(settings: Settings, eigenvalues: Floats, efermi: float, filled: list[int] | None) -> Floats:
    """Occupations of states that did not take part in the SCF.

    Parameters
    ----------
    settings
        ISMEAR and SIGMA.
    eigenvalues
        (nspin, nk, nbands), eV.
    efermi
        Fermi level, eV.
    filled
        Number of filled bands of each spin of an insulator; if the Fermi level parts them from the empty ones here too,
        occupations are 0 and 1, otherwise the run's smearing gives them.
    """
    sharp = filled is not None and all(
        e[:, :n].max(initial=-np.inf) < efermi < e[:, n:].min(initial=np.inf) for e, n in zip(eigenvalues, filled, strict=True)
    )
    if sharp or settings.ismear <= -4:
        return np.asarray((eigenvalues < efermi).astype(float))
    return smearing(settings.ismear, (efermi - eigenvalues) / settings.sigma)[1]


def reported_bands(
    inputs: RunInputs,
    calculator: Any,
    mesh: MeshStates,
    path: tuple[Floats, SphereMatrices | None] | None,
    efermi: float,
) -> Bands:
    """Bands at the points that KPOINTS lists, or at the irreducible points of its mesh.

    Parameters
    ----------
    inputs
        K points and smearing.
    calculator
        The calculation, for its symmetry operations.
    mesh
        States at its irreducible points.
    path
        Eigenvalues (nspin, n_path, nbands) and characters at the points of zero weight, in KPOINTS' order.
    efermi
        Fermi level, eV.
    """
    plan = inputs.kpoints
    if plan.points is None or plan.weights is None:
        projections = None if mesh.matrices is None else mesh.matrices.diagonal()
        return Bands(mesh.kpoints, mesh.weights, mesh.eigenvalues, mesh.occupations, projections)
    weighted = plan.weights > 0
    operations = SymmetryOperations.of(calculator)
    reversal = inputs.settings.isym != -1
    images = locate(plan.points[weighted], mesh.kpoints, operations.rotations, time_reversal=reversal)
    index = [i for i, _, _ in images]
    eigenvalues, occupations = mesh.eigenvalues[:, index], mesh.occupations[:, index]
    matrices = None if mesh.matrices is None else at_images(mesh.matrices, operations, images)
    if path is not None:
        filled = filled_bands(mesh.occupations)
        eigenvalues = np.concatenate([eigenvalues, path[0]], axis=1)
        occupations = np.concatenate([occupations, occupation(inputs.settings, path[0], efermi, filled)], axis=1)
        if matrices is not None and path[1] is not None:
            matrices = join([matrices, path[1]])
    order = np.argsort(np.concatenate([np.flatnonzero(weighted), np.flatnonzero(~weighted)]))
    projections = None if matrices is None else matrices.diagonal()[:, order]
    return Bands(plan.points, plan.weights, eigenvalues[:, order], occupations[:, order], projections)
