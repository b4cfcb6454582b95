"""The rule by which candidates are chosen: goals, acquisition function, model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hibana.learn.errors import BAD_RULE
from hibana.learn.priority.goal import Goal

PROBABILITY, IMPROVEMENT, BOUND, NOVELTY, RANDOM = "probability", "improvement", "bound", "novelty", "random"
KINDS = (PROBABILITY, IMPROVEMENT, BOUND, NOVELTY, RANDOM)
FOREST, PROCESS, BOTH = "forest", "process", "both"
SURROGATES = (FOREST, PROCESS, BOTH)


@dataclass(frozen=True)
class Rule:
    """How candidates are chosen.

    Parameters
    ----------
    goals
        What is looked for.
    kind
        ``probability`` that all goals are met (of independent predictions: the product), expected ``improvement`` over the best
        value known, upper confidence ``bound``, ``novelty`` of the predicted values whatever the goals, or ``random``.
    surrogate
        ``forest`` (random forest; spread over its trees), ``process`` (Gaussian process) or the mixture of ``both``.
    trees
        Trees of a forest.
    start
        Candidates are drawn at random until so many values are known of each goal.
    kappa
        Spreads added by ``bound``.
    sigma
        Variance of the kernel of ``novelty``, on standardised values.

    Raises
    ------
    HibanaError
        HIB-286 if it makes no sense.
    """

    goals: tuple[Goal, ...]
    kind: str = PROBABILITY
    surrogate: str = BOTH
    trees: int = 100
    start: int = 20
    kappa: float = 1.0
    sigma: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BAD_RULE.error(f"there is no rule {self.kind!r}; there are {', '.join(KINDS)}")
        if self.surrogate not in SURROGATES:
            raise BAD_RULE.error(f"there is no model {self.surrogate!r}; there are {', '.join(SURROGATES)}")
        if not self.goals or len({goal.column for goal in self.goals}) != len(self.goals):
            raise BAD_RULE.error("it needs goals, one a column")
        if self.start < 2:
            raise BAD_RULE.error(f"a model needs at least 2 known values, not {self.start}")
        if self.trees < 2 or self.sigma <= 0 or self.kappa < 0:
            raise BAD_RULE.error("trees must be at least 2, sigma positive, kappa not negative")
        if self.kind in (IMPROVEMENT, BOUND) and (len(self.goals) > 1 or self.goals[0].sign == 0):
            raise BAD_RULE.error(f"{self.kind} follows one value up or down; for ranges and several goals there is {PROBABILITY}")

    @property
    def words(self) -> str:
        """The goals as an expression."""
        return " and ".join(goal.words for goal in self.goals)

    def as_dict(self) -> dict[str, Any]:
        """The rule as JSON can hold it."""
        return {**asdict(self), "goals": [goal.as_dict() for goal in self.goals]}
