"""Files of rows, written as they come: memory does not grow with the table, and the same rows give the same bytes."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hibana.tables.cells import ARROW, Value, as_arrow, as_text
from hibana.tables.columns import Column
from hibana.tables.errors import WRONG_TYPE
from hibana.tables.grids import Grid

ROWS_A_GROUP = 10_000
"""Rows a row group of a Parquet file; as many are held in memory, or fewer:"""

NUMBERS_A_GROUP = 2_000_000
"""a row group of spectra ends before it holds more numbers than this (8 MB)."""


class GroupWriter(ABC):
    """A file that is written in groups of rows; one that ends with an error is closed without the last group.

    Parameters
    ----------
    columns
        The columns; wide spectra make the groups smaller.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        numbers = sum(column.grid.count for column in columns if column.grid is not None)
        self._rows: list[tuple[Value, ...]] = []
        self._rows_a_group = min(ROWS_A_GROUP, NUMBERS_A_GROUP // numbers) if numbers else ROWS_A_GROUP

    def write(self, values: tuple[Value, ...]) -> None:
        """Add a row.

        Raises
        ------
        HibanaError
            HIB-138 if a cell is not of the type of its column, at the latest when the file is closed.
        """
        self._rows.append(values)
        if len(self._rows) == self._rows_a_group:
            self._flush()

    @abstractmethod
    def _write_group(self, rows: Sequence[tuple[Value, ...]]) -> None:
        """Write some rows, at least one."""

    @abstractmethod
    def _close(self) -> None:
        """Close the file."""

    def _flush(self) -> None:
        if self._rows:
            self._write_group(self._rows)
            self._rows.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._close()


class ParquetWriter(GroupWriter):
    """Parquet file whose fields carry unit, meaning and source as metadata.

    Parameters
    ----------
    path
        File to write.
    columns
        The columns.
    metadata
        Metadata of the whole table.
    """

    def __init__(self, path: Path, columns: Sequence[Column], metadata: Mapping[str, str]) -> None:
        super().__init__(columns)
        self._schema = pa.schema([_field(column) for column in columns], metadata=dict(metadata))
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def _write_group(self, rows: Sequence[tuple[Value, ...]]) -> None:
        cells = zip(zip(*rows, strict=True), self._schema, strict=True)
        self._writer.write_batch(pa.record_batch([_array(cell, field) for cell, field in cells], schema=self._schema))

    def _close(self) -> None:
        self._writer.close()


class CsvWriter:
    """CSV file in UTF-8: a missing value is an empty cell, lists and maps are joined by ``;``, floats keep every digit.

    Parameters
    ----------
    path
        File to write.
    names
        The header.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(names)

    def write(self, values: Sequence[Value]) -> None:
        """Add a row."""
        self._writer.writerow([as_text(value) for value in values])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class LongWriter(CsvWriter):
    """CSV file with one line a material and point of a grid.

    Parameters
    ----------
    path
        File to write.
    grid
        The grid; its name heads the second column.
    spectra
        Names of the spectra, which head the others.
    """

    def __init__(self, path: Path, grid: Grid, spectra: Sequence[str]) -> None:
        super().__init__(path, ("material_id", grid.name, *spectra))
        self._points = grid.points.tolist()

    def write_spectra(self, material_id: str, spectra: Sequence[NDArray[np.float32] | None]) -> None:
        """Add the lines of one material; none if it has no spectrum.

        Parameters
        ----------
        material_id
            Which material.
        spectra
            The numbers on the grid of each spectrum, None for one that is missing.
        """
        if all(spectrum is None for spectrum in spectra):
            return
        empty = (None,) * len(self._points)
        for line in zip(self._points, *(empty if item is None else item for item in spectra), strict=True):
            self.write((material_id, *line))


def _array(cells: tuple[Value, ...], field: pa.Field) -> pa.Array:
    try:
        return as_arrow(cells, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise WRONG_TYPE.error(str(error).splitlines()[0], where=field.name) from error


def _field(column: Column) -> pa.Field:
    metadata = {"meaning": column.meaning, "source": column.source}
    if column.unit is not None:
        metadata["unit"] = column.unit
    if column.allowed is not None:
        metadata["allowed"] = str(column.allowed)
    if column.steps:
        metadata["steps"] = ",".join(column.steps)
    if column.grid is not None:
        metadata["grid"] = json.dumps(column.grid.as_dict(), ensure_ascii=False)
    return pa.field(column.name, ARROW[column.dtype], nullable=True, metadata=metadata)
