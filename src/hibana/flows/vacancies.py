"""The branch ``vacancy``: the perfect supercell of a host, and each oxygen vacancy in each charge state in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobflow import CURRENT_JOB, Flow, Response, job

from hibana.documents.crystal import Crystal
from hibana.documents.spec import Prior
from hibana.flows.attempt import Calculation
from hibana.flows.branches import BRANCHES, PERFECT, VACANCIES, question_of
from hibana.flows.calculation import ALWAYS_RUN, goes_on, job_name
from hibana.flows.context import current_context
from hibana.flows.evidence import gather
from hibana.flows.execution import carry_out, protocol_of
from hibana.flows.messages import Answer, Material, Past, Series
from hibana.flows.oxygen import oxygen_jobs
from hibana.flows.phonon import together
from hibana.flows.resources import sized

if TYPE_CHECKING:
    from jobflow import Job

GATE = ("band", "dos")
"""Branches whose answers the gate looks at, beside the relaxation; no other is waited for."""


@job(config=ALWAYS_RUN)
def host(
    material: dict[str, Any], series: dict[str, Any], relaxed: dict[str, Any] | None, runs: dict[str, Any]
) -> dict[str, Any] | Response:
    """A host: the job replaces itself with the runs of its supercells. No host: it says by which rules.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    relaxed
        The :class:`~hibana.flows.messages.Answer` of the relaxation; None for a job that ended with an error.
    runs
        The same of each branch of :data:`GATE`.

    Returns
    -------
    dict
        Under ``runs`` the :class:`~hibana.flows.messages.Answer` of each supercell by variant, and of the runs of oxygen at
        their cutoff by step; for no host an answer that says so.
    """
    from hibana.defects.analysis import NoHost, entries_of, host_supercell

    relaxation = Answer.read(relaxed, "the relaxation")
    if not relaxation.is_answered or relaxation.address is None:
        return Answer.skipped(f"relaxation failed: {relaxation.why_not}").plain()
    about, by = Material.model_validate(material), Series.model_validate(series)
    answers = {name: Answer.read(output, f"the {name} run") for name, output in runs.items()}
    evidence = gather(
        current_context().store,
        about,
        protocol_of(by),
        by.calculator,
        relaxation=relaxation.address,
        reasons={BRANCHES[name].step: answer.why_not for name, answer in answers.items() if not answer.is_answered},
    )
    supercell = host_supercell(evidence)
    if isinstance(supercell, NoHost):
        return Answer.skipped(supercell.why).plain()
    cells = {PERFECT: (supercell.crystal, 0)}
    cells |= {entry.full_name: (entry.crystal, entry.charge) for entry in entries_of(supercell, evidence)}
    started: dict[str, Job] = {}
    for variant, (crystal, charge) in cells.items():
        started[variant] = relax_supercell(
            material,
            series,
            crystal.model_dump(mode="json"),
            relaxation.prior.model_dump(mode="json"),
            [relaxation.address],
            variant,
            charge,
        )
        started[variant].name = job_name(about, f"supercell {variant}")
        sized(started[variant], len(crystal.species))
    started |= oxygen_jobs(by, tuple(sorted(set(supercell.crystal.species))), relaxes_lattice=False)
    last = together({variant: run.output for variant, run in started.items()})
    last.name = job_name(about, "supercells")
    last.set_uuid(CURRENT_JOB.job.uuid)
    last.index = CURRENT_JOB.job.index + 1
    return Response(replace=Flow([*started.values(), last]))


@job(config=ALWAYS_RUN)
def relax_supercell(
    material: dict[str, Any],
    series: dict[str, Any],
    crystal: dict[str, Any],
    prior: dict[str, Any],
    parents: list[str],
    variant: str,
    charge: int,
    round: int = 1,
    past: dict[str, Any] | None = None,
) -> dict[str, Any] | Response:
    """One round of the relaxation of the atoms in a supercell; the job replaces itself with the next where NSW is reached.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    crystal
        Cell to start from; its lattice stays.
    prior
        What the relaxation of the host has found.
    parents
        Address of the relaxation of the host, or of the round before.
    variant
        ``perfect``, or the name of the vacancy with its charge.
    charge
        Charge of the cell.
    round
        Number of the round, from 1.
    past
        What was done of this round before the walltime ended it.

    Returns
    -------
    dict
        An :class:`~hibana.flows.messages.Answer`.
    """
    about, by = Material.model_validate(material), Series.model_validate(series)
    protocol = protocol_of(by)
    task, functional = question_of(BRANCHES[VACANCIES].step, protocol)
    outcome = carry_out(
        Calculation(
            material=about,
            series=by,
            crystal=Crystal.model_validate(crystal),
            task=task,
            functional=functional,
            prior=Prior.model_validate(prior),
            parents=tuple(parents),
            round=round,
            variant=variant,
            options={"charge": float(charge)} if charge else {},
            past=Past.model_validate(past or {}),
        )
    )
    done = outcome.task
    same = {"material": material, "series": series, "prior": prior, "variant": variant, "charge": charge}
    if done.status == "walltime":
        return goes_on(relax_supercell, outcome, crystal=crystal, parents=parents, round=round, **same)
    if done.status != "ionic_limit" or round >= protocol.relaxation.max_rounds:
        return Answer.of(done).plain()
    following = relax_supercell(crystal=done.final.model_dump(mode="json"), parents=[done.address], round=round + 1, **same)
    following.name = job_name(about, f"supercell {variant} {round + 1}")
    return Response(replace=sized(following, len(done.final.species)))


def host_job(material: dict[str, Any], series: dict[str, Any], relaxation: Job, branches: dict[str, Job]) -> Job:
    """The job of the branch, which waits for what the gate looks at.

    Parameters
    ----------
    material, series
        As of :func:`host`.
    relaxation
        The job of the relaxation.
    branches
        Jobs of the other branches by name.
    """
    return host(material, series, relaxation.output, {name: branches[name].output for name in GATE})
