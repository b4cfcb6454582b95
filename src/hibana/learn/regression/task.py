"""What is to be learned: features, target and groups of the rows that have all three, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.dataset import Dataset
from hibana.learn.errors import BAD_CONDITION, NO_FEATURES, TOO_FEW_ROWS, UNFIT_TARGET
from hibana.learn.regression.groups import group_labels
from hibana.learn.regression.inputs import Inputs

if TYPE_CHECKING:
    from hibana.tables.splits_file import StoredSplit

TRANSFORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "none": (np.asarray, np.asarray),
    "log10": (np.log10, lambda value: np.power(10.0, value)),
}
"""Transform of the target and its inverse."""

LEAST_ROWS = 20


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Parameters
    ----------
    column
        Column of the table.
    unit
        Its unit; empty where it is not known.
    transform
        ``none`` or ``log10``; models, predictions and scores are on the transformed scale.
    """

    column: str
    unit: str = ""
    transform: str = "none"

    @property
    def label(self) -> str:
        """The target on the transformed scale, in words."""
        inner = f"{self.column} ({self.unit})" if self.unit not in ("", "1") else self.column
        return inner if self.transform == "none" else f"{self.transform} {inner}"

    def back(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values on the scale of the column, from the transformed scale."""
        return np.asarray(TRANSFORMS[self.transform][1](values), dtype=float)


@dataclass(frozen=True)
class Task:
    """Rows to learn from.

    Parameters
    ----------
    what
        The target's column, unit and transform.
    row_ids
        (n,) names of the rows.
    names
        Names of the features.
    features
        (n, n_features); NaN where a feature is missing.
    target
        (n,) transformed target.
    groups
        (n,) labels of what must not be torn apart; None where none were asked for.
    group
        What the labels are; empty where there are none.
    left_out
        How many rows of the table were left out, by reason.
    versions
        Version of each source of features.
    split
        The written split whose folds judge; None where folds are made.
    """

    what: Target
    row_ids: pd.Index
    names: tuple[str, ...]
    features: NDArray[np.float32]
    target: NDArray[np.float64]
    groups: NDArray[np.str_] | None
    group: str
    left_out: Mapping[str, int]
    versions: Mapping[str, str]
    split: StoredSplit | None = None

    @property
    def apart(self) -> str:
        """What the folds that judge keep apart: the written split, or the groups; empty for nothing."""
        return self.group if self.split is None else f"split {self.split.name}"

    def part(self, rows: NDArray[np.intp]) -> Task:
        """The task of some of its rows."""
        return replace(
            self,
            row_ids=self.row_ids[rows],
            features=self.features[rows],
            target=self.target[rows],
            groups=None if self.groups is None else self.groups[rows],
            split=None,
        )

    def without_groups(self) -> Task:
        """The task with rows that may be torn apart."""
        return replace(self, groups=None, group="", split=None)


def make_task(
    dataset: Dataset, target: str, features: Inputs, *, transform: str = "none", group: str = "", where: str = ""
) -> Task:
    """Join target, features and groups of a table.

    Rows are left out, and counted, where the condition does not hold, the target is missing, no feature is known, or the group
    is unknown. Features that are missing everywhere or do not vary over the rows that remain are dropped.

    Parameters
    ----------
    dataset
        The table.
    target
        Column to predict.
    features
        Features of the table's rows.
    transform
        ``log10`` to learn the logarithm.
    group
        What must not be torn apart (:func:`hibana.learn.regression.groups.group_labels`); empty for nothing.
    where
        Condition on the rows as ``DataFrame.query`` takes it; empty for all.

    Raises
    ------
    HibanaError
        HIB-261 (no such column), HIB-262 (fewer than 20 rows), HIB-270 (target not numeric, constant, or not positive under a
        logarithm), HIB-271 (condition), HIB-272 (no feature varies).
    """
    values = numeric_target(dataset, target)
    labels = group_labels(dataset, group) if group else None
    reasons = _reasons(dataset, values, features, labels, where)
    rows = np.flatnonzero(reasons == "")
    if len(rows) < LEAST_ROWS:
        said = ", ".join(f"{count} {reason}" for reason, count in _counts(reasons).items()) or "none left out"
        what = f"{len(rows)} of {len(reasons)} rows are left ({said}); {LEAST_ROWS} are needed"
        raise TOO_FEW_ROWS.error(what, where=dataset.path)
    names, matrix = _varying(features.values.iloc[rows])
    if not names:
        raise NO_FEATURES.error("no feature is known and varies over the rows", where=dataset.path)
    return Task(
        what=Target(target, dataset.units.get(target, ""), transform),
        row_ids=dataset.frame.index[rows],
        names=names,
        features=matrix,
        target=_transformed(values.to_numpy()[rows], transform, dataset, target),
        groups=None if labels is None else labels.iloc[rows].to_numpy(dtype=str),
        group=group,
        left_out=_counts(reasons),
        versions=features.versions,
    )


def numeric_target(dataset: Dataset, target: str) -> pd.Series:
    """The target as floats.

    Raises
    ------
    HibanaError
        HIB-261 if there is no such column, HIB-270 if it does not hold numbers.
    """
    column = dataset.column(target)
    try:
        return pd.to_numeric(column).astype(float)
    except (ValueError, TypeError) as error:
        raise UNFIT_TARGET.error(f"{target!r} does not hold numbers", where=dataset.path) from error


def selected(dataset: Dataset, where: str) -> NDArray[np.bool_]:
    """Which rows fulfil a condition; all where it is empty.

    Raises
    ------
    HibanaError
        HIB-271 if it cannot be read.
    """
    if not where:
        return np.ones(len(dataset.frame), dtype=bool)
    try:
        chosen = dataset.frame.eval(where, engine="python", local_dict={}, global_dict={})
    except Exception as error:
        raise BAD_CONDITION.error(f"{where!r}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
    found = np.asarray(chosen)
    if found.shape != (len(dataset.frame),) or found.dtype != bool:
        raise BAD_CONDITION.error(f"{where!r} is not true or false for each row")
    return found


def _reasons(dataset: Dataset, values: pd.Series, features: Inputs, labels: pd.Series | None, where: str) -> NDArray[np.object_]:
    """Why each row is left out; empty where it is not."""
    reasons = np.full(len(values), "", dtype=object)
    checks = [("no_feature", features.values.isna().all(axis=1)), ("no_target", ~np.isfinite(values))]
    if labels is not None:
        checks.append(("no_group", labels.isna()))
    for reason, failed in checks:
        reasons[failed.to_numpy()] = reason
    reasons[~selected(dataset, where)] = "condition"
    return reasons


def _counts(reasons: NDArray[np.object_]) -> dict[str, int]:
    names, counts = np.unique(reasons[reasons != ""].astype(str), return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _varying(frame: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Features that are known of some row and differ between rows; a value that is not finite is missing."""
    matrix = frame.to_numpy(dtype=np.float32)
    matrix[~np.isfinite(matrix)] = np.nan
    known = ~np.isnan(matrix)
    low = np.where(known, matrix, np.inf).min(axis=0)
    high = np.where(known, matrix, -np.inf).max(axis=0)
    varies = (high > low) | (known.any(axis=0) & ~known.all(axis=0))
    return tuple(str(name) for name in frame.columns[varies]), np.ascontiguousarray(matrix[:, varies])


def _transformed(values: NDArray[np.float64], transform: str, dataset: Dataset, target: str) -> NDArray[np.float64]:
    if transform == "log10" and (values <= 0).any():
        raise UNFIT_TARGET.error(
            f"{int((values <= 0).sum())} values of {target!r} are not positive and have no logarithm", where=dataset.path
        )
    transformed = np.asarray(TRANSFORMS[transform][0](values), dtype=float)
    if np.ptp(transformed) == 0:
        raise UNFIT_TARGET.error(f"{target!r} is the same in all rows", where=dataset.path)
    return transformed
