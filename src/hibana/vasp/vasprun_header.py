"""Head of vasprun.xml: generator, inputs, atoms, k-points and the starting cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from lxml import etree
from numpy.typing import NDArray

Array = NDArray[np.float64]

TAIL = b"</modeling>"

MISPRINTED_SYMBOLS = {"X": "Xe", "r": "Zr"}
"""VASP cuts the symbol of a few potentials."""


class DamagedVasprunError(ValueError):
    """A vasprun.xml without a readable header."""


@dataclass
class Cell:
    """Lattice vectors as rows (3, 3) in Å and fractional coordinates (n, 3)."""

    lattice: Array
    positions: Array


@dataclass
class Header:
    """What precedes the first ionic step; ``masses`` (n,) in u and ``site_valence`` (n,) are those of each site's potential."""

    generator: dict[str, str]
    incar: dict[str, Any]
    parameters: dict[str, Any]
    species: tuple[str, ...]
    potcars: tuple[str, ...]
    masses: Array
    site_valence: Array
    kpoint_scheme: dict[str, Any]
    kpoints: Array
    kpoint_weights: Array
    initial: Cell


def parse_header(text: bytes) -> Header:
    """Read the head of a vasprun.xml.

    Raises
    ------
    DamagedVasprunError
        If it is not readable or has no inputs, atoms or cell.
    """
    fragment = text if text.rstrip().endswith(TAIL) else text + TAIL
    try:
        root = etree.fromstring(fragment, etree.XMLParser(huge_tree=True))
    except etree.XMLSyntaxError as error:
        raise DamagedVasprunError(f"the header is not readable: {error}") from error
    found = {element.get("name", element.tag): element for element in root}
    missing = {"generator", "parameters", "atominfo", "kpoints", "initialpos"} - found.keys()
    if missing:
        raise DamagedVasprunError(f"the header has no {', '.join(sorted(missing))}")
    species, potcars, masses, site_valence = _atoms(found["atominfo"])
    scheme, kpoints, weights = read_kpoints(found["kpoints"])
    incar = found.get("incar")
    return Header(
        generator={item.get("name", ""): (item.text or "").strip() for item in found["generator"]},
        incar={} if incar is None else _settings(incar),
        parameters=_settings(found["parameters"]),
        species=species,
        potcars=potcars,
        masses=masses,
        site_valence=site_valence,
        kpoint_scheme=scheme,
        kpoints=kpoints,
        kpoint_weights=weights,
        initial=read_cell(found["initialpos"]),
    )


def _settings(element: Any) -> dict[str, Any]:
    """Tags of <incar> or <parameters>; of repeated names the first one counts."""
    values: dict[str, Any] = {}
    for item in element.iter("i", "v"):
        name = item.get("name", "").strip()
        if name and name not in values:
            value = _value(item)
            if value is not None:
                values[name] = value
    return values


def _is_true(word: str) -> bool:
    return word.strip(".").upper().startswith("T")


_CONVERT: dict[str, Callable[[str], Any]] = {"int": int, "string": str, "logical": _is_true}
"""How the values of a type are read; without a type they are real numbers."""


def _value(item: Any) -> Any:
    """A setting in its type, without the comment old versions keep behind it; None where the print overflowed."""
    text = re.split(r"[!#]", item.text or "", maxsplit=1)[0].strip()
    convert = _CONVERT.get(item.get("type", ""), float)
    try:
        if item.tag == "i":
            return convert(text)
        return [convert(word) for word in text.split()]
    except ValueError:
        return None


def _atoms(element: Any) -> tuple[tuple[str, ...], tuple[str, ...], Array, Array]:
    """Symbol of each site, TITEL of each potential, and mass and valence electrons of each site."""
    species: tuple[str, ...] = ()
    potcars: tuple[str, ...] = ()
    masses = valence = np.zeros(0)
    for array in element.findall("array"):
        rows = [[(cell.text or "").strip() for cell in row] for row in array.iterfind("set/rc")]
        if array.get("name") == "atoms":
            species = tuple(MISPRINTED_SYMBOLS.get(row[0], row[0]) for row in rows)
        elif array.get("name") == "atomtypes":
            potcars = tuple(row[4] for row in rows)
            counts = [int(row[0]) for row in rows]
            masses, valence = (np.repeat([float(row[column]) for row in rows], counts) for column in (2, 3))
    return species, potcars, masses, valence


def read_kpoints(element: Any) -> tuple[dict[str, Any], Array, Array]:
    """How <kpoints> were made, the points (nk, 3) and their weights (nk,)."""
    points = np.zeros((0, 3))
    weights = np.zeros(0)
    for varray in element.findall("varray"):
        if varray.get("name") == "kpointlist":
            points = read_vectors(varray)
        elif varray.get("name") == "weights":
            weights = read_vectors(varray).ravel()
    scheme: dict[str, Any] = {"style": "Reciprocal", "n_points": len(points), "n_zero_weight": int((weights == 0).sum())}
    generation = element.find("generation")
    if generation is not None:
        scheme["style"] = generation.get("param", "Reciprocal")
        for vector in generation.findall("v"):
            numbers = (vector.text or "").split()
            if vector.get("name") == "divisions":
                scheme["divisions"] = [int(number) for number in numbers]
            elif vector.get("name") == "usershift":
                scheme["shift"] = [float(number) for number in numbers]
    return scheme, points, weights


def read_vectors(varray: Any) -> Array:
    """Rows of a <varray>, as a matrix; Fortran's overflow stars become NaN.

    Raises
    ------
    ValueError
        If the rows are ragged or hold something else than numbers.
    """
    return np.loadtxt([re.sub(r"\S*\*\S*", " nan ", row.text or "") for row in varray.iterfind("v")], ndmin=2)


def read_cell(element: Any) -> Cell:
    """The cell of a <structure>."""
    found = {varray.get("name"): varray for varray in element.iter("varray")}
    return Cell(read_vectors(found["basis"]), read_vectors(found["positions"]))
