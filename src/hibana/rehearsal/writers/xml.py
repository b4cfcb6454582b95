"""Pieces of vasprun.xml: tags with typed values, arrays of numbers, structures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.result import Floats
from hibana.rehearsal.writers.files import rows

VECTOR = " %16.8f"
"""Format of one component of a ``<v>``."""

REAL_TAGS = frozenset(
    (
        *("ENCUT", "ENMAX", "ENAUG", "EDIFF", "EDIFFG", "SIGMA", "NELECT"),
        *("NUPDOWN", "KSPACING", "POTIM", "EMIN", "EMAX", "AEXX", "AGGAX"),
        *("AGGAC", "ALDAC", "HFSCREEN", "SYMPREC", "AMIX", "BMIX", "AMIX_MAG"),
        *("BMIX_MAG", "AMIN", "PSTRESS", "MAGMOM"),
    )
)
"""Tags whose values are real numbers even where the user wrote an integer."""


def escape(text: str) -> str:
    """Text for the content of an element; xml.sax would bring half of the standard library along at the start."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def tag_element(name: str, value: Any) -> str:
    """``<i>`` or ``<v>`` of one INCAR tag or parameter, typed as VASP types it.

    Raises
    ------
    TypeError
        If the value is no logical, number or string, nor a list of these.
    """
    listed = isinstance(value, (list, tuple, np.ndarray))
    values = [v.item() if isinstance(v, np.generic) else v for v in (value if listed else [value])]
    if name in REAL_TAGS:
        values = [float(v) for v in values]
    kind = _kind(name, values)
    label = f'type="{kind}" name="{escape(name)}"' if kind else f'name="{escape(name)}"'
    text = "".join(f" {_text(v)}" for v in values)
    return f"<v {label}>{text}</v>\n" if listed else f"<i {label}>{text}</i>\n"


def _kind(name: str, values: list[Any]) -> str:
    """VASP's type attribute; a real number has none."""
    for python_type, kind in ((bool, "logical"), (int, "int"), (str, "string")):
        if all(isinstance(v, python_type) for v in values):
            return kind
    if all(isinstance(v, (int, float)) for v in values):
        return ""
    raise TypeError(f"{name} = {values} is neither logical, number nor text")


def _text(value: bool | int | float | str) -> str:
    """A value such that reading it gives it back: reals too small for eight decimals get an exponent."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, float):
        short = f"{value:16.8f}"
        return short if float(short) == value else f"{value:.16G}"
    return f"{value:6d}" if isinstance(value, int) else escape(value)


def varray(name: str, numbers: Floats, indent: str, template: str = VECTOR) -> str:
    """``<varray>`` of the rows of a matrix."""
    row = f"{indent} <v>{template * numbers.shape[1]} </v>\n"
    return f'{indent}<varray name="{name}" >\n{rows(row, numbers)}{indent}</varray>\n'


def structure(lattice: Floats, frac_coords: Floats, selective: NDArray[np.bool_] | None, indent: str, name: str = "") -> str:
    """``<structure>`` with cell, volume, reciprocal cell (without 2 pi) and fractional coordinates."""
    label = f' name="{name}" ' if name else ""
    text = f"{indent}<structure{label}>\n{indent} <crystal>\n" + varray("basis", lattice, f"{indent}  ")
    text += f'{indent}  <i name="volume">{abs(np.linalg.det(lattice)):16.8f} </i>\n'
    text += varray("rec_basis", np.asarray(np.linalg.inv(lattice).T, dtype=np.float64), f"{indent}  ") + f"{indent} </crystal>\n"
    text += varray("positions", frac_coords, f"{indent} ")
    if selective is not None:
        flags = rows(f'{indent}  <v type="logical" > %s  %s  %s </v>\n', np.where(selective, "T", "F"))
        text += f'{indent} <varray type="logical" name="selective" >\n{flags}{indent} </varray>\n'
    return f"{text}{indent}</structure>\n"
