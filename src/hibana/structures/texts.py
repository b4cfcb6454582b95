"""Structures in texts: CIF and POSCAR."""

from __future__ import annotations

import warnings
from pathlib import Path

from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifBlock, CifFile, CifParser
from pymatgen.io.vasp import Poscar

from hibana.structures.checking import checked
from hibana.structures.errors import NO_STRUCTURE, NOT_AS_STATED, UNREADABLE

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


def structures_of_cif(text: str, where: Path | str) -> list[tuple[str, Structure]]:
    """Structures of a CIF by the name of their data block, checked.

    Raises
    ------
    HibanaError
        HIB-010 without atoms, HIB-013 if pymatgen cannot read every block with atoms, HIB-019 if the atoms or the symmetry
        are not those it states, or as :func:`hibana.structures.checking.checked`.
    """
    names = [line.strip()[5:] for line in text.splitlines() if line.strip().lower().startswith("data_")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UNREADABLE.error(f"data block {twice[0]!r} stands twice", where=where, fix="Give every data block its own name.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            blocks = CifFile.from_str(text).data
            expected = {name: block for name, block in blocks.items() if "_atom_site_fract_x" in block.data}
            structures = CifParser.from_str(text).parse_structures(primitive=False, check_occu=False) if expected else []
        except Exception as error:
            raise UNREADABLE.error(f"not a CIF that pymatgen can read: {error}", where=where) from error
    if not expected:
        raise NO_STRUCTURE.error("the CIF has no data block with atomic positions", where=where)
    if len(structures) != len(expected):
        said = "; ".join(dict.fromkeys(str(item.message).splitlines()[-1] for item in caught)) or "no reason given"
        raise UNREADABLE.error(f"{len(structures)} of {len(expected)} data blocks could be read ({said})", where=where)
    without_operations = any("Defaulting to P1" in str(item.message) for item in caught)
    found = [checked(structure, where) for structure in structures]
    for block, structure in zip(expected.values(), found, strict=True):
        _check_against_block(structure, block, where, without_operations=without_operations)
    return list(zip(expected, found, strict=True))


def blocks_of_cif(text: str) -> list[str]:
    """Texts of a CIF's data blocks that hold atoms, each a CIF of its own."""
    blocks: list[list[str]] = []
    in_text_field = False
    for line in text.splitlines():
        if line.startswith(";"):
            in_text_field = not in_text_field
        if not in_text_field and line.lstrip().lower().startswith("data_"):
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    return ["\n".join(lines) + "\n" for lines in blocks if any("_atom_site_fract_x" in line for line in lines)]


def structures_of_poscar(text: str, where: Path | str) -> list[tuple[str, Structure]]:
    """The structure of a POSCAR, checked, under an empty name.

    Raises
    ------
    HibanaError
        HIB-013 if pymatgen cannot read it or it names no elements, or as :func:`hibana.structures.checking.checked`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            poscar = Poscar.from_str(text)
        except Exception as error:
            raise UNREADABLE.error(f"not a POSCAR that pymatgen can read: {error}", where=where) from error
    if not poscar.true_names:
        raise UNREADABLE.error(
            "the POSCAR does not name its elements", where=where, fix="Add the line of element symbols (VASP 5)."
        )
    return [("", checked(poscar.structure, where))]


def _check_against_block(structure: Structure, block: CifBlock, where: Path | str, *, without_operations: bool) -> None:
    """Refuse atoms that are not those of the formula or the space group that the data block states."""
    group = next((str(block.data[tag]) for tag in SPACE_GROUP_TAGS if tag in block.data), "")
    nothing_added = len(structure) <= len(block.data["_atom_site_fract_x"])
    if without_operations and nothing_added and group.replace(" ", "").strip("'\"") not in ("", "?", ".", "1", "P1"):
        raise NOT_AS_STATED.error(f"it has no symmetry operations, and its space group {group!r} is unknown", where=where)
    formula = str(block.data.get("_chemical_formula_sum", ""))
    try:
        stated = _fractions(Composition(formula))
    except (ValueError, AttributeError):
        return
    found = _fractions(structure.composition)
    if stated and any(abs(stated.get(z, 0) - found.get(z, 0)) > FORMULA_TOLERANCE for z in stated.keys() | found.keys()):
        raise NOT_AS_STATED.error(f"its sites make {structure.reduced_formula}, its formula is {formula!r}", where=where)


def _fractions(composition: Composition) -> dict[int, float]:
    """Atomic fractions by atomic number: isotopes count as their element."""
    fractions: dict[int, float] = {}
    for element in composition.elements:
        fractions[element.Z] = fractions.get(element.Z, 0.0) + composition.get_atomic_fraction(element)
    return fractions
