"""The binding to spglib: cells with moments, the symmetry dataset, primitive and conventional cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import spglib
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Element, Structure

from hibana.structures.convert import MAGMOM, collinear_moments, electronegativity_order, element_symbol
from hibana.structures.errors import NO_SYMMETRY

if TYPE_CHECKING:
    from spglib import SpglibDataset

    from hibana.documents.crystal import Crystal

SYMPREC = 0.01
"""Default tolerance of positions, Å (vise's)."""

ANGLE_TOLERANCE = 0.3
"""Default tolerance of angles, degrees. vise's 5 degrees would make a tetragonal crystal with c/a = 0.95 a cubic one."""

MOMENT_GRID = 0.1
"""Sites of one element are different kinds of site if their moments differ on this grid, μB."""

SpglibCell = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intc]]


@dataclass(frozen=True, order=True)
class Kind:
    """What makes sites alike: element and initial moment."""

    number: int
    moment: int = 0

    @property
    def symbol(self) -> str:
        """Chemical symbol."""
        return str(Element.from_Z(self.number).symbol)

    @property
    def flipped(self) -> Kind:
        """The kind with the moment reversed."""
        return Kind(self.number, -self.moment)


@dataclass(frozen=True)
class KindCell:
    """A cell whose sites are numbered by kind.

    ``types`` (n_sites,) are indices into ``kinds``; ``moments`` holds the mean moment of each kind, μB.
    """

    lattice: NDArray[np.float64]
    positions: NDArray[np.float64]
    types: NDArray[np.intc]
    kinds: tuple[Kind, ...]
    moments: tuple[float, ...]

    @property
    def spglib(self) -> SpglibCell:
        """The cell as spglib takes it."""
        return self.lattice, self.positions, self.types


def kind_cell(structure: Structure) -> KindCell:
    """Cell of a structure with sites numbered by element and moment.

    Raises
    ------
    HibanaError
        HIB-011, HIB-015 or HIB-018 for sites that are not one element with one moment.
    """
    symbols = [element_symbol(site) for site in structure]
    return _cell(structure.lattice.matrix, structure.frac_coords, symbols, collinear_moments(structure))


def crystal_cell(crystal: Crystal) -> KindCell:
    """Cell of a crystal with sites numbered by element and moment."""
    return _cell(crystal.lattice, crystal.frac_coords, crystal.species, crystal.magmoms)


def _cell(lattice: ArrayLike, positions: ArrayLike, symbols: Sequence[str], moments: Sequence[float] | None) -> KindCell:
    values = np.array(moments or (0.0,) * len(symbols))
    site_kinds = [Kind(_number(symbol), _moment_on_grid(moment)) for symbol, moment in zip(symbols, values, strict=True)]
    kinds = tuple(sorted(set(site_kinds)))
    numbers = {kind: index for index, kind in enumerate(kinds)}
    types = np.array([numbers[kind] for kind in site_kinds], dtype=np.intc)
    means = tuple(float(values[types == index].mean()) for index in range(len(kinds)))
    return KindCell(np.array(lattice), np.array(positions), types, kinds, means)


@cache
def _number(symbol: str) -> int:
    return int(Element(symbol).Z)


def _moment_on_grid(moment: float) -> int:
    """Nearest grid point, the same for both signs; the boundaries are not at decimals such as 0.25."""
    return int(np.sign(moment)) * int(np.floor(abs(moment) / MOMENT_GRID + 0.5 + 1 / 30))


def symmetry_dataset(cell: KindCell, symprec: float = SYMPREC, angle_tolerance: float = ANGLE_TOLERANCE) -> SpglibDataset:
    """Spglib's symmetry dataset.

    Raises
    ------
    HibanaError
        HIB-017 where spglib finds none.
    """
    try:
        dataset = spglib.get_symmetry_dataset(cell.spglib, symprec=symprec, angle_tolerance=angle_tolerance)
    except spglib.SpglibError as error:
        raise NO_SYMMETRY.error(f"spglib: {error}") from error
    if dataset is None:
        raise NO_SYMMETRY.error(f"spglib finds no space group at symprec {symprec} Å")
    return dataset


def idealised_cell(cell: KindCell, symprec: float, angle_tolerance: float, *, primitive: bool) -> KindCell:
    """Spglib's idealised standard cell, primitive or conventional.

    Raises
    ------
    HibanaError
        HIB-017 where spglib finds none.
    """
    try:
        found = spglib.standardize_cell(
            cell.spglib, to_primitive=primitive, no_idealize=False, symprec=symprec, angle_tolerance=angle_tolerance
        )
    except spglib.SpglibError as error:
        raise NO_SYMMETRY.error(f"spglib: {error}") from error
    if found is None:
        raise NO_SYMMETRY.error(f"spglib finds no standard cell at symprec {symprec} Å")
    lattice, positions, types = found
    return KindCell(lattice, positions, types, cell.kinds, cell.moments)


def sorted_cell(cell: KindCell) -> KindCell:
    """Cell with its sites sorted by electronegativity."""
    symbols = [kind.symbol for kind in cell.kinds]
    order = electronegativity_order([symbols[index] for index in cell.types])
    return replace(cell, positions=cell.positions[order], types=cell.types[order])


def structure_of(cell: KindCell) -> Structure:
    """Structure of a cell, sorted by electronegativity; moments become the site property ``magmom``."""
    cell = sorted_cell(cell)
    symbols = [kind.symbol for kind in cell.kinds]
    structure = Structure(cell.lattice, [symbols[index] for index in cell.types], cell.positions)
    if any(kind.moment for kind in cell.kinds):
        structure.add_site_property(MAGMOM, [cell.moments[index] for index in cell.types])
    return structure
