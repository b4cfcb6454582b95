"""The flow ``electronic``: relaxed lattice, band structure, density of states, gaps.

relax ─┬─▶ band ─┬─▶ decide ──▶ collect
       └─▶ dos ──┘   (metal: that is the answer; gap: replaced by the HSE06 evaluation)
"""

from __future__ import annotations

from typing import Any

from jobflow import Flow, Response, job

from hibana.documents.candidate import CandidateDoc
from hibana.documents.spec import CalculatorName
from hibana.flows.calculation import ALWAYS_RUN, calculate, job_name
from hibana.flows.collect import FLOW, collect
from hibana.flows.errors import OTHER_FUNCTIONALS
from hibana.flows.messages import Answer, Material, series_of
from hibana.flows.relax import relax
from hibana.protocol.protocol import load_protocol


def electronic_flow(candidate: CandidateDoc, protocol: str, calculator: CalculatorName) -> Flow:
    """The flow for one candidate.

    Parameters
    ----------
    candidate
        The candidate.
    protocol
        Name or file of the protocol.
    calculator
        Which code has to answer.

    Raises
    ------
    HibanaError
        HIB-098 if the protocol's functionals are not the PBEsol and HSE06 that the documents' fields are named after.
    """
    loaded = load_protocol(protocol)
    hybrid = loaded.hybrid
    if (loaded.functional, hybrid.functional, hybrid.exchange_ratio) != ("pbesol", "hse", 0.25):
        what = f"{loaded.name} has {loaded.functional} and {hybrid.functional} with AEXX = {hybrid.exchange_ratio}"
        raise OTHER_FUNCTIONALS.error(what)
    about, by = Material.of(candidate), series_of(protocol, calculator)
    material, series = about.plain(), by.plain()
    first = relax(material, series, candidate.crystal.model_dump(mode="json"))
    band = calculate(material, series, "band", loaded.functional, first.output)
    dos = calculate(material, series, "dos", loaded.functional, first.output)
    decision = decide(material, series, first.output, band.output, dos.output)
    last = collect(material, series, first.output, band.output, dos.output, decision.output)
    jobs = [first, band, dos, decision, last]
    for item, name in zip(jobs, ("relax 1", "band", "dos", "decide", "collect"), strict=True):
        item.name = job_name(about, name)
    return Flow(jobs, name=f"{about.formula} {FLOW} {loaded.name} {about.material_id}")


@job(config=ALWAYS_RUN)
def decide(
    material: dict[str, Any],
    series: dict[str, Any],
    relaxed: dict[str, Any] | None,
    band: dict[str, Any] | None,
    dos: dict[str, Any] | None,
) -> dict[str, Any] | Response:
    """Metal: there is no hybrid gap to ask for. Gap: the job replaces itself with the HSE06 evaluation. Unknown: neither.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    relaxed, band, dos
        The :class:`~hibana.flows.messages.Answer` of each; None for a job that ended with an error.

    Returns
    -------
    dict
        The :class:`~hibana.flows.messages.Answer` of the HSE06 evaluation, or ``skipped`` with the reason.
    """
    semilocal, mesh = Answer.read(band, "the band run"), Answer.read(dos, "the dos run")
    if "metal" in (semilocal.gap_class, mesh.gap_class):
        return Answer.skipped("metal").plain()
    if semilocal.gap_class == "unknown":
        why = semilocal.why_not if not semilocal.is_answered else "it does not say"
        return Answer.skipped(f"whether there is a gap is unknown; band run: {why}").plain()
    parents = [semilocal.address]
    following = calculate(material, series, "band", "hse06_nsc", relaxed, parents)
    following.name = job_name(Material.model_validate(material), "hse06")
    return Response(replace=following)
