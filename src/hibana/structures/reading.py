"""Reading structure files: CIF, POSCAR/CONTCAR and pymatgen JSON, plain or gzipped."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from monty.io import zopen
from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifBlock, CifFile, CifParser
from pymatgen.io.vasp import Poscar

from hibana.structures.convert import OCCUPANCY_TOLERANCE, element_symbol, plain_structure
from hibana.structures.errors import (
    EMPTY_FOLDER,
    NO_STRUCTURE,
    NOT_AS_STATED,
    NOT_FOUND,
    OVERLAPPING,
    UNREADABLE,
)

MIN_DISTANCE = 0.5
"""Atoms nearer than this, Å, overlap."""

FORMULA_TOLERANCE = 0.005
"""Largest difference of an element's atomic fraction from that of the formula that a CIF states."""

SPACE_GROUP_TAGS = (
    "_symmetry_space_group_name_H-M",
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_Hall",
    "_space_group_name_Hall",
    "_symmetry_Int_Tables_number",
    "_space_group_IT_number",
)
"""Where a CIF names its space group; without operations pymatgen takes these from the name, if it knows it."""

Format = Literal["cif", "poscar", "json"]


@dataclass(frozen=True)
class ReadStructure:
    """A structure and where it was read.

    Parameters
    ----------
    structure
        Ordered, with bare elements and, where the file has them, initial moments (site property ``magmom``).
    source
        Path of the file; ``path#block`` where a file holds several.
    """

    structure: Structure
    source: str


def read_structures(path: Path) -> list[ReadStructure]:
    """Read one file, or every structure file directly in a folder (sorted by name).

    Parameters
    ----------
    path
        ``*.cif``, ``POSCAR*``, ``CONTCAR*``, ``*.vasp``, ``*.poscar`` or ``*.json`` (pymatgen's Structure, or a list of
        them), each also with ``.gz``; or a folder. In a folder other files are passed over, and so are JSON files that
        hold no structure.

    Raises
    ------
    HibanaError
        HIB-010 (no structure), HIB-011 (disorder), HIB-012 (overlapping atoms), HIB-013 (unreadable or unknown format),
        HIB-014 (folder without structure files), HIB-015 (no element), HIB-016 (no such path), HIB-018 (non-collinear),
        HIB-019 (a CIF without the atoms or the symmetry it states).
    """
    if path.is_dir():
        found = [item for file in sorted(path.iterdir()) for item in _read_if_structure_file(file)]
        if not found:
            raise EMPTY_FOLDER.error("nothing to read", where=path)
        return found
    if not path.is_file():
        raise NOT_FOUND.error(f"{path} does not exist", where=path)
    kind = structure_format(path)
    if kind is None:
        raise UNREADABLE.error(f"the name {path.name!r} is of no known kind of structure file", where=path)
    found = _read_file(path, kind)
    if not found:
        raise NO_STRUCTURE.error("it holds no pymatgen Structure", where=path)
    return found


def structure_format(path: Path) -> Format | None:
    """Kind of structure file by name, or None."""
    name = path.name.removesuffix(".gz")
    lower = name.lower()
    if lower.endswith(".cif"):
        return "cif"
    if lower.endswith(".json"):
        return "json"
    if lower.endswith((".vasp", ".poscar")) or name.startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    return None


def _read_if_structure_file(path: Path) -> list[ReadStructure]:
    kind = structure_format(path) if path.is_file() else None
    return _read_file(path, kind) if kind else []


def _read_file(path: Path, kind: Format) -> list[ReadStructure]:
    try:
        with zopen(path, mode="rt", encoding="utf-8") as file:
            text = str(file.read())
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise UNREADABLE.error(f"it cannot be read as text: {error}", where=path) from error
    if not text.strip():
        raise NO_STRUCTURE.error("the file is empty", where=path)
    readers = {"cif": _from_cif, "poscar": _from_poscar, "json": _from_json}
    structures = readers[kind](text, path)
    named = len(structures) > 1
    return [ReadStructure(structure, f"{path}#{block}" if named else str(path)) for block, structure in structures]


def _from_cif(text: str, path: Path) -> list[tuple[str, Structure]]:
    names = [line.strip()[5:] for line in text.splitlines() if line.strip().lower().startswith("data_")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UNREADABLE.error(f"data block {twice[0]!r} stands twice", where=path, fix="Give every data block its own name.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            blocks = CifFile.from_str(text).data
            expected = {name: block for name, block in blocks.items() if "_atom_site_fract_x" in block.data}
            structures = CifParser.from_str(text).parse_structures(primitive=False, check_occu=False) if expected else []
        except Exception as error:
            raise UNREADABLE.error(f"not a CIF that pymatgen can read: {error}", where=path) from error
    if not expected:
        raise NO_STRUCTURE.error("the CIF has no data block with atomic positions", where=path)
    if len(structures) != len(expected):
        said = "; ".join(dict.fromkeys(str(item.message).splitlines()[-1] for item in caught)) or "no reason given"
        raise UNREADABLE.error(f"{len(structures)} of {len(expected)} data blocks could be read ({said})", where=path)
    without_operations = any("Defaulting to P1" in str(item.message) for item in caught)
    checked = [_checked(structure, path) for structure in structures]
    for block, structure in zip(expected.values(), checked, strict=True):
        _check_against_block(structure, block, path, without_operations=without_operations)
    return list(zip(expected, checked, strict=True))


def _check_against_block(structure: Structure, block: CifBlock, path: Path, *, without_operations: bool) -> None:
    """Refuse atoms that are not those of the formula or the space group that the data block states."""
    group = next((str(block.data[tag]) for tag in SPACE_GROUP_TAGS if tag in block.data), "")
    nothing_added = len(structure) <= len(block.data["_atom_site_fract_x"])
    if without_operations and nothing_added and group.replace(" ", "").strip("'\"") not in ("", "?", ".", "1", "P1"):
        raise NOT_AS_STATED.error(f"it has no symmetry operations, and its space group {group!r} is unknown", where=path)
    formula = str(block.data.get("_chemical_formula_sum", ""))
    try:
        stated = _fractions(Composition(formula))
    except (ValueError, AttributeError):
        return
    found = _fractions(structure.composition)
    if stated and any(abs(stated.get(z, 0) - found.get(z, 0)) > FORMULA_TOLERANCE for z in stated.keys() | found.keys()):
        raise NOT_AS_STATED.error(f"its sites make {structure.reduced_formula}, its formula is {formula!r}", where=path)


def _fractions(composition: Composition) -> dict[int, float]:
    """Atomic fractions by atomic number: isotopes count as their element."""
    fractions: dict[int, float] = {}
    for element in composition.elements:
        fractions[element.Z] = fractions.get(element.Z, 0.0) + composition.get_atomic_fraction(element)
    return fractions


def _from_poscar(text: str, path: Path) -> list[tuple[str, Structure]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            poscar = Poscar.from_str(text)
        except Exception as error:
            raise UNREADABLE.error(f"not a POSCAR that pymatgen can read: {error}", where=path) from error
    if not poscar.true_names:
        raise UNREADABLE.error(
            "the POSCAR does not name its elements", where=path, fix="Add the line of element symbols (VASP 5)."
        )
    return [("", _checked(poscar.structure, path))]


def _from_json(text: str, path: Path) -> list[tuple[str, Structure]]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UNREADABLE.error(f"not JSON: {error}", where=path) from error
    items = data if isinstance(data, list) else [data]
    others = [item for item in items if not (isinstance(item, dict) and {"lattice", "sites"} <= item.keys())]
    if len(others) == len(items):
        return []
    if others:
        raise UNREADABLE.error(f"{len(others)} of its {len(items)} entries are no Structure", where=path)
    try:
        structures = [Structure.from_dict(item) for item in items]
    except Exception as error:
        raise UNREADABLE.error(f"not a Structure that pymatgen can read: {error!r}", where=path) from error
    return [(str(number), _checked(structure, path)) for number, structure in enumerate(structures, 1)]


def _checked(structure: Structure, path: Path) -> Structure:
    """The structure with bare elements, sorted, if every site is one element and no two atoms overlap."""
    if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
        raise UNREADABLE.error("lattice or coordinates are not numbers", where=path)
    _check_sites(structure, path)
    lattice = structure.lattice
    if min(lattice.abc) < MIN_DISTANCE or lattice.volume < MIN_DISTANCE**3:
        raise OVERLAPPING.error(f"lattice vectors of {lattice.abc} Å span {lattice.volume:.3g} Å^3", where=path)
    distances = structure.distance_matrix + np.diag(np.full(len(structure), np.inf))
    first, second = np.unravel_index(np.argmin(distances), distances.shape)
    if distances[first, second] < MIN_DISTANCE:
        pair = f"{structure[first].species_string} and {structure[second].species_string}"
        raise OVERLAPPING.error(f"{pair} are {distances[first, second]:.3f} Å apart", where=path)
    return plain_structure(structure)


def _check_sites(structure: Structure, path: Path) -> None:
    for site in structure:
        if sum(site.species.values()) > 1 + OCCUPANCY_TOLERANCE:
            place = np.round(site.frac_coords, 4).tolist()
            raise OVERLAPPING.error(f"the site at {place} holds {site.species_string}, more than one atom", where=path)
        element_symbol(site, where=path)
