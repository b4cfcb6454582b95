"""From shares of elements to a formula: few elements, whole numbers, no net charge. There is always an answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hibana.learn.generation.charges import charge_choices, neutral_pairs

Array = NDArray[np.float64]
Formula = dict[str, int]
Kinds = frozenset[tuple[int, ...]]
"""Amounts that go together, ascending: (1, 1, 3) for ABX3."""

MOST_ATOMS = 20
"""Atoms in a formula unit, the largest common denominator of the fractions."""

MOST_ELEMENTS = 6
POOL = 3
"""Elements beyond the wanted number that may stand in where the likeliest ones make nothing neutral."""


def decode(shares: Array, n_elements: int, symbols: Sequence[str], kinds: Kinds | None = None) -> Formula:
    """The neutral formula of a number of elements that is nearest to some shares.

    The likeliest elements are tried first, with amounts of the kinds given; where they allow no neutral formula the likeliest
    set with elements that come next is taken, then fewer elements, then any amounts of at most 20 atoms, and in the end the
    likeliest pair of a cation and an anion, for which there is always one.

    Parameters
    ----------
    shares
        (n,) share of each element, none negative; those that are not finite count as zero.
    n_elements
        How many elements; brought into 2 to :data:`MOST_ELEMENTS`.
    symbols
        The n elements; among them a pair that makes a neutral compound.
    kinds
        Amounts to prefer; None where all are equal.

    Returns
    -------
    dict
        Atoms of each element, without a common divisor.

    Raises
    ------
    ValueError
        If no two of the elements make a neutral compound.
    """
    finite = np.where(np.isfinite(shares), shares, 0.0).clip(min=0.0)
    order = np.argsort(-finite, kind="stable")
    most = min(max(n_elements, 2), MOST_ELEMENTS, len(symbols))
    for allowed in (None,) if kinds is None else (kinds, None):
        for wanted in range(most, 1, -1):
            for places in _sets(finite, order, wanted):
                found = nearest_neutral(finite[list(places)], tuple(symbols[place] for place in places), allowed)
                if found is not None:
                    return found
    ranked = [symbols[place] for place in order]
    pairs = neutral_pairs(ranked)
    if not pairs:
        raise ValueError("no two of the elements make a neutral compound")
    best = min(pairs, key=lambda pair: ranked.index(pair[0]) + ranked.index(pair[1]))
    found = nearest_neutral(np.array([finite[symbols.index(symbol)] for symbol in best]), best)
    if found is None:
        raise ValueError(f"{best} cannot be neutral within {MOST_ATOMS} atoms")
    return found


def nearest_neutral(shares: Array, symbols: tuple[str, ...], kinds: Kinds | None = None) -> Formula | None:
    """Whole, neutral amounts of some elements that are nearest to their shares; None where there are none.

    Nearest is the smallest sum of absolute differences of the fractions, then the fewest atoms.
    """
    choices = charge_choices(symbols)
    if not choices:
        return None
    amounts = whole_amounts(len(symbols)) if kinds is None else _of_kinds(len(symbols), kinds)
    neutral = ((amounts @ np.array(choices, dtype=np.int64).T) == 0).any(axis=1)
    if not neutral.any():
        return None
    left = amounts[neutral]
    total = shares.sum()
    wanted = shares / total if total > 0 else np.full(len(shares), 1 / len(shares))
    sums = left.sum(axis=1)
    distances = np.abs(left / sums[:, None] - wanted).sum(axis=1).round(9)
    best = left[np.lexsort((sums, distances))[0]]
    return dict(zip(symbols, best.tolist(), strict=True))


@cache
def whole_amounts(n_elements: int) -> NDArray[np.int64]:
    """All amounts (m, n_elements), each at least 1, at most 20 atoms in all, without a common divisor."""
    bars = np.array(list(combinations(range(MOST_ATOMS), n_elements)), dtype=np.int64)
    amounts = np.diff(bars, axis=1, prepend=-1)
    return amounts[np.gcd.reduce(amounts, axis=1) == 1]


@lru_cache(maxsize=64)
def _of_kinds(n_elements: int, kinds: Kinds) -> NDArray[np.int64]:
    """Those of :func:`whole_amounts` that are of some kinds."""
    amounts = whole_amounts(n_elements)
    there = [tuple(row) in kinds for row in np.sort(amounts, axis=1).tolist()]
    return amounts[np.array(there, dtype=bool)]


def _sets(shares: Array, order: NDArray[np.intp], wanted: int) -> list[tuple[int, ...]]:
    """Sets of elements, the likeliest first: by the product of the shares."""
    pool = order[: wanted + POOL].tolist()
    weights = {place: float(np.log(shares[place] + 1e-12)) for place in pool}
    return sorted(combinations(pool, wanted), key=lambda places: -sum(weights[place] for place in places))


def text_of(formula: Formula) -> str:
    """Reduced formula as pymatgen writes it."""
    from pymatgen.core import Composition

    return str(Composition(formula).reduced_formula)
