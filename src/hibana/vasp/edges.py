"""Gap and band edges from eigenvalues and occupations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hibana.documents.task import BandEdges

Array = NDArray[np.float64]

HALF = 0.5
"""A state counts as filled above this occupation (1 is full)."""

INTEGRAL = 1e-4
"""Occupations are printed with four digits; within this they are 0 or 1."""

ELECTRON_TOLERANCE = 0.1
"""Filled states must hold the electrons of the cell within this, otherwise levels are partly filled."""

EDGE_BANDS = 16
"""Bands kept of either side of the gap: more than a defect has levels."""

DIRECT = 1e-3
"""A gap is direct if the smallest direct gap is not larger than it by more than this, eV."""


def band_edges(
    eigenvalues: Array | None,
    occupations: Array | None,
    kpoints: Array,
    *,
    nelect: float | None = None,
    electrons_per_state: int = 1,
    efermi: float | None = None,
) -> BandEdges:
    """Band edges over all k-points, those of zero weight included, and both spins.

    The number of filled bands is counted at each k-point. Where smearing leaves no state partly filled this is the gap
    between the highest occupied and the lowest empty state. Where it does, the smeared tail of the occupations says
    nothing of the edges, and the filled bands still do: they are as many at every k-point of a gapped crystal and hold
    all its electrons. Everything else is a metal.

    Parameters
    ----------
    eigenvalues, occupations
        (nspin, nk, nbands), eV and 0 to 1.
    kpoints
        (nk, 3), reciprocal-lattice units.
    nelect
        Number of valence electrons; None where unknown.
    electrons_per_state
        2 without spin, 1 with spin or spinors.
    efermi
        Fermi level as printed, eV.
    """
    if eigenvalues is None or occupations is None or not np.all(np.isfinite(eigenvalues) & np.isfinite(occupations)):
        return BandEdges(gap_class="unknown", efermi=efermi)
    known = {"efermi": efermi, "occupation_deviation": float(np.abs(occupations - np.round(occupations)).max())}
    filled = occupations > HALF
    count = filled.sum(axis=-1)
    if np.any(count != count[:, :1]) or not _holds_all(count[:, 0], nelect, electrons_per_state):
        return BandEdges(gap_class="metal", band_gap=0.0, **known)
    top = np.where(filled, eigenvalues, -np.inf).max(axis=(0, 2))
    bottom = np.where(filled, np.inf, eigenvalues).min(axis=(0, 2))
    if not (np.all(np.isfinite(top)) and np.all(np.isfinite(bottom))):
        return BandEdges(gap_class="unknown", **known)
    if bottom.min() <= top.max():
        return BandEdges(gap_class="metal", band_gap=0.0, **known)
    return _gapped(top, bottom, kpoints, known)


def edge_bands(occupations: Array | None) -> NDArray[np.intp] | None:
    """The :data:`EDGE_BANDS` bands below and above the gap at every k-point, (m,) ascending; None without occupations.

    Parameters
    ----------
    occupations
        (nspin, nk, nbands), 0 to 1.
    """
    if occupations is None or not occupations.size:
        return None
    filled = (occupations > HALF).sum(axis=-1)
    first, end = max(int(filled.min()) - EDGE_BANDS, 0), min(int(filled.max()) + EDGE_BANDS, occupations.shape[-1])
    return np.arange(first, end)


def _holds_all(count: NDArray[np.intp], nelect: float | None, electrons_per_state: int) -> bool:
    return nelect is None or abs(count.sum() * electrons_per_state - nelect) <= ELECTRON_TOLERANCE


def _gapped(top: Array, bottom: Array, kpoints: Array, known: dict[str, float | None]) -> BandEdges:
    direct = bottom - top
    gap = float(bottom.min() - top.max())
    at_vbm, at_cbm, at_direct = int(top.argmax()), int(bottom.argmin()), int(direct.argmin())
    is_direct = bool(direct[at_direct] - gap <= DIRECT)
    if is_direct:
        at_vbm = at_cbm = at_direct
    return BandEdges(
        gap_class="gapped",
        band_gap=round(gap, 6),
        vbm=float(top.max()),
        cbm=float(bottom.min()),
        is_direct=is_direct,
        vbm_kpoint=_vector(kpoints, at_vbm),
        cbm_kpoint=_vector(kpoints, at_cbm),
        direct_gap=round(float(direct[at_direct]), 6),
        **known,
    )


def _vector(kpoints: Array, index: int) -> tuple[float, float, float] | None:
    if index >= len(kpoints):
        return None
    x, y, z = kpoints[index]
    return float(x), float(y), float(z)
