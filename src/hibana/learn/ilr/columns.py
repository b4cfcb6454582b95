"""Descriptors and categories of a table, as the regression takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.dataset import Dataset
from hibana.learn.errors import NO_FEATURES, TOO_FEW_ROWS, UNFIT_TARGET

RANGE = ".."
LEAST_ROWS = 20


@dataclass(frozen=True)
class Columns:
    """What is learned from and what is learned.

    Parameters
    ----------
    target_name, unit
        The target's column and unit.
    target
        (n,) the target.
    descriptors
        (n, n_descriptors) numbers, the index the row ids.
    categories
        (n, n_categories) 0 and 1.
    left_out
        How many rows of the table were left out, by reason.
    rows
        (n,) places of the rows in the table.
    """

    target_name: str
    unit: str
    target: NDArray[np.float64]
    descriptors: pd.DataFrame
    categories: pd.DataFrame
    left_out: Mapping[str, int]
    rows: NDArray[np.intp]


def read_columns(dataset: Dataset, target: str, descriptors: Sequence[str], categories: Sequence[str]) -> Columns:
    """Take target, descriptors and categories from a table; rows that lack one of them are left out and counted.

    Parameters
    ----------
    dataset
        The table.
    target
        Column to predict.
    descriptors, categories
        Names of columns; ``a..b`` stands for all columns from a to b in the order of the table. A category is true or false, 0 or
        1, or a text: each of its values then is a category, written ``column=value``.

    Raises
    ------
    HibanaError
        HIB-261 if there is no such column, HIB-262 if fewer than 20 rows are left, HIB-270 if the target is not numeric or does
        not vary, HIB-272 if a descriptor is no number, a category neither text nor 0 and 1, or there is no descriptor or no
        category.
    """
    if dataset.frame.empty:
        raise TOO_FEW_ROWS.error("the table has no rows", where=dataset.path)
    wanted = expand(dataset, descriptors)
    numbers = pd.DataFrame({name: _numbers(dataset, name) for name in wanted}, index=dataset.frame.index)
    parts = [_category(dataset, name) for name in expand(dataset, categories)]
    if numbers.empty or not parts:
        raise NO_FEATURES.error(f"{len(wanted)} descriptors, {len(parts)} categories; both are needed", where=dataset.path)
    indicators = pd.concat(parts, axis=1)
    column = dataset.column(target)
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    if column.notna().any() and not np.isfinite(values).any():
        raise UNFIT_TARGET.error(f"{target!r} does not hold numbers", where=dataset.path)
    lacks = {
        "no_category": indicators.isna().any(axis=1).to_numpy(),
        "no_descriptor": ~np.isfinite(numbers.to_numpy()).all(axis=1),
        "no_target": ~np.isfinite(values),
    }
    kept, left_out = np.ones(len(values), dtype=bool), {}
    for reason in reversed(lacks):
        left_out[reason] = int((lacks[reason] & kept).sum())
        kept &= ~lacks[reason]
    if kept.sum() < LEAST_ROWS:
        said = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise TOO_FEW_ROWS.error(
            f"{kept.sum()} of {len(kept)} rows are left ({said}); {LEAST_ROWS} are needed", where=dataset.path
        )
    if np.ptp(values[kept]) == 0:
        raise UNFIT_TARGET.error(f"{target!r} is the same in all rows", where=dataset.path)
    return Columns(
        target,
        dataset.units.get(target, ""),
        values[kept],
        numbers[kept],
        indicators[kept].astype(float),
        {reason: count for reason, count in left_out.items() if count},
        np.flatnonzero(kept),
    )


def expand(dataset: Dataset, names: Sequence[str]) -> list[str]:
    """Names with ranges ``a..b`` written out, each once.

    Raises
    ------
    HibanaError
        HIB-261 if an end of a range is no column; HIB-272 if the end is before the beginning.
    """
    found: list[str] = []
    columns = [str(name) for name in dataset.frame.columns]
    for name in names:
        if name in columns or RANGE not in name:
            found.append(name)
            continue
        first, last = name.split(RANGE, 1)
        places = [columns.index(str(dataset.column(end).name)) for end in (first, last)]
        if places[1] < places[0]:
            raise NO_FEATURES.error(f"{name!r}: {last!r} stands before {first!r}", where=dataset.path)
        found += columns[places[0] : places[1] + 1]
    return list(dict.fromkeys(found))


def _numbers(dataset: Dataset, name: str) -> pd.Series:
    try:
        return pd.to_numeric(dataset.column(name)).astype(float)
    except (ValueError, TypeError) as error:
        raise NO_FEATURES.error(f"the descriptor {name!r} holds no numbers", where=dataset.path) from error


def _category(dataset: Dataset, name: str) -> pd.DataFrame:
    """Indicators of a column: itself if it holds 0 and 1, else one for each text; missing where the column is."""
    column = dataset.column(name)
    known = column.dropna()
    if known.isin([0, 1]).all():
        return column.astype(float).to_frame(name)
    if not known.map(lambda value: isinstance(value, str)).all():
        raise NO_FEATURES.error(f"the category {name!r} is neither text nor 0 and 1", where=dataset.path)
    levels = sorted(known.unique())
    return pd.DataFrame({f"{name}={level}": (column == level).astype(float).where(column.notna()) for level in levels})


def sizes(dataset: Dataset, columns: Columns, name: str) -> list[float]:
    """Size of each row that is learned from, NaN where it is not known.

    Raises
    ------
    HibanaError
        HIB-261 if there is no such column, HIB-272 if it holds no numbers.
    """
    return _numbers(dataset, name).to_numpy(dtype=float)[columns.rows].tolist()


def joined(first: Dataset, second: Dataset, on: str) -> Dataset:
    """A table with the columns of another one beside its own; what both have is taken from the first.

    The identity of the result is made from both.

    Raises
    ------
    HibanaError
        HIB-261 if one of them has no such column, HIB-272 if a value is there twice in the second.
    """
    keys = second.column(on)
    if keys.duplicated().any():
        raise NO_FEATURES.error(f"{on!r} is there twice: {keys[keys.duplicated()].iloc[0]}", where=second.path)
    own = first.column(on)
    more = second.frame.drop(columns=[name for name in second.frame.columns if name in first.frame.columns and name != on])
    frame = first.frame.join(more.set_index(on), on=on)
    frame[on] = own
    snapshot = sha256(f"{first.snapshot} {second.snapshot} {on}".encode()).hexdigest()
    return replace(first, frame=frame, units={**second.units, **first.units}, snapshot=snapshot)
