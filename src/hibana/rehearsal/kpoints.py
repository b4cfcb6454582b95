"""KPOINTS as the engine needs it: the full sampling of the zone, the points asked for, and how the two are related.

GPAW takes all points of the zone and reduces them by symmetry itself, while KPOINTS may hold a mesh, a path, or irreducible
points with weights followed by path points of zero weight. A weighted list is expanded by the crystal's point group; the
results at the listed points are those of their images in GPAW's own irreducible set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.result import Floats, KpointMesh

TOLERANCE = 1e-6
"""Largest difference of two k points that are the same one, reciprocal-lattice units."""


@dataclass(frozen=True)
class Grid:
    """A regular mesh: ``divisions`` along the reciprocal vectors and the fractional coordinates of one of its points."""

    divisions: tuple[int, int, int]
    origin: tuple[float, float, float]

    @property
    def points(self) -> Floats:
        """All points (n1*n2*n3, 3) in C order, folded to (-1/2, 1/2]."""
        axes = [np.arange(n) / n + o for n, o in zip(self.divisions, self.origin, strict=True)]
        mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        return fold(mesh)


@dataclass(frozen=True)
class KpointPlan:
    """What KPOINTS asks for.

    Parameters
    ----------
    mesh
        What the file said, for the writers.
    full
        All points of the zone that the SCF samples (n, 3); empty for a path without weights.
    grid
        The regular mesh that ``full`` is, or None.
    points, weights
        Points to report, in the file's order; None for a mesh, whose irreducible points are reported instead.
    """

    mesh: KpointMesh
    full: Floats
    grid: Grid | None
    points: Floats | None = None
    weights: Floats | None = None

    @property
    def path(self) -> Floats:
        """Points of zero weight (n, 3)."""
        if self.points is None or self.weights is None:
            return np.zeros((0, 3))
        return self.points[self.weights == 0]


def fold(points: Floats) -> Floats:
    """Bring fractional coordinates to (-1/2, 1/2]."""
    folded = points - np.ceil(points - 0.5 - TOLERANCE)
    return np.asarray(np.where(np.abs(folded) < 1e-12, 0.0, folded))


def read_kpoints(path: Path, lattice: Floats, rotations: NDArray[np.int_], spacing: tuple[float, bool]) -> KpointPlan:
    """Read KPOINTS, or make a mesh from KSPACING where there is none.

    Parameters
    ----------
    path
        The file; it may be absent.
    lattice
        Rows are the lattice vectors, Å.
    rotations
        Point group in fractional coordinates (n, 3, 3), by which a weighted list is expanded.
    spacing
        KSPACING (1/Å) and KGAMMA.

    Raises
    ------
    RehearsalError
        HIB-181 if the file cannot be read, HIB-189 if it cannot be used.
    """
    if not path.is_file():
        return _spacing_plan(lattice, *spacing)
    from pymatgen.io.vasp import Kpoints

    try:
        kpoints = Kpoints.from_file(path)
    except (ValueError, IndexError, KeyError) as error:
        raise RehearsalError(181, f"{type(error).__name__}: {error}", where=path) from error
    style = kpoints.style.name
    if style == "Gamma" or style == "Monkhorst":
        return _mesh_plan(style, kpoints.kpts[0], kpoints.kpts_shift)
    if style == "Automatic":
        lengths = np.linalg.norm(np.linalg.inv(lattice).T, axis=1)
        return _mesh_plan("Gamma", [max(1, int(kpoints.kpts[0][0] * b + 0.5)) for b in lengths], (0, 0, 0))
    if style == "Line_mode":
        return _line_plan(kpoints, lattice)
    if style in ("Reciprocal", "Cartesian") and kpoints.kpts_weights is not None:
        points = np.array(kpoints.kpts, dtype=float)
        if style == "Cartesian":
            points = _to_fractional(points, lattice)
        return _list_plan(points, np.array(kpoints.kpts_weights, dtype=float), rotations)
    raise RehearsalError(189, f"style {style} without weights", where=path)


def _spacing_plan(lattice: Floats, spacing: float, gamma: bool) -> KpointPlan:
    lengths = 2 * math.pi * np.linalg.norm(np.linalg.inv(lattice).T, axis=1)
    divisions = [max(1, math.ceil(length / spacing)) for length in lengths]
    return _mesh_plan("Gamma" if gamma else "Monkhorst", divisions, (0, 0, 0))


def _mesh_plan(style: str, divisions: Any, shift: Any) -> KpointPlan:
    """Gamma-centred or Monkhorst-Pack mesh; ``shift`` is in units of the mesh's own spacing as in KPOINTS."""
    n = tuple(int(d) for d in divisions)
    if len(n) != 3 or min(n) < 1:
        raise RehearsalError(189, f"divisions {divisions}", where="KPOINTS")
    own = [0.5 if style == "Monkhorst" and d % 2 == 0 else 0.0 for d in n]
    origin = tuple((o + s) % 1 / d for o, s, d in zip(own, shift, n, strict=True))
    grid = Grid(n, origin)  # type: ignore[arg-type]
    name = "Gamma" if style == "Gamma" else "Monkhorst-Pack"
    return KpointPlan(KpointMesh(name, n, tuple(float(s) for s in shift)), grid.points, grid)  # type: ignore[arg-type]


def _line_plan(kpoints: Any, lattice: Floats) -> KpointPlan:
    """Line mode: segments with ``num_kpts`` points each, both ends included, as VASP makes them."""
    ends = np.array(kpoints.kpts, dtype=float)
    if kpoints.coord_type == "Cartesian":
        ends = _to_fractional(ends, lattice)
    if len(ends) % 2 or not len(ends) or kpoints.num_kpts < 2:
        raise RehearsalError(189, "line mode needs pairs of end points and at least 2 points a line", where="KPOINTS")
    steps = np.linspace(0, 1, kpoints.num_kpts)[:, None]
    points = np.concatenate([a + steps * (b - a) for a, b in zip(ends[::2], ends[1::2], strict=True)])
    return KpointPlan(KpointMesh("listgenerated"), np.zeros((0, 3)), None, points, np.zeros(len(points)))


def _to_fractional(points: Floats, lattice: Floats) -> Floats:
    """Cartesian k points in units of 2 pi / Å to reciprocal-lattice units."""
    return points @ lattice.T


def _list_plan(points: Floats, weights: Floats, rotations: NDArray[np.int_]) -> KpointPlan:
    weighted = weights > 0
    if (weights < 0).any():
        raise RehearsalError(189, "a weight is negative", where="KPOINTS")
    if not weighted.any():
        return KpointPlan(KpointMesh("listgenerated"), np.zeros((0, 3)), None, points, weights)
    stars = [star(point, rotations) for point in points[weighted]]
    full = np.concatenate(stars)
    if len(unique(full)) != len(full):
        raise RehearsalError(189, "two weighted points are the same by the symmetry of the crystal", where="KPOINTS")
    multiplicity = np.array([len(s) for s in stars]) / len(full)
    if np.abs(multiplicity - weights[weighted] / weights.sum()).max() > 1e-4:
        raise RehearsalError(189, "the weights are not those of the points' stars in this crystal", where="KPOINTS")
    grid = find_grid(full)
    return KpointPlan(KpointMesh("listgenerated"), full if grid is None else grid.points, grid, points, weights / weights.sum())


def star(point: Floats, rotations: NDArray[np.int_]) -> Floats:
    """All different images of a k point under a point group and time reversal (n, 3), folded."""
    images = np.einsum("sji,j->si", rotations, point)
    return unique(np.concatenate([images, -images]))


def unique(points: Floats) -> Floats:
    """Different points modulo reciprocal-lattice vectors, folded, in the order of their first appearance."""
    keys = np.round(np.mod(points, 1.0) / TOLERANCE / 10).astype(np.int64) % round(0.1 / TOLERANCE)
    _, first = np.unique(keys, axis=0, return_index=True)
    return fold(points[np.sort(first)])


def find_grid(points: Floats) -> Grid | None:
    """The regular mesh that a set of different points forms, or None."""
    divisions, origin = [], []
    for axis in range(3):
        values = np.unique(np.round(np.mod(points[:, axis] + 1e-7, 1.0), 6))
        divisions.append(len(values))
        origin.append(float(values[0]))
    grid = Grid(tuple(divisions), tuple(origin))  # type: ignore[arg-type]
    if len(grid.points) != len(points) or len(unique(np.concatenate([grid.points, points]))) != len(points):
        return None
    exact = np.array(divisions)
    return Grid(grid.divisions, tuple(np.round(np.array(origin) * exact * 2) / exact / 2)) if _halves(grid) else grid  # type: ignore[arg-type]


def _halves(grid: Grid) -> bool:
    """Whether the mesh is shifted by whole or half steps, so that its rounded coordinates can be made exact."""
    steps = np.array(grid.origin) * np.array(grid.divisions) * 2
    return bool(np.abs(steps - np.round(steps)).max() < 1e-3)


def locate(
    points: Floats, irreducible: Floats, rotations: NDArray[np.int_], *, time_reversal: bool
) -> list[tuple[int, int, bool]]:
    """Find each point's image among the irreducible ones.

    Parameters
    ----------
    points, irreducible
        (n, 3) and (m, 3), reciprocal-lattice units.
    rotations
        Point group by which they were reduced (s, 3, 3): a rotation ``R`` takes ``k`` to ``R k``.
    time_reversal
        Whether ``-k`` counts as an image of ``k``.

    Returns
    -------
    list of (int, int, bool)
        Index ``i`` of the irreducible point, ``s`` of the rotation and whether time reversal is used, so that
        ``point = (+-) R_s k_i`` up to a reciprocal-lattice vector.

    Raises
    ------
    RehearsalError
        HIB-189 if a point has no image.
    """
    images = np.einsum("sij,kj->ski", rotations, irreducible)
    found = []
    for point in points:
        for sign in (1, -1) if time_reversal else (1,):
            difference = sign * images - point
            match = np.argwhere(np.abs(difference - np.round(difference)).max(axis=2) < 10 * TOLERANCE)
            if len(match):
                s, i = match[0]
                found.append((int(i), int(s), sign < 0))
                break
        else:
            raise RehearsalError(189, f"k point {point} is not on the sampled mesh", where="KPOINTS")
    return found
