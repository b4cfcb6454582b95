"""The band path of a run: distances along it, its continuous branches, its labelled points.

A band run lists the points of the path with zero weight after the mesh of the self-consistency. The path is that of Hinuma,
Pizzi, Kumagai, Oba and Tanaka, Comput. Mater. Sci. 128, 140 (2017), by seekpath, and the labels are found again by walking
along it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import seekpath
from numpy.typing import NDArray

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.report.errors import UNKNOWN_PATH
from hibana.structures.symmetry import ANGLE_TOLERANCE, SYMPREC

SAME_POINT = 1e-4
"""Largest difference of the coordinates of one k-point, in reciprocal-lattice units; files print fewer digits than paths have."""

_GREEK = {"GAMMA": "Γ", "SIGMA": "Σ", "DELTA": "Δ", "LAMBDA": "Λ"}


@dataclass(frozen=True)
class BandPath:
    """A path through the Brillouin zone.

    Parameters
    ----------
    distances
        Length of the path up to each k-point, (nk,), 1/Å with 2π included. It does not grow over a gap between branches.
    branches
        Stretches of k-points without a gap; lines are drawn along each.
    ticks
        Distance and label of each labelled point, both labels where two branches meet (``U|K``).
    """

    distances: NDArray[np.float64]
    branches: tuple[slice, ...]
    ticks: tuple[tuple[float, str], ...]


def band_path(crystal: Crystal, kpoints: NDArray[np.floating]) -> BandPath:
    """Find the labels and branches of the k-points of a band run.

    Parameters
    ----------
    crystal
        Cell of the run.
    kpoints
        The points of the path in their order, (nk, 3), in units of the reciprocal lattice.

    Raises
    ------
    HibanaError
        If the points do not follow the path of the crystal.
    """
    stops = _stops(crystal, kpoints)
    starts = [0, *(stop.index for stop in stops if stop.begins_branch and stop.index)]
    branches = tuple(slice(a, b) for a, b in zip(starts, [*starts[1:], len(kpoints)], strict=True))
    reciprocal = 2 * np.pi * np.linalg.inv(np.array(crystal.lattice)).T
    steps = np.linalg.norm(np.diff(kpoints.astype(float) @ reciprocal, axis=0), axis=1)
    steps[[start - 1 for start in starts[1:]]] = 0.0
    distances = np.concatenate([[0.0], np.cumsum(steps)])
    ticks: list[tuple[float, str]] = []
    for stop in stops:
        if stop.begins_branch and ticks:
            distance, label = ticks.pop()
            ticks.append((distance, f"{label}|{pretty_label(stop.label)}"))
        else:
            ticks.append((float(distances[stop.index]), pretty_label(stop.label)))
    return BandPath(distances, branches, tuple(ticks))


def pretty_label(label: str) -> str:
    """Label as it is printed: ``GAMMA`` becomes Γ, ``X_1`` X with a subscript.

    >>> pretty_label("SIGMA_0")
    'Σ$_{0}$'
    """
    letter, _, index = label.partition("_")
    return _GREEK.get(letter, letter) + (f"$_{{{index}}}$" if index else "")


@dataclass(frozen=True)
class _Stop:
    """A labelled k-point met on the way."""

    index: int
    label: str
    begins_branch: bool


def _stops(crystal: Crystal, kpoints: NDArray[np.floating]) -> list[_Stop]:
    """The labelled points; a spin-polarised run without inversion has its path and, primed, the inverted one."""
    try:
        return _walk(crystal, kpoints, time_reversal=True)
    except HibanaError:
        try:
            return _walk(crystal, kpoints, time_reversal=False)
        except HibanaError:
            pass
        raise


def _walk(crystal: Crystal, kpoints: NDArray[np.floating], *, time_reversal: bool) -> list[_Stop]:
    from pymatgen.core import Element

    cell = (crystal.lattice, crystal.frac_coords, [Element(symbol).Z for symbol in crystal.species])
    found = seekpath.get_path_orig_cell(cell, with_time_reversal=time_reversal, symprec=SYMPREC, angle_tolerance=ANGLE_TOLERANCE)
    stops: list[_Stop] = []
    for start, end in found["path"]:
        if not stops or stops[-1].label != start:
            index = stops[-1].index + 1 if stops else 0
            _expect(kpoints, index, start, found["point_coords"][start])
            stops.append(_Stop(index, start, begins_branch=True))
        begin = stops[-1].index
        here = np.abs(kpoints[begin:] - np.array(found["point_coords"][end])).max(axis=1) < SAME_POINT
        if not here.any():
            raise UNKNOWN_PATH.error(f"no point {end} after {start}, k-point {begin + 1} of the path")
        stops.append(_Stop(begin + int(here.argmax()), end, begins_branch=False))
    if stops[-1].index != len(kpoints) - 1:
        raise UNKNOWN_PATH.error(f"the path of the crystal ends at k-point {stops[-1].index + 1} of {len(kpoints)}")
    return stops


def _expect(kpoints: NDArray[np.floating], index: int, label: str, coords: list[float]) -> None:
    if index >= len(kpoints) or np.abs(kpoints[index] - np.array(coords)).max() > SAME_POINT:
        raise UNKNOWN_PATH.error(f"k-point {index + 1} of the path is not {label} {np.round(coords, 4).tolist()}")
