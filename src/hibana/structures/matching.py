"""When two crystals are of one family, and the families of one formula.

Two crystals are *alike* if they have the same key, or

1. the same reduced formula,
2. a space group in common at some tolerance of :data:`SYMPRECS` (each has one at every tolerance; enantiomorphs count as one),
3. the same order of moments, up to reversing all of them, and
4. a match by pymatgen's StructureMatcher with no site further off than :data:`SITE_TOLERANCE`, in one direction or the other.

The relation is symmetric by 4. It is not transitive: a family is a connected component of it. Within a family, the crystal
that ranks first represents those that are alike to it; of the others the first represents the rest, and so on. So no crystal
is left out unless one that is alike to it stays, and the families do not depend on the order in which crystals come.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Species, Structure

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.structures.canonical import ENANTIOMORPHS
from hibana.structures.convert import to_pymatgen
from hibana.structures.intake import unpacked
from hibana.structures.symmetry import crystal_cell, symmetry_dataset

FAMILY_RULE = 1
"""Version of the rule above with the tolerances below; raised with every change of either."""

SYMPRECS = (0.01, 0.03, 0.1)
"""Tolerances of the symmetry search, Å; the last is the Materials Project's."""

LENGTH_TOLERANCE = 0.2
"""Relative difference of lattice vectors at equal volume; pymatgen's default."""

ANGLE_TOLERANCE = 5.0
"""Difference of angles, degrees; pymatgen's default."""

SITE_TOLERANCE = 0.15
"""Largest distance of two matched sites in units of the cube root of the volume per atom, some 0.35 Å; pymatgen has 0.3."""

ORDERED_MOMENT = 0.5
"""A site whose moment is above this, μB, is up or down when orders are compared."""


class Member:
    """A crystal as it is compared with others.

    Parameters
    ----------
    key
        Its structure key.
    crystal
        Its standardised primitive cell, packed.
    """

    def __init__(self, key: str, crystal: bytes) -> None:
        self.key = key
        self._crystal = crystal

    @cached_property
    def crystal(self) -> Crystal:
        """The crystal."""
        return unpacked(self._crystal)

    @cached_property
    def space_groups(self) -> frozenset[int]:
        """Space groups at all tolerances; moments play no part."""
        cell = crystal_cell(self.crystal.model_copy(update={"magmoms": None}))
        found = set()
        for symprec in SYMPRECS:
            try:
                number = int(symmetry_dataset(cell, symprec, -1.0).number)
            except HibanaError:
                continue
            found.add(ENANTIOMORPHS.get(number, number))
        return frozenset(found)

    @cached_property
    def reduced(self) -> Structure:
        """Niggli cell as the matcher wants it; ordered moments are a part of the species."""
        return _reduced(self.crystal, 1)

    @cached_property
    def flipped(self) -> Structure | None:
        """The same with all moments reversed, None without moments."""
        return None if self.crystal.magmoms is None else _reduced(self.crystal, -1)

    @cached_property
    def lengths(self) -> NDArray[np.float64]:
        """Lengths of the reduced cell of volume 1, ascending: the successive minima of the lattice."""
        return np.sort(self.reduced.lattice.abc) / self.reduced.volume ** (1 / 3)


@dataclass(frozen=True)
class Family:
    """What was found of the crystals of one formula.

    Parameters
    ----------
    family
        By key: the smallest key of its family.
    representative
        By key of each crystal that is wanted: the key that stands for it, its own for a representative.
    stored
        By key of each representative that the store has: the ``material_id`` there.
    fault
        Why they could not be compared; empty if they were.
    """

    family: dict[str, str]
    representative: dict[str, str]
    stored: dict[str, str]
    fault: str = ""


@dataclass(frozen=True)
class Bucket:
    """Crystals of one formula, with different keys.

    Parameters
    ----------
    members
        Key and packed crystal of each.
    wanted
        Keys that may represent, the best first.
    stored
        ``material_id``, key and packed crystal of what the store has.
    """

    members: tuple[tuple[str, bytes], ...]
    wanted: tuple[str, ...]
    stored: tuple[tuple[str, str, bytes], ...] = ()


def find_families(bucket: Bucket) -> Family:
    """Families of one formula, their representatives, and which of these the store has."""
    members = {key: Member(key, crystal) for key, crystal in sorted(bucket.members)}
    judged: dict[tuple[str, str], bool] = {}

    def alike(one: str, other: str) -> bool:
        pair = (min(one, other), max(one, other))
        if pair not in judged:
            judged[pair] = are_alike(members[pair[0]], members[pair[1]])
        return judged[pair]

    family = {key: key for key in members}
    for one, other in combinations(sorted(members), 2):
        if family[one] != family[other] and alike(one, other):
            joined, left = sorted((family[one], family[other]))
            family = {key: joined if root == left else root for key, root in family.items()}
    representative: dict[str, str] = {}
    for number, key in enumerate(bucket.wanted):
        if key not in representative:
            same = [other for other in bucket.wanted[number:] if family[other] == family[key] and other not in representative]
            representative |= {other: key for other in same if other == key or alike(key, other)}
    stored = [(material_id, Member(key, crystal)) for material_id, key, crystal in sorted(bucket.stored)]
    known = {}
    for key in sorted(set(representative.values())):
        found = next((material_id for material_id, member in stored if are_alike(members[key], member)), None)
        if found is not None:
            known[key] = found
    return Family(family, representative, known)


def are_alike(one: Member, other: Member) -> bool:
    """Whether two crystals of one formula are alike; the order of the two does not matter."""
    return difference(one, other) is None


def difference(one: Member, other: Member) -> str | None:
    """In what two crystals of one formula differ, the first of the conditions that does not hold; None if they are alike."""
    if one.key == other.key:
        return None
    if (one.crystal.magmoms is None) != (other.crystal.magmoms is None):
        return "moments"
    if not one.space_groups & other.space_groups:
        return "space group"
    if len(one.reduced) != len(other.reduced):
        return "number of sites"
    if lattices_differ(one, other):
        return "lattice"
    first, second = sorted((one, other), key=lambda member: member.key)
    images = [second.reduced, *([] if second.flipped is None else [second.flipped])]
    matcher = make_matcher()
    match = any(
        matcher.fit(first.reduced, image, skip_structure_reduction=True)
        or matcher.fit(image, first.reduced, skip_structure_reduction=True)
        for image in images
    )
    return None if match else "sites"


def make_matcher(**changes: Any) -> StructureMatcher:
    """StructureMatcher with the tolerances of families."""
    asked = {"ltol": LENGTH_TOLERANCE, "stol": SITE_TOLERANCE, "angle_tol": ANGLE_TOLERANCE, **changes}
    return StructureMatcher(**asked)


def lattices_differ(one: Member, other: Member) -> bool:
    """Whether no basis of one lattice can be within the length tolerance of the other's, in either direction.

    The i-th successive minimum of a lattice is at most the i-th length of any of its bases. A basis within the tolerance of the
    other's Niggli cell would therefore have each minimum at most (1 + tolerance) times the other's.
    """
    limit = (1 + LENGTH_TOLERANCE) * (1 + 1e-6)
    return bool(np.any(one.lengths > limit * other.lengths) and np.any(other.lengths > limit * one.lengths))


def _reduced(crystal: Crystal, sign: int) -> Structure:
    structure = to_pymatgen(crystal.model_copy(update={"magmoms": None}))
    if crystal.magmoms is not None:
        spins = [sign * float(np.sign(moment)) * (abs(moment) > ORDERED_MOMENT) for moment in crystal.magmoms]
        species = [Species(symbol, spin=int(spin)) for symbol, spin in zip(crystal.species, spins, strict=True)]
        structure = Structure(structure.lattice, species, structure.frac_coords)
    return structure.get_primitive_structure().get_reduced_structure(reduction_algo="niggli")
