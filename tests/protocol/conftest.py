"""A POTCAR library of small made-up potentials with the cutoffs and valences of the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import SETTINGS

POTENTIALS = {
    "Mg": (2, 200.0),
    "O": (6, 400.0),
    "Zn": (12, 276.723),
    "Ti": (4, 178.33),
    "Ga_d": (13, 282.691),
    "Al": (3, 240.3),
    "Sr_sv": (10, 229.353),
    "Ni": (10, 269.532),
    "Si": (4, 245.345),
    "W": (6, 223.057),
}


def potcar_text(label: str, zval: float, enmax: float) -> str:
    element = label.split("_")[0]
    return "\n".join(
        (
            f"  PAW_PBE {label} 01Jan2000",
            f" {zval:.8f}",
            " parameters from PSCTR are:",
            f"   VRHFIN ={element}: made up",
            "   LEXCH  = PE",
            f"   TITEL  = PAW_PBE {label} 01Jan2000",
            f"   POMASS =   24.305; ZVAL   =   {zval:.3f}    mass and valenz",
            f"   ENMAX  =  {enmax:.3f}; ENMIN  =  {enmax * 0.75:.3f} eV",
            "END of PSCTR-controll parameters",
            " local part",
            "  0.10000000E+01  0.20000000E+01",
            " End of Dataset\n",
        )
    )


def write_library(folder: Path) -> Path:
    for label, (zval, enmax) in POTENTIALS.items():
        place = folder / "POT_GGA_PAW_PBE_54" / label
        place.mkdir(parents=True)
        (place / "POTCAR").write_text(potcar_text(label, zval, enmax))
    return folder


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory) -> Path:
    return write_library(tmp_path_factory.mktemp("potcars"))


@pytest.fixture
def library(library_folder, monkeypatch) -> Path:
    """The library, named in the environment and, for vise itself, in pymatgen's settings."""
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(library_folder))
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(library_folder))
    return library_folder
