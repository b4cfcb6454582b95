"""What of the training rows a split lets its test rows know: groups on both sides, and near duplicates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hibana.tables.splits import Fold, group_numbers, is_missing

Array = NDArray[np.float64]

FRACTION_TOLERANCE = 0.02
"""Compositions are near if no atomic fraction differs by more."""

VOLUME_TOLERANCE = 0.02
"""Crystals are near if their volumes per atom differ by no more, relatively."""


@dataclass(frozen=True)
class Leakage:
    """What a split lets through.

    Parameters
    ----------
    shared
        Groups that are in the training and in the test rows of a fold, the sum over the folds.
    rows
        Test rows of which training rows know the like: of such a group, or near duplicates.
    tested
        Test rows in all.
    unknown
        Test rows without a label, about which nothing can be said.
    """

    shared: int
    rows: int
    tested: int
    unknown: int = 0

    def as_dict(self) -> dict[str, int | float]:
        """The numbers as they are written, with the share of the test rows."""
        share = self.rows / self.tested if self.tested else 0.0
        return {"shared": self.shared, "test_rows": self.rows, "share_of_test_rows": round(share, 6), "unknown": self.unknown}


def leakage(folds: Sequence[Fold], groups: Sequence[Hashable]) -> Leakage:
    """Groups on both sides of a split.

    Parameters
    ----------
    folds
        Training and test rows of each fold.
    groups
        Label of each row; a missing one (None, NaN, empty) is of no group.
    """
    labels, members = group_numbers(groups)
    known = np.array([not is_missing(label) for label in labels], dtype=bool)
    shared = rows = tested = unknown = 0
    for training, test in folds:
        trained = np.bincount(members[training], minlength=len(labels)) > 0
        both = trained & (np.bincount(members[test], minlength=len(labels)) > 0) & known
        shared += int(both.sum())
        rows += int(both[members[test]].sum())
        tested += len(test)
        unknown += int((~known[members[test]]).sum())
    return Leakage(shared, rows, tested, unknown)


def near_duplicates(folds: Sequence[Fold], points: Array) -> Leakage:
    """Test rows that have a training row nearly of their composition and, where it is known, volume per atom.

    Parameters
    ----------
    folds
        Training and test rows of each fold.
    points
        As :func:`composition_points` gives them.
    """
    from scipy.spatial import KDTree

    rows = tested = unknown = 0
    known = np.isfinite(points).all(axis=1)
    for training, test in folds:
        there, asked = training[known[training]], test[known[test]]
        tested += len(test)
        unknown += len(test) - len(asked)
        if len(there) and len(asked):
            distances, _ = KDTree(points[there]).query(points[asked], p=np.inf, distance_upper_bound=1.0 + 1e-9)
            rows += int(np.isfinite(distances).sum())
    return Leakage(0, rows, tested, unknown)


def composition_points(compositions: Sequence[Mapping[str, float]], volumes: ArrayLike | None = None) -> Array:
    """Points that are at most 1 apart, in the largest difference of a coordinate, where rows are near duplicates.

    Two rows are near if they have the same elements, if no atomic fraction differs by more than 0.02, and if the volumes per
    atom differ by at most 2 %. A row without a volume is near only to others without.

    Parameters
    ----------
    compositions
        Atomic fraction by element of each row; empty where it is not known.
    volumes
        (n_rows,) volume per atom, Å^3; NaN where it is not known.

    Returns
    -------
    NDArray
        (n_rows, n_coordinates); NaN for a row without composition.
    """
    systems, numbers = group_numbers(["-".join(sorted(composition)) for composition in compositions])
    width = max((len(composition) for composition in compositions), default=0)
    points = np.zeros((len(compositions), width + 2))
    points[:, 0] = 10.0 * numbers
    for row, composition in enumerate(compositions):
        fractions = [composition[symbol] for symbol in sorted(composition)]
        points[row, 1 : 1 + len(fractions)] = np.array(fractions) / FRACTION_TOLERANCE
    if volumes is not None:
        sizes = np.asarray(volumes, dtype=float)
        points[:, -1] = np.where(sizes > 0, 10.0 + np.log(np.where(sizes > 0, sizes, 1.0)) / np.log1p(VOLUME_TOLERANCE), -1000.0)
    points[[systems[number] == "" for number in numbers]] = np.nan
    return points
