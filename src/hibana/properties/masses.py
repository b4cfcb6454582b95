"""Effective masses of electrons and holes for conduction, from the bands on a mesh by BoltzTraP2."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hibana.documents.crystal import Crystal

Array = NDArray[np.float64]

TEMPERATURE = 300.0
"""K (vise's)."""

CONCENTRATION = 1e18
"""Carriers per cm^3 (vise's)."""

REACH = 2.0
"""Bands within this of the edges are interpolated, eV (vise's)."""

REFINEMENT = 10
"""Interpolation points in real space per irreducible k-point (pymatgen's and vise's)."""

BINS = 4000
"""Number of energies on which densities of states and velocities are collected."""


@dataclass(frozen=True)
class EffectiveMasses:
    """Conductivity effective-mass tensors (3, 3) in electron masses, in the Cartesian axes of the cell.

    The mass is n e² σ⁻¹ at constant relaxation time, σ the conductivity of n carriers: bands that carry current in parallel
    are averaged harmonically.
    """

    electron: Array
    hole: Array
    temperature: float
    concentration: float


def available() -> bool:
    """Whether BoltzTraP2 is installed."""
    return importlib.util.find_spec("BoltzTraP2") is not None


def effective_masses(
    crystal: Crystal,
    kpoints: Array,
    eigenvalues: Array,
    vbm: float,
    cbm: float,
    *,
    electrons_per_state: int,
    temperature: float = TEMPERATURE,
    concentration: float = CONCENTRATION,
    refinement: int = REFINEMENT,
) -> EffectiveMasses:
    """Conductivity effective masses of a semiconductor at a doping and temperature.

    The bands are interpolated by smoothed Fourier series and integrated over the zone, as vise's ``make_effective_mass`` does
    (G. K. H. Madsen, J. Carrete, M. J. Verstraete, Comput. Phys. Commun. 231, 140 (2018)).

    Parameters
    ----------
    crystal
        Cell of the run.
    kpoints
        (nk, 3) irreducible points of a mesh, reciprocal-lattice units; no band path.
    eigenvalues
        (nspin, nk, nbands), eV.
    vbm, cbm
        Band edges in the same run, eV.
    electrons_per_state
        2 without spin, 1 with spin or spinors.
    temperature
        K.
    concentration
        Carriers per cm^3, electrons and holes alike.
    refinement
        Interpolation points in real space per k-point.

    Raises
    ------
    ImportError
        If BoltzTraP2 is not installed.
    ValueError
        If there is no gap between the edges.
    """
    from BoltzTraP2 import bandlib, fite, sphere, units

    if not cbm > vbm:
        raise ValueError("effective masses need a gap")
    bands = _Bands(crystal, np.asarray(kpoints, dtype=float), _within_reach(eigenvalues, vbm, cbm) * units.eV)
    equivalences = sphere.get_equivalences(bands.atoms, None, len(kpoints) * refinement)
    coefficients = fite.fitde3D(bands, equivalences)
    energies, velocities = _interpolated(equivalences, coefficients, bands.get_lattvec())
    grid, dos, transport, _ = bandlib.BTPDOS(energies, velocities, npts=BINS)
    filled = electrons_per_state * float((bands.ebands.max(axis=1) < (vbm + cbm) / 2 * units.eV).sum())
    volume = abs(np.linalg.det(bands.get_lattvec()))
    carriers = concentration * volume / (units.Meter / 100) ** 3

    def mass(sign: int) -> Array:
        level = bandlib.solve_for_mu(
            grid, dos, filled + sign * carriers, temperature, electrons_per_state, refine=True, try_center=False
        )
        at = np.array([level]), np.array([temperature])
        _, *moments = bandlib.fermiintegrals(grid, dos, transport, *at, dosweight=electrons_per_state)
        conductivity = bandlib.calc_Onsager_coefficients(*moments[:3], *at, volume)[0][0, 0]
        tensor: Array = np.linalg.inv(conductivity) * concentration * 1e6 * units.qe_SI**2 / units.me_SI
        return tensor

    return EffectiveMasses(electron=mass(1), hole=mass(-1), temperature=temperature, concentration=concentration)


def _within_reach(eigenvalues: Array, vbm: float, cbm: float) -> Array:
    """Bands (n, nk) of both spins that come near the edges."""
    bands = np.moveaxis(np.asarray(eigenvalues, dtype=float), 1, -1).reshape(-1, eigenvalues.shape[1])
    near = (bands.max(axis=1) > vbm - REACH) & (bands.min(axis=1) < cbm + REACH)
    return bands[near]


def _interpolated(equivalences: list[NDArray[np.int64]], coefficients: Array, lattice: Array) -> tuple[Array, Array]:
    """Bands (n, n_points) on the fine mesh and the products of their velocities (n, 3, 3, n_points).

    One band after another in this process: BoltzTraP2's own loop starts children, which a worker may not have.
    """
    from BoltzTraP2 import fite

    points = np.vstack(equivalences)
    dims = 2 * np.abs(points).max(axis=0) + 1
    found = [fite.FFTev(equivalences, band, points @ lattice.T, dims) for band in coefficients]
    energies: Array = np.array([energy for energy, _ in found])
    velocities: Array = np.array([velocity for _, velocity in found])
    return energies, velocities[:, :, None] * velocities[:, None]


class _Bands:
    """Cell, k-points and bands under the names that BoltzTraP2 reads: lengths in Bohr, energies in Hartree."""

    mommat = None

    def __init__(self, crystal: Crystal, kpoints: Array, bands: Array) -> None:
        from ase import Atoms

        self.atoms = Atoms(crystal.species, scaled_positions=crystal.frac_coords, cell=crystal.lattice, pbc=True)
        self.kpoints = kpoints
        self.ebands = bands

    def get_lattvec(self) -> Array:
        """Lattice vectors as columns."""
        from BoltzTraP2 import units

        vectors: Array = np.array(self.atoms.cell).T * units.Angstrom
        return vectors
