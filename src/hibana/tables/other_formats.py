"""JSON-lines and HDF5 files of a table, written row by row beside the Parquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from hibana.tables.cells import Dtype, Value
from hibana.tables.columns import Column
from hibana.tables.errors import UNKNOWN_FORMAT
from hibana.tables.writers import GroupWriter

Format = Literal["jsonl", "hdf5"]

SUFFIXES: Mapping[str, str] = {"jsonl": ".jsonl", "hdf5": ".h5"}
"""Suffix of the file of each format."""

NO_INTEGER = np.iinfo(np.int64).min
NO_BOOLEAN = -1
"""What stands for a missing integer and a missing boolean in HDF5, which has no null."""

MISSING_IN_HDF5: Mapping[Dtype, Any] = {"integer": NO_INTEGER, "boolean": NO_BOOLEAN, "number": np.nan, "spectrum": np.nan}
"""Type of cell to its missing value in HDF5; for all others, which are text, that is the empty text."""


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Formats, each once, in the order of :data:`SUFFIXES`.

    Raises
    ------
    HibanaError
        HIB-142 if there is none of a name.
    """
    for name in names:
        if name not in SUFFIXES:
            raise UNKNOWN_FORMAT.error(f"{name!r}; there are: {', '.join(SUFFIXES)}")
    return tuple(name for name in SUFFIXES if name in names)


class JsonLinesWriter:
    """One JSON object a row; a missing value is null, floats keep every digit.

    Parameters
    ----------
    path
        File to write.
    columns
        The columns.
    """

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, values: Sequence[Value]) -> None:
        """Add a row."""
        cells = {name: _json_cell(value) for name, value in zip(self._names, values, strict=True)}
        self._file.write(json.dumps(cells, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Hdf5Writer(GroupWriter):
    """One dataset a column, with unit, meaning and missing value as attributes; lists and maps are JSON text.

    Parameters
    ----------
    path
        File to write.
    columns
        The columns.
    metadata
        Attributes of the file.
    """

    def __init__(self, path: Path, columns: Sequence[Column], metadata: Mapping[str, str]) -> None:
        import h5py

        super().__init__(columns)
        self._columns = columns
        self._file = h5py.File(path, "w")
        self._file.attrs.update(metadata)
        self._sets = [self._dataset(column, h5py.string_dtype()) for column in columns]

    def _dataset(self, column: Column, text: Any) -> Any:
        shape = () if column.grid is None else (column.grid.count,)
        kinds: dict[Dtype, Any] = {"integer": np.int64, "boolean": np.int8, "number": np.float64, "spectrum": np.float32}
        chunks = (64 if shape else 1024, *shape)
        made = self._file.create_dataset(
            column.name, (0, *shape), maxshape=(None, *shape), dtype=kinds.get(column.dtype, text), chunks=chunks
        )
        made.attrs["meaning"] = column.meaning
        made.attrs["type"] = column.dtype
        made.attrs["missing_value"] = MISSING_IN_HDF5.get(column.dtype, "")
        if column.unit is not None:
            made.attrs["unit"] = column.unit
        if column.grid is not None:
            made.attrs["grid"] = json.dumps(column.grid.as_dict(), ensure_ascii=False)
        return made

    def _write_group(self, rows: Sequence[tuple[Value, ...]]) -> None:
        for column, made, cells in zip(self._columns, self._sets, zip(*rows, strict=True), strict=True):
            there = made.shape[0]
            made.resize(there + len(cells), axis=0)
            made[there:] = _hdf5_cells(column, cells)

    def _close(self) -> None:
        self._file.close()


def _hdf5_cells(column: Column, cells: Sequence[Value]) -> Any:
    if column.grid is not None:
        empty = np.full(column.grid.count, np.nan, dtype=np.float32)
        return np.stack([cell if isinstance(cell, np.ndarray) else empty for cell in cells])
    if column.dtype in MISSING_IN_HDF5:
        return np.array([MISSING_IN_HDF5[column.dtype] if cell is None else cell for cell in cells])
    return ["" if cell is None else cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False) for cell in cells]


def _json_cell(value: Value) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return [float(str(number)) if np.isfinite(number) else None for number in value]
