"""The last job of a flow: property documents, and what became of the material."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobflow import job

from hibana.defects.curate import build_vacancy_documents
from hibana.documents.chemical_potentials import EnergyTable
from hibana.documents.properties import ElectronicDoc, PropertyDoc, RelaxationDoc
from hibana.documents.vacancy import SupercellDoc, VacancySummaryDoc
from hibana.flows.branches import BRANCHES, RELAXATION_STEP, VACANCIES, branches_of, variant_step
from hibana.flows.calculation import ALWAYS_RUN
from hibana.flows.context import current_context
from hibana.flows.evidence import gather
from hibana.flows.execution import protocol_of
from hibana.flows.messages import Answer, Material, Series
from hibana.properties.material import NEED_A_GAP, said, shortcomings
from hibana.properties.registry import build_documents, properties_of


@job(config=ALWAYS_RUN)
def collect(
    material: dict[str, Any],
    series: dict[str, Any],
    flow: str,
    relaxed: dict[str, Any] | None,
    branches: dict[str, Any],
    energies: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the property documents of a material from whatever was calculated, and record the outcome with its reason.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    flow
        Label of the flow.
    relaxed
        The :class:`~hibana.flows.messages.Answer` of the relaxation; None for a job that ended with an error.
    branches
        The same of each branch; several, by variant, under ``runs`` for a branch of several calculations.
    energies
        The user's :class:`~hibana.documents.chemical_potentials.EnergyTable` of competing phases.

    Returns
    -------
    dict
        ``state`` and ``reason`` of the outcome, and the ``flags`` of the documents.
    """
    store = current_context().store
    about, by = Material.model_validate(material), Series.model_validate(series)
    protocol = protocol_of(by)
    answers = read_answers(relaxed, branches)
    for answer in answers.values():
        if answer.address is not None:
            store.task(answer.address, any_status=True)  # completes what a process killed while storing has left behind
    evidence = gather(
        store,
        about,
        protocol,
        by.calculator,
        relaxation=answers[RELAXATION_STEP].address,
        reasons={step: answer.why_not for step, answer in answers.items() if not answer.is_answered},
        energies=None if energies is None else EnergyTable.model_validate(energies),
    )
    built, vacancies = build_documents(evidence), build_vacancy_documents(evidence)
    for item in (*built, *vacancies):
        store.put_property(item.document, item.arrays)
    documents = [item.document for item in built]
    state, reason = outcome(documents, flow, evidence.why_not(RELAXATION_STEP))
    if VACANCIES in branches_of(flow):
        state, reason = with_vacancies(state, reason, [item.document for item in vacancies])
    store.record_outcome(about.material_id, flow, protocol.name, by.calculator, state, reason, protocol_version=protocol.version)
    flagged = (*documents[:-1], *(item.document for item in vacancies))
    flags = dict.fromkeys(flag for document in flagged for flag in document.flags)
    return {"state": state, "reason": reason, "flags": list(flags)}


def read_answers(relaxed: dict[str, Any] | None, branches: Mapping[str, Any]) -> dict[str, Answer]:
    """The answers of all jobs by step, see :func:`collect`."""
    answers = {RELAXATION_STEP: Answer.read(relaxed, f"the job of {RELAXATION_STEP}")}
    for name, output in branches.items():
        step = BRANCHES[name].step
        runs = output.get("runs") if output is not None else None
        if runs is None:
            answers[step] = Answer.read(output, f"the job of {step}")
        else:
            steps = {variant: variant_step(step, variant) for variant in runs}
            answers |= {steps[variant]: Answer.read(run, f"the job of {steps[variant]}") for variant, run in runs.items()}
    return answers


def outcome(documents: Sequence[PropertyDoc], flow: str, why_not: str) -> tuple[str, str]:
    """State of a material after its flow, and the reason in words.

    Parameters
    ----------
    documents
        All its property documents; none if no relaxation was done.
    flow
        Label of the flow.
    why_not
        Why there is no relaxation, where there is none.
    """
    wanted = {item.name for item in properties_of(BRANCHES[name].step for name in branches_of(flow))}
    by_name = {document.collection: document for document in documents}
    relaxation = by_name.get(RelaxationDoc.collection)
    if relaxation is None or relaxation.status == "unavailable":
        return "failed", f"relaxation: {why_not}"
    parts = {name: document for name, document in by_name.items() if name in wanted}
    missing = shortcomings(parts)
    if missing:
        state = "failed" if all(part.status == "unavailable" for part in parts.values()) else "partial"
        return state, said(missing.values())
    electronic = parts.get(ElectronicDoc.collection)
    if not isinstance(electronic, ElectronicDoc) or electronic.gap_class != "metal":
        return "done", "every step has its answer"
    kept = [name for name in NEED_A_GAP if name in parts and parts[name].status != "unavailable"]
    return "metal", f"no gap; kept from before this was known: {', '.join(kept)}" if kept else "no gap"


def with_vacancies(state: str, reason: str, documents: Sequence[PropertyDoc]) -> tuple[str, str]:
    """State and reason of a material whose vacancies were asked for.

    A crystal that is no host is not the worse for it. Vacancies without a formation energy make the material partial.

    Parameters
    ----------
    state, reason
        Of the material but for its vacancies.
    documents
        The documents of its vacancies.
    """
    if state == "failed":
        return state, reason
    supercell = next((document for document in documents if isinstance(document, SupercellDoc)), None)
    if supercell is not None and supercell.refusals:
        return state, f"{reason}; {supercell.reason}"
    summary = next((document for document in documents if isinstance(document, VacancySummaryDoc)), None)
    why = None if summary is None else summary.reason
    if why is None:
        return state, reason
    return "partial", f"{reason}; {why}" if state == "partial" else why
