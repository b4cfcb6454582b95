"""Tables of numbers out of VASP's text, fast.

Fortran writes a table in fixed columns. Where all rows have one length and their decimal points one place, the digits are read
as a matrix of bytes and each number is an exact integer divided by a power of ten, which is the double nearest to what is
printed. Anything else (stars, NaN, exponents, ragged rows) goes through numpy's own reader.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHUNK = 100_000
"""Rows converted at a time."""

EXACT_DIGITS = 15
"""Integers of so many decimal digits are exact in double precision."""

_ROW = re.compile(rb"<(?:r|v)(?: [^>]*)?>([^<]*)</(?:r|v)>")
_OVERFLOW = re.compile(rb"\S*\*\S*")
_POINT, _MINUS, _SPACE, _ZERO = b".- 0"


class DamagedTableError(ValueError):
    """A table that does not have the numbers it should have."""


def table(xml: bytes, shape: tuple[int, ...]) -> Array:
    """Numbers of the ``<r>`` or ``<v>`` rows of an XML fragment, in the order of the file.

    Fortran's overflow stars become NaN.

    Parameters
    ----------
    xml
        Fragment of vasprun.xml whose rows all have the same number of columns.
    shape
        Shape of the result; one entry may be -1.

    Raises
    ------
    DamagedTableError
        If the rows are ragged, hold something else than numbers, or do not fill the shape.
    """
    rows = _ROW.findall(xml)
    if not rows:
        raise DamagedTableError("no rows")
    try:
        values = _fixed_columns(rows)
        return (_any_columns(rows) if values is None else values).reshape(shape)
    except ValueError as error:
        raise DamagedTableError(str(error)) from error


def _any_columns(rows: list[bytes]) -> Array:
    return np.loadtxt([_OVERFLOW.sub(b" nan ", row) if b"*" in row else row for row in rows], ndmin=2)


def _fixed_columns(rows: list[bytes]) -> Array | None:
    """Rows of fixed-point numbers in fixed columns; None where they are something else."""
    width = len(rows[0])
    layout = _layout(rows[0])
    if layout is None or set(map(len, rows)) != {width}:
        return None
    points, ends = layout
    weights, fields = _weights(width, points, ends)
    inside = np.setdiff1d(np.flatnonzero(fields.any(axis=1)), ends)
    letters = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, width)
    parts = []
    for start in range(0, len(letters), CHUNK):
        part = letters[start : start + CHUNK]
        digits = part - np.uint8(_ZERO)
        is_digit, is_point, is_minus = digits < 10, part == _POINT, part == _MINUS
        begun, goes_on = part != _SPACE, is_digit | is_point
        sound = (
            np.all(goes_on | is_minus | ~begun)
            and np.all(is_point[:, points])
            and np.count_nonzero(is_point) == is_point[:, points].size
            and not np.any(begun[:, inside] & ~goes_on[:, inside + 1])
            and not np.any(begun[:, ends[-1] + 1 :])
        )
        if not sound:
            return None
        magnitude = np.where(is_digit, digits, 0).astype(np.float64) @ weights
        negative = is_minus.astype(np.float64) @ fields
        parts.append(np.where(negative > 0, -magnitude, magnitude))
    return np.concatenate(parts) / 10.0 ** np.subtract(ends, points)


def _layout(row: bytes) -> tuple[list[int], list[int]] | None:
    """Column of each decimal point and of each number's last digit."""
    points = [column for column, letter in enumerate(row) if letter == _POINT]
    ends = []
    for point in points:
        end = point
        while end + 1 < len(row) and row[end + 1 : end + 2].isdigit():
            end += 1
        ends.append(end)
    widths = np.diff([-1, *ends])
    numbers = len(row.split())
    return (points, ends) if points and numbers == len(points) and widths.max() <= EXACT_DIGITS + 2 else None


def _weights(width: int, points: list[int], ends: list[int]) -> tuple[Array, Array]:
    """Power of ten of each column in each number (width, n), and which columns belong to it."""
    weights, fields = np.zeros((width, len(points))), np.zeros((width, len(points)))
    start = 0
    for number, (point, end) in enumerate(zip(points, ends, strict=True)):
        for column in range(start, end + 1):
            fields[column, number] = 1
            if column != point:
                weights[column, number] = 10.0 ** (end - column - (column < point))
        start = end + 1
    return weights, fields


def inner(text: bytes, tag: bytes, start: int = 0) -> bytes | None:
    """Content of the first ``<tag>`` (without attributes) from ``start`` on; None where it is absent or not closed."""
    begin = text.find(b"<" + tag + b">", start)
    if begin < 0:
        return None
    begin += len(tag) + 2
    end = text.find(b"</" + tag + b">", begin)
    return None if end < 0 else text[begin:end]
