"""Centre of the valence p states of an anion below the valence-band maximum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRESENT = 0.01
"""States are present where s and p density exceed this part of the largest p density."""

SPLIT = 0.5
"""Manifolds are parted where no states are present over this range, eV; a coarse mesh leaves smaller holes in one band."""

SHARE = 0.1
"""A manifold below the main one counts if it holds this part of the main one's p states; semicore states of cations hold
less."""


def p_centre_below(energies: Array, site_dos: Array, vbm: float) -> float:
    """Distance of the centroid of a site's valence p states below the VBM.

    The density of states below the VBM falls into manifolds. The main one holds most of the site's p states. The window of
    the centroid goes from the VBM down to the bottom of the main manifold, and takes in lower manifolds in which the site has
    more p than s states and at least a tenth of the main one's p states, for instance the bonding states of a silicate. The
    anion's own s states and the cations' semicore states are left out.

    How the published centres were taken is not known. The 1.80 eV of MgO is met within 0.01 eV, but its one isolated manifold
    does not put the rules about lower manifolds to the test.

    Parameters
    ----------
    energies
        (ne,), eV, evenly spaced, on the scale of ``vbm``.
    site_dos
        (nspin, 4, ne) s p d f density of states of the site; spins are added.
    vbm
        Valence-band maximum, eV.

    Returns
    -------
    float
        Positive distance, eV.

    Raises
    ------
    ValueError
        If the site has no p states there, or the energies begin above the bottom of the window.
    """
    below = energies <= vbm
    grid = energies[below]
    s, p = np.asarray(site_dos, dtype=float)[:, :2].sum(axis=0)[:, below]
    if p.size == 0 or p.max() <= 0:
        raise ValueError("the site has no p states below the valence-band maximum")
    manifolds = _manifolds(s + p > PRESENT * p.max(), SPLIT / (grid[1] - grid[0]) if len(grid) > 1 else 1.0)
    held = np.array([p[part].sum() for part in manifolds])
    own = np.array([p[part].sum() > s[part].sum() for part in manifolds])
    if not own.any():
        raise ValueError("the site has more s than p states in every valence band")
    main = int(np.argmax(np.where(own, held, -np.inf)))
    window = np.zeros(len(grid), dtype=bool)
    window[manifolds[main].start :] = True
    for index in range(main):
        if own[index] and held[index] >= SHARE * held[main]:
            window[manifolds[index]] = True
    if window[0]:
        raise ValueError("the density of states begins inside the p manifold")
    return float(vbm - (p[window] @ grid[window]) / p[window].sum())


def _manifolds(present: NDArray[np.bool_], split: float) -> list[slice]:
    """Ranges of grid points where states are present, ascending; those parted by fewer points than ``split`` are one."""
    points = np.flatnonzero(present)
    breaks = np.flatnonzero(np.diff(points) > split)
    starts = points[np.concatenate([[0], breaks + 1])]
    ends = points[np.concatenate([breaks, [len(points) - 1]])]
    return [slice(int(start), int(end) + 1) for start, end in zip(starts, ends, strict=True)]
