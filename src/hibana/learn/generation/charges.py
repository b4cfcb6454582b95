"""Whether a formula can be neutral with one common oxidation state for each element, anions being the more electronegative."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product

Charges = tuple[int, ...]

TIE = 1e-6
"""Electronegativities that differ by less are equal."""


@cache
def common_charges(symbol: str) -> Charges:
    """Common oxidation states of an element as pymatgen tabulates them; none where it has none or no electronegativity."""
    from pymatgen.core import Element

    element = Element(symbol)
    if element.is_noble_gas or math.isnan(electronegativity(symbol)):
        return ()
    return tuple(int(charge) for charge in element.common_oxidation_states if charge)


@cache
def electronegativity(symbol: str) -> float:
    """Electronegativity by Pauling; NaN where there is none."""
    import warnings

    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(Element(symbol).X)


@cache
def charge_choices(symbols: tuple[str, ...]) -> tuple[Charges, ...]:
    """All choices of one common charge for each element with cations and anions in their order of electronegativity.

    Every cation is less electronegative than every anion (the condition of Davies et al., Chem 1, 617 (2016)).
    """
    found = []
    values = [electronegativity(symbol) for symbol in symbols]
    for charges in product(*(common_charges(symbol) for symbol in symbols)):
        cations = [value for value, charge in zip(values, charges, strict=True) if charge > 0]
        anions = [value for value, charge in zip(values, charges, strict=True) if charge < 0]
        if cations and anions and max(cations) < min(anions) - TIE:
            found.append(charges)
    return tuple(found)


def neutral_charges(amounts: Mapping[str, int]) -> dict[str, int] | None:
    """Charges that make a formula neutral; None where no choice does.

    Parameters
    ----------
    amounts
        Whole number of atoms of each element.
    """
    symbols = tuple(sorted(amounts))
    for charges in charge_choices(symbols):
        if sum(amounts[symbol] * charge for symbol, charge in zip(symbols, charges, strict=True)) == 0:
            return dict(zip(symbols, charges, strict=True))
    return None


def can_be_cation(symbol: str) -> bool:
    """Whether some common charge is positive."""
    return any(charge > 0 for charge in common_charges(symbol))


def neutral_pairs(symbols: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (cation, anion) among some elements that make a neutral compound, in the order given."""
    return [(one, other) for one in symbols for other in symbols if _is_pair(one, other)]


def _is_pair(cation: str, anion: str) -> bool:
    ordered = electronegativity(cation) < electronegativity(anion) - TIE
    return ordered and can_be_cation(cation) and any(charge < 0 for charge in common_charges(anion))
