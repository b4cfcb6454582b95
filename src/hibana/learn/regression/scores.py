"""How good predictions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Scores:
    """Errors of predictions, on the scale of what was predicted.

    Parameters
    ----------
    r2
        1 - (sum of squared errors) / (sum of squares about the mean of the truth); NaN where the truth does not vary.
    mae, rmse
        Mean absolute and root-mean-square error.
    n
        Number of rows.
    """

    r2: float
    mae: float
    rmse: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        """The scores as they are written."""
        return asdict(self)


def scores(truth: ArrayLike, prediction: ArrayLike) -> Scores:
    """Scores of predictions (n,) against the truth (n,)."""
    true: NDArray[np.float64] = np.asarray(truth, dtype=float)
    error = np.asarray(prediction, dtype=float) - true
    spread = float(((true - true.mean()) ** 2).sum())
    r2 = 1 - float((error**2).sum()) / spread if spread > 0 else float("nan")
    return Scores(r2, float(np.abs(error).mean()), float(np.sqrt((error**2).mean())), len(true))


def spread(folds: Sequence[Scores]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (of the sample) of each score over folds."""
    found = {}
    for name in ("r2", "mae", "rmse"):
        values = np.array([getattr(fold, name) for fold in folds])
        found[name] = {"mean": float(values.mean()), "sd": float(values.std(ddof=1)) if len(values) > 1 else float("nan")}
    return found
