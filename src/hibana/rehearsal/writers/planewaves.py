"""Size of the plane-wave basis."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.result import Floats

_HALF_HBAR2_OVER_M = 3.809982
"""hbar^2 / 2 m of the electron, eV Å2 (CODATA 2018, seven digits)."""


def plane_wave_counts(lattice: Floats, kpoints: Floats, cutoff: float) -> NDArray[np.int_]:
    """Number of plane waves below the cutoff at every k-point.

    Parameters
    ----------
    lattice
        Rows are vectors (3, 3), Å.
    kpoints
        (nk, 3), reciprocal-lattice units.
    cutoff
        Kinetic energy, eV.

    Returns
    -------
    (nk,)
        How many reciprocal-lattice vectors G have a kinetic energy of k + G below the cutoff.
    """
    reciprocal = 2 * math.pi * np.linalg.inv(lattice).T
    radius = math.sqrt(cutoff / _HALF_HBAR2_OVER_M)
    reach = np.floor(radius * np.linalg.norm(lattice, axis=1) / (2 * math.pi)).astype(int) + 1
    axes = [np.arange(-n, n + 1) for n in reach]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    counts = []
    for point in kpoints:
        vectors = (grid + (point - np.rint(point))) @ reciprocal
        counts.append(int(np.count_nonzero(np.einsum("gx,gx->g", vectors, vectors) < radius**2)))
    return np.array(counts)
