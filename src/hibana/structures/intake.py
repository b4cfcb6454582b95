"""One piece of a source becomes the facts that screening needs; whatever is wrong with it becomes an answer too."""

from __future__ import annotations

import json
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from hibana.core.errors import HibanaError
from hibana.documents.candidate import CandidateDoc
from hibana.documents.crystal import Crystal
from hibana.structures.checking import checked
from hibana.structures.convert import MAGMOM
from hibana.structures.errors import NO_STRUCTURE, READER_DIED, UNREADABLE
from hibana.structures.identity import make_candidate
from hibana.structures.reading import ReadStructure, read_text
from hibana.structures.records import Entry, entries_of, structure_of_entry
from hibana.structures.sources import Piece
from hibana.structures.symmetry import crystal_cell, symmetry_dataset
from hibana.structures.texts import blocks_of_cif, structures_of_cif, structures_of_poscar
from hibana.structures.values import Values, values_of


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules are about.

    Parameters
    ----------
    formula
        Reduced formula.
    elements
        Elements, alphabetically.
    n_sites
        Atoms in the standardised primitive cell.
    space_group
        Number of the space group.
    volume_per_atom
        Å^3.
    orbits
        Inequivalent sites by element, where they were asked for.
    site_moment
        Largest initial moment of a site, μB; None where the input gives none.
    values
        What the entry says of itself.
    material_id, structure_key
        Identity of the crystal.
    crystal
        Standardised primitive cell, packed.
    """

    formula: str
    elements: tuple[str, ...]
    n_sites: int
    space_group: int
    volume_per_atom: float
    orbits: dict[str, int]
    site_moment: float | None
    values: Values
    material_id: str
    structure_key: str
    crystal: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Taken:
    """One input: where it stands, what it calls itself, and the facts or the error."""

    source: str
    place: tuple[int, int]
    name: str
    facts: Facts | None = None
    error: HibanaError | None = None
    reason: str = ""


def take_in(piece: Piece, *, orbits: bool = True) -> list[Taken]:
    """All inputs of a piece; one that cannot be used carries its error, and a file of another kind its reason.

    Parameters
    ----------
    piece
        The piece.
    orbits
        Whether inequivalent sites are counted, which takes a symmetry search of its own.
    """
    if piece.kind == "passed_over":
        return [Taken(piece.source, (piece.number, 0), "", reason=piece.reason)]
    if piece.error is not None:
        return [Taken(piece.source, (piece.number, 0), "", error=piece.error)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _inputs(piece, _text(piece), orbits)
        except HibanaError as error:
            return [Taken(piece.source, (piece.number, 0), "", error=error)]


def died(piece: Piece) -> list[Taken]:
    """What is said of a piece whose reading ended the process."""
    error = READER_DIED.error("the process that read it ended without an answer", where=piece.source)
    return [Taken(piece.source, (piece.number, 0), "", error=error)]


def packed(crystal: Crystal) -> bytes:
    """A crystal as few bytes; :func:`unpacked` gives it back."""
    return zlib.compress(crystal.model_dump_json().encode(), level=1)


def unpacked(data: bytes) -> Crystal:
    """The crystal of :func:`packed`."""
    return Crystal.model_validate_json(zlib.decompress(data))


def _text(piece: Piece) -> str:
    if piece.content is None:
        return read_text(Path(piece.source))
    try:
        text = piece.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UNREADABLE.error(f"it cannot be read as text: {error}", where=piece.source) from error
    if not text.strip():
        raise NO_STRUCTURE.error("the file is empty", where=piece.source)
    return text


def _inputs(piece: Piece, text: str, orbits: bool) -> list[Taken]:
    if piece.kind in ("json", "jsonl"):
        return list(_from_json(piece, text, orbits))
    blocks = blocks_of_cif(text) if piece.kind == "cif" else []
    parts = blocks if len(blocks) > 1 else [text]
    several = len(parts) > 1
    places = [(number if several else piece.number, 0) for number in range(1, len(parts) + 1)]
    return [_from_text(piece, part, place, orbits) for part, place in zip(parts, places, strict=True)]


def _from_text(piece: Piece, text: str, place: tuple[int, int], orbits: bool) -> Taken:
    read = structures_of_cif if piece.kind == "cif" else structures_of_poscar
    name = ""
    try:
        ((name, structure),) = read(text, piece.source)
        return Taken(piece.source, place, name, facts=_facts(structure, _site_moment(structure), {}, piece.source, orbits))
    except Exception as error:
        return Taken(piece.source, place, name, error=_numbered(error, piece.source))


def _from_json(piece: Piece, text: str, orbits: bool) -> Iterator[Taken]:
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UNREADABLE.error(f"not JSON: {error}", where=piece.source) from error
    entries = list(entries_of(data))
    if not entries:
        raise NO_STRUCTURE.error("it holds no entry", where=piece.source)
    for entry in entries:
        yield _from_entry(piece, entry, _place(piece, entry, entries), orbits)


def _place(piece: Piece, entry: Entry, entries: Sequence[Entry]) -> tuple[int, int]:
    if len(entries) == 1:
        return (piece.number, 0)
    return (piece.number, entry.number) if piece.number else (entry.number, 0)


def _from_entry(piece: Piece, entry: Entry, place: tuple[int, int], orbits: bool) -> Taken:
    try:
        if entry.kind is None:
            raise NO_STRUCTURE.error("the entry holds no structure", where=piece.source)
        written = structure_of_entry(entry, piece.source)
        structure = checked(written, piece.source)
        facts = _facts(structure, _site_moment(written), values_of(entry.data), piece.source, orbits)
        return Taken(piece.source, place, entry.name, facts=facts)
    except Exception as error:
        return Taken(piece.source, place, entry.name, error=_numbered(error, piece.source))


def _numbered(error: Exception, source: str) -> HibanaError:
    """The error as it stands in the report; what no reader foresaw is an unreadable file."""
    return error if isinstance(error, HibanaError) else UNREADABLE.error(f"{type(error).__name__}: {error}", where=source)


def _site_moment(structure: Structure) -> float | None:
    """Largest moment of a site, μB; None where none is given."""
    given = [moment for moment in structure.site_properties.get(MAGMOM) or () if moment is not None]
    return max((float(np.max(np.abs(np.asarray(getattr(item, "moment", item), dtype=float)))) for item in given), default=None)


def _facts(structure: Structure, site_moment: float | None, values: Values, source: str, orbits: bool) -> Facts:
    candidate = make_candidate(ReadStructure(structure, source))
    return Facts(
        formula=candidate.formula,
        elements=candidate.elements,
        n_sites=candidate.n_sites,
        space_group=candidate.space_group_number,
        volume_per_atom=float(abs(np.linalg.det(candidate.crystal.lattice))) / candidate.n_sites,
        orbits=_orbits(candidate) if orbits else {},
        site_moment=site_moment,
        values=values,
        material_id=candidate.material_id,
        structure_key=candidate.structure_key,
        crystal=packed(candidate.crystal),
    )


def _orbits(candidate: CandidateDoc) -> dict[str, int]:
    """Inequivalent sites by element; a cell without symmetry needs no search."""
    if candidate.space_group_number == 1:
        return dict(Counter(candidate.crystal.species))
    orbits = symmetry_dataset(crystal_cell(candidate.crystal)).equivalent_atoms
    return dict(Counter(candidate.crystal.species[index] for index in np.unique(orbits)))
