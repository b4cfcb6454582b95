"""Input files found in a run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from hibana.vasp.errors import UNREADABLE_INPUTS
from hibana.vasp.files import load_text

DIGITS = 8
"""Decimals of a setting in vasprun.xml; the INCAR file has all of them."""


def read_incar(directory: Path) -> dict[str, Any]:
    """Tags of the INCAR file, with upper-case names; empty where there is none.

    Raises
    ------
    HibanaError
        HIB-051 if it is unreadable.
    """
    text = load_text(directory, "INCAR")
    if text is None:
        return {}
    try:
        return {str(tag).upper(): value for tag, value in Incar.from_str(text).items()}
    except (ValueError, TypeError) as error:
        raise UNREADABLE_INPUTS.error(f"INCAR: {error}", where=directory) from error


def incar_as_run(from_vasprun: dict[str, Any], from_file: dict[str, Any]) -> dict[str, Any]:
    """Tags as VASP read them, with the digits that its print drops taken from the INCAR file.

    Parameters
    ----------
    from_vasprun
        Tags that VASP repeats in vasprun.xml; small numbers lose digits there (EDIFF = 1E-9 reads 0).
    from_file
        Tags of the INCAR file, which may have been rewritten after the run.
    """
    return {tag: _sharper(value, from_file.get(tag)) for tag, value in sorted(from_vasprun.items())}


def _sharper(printed: Any, written: Any) -> Any:
    numeric = isinstance(printed, float) and isinstance(written, int | float) and not isinstance(written, bool)
    return float(written) if numeric and abs(printed - written) <= 0.5 * 10**-DIGITS * (1 + 1e-6) else printed


def read_kpoints(directory: Path) -> dict[str, Any]:
    """style, divisions and shift of the KPOINTS file, or its number of points; empty where there is none.

    Raises
    ------
    HibanaError
        HIB-051 if it is unreadable.
    """
    text = load_text(directory, "KPOINTS")
    if text is None:
        return {}
    try:
        kpoints = Kpoints.from_str(text)
    except (ValueError, IndexError, TypeError) as error:
        raise UNREADABLE_INPUTS.error(f"KPOINTS: {error}", where=directory) from error
    style = {"style": kpoints.style.name.replace("Monkhorst", "Monkhorst-Pack")}
    if kpoints.num_kpts:
        weights = kpoints.kpts_weights or []
        return {**style, "n_points": kpoints.num_kpts, "n_zero_weight": sum(weight == 0 for weight in weights)}
    return {**style, "divisions": [int(n) for n in kpoints.kpts[0]], "shift": [float(x) for x in kpoints.kpts_shift]}


def read_structure(directory: Path, name: str) -> Structure | None:
    """Structure of POSCAR or CONTCAR; None where the file is absent, empty or cut off.

    Raises
    ------
    HibanaError
        HIB-051 for a POSCAR that is there and unreadable.
    """
    text = load_text(directory, name)
    if text is None or (name != "POSCAR" and not text.strip()):
        return None
    try:
        return Poscar.from_str(text, read_velocities=False).structure
    except Exception as error:
        if name != "POSCAR":
            return None
        raise UNREADABLE_INPUTS.error(f"{name}: {error}", where=directory) from error
