"""The judge: boosted trees on features of compositions, which the generator never sees while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.dataset import Dataset
from hibana.learn.features.composition import composition_features, element_fractions
from hibana.learn.generation.compounds import Compounds
from hibana.learn.regression.families import GRADIENT_BOOSTING
from hibana.learn.regression.inputs import gather
from hibana.learn.regression.model import SavedModel, fit
from hibana.learn.regression.scores import Scores, scores
from hibana.learn.regression.task import Task, make_task

Array = NDArray[np.float64]

PARAMETERS = {"learning_rate": 0.06, "max_features": 0.3, "max_leaf_nodes": 31}
SETS = ("composition", "elements")
TESTED = 0.2
"""Share of the compounds that the scores are measured on; the model that judges has learned from all."""


@dataclass(frozen=True)
class Judge:
    """A model of the target by composition alone.

    Parameters
    ----------
    model
        The fitted model; ``hibana learn predict -f composition -f elements`` takes it.
    scores
        On compounds it had not seen.
    """

    model: SavedModel
    scores: Scores

    def predict(self, formulas: Sequence[str]) -> Array:
        """(n,) value of each formula."""
        if not formulas:
            return np.empty(0)
        features = pd.concat([composition_features(formulas), element_fractions(formulas)], axis=1)
        return np.asarray(self.model.predict(features)["prediction"].to_numpy(), dtype=float)


def fit_judge(dataset: Dataset, compounds: Compounds, *, trees: int = 300, seed: int = 0) -> Judge:
    """Fit the judge, and measure how well it predicts compounds it has not seen.

    Parameters
    ----------
    dataset
        The table the compounds are from.
    compounds
        What it learns from.
    trees
        Rounds of boosting.
    seed
        Of the draw of the tested compounds and of the trees.
    """
    frame = pd.DataFrame({"reduced_formula": compounds.formulas, compounds.target: compounds.values}, index=compounds.formulas)
    table = Dataset(dataset.name, dataset.path, frame, {compounds.target: compounds.unit}, dataset.snapshot)
    task = make_task(table, compounds.target, gather(table, SETS))
    order = np.random.default_rng(seed).permutation(len(task.target))
    n_tested = max(1, round(TESTED * len(order)))
    tested, learned = task.part(order[:n_tested]), task.part(order[n_tested:])

    def make(part: Task) -> SavedModel:
        return fit(GRADIENT_BOOSTING, part, PARAMETERS, trees=trees, seed=seed, jobs=1, snapshot=dataset.snapshot)

    found = make(learned).estimator.predict(tested.features)
    return Judge(make(task), scores(tested.target, found))
