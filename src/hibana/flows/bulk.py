"""The flow of a bulk crystal: the relaxation, and the branches of calculations that follow it.

relax ─┬─▶ band ───────┬─▶ decide ──▶ hse06, optics ─┬─▶ collect
       ├─▶ dos ────────┤                             │
       ├─▶ dielectric ─┴─▶ decide ──▶ ddh ───────────┤
       ├─▶ phonon ──▶ one calculation a displacement ┤
       └─▶ vacancy ──▶ one calculation a supercell ──┘

``decide`` ends with the reason where there is no gap, and is replaced by its calculation where there is one; ``vacancy``, which
also looks at the gap, does the same with the rules for hosts. The flow
``electronic`` is the one of band, DOS and HSE06.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobflow import Flow, Response, job

from hibana.documents.candidate import CandidateDoc
from hibana.documents.chemical_potentials import EnergyTable
from hibana.documents.spec import CalculatorName
from hibana.flows.branches import BRANCHES, VACANCIES, branches_of, question_of
from hibana.flows.calculation import ALWAYS_RUN, calculate, job_name
from hibana.flows.collect import collect
from hibana.flows.errors import OTHER_FUNCTIONALS
from hibana.flows.exchange import exchange_ratio
from hibana.flows.execution import protocol_of
from hibana.flows.messages import Answer, Material, Series, series_of
from hibana.flows.phonon import displace
from hibana.flows.relax import relax
from hibana.flows.resources import sized
from hibana.flows.vacancies import host_job
from hibana.protocol.protocol import load_protocol

if TYPE_CHECKING:
    from jobflow import Job

    from hibana.protocol.protocol import Protocol

NAMED_AFTER = {"hse06_nsc": ("hse", 0.25), "ddh_nsc": ("pbe0", "from_dielectric")}
"""Hybrids that fields of the property documents are named after: vise's functional, and the share of exact exchange."""


def bulk_flow(
    candidate: CandidateDoc,
    protocol: str,
    calculator: CalculatorName,
    label: str = "bulk",
    energies: EnergyTable | None = None,
) -> Flow:
    """The flow for one candidate.

    Parameters
    ----------
    candidate
        The candidate.
    protocol
        Name or file of the protocol.
    calculator
        Which code has to answer.
    label
        Name of the flow with its branches, see :func:`hibana.flows.branches.flow_label`.
    energies
        The user's table of energies of competing phases, for vacancies.

    Raises
    ------
    HibanaError
        HIB-096, HIB-099 or HIB-100 for a label that is none; HIB-098 if the protocol's functionals are not those that the
        documents' fields are named after.
    """
    branches = branches_of(label)
    loaded = load_protocol(protocol)
    _check_functionals(loaded, branches)
    about, by = Material.of(candidate), series_of(protocol, calculator)
    material, series = about.plain(), by.plain()
    first = relax(material, series, candidate.crystal.model_dump(mode="json"))
    first.name = job_name(about, "relax 1")
    sized(first, candidate.n_sites)
    jobs: dict[str, Job] = {}
    gapped = [name for name in branches if "band" in BRANCHES[name].needs and name != VACANCIES]
    for name in branches:
        if name in gapped:
            runs = {step: jobs[step].output for step in ("band", "dos", *BRANCHES[name].needs) if step in jobs}
            jobs[name] = decide(material, series, name, first.output, runs)
            title = "decide" if len(gapped) == 1 else f"decide {name}"
        elif name == VACANCIES:
            jobs[name] = host_job(material, series, first, jobs)
            title = "host"
        else:
            jobs[name] = _following(name, material, series, first, loaded)
            title = name
            if name != "phonon":
                sized(jobs[name], candidate.n_sites)
        jobs[name].name = job_name(about, title)
    given = None if energies is None else energies.model_dump(mode="json")
    last = collect(material, series, label, first.output, {name: item.output for name, item in jobs.items()}, given)
    last.name = job_name(about, "collect")
    return Flow([first, *jobs.values(), last], name=f"{about.formula} {label} {loaded.name} {about.material_id}")


def _following(name: str, material: dict[str, Any], series: dict[str, Any], relaxation: Job, protocol: Protocol) -> Job:
    """The job of a branch that follows the relaxation whatever the band structure says."""
    if name == "phonon":
        return displace(material, series, relaxation.output)
    task, functional = question_of(BRANCHES[name].step, protocol)
    return calculate(material, series, task, functional, relaxation.output, unless_metal=name == "dielectric")


def _check_functionals(protocol: Protocol, branches: tuple[str, ...]) -> None:
    if protocol.functional != "pbesol":
        raise OTHER_FUNCTIONALS.error(f"{protocol.name} has {protocol.functional}")
    rules = {str(name): rule for name, rule in protocol.hybrids.items()}
    for step in (BRANCHES[name].step for name in branches):
        if step not in NAMED_AFTER:
            continue
        if step not in rules:
            raise OTHER_FUNCTIONALS.error(f"{protocol.name} has no {step}")
        has = (rules[step].functional, rules[step].exchange_ratio)
        if has != NAMED_AFTER[step]:
            raise OTHER_FUNCTIONALS.error(f"{protocol.name} has {has[0]} with AEXX = {has[1]} as {step}")


@job(config=ALWAYS_RUN)
def decide(
    material: dict[str, Any], series: dict[str, Any], branch: str, relaxed: dict[str, Any] | None, runs: dict[str, Any]
) -> dict[str, Any] | Response:
    """Gap: the job replaces itself with the calculation of a branch. Metal, or unknown: it says so.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    branch
        The branch.
    relaxed
        The :class:`~hibana.flows.messages.Answer` of the relaxation; None for a job that ended with an error.
    runs
        The same of each branch that the decision rests on: ``band``, ``dos`` where it was asked for, ``dielectric`` for the
        dielectric-dependent hybrid.

    Returns
    -------
    dict
        The :class:`~hibana.flows.messages.Answer` of the calculation, or ``skipped`` with the reason.
    """
    answers = {name: Answer.read(output, f"the {name} run") for name, output in runs.items()}
    why_not = _why_no_gap(answers)
    if why_not is not None:
        return Answer.skipped(why_not).plain()
    options = {}
    if "dielectric" in BRANCHES[branch].needs:
        try:
            options = {"exchange_ratio": _exchange_ratio(answers["dielectric"])}
        except ValueError as error:
            return Answer.skipped(f"no share of exact exchange: {error}").plain()
    task, functional = question_of(BRANCHES[branch].step, protocol_of(Series.model_validate(series)))
    parents = [answers[name].address for name in BRANCHES[branch].needs]
    following = calculate(material, series, task, functional, relaxed, parents, options=options)
    following.name = job_name(Material.model_validate(material), branch)
    crystal = Answer.read(relaxed, "the relaxation").crystal
    return Response(replace=following if crystal is None else sized(following, len(crystal.species)))


def _why_no_gap(answers: dict[str, Answer]) -> str | None:
    """Why nothing that needs a gap is calculated; None where there is one.

    Bands that cross the Fermi level on path or mesh make a metal; only the band run can say that there is a gap.
    """
    band = answers["band"]
    if metals := [name for name in ("band", "dos") if name in answers and answers[name].gap_class == "metal"]:
        return f"{' and '.join(f'the {name} run' for name in metals)} {'find' if len(metals) > 1 else 'finds'} a metal"
    if band.gap_class == "unknown":
        return f"whether there is a gap is unknown; band run: {'it does not say' if band.is_answered else band.why_not}"
    return None


def _exchange_ratio(dielectric: Answer) -> float:
    """AEXX from the answer of the dielectric run.

    Raises
    ------
    ValueError
        If there is none, with the reason in words.
    """
    if not dielectric.is_answered:
        raise ValueError(f"dielectric run: {dielectric.why_not}")
    if dielectric.epsilon_electronic is None:
        raise ValueError("the dielectric run has no electronic tensor")
    if dielectric.gap_class == "metal":
        raise ValueError("the dielectric run finds a metal on its mesh")
    return exchange_ratio(dielectric.epsilon_electronic)
