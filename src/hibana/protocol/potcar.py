"""The POTCAR library: where it is, and what its potentials say of themselves.

The library is found through ``PMG_VASP_PSP_DIR``, in the environment or in pymatgen's settings file, and is laid out as
pymatgen expects it (``POT_GGA_PAW_PBE_54/<label>/POTCAR`` or ``.../POTCAR.<label>``, plain or gzipped). The environment is
looked at whenever a potential is asked for: pymatgen itself reads its settings once in a process.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from monty.io import zopen
from pymatgen.core import SETTINGS
from pymatgen.io.vasp import PotcarSingle

from hibana.protocol.binding import potcar_label
from hibana.protocol.errors import BAD_POTCAR, NO_POTCAR, NO_POTCAR_LIBRARY
from hibana.protocol.protocol import Protocol

LIBRARY_VARIABLE = "PMG_VASP_PSP_DIR"


def potcar_library() -> Path:
    """Folder of the POTCAR library.

    Raises
    ------
    HibanaError
        HIB-033 if none is named or the folder does not exist.
    """
    named = os.environ.get(LIBRARY_VARIABLE) or SETTINGS.get(LIBRARY_VARIABLE)
    if not named:
        raise NO_POTCAR_LIBRARY.error(f"{LIBRARY_VARIABLE} is not set")
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise NO_POTCAR_LIBRARY.error("the folder does not exist", where=folder)
    return folder


def element_order(species: Sequence[str]) -> tuple[str, ...]:
    """Elements in the order of their first appearance."""
    return tuple(dict.fromkeys(species))


def potcar_labels(species: Sequence[str], protocol: Protocol) -> tuple[str, ...]:
    """POTCAR labels of the elements, in the order of their first appearance in ``species``.

    Raises
    ------
    HibanaError
        HIB-035 where the protocol names none for an element.
    """
    rule = protocol.potcar
    return tuple(potcar_label(element, rule.set, rule.overrides) for element in element_order(species))


def potcars(species: Sequence[str], protocol: Protocol) -> tuple[PotcarSingle, ...]:
    """Potentials of the elements, in the order of their first appearance in ``species``.

    Raises
    ------
    HibanaError
        HIB-033 (no library), HIB-034 (no such file), HIB-035 (no choice), HIB-039 (unreadable, or of another element).
    """
    library = potcar_library()
    elements, labels = element_order(species), potcar_labels(species, protocol)
    found = tuple(_read_label(library, protocol.potcar.family, label) for label in labels)
    for element, label, potcar in zip(elements, labels, found, strict=True):
        if potcar.element != element:
            raise BAD_POTCAR.error(f"{label} is a potential of {potcar.element}, not of {element}", where=library)
    return found


def potcar_titles(species: Sequence[str], protocol: Protocol) -> tuple[str, ...]:
    """TITEL of each potential, in the order of the elements' first appearance in ``species``.

    Raises
    ------
    HibanaError
        As :func:`potcars`.
    """
    return tuple(str(potcar.TITEL) for potcar in potcars(species, protocol))


def _read_label(library: Path, family: str, label: str) -> PotcarSingle:
    subfolders = SETTINGS.get("PMG_VASP_PSP_SUB_DIRS", {})
    subfolder = library / subfolders.get(family, PotcarSingle.functional_dir.get(family, family))
    tried = [
        path.with_name(path.name + ending)
        for path in (subfolder / f"POTCAR.{label}", subfolder / label / "POTCAR")
        for ending in ("", ".gz")
    ]
    for path in tried:
        if path.is_file():
            stat = path.stat()
            return _read_file(path, label, stat.st_mtime_ns, stat.st_size)
    raise NO_POTCAR.error(f"no {label} of the family {family}", where=tried[2])


@lru_cache(maxsize=256)
def _read_file(path: Path, label: str, _modified: int, _size: int) -> PotcarSingle:
    """One potential, read and checked by pymatgen once as long as the file stays as it is."""
    try:
        with zopen(path, mode="rt", encoding="utf-8") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            potcar = PotcarSingle(file.read(), symbol=label)
            complete = all(value is not None for value in (potcar.TITEL, potcar.ENMAX, potcar.ZVAL, potcar.element))
    except Exception as error:
        raise BAD_POTCAR.error(f"pymatgen cannot read it: {error!r}", where=path) from error
    if not complete:
        raise BAD_POTCAR.error("it lacks TITEL, ENMAX or ZVAL", where=path)
    return potcar
