"""Acquisition functions: how much it is worth to calculate a candidate, from what a model predicts of it and how surely.

Predictions are normal distributions with a mean and a spread (standard deviation). All functions are pure; a higher value is
better in each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

SMALLEST = 1e-12
"""Spreads are taken to be at least so large, on the scale of the target."""

BLOCK = 2048
"""Points compared at once, so that memory does not grow with their number squared."""


def probability_of_range(mean: Array, spread: Array, low: float, high: float) -> Array:
    """Probability that the value is between two ends.

    Parameters
    ----------
    mean, spread
        (n,) prediction.
    low, high
        Ends of the range; may be infinite.
    """
    width = np.maximum(spread, SMALLEST)
    above, below = (mean - low) / width, (mean - high) / width
    # the difference of two small tails is exact, that of two numbers near 1 is not
    is_under = (above < 0) & (below < 0)
    value: Array = np.where(is_under, ndtr(above) - ndtr(below), ndtr(-below) - ndtr(-above))
    return np.clip(value, 0.0, 1.0)


def expected_improvement(mean: Array, spread: Array, best: float, sign: int = 1) -> Array:
    """Expected improvement over the best value known.

    D. R. Jones, M. Schonlau, W. J. Welch, J. Global Optim. 13, 455 (1998), equation 15.

    Parameters
    ----------
    mean, spread
        (n,) prediction.
    best
        The best value known.
    sign
        1 where higher is better, -1 where lower is.
    """
    width = np.maximum(spread, SMALLEST)
    gain = sign * (mean - best)
    z = gain / width
    value: Array = gain * ndtr(z) + width * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.maximum(value, 0.0)


def confidence_bound(mean: Array, spread: Array, kappa: float, sign: int = 1) -> Array:
    """The value that is reached if the prediction errs to the good side by `kappa` spreads.

    Where lower is better it is the negative of the lower bound.

    Parameters
    ----------
    mean, spread
        (n,) prediction.
    kappa
        How much an unsure prediction is worth.
    sign
        1 where higher is better, -1 where lower is.
    """
    value: Array = sign * mean + kappa * spread
    return value


def stein_novelty(points: Array, known: Array, sigma: float) -> Array:
    """How much more even known values become when one at a predicted place is added to them.

    The kernelised Stein discrepancy between points and a uniform distribution has, with the Gaussian kernel of variance `sigma`,
    the terms u(x, y) = (d/σ - |x - y|²/σ²) exp(-|x - y|²/2σ). The novelty of a place is the negative sum of its terms with the
    known points, over n(n + 1)/2: lowest on a known point, highest √((d + 2)σ) from one, 0 amid evenly spread ones and far from
    all. K. Terayama et al., Chem. Sci. 11, 5959 (2020).

    Parameters
    ----------
    points
        (n, d) predicted values, standardised by those known.
    known
        (m, d) known values, standardised.
    sigma
        Variance of the kernel.
    """
    novelty = np.zeros(len(points))
    for start in range(0, len(points), BLOCK):
        block = slice(start, start + BLOCK)
        for other in range(0, len(known), BLOCK):
            novelty[block] -= stein_terms(points[block], known[other : other + BLOCK], sigma).sum(axis=1)
    return novelty / (len(known) * (len(known) + 1) / 2)


def stein_terms(points: Array, others: Array, sigma: float) -> Array:
    """Terms u(x, y) of the discrepancy between a uniform distribution and points, (n, m); see :func:`stein_novelty`."""
    squares = ((points[:, None, :] - others[None, :, :]) ** 2).sum(axis=2)
    value: Array = (points.shape[1] / sigma - squares / sigma**2) * np.exp(-squares / (2 * sigma))
    return value
