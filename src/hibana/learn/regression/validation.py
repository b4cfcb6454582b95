"""Nested cross-validation: hyperparameters are chosen on inner folds of the training part, errors measured on outer folds.

With groups, no group is on both sides of a fold, inner or outer; S. Varma and R. Simon, BMC Bioinformatics 7, 91 (2006), show
how far the error comes out too low when the folds that choose are also those that judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.errors import TOO_FEW_ROWS
from hibana.learn.regression.families import Family, Parameters
from hibana.learn.regression.scores import Scores, scores, spread
from hibana.learn.splits import usable_folds
from hibana.tables.splits import grouped_folds, random_folds

if TYPE_CHECKING:
    from sklearn.base import RegressorMixin

    from hibana.learn.regression.task import Task

Index = NDArray[np.intp]
Folds = Sequence[tuple[Index, Index]]

LEAST_TRAINING, LEAST_TEST = 10, 2
"""Rows that a fold of a written split must have."""


@dataclass(frozen=True)
class Effort:
    """How much work cross-validation does.

    Parameters
    ----------
    folds, inner_folds
        Outer folds, which judge, and inner ones, which choose.
    trees
        Trees of a forest, or rounds of boosting; inner folds use a third.
    inner_rows
        Most rows that hyperparameters are chosen on; more are cut to whole groups, drawn at random.
    seed
        Of folds, models and draws.
    jobs
        Processes of a forest.
    """

    folds: int = 5
    inner_folds: int = 3
    trees: int = 300
    inner_rows: int = 20_000
    seed: int = 0
    jobs: int = 1


@dataclass(frozen=True)
class Fold:
    """One outer fold: the model fitted on its training rows and what it says of the others."""

    number: int
    train: Index
    test: Index
    parameters: Parameters
    model: RegressorMixin | None
    prediction: NDArray[np.float64]
    scores: Scores


@dataclass(frozen=True)
class Validation:
    """Outcome of one cross-validation.

    Parameters
    ----------
    split
        What the folds keep together: name of the groups, or ``random``.
    predictions
        Out-of-fold predictions: index ``row_id``; ``fold``, ``truth`` and ``prediction`` on the scale of the transformed target.
    folds
        Scores of each fold.
    parameters
        Hyperparameters chosen for each fold.
    """

    split: str
    predictions: pd.DataFrame
    folds: tuple[Scores, ...]
    parameters: tuple[Parameters, ...]

    @property
    def pooled(self) -> Scores:
        """Scores of all out-of-fold predictions together."""
        return scores(self.predictions["truth"], self.predictions["prediction"])

    def as_dict(self) -> dict[str, Any]:
        """The outcome as it is written, without the predictions."""
        return {
            "split": self.split,
            "pooled": self.pooled.as_dict(),
            "over_folds": spread(self.folds),
            "folds": [
                {**fold.as_dict(), "parameters": dict(chosen)} for fold, chosen in zip(self.folds, self.parameters, strict=True)
            ],
        }


def validate(family: Family, task: Task, effort: Effort, *, grouped: bool) -> Iterator[Fold]:
    """Fit and judge a family of models, fold after fold, so that only one fitted model is in memory.

    Parameters
    ----------
    family
        Kind of model.
    task
        Features, target and groups.
    effort
        How much work to do.
    grouped
        Whether groups are kept together, or the folds are those of a written split; else rows are drawn at random.

    Raises
    ------
    HibanaError
        HIB-262 if there are fewer rows or groups than folds need.
    """
    whole = task if grouped else task.without_groups()
    for number, (train, test) in enumerate(make_folds(whole, effort.folds, effort.seed)):
        chosen = choose(family, whole.part(train), effort)
        model = family.make(chosen, trees=effort.trees, seed=effort.seed, jobs=effort.jobs)
        model.fit(task.features[train], task.target[train])
        prediction = model.predict(task.features[test])
        yield Fold(number, train, test, chosen, model, prediction, scores(task.target[test], prediction))


def gather(split: str, task: Task, folds: Sequence[Fold]) -> Validation:
    """Outcome of folds; their models may already be forgotten."""
    parts = [
        pd.DataFrame(
            {"fold": fold.number, "truth": task.target[fold.test], "prediction": fold.prediction}, index=task.row_ids[fold.test]
        )
        for fold in folds
    ]
    predictions = pd.concat(parts).rename_axis("row_id").sort_index()
    return Validation(split, predictions, tuple(fold.scores for fold in folds), tuple(fold.parameters for fold in folds))


def make_folds(task: Task, count: int, seed: int) -> Folds:
    """Training and test rows of each fold: those of the task's written split, else by group where the task has groups.

    The order of the rows does not matter.

    Raises
    ------
    HibanaError
        HIB-262 if there are fewer rows, or fewer groups, than folds, or a fold of the split has too few of the task's rows.
    """
    if task.split is not None:
        return usable_folds(task.split, task.row_ids.tolist(), LEAST_TRAINING, LEAST_TEST)
    units = len(task.target) if task.groups is None else len(np.unique(task.groups))
    if units < count:
        raise TOO_FEW_ROWS.error(f"{units} {'rows' if task.groups is None else f'groups ({task.group})'} for {count} folds")
    if task.groups is None:
        return random_folds(task.row_ids.tolist(), count, seed)
    return grouped_folds(task.groups.tolist(), count, seed)


def choose(family: Family, task: Task, effort: Effort) -> Parameters:
    """Hyperparameters with the least squared error over inner folds of a task's rows; a single choice costs nothing.

    The folds are by group, also where a written split judges.
    """
    if len(family.grid) == 1:
        return family.grid[0]
    if len(task.target) > effort.inner_rows:
        task = task.part(some_rows(task, effort.inner_rows, effort.seed))
    folds = make_folds(replace(task, split=None), effort.inner_folds, effort.seed + 1)
    trees = max(1, effort.trees // 3)

    def squared_error(parameters: Parameters) -> float:
        total = 0.0
        for train, test in folds:
            model = family.make(parameters, trees=trees, seed=effort.seed, jobs=effort.jobs)
            model.fit(task.features[train], task.target[train])
            total += float(((model.predict(task.features[test]) - task.target[test]) ** 2).sum())
        return total

    return min(family.grid, key=squared_error)


def some_rows(task: Task, count: int, seed: int) -> Index:
    """About ``count`` rows of a task drawn at random: whole groups, until the count is reached, where there are groups."""
    rng = np.random.default_rng(seed)
    if task.groups is None:
        return np.sort(rng.permutation(len(task.target))[:count])
    _, group, sizes = np.unique(task.groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    wanted = order[: int(np.searchsorted(np.cumsum(sizes[order]), count)) + 1]
    return np.flatnonzero(np.isin(group, wanted))
