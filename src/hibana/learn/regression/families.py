"""The families of models: forests and boosted trees, with the hyperparameters that cross-validation chooses among."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hibana.learn.errors import NO_LEARN_EXTRA

if TYPE_CHECKING:
    from sklearn.base import RegressorMixin

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Parameters
    ----------
    name
        How results name it.
    title
        How figures name it.
    grid
        The hyperparameters to choose among.
    trusted
        Types in a saved model that skops does not know by itself and that belong there.
    """

    name: str
    title: str
    grid: tuple[Parameters, ...]
    trusted: tuple[str, ...]

    def make(self, parameters: Parameters, *, trees: int, seed: int, jobs: int = 1) -> RegressorMixin:
        """An unfitted model.

        Missing features are left to the trees, which learn on which side they belong.

        Raises
        ------
        HibanaError
            HIB-264 if scikit-learn is not installed.
        """
        try:
            from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
        except ImportError as error:
            raise NO_LEARN_EXTRA.error(f"scikit-learn ({error})") from error
        if self.name == RANDOM_FOREST.name:
            return RandomForestRegressor(n_estimators=trees, random_state=seed, n_jobs=jobs, **parameters)
        return HistGradientBoostingRegressor(max_iter=trees, random_state=seed, early_stopping=False, **parameters)


RANDOM_FOREST = Family(
    "random_forest",
    "random forest",
    (
        {"max_features": 0.15, "bootstrap": False},
        {"max_features": 0.3, "bootstrap": False},
        {"max_features": 0.4, "bootstrap": True},
    ),
    ("sklearn.tree._tree.Tree",),
)
GRADIENT_BOOSTING = Family(
    "gradient_boosting",
    "gradient boosting",
    tuple({"learning_rate": 0.06, "max_features": 0.3, "max_leaf_nodes": leaves} for leaves in (8, 31)),
    ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
)
FAMILIES = {family.name: family for family in (RANDOM_FOREST, GRADIENT_BOOSTING)}
