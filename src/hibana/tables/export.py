"""Export of a table: Parquet, CSV, spectra as lines, data dictionary, card, and the list of what was left out.

The same state of the store gives the same bytes. A file appears under its name when it is complete, so a reader never meets
half a table and an export that fails leaves the last one as it was.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hibana.tables.card import Tally, card
from hibana.tables.errors import FOREIGN_README, UNWRITABLE_DIRECTORY
from hibana.tables.left_out import LeftOut, LeftOutCode
from hibana.tables.reading import series_there
from hibana.tables.registry import find_table
from hibana.tables.rows import Row, rows
from hibana.tables.series import Series, choose_series
from hibana.tables.table import Table
from hibana.tables.writers import CsvWriter, LongWriter, ParquetWriter

if TYPE_CHECKING:
    from hibana.store.store import Store

LEFT_OUT_HEADER = ("material_id", "formula", "code", "reason")
"""Columns of ``left_out.csv``; in a table with parts there is also ``part``."""


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote."""

    table: str
    series: Series
    directory: Path
    files: tuple[Path, ...]
    n_rows: int
    left_out: dict[LeftOutCode, int]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "table": self.table,
            **self.series.as_dict(),
            "directory": str(self.directory),
            "files": [str(path) for path in self.files],
            "n_rows": self.n_rows,
            "left_out": dict(self.left_out),
        }


def export(
    store: Store,
    table: str,
    directory: Path,
    *,
    protocol: str | None = None,
    protocol_version: int | None = None,
    calculator: str | None = None,
    include_flagged: bool = False,
) -> ExportReport:
    """Write a table to a folder.

    A series whose candidates have no result yet gives a table without rows, whose card says why; it is no error.

    Parameters
    ----------
    store
        Where the property documents are.
    table
        Name of the table.
    directory
        Folder to write to; made where it is missing.
    protocol, protocol_version, calculator
        Which series; each may be left out where the store leaves no choice.
    include_flagged
        Whether rows with flags stay in the table instead of being listed as left out.

    Raises
    ------
    HibanaError
        If there is no such table, if the store holds several series or none that fits, or if the folder cannot be written.
    """
    what = find_table(table)
    series = choose_series(series_there(store, what), protocol=protocol, protocol_version=protocol_version, calculator=calculator)
    _refuse_foreign_readme(directory, what)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{table}-", dir=directory) as scratch:
            tally = _write(Path(scratch), store, what, series, include_flagged=include_flagged)
            files = tuple(path.replace(directory / path.name) for path in sorted(Path(scratch).iterdir()))
    except OSError as error:
        raise UNWRITABLE_DIRECTORY.error(error.strerror or str(error), where=directory) from error
    return ExportReport(table, series, directory, files, tally.n_rows, tally.left_out)


def _refuse_foreign_readme(directory: Path, table: Table) -> None:
    """The card is README.md; one that is no card, as in the root of a project, is not overwritten."""
    readme = directory / "README.md"
    try:
        is_foreign = readme.exists() and not readme.read_text(encoding="utf-8", errors="replace").startswith(f"# {table.name}: ")
    except OSError as error:
        raise UNWRITABLE_DIRECTORY.error(error.strerror or str(error), where=readme) from error
    if is_foreign:
        raise FOREIGN_README.error(f"it is not the card of an export of {table.name}", where=readme)


def _write(folder: Path, store: Store, table: Table, series: Series, *, include_flagged: bool) -> Tally:
    """Write all files of a table to an empty folder."""
    tally = Tally()
    with _Files(folder, table, series) as files:
        for item in rows(store, table, series, include_flagged=include_flagged):
            if isinstance(item, LeftOut):
                tally.leave_out(item)
                files.leave_out(item)
            else:
                cells = files.write(item)
                tally.add_row(item.material_id, is_flagged=bool(cells["flags"]), version=str(cells["calculator_version"]))
    (folder / "dictionary.json").write_text(_dictionary(table, series), encoding="utf-8")
    (folder / "README.md").write_text(card(table, series, tally, include_flagged=include_flagged), encoding="utf-8")
    return tally


class _Files(ExitStack):
    """The open files of a table."""

    def __init__(self, folder: Path, table: Table, series: Series) -> None:
        super().__init__()
        self._table = table
        self._names = [column.name for column in table.columns]
        metadata = {"table": table.name, **{name: str(value) for name, value in series.as_dict().items()}}
        if table.grid is not None:
            metadata["grid"] = json.dumps(table.grid.as_dict(), ensure_ascii=False)
        self._parquet = self.enter_context(ParquetWriter(folder / f"{table.name}.parquet", table.columns, metadata))
        flat = [column.name for column in table.flat_columns]
        self._text = self.enter_context(CsvWriter(folder / f"{table.name}.csv", flat))
        self._long: LongWriter | None = None
        if table.grid is not None:
            spectra = [column.name for column in table.spectra]
            self._long = self.enter_context(LongWriter(folder / table.long_name, table.grid, spectra))
        self._left_out_header = LEFT_OUT_HEADER if table.parts is None else (*LEFT_OUT_HEADER[:2], "part", *LEFT_OUT_HEADER[2:])
        self._left_out = self.enter_context(CsvWriter(folder / "left_out.csv", self._left_out_header))

    def write(self, row: Row) -> dict[str, Any]:
        """Write a row to every file of rows; its cells by name."""
        cells = dict(zip(self._names, row.values, strict=True))
        self._parquet.write(row.values)
        self._text.write([cells[column.name] for column in self._table.flat_columns])
        if self._long is not None:
            spectra = [cells[column.name] for column in self._table.spectra]
            self._long.write_spectra(row.material_id, [item if isinstance(item, np.ndarray) else None for item in spectra])
        return cells

    def leave_out(self, item: LeftOut) -> None:
        """Write what has no row."""
        self._left_out.write([getattr(item, name) for name in self._left_out_header])


def _dictionary(table: Table, series: Series) -> str:
    content = {
        "table": table.name,
        "title": table.title,
        **series.as_dict(),
        "columns": [column.as_dict() for column in table.columns],
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
