"""vasprun.xml: the fields a run document needs, without building the whole tree.

Most of the file is tables. Those of the last ionic step are cut out of the text and read as arrays; what is left of the
header and of that step is small and goes through an XML parser. Earlier ionic steps are only counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from hibana.vasp.cells import inequivalent_sites
from hibana.vasp.dynmat import read_dynmat
from hibana.vasp.edges import edge_bands
from hibana.vasp.numbers import DamagedTableError, inner
from hibana.vasp.vasprun_header import TAIL, Cell, Header, parse_header, read_cell, read_kpoints, read_vectors
from hibana.vasp.vasprun_tables import densities_of_states, dielectric_function, eigenvalues
from hibana.vasp.vasprun_tables import projections as read_projections

Array = NDArray[np.float64]

CALCULATION = b"<calculation>"
CALCULATION_END = b"</calculation>"
_LARGE = re.compile(
    rb"<(eigenvalues|dos|projected|eigenvalues_kpoints_opt|projected_kpoints_opt"
    rb"|dielectricfunction|conductivity|dynmat)( [^>]*)?>"
)
DENSITY_RESPONSE = (b"", b'comment="density-density"')
"""Labels of the dielectric function from the density response: VASP 5 has none, and writes it first."""

FINITE_DIFFERENCES = (5, 6)
"""IBRION of runs whose first ionic step is the crystal and whose later ones are displacements."""

TENSORS = {
    "forces": "forces",
    "stress": "stress",
    "epsilon": "epsilon",
    "epsilon_scf": "epsilon",
    "epsilon_ion": "epsilon_ion",
}
"""<varray> to field; epsilon_scf is the electronic tensor of finite fields (LCALCEPS)."""

FIXED_CELL = 2
"""ISIF of runs that move atoms only, supercells with defects among them."""

DEFAULT_NEDOS = 301
"""VASP's own number of energies; a run that asks for more is after the DOS."""


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
class VasprunData(Header):
    """What is kept of a vasprun.xml: its head, and the last ionic step."""

    complete: bool
    final: Cell
    n_ionic_steps: int
    last: LastStep

    @property
    def valence(self) -> float | None:
        """Valence electrons of the neutral cell."""
        return float(self.site_valence.sum()) if len(self.site_valence) else None


@dataclass(frozen=True)
class Wanted:
    """What to read of the large tables: site projections of the eigenstates, and the tolerance of equivalent sites, Å."""

    projections: bool
    symprec: float


def read_vasprun(text: bytes, *, whole: bool = True, projections: bool = True, symprec: float = 0.01) -> VasprunData:
    """Read a vasprun.xml; a cut-off one gives its last complete ionic step.

    Of finite differences (IBRION = 5 or 6) the energy, forces, stress and cell are those of the first step, the crystal
    without displacements.

    Parameters
    ----------
    text
        Content of the file.
    whole
        Whether all of it is there as far as the file system can say.
    projections
        Whether to read the site projections of the eigenstates, the largest table.
    symprec
        Tolerance by which sites are equivalent, Å.

    Raises
    ------
    DamagedVasprunError
        If the header (inputs and starting cell) is not readable.
    """
    complete = whole and text.rstrip(b" \r\n\t\0").endswith(TAIL)
    starts = [match.start() for match in re.finditer(CALCULATION, text)]
    header = parse_header(text[: starts[0]] if starts else text)
    wanted = Wanted(projections, symprec)
    last, n_steps = LastStep(), 0
    displaced = header.parameters.get("IBRION") in FINITE_DIFFERENCES
    if starts:
        ended = text.endswith(CALCULATION_END, starts[-1], len(text)) or text.find(CALCULATION_END, starts[-1]) >= 0
        n_steps = len(starts) if ended else len(starts) - 1
        if n_steps:
            sound = _read_step(_step(text, starts[n_steps - 1]), last, header, wanted)
            if displaced and n_steps > 1:
                crystal = LastStep()
                sound = _read_step(_step(text, starts[0]), crystal, header, wanted) and sound
                last = _without_displacements(crystal, last)
            complete = sound and complete
    final = last.cell or header.initial
    if complete and not displaced:
        final = _final_cell(text[text.rfind(CALCULATION_END) + len(CALCULATION_END) :]) or final
    head = vars(header)
    if last.kpoints is not None:
        head = {**head, "kpoints": last.kpoints, "kpoint_weights": last.kpoint_weights}
    return VasprunData(**head, complete=complete, final=final, n_ionic_steps=n_steps, last=last)


def _step(text: bytes, begin: int) -> bytes:
    return text[begin : text.find(CALCULATION_END, begin) + len(CALCULATION_END)]


def _without_displacements(crystal: LastStep, last: LastStep) -> LastStep:
    """The crystal's step with what the displacements that followed gave: response to them, and what only they have."""
    of_bands = crystal if "eigenvalues" in crystal.tables else last
    return replace(
        crystal,
        kpoints=of_bands.kpoints,
        kpoint_weights=of_bands.kpoint_weights,
        response_steps=(*crystal.response_steps, last.scf_steps, *last.response_steps),
        epsilon=last.epsilon if crystal.epsilon is None else crystal.epsilon,
        epsilon_ion=last.epsilon_ion,
        born_charges=last.born_charges if crystal.born_charges is None else crystal.born_charges,
        tables={**last.tables, **crystal.tables},
        damaged=tuple(dict.fromkeys((*crystal.damaged, *last.damaged))),
        efermi=last.efermi if crystal.efermi is None else crystal.efermi,
    )


def _final_cell(tail: bytes) -> Cell | None:
    begin, end = tail.find(b'<structure name="finalpos"'), tail.find(b"</structure>")
    return read_cell(etree.fromstring(tail[begin : end + len(b"</structure>")])) if 0 <= begin < end else None


def _read_step(step: bytes, last: LastStep, header: Header, wanted: Wanted) -> bool:
    """Fill ``last`` from one <calculation>; False where the XML is broken."""
    small, large = _cut(step)
    try:
        root = etree.fromstring(small)
    except etree.XMLSyntaxError:
        return False
    damaged = _read_small(root, last)
    last.damaged = (*damaged, *_read_large(large, last, header, wanted))
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


def _read_small(root: Any, last: LastStep) -> list[str]:
    """Fill ``last`` from what is no large table; the names of what cannot be read."""
    loops = _loops(root)
    last.scf_steps = len(loops[0])
    last.response_steps = tuple(len(loop) for loop in loops[1:])
    last.energy = _energy(root.find("energy"), loops[0][-1] if loops[0] else None)
    if (structure := root.find("structure")) is not None:
        last.cell = read_cell(structure)
    varrays = {varray.get("name"): varray for varray in root.findall("varray")}
    damaged = []
    for name, attribute in TENSORS.items():
        if name in varrays:
            try:
                setattr(last, attribute, read_vectors(varrays[name]))
            except ValueError:
                damaged.append(name)
    for array in root.findall("array"):
        if array.get("name") == "born_charges":
            try:
                last.born_charges = np.array([read_vectors(ion) for ion in array.iterfind("set")])
            except ValueError:
                damaged.append("born_charges")
    for element in root.findall("kpoints"):
        _, last.kpoints, last.kpoint_weights = read_kpoints(element)
    return damaged


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


def _read_large(large: list[tuple[bytes, bytes, bytes]], last: LastStep, header: Header, wanted: Wanted) -> list[str]:
    """Fill ``last`` from the large tables; the names of damaged ones."""
    plain = {name: content for name, attributes, content in reversed(large) if not attributes}
    readers: list[tuple[str, bytes | None, Callable[[bytes], dict[str, Array]]]] = [
        ("eigenvalues", _last_eigenvalues(plain), eigenvalues),
        ("dos", plain.get(b"dos"), partial(densities_of_states, species=header.species, sites=_sites(last, header, wanted))),
        (
            "projections",
            plain.get(b"projected") if wanted.projections else None,
            partial(read_projections, species=header.species, bands=_bands(last, header)),
        ),
        ("dielectric", _density_response(large, header), dielectric_function),
        ("force constants", plain.get(b"dynmat"), partial(_force_constants, masses=header.masses)),
    ]
    last.efermi = _efermi(plain.get(b"dos", b""))
    damaged = []
    for name, content, read in readers:
        if content is not None:
            try:
                last.tables.update(read(content))
            except DamagedTableError:
                damaged.append(name)
    return damaged


def _sites(last: LastStep, header: Header, wanted: Wanted) -> Callable[[], NDArray[np.intp] | None] | None:
    """How to find the sites whose DOS is kept; None for a run that is not after the DOS."""
    parameters = header.parameters
    if int(parameters.get("NEDOS", 0)) <= DEFAULT_NEDOS or parameters.get("LOPTICS"):
        return None
    return partial(inequivalent_sites, last.cell or header.initial, header.species, wanted.symprec)


def _bands(last: LastStep, header: Header) -> Callable[[], NDArray[np.intp] | None] | None:
    """How to find the bands whose site weights are kept; None for a run that does not relax atoms in a fixed cell."""
    parameters = header.parameters
    if parameters.get("ISIF") != FIXED_CELL or int(parameters.get("NSW", 0)) < 1:
        return None
    return lambda: edge_bands(last.tables.get("occupations"))


def _force_constants(xml: bytes, masses: Array) -> dict[str, Array]:
    found = read_dynmat(xml, masses)
    return {"force_constants": found.force_constants, "gamma_frequencies": found.frequencies}


def _last_eigenvalues(plain: dict[bytes, bytes]) -> bytes | None:
    """The table beside the projections, where there is one: its occupations were made anew."""
    return inner(plain.get(b"projected", b""), b"eigenvalues") or plain.get(b"eigenvalues")


def _density_response(large: list[tuple[bytes, bytes, bytes]], header: Header) -> bytes | None:
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
