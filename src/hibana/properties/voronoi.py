"""Voronoi cells of sites: the share of the full solid angle under which a site sees each of its neighbours."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from hibana.documents.crystal import Crystal

Array = NDArray[np.float64]

FIRST_RADIUS = 2.5
"""Radius of the first try in units of the cubic root of the volume per atom."""

GROWTH = 1.4
"""By how much the radius grows where it did not hold the whole Voronoi cell."""

MARGIN = 1e-6
"""Å; an image at less than this from the site is the site itself."""


def voronoi_weights(crystal: Crystal, site: int) -> Array:
    """Shares of the full solid angle of a site that its Voronoi faces towards each site of the cell take.

    The Voronoi cell is that of the undistorted crystal without any cut of small faces, and the weight of a face is the solid
    angle it subtends at the site, divided by 4π (M. O'Keeffe, Acta Cryst. A 35, 772 (1979)). All periodic images of one site
    of the cell, those of the site itself included, are added up.

    Parameters
    ----------
    crystal
        Any cell; it may be skewed, and small cells are no special case.
    site
        Index of the site.

    Returns
    -------
    NDArray
        (n_sites,), weights that sum to 1.

    Raises
    ------
    IndexError
        If there is no such site.
    ValueError
        If two sites are at one place, or the lattice has no volume.
    """
    n_sites = len(crystal.species)
    if not 0 <= site < n_sites:
        raise IndexError(f"there is no site {site} among {n_sites}")
    lattice = np.array(crystal.lattice)
    volume = abs(np.linalg.det(lattice))
    if volume < MARGIN:
        raise ValueError("the lattice has no volume")
    fractions = np.array(crystal.frac_coords)
    offsets = fractions - fractions[site]
    reduced = _reduced(lattice)
    offsets = offsets @ lattice @ np.linalg.inv(reduced)
    radius = FIRST_RADIUS * (volume / n_sites) ** (1 / 3)
    while True:
        vectors, owners = _neighbours(reduced, offsets, radius, site)
        angles = _face_angles(vectors, radius)
        if angles is not None:
            weights = np.bincount(owners, weights=angles, minlength=n_sites)
            shares: Array = weights / weights.sum()
            return shares
        radius *= GROWTH


def _reduced(lattice: Array) -> Array:
    """Vectors of the lattice that are short, so that few images have to be looked at; the lattice itself if none are found."""
    import spglib

    found = spglib.delaunay_reduce(lattice)
    return lattice if found is None else np.asarray(found)


def _neighbours(lattice: Array, offsets: Array, radius: float, site: int) -> tuple[Array, NDArray[np.intp]]:
    """Vectors (n, 3) from the site to all others within a radius, Å, and the index of each one's site in the cell."""
    offsets = offsets - np.rint(offsets)
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(lattice), axis=0) + 0.5).astype(int)
    images = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))), dtype=float)
    vectors = (offsets[:, None] + images[None]) @ lattice
    distances = np.linalg.norm(vectors, axis=-1)
    owners, _ = np.nonzero(distances <= radius)
    vectors, distances = vectors[distances <= radius], distances[distances <= radius]
    away = distances > MARGIN
    if np.any(~away & (owners != site)):
        raise ValueError(f"another site is at the place of site {site}")
    return vectors[away], owners[away]


def _face_angles(vectors: Array, radius: float) -> Array | None:
    """Solid angle (n,) of the Voronoi face towards each neighbour; None if a site beyond the radius might cut the cell.

    A site at distance d takes no part of the cell that is nearer to the centre than d/2, so the cell is complete when its
    farthest vertex is within half the radius.
    """
    from scipy.spatial import QhullError, Voronoi

    if len(vectors) < 4:
        return None
    try:
        diagram = Voronoi(np.vstack([np.zeros(3), vectors]))
    except QhullError:
        return None
    angles = np.zeros(len(vectors))
    for pair, vertices in zip(diagram.ridge_points, diagram.ridge_vertices, strict=True):
        if 0 not in pair:
            continue
        if -1 in vertices:
            return None
        corners = diagram.vertices[vertices]
        if np.linalg.norm(corners, axis=1).max() > radius / 2:
            return None
        angles[max(pair) - 1] = polygon_angle(corners)
    return angles


def polygon_angle(corners: Array) -> float:
    """Solid angle of a convex polygon (n, 3) seen from the origin, its corners in order around it.

    The polygon is cut into triangles, each by A. van Oosterom and J. Strackee, IEEE Trans. Biomed. Eng. 30, 125 (1983).
    """
    lengths = np.linalg.norm(corners, axis=1)
    first, second, third = corners[0], corners[1:-1], corners[2:]
    a, b, c = lengths[0], lengths[1:-1], lengths[2:]
    triple = np.abs(np.cross(second, third) @ first)
    rest = a * b * c + c * (second @ first) + b * (third @ first) + a * np.einsum("ij,ij->i", second, third)
    return float(2 * np.arctan2(triple, rest).sum())
