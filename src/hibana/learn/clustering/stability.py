"""How far groups depend on the seed: agreement of whole partitions, and whether a group comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Stability:
    """Agreement of the partitions of several seeds.

    Parameters
    ----------
    seeds
        Of the partitions.
    rand
        Adjusted Rand index of each pair of them: 1 for the same groups, 0 for what chance gives
        (L. Hubert, P. Arabie, J. Classif. 2, 193 (1985)).
    jaccard
        (groups,) for each group of the first partition: the largest Jaccard index with a group of another, averaged over the
        others (C. Hennig, Comput. Stat. Data Anal. 52, 258 (2007)). Below about 0.5 the group has dissolved.
    """

    seeds: tuple[int, ...]
    rand: tuple[float, ...]
    jaccard: Array

    def as_dict(self) -> dict[str, Any]:
        """Summary as it is written."""
        return {
            "seeds": list(self.seeds),
            "adjusted_rand": {
                "mean": float(np.mean(self.rand)),
                "min": min(self.rand),
                "max": max(self.rand),
                "pairs": list(self.rand),
            },
        }


def stability(partitions: Sequence[Labels], seeds: Sequence[int]) -> Stability:
    """Compare partitions of the same rows.

    Parameters
    ----------
    partitions
        Group of each row (n,), of two or more seeds; groups are numbered from 0.
    seeds
        Their seeds.
    """
    from sklearn.metrics import adjusted_rand_score

    rand = tuple(float(adjusted_rand_score(first, second)) for first, second in combinations(partitions, 2))
    best = [best_jaccard(partitions[0], other) for other in partitions[1:]]
    return Stability(tuple(seeds), rand, np.mean(best, axis=0))


def best_jaccard(groups: Labels, others: Labels) -> Array:
    """Largest Jaccard index of each group (n_groups,) with one of another partition."""
    shared = np.zeros((groups.max() + 1, others.max() + 1))
    np.add.at(shared, (groups, others), 1.0)
    united = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0, keepdims=True) - shared
    best: Array = (shared / united).max(axis=1)
    return best
