"""Grids that spectra are given on: the same for every row of a table, so that spectra can be stacked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DECIMALS = 10
"""Grid points are rounded to so many decimals, to be written as people write them (0.07, not 0.07000000000000001)."""


@dataclass(frozen=True)
class Grid:
    """Evenly spaced points.

    Parameters
    ----------
    name
        What runs along it, for instance ``energy``.
    unit
        Its unit.
    start, step, count
        First point, distance, and number of points.
    """

    name: str
    unit: str
    start: float
    step: float
    count: int

    @property
    def points(self) -> NDArray[np.float64]:
        """The points, (count,)."""
        return np.round(self.start + self.step * np.arange(self.count), DECIMALS)

    @property
    def stop(self) -> float:
        """The last point."""
        return float(self.points[-1])

    def has(self, points: NDArray[np.floating]) -> bool:
        """Whether points are those of the grid, in single precision."""
        return points.shape == (self.count,) and bool(np.allclose(points, self.points, rtol=1e-6, atol=1e-6 * self.step))

    def as_dict(self) -> dict[str, Any]:
        """The grid as plain data."""
        return {**asdict(self), "stop": self.stop}

    def __str__(self) -> str:
        return f"{self.start:g} to {self.stop:g} {self.unit} in steps of {self.step:g} {self.unit}, {self.count} points"
