"""Cells of tables: the types there are, and how a value becomes a cell, a Parquet value, and text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Dtype = Literal[
    "string",
    "integer",
    "number",
    "boolean",
    "list of strings",
    "list of numbers",
    "map of numbers",
    "map of strings",
    "spectrum",
]
Value = (
    str
    | int
    | float
    | bool
    | list[str]
    | list[float | None]
    | dict[str, float | None]
    | dict[str, str]
    | NDArray[np.float32]
    | None
)

ARROW: Mapping[Dtype, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "list of strings": pa.list_(pa.string()),
    "list of numbers": pa.list_(pa.float64()),
    "map of numbers": pa.map_(pa.string(), pa.float64()),
    "map of strings": pa.map_(pa.string(), pa.string()),
    "spectrum": pa.list_(pa.float32()),
}
"""Type of each kind of cell in Parquet."""

LIST_SEPARATOR = ";"
"""Between the items of a list or map in one CSV cell."""

KEY_SEPARATOR = ":"
"""Between key and value of an item of a map in a CSV cell."""


def as_cell(value: Any, dtype: Dtype) -> Value:
    """A value as a cell: NaN and infinity are missing, alone and inside lists and maps.

    Parameters
    ----------
    value
        What the column reads.
    dtype
        Type of the column.
    """
    if value is None:
        return None
    if dtype == "spectrum":
        return np.asarray(value, dtype=np.float32)
    if dtype == "list of numbers":
        return [_number(item) for item in value]
    if dtype == "map of numbers":
        return {key: _number(value[key]) for key in sorted(value)}
    if dtype == "map of strings":
        return {key: value[key] for key in sorted(value)}
    if dtype == "list of strings":
        return list(value)
    return _number(value) if dtype == "number" else value


def as_arrow(cells: tuple[Value, ...], kind: pa.DataType) -> pa.Array:
    """Cells of one column as an Arrow array; what is not finite in a spectrum is null.

    Raises
    ------
    pyarrow.ArrowInvalid, pyarrow.ArrowTypeError
        If a value is not of the type.
    """
    if pa.types.is_map(kind):
        return pa.array([None if cell is None else list(cell.items()) for cell in cells], type=kind)  # type: ignore[union-attr]
    if pa.types.is_list(kind) and pa.types.is_float32(kind.value_type):
        return _spectra(cells)
    return pa.array(cells, type=kind)


def as_text(value: Value) -> Any:
    """A cell as the csv module writes it; floats keep every digit.

    >>> as_text({"Zn": 0.93, "O": 0.07})
    'Zn:0.93;O:0.07'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return LIST_SEPARATOR.join(f"{key}{KEY_SEPARATOR}{_item(item)}" for key, item in value.items())
    if isinstance(value, list | np.ndarray):
        return LIST_SEPARATOR.join(_item(item) for item in value)
    return _digits(value) if isinstance(value, np.floating) else value


def _number(value: Any) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _item(item: Any) -> str:
    return item if isinstance(item, str) else _digits(item)


def _digits(number: Any) -> str:
    """All digits a number has in its own precision; nothing for one that is missing."""
    return "" if number is None or not math.isfinite(number) else str(number)


def _spectra(cells: tuple[Value, ...]) -> pa.Array:
    """Spectra without a detour over Python's floats."""
    there = [np.asarray([] if cell is None else cell, dtype=np.float32) for cell in cells]
    offsets = np.concatenate([[0], np.cumsum([len(item) for item in there])]).astype(np.int32)
    values = np.concatenate(there) if there else np.empty(0, dtype=np.float32)
    missing = pa.array([cell is None for cell in cells])
    flat = pa.array(values, mask=~np.isfinite(values))
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=missing)
