"""Features of compositions: Magpie's statistics over the elements, stoichiometry, valence orbitals, shares of element classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.features.elements import CLASSES, MAGPIE, N_ELEMENTS, PROPERTIES, class_table, property_table
from hibana.learn.features.feature import Feature

if TYPE_CHECKING:
    from pymatgen.core import Composition

Array = NDArray[np.float64]

VERSION = 1
"""Of the definitions here; raised when a number would change."""

STATISTICS = {
    "minimum": "smallest",
    "maximum": "largest",
    "range": "largest less smallest",
    "mean": "mean, weighted by the amounts,",
    "avg_dev": "mean absolute deviation from the mean, weighted by the amounts,",
    "mode": "that of the most abundant element (smallest where several are),",
}
NORMS = (0, 2, 3, 5, 7, 10)
ORBITALS = ("s", "p", "d", "f")
BLOCK = 8192
"""Compositions worked on together, so that memory does not grow with the table."""


@dataclass(frozen=True)
class Amounts:
    """Compositions as arrays.

    Parameters
    ----------
    numbers
        (n, width) atomic numbers, ascending, 0 behind the last.
    fractions
        (n, width) atomic fractions, 0 behind the last; a row that could not be read has none.
    """

    numbers: NDArray[np.intp]
    fractions: Array


def composition_features(formulas: Iterable[str | Composition]) -> pd.DataFrame:
    """Features of compositions, one row each in the order given, index 0, 1, ...

    Magpie's statistics have the names that matminer gives them and its numbers with ``impute_nan=False``: a property that is
    not known of an element leaves NaN. A formula that cannot be read has a row of NaN.

    Parameters
    ----------
    formulas
        Formulas as pymatgen reads them, or compositions. Amounts need not be whole numbers; isotopes count as their element.

    Returns
    -------
    DataFrame
        (n, n_features), columns as in :func:`composition_dictionary`.

    Raises
    ------
    HibanaError
        HIB-264 if matminer is not installed.
    """
    amounts = read_amounts(list(formulas))
    n_rows = len(amounts.numbers)
    blocks = [
        _features(Amounts(amounts.numbers[start : start + BLOCK], amounts.fractions[start : start + BLOCK]))
        for start in range(0, n_rows, BLOCK)
    ]
    names = [feature.name for feature in composition_dictionary()]
    return pd.DataFrame(np.vstack(blocks) if blocks else np.empty((0, len(names))), columns=names)


def element_fractions(formulas: Iterable[str | Composition]) -> pd.DataFrame:
    """Atomic fraction of each element, one row a formula; columns are the symbols H to Lr. NaN where it cannot be read."""
    amounts = read_amounts(list(formulas))
    values = np.zeros((len(amounts.numbers), N_ELEMENTS + 1))
    np.put_along_axis(values, amounts.numbers, amounts.fractions, axis=1)
    values[amounts.fractions.sum(axis=1) == 0] = np.nan
    return pd.DataFrame(values[:, 1:], columns=[feature.name for feature in element_dictionary()])


@cache
def element_dictionary() -> tuple[Feature, ...]:
    """Entries of the atomic fractions, in the order of their columns."""
    from pymatgen.core import Element

    symbols = (str(Element.from_Z(number).symbol) for number in range(1, N_ELEMENTS + 1))
    return tuple(Feature(symbol, "1", f"atomic fraction of {symbol}", "hibana") for symbol in symbols)


@cache
def composition_dictionary() -> tuple[Feature, ...]:
    """Entries of the features of compositions, in the order of their columns."""
    magpie = (
        Feature(f"MagpieData {statistic} {name}", unit, f"{words} {meaning} over the elements", MAGPIE)
        for name, (unit, meaning) in PROPERTIES.items()
        for statistic, words in STATISTICS.items()
    )
    norms = (
        Feature(f"{norm}-norm", "1", "number of elements" if norm == 0 else f"{norm}-norm of the atomic fractions", MAGPIE)
        for norm in NORMS
    )
    averages = (
        Feature(f"avg {orbital} valence electrons", "1", f"mean number of {orbital} electrons", MAGPIE) for orbital in ORBITALS
    )
    shares = (
        Feature(f"frac {orbital} valence electrons", "1", f"share of {orbital} in all valence electrons", MAGPIE)
        for orbital in ORBITALS
    )
    classes = (Feature(f"fraction {name}", "1", f"atomic fraction of the class {name}", "hibana") for name in CLASSES)
    return (*magpie, *norms, *averages, *shares, *classes)


def read_amounts(formulas: Sequence[str | Composition]) -> Amounts:
    """Compositions as arrays; what is no formula, or has an element beyond lawrencium, has no amounts."""
    read: dict[str, tuple[tuple[int, float], ...]] = {}
    rows = []
    for formula in formulas:
        key = str(formula) if isinstance(formula, str) else repr(formula)
        if key not in read:
            read[key] = _fractions(formula)
        rows.append(read[key])
    width = max((len(row) for row in rows), default=1) or 1
    numbers = np.zeros((len(rows), width), dtype=np.intp)
    fractions = np.zeros((len(rows), width))
    for index, row in enumerate(rows):
        for position, (number, fraction) in enumerate(row):
            numbers[index, position], fractions[index, position] = number, fraction
    return Amounts(numbers, fractions)


def _fractions(formula: str | Composition) -> tuple[tuple[int, float], ...]:
    """Atomic number and fraction of each element, by atomic number; empty where it is no formula."""
    from pymatgen.core import Composition

    try:
        composition = Composition(formula)
        found: dict[int, float] = {}
        for element, amount in composition.element_composition.items():
            found[element.Z] = found.get(element.Z, 0.0) + float(amount)
    except (ValueError, TypeError, AttributeError):
        return ()
    total = sum(found.values())
    if total <= 0 or any(not 0 < number <= N_ELEMENTS for number in found):
        return ()
    return tuple((number, found[number] / total) for number in sorted(found))


def _features(amounts: Amounts) -> Array:
    """All features of some compositions (n, n_features)."""
    numbers, fractions = amounts.numbers, amounts.fractions
    there = numbers > 0
    statistics = _statistics(property_table()[numbers], fractions, there)
    norms = [there.sum(axis=1) if norm == 0 else (fractions**norm).sum(axis=1) ** (1 / norm) for norm in NORMS]
    valence = np.stack([_mean(f"N{orbital}Valence", numbers, fractions) for orbital in ORBITALS], axis=1)
    total = valence.sum(axis=1, keepdims=True)
    shares = np.divide(valence, total, out=np.full_like(valence, np.nan), where=total > 0)
    classes = np.einsum("nk,nkc->nc", fractions, class_table()[numbers])
    features = np.hstack([statistics, np.stack(norms, axis=1), valence, shares, classes])
    features[~there.any(axis=1)] = np.nan
    return features


def _statistics(values: Array, fractions: Array, there: NDArray[np.bool_]) -> Array:
    """Magpie's statistics (n, n_properties * n_statistics) of the values (n, width, n_properties) of the elements."""
    inside = there[..., None]
    weights = fractions[..., None]
    lowest = np.where(inside, values, np.inf).min(axis=1)
    highest = np.where(inside, values, -np.inf).max(axis=1)
    known = np.where(inside, values, 0.0)
    mean = (weights * known).sum(axis=1)
    deviation = (weights * np.abs(known - mean[:, None])).sum(axis=1)
    most = np.isclose(fractions, fractions.max(axis=1, keepdims=True)) & there
    mode = np.where(most[..., None], values, np.inf).min(axis=1)
    unknown = (np.isnan(values) & inside).any(axis=1)
    with np.errstate(invalid="ignore"):
        statistics = np.stack([lowest, highest, highest - lowest, mean, deviation, mode], axis=2)
    statistics[..., :5][unknown] = np.nan
    return statistics.reshape(len(values), -1)


def _mean(name: str, numbers: NDArray[np.intp], fractions: Array) -> Array:
    """Mean of an elemental property, weighted by the fractions."""
    values = property_table()[numbers, list(PROPERTIES).index(name)]
    mean: Array = (fractions * np.where(numbers > 0, values, 0.0)).sum(axis=1)
    return mean
