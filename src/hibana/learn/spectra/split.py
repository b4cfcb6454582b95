"""Rows to learn from, to stop by, and to judge by; rows of one group are never on two sides."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hibana.learn.errors import TOO_FEW_ROWS
from hibana.tables.splits import grouped_folds

Indices = NDArray[np.intp]

TEST_FOLDS = 5
"""One of so many folds is held out."""

VALIDATION_FOLDS = 8
"""One of so many folds of the others stops the training."""

FEWEST_ROWS = 10
TRAINING, VALIDATION, TEST = "training", "validation", "test"


@dataclass(frozen=True)
class Split:
    """Places of the rows in the list they were split from."""

    training: Indices
    validation: Indices
    test: Indices

    def labels(self) -> list[str]:
        """``training``, ``validation`` or ``test`` for each row."""
        said = np.empty(len(self.training) + len(self.validation) + len(self.test), dtype=object)
        for name in (TRAINING, VALIDATION, TEST):
            said[getattr(self, name)] = name
        return [str(name) for name in said]


def split_rows(groups: Sequence[Hashable], seed: int) -> Split:
    """Split rows by group.

    Parameters
    ----------
    groups
        Label of each row.
    seed
        Another seed gives another split.

    Raises
    ------
    HibanaError
        HIB-262 if there are fewer than ten rows, or fewer groups than folds.
    """
    if len(groups) < FEWEST_ROWS:
        raise TOO_FEW_ROWS.error(f"{len(groups)} rows with a spectrum and a structure; at least {FEWEST_ROWS} are needed")
    try:
        rest, test = grouped_folds(groups, TEST_FOLDS, seed)[0]
        others = [groups[row] for row in rest]
        training, validation = grouped_folds(others, min(VALIDATION_FOLDS, len(set(others))), seed + 1)[0]
    except ValueError as error:
        raise TOO_FEW_ROWS.error(str(error)) from error
    return Split(rest[training], rest[validation], test)
