"""What the neighbours of a site are like: shares by element, and statistics of a quantity over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIGNIFICANT = 1 / 12
"""Neighbours with more of the solid angle than this count for the largest and smallest value: the share of one of twelve
equal neighbours."""

NO_WEIGHT = 1e-8
"""A share of the solid angle below this is a vertex or an edge of the Voronoi cell, no face."""


@dataclass(frozen=True)
class NeighbourStatistics:
    """Weighted mean of a quantity over all neighbours, and its extremes over the significant ones."""

    average: float
    maximum: float
    minimum: float


def weights_by_element(weights: Array, species: Sequence[str]) -> dict[str, float]:
    """Solid-angle share of each element that a site sees, in the order of the elements' first appearance.

    Parameters
    ----------
    weights
        (n_sites,), as :func:`hibana.properties.voronoi.voronoi_weights` gives them.
    species
        Chemical symbol of each site.
    """
    shares: dict[str, float] = {}
    for weight, symbol in zip(weights, species, strict=True):
        if weight > NO_WEIGHT:
            shares[symbol] = shares.get(symbol, 0.0) + float(weight)
    return {symbol: shares[symbol] for symbol in dict.fromkeys(species) if symbol in shares}


def neighbour_statistics(
    weights: Array, values: Array, translations: NDArray[np.integer] | None = None
) -> NeighbourStatistics | None:
    """Mean and extremes of a quantity over the Voronoi neighbours of a site.

    The mean takes all neighbours with their weights. The extremes are those of the significant ones, whose weight, summed
    over all images by lattice translations, is above 1/12 (:data:`SIGNIFICANT`); where none is, of those with the largest
    weight.

    Parameters
    ----------
    weights
        (n_sites,), sum 1.
    values
        (n_sites,) the quantity at each site; NaN where it is unknown.
    translations
        (n_sites,) the same number for sites that a lattice translation takes into one another. None if the cell is
        primitive.

    Returns
    -------
    NeighbourStatistics or None
        None if the quantity is unknown for a neighbour.
    """
    weights = np.where(weights > NO_WEIGHT, weights, 0.0)
    seen = weights > 0
    if np.any(np.isnan(values[seen])):
        return None
    classes = np.arange(len(weights)) if translations is None else np.asarray(translations)
    merged = np.bincount(classes, weights=weights)[classes]
    significant = seen & (merged > SIGNIFICANT)
    if not significant.any():
        significant = seen & (merged >= merged[seen].max() - NO_WEIGHT)
    chosen = values[significant]
    average = float(weights[seen] @ values[seen] / weights[seen].sum())
    return NeighbourStatistics(average=average, maximum=float(chosen.max()), minimum=float(chosen.min()))
