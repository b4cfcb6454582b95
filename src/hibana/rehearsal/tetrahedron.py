"""Densities of states by the linear tetrahedron method.

The zone is cut into the tetrahedra of a regular mesh (six a cell, along the shortest diagonal). In each, band energies are
interpolated linearly and the integral is done analytically (Lehmann and Taut, phys. stat. sol. (b) 54, 469 (1972);
Bloechl, Jepsen and Andersen, Phys. Rev. B 49, 16223 (1994), appendix B). All weights are formed in one pass over the
energies of each tetrahedron.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.result import Floats


def tetrahedra(divisions: tuple[int, int, int], reciprocal: Floats) -> NDArray[np.int_]:
    """Corners of the tetrahedra of a regular periodic mesh.

    Parameters
    ----------
    divisions
        Mesh along the reciprocal vectors; points are numbered in C order.
    reciprocal
        Rows are the reciprocal-lattice vectors, in any unit.

    Returns
    -------
    (6 * n1 * n2 * n3, 4) integers
        Point numbers.
    """
    size = np.array(divisions)
    signs = min(
        itertools.product((1,), (1, -1), (1, -1)),
        key=lambda s: float(np.linalg.norm((np.array(s) / size) @ reciprocal)),
    )
    paths = []
    for order in itertools.permutations(range(3)):
        corner = np.zeros(3, dtype=int)
        corners = [corner.copy()]
        for axis in order:
            corner[axis] += signs[axis]
            corners.append(corner.copy())
        paths.append(corners)
    offsets = np.array(paths)  # (6, 4, 3)
    cells = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), axis=-1).reshape(-1, 1, 1, 3)
    corners = np.mod(cells + offsets, size)
    return np.asarray(np.ravel_multi_index(np.moveaxis(corners, -1, 0), divisions).reshape(-1, 4))


def different(irreducible: NDArray[np.int_], corners: NDArray[np.int_]) -> tuple[NDArray[np.int_], Floats]:
    """Tetrahedra that differ in their irreducible corners.

    Parameters
    ----------
    irreducible
        The irreducible point of each point of the mesh (nk,).
    corners
        From :func:`tetrahedra`.

    Returns
    -------
    corners, shares
        (n, 4) irreducible points of each kind once, and the share of the zone of each (n,).
    """
    kinds, counts = np.unique(np.sort(irreducible[corners], axis=1), axis=0, return_counts=True)
    return kinds, counts / len(corners)


def densities(
    energies: Floats, bands: Floats, weights: Floats, corners: NDArray[np.int_], shares: Floats | None = None
) -> tuple[Floats, Floats]:
    """Weighted densities of states and their integrals.

    Parameters
    ----------
    energies
        Where to evaluate (ne,), ascending and evenly spaced or not, eV.
    bands
        Band energies on the mesh (nk, nbands), eV.
    weights
        Property of each state (nk, nbands, nw); 1 for the total density.
    corners
        From :func:`tetrahedra`.
    shares
        Share of the zone of each tetrahedron (nt,); all alike if None.

    Returns
    -------
    density, integrated
        (nw, ne) each, 1/eV and states, per spin channel and cell.
    """
    density = np.zeros((weights.shape[2], len(energies)))
    integrated = np.zeros_like(density)
    volumes = np.full(len(corners), 1 / len(corners)) if shares is None else shares
    for band in range(bands.shape[1]):
        e = bands[:, band][corners]
        order = np.argsort(e, axis=1)
        e = np.take_along_axis(e, order, axis=1)
        w = np.take_along_axis(weights[:, band, :][corners], order[:, :, None], axis=1)
        _add_band(density, integrated, energies, e, w * volumes[:, None, None])
    return density, integrated


def _add_band(density: Floats, integrated: Floats, energies: Floats, e: Floats, w: Floats) -> None:
    """Add one band: ``e`` (nt, 4) sorted corner energies, ``w`` (nt, 4, nw) weights times tetrahedron volume."""
    first = np.searchsorted(energies, e[:, 0], side="left")
    last = np.searchsorted(energies, e[:, 3], side="left")
    counts = last - first
    tet = np.repeat(np.arange(len(e)), counts)
    starts = np.cumsum(counts) - counts
    where = np.arange(len(tet)) - np.repeat(starts, counts) + np.repeat(first, counts)
    if len(tet):
        state, corner = corner_weights(energies[where], e[tet])
        for target, factors in ((density, state), (integrated, corner)):
            values = np.einsum("pc,pcw->wp", factors, w[tet])
            for row, value in zip(target, values, strict=True):
                row += np.bincount(where, weights=value, minlength=len(energies))
    full = w.mean(axis=1)  # a tetrahedron below the energy counts as a whole
    for row, value in zip(integrated, full.T, strict=True):
        row += np.cumsum(np.bincount(last, weights=value, minlength=len(energies) + 1)[: len(energies)])


def corner_weights(energy: Floats, e: Floats) -> tuple[Floats, Floats]:
    """Weights of the four corners for the density of states and for its integral, in a tetrahedron of unit volume.

    Parameters
    ----------
    energy
        (n,), with ``e[:, 0] <= energy < e[:, 3]``.
    e
        Sorted corner energies (n, 4).

    Returns
    -------
    state, integral
        (n, 4) each.
    """
    e1, e2, e3, e4 = e.T
    state = np.zeros_like(e)
    integral = np.zeros_like(e)
    low = energy < e2
    high = energy >= e3
    middle = ~low & ~high

    def difference(a: Floats, b: Floats) -> Floats:
        return np.asarray(np.where(a - b == 0, 1.0, a - b))

    # below e2: the part below the energy is a small tetrahedron at corner 1
    f = [(energy - e1) / difference(x, e1) for x in (e2, e3, e4)]
    volume = f[0] * f[1] * f[2]
    slope = 3 * f[1] * f[2] / difference(e2, e1)
    part = np.stack([4 - f[0] - f[1] - f[2], f[0], f[1], f[2]], axis=1) / 4
    face = np.stack([3 - f[0] - f[1] - f[2], f[0], f[1], f[2]], axis=1) / 3
    integral[low] = (volume[:, None] * part)[low]
    state[low] = (slope[:, None] * face)[low]

    # above e3: all but a small tetrahedron at corner 4
    g = [(e4 - energy) / difference(e4, x) for x in (e1, e2, e3)]
    volume = g[0] * g[1] * g[2]
    slope = 3 * g[0] * g[1] / difference(e4, e3)
    part = np.stack([g[0], g[1], g[2], 4 - g[0] - g[1] - g[2]], axis=1) / 4
    face = np.stack([g[0], g[1], g[2], 3 - g[0] - g[1] - g[2]], axis=1) / 3
    integral[high] = (0.25 - volume[:, None] * part)[high]
    state[high] = (slope[:, None] * face)[high]

    # between: three tetrahedra that share corner 1; the cut is a quadrangle, taken as two triangles
    a13, a14 = (energy - e1) / difference(e3, e1), (energy - e1) / difference(e4, e1)
    a23, a24 = (energy - e2) / difference(e3, e2), (energy - e2) / difference(e4, e2)
    zero, one = np.zeros_like(energy), np.ones_like(energy)
    p1 = np.stack([one, zero, zero, zero], axis=1)
    p2 = np.stack([zero, one, zero, zero], axis=1)
    p13 = np.stack([1 - a13, zero, a13, zero], axis=1)
    p14 = np.stack([1 - a14, zero, zero, a14], axis=1)
    p23 = np.stack([zero, 1 - a23, a23, zero], axis=1)
    p24 = np.stack([zero, 1 - a24, zero, a24], axis=1)
    volumes = ((1 - a23) * a13 * a14, a14 * (1 - a24) * a23, a23 * a24)
    centres = (p1 + p13 + p14 + p23, p1 + p14 + p24 + p23, p1 + p2 + p23 + p24)
    total = sum(v[:, None] * c / 4 for v, c in zip(volumes, centres, strict=True))
    areas = (3 * (1 - a23) * a13 / difference(e4, e1), 3 * a23 * (1 - a24) / difference(e4, e1))
    faces = (p13 + p14 + p23, p14 + p24 + p23)
    slopes = sum(a[:, None] * c / 3 for a, c in zip(areas, faces, strict=True))
    integral[middle] = np.asarray(total)[middle]
    state[middle] = np.asarray(slopes)[middle]
    return state, integral
