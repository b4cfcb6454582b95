"""Which groups are promising: those whose target is better than another column lets expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

DEGREE = 3
"""Of the polynomial that is fitted to the target."""

SIGMAS = 2.0
"""Standard errors by which the mean residual of a promising group differs from zero."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of the target: its mean, or a polynomial of another column.

    Parameters
    ----------
    residuals
        (n,) target less expectation; NaN where the other column is missing.
    coefficients
        From the constant on, in powers of the other column.
    r2
        Share of the variance of the target that it explains.
    """

    residuals: Array
    coefficients: tuple[float, ...]
    r2: float

    def curve(self, values: Array) -> Array:
        """Expectation at values of the other column."""
        return np.asarray(np.polynomial.polynomial.polyval(values, self.coefficients), dtype=float)


def expect(target: Array, against: Array | None) -> Expectation:
    """Fit what is expected of the target (n,): a cubic polynomial of ``against`` (n,) by least squares, or its mean."""
    if against is None:
        return Expectation(target - target.mean(), (float(target.mean()),), 0.0)
    known = np.isfinite(against)
    degree = min(DEGREE, len(np.unique(against[known])) - 1)
    fitted = np.polynomial.Polynomial.fit(against[known], target[known], degree)
    residuals = np.where(known, target - fitted(np.where(known, against, 0.0)), np.nan)
    coefficients = tuple(float(value) for value in fitted.convert().coef)
    return Expectation(residuals, coefficients, float(1 - np.var(residuals[known]) / np.var(target[known])))


@dataclass(frozen=True)
class Wanted:
    """What a promising group is.

    Parameters
    ----------
    least_size
        Fewest rows.
    at_least
        Smallest median of the other column; None for any.
    low
        Whether a target below the expectation is wanted instead of one above.
    """

    least_size: int
    at_least: float | None = None
    low: bool = False


def judge_groups(labels: Labels, target: Array, against: Array | None, expectation: Expectation, wanted: Wanted) -> pd.DataFrame:
    """Size, target, other column and residual of each group, and its rank among the promising ones.

    A group is promising if it is large enough, the median of its other column is large enough, and its mean residual differs from
    zero by two standard errors in the wanted direction. Rank 1 has the largest mean residual.

    Parameters
    ----------
    labels
        (n,) group of each row.
    target, against
        (n,), the latter None where there is none.
    expectation
        What is expected of the target.
    wanted
        What a promising group is.

    Returns
    -------
    DataFrame
        Index ``group``; ``n``, ``target_mean``, ``target_sd``, ``against_mean``, ``against_median``, ``residual_mean``,
        ``residual_se``, ``rank`` (missing where it is not promising).
    """
    columns: dict[str, Any] = {"target": target, "residual": expectation.residuals}
    if against is not None:
        columns["against"] = np.where(np.isfinite(against), against, np.nan)
    by_group = pd.DataFrame(columns).groupby(pd.Series(labels, name="group"))
    found = pd.DataFrame(
        {
            "n": by_group.size(),
            "target_mean": by_group["target"].mean(),
            "target_sd": by_group["target"].std(),
            "residual_mean": by_group["residual"].mean(),
            "residual_se": by_group["residual"].sem(),
        }
    )
    if against is not None:
        found["against_mean"] = by_group["against"].mean()
        found["against_median"] = by_group["against"].median()
    score = -found["residual_mean"] if wanted.low else found["residual_mean"]
    promising = (found["n"] >= wanted.least_size) & (score > SIGMAS * found["residual_se"])
    if wanted.at_least is not None and against is not None:
        promising &= found["against_median"] >= wanted.at_least
    found["rank"] = score.where(promising).rank(ascending=False, method="first").astype("Int64")
    return found
