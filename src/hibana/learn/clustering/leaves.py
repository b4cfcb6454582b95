"""The leaf space of a random forest: one column a leaf, one entry a tree in each row, sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.learn.errors import NO_LEARN_EXTRA

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from sklearn.ensemble import RandomForestRegressor

LEAF_SHARE = 0.02
"""Smallest leaf as a share of the rows a tree is grown on.

A share and not a number, so that proximities do not depend on the size of the table: in leaves of a fixed small number of rows,
two rows of a large table meet in ever fewer trees, and the leaf space grows with the table.
"""
LEAST_LEAF = 3
MOST_ROWS_OF_A_TREE = 20_000
"""Rows drawn for each tree; of larger tables each tree sees a part."""

MAX_FEATURES = 1 / 3
"""Share of the features tried at each split (L. Breiman, Machine Learning 45, 5 (2001), for regression)."""


@dataclass(frozen=True)
class Forest:
    """How a forest is grown.

    Parameters
    ----------
    trees
        Number of trees.
    leaf_share
        Smallest leaf as a share of the rows a tree is grown on.
    max_features
        Share of the features tried at each split.
    jobs
        Threads.
    """

    trees: int = 300
    leaf_share: float = LEAF_SHARE
    max_features: float = MAX_FEATURES
    jobs: int = 1

    def leaf(self, n_rows: int) -> int:
        """Fewest rows of a leaf for a table of so many rows."""
        return max(LEAST_LEAF, round(self.leaf_share * min(n_rows, MOST_ROWS_OF_A_TREE)))


@dataclass(frozen=True)
class LeafSpace:
    """Rows of a table as the leaves they fall into.

    Parameters
    ----------
    model
        The fitted forest.
    matrix
        (n_rows, n_leaves) with 1 / sqrt(n_trees) where a row is in a leaf, so that the scalar product of two rows is the share of
        the trees in which they meet (their proximity p) and their squared distance 2 (1 - p).
    leaf
        Fewest rows of a leaf.
    oob_r2
        R² of the forest on rows that the trees were not grown on.
    """

    model: RandomForestRegressor
    matrix: csr_array
    leaf: int
    oob_r2: float


def grow(features: NDArray[np.float32], target: NDArray[np.float64], forest: Forest, seed: int) -> LeafSpace:
    """Fit a forest to a target and find the leaf space of its rows.

    Parameters
    ----------
    features
        (n, n_features); NaN where a feature is missing, which the trees learn a side for.
    target
        (n,)
    forest
        How it is grown.
    seed
        Of the draws.

    Raises
    ------
    HibanaError
        HIB-264 if scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"scikit-learn ({error})") from error
    leaf = forest.leaf(len(target))
    model = RandomForestRegressor(
        n_estimators=forest.trees,
        min_samples_leaf=leaf,
        max_features=forest.max_features,
        max_samples=MOST_ROWS_OF_A_TREE if len(target) > MOST_ROWS_OF_A_TREE else None,
        oob_score=True,
        random_state=seed,
        n_jobs=forest.jobs,
    )
    model.fit(features, target)
    return LeafSpace(model, leaf_matrix(model, features), leaf, float(model.oob_score_))


def leaf_matrix(model: RandomForestRegressor, features: NDArray[np.float32]) -> csr_array:
    """Leaf space of rows (n, n_leaves) under a fitted forest; the memory it takes is 8 bytes a row and tree."""
    from scipy.sparse import csr_array

    n_rows, n_trees = len(features), len(model.estimators_)
    columns = np.empty((n_rows, n_trees), dtype=np.int32)
    offset = 0
    for number, tree in enumerate(model.estimators_):
        is_leaf = tree.tree_.children_left < 0
        place = np.cumsum(is_leaf, dtype=np.int32) - 1 + offset
        columns[:, number] = place[tree.tree_.apply(features)]
        offset += int(is_leaf.sum())
    entries = np.full(columns.size, 1 / np.sqrt(n_trees), dtype=np.float32)
    starts = np.arange(n_rows + 1, dtype=np.int32 if columns.size < 2**31 else np.int64) * n_trees
    return csr_array((entries, columns.ravel(), starts), shape=(n_rows, offset))
