"""Densities on a grid in VASP's files (CHGCAR, AECCAR0, AECCAR2): the first block, and the sum of two of them."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

COLUMNS = 5
"""Numbers in a row; the rows follow the cell, a blank line and the numbers of points."""

_SHORT_EXPONENT = re.compile(rb"(\d)([-+]\d{3})(?=\s)")
"""Fortran leaves out the E before an exponent of three digits."""


class DamagedDensityError(ValueError):
    """A file that does not hold the density it announces."""


@dataclass(frozen=True)
class Density:
    """Density times the volume of the cell on a grid; ``values`` (nx ny nz,) with x fastest, ``head`` is what precedes it."""

    head: bytes
    grid: tuple[int, int, int]
    values: Array


def read_density(text: bytes) -> Density:
    """Read the total density of a file in the format of CHGCAR; what follows it is left out.

    Raises
    ------
    DamagedDensityError
        If the file is cut off or is none of this format.
    """
    try:
        lines = text[:4000].split(b"\n")
        counts = 5 if lines[5].split()[0].isdigit() else 6
        first = counts + 2 + sum(int(number) for number in lines[counts].split())
        head_end = _after_lines(text, first)
        grid_end = _after_lines(text, first + 2) - 1
        nx, ny, nz = (int(number) for number in text[head_end:grid_end].split())
    except (ValueError, IndexError) as error:
        raise DamagedDensityError(f"no head of a density: {error}") from error
    size = nx * ny * nz
    body = text[grid_end:]
    rows = -(-size // COLUMNS)
    body = _SHORT_EXPONENT.sub(rb"\1E\2", body[: _after_lines(body, rows + 1)] + b"\n")
    try:
        values = np.fromstring(body, dtype=np.float64, sep=" ")[:size]
    except ValueError as error:
        raise DamagedDensityError(str(error)) from error
    if len(values) < size:
        raise DamagedDensityError(f"{len(values)} of {size} numbers")
    if not np.all(np.isfinite(values)):
        raise DamagedDensityError("it is not all numbers")
    return Density(text[:head_end], (nx, ny, nz), values)


def _after_lines(text: bytes, count: int) -> int:
    """Where line number ``count`` begins; the end where there are fewer."""
    position = 0
    for _ in range(count):
        position = text.find(b"\n", position) + 1
        if not position:
            return len(text)
    return position


def add(one: Density, other: Density) -> Density:
    """Sum of two densities of a cell.

    Raises
    ------
    DamagedDensityError
        If their grids differ.
    """
    if one.grid != other.grid:
        raise DamagedDensityError(f"grids of {one.grid} and {other.grid} points cannot be added")
    return Density(one.head, one.grid, one.values + other.values)


def written(density: Density) -> bytes:
    """The density in the format of CHGCAR."""
    rows, whole = io.BytesIO(), len(density.values) // COLUMNS * COLUMNS
    np.savetxt(rows, density.values[:whole].reshape(-1, COLUMNS), fmt="%18.11E")
    if whole < len(density.values):
        np.savetxt(rows, density.values[None, whole:], fmt="%18.11E")
    return density.head + b"\n " + " ".join(map(str, density.grid)).encode() + b"\n" + rows.getvalue()
