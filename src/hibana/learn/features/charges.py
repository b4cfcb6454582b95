"""Formal charges of the elements of a compound, from its formula alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product

Charges = dict[str, float]
States = tuple[int, ...]


def formal_charges(amounts: Mapping[str, int]) -> Charges | None:
    """Charge of each element that makes a compound neutral; None where none does.

    Each element takes one common oxidation state; where that cannot be neutral, one of those that the Inorganic Crystal
    Structure Database knows it in (both as pymatgen lists them); where that cannot be either, one element is of mixed valence
    and takes the mean that is left, between two states of one sign. Of several choices the most ionic one counts, in which the
    sum over the atoms of charge times Pauling electronegativity is lowest.

    Parameters
    ----------
    amounts
        Number of atoms of each element by its symbol.
    """
    symbols = sorted(amounts)
    if len(symbols) < 2 or any(math.isnan(_electronegativity(symbol)) for symbol in symbols):
        return None
    signs = {state > 0 for symbol in symbols for state in (*_common(symbol), *_known(symbol))}
    if len(signs) < 2:
        return None
    for found in (_pure(symbols, amounts, _common), _pure(symbols, amounts, _known), _mixed(symbols, amounts)):
        best = min(found, key=lambda charges: _ionicity(charges, amounts), default=None)
        if best is not None:
            return best
    return None


def _pure(symbols: list[str], amounts: Mapping[str, int], states: Callable[[str], States]) -> Iterator[Charges]:
    """Neutral choices of one state for each element."""
    for charges in product(*(states(symbol) for symbol in symbols)):
        if sum(amounts[symbol] * charge for symbol, charge in zip(symbols, charges, strict=True)) == 0:
            yield dict(zip(symbols, map(float, charges), strict=True))


def _mixed(symbols: list[str], amounts: Mapping[str, int]) -> Iterator[Charges]:
    """Neutral choices in which one element has a mean between two of its states of one sign."""
    for mixed in symbols:
        others = [symbol for symbol in symbols if symbol != mixed]
        for charges in product(*(_known(symbol) for symbol in others)):
            left = -sum(amounts[symbol] * charge for symbol, charge in zip(others, charges, strict=True)) / amounts[mixed]
            same = [state for state in _known(mixed) if state * left > 0]
            if same and min(same) < left < max(same):
                yield {**dict(zip(others, map(float, charges), strict=True)), mixed: left}


def _ionicity(charges: Charges, amounts: Mapping[str, int]) -> float:
    return sum(amounts[symbol] * charge * _electronegativity(symbol) for symbol, charge in charges.items())


@cache
def _common(symbol: str) -> States:
    from pymatgen.core import Element

    return tuple(int(state) for state in Element(symbol).common_oxidation_states if state)


@cache
def _known(symbol: str) -> States:
    from pymatgen.core import Element

    return tuple(int(state) for state in Element(symbol).icsd_oxidation_states if state) or _common(symbol)


@cache
def _electronegativity(symbol: str) -> float:
    """Electronegativity by Pauling; NaN where there is none."""
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(Element(symbol).X)
