"""A clustering from table to folder: groups for several seeds, the promising ones, what sets them apart, figures, the forest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.clustering import figures
from hibana.learn.clustering.groups import Expectation, Wanted, expect, judge_groups
from hibana.learn.clustering.held_out import held_out
from hibana.learn.clustering.leaves import Forest, LeafSpace, grow
from hibana.learn.clustering.partition import DIMENSIONS, WARD, Partition, partition
from hibana.learn.clustering.places import Places, make_places, save_places
from hibana.learn.clustering.signature import distinct, signatures
from hibana.learn.clustering.stability import Stability, stability
from hibana.learn.dataset import Dataset
from hibana.learn.errors import TOO_FEW_ROWS, UNFIT_AGAINST
from hibana.learn.figures import labelled
from hibana.learn.regression.families import RANDOM_FOREST
from hibana.learn.regression.model import SavedModel, save
from hibana.learn.regression.task import Task
from hibana.learn.result import packages, plain, table_of, write_result

Array = NDArray[np.float64]

MODULE = "clustering"

ROWS_PER_GROUP = 5
"""Rows that there must be for each group asked for."""

SIZE_SHARE = 0.01
"""Smallest promising group as a share of the rows, where nothing is said."""

LEADING = 10
"""Features named for each group in the result."""

COLUMNS_OF_MAP = 28
"""Features shown in the figure."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How a clustering is done.

    Parameters
    ----------
    groups
        How many.
    method
        ``ward`` or ``average`` (:func:`hibana.learn.clustering.partition.partition`).
    forest
        How the forests are grown.
    dimensions
        Of the reduced leaf space.
    seed
        Of the groups that are reported.
    repeats
        Seeds that are compared, two or more: ``seed``, ``seed + 1``, ...
    at_least
        Smallest median of the other column of a promising group; None for any.
    least_size
        Fewest rows of a promising group; None for one in a hundred, and not fewer than five.
    low
        Whether a low target is wanted.
    """

    groups: int = 20
    method: str = WARD
    forest: Forest = field(default_factory=Forest)
    dimensions: int = DIMENSIONS
    seed: int = 0
    repeats: int = 3
    at_least: float | None = None
    least_size: int | None = None
    low: bool = False

    def wanted(self, n_rows: int) -> Wanted:
        """What a promising group is in a table of so many rows."""
        least = max(ROWS_PER_GROUP, round(SIZE_SHARE * n_rows)) if self.least_size is None else self.least_size
        return Wanted(least, self.at_least, self.low)


@dataclass(frozen=True)
class Clustering:
    """Groups of the rows of a table.

    Parameters
    ----------
    partition
        The groups of the first seed, numbered from 0 by decreasing mean of the target.
    space
        The leaf space of the first seed.
    oob_r2
        Out-of-bag R² of the forest of each seed.
    stability
        Agreement between the seeds.
    expectation
        What is expected of the target.
    groups
        One row a group (:func:`hibana.learn.clustering.groups.judge_groups`), and ``jaccard``.
    signatures
        One row a group and feature (:func:`hibana.learn.clustering.signature.signatures`).
    leading
        The clearest features of each group that say different things.
    """

    partition: Partition
    space: LeafSpace
    oob_r2: tuple[float, ...]
    stability: Stability
    expectation: Expectation
    groups: pd.DataFrame
    signatures: pd.DataFrame
    leading: dict[int, list[str]]

    @property
    def promising(self) -> list[int]:
        """Promising groups, the best first."""
        ranked = self.groups[self.groups["rank"].notna()].sort_values("rank")
        return [int(group) for group in ranked.index]


def other_column(dataset: Dataset, task: Task, name: str) -> Array:
    """The column that the target is compared with (n,), for the rows of a task; NaN where it is missing.

    Raises
    ------
    HibanaError
        HIB-261 if there is no such column, HIB-274 if it is the target, holds no numbers, or does not vary.
    """
    column = dataset.column(name)
    if name == task.what.column:
        raise UNFIT_AGAINST.error(f"{name!r} is the target itself", where=dataset.path)
    try:
        values = pd.to_numeric(column).astype(float)[task.row_ids].to_numpy()
    except (ValueError, TypeError) as error:
        raise UNFIT_AGAINST.error(f"{name!r} does not hold numbers", where=dataset.path) from error
    known = values[np.isfinite(values)]
    if len(np.unique(known)) < 2:
        raise UNFIT_AGAINST.error(f"{name!r} has fewer than two different values in the rows used", where=dataset.path)
    return np.where(np.isfinite(values), values, np.nan)


def find_groups(
    task: Task, against: Array | None = None, settings: Settings | None = None, say: Say = lambda _: None
) -> Clustering:
    """Cluster the rows of a task by the leaves they share.

    Parameters
    ----------
    task
        Features and target (:func:`hibana.learn.regression.task.make_task`).
    against
        (n,) the other column that the target is judged against; None for its mean.
    settings
        How.
    say
        Told how it gets on.

    Raises
    ------
    HibanaError
        HIB-262 for fewer than five rows a group, HIB-264 if scikit-learn is not installed, HIB-273 for average linkage of too
        many rows.
    """
    settings = settings or Settings()
    needed = ROWS_PER_GROUP * settings.groups
    if len(task.target) < needed:
        raise TOO_FEW_ROWS.error(
            f"{len(task.target)} rows for {settings.groups} groups; {needed} are needed, {ROWS_PER_GROUP} a group"
        )
    seeds = range(settings.seed, settings.seed + settings.repeats)
    first: tuple[LeafSpace, Partition] | None = None
    labels, scores = [], []
    for seed in seeds:
        space = grow(task.features, task.target, settings.forest, seed)
        found = partition(space.matrix, settings.groups, method=settings.method, dimensions=settings.dimensions, seed=seed)
        say(f"seed {seed}: out-of-bag R² {space.oob_r2:.3f}")
        if first is None:
            found = found.renumbered(_by_target(found.labels, task.target))
            first = space, found
        labels.append(found.labels)
        scores.append(space.oob_r2)
    if first is None or len(labels) < 2:
        raise ValueError("stability needs two seeds or more")
    return _describe(task, against, settings, first, tuple(scores), stability(labels, list(seeds)))


def _by_target(labels: NDArray[np.intp], target: Array) -> NDArray[np.intp]:
    """Groups by decreasing mean of the target."""
    means = np.bincount(labels, target) / np.bincount(labels)
    return np.argsort(-means, kind="stable")


def _describe(
    task: Task,
    against: Array | None,
    settings: Settings,
    first: tuple[LeafSpace, Partition],
    scores: tuple[float, ...],
    stable: Stability,
) -> Clustering:
    space, found = first
    expectation = expect(task.target, against)
    groups = judge_groups(found.labels, task.target, against, expectation, settings.wanted(len(task.target)))
    groups["jaccard"] = stable.jaccard
    said = signatures(task.features, task.names, found.labels, list(groups.index))
    leading = {
        group: distinct(task.features, task.names, said.loc[said["group"] == group, "feature"].tolist(), LEADING)
        for group in groups.index
    }
    return Clustering(found, space, scores, stable, expectation, groups, said, leading)


def cluster(
    dataset: Dataset,
    task: Task,
    folder: Path,
    *,
    against: str = "",
    settings: Settings | None = None,
    inputs: Sequence[str] = (),
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Cluster the rows of a table and write everything into a folder.

    Parameters
    ----------
    dataset
        The table.
    task
        Features and target of its rows.
    folder
        Where to: ``result.json``, ``clusters.parquet`` (row_id, cluster), ``groups.csv``, ``features_of_groups.csv``, the figures
        ``map.png``, ``features.png``, ``dendrogram.png``, and the forest with the centres of the groups in ``forest/`` (for
        ``hibana learn predict`` and ``hibana learn place``).
    against
        Column that the target is judged against; empty for its mean.
    settings
        How.
    inputs
        How the user named the features, for the result.
    say
        Told how it gets on.

    If the task has a written split, groups made of the training rows of each fold are judged on its test rows as well.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    HibanaError
        Those of :func:`other_column` and :func:`find_groups`; HIB-262 if a fold of the split has too few rows; HIB-264 if skops
        is not installed.
    """
    settings = settings or Settings()
    values = other_column(dataset, task, against) if against else None
    judged = None if task.split is None else held_out(task, task.split, settings, ROWS_PER_GROUP)
    found = find_groups(task, values, settings, say)
    folder.mkdir(parents=True, exist_ok=True)
    rows = pd.DataFrame({"cluster": found.partition.labels.astype(np.int32)}, index=task.row_ids)
    rows.reset_index().to_parquet(folder / "clusters.parquet", index=False)
    found.groups.to_csv(folder / "groups.csv")
    found.signatures.to_csv(folder / "features_of_groups.csv", index=False, float_format="%.6g")
    save(SavedModel(RANDOM_FOREST, found.space.model, task.what, task.names, task.versions, dataset.snapshot), folder / "forest")
    places = make_places(found.space, found.partition.labels, task.features)
    save_places(places, folder / "forest")
    _draw(dataset, task, found, values, against, folder)
    result: dict[str, Any] = plain(_result(dataset, task, found, places, settings, against, inputs))
    result["held_out"] = plain(judged)
    write_result(folder, result)
    return result


def _draw(dataset: Dataset, task: Task, found: Clustering, values: Array | None, against: str, folder: Path) -> None:
    """The figures."""
    from scipy.cluster.hierarchy import leaves_list

    labels, groups = found.partition.labels, found.groups
    if values is None:
        figures.target_strips(labels, task.target, groups, task.what.label, folder / "map.png")
    else:
        words = labelled(against, dataset.units.get(against, "")), task.what.label
        figures.group_map(labels, task.target, values, found.expectation, groups, words, folder / "map.png")
    shown = found.promising or [int(group) for group in groups.index]
    order = [name for place in range(LEADING) for group in shown for name in found.leading[group][place : place + 1]]
    features = distinct(task.features, task.names, list(dict.fromkeys(order)), COLUMNS_OF_MAP)
    tree = found.partition.tree
    rows = leaves_list(tree).tolist() if len(tree) else [0]
    if features:
        figures.feature_map(found.signatures, features, rows, groups, folder / "features.png")
    if len(tree):
        figures.dendrogram(tree, groups, folder / "dendrogram.png")


def _result(
    dataset: Dataset, task: Task, found: Clustering, places: Places, settings: Settings, against: str, inputs: Sequence[str]
) -> dict[str, Any]:
    wanted = settings.wanted(len(task.target))
    centred = task.target - task.target.mean()
    means = found.groups["target_mean"].to_numpy()[found.partition.labels]
    return {
        "module": MODULE,
        "table": {**table_of(dataset), "n_used": len(task.target), "left_out": task.left_out},
        "target": {"column": task.what.column, "unit": task.what.unit, "transform": task.what.transform},
        "against": {"column": against, "unit": dataset.units.get(against, "")} if against else None,
        "features": {"inputs": list(inputs), "n": len(task.names), "versions": task.versions},
        "parameters": {**asdict(settings), "least_size": wanted.least_size},
        "seed": settings.seed,
        "forest": {"oob_r2": list(found.oob_r2), "min_samples_leaf": found.space.leaf, "n_leaves": found.space.matrix.shape[1]},
        "reduced_space_variance_share": found.partition.kept,
        "stability": found.stability.as_dict(),
        "nearest_centre_is_own": places.agreement,
        "target_variance_within_groups": float(((task.target - means) ** 2).sum() / (centred**2).sum()),
        "expectation": {"coefficients": list(found.expectation.coefficients), "r2": found.expectation.r2},
        "promising": found.promising,
        "groups": [_said(found, int(group)) for group in found.groups.index],
        "tree": found.partition.tree,
        "packages": packages(),
    }


def _said(found: Clustering, group: int) -> dict[str, Any]:
    """A group and its leading features."""
    row = {name: None if pd.isna(column.loc[group]) else column.loc[group] for name, column in found.groups.items()}
    own = found.signatures[found.signatures["group"] == group].set_index("feature")
    columns = ["ks", "median", "median_rest", "known", "known_rest", "fdr"]
    leading = [{"feature": name, **own.loc[name, columns].to_dict()} for name in found.leading[group]]
    return {"group": group, **row, "features": leading}
