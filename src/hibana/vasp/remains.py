"""What a run that was killed leaves: the last whole cell and whole wave functions, or nothing."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from hibana.documents.crystal import Crystal
from hibana.structures.convert import from_pymatgen
from hibana.vasp.files import load_text
from hibana.vasp.inputs_read import read_incar, read_structure

SAME_CELL = 1e-5
"""POSCAR is that of the question if its lattice vectors agree with it within this, Å."""

VOLUME_RANGE = (0.5, 2.0)
"""A relaxation that changes the volume by more than these factors has gone wrong; it begins again."""

TITLES = 8
"""Lines before the first atom of CONTCAR at least; the line of the last atom is ended where it is whole."""

_IONIC_STEP = re.compile(r"^\s*\d+\s+F=\s*[-+.\dEe]+\s+E0=", re.MULTILINE)
_RECORD = struct.Struct("<ddd")


def last_cell(directory: Path, start: Crystal) -> Crystal | None:
    """The cell that a killed relaxation had come to; None where it cannot be trusted.

    CONTCAR must be whole, of the same atoms, of a sane volume, and behind at least one finished ionic step of a run that began
    in the cell given.

    Parameters
    ----------
    directory
        Folder of the run.
    start
        Cell the run began with.
    """
    poscar, contcar = read_structure(directory, "POSCAR"), read_structure(directory, "CONTCAR")
    steps = _IONIC_STEP.findall(load_text(directory, "OSZICAR") or "")
    if poscar is None or contcar is None or not steps or len(contcar) != len(poscar):
        return None
    if (load_text(directory, "CONTCAR") or "").count("\n") < TITLES + len(contcar):
        return None
    before, after = from_pymatgen(poscar), from_pymatgen(contcar)
    if before.species != after.species or sorted(before.species) != sorted(start.species):
        return None
    if not np.allclose(before.lattice, start.lattice, rtol=0.0, atol=SAME_CELL):
        return None
    ratio = np.linalg.det(np.asarray(after.lattice)) / np.linalg.det(np.asarray(start.lattice))
    if not (np.all(np.isfinite(after.frac_coords)) and VOLUME_RANGE[0] < ratio < VOLUME_RANGE[1]):
        return None
    moments = read_incar(directory).get("MAGMOM") if start.magmoms is not None else None
    if start.magmoms is not None and not (isinstance(moments, list) and len(moments) == len(after.species)):
        return None
    return after.model_copy(update={"magmoms": None if moments is None else tuple(float(moment) for moment in moments)})


def has_whole_wave_functions(directory: Path) -> bool:
    """Whether WAVECAR is as long as its own header says; a run that was killed while writing leaves a shorter one.

    The header is one record of three reals (length of a record, spins, precision), then one that begins with the numbers of
    k-points and bands; a record for each k-point and spin and one for each of its bands follow.
    """
    path = directory / "WAVECAR"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length, spins, _ = _RECORD.unpack(file.read(_RECORD.size))
            file.seek(int(length))
            points, bands, _ = _RECORD.unpack(file.read(_RECORD.size))
        records = 2 + spins * points * (1 + bands)
    except (OSError, struct.error, ValueError, OverflowError):
        return False
    whole = all(float(number).is_integer() and number > 0 for number in (length, spins, points, bands))
    return bool(whole and size >= length * records)
