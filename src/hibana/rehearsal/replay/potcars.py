"""A library of POTCARs for the synthetic answers: names, valences and cutoffs, and no potential."""

from __future__ import annotations

from pathlib import Path

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.replay.traits import MODEL

TITEL_PREFIX = "PAW_SYNTHETIC"
"""First word of every ``TITEL``: neither VASP's nor GPAW's."""

LIBRARY_FOLDER = "POT_GGA_PAW_PBE_54"
"""Folder of the library that vise and pymatgen look up for the functional ``PBE_54``."""

CUTOFFS = {"O": 400.0, "N": 400.0, "F": 400.0, "C": 400.0, "B": 320.0, "H": 250.0}
"""ENMAX by element, eV; :data:`CUTOFF` for the others."""

CUTOFF = 280.0

SEMICORE = {"pv": 6, "sv": 8, "d": 10}
"""Electrons that the ending of a label adds."""

_CORES = (2, 10, 18, 36, 54, 86)
_FILLED = {18: (31, 10), 36: (49, 10), 54: (81, 24), 86: (113, 24)}
"""Core, and from which atomic number on how many d (and f) electrons belong to it."""


def write_library(directory: Path, labels: list[str]) -> list[Path]:
    """Lay out a POTCAR library for ``PMG_VASP_PSP_DIR``.

    Parameters
    ----------
    directory
        Top folder.
    labels
        Names of POTCAR folders, such as ``Mg`` or ``Ga_d``.

    Raises
    ------
    RehearsalError
        HIB-187 for a label of no element, HIB-194 if the folder cannot be written.
    """
    texts = {label: potcar_text(label) for label in labels}
    written = []
    for label, text in texts.items():
        path = directory / LIBRARY_FOLDER / label / "POTCAR"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            raise RehearsalError(194, str(error), where=path) from error
        written.append(path)
    return written


def potcar_text(label: str) -> str:
    """Text of the POTCAR of a label.

    Raises
    ------
    RehearsalError
        HIB-187 if the label begins with no element.
    """
    from pymatgen.core import Element

    symbol = label.split("_")[0]
    if not Element.is_valid_symbol(symbol):
        raise RehearsalError(187, f"{label}: {symbol} is no element", fix="Give labels such as Mg, O or Ga_d.")
    element = Element(symbol)
    titel = f"{TITEL_PREFIX} {label} model{MODEL}"
    zval, enmax = valence(element.Z, label), CUTOFFS.get(symbol, CUTOFF)
    return (
        "\n".join(
            [
                f"  {titel}",
                f"  {zval:.14f}",
                " parameters from PSCTR are:",
                f"   VRHFIN ={symbol}: synthetic",
                "   LEXCH  = PE",
                "",
                f"   TITEL  = {titel}",
                f"   POMASS = {float(element.atomic_mass):8.3f}; ZVAL   = {zval:8.3f}    mass and valenz",
                f"   RWIGS  = {2.0:8.3f}; RWIGS  = {1.058:8.3f}    wigner-seitz radius (au A)",
                f"   ENMAX  = {enmax:8.3f}; ENMIN  = {0.75 * enmax:8.3f} eV",
                "END of PSCTR-controll parameters",
                " synthetic: no potential is stored here, and VASP cannot run with this file",
                f"   {zval:.8f}",
                " End of Dataset",
            ]
        )
        + "\n"
    )


def valence(number: int, label: str) -> int:
    """Valence electrons of an element: those outside the noble gas and filled d and f shells, and the semicore of the label."""
    endings = label.split("_")[1:]
    if endings and endings[0] in ("2", "3"):
        return int(endings[0])
    core = max((size for size in _CORES if size < number), default=0)
    start, filled = _FILLED.get(core, (1000, 0))
    if number >= start:
        core += filled
    elif core in (54, 86) and number >= core + 18:
        core += 14
    return number - core + sum(SEMICORE.get(ending, 0) for ending in endings)
