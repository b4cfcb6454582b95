"""Which features a model needs: what is lost on held-out rows when one is shuffled, and what the trees split on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.regression.scores import scores

if TYPE_CHECKING:
    from sklearn.base import RegressorMixin

Array = NDArray[np.float64]

BLOCK = 16_384
"""Rows predicted at once."""
REPEATS = 2
ROWS = 300
"""Most held-out rows of a fold that features are shuffled on."""


def permutation(
    model: RegressorMixin, features: NDArray[np.float32], target: Array, seed: int, *, rows: int = ROWS, repeats: int = REPEATS
) -> Array:
    """Loss of R² when a feature is shuffled among held-out rows, (n_features,), averaged over repetitions.

    L. Breiman, Machine Learning 45, 5 (2001). Of features that say the same, each alone may be shuffled without loss, so a small
    number means «not needed beside the others» and not «without influence».

    Parameters
    ----------
    model
        Fitted model.
    features, target
        (n, n_features) and (n,), rows that the model was not fitted on.
    seed
        Of the draws.
    rows
        Most rows used; more are thinned at random.
    repeats
        How often each feature is shuffled.
    """
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(len(target))[:rows])
    features, target = features[kept], target[kept]
    reference = scores(target, model.predict(features)).r2
    n_rows, n_features = features.shape
    together = max(1, BLOCK // n_rows)
    losses = np.zeros(n_features)
    for _ in range(repeats):
        order = rng.permutation(n_rows)
        for start in range(0, n_features, together):
            columns = range(start, min(start + together, n_features))
            shuffled = np.repeat(features[None], len(columns), axis=0)
            for place, column in enumerate(columns):
                shuffled[place, :, column] = features[order, column]
            predictions = model.predict(shuffled.reshape(-1, n_features)).reshape(len(columns), n_rows)
            losses[list(columns)] += [reference - scores(target, prediction).r2 for prediction in predictions]
    return losses / repeats


def impurity(model: RegressorMixin) -> Array | None:
    """Share of the decrease of variance that the trees owe to each feature, (n_features,); None for boosting by histograms.

    It is found on training rows and favours features with many values: read it beside the permutation importance.
    """
    found = getattr(model, "feature_importances_", None)
    return None if found is None else np.asarray(found, dtype=float)


def summary(names: Sequence[str], losses: Sequence[Array], impurities: Sequence[Array | None]) -> pd.DataFrame:
    """Importances over folds, the most needed feature first.

    Parameters
    ----------
    names
        (n_features,) names.
    losses, impurities
        Of each fold, (n_features,).

    Returns
    -------
    DataFrame
        Index ``feature``; ``permutation_r2_loss`` and its standard deviation over folds ``_sd``; ``impurity_share``
        where there is one.
    """
    lost = np.array(losses)
    frame = pd.DataFrame(
        {
            "permutation_r2_loss": lost.mean(axis=0),
            "permutation_r2_loss_sd": lost.std(axis=0, ddof=1) if len(lost) > 1 else np.nan,
        },
        index=pd.Index(list(names), name="feature"),
    )
    shares = [share for share in impurities if share is not None]
    if shares:
        frame["impurity_share"] = np.mean(shares, axis=0)
    return frame.sort_values("permutation_r2_loss", ascending=False, kind="stable")
