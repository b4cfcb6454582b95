"""The last job of a flow: property documents, and what became of the material."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from jobflow import job

from hibana.documents.task import TaskDoc
from hibana.flows.calculation import ALWAYS_RUN
from hibana.flows.context import current_context
from hibana.flows.curate import Evidence, build_electronic, build_relaxation
from hibana.flows.execution import protocol_of
from hibana.flows.messages import Answer, Material, Series, Step

FLOW = "electronic"
STEPS: tuple[Step, ...] = ("structure_opt", "band", "dos", "hse06_nsc")


@job(config=ALWAYS_RUN)
def collect(
    material: dict[str, Any],
    series: dict[str, Any],
    relaxed: dict[str, Any] | None,
    band: dict[str, Any] | None,
    dos: dict[str, Any] | None,
    hybrid: dict[str, Any] | None,
) -> dict[str, Any]:
    """Build the property documents of a material from whatever was calculated, and record the outcome with its reason.

    Parameters
    ----------
    material, series
        :class:`~hibana.flows.messages.Material` and :class:`~hibana.flows.messages.Series`.
    relaxed, band, dos, hybrid
        The :class:`~hibana.flows.messages.Answer` of each step; None for a job that ended with an error.

    Returns
    -------
    dict
        ``state`` and ``reason`` of the outcome, and the ``flags`` of the documents.
    """
    store = current_context().store
    about, by = Material.model_validate(material), Series.model_validate(series)
    outputs = dict(zip(STEPS, (relaxed, band, dos, hybrid), strict=True))
    answers = {step: Answer.read(output, f"the job of {step}") for step, output in outputs.items()}
    protocol = protocol_of(by)
    tasks = {step: store.task(answer.address, any_status=True) for step, answer in answers.items() if answer.address is not None}
    evidence = Evidence(
        material=about,
        protocol=protocol,
        tasks=cast("dict[Step, TaskDoc]", {step: task for step, task in tasks.items() if task is not None}),
        reasons={step: answer.why_not for step, answer in answers.items() if not answer.is_answered},
        built_at=datetime.now(UTC),
    )
    documents = [] if "structure_opt" not in evidence.tasks else [build_relaxation(evidence), build_electronic(evidence)]
    for document in documents:
        store.put_property(document)
    state, reason = outcome(evidence)
    store.record_outcome(about.material_id, FLOW, protocol.name, by.calculator, state, reason, protocol_version=protocol.version)
    flags = dict.fromkeys(flag for document in documents for flag in document.flags)
    return {"state": state, "reason": reason, "flags": list(flags)}


def outcome(evidence: Evidence) -> tuple[str, str]:
    """State of a material after its flow, and the reason in words."""
    if "structure_opt" not in evidence.tasks or evidence.answer("structure_opt") is None or "structure_opt" in evidence.reasons:
        return "failed", f"relaxation: {evidence.why_not('structure_opt')}"
    document = build_electronic(evidence)
    if document.status == "complete":
        return ("metal", "no gap") if document.gap_class == "metal" else ("done", "every step has its answer")
    return ("failed" if document.status == "unavailable" else "partial"), document.reason or ""
