"""A library of made-up potentials for the fake VASP of the tests."""

from __future__ import annotations

from pathlib import Path

POTENTIALS = {"Mg": ("Mg", 2), "O": ("O", 6), "Zn": ("Zn", 12), "Al": ("Al", 3)}
TEXT = """  PAW_GPAW {label} fake
 {zval:.1f}
 parameters from PSCTR are:
   VRHFIN ={element}: made up
   LEXCH  = PE
   TITEL  = PAW_GPAW {label} fake
   POMASS =   20.000; ZVAL   =   {zval:.3f}    mass and valenz
   ENMAX  =  200.000; ENMIN  =  100.000 eV
END of PSCTR-controll parameters
 made up
   1.00000000
 End of Dataset
"""


def write_library(folder: Path) -> Path:
    """Lay the library out as pymatgen expects it."""
    for label, (element, zval) in POTENTIALS.items():
        place = folder / "POT_GGA_PAW_PBE_54" / label
        place.mkdir(parents=True, exist_ok=True)
        (place / "POTCAR").write_text(TEXT.format(label=label, element=element, zval=zval))
    return folder
