"""The splits of a table: at random, by every kind of group it has, and extrapolative ones."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.core.errors import HibanaError
from hibana.documents.candidate import FAMILY_LABEL
from hibana.learn.errors import TOO_FEW_ROWS
from hibana.learn.regression.groups import FORMULA_COLUMNS, group_labels
from hibana.tables.families import Links
from hibana.tables.leakage import Array, composition_points
from hibana.tables.splits import (
    NEITHER,
    Fold,
    clusters,
    folds_of,
    grouped_folds,
    is_missing,
    property_range,
    random_folds,
)
from hibana.tables.splits_file import SPLITS_FILE, Split, SplitTable, StoredSplit, read_split

if TYPE_CHECKING:
    from pathlib import Path

    from hibana.learn.dataset import Dataset

GROUPS = ("reduced_formula", "chemical_system", "prototype")
FAMILY, HOST, CLUSTER, SIZE, RANDOM = "duplicate_family", "host", "cluster", "size", "random"
SCREENED = "family"
"""Column with the family that screening put the input into."""

HOST_COLUMNS = ("group", "host_formula", "material_id")
"""Columns that name what several rows are about, the first that there is."""

SIZE_COLUMNS = ("n_sites", "nsites")
SHARE = 0.2
"""Share of the rows that a split by range tests."""


@dataclass
class _Found:
    """Splits made so far, and why others could not be."""

    splits: list[Split] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, rule: str, column: str | None, make: Callable[[], tuple[Fold, ...]]) -> None:
        """Make a split, or note why not."""
        try:
            self.splits.append(Split(name, rule, make(), column))
        except ValueError as error:
            self.left_out[name] = str(error)


def splits_of(dataset: Dataset, k: int = 5, seed: int = 0, targets: Sequence[str] = ()) -> SplitTable:
    """All splits that a table permits, each with what it lets through.

    ``random`` regardless of what rows are; by ``reduced_formula``, ``chemical_system``, ``prototype``, ``duplicate_family``
    (with structures beside the table) and ``host`` (where several rows are about one material), no group on both sides;
    ``cluster``, each of k clusters of compositions in turn; ``size``, the largest cells; and for each target the rows with its
    largest and smallest values.

    Parameters
    ----------
    dataset
        The table.
    k
        Number of folds, and of clusters.
    seed
        Of all splits.
    targets
        Columns to split by range.

    Raises
    ------
    HibanaError
        HIB-262 if there are fewer rows than folds, HIB-261 if a target is no column.
    """
    frame = dataset.frame
    if len(frame) < k:
        raise TOO_FEW_ROWS.error(f"{len(frame)} rows for {k} folds", where=dataset.path)
    found = _Found()
    found.add(RANDOM, "rows at random", None, lambda: random_folds(list(frame.index), k, seed))
    groups, reasons = _groups(dataset)
    for name, labels in groups.items():
        rule = f"rows that agree in {name} are never on both sides"
        found.add(name, rule, name, lambda labels=labels: grouped_folds(labels, k, seed))  # type: ignore[misc]
    found.left_out |= reasons
    fractions = _fractions(dataset)
    if fractions is not None:
        rule = f"each of {k} clusters of compositions (k-means of atomic fractions) is tested in turn"
        found.add(CLUSTER, rule, None, lambda: _leave_clusters_out(fractions, k, seed))
    _add_ranges(found, dataset, targets)
    points = None if fractions is None else composition_points(_compositions(fractions), _volumes(frame))
    return SplitTable(
        table=dataset.name,
        snapshot=dataset.snapshot,
        row_ids=[str(row) for row in frame.index],
        seed=seed,
        splits=found.splits,
        left_out=found.left_out,
        groups=groups,
        points=points,
    )


def stored_split(dataset: Dataset, name: str, file: Path | None = None) -> StoredSplit:
    """A split that ``hibana split`` wrote for a table: from a file, by default ``splits.json`` beside the table.

    Raises
    ------
    HibanaError
        HIB-145 if there is no such file, HIB-146 if it is of another snapshot, HIB-147 if it has no such split.
    """
    path = file or dataset.path.parent / SPLITS_FILE
    return read_split(path, name, dataset.snapshot, [str(row) for row in dataset.frame.index])


def usable_folds(split: StoredSplit, row_ids: Sequence[str], least_training: int, least_test: int) -> tuple[Fold, ...]:
    """Folds of a written split for the rows that are used.

    Raises
    ------
    HibanaError
        HIB-262 if a fold has too few training or test rows among them.
    """
    folds = split.folds(row_ids)
    for number, (training, test) in enumerate(folds or [((), ())]):
        if len(training) < least_training or len(test) < least_test:
            what = f"fold {number} of the split {split.name!r} has {len(training)} rows to train on and {len(test)} to test"
            raise TOO_FEW_ROWS.error(f"{what}; {least_training} and {least_test} are needed")
    return folds


def _groups(dataset: Dataset) -> tuple[dict[str, list[Hashable]], dict[str, str]]:
    """Labels of each kind of group, and why there are none of others."""
    labels: dict[str, list[Hashable]] = {}
    reasons: dict[str, str] = {}
    makers: dict[str, Callable[[], Sequence[Any]]] = {
        **{name: lambda name=name: group_labels(dataset, name).tolist() for name in GROUPS},  # type: ignore[misc]
        FAMILY: lambda: _families(dataset),
        HOST: lambda: _hosts(dataset),
    }
    for name, make in makers.items():
        try:
            labels[name] = list(make())
        except (HibanaError, ValueError) as error:
            reasons[name] = error.what if isinstance(error, HibanaError) else str(error)
    return labels, reasons


def _families(dataset: Dataset) -> list[Hashable]:
    """Duplicate family of each row: what screening said of the inputs, and what comparing the structures says."""
    if FAMILY in dataset.frame.columns:
        return list(dataset.frame[FAMILY])
    given = list(map(_screened, dataset.frame[SCREENED])) if SCREENED in dataset.frame.columns else None
    try:
        found = _families_of_structures(dataset)
    except (HibanaError, ValueError):
        if given is None or all(map(is_missing, given)):
            raise
        found = group_labels(dataset, "reduced_formula").tolist()
    return found if given is None else _together(given, found)


def _screened(value: Any) -> str | None:
    """The label that screening gave; a column of this name in other tables means something else."""
    return value if isinstance(value, str) and FAMILY_LABEL.fullmatch(value) else None


def _together(given: Sequence[Hashable], found: Sequence[Hashable]) -> list[Hashable]:
    """One label for rows that agree in either of two: what may belong together is kept together."""
    links = Links()
    pairs = [
        [f"{kind} {label}" for kind, label in zip(("given", "found"), pair, strict=True) if not is_missing(label)]
        for pair in zip(given, found, strict=True)
    ]
    for pair in pairs:
        links.join(pair)
    return [links.first(pair[0]) if pair else None for pair in pairs]


def _families_of_structures(dataset: Dataset) -> list[Hashable]:
    """Duplicate family of the structure of each row, by comparing the structures beside the table."""
    from hibana.learn.features.crystals import rows_of_structures
    from hibana.tables.families import duplicate_families

    formulas = group_labels(dataset, "reduced_formula").tolist()
    rows = rows_of_structures(dataset)
    known = {name: str(formulas[numbers[0]]) for name, numbers in rows.items() if not is_missing(formulas[numbers[0]])}
    families = duplicate_families(known, dataset.structures())
    labels: list[Hashable] = [None] * len(dataset.frame)
    for name, numbers in rows.items():
        for number in numbers:
            labels[number] = families.get(name)
    return labels


def _hosts(dataset: Dataset) -> list[Hashable]:
    """What each row is about, where several rows are about one thing."""
    frame = dataset.frame
    column = next((name for name in HOST_COLUMNS if name in frame.columns), None)
    if column is None or not frame[column].dropna().duplicated().any():
        raise ValueError("no two rows are about one material")
    return list(frame[column])


def _fractions(dataset: Dataset) -> pd.DataFrame | None:
    """Atomic fractions of each row; None without formulas."""
    from hibana.learn.features.composition import element_fractions

    column = next((name for name in FORMULA_COLUMNS if name in dataset.frame.columns), None)
    if column is None:
        return None
    return element_fractions(dataset.frame[column].astype(object).where(dataset.frame[column].notna(), "").astype(str))


def _leave_clusters_out(fractions: pd.DataFrame, k: int, seed: int) -> tuple[Fold, ...]:
    """Folds of clusters; rows without a formula are on neither side."""
    known = fractions.notna().all(axis=1).to_numpy()
    numbers = np.full(len(fractions), NEITHER)
    numbers[known] = clusters(fractions[known].to_numpy(), k, seed)
    return folds_of(numbers)


def _add_ranges(found: _Found, dataset: Dataset, targets: Sequence[str]) -> None:
    """Splits by size and by the range of the targets."""
    frame = dataset.frame
    size = next((name for name in SIZE_COLUMNS if name in frame.columns), None)
    if size is not None:
        rule = f"the {SHARE:.0%} of the rows with the largest cells are tested, and all that tie with them"
        found.add(SIZE, rule, size, lambda: property_range(_numbers(frame[size]), SHARE, "top"))
    for target in targets:
        values = _numbers(dataset.column(target))
        for side, word in (("top", "largest"), ("bottom", "smallest")):
            rule = f"the {SHARE:.0%} of the rows with the {word} {target} are tested, and all that tie with them"
            found.add(f"{target}_{side}", rule, target, lambda values=values, side=side: property_range(values, SHARE, side))  # type: ignore[misc]


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    return np.asarray(pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan))


def _compositions(fractions: pd.DataFrame) -> list[Mapping[str, float]]:
    """Fraction by element of each row, empty where it is not known."""
    symbols = np.array(fractions.columns)
    values = fractions.to_numpy()
    return [{str(symbols[place]): float(row[place]) for place in np.flatnonzero(row > 0)} for row in values]


def _volumes(frame: pd.DataFrame) -> Array | None:
    """Volume per atom, Å^3, where the table has it."""
    if "volume_per_atom" in frame.columns:
        return _numbers(frame["volume_per_atom"])
    size = next((name for name in SIZE_COLUMNS if name in frame.columns), None)
    if size is None or "volume_A3" not in frame.columns:
        return None
    return _numbers(frame["volume_A3"]) / _numbers(frame[size])
