"""What every structure that comes in must be: finite, ordered, of elements, without overlapping atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from hibana.structures.convert import OCCUPANCY_TOLERANCE, element_symbol, plain_structure
from hibana.structures.errors import NOT_PERIODIC, OVERLAPPING, UNREADABLE

MIN_DISTANCE = 0.5
"""Atoms nearer than this, Å, overlap."""


def checked(structure: Structure, where: Path | str) -> Structure:
    """The structure with bare elements, sorted, if every site is one element and no two atoms overlap.

    Raises
    ------
    HibanaError
        HIB-011 (disorder), HIB-012 (overlapping atoms), HIB-013 (not a number), HIB-015 (no element), HIB-018
        (non-collinear), HIB-020 (not periodic).
    """
    if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
        raise UNREADABLE.error("lattice or coordinates are not numbers", where=where)
    if not all(structure.lattice.pbc):
        raise NOT_PERIODIC.error(f"periodic along {sum(structure.lattice.pbc)} of 3 axes", where=where)
    _check_sites(structure, where)
    lattice = structure.lattice
    if min(lattice.abc) < MIN_DISTANCE or lattice.volume < MIN_DISTANCE**3:
        raise OVERLAPPING.error(f"lattice vectors of {lattice.abc} Å span {lattice.volume:.3g} Å^3", where=where)
    first, second, _, distances = structure.get_neighbor_list(MIN_DISTANCE)
    if len(distances):
        nearest = int(np.argmin(distances))
        pair = f"{structure[first[nearest]].species_string} and {structure[second[nearest]].species_string}"
        raise OVERLAPPING.error(f"{pair} are {distances[nearest]:.3f} Å apart", where=where)
    return plain_structure(structure)


def _check_sites(structure: Structure, where: Path | str) -> None:
    for site in structure:
        if sum(site.species.values()) > 1 + OCCUPANCY_TOLERANCE:
            place = np.round(site.frac_coords, 4).tolist()
            raise OVERLAPPING.error(f"the site at {place} holds {site.species_string}, more than one atom", where=where)
        element_symbol(site, where=where)
