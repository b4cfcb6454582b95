"""The job ``calculate``: one calculation on the relaxed cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobflow import JobConfig, OnMissing, Response, job

from hibana.documents.crystal import Crystal
from hibana.documents.task import TaskDoc
from hibana.flows.attempt import Calculation
from hibana.flows.branches import short_name
from hibana.flows.execution import Outcome, carry_out
from hibana.flows.messages import Answer, Material, Past, Series
from hibana.flows.resources import sized

ALWAYS_RUN = JobConfig(on_missing_references=OnMissing.NONE)
"""Every job of a flow runs whatever became of its parents, so that the collector is never left waiting; what a job needs
and does not have is None, and it says so in its answer."""


@job(config=ALWAYS_RUN)
def calculate(
    material: dict[str, Any],
    series: dict[str, Any],
    task: str,
    functional: str,
    relaxed: dict[str, Any] | None,
    parents: list[str] | None = None,
    crystal: dict[str, Any] | None = None,
    variant: str = "",
    options: dict[str, Any] | None = None,
    unless_metal: bool = False,
    past: dict[str, Any] | None = None,
) -> dict[str, Any] | Response:
    """One calculation on the relaxed cell or one made of it, with the prior knowledge of the last relaxation.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    task, functional
        vise's task name, and the functional.
    relaxed
        :class:`~hibana.flows.messages.Answer` of the relaxation; None if it ended with an error.
    parents
        Addresses of the calculations it follows; by default the relaxation.
    crystal
        Cell to calculate instead of the relaxed one, for instance a supercell of it.
    variant
        Tells calculations of one task with the same parents apart.
    options
        Input options over the protocol's, for instance the share of exact exchange that a parent has given.
    unless_metal
        Whether it is skipped where the relaxation has found a metal.
    past
        What was done of it before the walltime ended it.

    Returns
    -------
    dict
        An :class:`~hibana.flows.messages.Answer`; ``skipped`` where there is no relaxed cell, or a metal.
    """
    relaxation = Answer.read(relaxed, "the relaxation")
    if not relaxation.is_answered or relaxation.crystal is None or relaxation.address is None:
        return Answer.skipped(f"relaxation failed: {relaxation.why_not}").plain()
    if unless_metal and relaxation.gap_class == "metal":
        return Answer.skipped("the relaxation finds a metal").plain()
    outcome = carry_out(
        Calculation(
            material=Material.model_validate(material),
            series=Series.model_validate(series),
            crystal=relaxation.crystal if crystal is None else Crystal.model_validate(crystal),
            task=task,
            functional=functional,
            prior=relaxation.prior,
            parents=tuple(parents or (relaxation.address,)),
            variant=variant,
            options=options or {},
            past=Past.model_validate(past or {}),
        )
    )
    if outcome.task.status == "walltime":
        again = {"material": material, "series": series, "task": task, "functional": functional, "parents": parents}
        more = {"crystal": crystal, "variant": variant, "options": options}
        return goes_on(calculate, outcome, relaxed=relaxed, **again, **more)
    return Answer.of(outcome.task).plain()


def goes_on(make: Callable[..., Any], outcome: Outcome, **arguments: Any) -> Response:
    """The same calculation again, from where the walltime ended it.

    Parameters
    ----------
    make
        The job that was ended.
    outcome
        What came of it.
    **arguments
        Its arguments, but for what was done before.
    """
    following = make(**arguments, past=outcome.past.plain())
    following.name = job_name(outcome.task, f"{short_name(outcome.task)} part {outcome.past.parts + 1}")
    return Response(replace=sized(following, len(outcome.task.final.species)))


def job_name(about: Material | TaskDoc, step: str) -> str:
    """Name of a job in FireWorks' listings, for instance ``MgO band``."""
    return f"{about.formula} {step}"
