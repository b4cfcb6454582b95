"""Reading structure files: CIF, POSCAR/CONTCAR, JSON and JSON lines, plain or gzipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from monty.io import zopen
from pymatgen.core import Structure

from hibana.documents.candidate import FAMILY_LABEL, Family
from hibana.structures.checking import checked
from hibana.structures.errors import EMPTY_FOLDER, NO_STRUCTURE, NOT_FOUND, UNREADABLE
from hibana.structures.records import entries_of, structure_of_entry
from hibana.structures.texts import structures_of_cif, structures_of_poscar

CANDIDATES = "candidates.jsonl.gz"
"""What a folder that ``hibana screen`` wrote holds; of such a folder nothing else is read."""

Format = Literal["cif", "poscar", "json", "jsonl"]


@dataclass(frozen=True)
class ReadStructure:
    """A structure and where it was read.

    Parameters
    ----------
    structure
        Ordered, with bare elements and, where the file has them, initial moments (site property ``magmom``).
    source
        Path of the file; ``path#block`` where a file holds several. Of a screened candidate what the screening read.
    family
        What a screening said of its family; None for a structure that was not screened.
    """

    structure: Structure
    source: str
    family: Family | None = None


def read_structures(path: Path) -> list[ReadStructure]:
    """Read one file, or every structure file directly in a folder (sorted by name).

    Parameters
    ----------
    path
        ``*.cif``, ``POSCAR*``, ``CONTCAR*``, ``*.vasp``, ``*.poscar``, ``*.json`` or ``*.jsonl`` (structures of pymatgen and
        ASE, OPTIMADE responses, documents of the Materials Project), each also with ``.gz``; or a folder. In a folder other
        files are passed over, and so are JSON files that hold no structure; of a folder that ``hibana screen`` wrote the
        candidates are read.

    Raises
    ------
    HibanaError
        HIB-010 (no structure), HIB-011 (disorder), HIB-012 (overlapping atoms), HIB-013 (unreadable or unknown format),
        HIB-014 (folder without structure files), HIB-015 (no element), HIB-016 (no such path), HIB-018 (non-collinear),
        HIB-019 (a CIF without the atoms or the symmetry it states), HIB-020 (not periodic).
    """
    if path.is_dir():
        found = [item for file in structure_files(path) for item in _read_in_folder(file)]
        if not found:
            raise EMPTY_FOLDER.error("nothing to read", where=path)
        return found
    return list(iterate_structures(path))


def iterate_structures(path: Path) -> Iterator[ReadStructure]:
    """Read one file; of JSON lines one structure at a time is held in memory.

    Raises
    ------
    HibanaError
        As :func:`read_structures`.
    """
    if not path.is_file():
        raise NOT_FOUND.error(f"{path} does not exist", where=path)
    kind = structure_format(path)
    if kind is None:
        raise UNREADABLE.error(f"the name {path.name!r} is of no known kind of structure file", where=path)
    is_empty = True
    for item in _lines(path) if kind == "jsonl" else _whole(path, kind):
        is_empty = False
        yield item
    if is_empty:
        raise NO_STRUCTURE.error("it holds no structure", where=path)


def structure_files(folder: Path) -> list[Path]:
    """Structure files directly in a folder, sorted by name; of one that ``hibana screen`` wrote its candidates."""
    screened = folder / CANDIDATES
    if screened.is_file():
        return [screened]
    return sorted(item for item in folder.iterdir() if item.is_file() and structure_format(item))


def structure_format(path: Path) -> Format | None:
    """Kind of structure file by name, or None."""
    name = path.name.removesuffix(".gz")
    lower = name.lower()
    if lower.endswith(".cif"):
        return "cif"
    if lower.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if lower.endswith(".json"):
        return "json"
    if lower.endswith((".vasp", ".poscar")) or name.startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    return None


def read_text(path: Path) -> str:
    """Text of a file, unpacked.

    Raises
    ------
    HibanaError
        HIB-010 if it is empty, HIB-013 if it is no text.
    """
    try:
        with zopen(path, mode="rt", encoding="utf-8") as file:
            text = str(file.read())
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise UNREADABLE.error(f"it cannot be read as text: {error}", where=path) from error
    if not text.strip():
        raise NO_STRUCTURE.error("the file is empty", where=path)
    return text


def _read_in_folder(file: Path) -> list[ReadStructure]:
    if structure_format(file) == "jsonl":
        return list(iterate_structures(file))
    return list(_whole(file, structure_format(file)))


def _whole(path: Path, kind: Format | None) -> Iterator[ReadStructure]:
    text = read_text(path)
    if kind == "json":
        found = _from_json(text, path)
    else:
        found = structures_of_cif(text, path) if kind == "cif" else structures_of_poscar(text, path)
    for block, structure in found:
        yield ReadStructure(structure, f"{path}#{block}" if len(found) > 1 else str(path))


def _from_json(text: str, path: Path) -> list[tuple[str, Structure]]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UNREADABLE.error(f"not JSON: {error}", where=path) from error
    entries = list(entries_of(data))
    others = [entry for entry in entries if entry.kind is None]
    if len(others) == len(entries):
        return []
    if others:
        raise UNREADABLE.error(f"{len(others)} of its {len(entries)} entries are no structure", where=path)
    return [(str(entry.number), checked(structure_of_entry(entry, path), path)) for entry in entries]


def _lines(path: Path) -> Iterator[ReadStructure]:
    try:
        with zopen(path, mode="rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if str(line).strip():
                    yield _from_line(str(line), path, number)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise UNREADABLE.error(f"it cannot be read as text: {error}", where=path) from error


def _from_line(line: str, path: Path, number: int) -> ReadStructure:
    where = f"{path}#{number}"
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise UNREADABLE.error(f"line {number} is not JSON: {error}", where=where) from error
    entries = list(entries_of(data))
    if len(entries) != 1 or entries[0].kind is None:
        raise UNREADABLE.error(f"line {number} holds no structure, or several", where=where)
    screened = data.get("source") if isinstance(data, dict) and "family" in data else None
    return ReadStructure(checked(structure_of_entry(entries[0], where), where), str(screened or where), _family(data))


def _family(data: Any) -> Family | None:
    """The family of a line that ``hibana screen`` wrote; a field of this name in other files means something else."""
    label, rule = (data.get("family"), data.get("family_rule", 1)) if isinstance(data, dict) else (None, 1)
    is_ours = isinstance(label, str) and FAMILY_LABEL.fullmatch(label) and isinstance(rule, int)
    return Family(label=label, rule=rule) if is_ours else None
