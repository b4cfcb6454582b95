"""What is looked for: a column of a table and the range its value should be in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.errors import BAD_GOAL

Array = NDArray[np.float64]

INFINITY = float("inf")
OPEN = (-INFINITY, INFINITY)


@dataclass(frozen=True)
class Goal:
    """A range of a column.

    Parameters
    ----------
    column
        Column of the table.
    low, high
        Ends of the range in the column's unit, not part of it; infinite where it is open.
    log
        Whether models see the decimal logarithm of the column.

    Raises
    ------
    HibanaError
        HIB-285 if no value can be in the range, or every value is.
    """

    column: str
    low: float = -INFINITY
    high: float = INFINITY
    log: bool = False

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high) or not self.low < self.high:
            raise BAD_GOAL.error(f"{self.column}: nothing is above {self.low:g} and below {self.high:g}")
        if not (math.isfinite(self.low) or math.isfinite(self.high)):
            raise BAD_GOAL.error(f"{self.column}: the range is open at both ends")
        if self.log and self.high <= 0:
            raise BAD_GOAL.error(f"{self.column}: a logarithm has no value below {self.high:g}")

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is, 0 for a range with two ends."""
        if math.isinf(self.high):
            return 1
        return -1 if math.isinf(self.low) else 0

    @property
    def words(self) -> str:
        """The range as an expression."""
        if self.sign > 0:
            return f"{self.column} > {self.low:g}"
        return f"{self.column} < {self.high:g}" if self.sign < 0 else f"{self.low:g} < {self.column} < {self.high:g}"

    @property
    def scale(self) -> str:
        """The column as the models see it, in words."""
        return f"log10 {self.column}" if self.log else self.column

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of the range on the scale of the models."""
        low, high = (float(end) for end in self.scaled(np.array([max(self.low, 0.0) if self.log else self.low, self.high])))
        return (-INFINITY if math.isnan(low) else low), high

    def scaled(self, values: Array) -> Array:
        """Values on the scale of the models; NaN where there is no logarithm."""
        if not self.log:
            return np.asarray(values, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(values > 0, np.log10(values), np.nan)

    def back(self, values: Array) -> Array:
        """Values in the column's unit from the scale of the models."""
        return np.power(10.0, values) if self.log else np.asarray(values, dtype=float)

    def met(self, values: Array) -> NDArray[np.bool_]:
        """Which values are in the range; a missing one is not."""
        return (values > self.low) & (values < self.high)

    def as_dict(self) -> dict[str, Any]:
        """The goal as JSON can hold it: an open end is null."""
        said = asdict(self)
        return {name: None if isinstance(value, float) and math.isinf(value) else value for name, value in said.items()}


def read_goal(text: str, log: Sequence[str] = ()) -> Goal:
    """Read ``COLUMN:LOW:HIGH``; an end that is left out is open: ``band_gap_pbesol:4:``.

    Parameters
    ----------
    text
        The goal.
    log
        Columns whose logarithm models see.

    Raises
    ------
    HibanaError
        HIB-285 if it cannot be read.
    """
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[0]:
        raise BAD_GOAL.error(f"{text!r} is not COLUMN:LOW:HIGH")
    try:
        low, high = (float(part) if part.strip() else open_end for part, open_end in zip(parts[1:], OPEN, strict=True))
    except ValueError as error:
        raise BAD_GOAL.error(f"{text!r}: {error}") from error
    return Goal(parts[0], low, high, parts[0] in log)


def all_met(goals: Sequence[Goal], values: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows meet every goal.

    Parameters
    ----------
    goals
        What is looked for.
    values
        (n, ...) with a column for each goal.
    """
    return np.logical_and.reduce([goal.met(values[goal.column].to_numpy(dtype=float)) for goal in goals])
