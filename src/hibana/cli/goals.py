"""Options that say what is looked for and by which rule, shared by ``hibana learn simulate`` and ``hibana loop``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hibana.learn.priority.goal import Goal
    from hibana.learn.priority.rule import Rule

SOURCES = ("composition", "elements")
"""Features where none are named."""

TargetOption = Annotated[str, typer.Option("--target", "-t", help="Column of the table.")]
AboveOption = Annotated[float | None, typer.Option("--above", help="Look for values above this.")]
BelowOption = Annotated[float | None, typer.Option("--below", help="Look for values below this.")]
BetweenOption = Annotated[tuple[float, float] | None, typer.Option("--between", help="Look for values between these two.")]
AlsoOption = Annotated[
    list[str] | None,
    typer.Option("--and", help="A further goal, COLUMN:LOW:HIGH, an open end left empty; may be repeated."),
]
LogOption = Annotated[list[str] | None, typer.Option("--log", help="Column whose logarithm the model learns; may be repeated.")]
RuleOption = Annotated[
    str,
    typer.Option(
        "--rule",
        help="probability of the range (several goals: of all), improvement (expected), bound (upper confidence bound), novelty "
        "(Stein novelty of the predicted values, as in BLOX), random.",
    ),
]
ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="forest (random forest), process (Gaussian process), or the mixture of both.")
]
StartOption = Annotated[int, typer.Option("--start", help="Draw at random until so many values are known.")]
TreesOption = Annotated[int, typer.Option("--trees", help="Trees of a forest.")]
KappaOption = Annotated[float, typer.Option("--kappa", help="Spreads added by the rule bound.")]
SigmaOption = Annotated[float, typer.Option("--sigma", help="Variance of the kernel of the rule novelty, standardised.")]


def read_rule(
    target: str,
    above: float | None,
    below: float | None,
    between: tuple[float, float] | None,
    also: Sequence[str] | None,
    log: Sequence[str] | None,
    **more: Any,
) -> Rule:
    """The rule that options say.

    Raises
    ------
    HibanaError
        HIB-285 if a goal cannot be read, HIB-286 if the rule makes no sense.
    """
    from hibana.learn.priority.goal import read_goal
    from hibana.learn.priority.rule import Rule

    logs = list(log or ())
    goals = (_first_goal(target, above, below, between, logs), *(read_goal(text, logs) for text in also or ()))
    strange = sorted(set(logs) - {goal.column for goal in goals})
    if strange:
        raise typer.BadParameter(f"{', '.join(strange)} is no goal", param_hint="--log")
    return Rule(goals, **more)


def _first_goal(
    target: str, above: float | None, below: float | None, between: tuple[float, float] | None, logs: Sequence[str]
) -> Goal:
    from hibana.learn.errors import BAD_GOAL
    from hibana.learn.priority.goal import INFINITY, Goal

    if (between is not None) == (above is not None or below is not None):
        raise BAD_GOAL.error(f"{target}: no range, or two", where="--above, --below, --between")
    low, high = between or (-INFINITY if above is None else above, INFINITY if below is None else below)
    return Goal(target, low, high, target in logs)
