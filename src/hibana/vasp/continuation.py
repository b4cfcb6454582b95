"""Where a run that was stopped is taken up again."""

from __future__ import annotations

from pathlib import Path

from hibana.documents.crystal import Crystal
from hibana.structures.convert import from_pymatgen
from hibana.vasp.errors import NO_STRUCTURE_LEFT
from hibana.vasp.inputs_read import read_structure


def latest_structure(directory: Path) -> Crystal:
    """The cell to go on from: CONTCAR where it is complete, else POSCAR.

    VASP empties CONTCAR at the start and writes it behind each ionic step, so that a killed run can leave it empty or cut off.

    Raises
    ------
    HibanaError
        HIB-061 if the folder has neither, HIB-051 for an unreadable POSCAR.
    """
    directory = Path(directory)
    start, last = read_structure(directory, "POSCAR"), read_structure(directory, "CONTCAR")
    if last is not None and (start is None or last.composition == start.composition):
        return from_pymatgen(last)
    if start is None:
        raise NO_STRUCTURE_LEFT.error("neither CONTCAR nor POSCAR", where=directory)
    return from_pymatgen(start)
