"""Cells of a run as stored crystals: symbols, moments, space group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Composition, Element

from hibana.documents.crystal import Crystal, Vector
from hibana.vasp.vasprun_header import Cell

SMALL_MOMENT = 0.1
"""Site moments below this on every site (μB) are no magnetic order."""


def crystal_of(cell: Cell, species: Sequence[str], moments: Sequence[float] | None = None) -> Crystal:
    """The cell as a stored crystal.

    Parameters
    ----------
    cell
        Lattice and fractional coordinates.
    species
        Chemical symbol of each site.
    moments
        Moment of each site, μB; below :data:`SMALL_MOMENT` everywhere they are dropped.
    """
    ordered = moments is not None and len(moments) == len(species) and max(map(abs, moments)) >= SMALL_MOMENT
    return Crystal(
        lattice=vectors(cell.lattice),
        species=tuple(species),
        frac_coords=vectors(cell.positions),
        magmoms=tuple(float(moment) for moment in moments) if ordered and moments is not None else None,
    )


def vectors(rows: NDArray[np.float64]) -> tuple[Vector, ...]:
    """Rows (n, 3) as plain tuples."""
    return tuple((float(x), float(y), float(z)) for x, y, z in rows)


def composition_fields(species: Sequence[str]) -> dict[str, Any]:
    """The run document's formula, elements and n_sites."""
    return {
        "formula": Composition(dict(zip(*np.unique(species, return_counts=True), strict=True))).reduced_formula,
        "elements": tuple(sorted(set(species))),
        "n_sites": len(species),
    }


def space_group_number(cell: Cell | Crystal, species: Sequence[str], symprec: float) -> int | None:
    """Space group of the atoms, moments aside; None where spglib finds none.

    Parameters
    ----------
    cell
        Lattice vectors in Å and fractional coordinates.
    species
        Chemical symbol of each site.
    symprec
        Tolerance of positions, Å.
    """
    dataset = _symmetry(cell, species, symprec)
    return None if dataset is None else int(dataset.number)


def inequivalent_sites(cell: Cell | Crystal, species: Sequence[str], symprec: float) -> NDArray[np.intp] | None:
    """First site of each orbit of the space group, moments aside (m,), ascending; None where spglib finds no group.

    Parameters
    ----------
    cell
        Lattice vectors in Å and fractional coordinates.
    species
        Chemical symbol of each site.
    symprec
        Tolerance of positions, Å.
    """
    dataset = _symmetry(cell, species, symprec)
    return None if dataset is None else np.sort(np.unique(dataset.equivalent_atoms, return_index=True)[1])


def _symmetry(cell: Cell | Crystal, species: Sequence[str], symprec: float) -> Any:
    """Symmetry of the atoms as spglib has it; None where it finds none."""
    positions = cell.frac_coords if isinstance(cell, Crystal) else cell.positions
    numbers = tuple(Element(symbol).Z for symbol in species)
    lattice, coordinates = (np.asarray(rows, dtype=np.float64).tobytes() for rows in (cell.lattice, positions))
    return _dataset(lattice, coordinates, numbers, symprec)


@lru_cache(maxsize=4)
def _dataset(lattice: bytes, positions: bytes, numbers: tuple[int, ...], symprec: float) -> Any:
    """As :func:`_symmetry`, kept for the few who ask about the same cell one after the other."""
    rows = (np.frombuffer(data).reshape(-1, 3) for data in (lattice, positions))
    try:
        return spglib.get_symmetry_dataset((*rows, numbers), symprec=symprec)
    except spglib.SpglibError:
        return None
