"""OUTCAR: the few fields that vasprun.xml does not have, found by searching the bytes from the end."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POTENTIAL_WIDTH, POTENTIAL_START = 17, 8
"""A core potential is printed in 17 columns, the first 8 of which are the number of the ion."""

_NUMBER = rb"[-+0-9.Ee]+"
_MAGNETIZATION = re.compile(rb"number of electron\s+(\S+)[ \t]+magnetization([^\n]*)")
_ENERGY = re.compile(rb"energy\(sigma->0\)\s*=\s*(" + _NUMBER + rb")")
_IONIC_ENERGY = re.compile(rb"energy  without entropy=[^\n]*energy\(sigma->0\)\s*=\s*(" + _NUMBER + rb")")
_EFERMI = re.compile(rb"E-fermi\s*:\s*(" + _NUMBER + rb")")
_STRESS = re.compile(rb"in kB\s+" + rb"\s+".join([rb"(" + _NUMBER + rb")"] * 6))
_TITEL = re.compile(rb"TITEL\s*=\s*([^\n]*?)\s*\n")
_VERSION = re.compile(rb"vasp\.(\S+)")
_FREQUENCY = re.compile(rb"^[ \t]*(\d+) f(/i|  )[ \t]*=[ \t]*([\d.]+) THz", re.MULTILINE)
_ITERATION = re.compile(rb"Iteration[ \t]+\d+\([ \t]*(\d+)\)")
_ION_ROW = re.compile(rb"^[ \t]*\d+((?:[ \t]+[-\d.]+)+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class OutcarData:
    """What is kept of an OUTCAR; what it does not hold is None.

    ``stopped`` tells that STOPCAR ended the run, ``stopped_within_loop`` that it did so within an electronic loop (LABORT).
    ``ionic_energies`` are the energies(sigma->0) of all ionic steps, eV;
    ``site_potentials`` (n_sites,) in V, ``site_moments`` (n_sites,) in μB, ``stress`` (3, 3) in kbar as VASP prints it;
    ``epsilon`` (3, 3) with the local fields of Hartree and exchange-correlation potential, by perturbation theory or finite
    fields; ``frequencies`` (3 n_sites,) at Γ in THz, in the order of the print, imaginary ones negative;
    ``most_electronic_steps`` are those of the longest electronic loop.
    """

    complete: bool
    stopped: bool
    stopped_within_loop: bool
    reached_ionic_accuracy: bool
    version: str | None
    potcars: tuple[str, ...]
    energy: float | None
    ionic_energies: tuple[float, ...]
    efermi: float | None
    magnetization: float | None
    noncollinear: bool
    forces: Array | None
    stress: Array | None
    site_potentials: Array | None
    site_moments: Array | None
    epsilon: Array | None
    epsilon_ion: Array | None
    born_charges: Array | None
    frequencies: Array | None
    n_ionic_steps: int
    most_electronic_steps: int


def read_outcar(text: bytes) -> OutcarData:
    """Read an OUTCAR; every field is the last one printed."""
    magnetization, noncollinear = _magnetization(text)
    stress = _last(_STRESS, b"in kB", text)
    within_loop = b"hard stop encountered" in text
    return OutcarData(
        complete=text.rfind(b"General timing and accounting") >= 0,
        stopped=within_loop or b"soft stop encountered" in text,
        stopped_within_loop=within_loop,
        reached_ionic_accuracy=b"reached required accuracy - stopping structural energy" in text,
        version=_decode(_VERSION.search(text[:2000])),
        potcars=tuple(dict.fromkeys(title.decode() for title in _TITEL.findall(text[:400_000]))),
        energy=_number(_last(_ENERGY, b"energy(sigma->0)", text)),
        ionic_energies=tuple(float(number) for number in _IONIC_ENERGY.findall(text)),
        efermi=_number(_last(_EFERMI, b"E-fermi", text)),
        magnetization=magnetization,
        noncollinear=noncollinear,
        forces=_forces(text),
        stress=None if stress is None else _voigt(np.array([float(number) for number in stress.groups()])),
        site_potentials=_site_potentials(text),
        site_moments=_site_moments(text),
        epsilon=_tensor(text, b"MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects", without=b" in RPA"),
        epsilon_ion=_tensor(text, b"MACROSCOPIC STATIC DIELECTRIC TENSOR IONIC CONTRIBUTION"),
        born_charges=_born_charges(text),
        frequencies=_frequencies(text),
        n_ionic_steps=text.count(b"TOTAL-FORCE (eV/Angst)"),
        most_electronic_steps=max((int(number) for number in _ITERATION.findall(text)), default=0),
    )


def _last(pattern: re.Pattern[bytes], word: bytes, text: bytes) -> re.Match[bytes] | None:
    """Last match of a pattern that begins with a fixed word."""
    position = len(text)
    while (position := text.rfind(word, 0, position)) >= 0:
        if match := pattern.match(text, position):
            return match
    return None


def _number(match: re.Match[bytes] | None) -> float | None:
    return None if match is None else float(match.group(1))


def _decode(match: re.Match[bytes] | None) -> str | None:
    return None if match is None else match.group(1).decode()


def _magnetization(text: bytes) -> tuple[float | None, bool]:
    """Total moment of the last electronic step, and whether it was printed as a vector; None for ISPIN = 1."""
    match = _last(_MAGNETIZATION, b"number of electron", text)
    words = match.group(2).split() if match else []
    try:
        return (float(words[0]), False) if len(words) == 1 else (None, len(words) > 1)
    except ValueError:
        return None, False


def _voigt(six: Array) -> Array:
    """Symmetric tensor of VASP's XX YY ZZ XY YZ ZX."""
    xx, yy, zz, xy, yz, zx = six
    return np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])


def _between_rules(text: bytes, begin: int) -> bytes:
    """What is printed between the next two dashed lines."""
    first = text.find(b"\n", text.find(b"-----", begin))
    return text[first : text.find(b"-----", first)]


def _rows(block: bytes, columns: int) -> Array | None:
    try:
        found = np.array(block.split(), dtype=np.float64).reshape(-1, columns)
    except ValueError:
        return None
    return found if len(found) else None


def _forces(text: bytes) -> Array | None:
    begin = text.rfind(b"TOTAL-FORCE (eV/Angst)")
    rows = _rows(_between_rules(text, begin), 6) if begin >= 0 else None
    return None if rows is None else rows[:, 3:]


def _last_title(text: bytes, title: bytes, without: bytes) -> int:
    """Where a title stands for the last time, -1 if nowhere; titles that go on with certain words do not count."""
    begin = text.rfind(title)
    while without and begin >= 0 and text.startswith(without, begin + len(title)):
        begin = text.rfind(title, 0, begin)
    return begin


def _tensor(text: bytes, title: bytes, without: bytes = b"") -> Array | None:
    begin = _last_title(text, title, without)
    rows = _rows(_between_rules(text, begin), 3) if begin >= 0 else None
    return rows if rows is not None and rows.shape == (3, 3) else None


def _frequencies(text: bytes) -> Array | None:
    """Frequencies of the last dynamical matrix; a list that is printed again with other vectors counts once."""
    begin = text.rfind(b"Eigenvectors and eigenvalues of the dynamical matrix")
    if begin < 0:
        return None
    found: list[float] = []
    for number, sign, value in _FREQUENCY.findall(text, begin):
        if int(number) != len(found) + 1:
            break
        found.append(-float(value) if sign == b"/i" else float(value))
    return np.array(found) if found else None


def _site_potentials(text: bytes) -> Array | None:
    """Average electrostatic potential at each core, V; fixed columns, since neighbouring numbers can touch."""
    begin = text.rfind(b"average (electrostatic) potential at core")
    begin = text.find(b"the norm of the test charge", begin) if begin >= 0 else -1
    if begin < 0:
        return None
    values = []
    for line in text[text.find(b"\n", begin) + 1 : begin + 10_000_000].split(b"\n"):
        if not line.strip():
            break
        starts = range(0, len(line.rstrip()), POTENTIAL_WIDTH)
        values += [line[start + POTENTIAL_START : start + POTENTIAL_WIDTH] for start in starts]
    try:
        return np.array([float(value) for value in values]) if values else None
    except ValueError:
        return None


def _site_moments(text: bytes) -> Array | None:
    """Moment in the sphere of each ion, μB (column tot of the last table magnetization (x))."""
    begin = text.rfind(b"magnetization (x)")
    if begin < 0:
        return None
    rule = text.find(b"------", begin)
    block = text[text.find(b"\n", rule) : _end_of_rows(text, rule)]
    moments = [float(row.split()[-1]) for row in _ION_ROW.findall(block)]
    return np.array(moments) if moments else None


def _end_of_rows(text: bytes, rule: int) -> int:
    """End of a table of ions: the next dashed line, or the blank line behind a single ion."""
    start = text.find(b"\n", rule) + 1
    ends = [position for word in (b"------", b"\n\n", b"\n \n") if (position := text.find(word, start)) >= 0]
    return min(ends, default=len(text))


def _born_charges(text: bytes) -> Array | None:
    begin = _last_title(text, b"BORN EFFECTIVE CHARGES (", b"excluding")
    if begin < 0:
        return None
    block = text[text.find(b"------", begin) :]
    rows = re.match(rb"-+\s*((?:ion\s+\d+\s+(?:[123](?:\s+[-\d.]+){3}\s+){3})+)", block)
    if rows is None:
        return None
    numbers = np.array(re.sub(rb"ion\s+\d+", b"", rows.group(1)).split(), dtype=np.float64)
    return numbers.reshape(-1, 3, 4)[:, :, 1:]
