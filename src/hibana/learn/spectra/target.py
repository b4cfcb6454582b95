"""The spectra of a table: a column whose cells are lists, or numbered columns with one number each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.errors import NO_SPECTRA, TOO_FEW_ROWS

if TYPE_CHECKING:
    from hibana.learn.dataset import Dataset

Array = NDArray[np.float64]
GRID_FILE = "grid.csv"


@dataclass(frozen=True)
class Spectra:
    """Spectra of the rows of a table on one grid.

    Parameters
    ----------
    name
        Column, or what the numbered columns have in common.
    unit
        Of the values.
    values
        (n_rows, n_points), NaN where a point or a whole spectrum is missing.
    grid
        (n_points,).
    grid_name, grid_unit
        What runs along it.
    """

    name: str
    unit: str
    values: Array
    grid: Array
    grid_name: str
    grid_unit: str


def read_spectra(dataset: Dataset, target: str) -> Spectra:
    """Spectra of a table.

    Parameters
    ----------
    dataset
        The table.
    target
        A column whose cells are lists, or a part of the name of the only such column (``absorption``), or what the names of
        numbered columns begin with (``s`` of ``s000``, ``s001``, ...).

    Raises
    ------
    HibanaError
        HIB-262 if the table has no rows; HIB-277 if there are no spectra, they are not on one grid, or a value is negative.
    """
    if dataset.frame.empty:
        raise TOO_FEW_ROWS.error("the table has no rows", where=dataset.path)
    column = _list_column(dataset, target)
    if column is not None:
        name, unit, values = column, dataset.units.get(column, ""), _stacked(dataset, column)
    else:
        numbered = _numbered_columns(dataset.frame, target)
        if not numbered:
            lists = ", ".join(_list_columns(dataset.frame)) or "none"
            what = f"no column {target!r} with lists, and no {target}0, {target}1, ...; columns with lists: {lists}"
            raise NO_SPECTRA.error(what, where=dataset.path)
        name, unit = target, dataset.units.get(numbered[0], "")
        values = dataset.frame[numbered].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    values = np.where(np.isfinite(values), values, np.nan)
    if np.nanmin(values, initial=0.0) < 0:
        raise NO_SPECTRA.error(f"{name} has negative values; a spectrum has none", where=dataset.path)
    grid, grid_name, grid_unit = _grid(dataset, name, values.shape[1])
    return Spectra(name, unit, values, grid, grid_name, grid_unit)


def _list_column(dataset: Dataset, target: str) -> str | None:
    """The column with lists that is meant."""
    lists = _list_columns(dataset.frame)
    if target in lists:
        return target
    meant = [name for name in lists if target in name]
    if len(meant) > 1:
        raise NO_SPECTRA.error(f"{target!r} may be {' or '.join(meant)}", where=dataset.path)
    return meant[0] if meant else None


def _list_columns(frame: pd.DataFrame) -> list[str]:
    """Columns whose first value is a list of numbers, longer than one."""
    found = []
    for name in frame.select_dtypes(include="object").columns:
        known = frame[name].dropna()
        first = known.iloc[0] if len(known) else None
        if isinstance(first, (list, np.ndarray)) and len(first) > 1 and np.asarray(first).dtype.kind in "fi":
            found.append(str(name))
    return found


def _numbered_columns(frame: pd.DataFrame, prefix: str) -> list[str]:
    matches = ((str(name), re.fullmatch(rf"{re.escape(prefix)}_?(\d+)", str(name))) for name in frame.columns)
    numbers = {name: int(match.group(1)) for name, match in matches if match}
    return sorted(numbers, key=lambda name: numbers[name]) if len(numbers) > 1 else []


def _stacked(dataset: Dataset, column: str) -> Array:
    cells = [None if cell is None or cell is pd.NA or np.ndim(cell) == 0 else cell for cell in dataset.frame[column]]
    lengths = {len(cell) for cell in cells if cell is not None}
    if len(lengths) != 1:
        raise NO_SPECTRA.error(f"spectra of {column} have {', '.join(map(str, sorted(lengths)))} points", where=dataset.path)
    missing = np.full(lengths.pop(), np.nan)
    return np.stack([missing if cell is None else np.asarray(cell, dtype=float) for cell in cells])


def _grid(dataset: Dataset, column: str, n_points: int) -> tuple[Array, str, str]:
    """Points, name and unit: from the Parquet file, from ``grid.csv`` beside the table, else the numbers of the points."""
    said = _parquet_grid(dataset, column)
    if said:
        points = np.round(said["start"] + said["step"] * np.arange(said["count"]), 10)
        name, unit = said["name"], said["unit"]
    elif (file := dataset.path.parent / GRID_FILE).is_file():
        frame = pd.read_csv(file)
        points, label = frame.iloc[:, -1].to_numpy(dtype=float), str(frame.columns[-1])
        name, _, unit = label.rpartition("_") if "_" in label else (label, "", "")
    else:
        points, name, unit = np.arange(n_points, dtype=float), "point", ""
    if len(points) != n_points:
        raise NO_SPECTRA.error(f"{column} has {n_points} points, its grid {len(points)}", where=dataset.path)
    return points, name, unit


def _parquet_grid(dataset: Dataset, column: str) -> dict[str, Any] | None:
    """Grid as an export writes it: with the column, else with the file."""
    if dataset.path.suffix != ".parquet":
        return None
    import pyarrow.parquet as pq

    schema = pq.read_schema(dataset.path)
    of_column = (schema.field(column).metadata or {}) if column in schema.names else {}
    text = of_column.get(b"grid") or (schema.metadata or {}).get(b"grid")
    return json.loads(text) if text else None
