"""The branch ``phonon``: one calculation of the forces in each displaced supercell of the relaxed crystal."""

from __future__ import annotations

from typing import Any

from jobflow import CURRENT_JOB, Flow, Response, job

from hibana.flows.branches import BRANCHES, question_of
from hibana.flows.calculation import ALWAYS_RUN, calculate, job_name
from hibana.flows.execution import protocol_of
from hibana.flows.messages import Answer, Material, Series
from hibana.flows.resources import sized


@job(config=ALWAYS_RUN)
def displace(material: dict[str, Any], series: dict[str, Any], relaxed: dict[str, Any] | None) -> dict[str, Any] | Response:
    """The job replaces itself with one calculation for each displacement that the symmetry leaves.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    relaxed
        The :class:`~hibana.flows.messages.Answer` of the relaxation; None for a job that ended with an error.

    Returns
    -------
    dict
        Under ``runs`` the :class:`~hibana.flows.messages.Answer` of each calculation by variant; without a relaxed cell an
        answer that says so.
    """
    from hibana.properties.displacements import displacements

    relaxation = Answer.read(relaxed, "the relaxation")
    if not relaxation.is_answered or relaxation.crystal is None:
        return Answer.skipped(f"relaxation failed: {relaxation.why_not}").plain()
    about, protocol = Material.model_validate(material), protocol_of(Series.model_validate(series))
    task, functional = question_of(BRANCHES["phonon"].step, protocol)
    runs = {}
    cells = displacements(relaxation.crystal, protocol.phonon, protocol.symmetry).cells
    for number, crystal in enumerate(cells, start=1):
        variant = f"{number:03d}"
        cell = crystal.model_dump(mode="json")
        runs[variant] = calculate(material, series, task, functional, relaxed, crystal=cell, variant=variant)
        runs[variant].name = job_name(about, f"phonon {variant}")
        sized(runs[variant], len(crystal.species))
    last = together({variant: run.output for variant, run in runs.items()})
    last.name = job_name(about, "phonon forces")
    last.set_uuid(CURRENT_JOB.job.uuid)
    last.index = CURRENT_JOB.job.index + 1
    return Response(replace=Flow([*runs.values(), last]))


@job(config=ALWAYS_RUN)
def together(runs: dict[str, Any]) -> dict[str, Any]:
    """The answers of several calculations as one output; jobflow's own such job would wait for ever for one that failed.

    Parameters
    ----------
    runs
        The :class:`~hibana.flows.messages.Answer` of each by variant; None for a job that ended with an error.
    """
    return {"runs": runs}
