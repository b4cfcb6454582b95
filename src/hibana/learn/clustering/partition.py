"""Groups of rows from their leaf space, without an object of rows by rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.learn.clustering.tree import cut, ward
from hibana.learn.errors import TOO_MANY_ROWS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

WARD, AVERAGE = "ward", "average"
METHODS = (WARD, AVERAGE)

EXACT_ROWS = 5_000
"""Most rows that a hierarchy starts from; of more, small groups are made first."""

SMALL_GROUPS = 1_500
"""Groups of a larger table that the hierarchy starts from."""

DIMENSIONS = 20
"""Of the reduced leaf space."""

BLOCK = 512
"""Rows whose proximities are worked out at once."""


@dataclass(frozen=True)
class Partition:
    """Groups of rows.

    Parameters
    ----------
    labels
        (n,) group of each row, from 0.
    tree
        (groups - 1, 4) merges of the groups as SciPy has them.
    kept
        Share of the variance of the leaf space that the reduced one keeps; None where it was not reduced.
    """

    labels: Labels
    tree: Array
    kept: float | None

    def renumbered(self, order: Labels) -> Partition:
        """The same with other numbers: ``order`` (groups,) holds the old number of each new one."""
        new = np.argsort(order)
        tree, groups = self.tree.copy(), len(order)
        leaves = tree[:, :2] < groups
        tree[:, :2][leaves] = new[tree[:, :2][leaves].astype(np.intp)]
        return Partition(new[self.labels], tree, self.kept)


def partition(leaves: csr_array, groups: int, *, method: str = WARD, dimensions: int = DIMENSIONS, seed: int = 0) -> Partition:
    """Divide rows into groups by the leaves they share.

    ``ward`` reduces the leaf space by singular values and builds Ward's hierarchy in it: from the rows, or for more than 5,000 of
    them from 1,500 small groups found by k-means, each with its number of rows as its weight. ``average`` builds the hierarchy of
    average linkage on 1 - proximity in the full space, which needs all pairs of rows and is refused above 5,000.

    Parameters
    ----------
    leaves
        (n, n_leaves) as :func:`hibana.learn.clustering.leaves.leaf_matrix` gives it.
    groups
        How many, at most n.
    method
        ``ward`` or ``average``.
    dimensions
        Of the reduced space.
    seed
        Of the singular value decomposition and of k-means.

    Raises
    ------
    HibanaError
        HIB-273 for average linkage of too many rows.
    """
    if method == AVERAGE:
        return _average(leaves, groups)
    points, kept = reduced(leaves, dimensions, seed)
    if len(points) <= EXACT_ROWS:
        labels, tree = cut(ward(points, np.ones(len(points))), groups)
        return Partition(labels, tree, kept)
    small, centres, weights = _small_groups(points, seed)
    labels, tree = cut(ward(centres, weights), groups)
    return Partition(labels[small], tree, kept)


def reduced(leaves: csr_array, dimensions: int, seed: int) -> tuple[Array, float]:
    """Rows in the space of the largest singular values (n, dimensions), and the share of the variance it keeps."""
    from sklearn.decomposition import TruncatedSVD

    rank = min(dimensions, min(leaves.shape) - 1)
    found = TruncatedSVD(rank, random_state=seed)
    points = found.fit_transform(leaves)
    return np.asarray(points, dtype=float), float(found.explained_variance_ratio_.sum())


def _small_groups(points: Array, seed: int) -> tuple[Labels, Array, Array]:
    """Small group of each row (n,), their centres (m, d) and numbers of rows (m,)."""
    from sklearn.cluster import MiniBatchKMeans

    found = MiniBatchKMeans(SMALL_GROUPS, batch_size=4 * SMALL_GROUPS, n_init=1, random_state=seed).fit_predict(points)
    _, small, counts = np.unique(found, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(small, column) for column in points.T], axis=1)
    return small.astype(np.intp), sums / counts[:, None], counts.astype(float)


def _average(leaves: csr_array, groups: int) -> Partition:
    from scipy.cluster.hierarchy import linkage

    n_rows = leaves.shape[0]
    if n_rows > EXACT_ROWS:
        raise TOO_MANY_ROWS.error(f"{n_rows} rows; average linkage takes up to {EXACT_ROWS}")
    distances = np.empty(n_rows * (n_rows - 1) // 2)
    filled = 0
    for start in range(0, n_rows, BLOCK):
        block = 1 - (leaves[start : start + BLOCK] @ leaves.T).toarray()
        for number, row in enumerate(block, start):
            distances[filled : filled + n_rows - number - 1] = np.maximum(row[number + 1 :], 0)
            filled += n_rows - number - 1
    labels, tree = cut(linkage(distances, "average"), groups)
    return Partition(labels, tree, None)
