"""The identity of a crystal: one key for every description of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from hibana.core.address import content_address
from hibana.documents.candidate import CandidateDoc
from hibana.structures.canonical import canonical_form
from hibana.structures.convert import from_pymatgen, to_pymatgen
from hibana.structures.standardise import standard_primitive
from hibana.structures.symmetry import kind_cell

if TYPE_CHECKING:
    from hibana.structures.reading import ReadStructure

KEY_VERSION = 1
"""Part of every key; raised when the canonical form changes."""

SAME_LENGTH = 3e-4
"""Relative difference of lattice vectors up to which two descriptions may be of one crystal."""

SAME_ANGLE = 0.02
"""Difference of angles, degrees."""

SAME_POSITION = 1e-3
"""Root mean square difference of positions in units of the cube root of the volume per atom, some 2e-3 Å."""


def structure_key(structure: Structure) -> str:
    """Digest of a crystal (64 hex digits), the same for every description of it.

    It does not depend on the order of sites, the choice of cell (supercells included), origin, orientation, oxidation
    states, the sign of all moments together, or noise far below the tolerance, and a crystal and its mirror image are one.
    It differs where species, lattice (1e-3 Å, 0.01 degrees), positions (1e-4 of a lattice vector) or the order of moments
    (0.1 μB) differ. Distortions below 0.01 Å that only break a symmetry count as noise, as they do for the inputs made.

    A grid has boundaries: the more free coordinates a crystal has, the more likely noise takes one across. Copies that agree
    in eight decimals have one key; a copy rounded to six, or a supercell of a cell that keeps its symmetry only roughly, has
    another in a few of a hundred cases, one rounded to four or five often. :func:`is_same_crystal` finds those.

    Raises
    ------
    HibanaError
        HIB-011 (disorder), HIB-015 (no element), HIB-017 (no symmetry found), HIB-018 (non-collinear moments).
    """
    return content_address({"version": KEY_VERSION, **asdict(canonical_form(kind_cell(structure)))})


def material_id(key: str) -> str:
    """Name of the material with a ``structure_key``: ``hib-`` and its first 16 digits."""
    return f"hib-{key[:16]}"


def make_candidate(read: ReadStructure) -> CandidateDoc:
    """Candidate document of a structure that was read: standardised, with its identity.

    Raises
    ------
    HibanaError
        As :func:`structure_key`.
    """
    primitive, number, symbol = standard_primitive(read.structure)
    key = structure_key(primitive)
    return CandidateDoc(
        material_id=material_id(key),
        structure_key=key,
        formula=primitive.composition.reduced_formula,
        elements=tuple(sorted(primitive.composition.as_dict())),
        n_sites=len(primitive),
        space_group_number=number,
        space_group_symbol=symbol,
        crystal=from_pymatgen(primitive),
        sources=(read.source,),
        families=() if read.family is None else (read.family,),
    )


def is_same_crystal(one: CandidateDoc, other: CandidateDoc) -> bool:
    """Whether two candidates are one crystal whose numbers were rounded differently.

    Non-magnetic candidates of one formula and space group are compared within :data:`SAME_LENGTH`, :data:`SAME_ANGLE` and
    :data:`SAME_POSITION`. Ordered moments are compared by the key alone.
    """
    if one.structure_key == other.structure_key:
        return True
    kinds = [(item.formula, item.n_sites, item.space_group_number, item.crystal.magmoms) for item in (one, other)]
    if kinds[0] != kinds[1] or one.crystal.magmoms is not None:
        return False
    matcher = StructureMatcher(
        ltol=SAME_LENGTH, angle_tol=SAME_ANGLE, stol=SAME_POSITION, primitive_cell=False, scale=False, attempt_supercell=False
    )
    return bool(matcher.fit(to_pymatgen(one.crystal), to_pymatgen(other.crystal)))
