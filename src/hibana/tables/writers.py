"""Files of rows, written as they come: memory does not grow with the table, and the same rows give the same bytes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from hibana.tables.columns import Column, Dtype, Value

ROWS_A_GROUP = 10_000
"""Rows a row group of a Parquet file; as many are held in memory."""

LIST_SEPARATOR = ";"
"""Between the items of a list in one CSV cell."""

_ARROW: Mapping[Dtype, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "list of strings": pa.list_(pa.string()),
}


class ParquetWriter:
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
        self._schema = pa.schema([_field(column) for column in columns], metadata=dict(metadata))
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[tuple[Value, ...]] = []

    def write(self, values: tuple[Value, ...]) -> None:
        """Add a row."""
        self._rows.append(values)
        if len(self._rows) == ROWS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            arrays = [
                pa.array(cells, type=field.type) for cells, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
            self._rows.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._writer.close()


class CsvWriter:
    """CSV file in UTF-8: a missing value is an empty cell, lists are joined by ``;``, floats keep every digit.

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
        self._writer.writerow([_cell(value) for value in values])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _field(column: Column) -> pa.Field:
    metadata = {"meaning": column.meaning, "source": column.source}
    if column.unit is not None:
        metadata["unit"] = column.unit
    return pa.field(column.name, _ARROW[column.dtype], nullable=True, metadata=metadata)


def _cell(value: Value) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return LIST_SEPARATOR.join(value)
    return value
