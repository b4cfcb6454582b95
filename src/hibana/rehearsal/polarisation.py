"""Changes of the polarisation by the Berry phase.

King-Smith and Vanderbilt, Phys. Rev. B 47, 1651 (1993). The states of all points of the zone are made from those at GPAW's
irreducible ones, so that symmetry is used. Only changes between two geometries of one crystal are formed, string by string,
which leaves no ambiguity as long as a string's phase changes by less than half a turn.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from hibana.rehearsal.kpoints import Grid
from hibana.rehearsal.result import Floats
from hibana.rehearsal.scf import fresh_view


def string_phases(calculator: Any, grid: Grid, filled: list[int]) -> list[list[Floats]]:
    """Berry phases of the filled bands along every string of k points.

    Parameters
    ----------
    calculator
        A converged GPAW calculation on the mesh.
    grid
        The mesh.
    filled
        Number of filled bands of each spin.

    Returns
    -------
    list of list of arrays
        ``[spin][axis]``: one phase for each string along the reciprocal vector ``axis``, in radians within (-pi, pi].
    """
    strings = _Strings(calculator, grid)
    return [[strings.phases(spin, axis, bands) for axis in range(3)] for spin, bands in enumerate(filled)]


def dipole_change(before: list[list[Floats]], after: list[list[Floats]], lattice: Floats) -> Floats:
    """Electrons' part of the change of polarisation times volume (3,), e Å.

    Parameters
    ----------
    before, after
        From :func:`string_phases`.
    lattice
        Rows are the lattice vectors, Å.
    """
    per_state = 2 / len(before)
    turns = np.zeros(3)
    for old, new in zip(before, after, strict=True):
        for axis in range(3):
            difference = new[axis] - old[axis]
            turns[axis] += per_state * np.mean(difference - 2 * np.pi * np.round(difference / (2 * np.pi))) / (2 * np.pi)
    return np.asarray(turns @ lattice)


class _Strings:
    """Overlaps of the states at neighbouring points of a mesh."""

    def __init__(self, calculator: Any, grid: Grid) -> None:
        from gpaw.response import ResponseContext
        from gpaw.response.pair import KPointPairFactory

        self.states = fresh_view(calculator).gs_adapter()
        self.factory = KPointPairFactory(self.states, ResponseContext(txt=None))
        self.grid = grid
        self.corrections = [setup.dO_ii for setup in calculator.dft.setups]
        self.positions = np.array(calculator.atoms.get_scaled_positions())
        size = self.states.gd.N_c
        axes = np.meshgrid(*[np.arange(n) / n for n in size], indexing="ij")
        self.points = np.stack(axes, axis=-1).reshape(-1, 3)
        steps = np.array(grid.divisions)
        index = np.round((np.array(self.states.kd.bzk_kc) - grid.origin) * steps).astype(int) % steps
        self.number = np.empty(steps, dtype=int)
        self.number[tuple(index.T)] = np.arange(len(index))

    def phases(self, spin: int, axis: int, bands: int) -> Floats:
        """Phases of all strings along one axis."""
        across = [n for i, n in enumerate(self.grid.divisions) if i != axis]
        found = []
        for place in np.ndindex(*across):
            index = np.insert(np.array(place), axis, 0)
            found.append(self._phase(spin, axis, bands, index))
        return np.array(found)

    def _phase(self, spin: int, axis: int, bands: int, start: Any) -> float:
        count = self.grid.divisions[axis]
        step = np.zeros(3)
        step[axis] = 1 / count
        index = start.copy()
        states = []
        for j in range(count):
            index[axis] = j
            states.append(self._periodic_parts(spin, index, bands))
        shift = np.zeros(3)
        shift[axis] = 1.0
        waves, projections = states[0]
        states.append((waves * np.exp(-2j * np.pi * self.points @ shift), projections))
        shifted = np.exp(-2j * np.pi * self.positions @ step)
        product = 1.0 + 0.0j
        for (left, p_left), (right, p_right) in itertools.pairwise(states):
            overlap = left.conj() @ right.T * self.states.gd.dv
            for atom, correction in enumerate(self.corrections):
                overlap += shifted[atom] * p_left[atom].conj() @ correction @ p_right[atom].T
            determinant = np.linalg.det(overlap)
            product *= determinant / abs(determinant)
        return float(np.angle(product))

    def _periodic_parts(self, spin: int, index: Any, bands: int) -> tuple[Any, Any]:
        """Periodic parts (bands, n_points) and projections of the states at one point of the mesh."""
        point = self.factory.get_k_point(spin, int(self.number[tuple(index)]), 0, bands)
        wanted = np.array(self.grid.origin) + index / np.array(self.grid.divisions)
        turn = np.exp(2j * np.pi * self.points @ (point.k_c - wanted))
        return point.ut_nR.reshape(bands, -1) * turn, point.P_ani
