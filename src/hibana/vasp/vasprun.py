"""vasprun.xml: the fields a run document needs, without building the whole tree.

Most of the file is tables. Those of the last ionic step are cut out of the text and read as arrays; what is left of the
header and of that step is small and goes through an XML parser. Earlier ionic steps are only counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from hibana.vasp.numbers import DamagedTableError, inner
from hibana.vasp.vasprun_tables import densities_of_states, dielectric_function, eigenvalues
from hibana.vasp.vasprun_tables import projections as read_projections

Array = NDArray[np.float64]

TAIL = b"</modeling>"
CALCULATION = b"<calculation>"
CALCULATION_END = b"</calculation>"
_LARGE = re.compile(
    rb"<(eigenvalues|dos|projected|eigenvalues_kpoints_opt|projected_kpoints_opt|dielectricfunction|conductivity)( [^>]*)?>"
)
DENSITY_RESPONSE = (b"", b'comment="density-density"')
"""Labels of the dielectric function from the density response: VASP 5 has none, and writes it first."""

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
class LastStep:
    """The last complete ionic step.

    ``energy`` is energy(sigma->0) in eV; ``scf_steps`` is the number of electronic steps of the ground state,
    ``response_steps`` those of each response calculation that followed.
    """

    energy: float | None = None
    scf_steps: int = 0
    response_steps: tuple[int, ...] = ()
    cell: Cell | None = None
    forces: Array | None = None
    stress: Array | None = None
    epsilon: Array | None = None
    epsilon_ion: Array | None = None
    born_charges: Array | None = None
    kpoints: Array | None = None
    kpoint_weights: Array | None = None
    efermi: float | None = None
    tables: dict[str, Array] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()


@dataclass
class VasprunData:
    """What is kept of a vasprun.xml."""

    complete: bool
    generator: dict[str, str]
    incar: dict[str, Any]
    parameters: dict[str, Any]
    species: tuple[str, ...]
    potcars: tuple[str, ...]
    valence: float | None
    kpoint_scheme: dict[str, Any]
    kpoints: Array
    kpoint_weights: Array
    initial: Cell
    final: Cell
    n_ionic_steps: int
    last: LastStep


def read_vasprun(text: bytes, *, whole: bool = True, projections: bool = True) -> VasprunData:
    """Read a vasprun.xml; a cut-off one gives its last complete ionic step.

    Parameters
    ----------
    text
        Content of the file.
    whole
        Whether all of it is there as far as the file system can say.
    projections
        Whether to read the site projections of the eigenstates, the largest table.

    Raises
    ------
    DamagedVasprunError
        If the header (inputs and starting cell) is not readable.
    """
    complete = whole and text.rstrip(b" \r\n\t\0").endswith(TAIL)
    starts = [match.start() for match in re.finditer(CALCULATION, text)]
    header = _parse_header(text[: starts[0]] if starts else text)
    last, n_steps = LastStep(), 0
    if starts:
        ended = text.endswith(CALCULATION_END, starts[-1], len(text)) or text.find(CALCULATION_END, starts[-1]) >= 0
        n_steps = len(starts) if ended else len(starts) - 1
        if n_steps:
            begin = starts[n_steps - 1]
            step = text[begin : text.find(CALCULATION_END, begin) + len(CALCULATION_END)]
            complete = _read_step(step, last, header, projections) and complete
    final = last.cell or header.initial
    if complete:
        final = _final_cell(text[text.rfind(CALCULATION_END) + len(CALCULATION_END) :]) or final
    return VasprunData(
        complete=complete,
        generator=header.generator,
        incar=header.incar,
        parameters=header.parameters,
        species=header.species,
        potcars=header.potcars,
        valence=header.valence,
        kpoint_scheme=header.kpoint_scheme,
        kpoints=header.kpoints if last.kpoints is None else last.kpoints,
        kpoint_weights=header.kpoint_weights if last.kpoint_weights is None else last.kpoint_weights,
        initial=header.initial,
        final=final,
        n_ionic_steps=n_steps,
        last=last,
    )


@dataclass
class _Header:
    generator: dict[str, str]
    incar: dict[str, Any]
    parameters: dict[str, Any]
    species: tuple[str, ...]
    potcars: tuple[str, ...]
    valence: float | None
    kpoint_scheme: dict[str, Any]
    kpoints: Array
    kpoint_weights: Array
    initial: Cell


def _parse_header(text: bytes) -> _Header:
    fragment = text if text.rstrip().endswith(TAIL) else text + TAIL
    try:
        root = etree.fromstring(fragment, etree.XMLParser(huge_tree=True))
    except etree.XMLSyntaxError as error:
        raise DamagedVasprunError(f"the header is not readable: {error}") from error
    found = {element.get("name", element.tag): element for element in root}
    missing = {"generator", "parameters", "atominfo", "kpoints", "initialpos"} - found.keys()
    if missing:
        raise DamagedVasprunError(f"the header has no {', '.join(sorted(missing))}")
    species, potcars, valence = _atoms(found["atominfo"])
    scheme, kpoints, weights = _kpoints(found["kpoints"])
    incar = found.get("incar")
    return _Header(
        generator={item.get("name", ""): (item.text or "").strip() for item in found["generator"]},
        incar={} if incar is None else _settings(incar),
        parameters=_settings(found["parameters"]),
        species=species,
        potcars=potcars,
        valence=valence,
        kpoint_scheme=scheme,
        kpoints=kpoints,
        kpoint_weights=weights,
        initial=_cell(found["initialpos"]),
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


def _atoms(element: Any) -> tuple[tuple[str, ...], tuple[str, ...], float | None]:
    """Symbol of each site, TITEL of each potential, and the valence electrons of all atoms."""
    species: tuple[str, ...] = ()
    potcars: tuple[str, ...] = ()
    valence: float | None = None
    for array in element.findall("array"):
        rows = [[(cell.text or "").strip() for cell in row] for row in array.iterfind("set/rc")]
        if array.get("name") == "atoms":
            species = tuple(MISPRINTED_SYMBOLS.get(row[0], row[0]) for row in rows)
        elif array.get("name") == "atomtypes":
            potcars = tuple(row[4] for row in rows)
            valence = sum(int(row[0]) * float(row[3]) for row in rows)
    return species, potcars, valence


def _kpoints(element: Any) -> tuple[dict[str, Any], Array, Array]:
    points = np.zeros((0, 3))
    weights = np.zeros(0)
    for varray in element.findall("varray"):
        if varray.get("name") == "kpointlist":
            points = _vectors(varray)
        elif varray.get("name") == "weights":
            weights = _vectors(varray).ravel()
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


def _vectors(varray: Any) -> Array:
    return np.loadtxt([row.text for row in varray.iterfind("v")], ndmin=2)


def _cell(element: Any) -> Cell:
    found = {varray.get("name"): varray for varray in element.iter("varray")}
    return Cell(_vectors(found["basis"]), _vectors(found["positions"]))


def _final_cell(tail: bytes) -> Cell | None:
    begin, end = tail.find(b'<structure name="finalpos"'), tail.find(b"</structure>")
    return _cell(etree.fromstring(tail[begin : end + len(b"</structure>")])) if 0 <= begin < end else None


def _read_step(step: bytes, last: LastStep, header: _Header, projections: bool) -> bool:
    """Fill ``last`` from one <calculation>; False where the XML is broken."""
    small, large = _cut(step)
    try:
        root = etree.fromstring(small)
    except etree.XMLSyntaxError:
        return False
    _read_small(root, last)
    _read_large(large, last, header, projections)
    nk = last.tables["eigenvalues"].shape[1] if "eigenvalues" in last.tables else len(header.kpoints)
    if nk == len(header.kpoints):
        last.kpoints = last.kpoint_weights = None
    return True


def _cut(step: bytes) -> tuple[bytes, list[tuple[bytes, bytes, bytes]]]:
    """The step without its large tables, and the tables: name, attributes, content."""
    kept, large, position = [], [], 0
    while match := _LARGE.search(step, position):
        end = step.find(b"</" + match.group(1) + b">", match.end())
        if end < 0:
            break
        kept.append(step[position : match.start()])
        large.append((match.group(1), (match.group(2) or b"").strip(), step[match.end() : end]))
        position = end + len(match.group(1)) + 3
    return b"".join([*kept, step[position:]]), large


def _read_small(root: Any, last: LastStep) -> None:
    loops = _loops(root)
    last.scf_steps = len(loops[0])
    last.response_steps = tuple(len(loop) for loop in loops[1:])
    last.energy = _energy(root.find("energy"), loops[0][-1] if loops[0] else None)
    if (structure := root.find("structure")) is not None:
        last.cell = _cell(structure)
    varrays = {varray.get("name"): varray for varray in root.findall("varray")}
    for name in ("forces", "stress", "epsilon", "epsilon_ion"):
        if name in varrays:
            setattr(last, name, _vectors(varrays[name]))
    for array in root.findall("array"):
        if array.get("name") == "born_charges":
            last.born_charges = np.array([_vectors(ion) for ion in array.iterfind("set")])
    for element in root.findall("kpoints"):
        _, last.kpoints, last.kpoint_weights = _kpoints(element)


def _loops(root: Any) -> list[list[Any]]:
    """The electronic loops: the ground state's up to <energy>, then that of each self-consistent response.

    The responses begin behind a list of k-points each; what precedes the first of them (commutators, responses without
    local fields) is many loops in one list and is left out.
    """
    loops: list[list[Any]] = [[]]
    counted = True
    for element in root:
        if element.tag == "scstep" and counted:
            loops[-1].append(element)
        elif element.tag == "energy":
            counted = False
        elif element.tag == "kpoints":
            counted = True
            loops.append([])
    return [loops[0], *(loop for loop in loops[1:] if loop)]


def _energy(ionic: Any, scf: Any) -> float | None:
    """energy(sigma->0) of an ionic step.

    VASP 5 writes another quantity under e_0_energy of the ionic step; the correct one is its free energy corrected by the
    difference of the last electronic step.
    """
    values = _energies(ionic)
    electronic = _energies(None if scf is None else scf.find("energy"))
    free, zero = values.get("e_fr_energy"), values.get("e_0_energy")
    if free is None or not np.isfinite(free):
        return None
    if {"e_fr_energy", "e_0_energy"} <= electronic.keys():
        corrected = round(free + electronic["e_0_energy"] - electronic["e_fr_energy"], 8)
        if zero is None or not abs(zero - corrected) <= 1e-7:
            return corrected
    return zero if zero is not None and np.isfinite(zero) else None


def _energies(element: Any) -> dict[str, float]:
    if element is None:
        return {}
    texts = {item.get("name", ""): (item.text or "").strip() for item in element.findall("i")}
    return {name: float("nan") if "*" in text else float(text) for name, text in texts.items() if text}


def _read_large(large: list[tuple[bytes, bytes, bytes]], last: LastStep, header: _Header, projections: bool) -> None:
    plain = {name: content for name, attributes, content in reversed(large) if not attributes}
    wanted: list[tuple[str, bytes | None, Callable[[bytes], dict[str, Array]]]] = [
        ("eigenvalues", _last_eigenvalues(plain), eigenvalues),
        ("dos", plain.get(b"dos"), partial(densities_of_states, species=header.species)),
        ("projections", plain.get(b"projected") if projections else None, partial(read_projections, species=header.species)),
        ("dielectric", _density_response(large, header), dielectric_function),
    ]
    last.efermi = _efermi(plain.get(b"dos", b""))
    damaged = []
    for name, content, read in wanted:
        if content is not None:
            try:
                last.tables.update(read(content))
            except DamagedTableError:
                damaged.append(name)
    last.damaged = tuple(damaged)


def _last_eigenvalues(plain: dict[bytes, bytes]) -> bytes | None:
    """The table beside the projections, where there is one: its occupations were made anew."""
    return inner(plain.get(b"projected", b""), b"eigenvalues") or plain.get(b"eigenvalues")


def _density_response(large: list[tuple[bytes, bytes, bytes]], header: _Header) -> bytes | None:
    """The optical dielectric function; without LOPTICS the table of that name is the ionic one of DFPT."""
    if not (header.parameters.get("LOPTICS") or header.incar.get("LOPTICS")):
        return None
    return next((body for name, label, body in large if name == b"dielectricfunction" and label in DENSITY_RESPONSE), None)


def _efermi(xml: bytes) -> float | None:
    match = re.search(rb'<i name="efermi">([^<]*)</i>', xml)
    try:
        return float(match.group(1)) if match else None
    except ValueError:
        return None
