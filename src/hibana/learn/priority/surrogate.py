"""Models that say how sure they are: a random forest with the spread of its trees, a Gaussian process, and both together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.learn.errors import NO_LEARN_EXTRA
from hibana.learn.priority.rule import BOTH, FOREST, PROCESS, Rule

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.gaussian_process import GaussianProcessRegressor

Array = NDArray[np.float64]

BLOCK = 8192
"""Rows predicted at once."""

SHARE_OF_FEATURES = 1 / 3
"""Features a tree looks at in each split."""

MOST_ROWS_OF_PROCESS = 3000
"""A Gaussian process is fitted on so many rows at most, drawn by the seed: its cost grows with the cube of their number."""

MOST_ROWS_OF_KERNEL = 1000
"""The parameters of its kernel are found on so many of them."""


@dataclass(frozen=True)
class Prediction:
    """Mean and spread (standard deviation), (n,) each."""

    mean: Array
    spread: Array


@dataclass(frozen=True)
class Surrogate:
    """A fitted model.

    Parameters
    ----------
    model
        The forest or process.
    columns
        Which features it uses: those that vary.
    filling
        (n_features,) median of each feature, in place of missing values.
    centre, scale
        (n_features,) standardisation of the features; a forest has 0 and 1.
    n_rows
        Rows it was fitted on.
    """

    model: RandomForestRegressor | GaussianProcessRegressor
    columns: NDArray[np.intp]
    filling: Array
    centre: Array
    scale: Array
    n_rows: int

    def predict(self, features: Array) -> Prediction:
        """Predict.

        Parameters
        ----------
        features
            (n, n_features); NaN where one is missing.
        """
        mean, spread = np.empty(len(features)), np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            mean[block], spread[block] = self._predict(self._ready(features[block]))
        return Prediction(mean, spread)

    def _predict(self, values: Array) -> tuple[Array, Array]:
        if hasattr(self.model, "estimators_"):
            compact = values.astype(np.float32)
            votes = np.stack([tree.predict(compact) for tree in self.model.estimators_])
            return votes.mean(axis=0), votes.std(axis=0, ddof=1)
        mean, spread = self.model.predict(values, return_std=True)
        return mean, spread

    def _ready(self, features: Array) -> Array:
        chosen = features[:, self.columns]
        filled = np.where(np.isfinite(chosen), chosen, self.filling)
        value: Array = (filled - self.centre) / self.scale
        return value


@dataclass(frozen=True)
class Mixture:
    """Several models that count alike: where they disagree, the spread is larger than that of each."""

    models: tuple[Surrogate, ...]

    def predict(self, features: Array) -> Prediction:
        """Mean and standard deviation of the mixture of the models' normal distributions."""
        found = [model.predict(features) for model in self.models]
        means = np.stack([item.mean for item in found])
        variance = np.mean([item.spread**2 for item in found], axis=0) + means.var(axis=0)
        return Prediction(means.mean(axis=0), np.sqrt(variance))


def fit(features: Array, target: Array, rule: Rule, *, seed: int) -> Surrogate | Mixture:
    """Fit the model of a rule.

    Parameters
    ----------
    features
        (n, n_features); NaN where one is missing.
    target
        (n,) known values on the scale of the goal.
    rule
        Which model.
    seed
        Of trees, draws of rows and starts of the optimiser.

    Raises
    ------
    HibanaError
        HIB-264 if scikit-learn is not installed.
    """
    if rule.surrogate == BOTH:
        return Mixture(tuple(_fit(features, target, kind, rule.trees, seed) for kind in (FOREST, PROCESS)))
    return _fit(features, target, rule.surrogate, rule.trees, seed)


def _fit(features: Array, target: Array, kind: str, trees: int, seed: int) -> Surrogate:
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"scikit-learn ({error})") from error
    rows = np.arange(len(target))
    if kind == PROCESS and len(rows) > MOST_ROWS_OF_PROCESS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS_OF_PROCESS, replace=False))
    values, target = np.where(np.isfinite(features), features, np.nan)[rows], target[rows]
    columns = np.flatnonzero(_varies(values))
    values = values[:, columns]
    filling = np.nanmedian(values, axis=0) if len(columns) else np.empty(0)
    filled = np.where(np.isnan(values), filling, values)
    if kind == PROCESS:
        centre, scale = filled.mean(axis=0), filled.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        model = _process((filled - centre) / scale, target, seed)
    else:
        centre, scale = np.zeros(len(columns)), np.ones(len(columns))
        model = RandomForestRegressor(trees, max_features=SHARE_OF_FEATURES, random_state=seed, n_jobs=1)
        model.fit(filled.astype(np.float32), target)
    return Surrogate(model, columns, filling, centre, scale, len(rows))


def _process(values: Array, target: Array, seed: int) -> GaussianProcessRegressor:
    """A Gaussian process with a Matérn kernel of one length, whose start is the typical distance, and noise."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    typical = np.sqrt(2 * values.shape[1])
    shape = Matern(length_scale=typical, length_scale_bounds=(0.1 * typical, 100 * typical), nu=2.5)
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * shape + WhiteKernel(0.1, (1e-4, 1.0))
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    few = np.random.default_rng(seed).permutation(len(target))[:MOST_ROWS_OF_KERNEL]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values[few], target[few])
    if len(few) < len(target):
        model = GaussianProcessRegressor(model.kernel_, optimizer=None, normalize_y=True)
        model.fit(values, target)
    return model


def _varies(values: Array) -> NDArray[np.bool_]:
    """Which columns have more than one value; a column with none has no use either."""
    there = ~np.isnan(values)
    low = np.where(there, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(there, values, -np.inf).max(axis=0, initial=-np.inf)
    varies: NDArray[np.bool_] = high > low
    return varies
