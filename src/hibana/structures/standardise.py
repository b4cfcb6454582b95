"""One standard cell for every crystal: the cell that vise calculates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from hibana.structures.symmetry import (
    ANGLE_TOLERANCE,
    SYMPREC,
    KindCell,
    idealised_cell,
    kind_cell,
    sorted_cell,
    structure_of,
    symmetry_dataset,
)

COORDINATE_TIE = 1e-5
"""Fractional coordinates nearer than this are equal when two primitive cells are compared (vise's number)."""


@dataclass(frozen=True)
class Standardised:
    """A crystal in standard form.

    Parameters
    ----------
    primitive
        Idealised primitive cell, sorted by electronegativity; vise takes it as it is.
    conventional
        Idealised conventional cell in spglib's standard setting.
    space_group_number, space_group_symbol
        Space group at the tolerance asked for, of the arrangement with its moments if it has any.
    """

    primitive: Structure
    conventional: Structure
    space_group_number: int
    space_group_symbol: str


def standardise(structure: Structure, *, symprec: float = SYMPREC, angle_tolerance: float = ANGLE_TOLERANCE) -> Standardised:
    """Idealised primitive and conventional cells, and the space group.

    Parameters
    ----------
    structure
        Any cell of the crystal; oxidation states are dropped. Sites with different ``magmom`` are different sites, so a
        magnetic order keeps its magnetic cell.
    symprec
        Tolerance of positions, Å.
    angle_tolerance
        Tolerance of angles, degrees.

    Raises
    ------
    HibanaError
        HIB-011 (disorder), HIB-015 (no element), HIB-017 (no symmetry found), HIB-018 (non-collinear moments).
    """
    primitive, number, symbol = standard_primitive(structure, symprec=symprec, angle_tolerance=angle_tolerance)
    conventional = idealised_cell(kind_cell(structure), symprec, angle_tolerance, primitive=False)
    return Standardised(primitive, structure_of(conventional), number, symbol)


def standard_primitive(
    structure: Structure, *, symprec: float = SYMPREC, angle_tolerance: float = ANGLE_TOLERANCE
) -> tuple[Structure, int, str]:
    """The idealised primitive cell of :func:`standardise` alone, with number and symbol of the space group.

    Raises
    ------
    HibanaError
        As :func:`standardise`.
    """
    cell = kind_cell(structure)
    dataset = symmetry_dataset(cell, symprec, angle_tolerance)
    primitive = _settled_primitive(cell, symprec, angle_tolerance)
    return primitive, int(dataset.number), str(dataset.international)


def _settled_primitive(cell: KindCell, symprec: float, angle_tolerance: float) -> Structure:
    """The primitive cell that standardising again does not change.

    For some crystals spglib's choice of origin goes back and forth between two settings; as vise does, the one with the
    smaller first coordinate that differs is taken.
    """
    first = sorted_cell(idealised_cell(cell, symprec, angle_tolerance, primitive=True))
    second = sorted_cell(idealised_cell(first, symprec, angle_tolerance, primitive=True))
    difference = (first.positions - second.positions).ravel()
    telling = np.flatnonzero(np.abs(difference) > COORDINATE_TIE)
    return structure_of(first if telling.size == 0 or difference[telling[0]] < 0 else second)
