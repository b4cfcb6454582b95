"""The flow of a competing phase.

relax ─────────────┐
oxygen molecule ───┼─▶ record
oxygen atom ───────┘

Each structure is relaxed at the cutoff of the whole chemical system, and where oxygen is part of it the O2 molecule and the O
atom are calculated at that cutoff too, once for all structures.
"""

from __future__ import annotations

from typing import Any

from jobflow import Flow, job

from hibana.documents.candidate import CandidateDoc
from hibana.documents.spec import CalculatorName
from hibana.flows.branches import COMPETING, system_of
from hibana.flows.calculation import ALWAYS_RUN, job_name
from hibana.flows.context import current_context
from hibana.flows.errors import OUTSIDE_SYSTEM
from hibana.flows.execution import protocol_of
from hibana.flows.messages import Answer, Material, Series, series_of
from hibana.flows.oxygen import oxygen_jobs
from hibana.flows.relax import relax
from hibana.flows.resources import sized
from hibana.protocol.protocol import load_protocol


def check_system(candidate: CandidateDoc, label: str) -> None:
    """Refuse a candidate that has elements outside the chemical system of a flow.

    Raises
    ------
    HibanaError
        HIB-102.
    """
    system = system_of(label)
    outside = [element for element in candidate.elements if element not in system]
    if outside:
        what = f"{candidate.formula} has {', '.join(outside)}, the system is {', '.join(system)}"
        raise OUTSIDE_SYSTEM.error(what, where=candidate.sources[0] if candidate.sources else None)


def competing_flow(candidate: CandidateDoc, protocol: str, calculator: CalculatorName, label: str) -> Flow:
    """The flow for one competing phase.

    Parameters
    ----------
    candidate
        The phase.
    protocol
        Name or file of the protocol.
    calculator
        Which code has to answer.
    label
        Name of the flow with the chemical system, for instance ``competing:Mg+O``.

    Raises
    ------
    HibanaError
        As :func:`hibana.flows.branches.flow_label`; HIB-102 for a phase outside the system.
    """
    check_system(candidate, label)
    system = system_of(label)
    about, by = Material.of(candidate), series_of(protocol, calculator)
    first = relax(about.plain(), by.plain(), candidate.crystal.model_dump(mode="json"), system=list(system))
    first.name = job_name(about, "relax 1")
    sized(first, candidate.n_sites)
    references = oxygen_jobs(by, system, relaxes_lattice=True) if "O" in system else {}
    last = record(about.plain(), by.plain(), label, first.output, {step: item.output for step, item in references.items()})
    last.name = job_name(about, "record")
    name = f"{about.formula} {COMPETING} {load_protocol(protocol).name} {about.material_id}"
    return Flow([first, *references.values(), last], name=name)


@job(config=ALWAYS_RUN)
def record(
    material: dict[str, Any], series: dict[str, Any], flow: str, relaxed: dict[str, Any] | None, oxygen: dict[str, Any]
) -> dict[str, Any]:
    """Record what became of a competing phase; its energy is in the store already.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    flow
        Label of the flow.
    relaxed
        The :class:`~hibana.flows.messages.Answer` of the relaxation; None for a job that ended with an error.
    oxygen
        The same of the molecule and the atom, by step; none for a system without oxygen.

    Returns
    -------
    dict
        ``state`` and ``reason`` of the outcome.
    """
    store = current_context().store
    about, by = Material.model_validate(material), Series.model_validate(series)
    protocol = protocol_of(by)
    answers = {"relaxation": Answer.read(relaxed, "the relaxation")}
    answers |= {step.replace("_", " "): Answer.read(output, step) for step, output in oxygen.items()}
    for answer in answers.values():
        if answer.address is not None:
            store.task(answer.address, any_status=True)  # completes what a process killed while storing has left behind
    missing = {name: answer.why_not for name, answer in answers.items() if not answer.is_answered}
    state = "done" if not missing else "failed" if "relaxation" in missing else "partial"
    reason = "; ".join(f"{name}: {why}" for name, why in missing.items()) or "every step has its answer"
    store.record_outcome(about.material_id, flow, protocol.name, by.calculator, state, reason, protocol_version=protocol.version)
    return {"state": state, "reason": reason}
