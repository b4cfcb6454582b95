"""The cell of the host that supercells are made of.

spglib standardises some crystals in a circle: the primitive cell of the primitive cell has another origin or orientation, and
only after up to four steps is it the first again. pydefect takes such a cell for no primitive one, and numbers sites of one
setting by another. Here a cell that has the standard lattice keeps the setting it has, and only noise is taken off it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.defects.binding import vise_module
from hibana.documents.crystal import Crystal
from hibana.structures.convert import from_pymatgen, to_pymatgen
from hibana.structures.standardise import standardise
from hibana.structures.symmetry import kind_cell, symmetry_dataset

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from spglib import SpglibDataset

    from hibana.protocol.protocol import SymmetryRule

Array = NDArray[np.float64]

TETRAGONAL = range(75, 143)
"""Space groups of the tetragonal system."""


@dataclass(frozen=True)
class HostCell:
    """A primitive cell with the lattice of spglib's standard one.

    Parameters
    ----------
    crystal
        The cell, symmetric to rounding, sorted by electronegativity.
    conventional
        (3, 3) integers, vectors of the conventional cell (rows) as multiples of the primitive ones.
    space_group_number
        Space group.
    """

    crystal: Crystal
    conventional: NDArray[np.int64]
    space_group_number: int

    @property
    def conventional_lattice(self) -> Array:
        """(3, 3) vectors of the conventional cell (rows), Å."""
        return np.asarray(self.conventional @ np.array(self.crystal.lattice))

    @property
    def tetragonal(self) -> bool:
        """Whether the crystal is tetragonal."""
        return self.space_group_number in TETRAGONAL


def host_cell(crystal: Crystal, rule: SymmetryRule) -> HostCell:
    """The primitive cell of a host.

    Parameters
    ----------
    crystal
        Any cell. A primitive one with the standard lattice keeps its origin, its orientation and the order of its sites.
    rule
        Tolerances.

    Raises
    ------
    HibanaError
        HIB-017 where spglib finds no symmetry.
    """
    structure = to_pymatgen(crystal).get_sorted_structure()
    standard = standardise(structure, symprec=rule.symprec, angle_tolerance=rule.angle_tolerance).primitive
    if not _has_lattice_of(structure, standard, rule.symprec):
        structure = standard
    dataset = symmetry_dataset(kind_cell(structure), rule.symprec, rule.angle_tolerance)
    letter = str(dataset.international)[0]
    centring = vise_module("util.centering").Centering.from_string(letter)
    return HostCell(
        crystal=from_pymatgen(_symmetrised(structure, dataset)),
        conventional=np.rint(centring.primitive_to_conv).astype(np.int64),
        space_group_number=int(dataset.number),
    )


def _has_lattice_of(structure: Structure, standard: Structure, tolerance: float) -> bool:
    """Whether two cells have the same number of sites and vectors of the same lengths and angles within a length in Å."""
    if len(structure) != len(standard):
        return False
    ours, theirs = (cell.lattice.matrix @ cell.lattice.matrix.T for cell in (structure, standard))
    return bool(np.abs(ours - theirs).max() <= tolerance * max(standard.lattice.abc))


def _symmetrised(structure: Structure, dataset: SpglibDataset) -> Structure:
    """The structure averaged over the operations of its space group, in its own setting."""
    lattice, places = structure.lattice.matrix, structure.frac_coords
    rotations = np.array(dataset.rotations, dtype=float)
    metric = np.mean(np.swapaxes(rotations, 1, 2) @ (lattice @ lattice.T) @ rotations, axis=0)
    inverse = np.linalg.inv(lattice)
    squares, axes = np.linalg.eigh(inverse @ metric @ inverse.T)
    numbers = np.array([site.specie.Z for site in structure])
    shifts = np.zeros_like(places)
    for rotation, translation in zip(rotations, dataset.translations, strict=True):
        steps = (places @ rotation.T + translation)[None] - places[:, None]
        steps -= np.rint(steps)
        distances = np.linalg.norm(steps @ lattice, axis=-1)
        distances[numbers[:, None] != numbers[None]] = np.inf
        sites = np.arange(len(places))
        shifts += steps[sites, distances.argmin(axis=1)]
    symmetrised = structure.copy()
    symmetrised.lattice = lattice @ (axes * np.sqrt(squares)) @ axes.T
    for index, place in enumerate(places + shifts / len(rotations)):
        symmetrised[index].frac_coords = place
    return symmetrised
