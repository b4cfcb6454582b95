"""Splits of rows into training and test: random, by group, and extrapolative ones.

All are decided by hashes of names and by values, never by the order of the rows: the same rows with the same seed are split the
same way in any order and on any machine. A split is a tuple of folds, a fold a pair of index arrays (training, test).
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.intp]
Fold = tuple[Indices, Indices]
Side = Literal["top", "bottom"]

NEITHER = -2
"""Fold number of a row that is neither trained on nor tested."""

TRAINING = -1
"""Fold number of a row that is trained on in every fold."""

ROUNDS = 100
"""Rounds of k-means at most."""


def random_folds(rows: int | Sequence[Hashable], k: int, seed: int) -> tuple[Fold, ...]:
    """Folds of rows regardless of what they are; their sizes differ by one at most.

    Parameters
    ----------
    rows
        Unique names of the rows, or their number: then a row is known by its place, and the folds depend on the order.
    k
        Number of folds.
    seed
        Another seed gives other folds.

    Raises
    ------
    ValueError
        If k is below 2 or above the number of rows, or a name is there twice.
    """
    names = range(rows) if isinstance(rows, int) else rows
    if len(set(names)) != len(names):
        raise ValueError("two rows have the same name")
    _check(k, len(names), "rows")
    numbers = np.empty(len(names), dtype=np.intp)
    for rank, place in enumerate(sorted(range(len(names)), key=lambda place: _hash(names[place], seed))):
        numbers[place] = rank % k
    return folds_of(numbers)


def grouped_folds(groups: Sequence[Hashable], k: int, seed: int) -> tuple[Fold, ...]:
    """Folds that tear no group apart, as equal in size as groups permit.

    The groups go from the largest to the smallest, each to the fold that is smallest then. Rows without a label (None, NaN or
    an empty text) may belong together and are one group.

    Parameters
    ----------
    groups
        Label of each row.
    k, seed
        As in :func:`random_folds`.

    Raises
    ------
    ValueError
        If k is below 2 or above the number of groups.
    """
    labels, members = group_numbers(groups)
    _check(k, len(labels), "groups")
    sizes = np.bincount(members, minlength=len(labels))
    order = sorted(range(len(labels)), key=lambda group: (-sizes[group], _hash(labels[group], seed)))
    smallest = [(0, fold) for fold in range(k)]
    fold_of = np.empty(len(labels), dtype=np.intp)
    for group in order:
        size, fold = heapq.heappop(smallest)
        fold_of[group] = fold
        heapq.heappush(smallest, (size + int(sizes[group]), fold))
    return folds_of(fold_of[members])


def leave_one_cluster_out(points: ArrayLike, n_clusters: int, seed: int) -> tuple[Fold, ...]:
    """One fold a cluster of k-means: how well a model does on a kind of row it has never seen (LOCO-CV).

    B. Meredig et al., Mol. Syst. Des. Eng. 3, 819 (2018).

    Parameters
    ----------
    points
        (n_rows, n_dimensions), finite; bring the columns to one scale first.
    n_clusters
        Number of clusters, at most the number of different points.
    seed
        Of the first centres.

    Raises
    ------
    ValueError
        If a value is not finite, or there are fewer different points than clusters, or fewer than two clusters.
    """
    return folds_of(clusters(points, n_clusters, seed))


def property_range(values: ArrayLike, share: float = 0.2, side: Side = "top") -> tuple[Fold, ...]:
    """One fold that tests the rows with the largest or smallest values and trains on the others.

    Rows that tie with the last of them are tested as well; rows without a value are on neither side.

    Parameters
    ----------
    values
        (n_rows,) a property, or the size; NaN where it is not known.
    share
        Share of the rows with a value that is tested, in ]0, 1[.
    side
        ``top`` or ``bottom``.

    Raises
    ------
    ValueError
        If the share or the side is none, there are no values, or no row is left to train on.
    """
    numbers = np.asarray(values, dtype=float)
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} is not between 0 and 1")
    if side not in ("top", "bottom"):
        raise ValueError(f"{side!r} is neither top nor bottom")
    known = np.flatnonzero(~np.isnan(numbers))
    if not len(known):
        raise ValueError("no row has a value")
    signed = numbers[known] if side == "top" else -numbers[known]
    limit = np.sort(signed)[len(signed) - int(np.ceil(share * len(signed)))]
    fold_numbers = np.full(len(numbers), NEITHER, dtype=np.intp)
    fold_numbers[known] = np.where(signed >= limit, 0, TRAINING)
    if not np.any(fold_numbers == TRAINING):
        raise ValueError("all values tie with the largest, no row is left to train on")
    return folds_of(fold_numbers)


def folds_of(numbers: ArrayLike, n_folds: int | None = None) -> tuple[Fold, ...]:
    """Folds of the number of the fold that tests each row; :data:`TRAINING` for none, :data:`NEITHER` to leave it out.

    Parameters
    ----------
    numbers
        (n_rows,) the numbers.
    n_folds
        How many folds there are, of which some may test no row; None for those that the numbers name.
    """
    fold_numbers = np.asarray(numbers)
    count = int(fold_numbers.max(initial=-1)) + 1 if n_folds is None else n_folds
    return tuple(
        (np.flatnonzero((fold_numbers != fold) & (fold_numbers != NEITHER)), np.flatnonzero(fold_numbers == fold))
        for fold in range(count)
    )


def fold_numbers_of(folds: Sequence[Fold], n_rows: int) -> Indices:
    """Number of the fold that tests each row (n_rows,), the inverse of :func:`folds_of`."""
    numbers = np.full(n_rows, NEITHER, dtype=np.intp)
    for training, _ in folds:
        numbers[training] = TRAINING
    for number, (_, test) in enumerate(folds):
        numbers[test] = number
    return numbers


def group_numbers(groups: Sequence[Hashable]) -> tuple[list[str], Indices]:
    """Labels as texts, sorted, and the place of each row's label among them; a missing label is the empty text."""
    texts = ["" if is_missing(label) else str(label) for label in groups]
    labels = sorted(set(texts))
    place = {label: number for number, label in enumerate(labels)}
    return labels, np.array([place[text] for text in texts], dtype=np.intp)


def is_missing(label: Hashable) -> bool:
    """Whether a label is None, NaN, pandas' NA, or empty."""
    return label is None or label == "" or type(label).__name__ in ("NAType", "NaTType") or label != label


def clusters(points: ArrayLike, n_clusters: int, seed: int) -> Indices:
    """Cluster of each point (n_rows,) by k-means with k-means++ centres, whatever the order of the points.

    Raises
    ------
    ValueError
        As :func:`leave_one_cluster_out`.
    """
    values = np.asarray(points, dtype=float)
    if values.ndim != 2 or not np.all(np.isfinite(values)):
        raise ValueError("points must be finite, rows by dimensions")
    different, inverse, counts = np.unique(values, axis=0, return_inverse=True, return_counts=True)
    _check(n_clusters, len(different), "different points")
    centres = _first_centres(different, counts, n_clusters, seed)
    nearest = np.full(len(different), -1)
    for _ in range(ROUNDS):
        before, nearest = nearest, _squares(different, centres).argmin(axis=1)
        if np.array_equal(before, nearest):
            break
        for number in range(n_clusters):
            own = nearest == number
            if own.any():
                centres[number] = np.average(different[own], axis=0, weights=counts[own])
    labels: Indices = np.unique(nearest, return_inverse=True)[1][np.ravel(inverse)]
    return labels


def _first_centres(points: NDArray[np.float64], counts: Indices, n_clusters: int, seed: int) -> NDArray[np.float64]:
    """Centres far from each other: D. Arthur and S. Vassilvitskii, Proc. SODA 2007, 1027."""
    generator = np.random.default_rng(seed)
    chosen = [int(generator.choice(len(points), p=counts / counts.sum()))]
    distances = _squares(points, points[chosen])[:, 0]
    while len(chosen) < n_clusters:
        distances[chosen] = 0.0
        weights = distances * counts
        chosen.append(int(generator.choice(len(points), p=weights / weights.sum())))
        distances = np.minimum(distances, _squares(points, points[chosen[-1:]])[:, 0])
    return points[chosen].copy()


def _squares(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances (n_points, n_centres)."""
    products = points @ centres.T
    squares: NDArray[np.float64] = (points**2).sum(axis=1)[:, None] - 2 * products + (centres**2).sum(axis=1)
    return np.maximum(squares, 0.0)


def _check(k: int, available: int, what: str) -> None:
    if k < 2:
        raise ValueError(f"{k} folds are no split")
    if k > available:
        raise ValueError(f"{available} {what} cannot be put into {k} folds")


def _hash(name: Hashable, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
