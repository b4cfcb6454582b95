"""KPOINTS read without the heavy libraries: the points to report, with their weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.result import Floats, KpointMesh

SYMPREC = 1e-3
"""Tolerance of the symmetry that reduces a mesh, Å."""

_SPARE = (4, 4, 4)
"""Mesh that stands for the zone where a file holds no weighted point."""


@dataclass(frozen=True)
class Points:
    """``coordinates`` (n, 3) in reciprocal-lattice units, ``weights`` (n,) that sum to 1 or are all 0, and what KPOINTS said."""

    coordinates: Floats
    weights: Floats
    mesh: KpointMesh

    @property
    def zone(self) -> tuple[Floats, Floats]:
        """Points and weights that sample the zone: the weighted ones, or a mesh of 4 x 4 x 4 where there are none."""
        weighted = self.weights > 0
        if weighted.any():
            return self.coordinates[weighted], self.weights[weighted]
        axes = [np.arange(n) / n for n in _SPARE]
        points = np.array(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).T
        return points, np.full(len(points), 1 / len(points))


def read_points(text: str | None, cell: tuple[Floats, Floats, Any], spacing: tuple[float, bool]) -> Points:
    """Points of a KPOINTS file: a regular mesh reduced by symmetry, a list, or lines.

    Parameters
    ----------
    text
        The file; None where there is none.
    cell
        Lattice (3, 3), fractional coordinates and kinds of the atoms.
    spacing
        KSPACING (1/Å) and KGAMMA, for a run without KPOINTS.

    Raises
    ------
    RehearsalError
        HIB-181 or HIB-189.
    """
    if text is None:
        lengths = 2 * math.pi * np.linalg.norm(np.linalg.inv(cell[0]).T, axis=1)
        return _mesh(cell, [max(1, math.ceil(length / spacing[0])) for length in lengths], [0.0] * 3, gamma=spacing[1])
    lines = [line.strip() for line in text.splitlines()]
    try:
        count, style = int(lines[1].split()[0]), lines[2][:1].upper()
        if count > 0 and style == "L":
            return _lines(lines, count, cell[0])
        if count > 0:
            return _listed(lines, count, cell[0])
        if style in ("G", "M"):
            shift = [float(x) for x in lines[4].split()[:3]] if len(lines) > 4 and lines[4] else [0.0] * 3
            return _mesh(cell, [int(n) for n in lines[3].split()[:3]], shift, gamma=style == "G")
    except (ValueError, IndexError) as error:
        raise RehearsalError(181, f"{type(error).__name__}: {error}", where="KPOINTS") from error
    raise RehearsalError(189, f"style {lines[2]!r}", where="KPOINTS")


def _mesh(cell: tuple[Floats, Floats, Any], divisions: list[int], shift: list[float], *, gamma: bool) -> Points:
    """A regular mesh, reduced where it is shifted by whole or half steps."""
    n = np.array(divisions)
    if n.shape != (3,) or n.min() < 1:
        raise RehearsalError(189, f"divisions {divisions}", where="KPOINTS")
    offset = (np.array(shift) + np.where((n % 2 == 0) & (not gamma), 0.5, 0.0)) % 1.0
    asked = KpointMesh("Gamma" if gamma else "Monkhorst-Pack", (int(n[0]), int(n[1]), int(n[2])), (shift[0], shift[1], shift[2]))
    halves = np.round(offset * 2).astype(int)
    if np.abs(offset * 2 - halves).max() > 1e-6:
        points = (np.array(np.meshgrid(*map(np.arange, n), indexing="ij")).reshape(3, -1).T + offset) / n
        return Points(points, np.full(len(points), 1 / len(points)), asked)
    mapping, grid = spglib.get_ir_reciprocal_mesh(n, cell, is_shift=halves % 2, is_time_reversal=True, symprec=SYMPREC)
    first, counts = np.unique(mapping, return_counts=True)
    return Points((grid[first] + halves % 2 / 2) / n, counts / counts.sum(), asked)


def _listed(lines: list[str], count: int, lattice: Floats) -> Points:
    rows = np.array([[float(x) for x in line.split()[:4]] for line in lines[3 : 3 + count]])
    if rows.shape != (count, 4) or (rows[:, 3] < 0).any():
        raise RehearsalError(189, f"{count} points with weights of 0 or more were announced", where="KPOINTS")
    points = rows[:, :3] @ lattice.T if lines[2][:1].upper() in ("C", "K") else rows[:, :3]
    total = rows[:, 3].sum()
    return Points(points, rows[:, 3] / total if total else rows[:, 3], KpointMesh("listgenerated"))


def _lines(lines: list[str], count: int, lattice: Floats) -> Points:
    """Line mode: `count` points a segment, both ends included."""
    ends = np.array([[float(x) for x in line.split()[:3]] for line in lines[4:] if line])
    if len(ends) < 2 or len(ends) % 2 or count < 2:
        raise RehearsalError(189, "line mode needs pairs of end points and at least 2 points a line", where="KPOINTS")
    if lines[3][:1].upper() in ("C", "K"):
        ends = ends @ lattice.T
    steps = np.linspace(0, 1, count)[:, None]
    points = np.concatenate([a + steps * (b - a) for a, b in zip(ends[::2], ends[1::2], strict=True)])
    return Points(points, np.zeros(len(points)), KpointMesh("listgenerated"))
