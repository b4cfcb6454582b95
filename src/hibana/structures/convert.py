"""Between pymatgen's Structure and the stored Crystal."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element, Structure

from hibana.documents.crystal import Crystal
from hibana.structures.errors import DISORDERED, NOT_AN_ELEMENT, NOT_COLLINEAR

if TYPE_CHECKING:
    from pymatgen.core import PeriodicSite

MAGMOM = "magmom"
"""pymatgen's name of the site property that holds the initial moments."""

OCCUPANCY_TOLERANCE = 1e-3
"""A site is full if its occupancies sum to 1 within this."""

ZERO_MOMENT = 0.01
"""Moments below this (μB) on every site are no magnetic order."""


def to_pymatgen(crystal: Crystal) -> Structure:
    """Pymatgen Structure of a Crystal; moments become the site property ``magmom``."""
    structure = Structure(crystal.lattice, crystal.species, crystal.frac_coords)
    if crystal.magmoms is not None:
        structure.add_site_property(MAGMOM, list(crystal.magmoms))
    return structure


def from_pymatgen(structure: Structure) -> Crystal:
    """Crystal of a pymatgen Structure, without oxidation states and labels.

    Raises
    ------
    HibanaError
        HIB-011 for partial occupancy, HIB-015 for a site that is no element, HIB-018 for non-collinear moments.
    """
    moments = collinear_moments(structure)
    return Crystal(
        lattice=_rows(structure.lattice.matrix),
        species=tuple(element_symbol(site) for site in structure),
        frac_coords=_rows(structure.frac_coords),
        magmoms=moments,
    )


def plain_structure(structure: Structure) -> Structure:
    """Copy with bare elements, sorted by electronegativity, that keeps nothing but moments.

    Raises
    ------
    HibanaError
        As :func:`from_pymatgen`.
    """
    crystal = from_pymatgen(structure)
    order = electronegativity_order(crystal.species)
    moments = crystal.magmoms
    return to_pymatgen(
        Crystal(
            lattice=crystal.lattice,
            species=tuple(crystal.species[index] for index in order),
            frac_coords=tuple(crystal.frac_coords[index] for index in order),
            magmoms=None if moments is None else tuple(moments[index] for index in order),
        )
    )


def electronegativity_order(symbols: Sequence[str]) -> list[int]:
    """Indices that sort sites as pymatgen does: by electronegativity, then by symbol, else as they stand."""
    return sorted(range(len(symbols)), key=lambda index: _sort_key(symbols[index]))


@cache
def _sort_key(symbol: str) -> tuple[float, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        electronegativity = float(Element(symbol).X)
    return (np.inf if np.isnan(electronegativity) else electronegativity, symbol)


def element_symbol(site: PeriodicSite, where: str | Path = "") -> str:
    """Chemical symbol of a site; isotopes count as their element.

    Raises
    ------
    HibanaError
        HIB-011 for partial occupancy, HIB-015 for a dummy species.
    """
    (species, *others), total = site.species, sum(site.species.values())
    if others or abs(total - 1) > OCCUPANCY_TOLERANCE:
        place = np.round(site.frac_coords, 4).tolist()
        raise DISORDERED.error(f"the site at {place} holds {site.species_string}", where=where)
    number = getattr(species, "Z", 0)
    if not 1 <= number <= 118:
        raise NOT_AN_ELEMENT.error(f"{site.species_string} is no chemical element", where=where)
    return _symbol(number)


@cache
def _symbol(number: int) -> str:
    return str(Element.from_Z(number).symbol)


def collinear_moments(structure: Structure) -> tuple[float, ...] | None:
    """Initial moments in μB, one a site, or None where there is no magnetic order.

    Raises
    ------
    HibanaError
        HIB-018 for non-collinear moments.
    """
    values = structure.site_properties.get(MAGMOM)
    if values is None:
        return None
    moments = tuple(_moment(value) for value in values)
    return moments if any(abs(moment) >= ZERO_MOMENT for moment in moments) else None


def _moment(value: object) -> float:
    vector = np.atleast_1d(np.asarray(getattr(value, "moment", 0.0 if value is None else value), dtype=float))
    if vector.size == 1:
        return float(vector[0])
    if np.any(np.abs(vector[:2]) >= ZERO_MOMENT):
        raise NOT_COLLINEAR.error(f"a moment is {vector.tolist()}")
    return float(vector[2])


def _rows(matrix: Iterable[Iterable[float]]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in matrix)
