"""A regression from table to folder: validation, out-of-fold predictions, importances, learning curve, figures, saved models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hibana.learn.dataset import Dataset
from hibana.learn.regression import figures
from hibana.learn.regression.families import FAMILIES, Family
from hibana.learn.regression.importances import impurity, permutation, summary
from hibana.learn.regression.learning_curve import learning_curve, mean_curve
from hibana.learn.regression.model import fit, save
from hibana.learn.regression.scores import scores
from hibana.learn.regression.task import Target, Task
from hibana.learn.regression.validation import Effort, Fold, Validation, choose, gather, validate
from hibana.learn.result import packages, table_of, write_result

MODULE = "regression"
RANDOM = "random"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """A family of models as cross-validation found it: by row at random, by group where there are groups, what it needs."""

    family: Family
    random: Validation
    grouped: Validation | None
    importances: pd.DataFrame

    @property
    def headline(self) -> Validation:
        """The validation that counts: by group where there are groups."""
        return self.grouped or self.random


def regress(
    dataset: Dataset,
    task: Task,
    folder: Path,
    *,
    families: Sequence[str] = tuple(FAMILIES),
    effort: Effort | None = None,
    curve: bool = True,
    inputs: Sequence[str] = (),
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Judge and fit models of a target, and write everything into a folder.

    Parameters
    ----------
    dataset
        The table, for its name and identity.
    task
        Features, target and groups (:func:`hibana.learn.regression.task.make_task`).
    folder
        Where to: ``result.json``, ``predictions.parquet`` and ``.csv`` (out-of-fold), ``importances_*.csv``,
        ``learning_curve.csv``, figures, and a folder with the model fitted on all rows for each family.
    families
        Names of the families of models.
    effort
        How much work cross-validation does.
    curve
        Whether a learning curve is made.
    inputs
        How the user named the features, for the result.
    say
        Told how it gets on.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    HibanaError
        HIB-262 if there are too few rows or groups for the folds, HIB-264 if scikit-learn or skops is not installed.
    """
    effort = effort or Effort()
    folder.mkdir(parents=True, exist_ok=True)
    judged, models = [], {}
    for name in families:
        family = FAMILIES[name]
        found = judge(family, task, effort, say)
        judged.append(found)
        models[name] = _fit_all(family, task, effort, dataset.snapshot, folder / name)
        found.importances.to_csv(folder / f"importances_{name}.csv")
        title = f"{family.title}, {task.what.column}"
        figures.importance_bars(found.importances, title, folder / f"importances_{name}.png")
    _write_predictions(judged, folder)
    for found in judged:
        panels = {RANDOM: found.random} | ({f"by {task.apart}": found.grouped} if found.grouped else {})
        figures.parity(panels, task.what.label, folder / f"parity_{found.family.name}.png")
    curves = _curves(judged, task, effort, folder, say) if curve else {}
    result = _result(dataset, task, effort, judged, models, curves, inputs)
    write_result(folder, result)
    return result


def judge(family: Family, task: Task, effort: Effort, say: Say = lambda _: None) -> Judged:
    """Cross-validate a family of models, by row and, where there are groups or a split, by these, which importances are of."""
    validations: dict[bool, Validation] = {}
    losses, shares = [], []
    for grouped in [False, True] if task.apart else [False]:
        split = task.apart if grouped else RANDOM
        count = task.split.n_folds if grouped and task.split is not None else effort.folds
        folds = []
        for fold in validate(family, task, effort, grouped=grouped):
            say(f"{family.title}, {split}: fold {fold.number + 1} of {count}, R² {fold.scores.r2:.3f}")
            if grouped or not task.apart:
                seed = effort.seed + fold.number
                losses.append(permutation(fold.model, task.features[fold.test], task.target[fold.test], seed))
                shares.append(impurity(fold.model))
            folds.append(_without_model(fold))
        validations[grouped] = gather(split, task, folds)
    return Judged(family, validations[False], validations.get(True), summary(task.names, losses, shares))


def _without_model(fold: Fold) -> Fold:
    return replace(fold, model=None)


def _fit_all(family: Family, task: Task, effort: Effort, snapshot: str, folder: Path) -> dict[str, Any]:
    """Fit on all rows with the hyperparameters that folds of all rows choose, and save."""
    chosen = choose(family, task, effort)
    model = fit(family, task, chosen, trees=effort.trees, seed=effort.seed, jobs=effort.jobs, snapshot=snapshot)
    save(model, folder)
    return {"folder": folder.name, "parameters": dict(chosen), "trees": effort.trees}


def _write_predictions(judged: Sequence[Judged], folder: Path) -> None:
    """Out-of-fold predictions of all validations, one row a model, split and row of the table."""
    parts = [
        validation.predictions.reset_index().assign(model=found.family.name, split=validation.split)
        for found in judged
        for validation in (found.random, found.grouped)
        if validation is not None
    ]
    table = pd.concat(parts)[["model", "split", "row_id", "fold", "truth", "prediction"]]
    table.to_parquet(folder / "predictions.parquet", index=False)
    table.to_csv(folder / "predictions.csv", index=False)


def _curves(judged: Sequence[Judged], task: Task, effort: Effort, folder: Path, say: Say) -> dict[str, pd.DataFrame]:
    """Mean learning curve of each family; the scores of every fold are written."""
    found, parts = {}, []
    for item in judged:
        say(f"{item.family.title}: learning curve")
        each = learning_curve(item.family, task, item.headline.parameters, effort)
        parts.append(each.assign(model=item.family.name))
        found[item.family.name] = mean_curve(each)
    pd.concat(parts).to_csv(folder / "learning_curve.csv", index=False)
    unit = task.what.unit if task.what.transform == "none" else task.what.transform
    figures.curves({FAMILIES[name].title: curve for name, curve in found.items()}, unit, folder / "learning_curve.png")
    return found


def _result(
    dataset: Dataset,
    task: Task,
    effort: Effort,
    judged: Sequence[Judged],
    models: dict[str, Any],
    curves: dict[str, pd.DataFrame],
    inputs: Sequence[str],
) -> dict[str, Any]:
    n_groups = None if task.groups is None else len(set(task.groups.tolist()))
    return {
        "module": MODULE,
        "table": {**table_of(dataset), "n_used": len(task.target), "left_out": task.left_out},
        "target": {"column": task.what.column, "unit": task.what.unit, "transform": task.what.transform},
        "features": {"inputs": list(inputs), "n": len(task.names), "versions": task.versions},
        "groups": {"name": task.group or None, "n": n_groups},
        "split": None if task.split is None else task.split.as_dict(),
        "effort": {**vars(effort)},
        "headline_split": judged[0].headline.split,
        "models": {
            item.family.name: {
                RANDOM: _said(item.random, task.what),
                "grouped": _said(item.grouped, task.what) if item.grouped else None,
                "learning_curve": curves[item.family.name].to_dict("records") if item.family.name in curves else None,
                "fitted": models[item.family.name],
            }
            for item in judged
        },
        "packages": packages(),
    }


def _said(validation: Validation, target: Target) -> dict[str, Any]:
    """Scores on the transformed scale and, where that is another, on that of the column."""
    said = validation.as_dict()
    if target.transform != "none":
        truth, prediction = (target.back(validation.predictions[name].to_numpy()) for name in ("truth", "prediction"))
        said["pooled_untransformed"] = scores(truth, prediction).as_dict()
    return said
