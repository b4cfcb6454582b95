"""Where a candidate is, or why it is not in the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.flows.branches import BRANCHES, branches_of, step_of
from hibana.launch.job_states import JobState, jobs_of
from hibana.launch.naming import find_materials
from hibana.launch.taxonomy import advice, cause_of_run
from hibana.properties.registry import properties_of

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from hibana.store.store import Store

Place = Literal[
    "in_table", "flagged", "no_value", "running", "queued", "waiting", "stuck", "held", "no_workflow", "not_submitted"
]

PLACE_MEANINGS: Mapping[Place, str] = {
    "in_table": "in the table",
    "flagged": "has its numbers, but is kept out of the table by flags",
    "no_value": "was calculated, but has no value for the table",
    "running": "is being calculated",
    "queued": "waits in the queue of a computer",
    "waiting": "waits for a launcher: hibana run, rlaunch or qlaunch",
    "stuck": "a job ended with an error; mend it, then lpad rerun_fws",
    "held": "its workflow is paused, defused or archived (lpad resume_wflows, reignite_wflows)",
    "no_workflow": "was submitted, but its workflow is no longer in the launchpad: submit it again",
    "not_submitted": "was never submitted",
}


@dataclass(frozen=True)
class RunFailure:
    """A calculation without an answer, with what to do about its cause."""

    task: str
    status: str
    reason: str
    directory: str
    hint: str


@dataclass(frozen=True)
class PartState:
    """One property document of a submission."""

    name: str
    status: str
    reason: str | None


@dataclass(frozen=True)
class Entry:
    """What became of one submission of a candidate."""

    flow: str
    protocol: str
    protocol_version: int
    calculator: str
    place: Place
    reason: str
    outcome: str | None = None
    flags: tuple[str, ...] = ()
    properties: tuple[PartState, ...] = ()
    jobs: tuple[JobState, ...] = ()
    failures: tuple[RunFailure, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Where a candidate is, for every submission of it."""

    material_id: str
    formula: str
    sources: tuple[str, ...]
    entries: tuple[Entry, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def why(store: Store, launchpad: LaunchPad, material: str) -> list[Explanation]:
    """Where the candidates of a name are.

    Parameters
    ----------
    store, launchpad
        Documents and workflows.
    material
        A material_id, or a reduced formula or the name of a file, which several candidates may have.

    Raises
    ------
    HibanaError
        HIB-114 if there is no such candidate.
    """
    candidates = [store.candidate(material_id) for material_id in find_materials(store, material)]
    return [_explain(store, launchpad, candidate) for candidate in candidates if candidate is not None]


def _explain(store: Store, launchpad: LaunchPad, candidate: CandidateDoc) -> Explanation:
    entries = tuple(_entry(store, launchpad, candidate, submission) for submission in candidate.submissions)
    return Explanation(candidate.material_id, candidate.formula, candidate.sources, entries)


def _entry(store: Store, launchpad: LaunchPad, candidate: CandidateDoc, submission: Submission) -> Entry:
    about = {
        "flow": submission.flow,
        "protocol": submission.protocol,
        "protocol_version": submission.protocol_version,
        "calculator": submission.calculator,
    }
    jobs = jobs_of(launchpad, candidate.material_id, submission)
    outcome = next((o for o in store.outcomes(candidate.material_id) if all(o[k] == v for k, v in about.items())), None)
    documents = _documents(store, candidate.material_id, submission)
    flags = tuple(dict.fromkeys(flag for document in documents for flag in document.flags))
    place, reason = _place(jobs, outcome, documents, flags)
    return Entry(
        flow=submission.flow,
        protocol=submission.protocol,
        protocol_version=submission.protocol_version,
        calculator=submission.calculator,
        place=place,
        reason=reason,
        outcome=None if outcome is None else outcome["state"],
        flags=flags,
        properties=tuple(PartState(document.collection, document.status, _reason(document)) for document in documents),
        jobs=jobs,
        failures=_failures(store, candidate.material_id, submission),
    )


def _place(
    jobs: Sequence[JobState],
    outcome: Mapping[str, Any] | None,
    documents: Sequence[PropertyDoc],
    flags: Sequence[str],
) -> tuple[Place, str]:
    """Where a submission is, and the reason in words."""
    states = {job.state for job in jobs}
    named = {state: ", ".join(job.name for job in jobs if job.state == state) for state in states}
    if "RUNNING" in states:
        return "running", f"now: {_with_places(jobs, 'RUNNING')}"
    if "RESERVED" in states:
        return "queued", f"next: {_with_places(jobs, 'RESERVED')}"
    if "READY" in states:
        return "waiting", f"next: {named['READY']}"
    if outcome is None:
        return _without_outcome(jobs, states, named)
    has_value = {document.collection for document in documents if document.status != "unavailable"}
    if RelaxationDoc.collection not in has_value or len(has_value) < 2:
        return "no_value", str(outcome["reason"])
    if flags:
        return "flagged", "; ".join(flags)
    return "in_table", str(outcome["reason"] or outcome["state"])


def _with_places(jobs: Sequence[JobState], state: str) -> str:
    """Jobs in a state, each with where it is."""
    return ", ".join(f"{job.name} ({job.place})" if job.place else job.name for job in jobs if job.state == state)


def _without_outcome(jobs: Sequence[JobState], states: set[str], named: Mapping[str, str]) -> tuple[Place, str]:
    if not states:
        return "no_workflow", PLACE_MEANINGS["no_workflow"]
    if "FIZZLED" in states:
        causes = ", ".join(f"{job.name} ({job.cause})" for job in jobs if job.state == "FIZZLED")
        return "stuck", f"ended with an error: {causes}"
    held = states & {"PAUSED", "DEFUSED", "ARCHIVED"}
    if held:
        return "held", "; ".join(f"{state}: {named[state]}" for state in sorted(held))
    return "waiting", f"not yet ready: {named.get('WAITING', ', '.join(named.values()))}"


def _documents(store: Store, material_id: str, submission: Submission) -> list[PropertyDoc]:
    """The property documents that the flow of a submission is about, the relaxation first."""
    asked = properties_of(BRANCHES[name].step for name in branches_of(submission.flow))
    kinds: list[type[PropertyDoc]] = [RelaxationDoc, *(item.kind for item in asked)]
    query = {
        "material_id": material_id,
        "protocol": submission.protocol,
        "protocol_version": submission.protocol_version,
        "calculator": submission.calculator,
    }
    return [document for kind in kinds for document in store.properties(kind, query)]


def _reason(document: PropertyDoc) -> str | None:
    """The reason without the name of the document, which stands before it."""
    return None if document.reason is None else document.reason.removeprefix(f"{document.collection}: ")


def _failures(store: Store, material_id: str, submission: Submission) -> tuple[RunFailure, ...]:
    """Calculations that ended without an answer."""
    query = {
        "material_id": material_id,
        "protocol": submission.protocol,
        "protocol_version": submission.protocol_version,
        "calculator.name": submission.calculator,
        "status": {"$nin": ["converged", "ionic_limit"]},
    }
    fields = ("task", "functional", "variant", "status", "failure", "machine")
    return tuple(
        RunFailure(
            task=step_of(item["task"], item["functional"], item.get("variant", "")),
            status=item["status"],
            reason=(item.get("failure") or {}).get("message", item["status"]),
            directory=f"{item['machine']['host']}:{item['machine']['directory']}",
            hint=advice("run", cause_of_run(item)).mend,
        )
        for item in store.query("tasks", query, fields)
    )
