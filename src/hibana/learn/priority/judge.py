"""Scores of waiting candidates by the acquisition function of a rule, from models of the known values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hibana.learn.priority.acquisition import (
    confidence_bound,
    expected_improvement,
    probability_of_range,
    stein_novelty,
    stein_terms,
)
from hibana.learn.priority.goal import Goal
from hibana.learn.priority.rule import BOUND, IMPROVEMENT, PROBABILITY, Rule
from hibana.learn.priority.surrogate import Prediction, fit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """What is known already.

    Parameters
    ----------
    features
        (n, n_features); NaN where one is missing.
    values
        (n, n_goals) values on the scales of the models; NaN where one is missing.
    """

    features: Array
    values: Array

    def of(self, number: int) -> tuple[Array, Array]:
        """Features and values of the rows that have any features and the value of one goal."""
        there = np.isfinite(self.values[:, number]) & np.isfinite(self.features).any(axis=1)
        return self.features[there], self.values[there, number]

    def counts(self) -> list[int]:
        """How many values a model of each goal is fitted on."""
        return [len(self.of(number)[1]) for number in range(self.values.shape[1])]


@dataclass(frozen=True)
class Judgement:
    """Scores of candidates, and what they come from.

    Parameters
    ----------
    scores
        (n,) value of the acquisition function.
    words
        What the scores are.
    predictions
        By goal.
    first
        Candidates that come before all others, in this order, whatever the scores.
    """

    scores: Array
    words: str
    predictions: Mapping[Goal, Prediction] = field(default_factory=dict)
    first: tuple[int, ...] = ()


def judge(known: Known, waiting: Array, rule: Rule, *, seed: int, batch: int) -> Judgement:
    """Fit the models of a rule and score candidates.

    Parameters
    ----------
    known
        What is known already.
    waiting
        (n, n_features) features of the candidates.
    rule
        Any but ``random``.
    seed
        Of the models.
    batch
        How many ``novelty`` chooses one after the other.
    """
    found = {goal: fit(*known.of(number), rule, seed=seed).predict(waiting) for number, goal in enumerate(rule.goals)}
    if rule.kind == PROBABILITY:
        parts = [probability_of_range(item.mean, item.spread, *goal.ends) for goal, item in found.items()]
        return Judgement(np.prod(parts, axis=0), f"probability of {rule.words}", found)
    goal = rule.goals[0]
    first, values = found[goal], known.of(0)[1]
    if rule.kind == IMPROVEMENT:
        best = float(values.max() if goal.sign > 0 else values.min())
        words = f"expected improvement of {goal.scale} over {float(goal.back(np.array(best))):.4g}"
        return Judgement(expected_improvement(first.mean, first.spread, best, goal.sign), words, found)
    if rule.kind == BOUND:
        words = f"{'upper' if goal.sign > 0 else 'negative lower'} bound of {goal.scale} at {rule.kappa:g} spreads"
        return Judgement(confidence_bound(first.mean, first.spread, rule.kappa, goal.sign), words, found)
    scores, chosen = _novelties(known, np.stack([item.mean for item in found.values()], axis=1), rule.sigma, batch)
    return Judgement(scores, f"novelty of {', '.join(goal.scale for goal in found)}", found, chosen)


def _novelties(known: Known, means: Array, sigma: float, batch: int) -> tuple[Array, tuple[int, ...]]:
    """Novelty of predicted values; a few chosen one after the other, each with those before it counted as known.

    The score of one that was chosen is its novelty at that moment.
    """
    values = known.values[np.isfinite(known.values).all(axis=1)]
    if not len(values):
        return np.zeros(len(means)), ()
    spread = values.std(axis=0)
    centre, scale = values.mean(axis=0), np.where(spread > 0, spread, 1.0)
    points = (means - centre) / scale
    scores = stein_novelty(points, (values - centre) / scale, sigma)
    pairs = len(values) * (len(values) + 1) / 2
    now, chosen = scores.copy(), []
    for _ in range(min(batch, len(points))):
        place = int(np.argmax(now))
        chosen.append(place)
        scores[place] = now[place]
        now -= stein_terms(points, points[[place]], sigma)[:, 0] / pairs
        now[place] = -np.inf
    return scores, tuple(chosen)
