"""Between pymatgen's Structure and the stored Crystal."""

from __future__ import annotations

from collections.abc import Iterable
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
    return to_pymatgen(from_pymatgen(structure)).get_sorted_structure()


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
