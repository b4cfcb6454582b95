"""Clusters of vectors, and how much of the spectra they explain on rows that took no part.

The measure: clusters are those of the training rows; the spectrum of a held-out row is taken to be the mean of the training rows
of the cluster whose centre is nearest. The share of the variance of the held-out spectra about the training mean that this
removes is what the clusters explain. It can be negative. Clusters of anything can be compared so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MOST_EXACT = 20_000
"""Rows up to which the whole tree of Ward's method is built; it needs all pairs of rows."""

CENTRES = 1_500
"""Beyond, Ward's method joins so many centres of k-means."""


@dataclass(frozen=True)
class Clusters:
    """Clusters of training rows.

    Parameters
    ----------
    labels
        (n_training,) number of the cluster, the largest cluster first.
    centres
        (n_clusters, n_dimensions) mean of each cluster.
    """

    labels: Indices
    centres: Array

    def nearest(self, points: Array) -> Indices:
        """Cluster with the nearest centre for each of some points (n, n_dimensions)."""
        from scipy.spatial.distance import cdist

        parts = [cdist(points[start : start + 4096], self.centres).argmin(axis=1) for start in range(0, len(points), 4096)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)


def ward_clusters(points: Array, n_clusters: int, seed: int = 0) -> Clusters:
    """Clusters by Ward's method, in Euclidean distance.

    Parameters
    ----------
    points
        (n, n_dimensions).
    n_clusters
        At most n.
    seed
        Of k-means, for more than 20,000 rows.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(points) <= MOST_EXACT:
        labels = fcluster(linkage(points, "ward"), n_clusters, "maxclust") if len(points) > 1 else np.ones(len(points), dtype=int)
    else:
        from sklearn.cluster import MiniBatchKMeans

        means = MiniBatchKMeans(max(CENTRES, n_clusters), random_state=seed, n_init=3, batch_size=8192).fit(points)
        labels = fcluster(linkage(means.cluster_centers_, "ward"), n_clusters, "maxclust")[means.labels_]
    return clusters_of(labels, points)


def clusters_of(labels: Indices, points: Array) -> Clusters:
    """Clusters of given labels; numbered from 0, the largest first."""
    names, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    place = np.empty(len(names), dtype=np.intp)
    place[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    ordered = place[numbers]
    centres = np.stack([points[ordered == number].mean(axis=0) for number in range(len(names))])
    return Clusters(ordered, centres)


def standardised(training: Array, others: Array) -> tuple[Array, Array]:
    """Columns brought to mean 0 and standard deviation 1 of the training rows; gaps are the mean, constant columns go."""
    with np.errstate(invalid="ignore"):
        known = np.isfinite(training)
        counts = known.sum(axis=0)
        mean = np.where(known, training, 0).sum(axis=0) / np.maximum(counts, 1)
        deviation = np.sqrt((np.where(known, training - mean, 0) ** 2).sum(axis=0) / np.maximum(counts, 1))
    kept = deviation > 1e-12

    def scaled(part: Array) -> Array:
        return np.nan_to_num((part[:, kept] - mean[kept]) / deviation[kept])

    return scaled(training), scaled(others)


def explained(labels: Indices, spectra: Array, test_labels: Indices, test_spectra: Array) -> float:
    """Share of the variance of held-out spectra that the mean training spectra of their clusters explain.

    Parameters
    ----------
    labels, test_labels
        (n_training,) and (n_test,) cluster of each row.
    spectra, test_spectra
        (n, n_points), NaN where a point is missing.
    """
    overall = np.nan_to_num(np.nanmean(spectra, axis=0))
    means = mean_spectra(labels, spectra, int(max(labels.max(), test_labels.max(initial=0))) + 1)
    return variance_removed(test_spectra, means[test_labels], overall)


def mean_spectra(labels: Indices, spectra: Array, n_clusters: int) -> Array:
    """Mean of the known points of each cluster (n_clusters, n_points); the mean of all rows where a cluster has none."""
    known = np.isfinite(spectra)
    sums = np.zeros((n_clusters, spectra.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, labels, np.where(known, spectra, 0.0))
    np.add.at(counts, labels, known)
    overall = np.where(known, spectra, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), overall)


def variance_removed(truth: Array, prediction: Array, reference: Array) -> float:
    """1 - (squared error) / (squared deviation from a reference spectrum), summed over all known points; NaN without any."""
    known = np.isfinite(truth)
    left = ((truth - prediction)[known] ** 2).sum()
    total = ((truth - reference)[known] ** 2).sum()
    return float(1 - left / total) if total > 0 else float("nan")
