"""What changed from one export of a table to another: rows and cells, each with the reason.

Both tables are sorted by material, so they are read side by side and only the changes are kept.
"""

from __future__ import annotations

import csv
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hibana.tables.errors import OTHER_TABLE
from hibana.tables.keys import SEPARATOR, series_key
from hibana.tables.manifest import check_files, read_manifest
from hibana.tables.missing import MISSING
from hibana.tables.series import Series

BATCH = 1024
"""Rows that are read at once."""

ADDRESS = "address_"
UNCOMPARED = ("row_id", MISSING)
"""Columns whose changes follow from those of others: they are the reasons of these."""

SERIES_COLUMNS = ("protocol", "protocol_version", "calculator")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RowChange:
    """A row that is in one of the exports only."""

    row: str
    formula: str
    why: str


@dataclass(frozen=True)
class CellChange:
    """A cell that is another one."""

    row: str
    formula: str
    column: str
    before: Any
    after: Any
    why: str


@dataclass
class TableDiff:
    """What changed.

    Parameters
    ----------
    table
        Name of the table.
    snapshots, series, filters
        Of both exports.
    columns_added, columns_removed
        Names of columns.
    columns_changed
        Name of each column of another type or unit to what it is now and was.
    n_rows_added, n_rows_removed, n_rows_changed, n_cells_changed
        How many.
    reasons
        How many cells changed for each kind of reason.
    left_out_moves
        How many candidates without a row in both exports were left out for one reason and are for another.
    rows_added, rows_removed, cells_changed
        The changes, as many as were asked for.
    """

    table: str
    snapshots: tuple[str, str]
    series: tuple[Series, Series]
    filters: tuple[dict[str, Any], dict[str, Any]]
    columns_added: list[str] = field(default_factory=list)
    columns_removed: list[str] = field(default_factory=list)
    columns_changed: dict[str, str] = field(default_factory=dict)
    n_rows_added: int = 0
    n_rows_removed: int = 0
    n_rows_changed: int = 0
    n_cells_changed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    left_out_moves: Counter[str] = field(default_factory=Counter)
    rows_added: list[RowChange] = field(default_factory=list)
    rows_removed: list[RowChange] = field(default_factory=list)
    cells_changed: list[CellChange] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether both exports contain the same."""
        return self.snapshots[0] == self.snapshots[1]

    def as_dict(self) -> dict[str, Any]:
        """The difference as plain data."""
        counts = {"reasons": dict(self.reasons), "left_out_moves": dict(self.left_out_moves)}
        plain = asdict(replace(self, reasons=Counter(), left_out_moves=Counter()))
        return {"is_empty": self.is_empty, **plain, **counts}


def diff(before: Path, after: Path, *, limit: int | None = None) -> TableDiff:
    """What changed from one export to another.

    Parameters
    ----------
    before, after
        Folders of two exports of one table.
    limit
        How many added rows, removed rows and changed cells are named; None for all. All are counted.

    Raises
    ------
    HibanaError
        HIB-139 if a folder is no export, HIB-140 if its files were changed since, HIB-141 if they are of different tables.
    """
    manifests = (read_manifest(before), read_manifest(after))
    name = manifests[0]["table"]
    if manifests[1]["table"] != name:
        raise OTHER_TABLE.error(f"{name} and {manifests[1]['table']}", where=after)
    for folder, manifest in zip((before, after), manifests, strict=True):
        check_files(folder, manifest, (f"{name}.parquet", "left_out.csv"))
    series = tuple(Series(**{key: manifest[key] for key in SERIES_COLUMNS}) for manifest in manifests)
    found = TableDiff(
        table=name,
        snapshots=(manifests[0]["snapshot"], manifests[1]["snapshot"]),
        series=(series[0], series[1]),
        filters=(manifests[0]["filter"], manifests[1]["filter"]),
    )
    comparison = _Comparison(found, manifests, limit)
    streams = [_materials(folder, name, of, side) for side, (folder, of) in enumerate(zip((before, after), series, strict=True))]
    for _, sides in groupby(heapq.merge(*streams, key=lambda item: item.material_id), key=lambda item: item.material_id):
        there = {item.side: item for item in sides}
        comparison.compare(there.get(0), there.get(1))
    return found


@dataclass
class _Material:
    """All that one export says of a material: rows by their name without the series, and what was left out by part."""

    material_id: str
    side: int
    rows: dict[str, Row] = field(default_factory=dict)
    left_out: dict[str, tuple[str, str]] = field(default_factory=dict)

    def why_no_row(self, row: str) -> tuple[str, str] | None:
        """Code and reason why a row is not there; None if the export does not say."""
        part = row.partition(SEPARATOR)[2]
        return self.left_out.get(part) or self.left_out.get("")


def _materials(folder: Path, table: str, series: Series, side: int) -> Iterator[_Material]:
    suffix = SEPARATOR + series_key(series)
    streams = (_rows(folder / f"{table}.parquet"), _left_out(folder / "left_out.csv"))
    merged = heapq.merge(*streams, key=lambda item: item["material_id"])
    for material_id, items in groupby(merged, key=lambda item: item["material_id"]):
        material = _Material(material_id, side)
        for item in items:
            if "row_id" in item:
                material.rows[item["row_id"].removesuffix(suffix)] = item
            else:
                material.left_out[item.get("part", "")] = (item["code"], item["reason"])
        yield material


def _rows(path: Path) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        spectra = [field.name for field in file.schema_arrow if b"grid" in (field.metadata or {})]
        for batch in file.iter_batches(BATCH if not spectra else BATCH // 16):
            yield from batch.to_pylist()


def _left_out(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


class _Comparison:
    """Enters the differences of materials."""

    def __init__(self, found: TableDiff, manifests: tuple[Mapping[str, Any], Mapping[str, Any]], limit: int | None) -> None:
        self._found, self._limit = found, limit
        old, new = ({column["name"]: column for column in manifest["columns"]} for manifest in manifests)
        found.columns_added = [name for name in new if name not in old]
        found.columns_removed = [name for name in old if name not in new]
        for name in new.keys() & old.keys():
            changed = [key for key in ("type", "unit") if old[name][key] != new[name][key]]
            if changed:
                found.columns_changed[name] = "; ".join(f"{key}: {old[name][key]} -> {new[name][key]}" for key in changed)
        ignored = {*UNCOMPARED, *(SERIES_COLUMNS if found.series[0] != found.series[1] else ())}
        self._columns = [name for name in new if name in old and name not in ignored]
        self._steps = {name: column["steps"] for name, column in new.items()}
        self._same_filter = found.filters[0] == found.filters[1]

    def compare(self, before: _Material | None, after: _Material | None) -> None:
        """Compare what both exports say of one material; None for one that does not know it."""
        old, new = (material.rows if material else {} for material in (before, after))
        for row in new.keys() - old.keys():
            self._add_row("added", row, new[row], before)
        for row in old.keys() - new.keys():
            self._add_row("removed", row, old[row], after)
        for row in (name for name in new if name in old):
            self._compare_rows(row, old[row], new[row])
        if not old and not new and before and after:
            codes = [next(iter(material.left_out.values()), ("", ""))[0] for material in (before, after)]
            if codes[0] != codes[1]:
                self._found.left_out_moves[f"{codes[0]} -> {codes[1]}"] += 1

    def _add_row(self, how: str, row: str, cells: Row, other: _Material | None) -> None:
        said = other.why_no_row(row) if other else None
        if said is None:
            why = "the candidate is new" if how == "added" else "the candidate is gone"
            why = why if other is None else "the material has no such part there"
        else:
            why = f"{'was' if how == 'added' else 'is'} left out: {said[0]} ({said[1]})"
        if not self._same_filter:
            why += "; the exports have different filters"
        if how == "added":
            self._found.n_rows_added += 1
            self._note(self._found.rows_added, RowChange(row, cells["formula"], why))
        else:
            self._found.n_rows_removed += 1
            self._note(self._found.rows_removed, RowChange(row, cells["formula"], why))

    def _compare_rows(self, row: str, old: Row, new: Row) -> None:
        changed = [name for name in self._columns if old[name] != new[name]]
        if not changed:
            return
        self._found.n_rows_changed += 1
        self._found.n_cells_changed += len(changed)
        runs = {name: f"{_short(old[name])} -> {_short(new[name])}" for name in changed if name.startswith(ADDRESS)}
        for name in changed:
            kind, why = self._why(name, old, new, runs)
            self._found.reasons[kind] += 1
            if self._limit is None or len(self._found.cells_changed) < self._limit:
                change = CellChange(row, new["formula"], name, _plain(old[name]), _plain(new[name]), why)
                self._found.cells_changed.append(change)

    def _why(self, name: str, old: Row, new: Row, runs: Mapping[str, str]) -> tuple[str, str]:
        """Kind of reason, and the reason, why a cell is another one."""
        if self._found.series[0] != self._found.series[1]:
            return "other series", f"{self._found.series[0]} -> {self._found.series[1]}"
        if name in self._found.columns_changed:
            return "other column", self._found.columns_changed[name]
        steps = self._steps.get(name) or [run.removeprefix(ADDRESS) for run in runs]
        own = [name] if name in runs else [f"{ADDRESS}{step}" for step in steps if f"{ADDRESS}{step}" in runs]
        if own:
            return "other run", "; ".join(f"{run.removeprefix(ADDRESS)}: {runs[run]}" for run in own)
        for cells, text in ((new, "is missing now"), (old, "was missing")):
            code = dict(cells.get(MISSING) or ()).get(name)
            if code is not None:
                return text, f"{text}: {code}"
        if old["calculator_version"] != new["calculator_version"]:
            return "other version of the code", f"{old['calculator_version']} -> {new['calculator_version']}"
        return "built again", "the same runs; the document was built again"

    def _note(self, changes: list[RowChange], change: RowChange) -> None:
        if self._limit is None or len(changes) < self._limit:
            changes.append(change)


def _short(address: Any) -> str:
    if isinstance(address, list):
        return f"[{', '.join(map(_short, address))}]"
    return "none" if address is None else str(address)[:12]


def _plain(value: Any) -> Any:
    """A cell to show; of a spectrum how long it is."""
    if isinstance(value, list) and len(value) > 100:
        return f"{len(value)} numbers"
    return value
