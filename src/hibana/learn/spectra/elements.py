"""What a network is told of the elements before it learns: their place in the periodic table and a few properties."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Element

N_NUMBERS = 104
"""Atomic numbers 0 (not used) to 103."""

BLOCKS = ("s", "p", "d", "f")
PERIODS, GROUPS = 7, 18


@cache
def element_table() -> NDArray[np.float32]:
    """Properties by atomic number (104, n_properties).

    Electronegativity, atomic radius, logarithm of the mass, Mendeleev number, each with mean 0 and standard deviation 1 (the mean
    where it is not known), then one column each for period, group and block.
    """
    from pymatgen.core import Element

    elements = [Element.from_Z(number) for number in range(1, N_NUMBERS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numbers = np.array([_numbers(element) for element in elements])
    known = np.where(np.isnan(numbers), np.nanmean(numbers, axis=0), numbers)
    table = np.zeros((N_NUMBERS, numbers.shape[1] + PERIODS + GROUPS + len(BLOCKS)), dtype=np.float32)
    table[1:, : numbers.shape[1]] = (known - known.mean(axis=0)) / known.std(axis=0)
    start = numbers.shape[1]
    for row, element in enumerate(elements, start=1):
        table[row, start + element.row - 1] = 1
        table[row, start + PERIODS + element.group - 1] = 1
        table[row, start + PERIODS + GROUPS + BLOCKS.index(element.block)] = 1
    return table


def _numbers(element: Element) -> tuple[float, ...]:
    values = (element.X, element.atomic_radius, element.atomic_mass, element.mendeleev_no)
    negativity, radius, mass, place = (float("nan") if value is None else float(value) for value in values)
    return negativity, radius, float(np.log(mass)), place
