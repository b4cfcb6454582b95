"""How good a generator is: does the value follow the wish, are its formulas like those it learned from, are they new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.learn.features.composition import element_fractions
from hibana.learn.generation.charges import neutral_charges
from hibana.learn.generation.compounds import Compounds, whole_formula
from hibana.learn.generation.generator import Generator
from hibana.learn.generation.judge import Judge
from hibana.learn.regression.scores import scores

Array = NDArray[np.float64]

STEPS = 9
"""Wanted values in the report, evenly spaced in the quantiles below."""

ENDS = (0.05, 0.95)
BLOCK = 64
"""Rows of distances worked on together."""

SAMPLE = 500
"""Known compounds whose own distance to their nearest neighbour is measured."""


@dataclass(frozen=True)
class Tracking:
    """Wanted values and the judge's estimates of what was drawn for them.

    Parameters
    ----------
    wanted
        (n_steps,).
    estimates
        (n_steps, n_draws); every draw counts, none is chosen.
    """

    wanted: Array
    estimates: Array

    def as_dict(self) -> dict[str, Any]:
        """Means by step and how well single draws follow: R² against the wish, rank correlation, whether means only rise."""
        from scipy.stats import spearmanr

        each = np.repeat(self.wanted, self.estimates.shape[1])
        means = self.estimates.mean(axis=1)
        return {
            "wanted": self.wanted,
            "mean_estimate": means,
            "sd_estimate": self.estimates.std(axis=1),
            "rank_correlation": float(spearmanr(each, self.estimates.ravel()).statistic),
            "rank_correlation_of_means": float(spearmanr(self.wanted, means).statistic),
            "of_draws": scores(each, self.estimates.ravel()).as_dict(),
            "of_means": scores(self.wanted, means).as_dict(),
            "is_monotone": bool((np.diff(means) > 0).all()),
        }


def track(generator: Generator, judge: Judge, compounds: Compounds, *, draws: int, seed: int) -> Tracking:
    """Draw for values over the range of the known compounds, and let the judge estimate them.

    Parameters
    ----------
    generator, judge
        Fitted.
    compounds
        What they learned from; the wanted values lie between the 5 % and 95 % quantiles of its values.
    draws
        For each wanted value.
    seed
        Of the draws.
    """
    wanted = np.linspace(*np.quantile(compounds.values, ENDS), STEPS)
    formulas = generator.draw(np.repeat(wanted, draws), seed)
    return Tracking(wanted, judge.predict(formulas).reshape(STEPS, draws))


def likeness(formulas: Sequence[str], compounds: Compounds, seed: int) -> dict[str, Any]:
    """What drawn formulas have in common with the known compounds.

    Parameters
    ----------
    formulas
        Drawn for values distributed like those of the compounds.
    compounds
        What the generator learned from.
    seed
        Of the known compounds that are compared with each other.

    Returns
    -------
    dict
        Distribution of the number of elements here and there, share of neutral formulas, share of formulas that are not among
        the compounds, share of different ones, and the distance to the nearest known compound (half the sum of absolute
        differences of the fractions, 0 to 1) beside that of known compounds to their nearest neighbours.
    """
    whole = [amounts for amounts in map(whole_formula, formulas) if amounts]
    numbers = np.array([len(amounts) for amounts in whole])
    fractions = fractions_of(formulas, compounds.symbols)
    rows = np.random.default_rng(seed).permutation(len(compounds.formulas))[:SAMPLE]
    known = set(compounds.formulas)
    return {
        "n": len(formulas),
        "n_elements": {"drawn": _histogram(numbers), "known": _histogram(compounds.numbers)},
        "mean_n_elements": {"drawn": float(numbers.mean()), "known": float(compounds.numbers.mean())},
        "neutral": sum(neutral_charges(amounts) is not None for amounts in whole) / len(formulas),
        "new": sum(formula not in known for formula in formulas) / len(formulas),
        "different": len(set(formulas)) / len(formulas),
        "distance": {
            "drawn": _quartiles(distances(fractions, compounds.fractions)),
            "known": _quartiles(distances(compounds.fractions[rows], compounds.fractions, rows)),
        },
    }


def distances(fractions: Array, known: Array, own: NDArray[np.intp] | None = None) -> Array:
    """Half the sum of absolute differences of the fractions to the nearest known compound.

    Parameters
    ----------
    fractions
        (n, n_symbols).
    known
        (m, n_symbols).
    own
        (n,) row of each among the known ones, which does not count; None where they are not among them.
    """
    from scipy.spatial.distance import cdist

    found = np.empty(len(fractions))
    for start in range(0, len(fractions), BLOCK):
        part = cdist(fractions[start : start + BLOCK], known, "cityblock") / 2
        if own is not None:
            part[np.arange(len(part)), own[start : start + BLOCK]] = np.inf
        found[start : start + BLOCK] = part.min(axis=1)
    return found


def fractions_of(formulas: Sequence[str], symbols: Sequence[str]) -> Array:
    """(n, n_symbols) atomic fractions of formulas."""
    return np.asarray(element_fractions(formulas)[list(symbols)].to_numpy(), dtype=float)


def _histogram(numbers: NDArray[np.intp]) -> dict[str, float]:
    values, counts = np.unique(numbers, return_counts=True)
    return {str(value): float(count / len(numbers)) for value, count in zip(values, counts, strict=True)}


def _quartiles(values: Array) -> dict[str, float]:
    return dict(zip(("q25", "median", "q75"), np.quantile(values, (0.25, 0.5, 0.75)).tolist(), strict=True))
