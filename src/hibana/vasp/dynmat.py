"""Second derivatives of the energy at Γ: ``<dynmat>`` of vasprun.xml as force constants and frequencies."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hibana.vasp.numbers import DamagedTableError, table

Array = NDArray[np.float64]

ELEMENTARY_CHARGE, ATOMIC_MASS = 1.602176634e-19, 1.66053906892e-27
"""C and kg, CODATA 2022."""

THZ = float(np.sqrt(ELEMENTARY_CHARGE / ATOMIC_MASS) * 1e10 / (2 * np.pi) / 1e12)
"""THz of the square root of 1 eV/(Å^2 u): 15.6333."""

UNITS = {b"": 1.0, b"THz^2": THZ**-2}
"""eV/(Å^2 u) of each unit: VASP up to 6.1 names none, later versions write squares of frequencies."""

_UNIT = re.compile(rb'<i [^>]*name="unit"[^>]*>([^<]*)</i>')
_EIGENVALUES = re.compile(rb'<v name="eigenvalues">([^<]*)</v>')
_HESSIAN = re.compile(rb'<varray name="hessian" ?>(.*?)</varray>', re.DOTALL)


@dataclass(frozen=True)
class Dynmat:
    """Force constants (3n, 3n), eV/Å^2, and frequencies (3n,), THz, descending, imaginary ones negative."""

    force_constants: Array
    frequencies: Array


def read_dynmat(xml: bytes, masses: Array) -> Dynmat:
    """Read the content of ``<dynmat>``.

    VASP writes the derivatives of the forces, minus those of the energy, divided by the square roots of both masses; the
    unit depends on its version and is named where it is not eV/(Å^2 u).

    Parameters
    ----------
    xml
        Content of the element.
    masses
        Mass of each atom as VASP has it (n,), u.

    Raises
    ------
    DamagedTableError
        If the matrix is not of all atoms, is damaged, or has an unknown unit.
    """
    unit, hessian, eigenvalues = _UNIT.search(xml), _HESSIAN.search(xml), _EIGENVALUES.search(xml)
    name = unit.group(1).strip() if unit else b""
    if hessian is None or eigenvalues is None or name not in UNITS:
        raise DamagedTableError(f"no second derivatives, or in an unknown unit ({name.decode()})")
    size = 3 * len(masses)
    matrix = table(hessian.group(1), (size, size))
    try:
        squares = -UNITS[name] * np.array(eigenvalues.group(1).split(), dtype=np.float64)
    except ValueError as error:
        raise DamagedTableError(str(error)) from error
    if len(squares) != size or not np.all(np.isfinite(matrix)):
        raise DamagedTableError(f"{len(squares)} frequencies of {len(masses)} atoms, or numbers that overflowed")
    roots = np.sqrt(np.repeat(masses, 3))
    return Dynmat(-UNITS[name] * matrix * np.outer(roots, roots), signed_frequencies(squares))


def signed_frequencies(squares: Array) -> Array:
    """Frequencies, THz, of eigenvalues of the dynamical matrix, eV/(Å^2 u); imaginary ones are negative."""
    frequencies: Array = np.sign(squares) * np.sqrt(np.abs(squares)) * THZ
    return frequencies


def frequencies_of(force_constants: Array, masses: Array) -> Array:
    """Frequencies (3n,), THz, descending, of force constants (3n, 3n), eV/Å^2, and masses (n,), u."""
    roots = np.sqrt(np.repeat(masses, 3))
    return signed_frequencies(np.linalg.eigvalsh(force_constants / np.outer(roots, roots))[::-1])
