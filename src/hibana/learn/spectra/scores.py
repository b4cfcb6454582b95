"""How well spectra are predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hibana.learn.spectra.ward import variance_removed

Array = NDArray[np.float64]


def spectrum_scores(truth: Array, prediction: Array, mean: Array) -> dict[str, float]:
    """Scores of predicted spectra.

    Parameters
    ----------
    truth
        (n, n_points), NaN where a point is missing.
    prediction
        (n, n_points).
    mean
        (n_points,) mean training spectrum, the prediction of one who knows nothing of the crystal.

    Returns
    -------
    dict
        ``mae`` and ``rmse`` over all known points; ``mae_mean_spectrum`` that of the mean spectrum; ``r2`` the share of the
        squared deviation from the mean spectrum that is predicted; ``median_cosine`` of the angle between spectra as vectors.
    """
    known = np.isfinite(truth)
    errors = (prediction - truth)[known]
    return {
        "n": len(truth),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "r2": variance_removed(truth, prediction, mean),
        "median_cosine": float(np.median(cosines(truth, prediction))),
        "mae_mean_spectrum": float(np.abs((mean - truth)[known]).mean()),
        "median_cosine_mean_spectrum": float(np.median(cosines(truth, np.broadcast_to(mean, truth.shape)))),
    }


def cosines(truth: Array, prediction: Array) -> Array:
    """Cosine of the angle between two spectra each (n,), over the known points."""
    known = np.isfinite(truth)
    first, second = np.where(known, truth, 0.0), np.where(known, prediction, 0.0)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / np.maximum(lengths, 1e-300)
