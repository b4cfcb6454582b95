"""Which site of one cell is which site of another cell of the same crystal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hibana.documents.crystal import Crystal

Array = NDArray[np.float64]

SAME_PLACE = 0.01
"""Sites nearer than this are one site of an unchanged cell, Å."""

TOLERANCE = 0.1
"""Sites farther apart than this are not the same, Å."""

METRIC = 1e-3
"""Lattices have the same vectors if their metrics agree within this, relative to the largest component."""


def match_sites(reference: Crystal, other: Crystal, *, tolerance: float = TOLERANCE) -> NDArray[np.intp] | None:
    """Sites of another cell in the order of a reference.

    Origin, order of the sites, orientation and choice of the lattice vectors may differ. Of sites that are equivalent by
    symmetry any one is taken.

    Parameters
    ----------
    reference, other
        Two cells of one size of the same crystal, which may have been relaxed differently.
    tolerance
        Largest distance of a site from the place it is taken for, Å.

    Returns
    -------
    NDArray or None
        (n_sites,) index into ``other`` of each site of ``reference``; None if they cannot be matched.
    """
    if sorted(reference.species) != sorted(other.species):
        return None
    found, distance = _shifted(reference, other) if _same_metric(reference, other) else (None, np.inf)
    if found is not None and distance <= SAME_PLACE:
        return found
    return _turned(reference, other, tolerance)


def _same_metric(first: Crystal, second: Crystal) -> bool:
    one, two = (np.array(cell.lattice) @ np.array(cell.lattice).T for cell in (first, second))
    return bool(np.abs(one - two).max() <= METRIC * np.abs(one).max())


def _shifted(reference: Crystal, other: Crystal) -> tuple[NDArray[np.intp] | None, float]:
    """The best match of fractional coordinates under a shift of the origin, and its largest distance in Å."""
    lattice = np.array(reference.lattice)
    ours, theirs = np.array(reference.frac_coords), np.array(other.frac_coords)
    kinds, others = np.array(reference.species), np.array(other.species)
    rarest = min(set(reference.species), key=lambda symbol: (reference.species.count(symbol), symbol))
    anchor = int(np.flatnonzero(kinds == rarest)[0])
    shifts = [np.zeros(3), *(theirs[others == rarest] - ours[anchor])]
    best, smallest = None, np.inf
    for shift in shifts:
        offsets = theirs[None] - ours[:, None] - shift
        distances = np.linalg.norm((offsets - np.rint(offsets)) @ lattice, axis=-1)
        distances[kinds[:, None] != others[None]] = np.inf
        nearest = distances.argmin(axis=1)
        worst = float(distances.min(axis=1).max())
        if len(set(nearest.tolist())) == len(nearest) and worst < smallest:
            best, smallest = nearest, worst
    return best, smallest


def _turned(reference: Crystal, other: Crystal, tolerance: float) -> NDArray[np.intp] | None:
    """Match by pymatgen's search over lattice vectors and origins."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    from hibana.structures.convert import to_pymatgen

    bare = [to_pymatgen(cell.model_copy(update={"magmoms": None})) for cell in (other, reference)]
    size = (abs(np.linalg.det(np.array(reference.lattice))) / len(reference.species)) ** (1 / 3)
    matcher = StructureMatcher(
        ltol=0.02, stol=tolerance / size, angle_tol=1, primitive_cell=False, scale=False, attempt_supercell=False
    )
    mapping = matcher.get_mapping(*bare)
    return None if mapping is None else np.asarray(mapping, dtype=np.intp)
