"""Clusters of latent vectors against clusters of other descriptions of the same crystals, judged on held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.learn.spectra.split import Split
from hibana.learn.spectra.ward import (
    Clusters,
    clusters_of,
    explained,
    mean_spectra,
    standardised,
    variance_removed,
    ward_clusters,
)

Array = NDArray[np.float64]

NUMBERS = (5, 10, 20, 50, 100)
"""Numbers of clusters that are compared besides the one asked for."""

MOST = 100
COMPOSITION, PREDICTED, SPECTRA, RANDOM = "composition_features", "predicted_spectrum", "spectra_themselves", "random"


@dataclass(frozen=True)
class Comparison:
    """How much clusters of each kind of vector explain.

    Parameters
    ----------
    held_out
        By kind of vector and number of clusters: share of the variance of the held-out spectra that the training rows of the same
        cluster explain.
    all_rows
        By kind of vector: the same when all rows are clustered and explain themselves, which flatters.
    chosen
        Clusters of the headline layer.
    """

    held_out: dict[str, dict[int, float]]
    all_rows: dict[str, float]
    chosen: Clusters


def default_number(n_training: int) -> int:
    """Number of clusters where none is asked for: about eight training rows each, at most 100."""
    return max(2, min(MOST, n_training // 8))


def compare(vectors: Mapping[str, Array], spectra: Array, split: Split, n_clusters: int, headline: str, seed: int) -> Comparison:
    """Cluster the training rows by each kind of vector, and judge the clusters on the held-out rows.

    Parameters
    ----------
    vectors
        (n_rows, n_dimensions) by name; those named ``composition_features`` are standardised.
    spectra
        (n_rows, n_points), NaN where a point is missing.
    split
        Training and held-out rows; those that stopped the training take no part.
    n_clusters
        Number of clusters of the headline.
    headline
        Kind of vector whose clusters are kept.
    seed
        Of random clusters, and of k-means for many rows.
    """
    training, test = spectra[split.training], spectra[split.test]
    numbers = sorted({number for number in (*NUMBERS, n_clusters) if 2 <= number <= len(training) // 2} | {n_clusters})
    held_out: dict[str, dict[int, float]] = {name: {} for name in (*vectors, SPECTRA, RANDOM)}
    all_rows, chosen = {}, None
    for name, values in {**vectors, SPECTRA: np.nan_to_num(spectra)}.items():
        first, second = values[split.training], values[split.test]
        if name == COMPOSITION:
            first, second = standardised(first, second)
        for number in numbers:
            found = ward_clusters(first, number, seed)
            held_out[name][number] = explained(found.labels, training, found.nearest(second), test)
            if name == headline and number == n_clusters:
                chosen = found
        whole = standardised(values, values)[0] if name == COMPOSITION else values
        all_rows[name] = _within(ward_clusters(whole, n_clusters, seed).labels, spectra)
    if chosen is None:
        raise ValueError(f"no vectors {headline!r}")
    generator = np.random.default_rng(seed)
    for number in numbers:
        labels, others = generator.integers(number, size=len(training)), generator.integers(number, size=len(test))
        held_out[RANDOM][number] = explained(labels, training, others, test)
    all_rows[RANDOM] = _within(generator.integers(n_clusters, size=len(spectra)), spectra)
    return Comparison(held_out, all_rows, chosen)


def label_all(chosen: Clusters, vectors: Array, split: Split) -> NDArray[np.intp]:
    """Cluster of every row: that of the training rows, the nearest one of the others."""
    labels = chosen.nearest(vectors)
    labels[split.training] = chosen.labels
    return labels


def summary_of(labels: NDArray[np.intp], spectra: Array, elements: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Size, spread of the spectra and most frequent elements of each cluster."""
    means = mean_spectra(labels, spectra, int(labels.max()) + 1)
    lines = []
    for number in range(int(labels.max()) + 1):
        own = np.flatnonzero(labels == number)
        names, counts = np.unique([element for row in own for element in elements[row]], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:5]
        spread = float(np.sqrt(np.nanmean((spectra[own] - means[number]) ** 2))) if len(own) else float("nan")
        common = ";".join(f"{names[place]}:{counts[place]}" for place in order)
        lines.append({"cluster": number, "n": len(own), "rms_spread": spread, "elements": common})
    return lines


def _within(labels: NDArray[np.intp], spectra: Array) -> float:
    """Share of the variance of the spectra that their own clusters explain."""
    labels = clusters_of(labels, spectra).labels
    means = mean_spectra(labels, spectra, int(labels.max()) + 1)
    return variance_removed(spectra, means[labels], np.nan_to_num(np.nanmean(spectra, axis=0)))
