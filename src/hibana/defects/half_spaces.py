"""Corners of a convex region within a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLAT = 1e-8
"""A region whose largest sphere is smaller than this is none."""

SAME = 1e-7
"""Corners nearer than this are one."""


def plane_vertices(normal: Array, offset: float, normals: Array, offsets: Array) -> Array | None:
    """Corners of the part of the plane ``normal · x = offset`` where ``normals · x ≤ offsets``.

    Parameters
    ----------
    normal
        (d,) of the plane, d ≥ 2.
    offset
        Of the plane.
    normals, offsets
        (n, d) and (n,) of the half-spaces. What they leave of the plane must be bounded.

    Returns
    -------
    ndarray or None
        (m, d) corners; None where nothing, or nothing of the plane's own dimension, is left.
    """
    origin = normal * offset / (normal @ normal)
    basis = np.linalg.svd(normal[None, :])[2][1:]
    rows, rest = normals @ basis.T, offsets - normals @ origin
    lengths = np.linalg.norm(rows, axis=1)
    parallel = lengths < FLAT
    if (rest[parallel] < -FLAT).any():
        return None
    rows, rest = rows[~parallel] / lengths[~parallel, None], rest[~parallel] / lengths[~parallel]
    corners = _interval(rows[:, 0], rest) if len(basis) == 1 else _polytope(rows, rest)
    return None if corners is None else np.asarray(origin + _distinct(corners) @ basis)


def _interval(slopes: Array, rest: Array) -> Array | None:
    """Ends of the interval ``slopes · y ≤ rest``, slopes ±1."""
    high = rest[slopes > 0].min(initial=np.inf)
    low = (-rest[slopes < 0]).max(initial=-np.inf)
    return np.array([[low], [high]]) if high - low > 2 * FLAT else None


def _polytope(rows: Array, rest: Array) -> Array | None:
    """Corners of ``rows · y ≤ rest`` with rows of length 1."""
    from scipy.optimize import linprog
    from scipy.spatial import HalfspaceIntersection

    size = rows.shape[1]
    inner = linprog(
        [0.0] * size + [-1.0],
        A_ub=np.hstack([rows, np.ones((len(rows), 1))]),
        b_ub=rest,
        bounds=[(None, None)] * size + [(None, 1e3)],
        method="highs",
    )
    if not inner.success or inner.x[-1] <= FLAT:
        return None
    return np.asarray(HalfspaceIntersection(np.hstack([rows, -rest[:, None]]), inner.x[:size]).intersections)


def _distinct(points: Array) -> Array:
    """The points without repetitions."""
    kept: list[Array] = []
    for point in points[np.isfinite(points).all(axis=1)]:
        if not any(np.abs(point - other).max() < SAME for other in kept):
            kept.append(point)
    return np.array(kept)
