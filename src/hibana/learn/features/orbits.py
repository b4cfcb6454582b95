"""Symmetry of a crystal as features are made from it: which sites are alike, and how symmetric and how complex it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from spglib import SpglibDataset

Array = NDArray[np.float64]

COMPLEXITY = "S. V. Krivovichev, Acta Cryst. A 68, 393 (2012)"

SYMMETRY: dict[str, tuple[str, str, str]] = {
    "crystal system": (
        "1",
        "1 triclinic, 2 monoclinic, 3 orthorhombic, 4 tetragonal, 5 trigonal, 6 hexagonal, 7 cubic",
        "hibana",
    ),
    "point group order": ("1", "number of operations of the point group", "hibana"),
    "centrosymmetric": ("1", "1 with a centre of inversion, 0 without", "hibana"),
    "distinct sites": ("1", "number of symmetry-distinct sites", "hibana"),
    "information per atom": (
        "bit/atom",
        "Shannon information of the distribution of the atoms on the distinct sites",
        COMPLEXITY,
    ),
}
"""Unit, meaning and source of the features of symmetry."""

LAST_OF_SYSTEM = (2, 15, 74, 142, 167, 194, 230)
"""Last space group of each crystal system."""


@dataclass(frozen=True)
class Orbits:
    """Symmetry-distinct sites of a crystal.

    Parameters
    ----------
    sites
        (n_orbits,) first site of each orbit.
    multiplicities
        (n_orbits,) sites of the cell that are in it.
    space_group
        Number of the space group.
    operations
        (n, 3, 3) rotations of the point group, each once.
    """

    sites: NDArray[np.intp]
    multiplicities: Array
    space_group: int
    operations: NDArray[np.int32]

    def descriptors(self) -> Array:
        """The numbers of :data:`SYMMETRY`."""
        shares = self.multiplicities / self.multiplicities.sum()
        centre = (self.operations == -np.eye(3, dtype=np.int32)).all(axis=(1, 2)).any()
        system = 1 + int(np.searchsorted(LAST_OF_SYSTEM, self.space_group))
        information = -float((shares * np.log2(shares)).sum())
        return np.array([system, len(self.operations), float(centre), len(self.sites), abs(information)])


def find_orbits(structure: Structure) -> Orbits:
    """Symmetry-distinct sites at the tolerance that crystals are taken in with.

    Raises
    ------
    HibanaError
        HIB-017 where spglib finds no symmetry.
    """
    from spglib import get_symmetry_from_database

    from hibana.structures.symmetry import kind_cell, symmetry_dataset

    dataset: SpglibDataset = symmetry_dataset(kind_cell(structure))
    sites, multiplicities = np.unique(dataset.crystallographic_orbits, return_counts=True)
    return Orbits(
        sites=sites.astype(np.intp),
        multiplicities=multiplicities.astype(float),
        space_group=int(dataset.number),
        operations=np.unique(get_symmetry_from_database(dataset.hall_number)["rotations"], axis=0),
    )
