"""Supercells with one atom displaced each, by phonopy's public interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import spglib
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from hibana.documents.crystal import Crystal
from hibana.properties.tensors import conventional_frame
from hibana.vasp.cells import vectors

if TYPE_CHECKING:
    from hibana.protocol.protocol import PhononRule, SymmetryRule

Array = NDArray[np.float64]

SAME_LATTICE = 1e-3
"""Å. Lattice vectors of two cells of one crystal differ by less."""


@dataclass(frozen=True)
class DisplacedCells:
    """The supercells whose forces are wanted.

    Parameters
    ----------
    supercell_matrix
        Vectors of the supercell (rows) in units of the crystal's, (3, 3) integers.
    supercell
        The supercell without displacement.
    cells
        One supercell for each displacement that symmetry does not give from another.
    """

    supercell_matrix: NDArray[np.int64]
    supercell: Crystal
    cells: tuple[Crystal, ...]


def supercell_matrix(crystal: Crystal, min_length: float, symmetry: SymmetryRule) -> NDArray[np.int64]:
    """Supercell (rows, in units of the crystal's vectors) whose periodic images are at least ``min_length`` (Å) apart.

    It is made of whole conventional cells, so that it has the crystal's symmetry as far as its lengths allow; symmetry-related
    axes are repeated alike.
    """
    setting = np.rint(conventional_frame(crystal, symmetry).setting).astype(np.int64)
    cell = setting @ np.array(crystal.lattice)
    lengths = np.linalg.norm(cell, axis=1)
    repeats = np.maximum(np.ceil(min_length / lengths - 1e-6), 1).astype(np.int64)
    while _shortest(repeats[:, None] * cell) < min_length - 1e-6 * min_length:
        reach = repeats * lengths
        repeats[reach <= reach.min() + SAME_LATTICE] += 1
    matrix: NDArray[np.int64] = repeats[:, None] * setting
    return matrix


def displacements(crystal: Crystal, rule: PhononRule, symmetry: SymmetryRule) -> DisplacedCells:
    """Supercells with one atom displaced each, as many as the symmetry of the crystal leaves.

    Parameters
    ----------
    crystal
        The relaxed primitive cell.
    rule
        Size of the supercell and of the displacement.
    symmetry
        Tolerances of the symmetry search.

    Raises
    ------
    HibanaError
        HIB-017 where no symmetry is found.
    """
    matrix = supercell_matrix(crystal, rule.min_length, symmetry)
    phonons = phonopy_of(crystal, matrix, symmetry.symprec)
    phonons.generate_displacements(distance=rule.displacement)
    cells = tuple(crystal_of(atoms) for atoms in phonons.supercells_with_displacements or ())
    return DisplacedCells(matrix, crystal_of(phonons.supercell), cells)


def phonopy_of(crystal: Crystal, matrix: NDArray[np.int64], symprec: float) -> Phonopy:
    """Phonopy of the crystal as its own primitive cell."""
    atoms = PhonopyAtoms(
        symbols=list(crystal.species),
        cell=np.array(crystal.lattice),
        scaled_positions=np.array(crystal.frac_coords),
        magnetic_moments=None if crystal.magmoms is None else list(crystal.magmoms),
    )
    return Phonopy(atoms, supercell_matrix=matrix.T, primitive_matrix="P", symprec=symprec)


def crystal_of(atoms: PhonopyAtoms) -> Crystal:
    """A cell of phonopy's as a crystal."""
    a, b, c = vectors(atoms.cell)
    moments = atoms.magnetic_moments
    return Crystal(
        lattice=(a, b, c),
        species=tuple(atoms.symbols),
        frac_coords=vectors(atoms.scaled_positions),
        magmoms=None if moments is None else tuple(float(moment) for moment in moments),
    )


def _shortest(lattice: Array) -> float:
    """Length of the shortest vector of a lattice, Å."""
    reduced = spglib.niggli_reduce(lattice)
    return float(np.linalg.norm(lattice if reduced is None else reduced, axis=1).min())
