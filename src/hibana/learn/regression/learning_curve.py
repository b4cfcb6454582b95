"""How the error falls with the number of training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hibana.learn.regression.families import Family, Parameters
from hibana.learn.regression.scores import scores
from hibana.learn.regression.task import Task
from hibana.learn.regression.validation import Effort, make_folds, some_rows

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
FEWEST = 20


def learning_curve(
    family: Family, task: Task, chosen: Sequence[Parameters], effort: Effort, *, shares: Sequence[float] = SHARES
) -> pd.DataFrame:
    """Scores on the outer folds of models fitted on growing parts of their training rows, whole groups at a time.

    Parameters
    ----------
    family
        Kind of model.
    task
        Features, target, groups.
    chosen
        Hyperparameters of each outer fold, as nested cross-validation chose them on all its training rows; they are kept for the
        smaller parts.
    effort
        As in the cross-validation, so that the folds are the same.
    shares
        Parts of the training rows; parts of fewer than 20 rows are skipped.

    Returns
    -------
    DataFrame
        One row a fold and size: ``fold``, ``n_train``, ``r2``, ``mae``, ``rmse``.
    """
    rows = []
    for number, (train, test) in enumerate(make_folds(task, effort.folds, effort.seed)):
        inside = task.part(train)
        for share in shares:
            count = round(share * len(train))
            if count < FEWEST:
                continue
            part = train if share == 1 else train[some_rows(inside, count, effort.seed + number)]
            model = family.make(chosen[number], trees=effort.trees, seed=effort.seed, jobs=effort.jobs)
            model.fit(task.features[part], task.target[part])
            found = scores(task.target[test], model.predict(task.features[test]))
            rows.append(
                {"fold": number, "share": share, "n_train": len(part), "r2": found.r2, "mae": found.mae, "rmse": found.rmse}
            )
    return pd.DataFrame(rows, columns=["fold", "share", "n_train", "r2", "mae", "rmse"])


def mean_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over folds for each share: ``n_train``, ``r2``, ``mae``, ``rmse`` and the three ``_sd``."""
    grouped = curve.drop(columns="fold").groupby("share")
    mean, deviation = grouped.mean(), grouped.std(ddof=1)[["r2", "mae", "rmse"]].add_suffix("_sd")
    return mean.join(deviation).assign(n_train=lambda frame: np.rint(frame["n_train"]).astype(int)).reset_index()
