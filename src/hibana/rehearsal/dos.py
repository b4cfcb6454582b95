"""Densities of states on VASP's energy grid: tetrahedra for ISMEAR = -5 and -4, otherwise the run's own smearing."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from hibana.rehearsal.kpoints import Grid
from hibana.rehearsal.result import Dos, Floats
from hibana.rehearsal.settings import Settings
from hibana.rehearsal.tetrahedron import densities, different, tetrahedra

MARGIN = 5.0
"""How far the default energy grid reaches beyond the lowest and highest band, in units of SIGMA, eV."""


def energy_grid(settings: Settings, bands: Floats) -> Floats:
    """The NEDOS energies (ne,) between EMIN and EMAX, or around all bands (nspin, nk, nbands) where these are absent."""
    margin = MARGIN * max(settings.sigma, 0.1)
    low = bands.min() - margin if settings.emin is None else settings.emin
    high = bands.max() + margin if settings.emax is None else settings.emax
    return np.linspace(low, max(high, low + 1e-3), settings.nedos)


def density_of_states(
    settings: Settings,
    bands: Floats,
    characters: Floats | None,
    weights: Floats,
    mesh: tuple[Grid, Floats, Floats] | None,
) -> Dos:
    """Total and, with characters, partial density of states.

    Parameters
    ----------
    settings
        ISMEAR, SIGMA, NEDOS, EMIN and EMAX.
    bands
        At the irreducible k points (nspin, nk, nbands), eV.
    characters
        Symmetrised charges by orbital (nspin, nk, nbands, n_atoms, 9), or None.
    weights
        Of the irreducible points (nk,).
    mesh
        The regular mesh, the index of each of its points' irreducible point, and the reciprocal-lattice vectors (rows);
        None where the points form none.
    """
    energies = energy_grid(settings, bands)
    nspin = len(bands)
    states = np.ones((*bands.shape, 1))
    if characters is not None:
        states = np.concatenate([states, characters.reshape(*bands.shape, -1)], axis=-1)
    if settings.ismear <= -4 and mesh is not None:
        grid, irreducible, reciprocal = mesh
        corners, shares = different(irreducible.astype(int), tetrahedra(grid.divisions, reciprocal))
        pairs = [densities(energies, bands[s], states[s], corners, shares) for s in range(nspin)]
    else:
        pairs = [_smeared(settings, energies, bands[s], states[s], weights) for s in range(nspin)]
    density = np.array([p[0] for p in pairs]) * (2 / nspin)
    integrated = np.array([p[1] for p in pairs]) * (2 / nspin)
    partial = None
    if characters is not None:
        partial = density[:, 1:].reshape(nspin, characters.shape[3], 9, -1).transpose(1, 0, 2, 3)
    return Dos(energies, density[:, 0], integrated[:, 0], partial)


def _smeared(settings: Settings, energies: Floats, bands: Floats, states: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Sum of smeared levels: Gaussians, Fermi functions' derivatives, or Methfessel-Paxton functions."""
    density = np.zeros((states.shape[2], len(energies)))
    integrated = np.zeros_like(density)
    for k, weight in enumerate(weights):
        x = (energies[None, :] - bands[k][:, None]) / settings.sigma
        delta, step = smearing(settings.ismear, x)
        density += weight * states[k].T @ delta / settings.sigma
        integrated += weight * states[k].T @ step
    return density, integrated


def smearing(ismear: int, x: Floats) -> tuple[Floats, Floats]:
    """The smeared delta function and its integral at ``x = (E - level) / SIGMA`` for ISMEAR = -1, 0, 1, 2.

    ISMEAR > 0 is Methfessel and Paxton, Phys. Rev. B 40, 3616 (1989), eqs. 10-11; tetrahedron settings on points that
    form no mesh fall back to Gaussians.
    """
    if ismear == -1:
        bounded = np.clip(x, -40, 40)
        step = 1 / (1 + np.exp(-bounded))
        return np.asarray(step * (1 - step)), np.asarray(step)
    gauss = np.exp(-(x**2)) / np.sqrt(np.pi)
    delta, step = gauss.copy(), 0.5 * (1 + erf(x))
    if ismear >= 1:
        delta -= 0.25 * (4 * x**2 - 2) * gauss
        step += 0.5 * x * gauss
    if ismear >= 2:
        delta += (16 * x**4 - 48 * x**2 + 12) * gauss / 32
        step -= (8 * x**3 - 12 * x) * gauss / 32
    return np.asarray(delta), np.asarray(step)
