"""Known crystals as templates: formula, prototype, structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pymatgen.core import Structure

from hibana.core.errors import HibanaError
from hibana.structures.convert import MAGMOM, plain_structure
from hibana.structures.symmetry import kind_cell, symmetry_dataset

SYMPREC = 0.1
"""Å; crystals of one prototype are alike within this after relaxation."""

MOST_SITES = 60


@dataclass(frozen=True)
class Template:
    """A known crystal.

    Parameters
    ----------
    name
        What the table calls it.
    formula
        Reduced formula.
    anonymous
        Formula with letters for elements, ascending in amount.
    prototype
        Anonymous formula, space group, and sizes of the orbits of each element in the primitive cell. Equal for crystals with
        equal occupied positions up to their coordinates.
    structure
        The crystal, without moments.
    """

    name: str
    formula: str
    anonymous: str
    prototype: str
    structure: Structure


def read_templates(
    structures: Iterable[tuple[str, Structure]], most_sites: int = MOST_SITES
) -> tuple[list[Template], dict[str, int]]:
    """Templates among some structures, in their order, and how many were left out, by reason.

    Parameters
    ----------
    structures
        Name and structure of each.
    most_sites
        Larger cells are left out.
    """
    found, left_out = [], Counter[str]()
    for name, structure in structures:
        if len(structure) > most_sites:
            left_out["too_many_sites"] += 1
            continue
        if len(structure.composition.elements) < 2:
            left_out["one_element"] += 1
            continue
        try:
            plain = plain_structure(structure)
            if MAGMOM in plain.site_properties:
                plain.remove_site_property(MAGMOM)
            label = prototype_of(plain)
        except HibanaError as error:
            left_out[error.kind.code] += 1
            continue
        composition = plain.composition
        found.append(Template(name, composition.reduced_formula, anonymous_of(composition.reduced_formula), label, plain))
    return found, dict(left_out)


def anonymous_of(formula: str) -> str:
    """Formula with letters for elements, ascending in amount."""
    from pymatgen.core import Composition

    return str(Composition(formula).reduced_composition.anonymized_formula)


def prototype_of(structure: Structure) -> str:
    """Label of a crystal's prototype.

    Raises
    ------
    HibanaError
        HIB-011 for disorder, HIB-017 where no symmetry is found.
    """
    found = symmetry_dataset(kind_cell(structure), SYMPREC)
    share = len(set(found.mapping_to_primitive.tolist())) / len(structure)
    sizes: dict[str, list[int]] = {}
    for first, count in Counter(found.crystallographic_orbits.tolist()).items():
        sizes.setdefault(structure[first].specie.symbol, []).append(round(count * share))
    orbits = sorted(" ".join(map(str, sorted(orbit))) for orbit in sizes.values())
    return f"{structure.composition.anonymized_formula}, {found.number}, {' / '.join(orbits)}"
