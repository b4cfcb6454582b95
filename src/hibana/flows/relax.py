"""Relaxation, repeated until it converges at its first ionic step."""

from __future__ import annotations

from typing import Any

from jobflow import Response, job

from hibana.documents.crystal import Crystal
from hibana.documents.spec import Prior
from hibana.documents.task import is_settled, not_settled
from hibana.flows.attempt import Calculation
from hibana.flows.calculation import ALWAYS_RUN, goes_on, job_name
from hibana.flows.cutoffs import common_cutoff
from hibana.flows.execution import carry_out, protocol_of
from hibana.flows.messages import Answer, Material, Past, Series
from hibana.flows.parts import RELAXATION
from hibana.flows.resources import sized


@job(config=ALWAYS_RUN)
def relax(
    material: dict[str, Any],
    series: dict[str, Any],
    crystal: dict[str, Any],
    prior: dict[str, Any] | None = None,
    parents: list[str] | None = None,
    round: int = 1,
    system: list[str] | None = None,
    past: dict[str, Any] | None = None,
) -> dict[str, Any] | Response:
    """One round of a relaxation; the job replaces itself with the next round until one ends at its first ionic step.

    Cell, basis set and k-points of a round are those of its start, so the last round must have nothing left to do. What a
    round learnt of the gap chooses the k-points of the next.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    crystal
        Cell to start from.
    prior
        What is known of the material.
    parents
        Address of the round before.
    round
        Number of the round, from 1.
    system
        Elements whose common cutoff it is done at; None for its own.
    past
        What was done of this round before the walltime ended it.

    Returns
    -------
    dict
        An :class:`~hibana.flows.messages.Answer`.
    """
    about, by = Material.model_validate(material), Series.model_validate(series)
    protocol = protocol_of(by)
    variant, options = ("", {}) if system is None else common_cutoff(system, about.elements, protocol)
    outcome = carry_out(
        Calculation(
            material=about,
            series=by,
            crystal=Crystal.model_validate(crystal),
            task=RELAXATION,
            functional=protocol.functional,
            prior=Prior.model_validate(prior or {}),
            parents=tuple(parents or ()),
            round=round,
            variant=variant,
            options=options,
            past=Past.model_validate(past or {}),
        )
    )
    task, arguments = outcome.task, {"material": material, "series": series, "system": system}
    if task.status == "walltime":
        return goes_on(relax, outcome, crystal=crystal, prior=prior, parents=parents, round=round, **arguments)
    if is_settled(task) or task.status not in ("converged", "ionic_limit"):
        return Answer.of(task).plain()
    if round >= protocol.relaxation.max_rounds:
        return Answer.of(task).refused(not_settled(task)).plain()
    following = relax(
        **arguments,
        crystal=task.final.model_dump(mode="json"),
        prior=task.prior().model_dump(mode="json"),
        parents=[task.address],
        round=round + 1,
    )
    following.name = job_name(about, f"relax {round + 1}")
    return Response(replace=sized(following, len(task.final.species)))
