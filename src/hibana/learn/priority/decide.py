"""Which waiting candidates should be calculated first, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from hibana.learn.errors import NO_COLUMN
from hibana.learn.priority.goal import Goal
from hibana.learn.priority.judge import Judgement, Known, judge
from hibana.learn.priority.rule import RANDOM, Rule

WITHOUT_FEATURES = "no features of it: last"


@dataclass(frozen=True)
class Decision:
    """One candidate.

    Parameters
    ----------
    material_id
        Which.
    rank
        1 for the one to be calculated first.
    score
        Value of the acquisition function; None where nothing is predicted.
    prediction
        By column: what is predicted, in the column's unit.
    spread
        By column: standard deviation of the prediction on the scale of the model (decades where that is a logarithm).
    why
        The same in words.
    """

    material_id: str
    rank: int
    score: float | None
    prediction: Mapping[str, float]
    spread: Mapping[str, float]
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Decisions:
    """All waiting candidates in the order in which they should be calculated.

    Parameters
    ----------
    items
        The first one first.
    model
        What was fitted: ``phase`` (``model`` or ``random``), known values of each goal, features, candidates without any.
    """

    items: tuple[Decision, ...]
    model: Mapping[str, Any]


def decide(
    features: pd.DataFrame, targets: pd.DataFrame, waiting: pd.DataFrame, rule: Rule, *, seed: int, batch: int = 1
) -> Decisions:
    """Put waiting candidates into the order in which they should be calculated.

    The same arguments give the same order. Candidates that are as good as each other, and all of them before a model can be
    fitted, stand in an order drawn by the seed, which stays the same while others come and go. Those without features are last.

    Parameters
    ----------
    features
        (n_known, n_features) of what is calculated already.
    targets
        (n_known, ...) its values in the same order, a column for each goal; NaN where one is missing.
    waiting
        (n_waiting, ...) with the same features, the index their material_id.
    rule
        How they are chosen.
    seed
        Of models and draws.
    batch
        How many are calculated before the next decision: so many ``novelty`` chooses one after the other, each away from those
        before it.

    Raises
    ------
    HibanaError
        HIB-261 if a goal's column is missing; HIB-264 if scikit-learn is not installed.
    """
    for goal in rule.goals:
        if goal.column not in targets.columns:
            raise NO_COLUMN.error(f"{goal.column!r}; there are: {', '.join(map(str, targets.columns))}")
    values = [goal.scaled(pd.to_numeric(targets[goal.column]).to_numpy(dtype=float)) for goal in rule.goals]
    known = Known(features.to_numpy(dtype=float), np.stack(values, axis=1))
    counts = {goal.column: count for goal, count in zip(rule.goals, known.counts(), strict=True)}
    matrix = waiting[list(features.columns)].to_numpy(dtype=float)
    usable = np.isfinite(matrix).any(axis=1)
    is_random = rule.kind == RANDOM or min(counts.values()) < rule.start or not usable.any()
    judged = None if is_random else judge(known, matrix[usable], rule, seed=seed, batch=batch)
    names = [str(name) for name in waiting.index]
    order = _order(names, usable, judged, seed)
    whys = _Reasons(rule, counts, judged)
    place_of = np.cumsum(usable) - 1
    items = tuple(
        whys.decision(names[row], rank, int(place_of[row]) if usable[row] else None) for rank, row in enumerate(order, 1)
    )
    model = {
        "phase": "random" if is_random else "model",
        "n_known": counts,
        "n_features": features.shape[1],
        "n_waiting": len(names),
        "n_without_features": int((~usable).sum()),
    }
    return Decisions(items, model)


def draw(seed: int, material_id: str) -> str:
    """Place of a material in the random order of a seed, as text that sorts; it does not depend on the others."""
    return sha256(f"{seed}:{material_id}".encode()).hexdigest()


def _order(names: Sequence[str], usable: np.ndarray, judged: Judgement | None, seed: int) -> list[int]:
    """Rows, the first to be calculated first."""
    draws = [draw(seed, name) for name in names]
    rows = np.flatnonzero(usable)
    score, early = np.full(len(names), -np.inf), np.full(len(names), len(names))
    score[rows] = 0.0 if judged is None else judged.scores
    if judged is not None:
        early[rows[list(judged.first)]] = range(len(judged.first))
    return sorted(range(len(names)), key=lambda row: (early[row], -score[row], draws[row]))


@dataclass(frozen=True)
class _Reasons:
    """Says of each candidate what is predicted and why it stands where it stands."""

    rule: Rule
    counts: Mapping[str, int]
    judged: Judgement | None

    def decision(self, material_id: str, rank: int, place: int | None) -> Decision:
        if place is None:
            return Decision(material_id, rank, None, {}, {}, WITHOUT_FEATURES)
        if self.judged is None:
            return Decision(material_id, rank, None, {}, {}, self._at_random())
        prediction, spread, words = {}, {}, []
        for goal, found in self.judged.predictions.items():
            mean, width = float(found.mean[place]), float(found.spread[place])
            prediction[goal.column], spread[goal.column] = _back(goal, mean), width
            ends = f"{_back(goal, mean - width):.4g} to {_back(goal, mean + width):.4g}"
            words.append(f"{goal.column} {prediction[goal.column]:.4g} ({ends})")
        score = float(self.judged.scores[place])
        return Decision(material_id, rank, score, prediction, spread, f"{self.judged.words}: {score:.3g}; {', '.join(words)}")

    def _at_random(self) -> str:
        if self.rule.kind == RANDOM:
            return "drawn at random"
        column, count = min(self.counts.items(), key=lambda item: item[1])
        return f"drawn at random: {count} values of {column} are known, {self.rule.start} are needed for a model"


def _back(goal: Goal, value: float) -> float:
    return float(goal.back(np.array(value)))
