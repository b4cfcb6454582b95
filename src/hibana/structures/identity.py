"""The identity of a crystal: one key for every description of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from hibana.core.address import content_address
from hibana.documents.candidate import CandidateDoc
from hibana.structures.canonical import canonical_form
from hibana.structures.convert import from_pymatgen
from hibana.structures.standardise import standardise
from hibana.structures.symmetry import kind_cell

if TYPE_CHECKING:
    from hibana.structures.reading import ReadStructure

KEY_VERSION = 1
"""Part of every key; raised when the canonical form changes."""


def structure_key(structure: Structure) -> str:
    """Digest of a crystal (64 hex digits), the same for every description of it.

    It does not depend on the order of sites, the choice of cell (supercells included), origin, orientation, oxidation
    states, the sign of all moments together, or noise far below the tolerance, and a crystal and its mirror image are one.
    It differs where species, lattice (1e-3 Å, 0.01 degrees), positions (1e-4 of a lattice vector) or the order of moments
    (0.1 μB) differ. Distortions below 0.01 Å that only break a symmetry count as noise, as they do for the inputs made.

    A grid has boundaries: the more free coordinates a crystal has, the more likely noise takes one across. Copies that agree
    in eight decimals have one key; a copy rounded to six, or a supercell of a cell that keeps its symmetry only roughly, has
    another in a few of a hundred cases, one rounded to four or five often.

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
    standard = standardise(read.structure)
    key = structure_key(standard.primitive)
    composition = standard.primitive.composition
    return CandidateDoc(
        material_id=material_id(key),
        structure_key=key,
        formula=composition.reduced_formula,
        elements=tuple(sorted(composition.as_dict())),
        n_sites=len(standard.primitive),
        space_group_number=standard.space_group_number,
        space_group_symbol=standard.space_group_symbol,
        crystal=from_pymatgen(standard.primitive),
        sources=(read.source,),
    )
