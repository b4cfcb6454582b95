"""Electron densities and the electrostatic potential on the fine grid, as CHGCAR, AECCAR0, AECCAR2 and LOCPOT have them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hibana.rehearsal.result import ChargeDensity, Floats

CORE_TAIL = 1e-9
"""Core density (1/Bohr^3) below which it is left out."""


def charge_density(calculator: Any, *, all_electron: bool) -> tuple[ChargeDensity, dict[str, float]]:
    """Densities of a converged GPAW calculation.

    The valence density for CHGCAR is the pseudo density of the valence electrons with their compensation charges, without
    the pseudo core. The core's density is that of the data sets; the all-electron valence density is the whole one without
    it. Near a nucleus a density is sharper than the grid: as GPAW does for the whole density, what the sampled points lack
    of the core's exact integral is put on the point next to the nucleus, and so is what the valence lacks.

    Parameters
    ----------
    calculator
        The calculation.
    all_electron
        Whether core and all-electron densities are wanted.

    Returns
    -------
    densities
        Times the volume of the cell, electrons.
    integrals
        Electrons in each density, and in the sampled core and all-electron valence densities before anything was put on
        the points at the nuclei.
    """
    valence = _valence(calculator.dft)
    volume = calculator.atoms.get_volume()
    integrals = {"valence": float(valence[0].mean())}
    if not all_electron:
        return ChargeDensity(valence), integrals
    densities = calculator.dft.densities()
    whole = densities.all_electron_densities(grid_refinement=_refinement(calculator.dft))
    sampled = densities.all_electron_densities(grid_refinement=_refinement(calculator.dft), skip_core=True)
    core, raw_core = _core(calculator.dft)
    all_electron_valence = whole.data.sum(axis=0) * volume - core
    integrals |= {
        "core": float(core.mean()),
        "core_sampled": raw_core,
        "all_electron_valence": float(all_electron_valence.mean()),
        "all_electron_valence_sampled": float(np.sum(sampled.integrate())),
    }
    return ChargeDensity(valence, all_electron_valence, core), integrals


def electrostatic_potential(calculator: Any) -> Floats:
    """Electrostatic potential energy of an electron on the fine grid (nx, ny, nz), eV, zero on average.

    It is that of nuclei and valence electrons with GPAW's compensation charges in place of what is inside the atoms.
    """
    return np.array(calculator.get_electrostatic_potential())


def _refinement(dft: Any) -> int:
    """How many points of the fine grid there are along a vector for one of the coarse grid."""
    return int(dft.pot_calc.fine_grid.size[0] // dft.density.nt_sR.desc.size[0])


def _valence(dft: Any) -> Floats:
    """Total density, and for two spins their difference (nspin, nx, ny, nz), times the volume, electrons."""
    from gpaw.core.atom_arrays import AtomArraysLayout

    density, setups = dft.density, dft.setups
    smooth = density.nt_sR.copy()
    smooth.data -= density.nct_R.data
    fine = smooth.interpolate(grid=dft.pot_calc.fine_grid)
    nspin = len(fine.data)
    charges = AtomArraysLayout([(nspin, setup.Delta_iiL.shape[2]) for setup in setups]).empty()
    for atom, of_atom in density.D_asii.items():
        charges[atom] = np.einsum("sij,ijL->sL", of_atom.real, setups[atom].Delta_iiL)
    setups.create_compensation_charges(fine.desc, dft.relpos_ac).add_to(fine, charges)
    by_spin = fine.data * fine.desc.volume
    if nspin == 1:
        return np.array(by_spin)
    return np.stack([by_spin[0] + by_spin[1], by_spin[0] - by_spin[1]])


def _core(dft: Any) -> tuple[Floats, float]:
    """Density of the cores times the volume (nx, ny, nz), electrons, exact in its integral, and the integral as sampled."""
    grid = dft.pot_calc.fine_grid
    setups = dft.setups
    shapes = {id(setup): _core_shape(setup) for setup in setups}
    total = np.zeros(tuple(grid.size))
    raw = 0.0
    for setup, place in zip(setups, dft.relpos_ac, strict=True):
        sampled = grid.empty()
        sampled.data[:] = 0.0
        if setup.Nc:
            grid.atom_centered_functions([[shapes[id(setup)]]], place[None]).add_to(sampled)
        electrons = float(sampled.integrate())
        nearest = tuple(np.rint(grid.size * place).astype(int) % grid.size)
        sampled.data[nearest] += (setup.Nc - electrons) / grid.dv
        total += sampled.data
        raw += electrons
    return total * grid.volume, raw


def _core_shape(setup: Any) -> Any:
    """Radial part of a data set's core density, to be multiplied by the harmonic of l = 0."""
    data = setup.data
    r = data.rgd.r_g
    beyond = np.flatnonzero(np.asarray(data.nc_g) / math.sqrt(4 * math.pi) > CORE_TAIL)
    reach = float(r[beyond[-1]]) if len(beyond) else float(r[1])
    return data.rgd.spline(np.array(data.nc_g), reach, points=1000)
