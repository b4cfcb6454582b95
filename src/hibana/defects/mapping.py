"""Which atom of a supercell with a defect is which atom of the perfect one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hibana.documents.crystal import Crystal

Array = NDArray[np.float64]

NO_PARTNER = -1

SAME_LATTICE = 1e-5
"""Lattices are one if no component differs by more than this part of the longest vector."""


@dataclass(frozen=True)
class SiteMapping:
    """Atoms of one cell and their partners in the other.

    Parameters
    ----------
    partners
        (n_sites,) index into the reference of each site, -1 where there is none.
    removed
        Sites of the reference without partner.
    inserted
        Sites without partner in the reference.
    """

    partners: NDArray[np.intp]
    removed: tuple[int, ...]
    inserted: tuple[int, ...]


def map_sites(crystal: Crystal, reference: Crystal, distance: float) -> SiteMapping:
    """Pair the atoms of two cells with one lattice.

    Two atoms of one element are partners if each is the other's nearest and they are not farther apart than `distance`; this is
    pydefect's rule.

    Parameters
    ----------
    crystal, reference
        Two cells with the same lattice.
    distance
        Largest distance of partners, Å.
    """
    _, lengths = shortest_vectors(crystal.lattice, crystal.frac_coords, reference.frac_coords)
    alike = np.array(crystal.species)[:, None] == np.array(reference.species)[None]
    lengths = np.where(alike & (lengths <= distance), lengths, np.inf)
    forward, backward = lengths.argmin(axis=1), lengths.argmin(axis=0)
    ours = np.arange(len(forward))
    paired = (backward[forward] == ours) & np.isfinite(lengths[ours, forward])
    partners = np.where(paired, forward, NO_PARTNER)
    removed = sorted(set(range(len(reference.species))) - set(partners[paired].tolist()))
    return SiteMapping(partners, tuple(removed), tuple(np.flatnonzero(~paired).tolist()))


def defect_centre(mapping: SiteMapping, crystal: Crystal, reference: Crystal) -> Array | None:
    """Mean place of what was removed and what was inserted, (3,) fractional in [0, 1); None where nothing was."""
    places = [reference.frac_coords[site] for site in mapping.removed]
    places += [crystal.frac_coords[site] for site in mapping.inserted]
    if not places:
        return None
    steps, _ = shortest_vectors(crystal.lattice, places[:1], places)
    mean = np.array(places[0]) + steps[0].mean(axis=0) @ np.linalg.inv(crystal.lattice)
    return np.asarray(mean % 1)


def shortest_vectors(lattice: ArrayLike, start: ArrayLike, end: ArrayLike) -> tuple[Array, Array]:
    """Shortest vectors between periodic places.

    Parameters
    ----------
    lattice
        (3, 3) lattice vectors as rows, Å.
    start, end
        (n, 3) and (m, 3) fractional coordinates.

    Returns
    -------
    NDArray, NDArray
        Vectors (n, m, 3) from start to end and their lengths (n, m), Å.
    """
    from pymatgen.core import Lattice
    from pymatgen.util.coord import pbc_shortest_vectors

    ends = [np.ascontiguousarray(np.asarray(places, dtype=float).reshape(-1, 3)) for places in (start, end)]
    vectors, squares = pbc_shortest_vectors(Lattice(lattice), *ends, return_d2=True)
    return np.asarray(vectors), np.sqrt(squares)


def same_lattice(first: Crystal, second: Crystal) -> bool:
    """Whether two cells have one lattice."""
    one, two = np.array(first.lattice), np.array(second.lattice)
    return bool(np.abs(one - two).max() <= SAME_LATTICE * np.linalg.norm(one, axis=1).max())
