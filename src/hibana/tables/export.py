"""Export of a table: Parquet, CSV, structures, spectra as lines, data dictionary, cards, manifest, and what was left out.

The same state of the store gives the same bytes. A file appears under its name when it is complete, so a reader never meets
half a table and an export that fails leaves the last one as it was.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.tables.card import card
from hibana.tables.columns import FLAGS
from hibana.tables.croissant import croissant
from hibana.tables.errors import FOREIGN_README, UNWRITABLE_DIRECTORY
from hibana.tables.left_out import LeftOut, LeftOutCode
from hibana.tables.manifest import MANIFEST, Manifest, check_files, filter_of, hashes, read_manifest
from hibana.tables.other_formats import SUFFIXES, Hdf5Writer, JsonLinesWriter, check_formats
from hibana.tables.reading import series_there
from hibana.tables.registry import find_table
from hibana.tables.rows import Row, rows
from hibana.tables.series import Series, choose_series
from hibana.tables.snapshot import ContentHash, snapshot_of
from hibana.tables.structures_file import STRUCTURES_FILE, StructuresWriter
from hibana.tables.table import Table
from hibana.tables.tally import Tally
from hibana.tables.writers import CsvWriter, LongWriter, ParquetWriter

if TYPE_CHECKING:
    from hibana.store.store import Store

LEFT_OUT_HEADER = ("material_id", "formula", "code", "reason")
"""Columns of ``left_out.csv``; in a table with parts there is also ``part``."""


NAME_DIGITS = 12
"""Digits of the snapshot in the name of a folder that is kept."""


@dataclass(frozen=True)
class Wanted:
    """What to export, and what to say of it.

    Parameters
    ----------
    include_flagged
        Whether rows with flags stay in the table instead of being listed as left out.
    formats
        Formats besides Parquet and CSV: ``jsonl``, ``hdf5``.
    licence, citation
        The right to use the table, and what to cite with it; they stand in the cards.
    """

    include_flagged: bool = False
    formats: tuple[str, ...] = ()
    licence: str | None = None
    citation: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote."""

    table: str
    series: Series
    directory: Path
    files: tuple[Path, ...]
    n_rows: int
    left_out: dict[LeftOutCode, int]
    snapshot: str

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "table": self.table,
            **self.series.as_dict(),
            "directory": str(self.directory),
            "snapshot": self.snapshot,
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
    formats: Sequence[str] = (),
    licence: str | None = None,
    citation: Sequence[str] = (),
    keep: bool = False,
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
    formats
        Formats besides Parquet and CSV: ``jsonl``, ``hdf5``.
    licence, citation
        The right to use the table, and what to cite with it; they stand in the cards.
    keep
        Whether to write to a folder below `directory` that is named by the snapshot, ``dielectric-3f9ac1d20b47``. Such a folder
        is never written to again: an export of the same state finds it there.

    Raises
    ------
    HibanaError
        If there is no such table or format, if the store holds several series or none that fits, if the folder cannot be
        written, or if a snapshot that is to be kept was changed.
    """
    what = find_table(table)
    wanted = Wanted(include_flagged, check_formats(formats), licence, tuple(citation))
    series = choose_series(series_there(store, what), protocol=protocol, protocol_version=protocol_version, calculator=calculator)
    if not keep:
        _refuse_foreign_readme(directory, what)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{table}-", dir=directory) as scratch:
            folder = Path(scratch) / table
            folder.mkdir()
            manifest, tally = _write(folder, store, what, series, wanted)
            target = _keep(folder, directory, manifest) if keep else _replace(folder, directory)
    except OSError as error:
        raise UNWRITABLE_DIRECTORY.error(error.strerror or str(error), where=directory) from error
    files = tuple(target / name for name in (*read_manifest(target)["files"], MANIFEST))
    return ExportReport(table, series, target, files, tally.n_rows, tally.left_out, manifest.snapshot)


def _replace(folder: Path, directory: Path) -> Path:
    """Put the files in the place of those of an earlier export; the manifest, which vouches for them, comes last."""
    try:
        earlier = set(read_manifest(directory)["files"])
    except HibanaError:
        earlier = set()
    for path in sorted(folder.iterdir(), key=lambda path: (path.name == MANIFEST, path.name)):
        path.replace(directory / path.name)
        earlier.discard(path.name)
    for name in earlier:
        (directory / Path(name).name).unlink(missing_ok=True)
    return directory


def _keep(folder: Path, directory: Path, manifest: Manifest) -> Path:
    """Move the folder to its own name, unless the same snapshot is there."""
    target = directory / f"{manifest.table.name}-{manifest.snapshot[:NAME_DIGITS]}"
    if not target.exists():
        for path in folder.iterdir():
            path.chmod(0o444)
        try:
            return folder.rename(target)
        except OSError:  # another export of the same snapshot has come first
            if not target.exists():
                raise
    check_files(target, read_manifest(target))
    return target


def _refuse_foreign_readme(directory: Path, table: Table) -> None:
    """The card is README.md; one that is no card, as in the root of a project, is not overwritten."""
    readme = directory / "README.md"
    try:
        is_foreign = readme.exists() and not readme.read_text(encoding="utf-8", errors="replace").startswith(f"# {table.name}: ")
    except OSError as error:
        raise UNWRITABLE_DIRECTORY.error(error.strerror or str(error), where=readme) from error
    if is_foreign:
        raise FOREIGN_README.error(f"it is not the card of an export of {table.name}", where=readme)


def _write(folder: Path, store: Store, table: Table, series: Series, wanted: Wanted) -> tuple[Manifest, Tally]:
    """Write all files of a table to an empty folder."""
    tally = Tally()
    with _Files(folder, table, series, wanted.formats) as files:
        for item in rows(store, table, series, include_flagged=wanted.include_flagged):
            if isinstance(item, LeftOut):
                tally.leave_out(item)
                files.leave_out(item)
            else:
                _write_row(item, table, files, tally)
    chosen = filter_of(include_flagged=wanted.include_flagged)
    manifest = Manifest(
        table=table,
        series=series,
        snapshot=snapshot_of(table, series, chosen, files.rows, files.structures),
        content={"rows": files.rows.hexdigest(), "structures": files.structures.hexdigest(), "left_out": files.gone.hexdigest()},
        counts=tally.as_dict(),
        calculator_versions=tuple(sorted(tally.calculator_versions)),
        **vars(wanted),
    )
    (folder / "dictionary.json").write_text(_dictionary(table, series), encoding="utf-8")
    (folder / "README.md").write_text(card(manifest, tally), encoding="utf-8")
    (folder / "croissant.json").write_text(croissant(manifest, hashes(folder)), encoding="utf-8")
    (folder / MANIFEST).write_text(manifest.text(hashes(folder)), encoding="utf-8")
    return manifest, tally


def _write_row(row: Row, table: Table, files: _Files, tally: Tally) -> None:
    name, flags, version = (row.values[table.index(column)] for column in ("row_id", FLAGS, "calculator_version"))
    is_first = tally.add_row(row.material_id, name=str(name), is_flagged=bool(flags), version=str(version))
    files.write(row)
    if is_first and row.crystal is not None:
        files.write_structure(row.material_id, row.crystal)
        tally.n_structures += 1


class _Files(ExitStack):
    """The open files of a table, and the hashes of what is written to them."""

    def __init__(self, folder: Path, table: Table, series: Series, formats: Sequence[str]) -> None:
        super().__init__()
        self._table = table
        self.rows, self.structures, self.gone = ContentHash(), ContentHash(), ContentHash()
        metadata = {"table": table.name, **{name: str(value) for name, value in series.as_dict().items()}}
        if table.grid is not None:
            metadata["grid"] = json.dumps(table.grid.as_dict(), ensure_ascii=False)
        self._parquet = self.enter_context(ParquetWriter(folder / f"{table.name}.parquet", table.columns, metadata))
        flat = [column.name for column in table.flat_columns]
        self._text = self.enter_context(CsvWriter(folder / f"{table.name}.csv", flat))
        self._structures = self.enter_context(StructuresWriter(folder / STRUCTURES_FILE))
        self._others: list[JsonLinesWriter | Hdf5Writer] = []
        if "jsonl" in formats:
            self._others.append(self.enter_context(JsonLinesWriter(folder / f"{table.name}{SUFFIXES['jsonl']}", table.columns)))
        if "hdf5" in formats:
            hdf5 = Hdf5Writer(folder / f"{table.name}{SUFFIXES['hdf5']}", table.columns, metadata)
            self._others.append(self.enter_context(hdf5))
        self._long: LongWriter | None = None
        if table.grid is not None:
            spectra = [column.name for column in table.spectra]
            self._long = self.enter_context(LongWriter(folder / table.long_name, table.grid, spectra))
        self._left_out_header = LEFT_OUT_HEADER if table.parts is None else (*LEFT_OUT_HEADER[:2], "part", *LEFT_OUT_HEADER[2:])
        self._left_out = self.enter_context(CsvWriter(folder / "left_out.csv", self._left_out_header))

    def write(self, row: Row) -> None:
        """Write a row to every file of rows."""
        self.rows.add_cells(row.values)
        self._parquet.write(row.values)
        self._text.write([row.values[self._table.index(column.name)] for column in self._table.flat_columns])
        for writer in self._others:
            writer.write(row.values)
        if self._long is not None:
            spectra = [row.values[self._table.index(column.name)] for column in self._table.spectra]
            self._long.write_spectra(row.material_id, [item if isinstance(item, np.ndarray) else None for item in spectra])

    def write_structure(self, material_id: str, crystal: Crystal) -> None:
        """Write the structure of a material."""
        self.structures.add(self._structures.write(material_id, crystal))

    def leave_out(self, item: LeftOut) -> None:
        """Write what has no row."""
        cells = [getattr(item, name) for name in self._left_out_header]
        self.gone.add_cells(cells)
        self._left_out.write(cells)


def _dictionary(table: Table, series: Series) -> str:
    content = {
        "table": table.name,
        "title": table.title,
        **series.as_dict(),
        "columns": [column.as_dict() for column in table.columns],
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
