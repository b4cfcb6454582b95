"""What groups know of rows they were not made of: each fold of a written split is placed among groups of its training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hibana.learn.clustering.leaves import grow
from hibana.learn.clustering.partition import partition
from hibana.learn.clustering.places import make_places, place
from hibana.learn.splits import usable_folds

if TYPE_CHECKING:
    from hibana.learn.clustering.run import Settings
    from hibana.learn.regression.task import Task
    from hibana.tables.splits_file import StoredSplit


def held_out(task: Task, split: StoredSplit, settings: Settings, rows_per_group: int) -> dict[str, Any]:
    """Judge a clustering on the folds of a split.

    Parameters
    ----------
    task
        Features and target.
    split
        The split.
    settings
        How the groups are made; the first seed alone is used.
    rows_per_group
        Training rows that a fold must have for each group.

    Returns
    -------
    dict
        The split; ``n``, rows that were held out; ``target_variance_within_groups``, the squared difference of their target from
        the mean of the training rows of the group that they are placed in, over that from the mean of all training rows (1: the
        groups say nothing); ``outside``, the share of them that are outside.

    Raises
    ------
    HibanaError
        HIB-262 if a fold has too few rows.
    """
    folds = usable_folds(split, task.row_ids.tolist(), rows_per_group * settings.groups, 1)
    missed, spread, outside = 0.0, 0.0, 0
    for training, test in folds:
        features, target = task.features[training], task.target[training]
        space = grow(features, target, settings.forest, settings.seed)
        labels = partition(
            space.matrix, settings.groups, method=settings.method, dimensions=settings.dimensions, seed=settings.seed
        ).labels
        means = np.bincount(labels, target) / np.bincount(labels)
        placed = place(make_places(space, labels, features), space.model, task.features[test])
        missed += float(((task.target[test] - means[placed["cluster"].to_numpy()]) ** 2).sum())
        spread += float(((task.target[test] - target.mean()) ** 2).sum())
        outside += int(placed["outside"].sum())
    n_rows = sum(len(test) for _, test in folds)
    return {
        **split.as_dict(),
        "n": n_rows,
        "target_variance_within_groups": missed / spread if spread else float("nan"),
        "outside": outside / n_rows,
    }
