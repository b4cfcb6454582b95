"""Where a candidate is, or why it is not in the table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pymongo import DESCENDING

from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.flows.branches import BRANCHES, branches_of, step_of
from hibana.launch.adding import SUBMISSION
from hibana.launch.errors import NO_SUCH_MATERIAL
from hibana.launch.submit import submission_key
from hibana.properties.registry import properties_of

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from hibana.store.store import Store

Place = Literal["in_table", "flagged", "no_value", "running", "waiting", "stuck", "held", "no_workflow", "not_submitted"]

PLACE_MEANINGS: Mapping[Place, str] = {
    "in_table": "in the table",
    "flagged": "has its numbers, but is kept out of the table by flags",
    "no_value": "was calculated, but has no value for the table",
    "running": "is being calculated",
    "waiting": "waits for a launcher: hibana run, rlaunch or qlaunch",
    "stuck": "a job ended with an error; mend it, then lpad rerun_fws",
    "held": "its workflow is paused, defused or archived",
    "no_workflow": "was submitted, but its workflow is no longer in the launchpad: submit it again",
    "not_submitted": "was never submitted",
}


@dataclass(frozen=True)
class JobState:
    """One job of a workflow.

    Parameters
    ----------
    fw_id, name, state
        As in ``lpad get_fws``.
    directory
        Folder of the last launch.
    error
        Last lines of the error of a FIZZLED job.
    """

    fw_id: int
    name: str
    state: str
    directory: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class RunFailure:
    """A calculation without an answer."""

    task: str
    status: str
    reason: str
    directory: str


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
        A material_id, or a reduced formula, which several candidates may have.

    Raises
    ------
    HibanaError
        HIB-114 if there is no such candidate.
    """
    candidates = [store.candidate(material_id) for material_id in find_materials(store, material)]
    return [_explain(store, launchpad, candidate) for candidate in candidates if candidate is not None]


def find_materials(store: Store, material: str) -> list[str]:
    """The identities of the candidates of a name, see :func:`why`.

    Raises
    ------
    HibanaError
        HIB-114 if there is no such candidate.
    """
    found = list(store.query("candidates", {"_id": material}, ("material_id",)))
    found = found or list(store.query("candidates", {"formula": material}, ("material_id",), by_key=True))
    if not found:
        raise NO_SUCH_MATERIAL.error(f"{material!r}")
    return [item["material_id"] for item in found]


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
    jobs = _jobs(launchpad, candidate.material_id, submission)
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
        properties=tuple(PartState(document.collection, document.status, document.reason) for document in documents),
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
    if states & {"RUNNING", "RESERVED"}:
        return "running", f"now: {named.get('RUNNING') or named.get('RESERVED')}"
    if "READY" in states:
        return "waiting", f"next: {named['READY']}"
    if outcome is None:
        return _without_outcome(states, named)
    has_value = {document.collection for document in documents if document.status != "unavailable"}
    if RelaxationDoc.collection not in has_value or len(has_value) < 2:
        return "no_value", str(outcome["reason"])
    if flags:
        return "flagged", "; ".join(flags)
    return "in_table", str(outcome["reason"] or outcome["state"])


def _without_outcome(states: set[str], named: Mapping[str, str]) -> tuple[Place, str]:
    if not states:
        return "no_workflow", PLACE_MEANINGS["no_workflow"]
    if "FIZZLED" in states:
        return "stuck", f"ended with an error: {named['FIZZLED']}"
    held = states & {"PAUSED", "DEFUSED", "ARCHIVED"}
    if held:
        return "held", "; ".join(f"{state}: {named[state]}" for state in sorted(held))
    return "waiting", f"not yet ready: {named.get('WAITING', ', '.join(named.values()))}"


def _jobs(launchpad: LaunchPad, material_id: str, submission: Submission) -> tuple[JobState, ...]:
    """The jobs of the workflow of a submission."""
    key = submission_key(material_id, submission.flow, submission.protocol, submission.protocol_version, submission.calculator)
    keys = {"$regex": f"^{re.escape(key)}(\\|energies:[0-9a-f]+)?$"}
    workflow = launchpad.workflows.find_one({f"metadata.{SUBMISSION}": keys}, {"nodes": 1}, sort=[("updated_on", DESCENDING)])
    if workflow is None:
        return ()
    fields = {"fw_id": 1, "name": 1, "state": 1, "launches": 1}
    fireworks = sorted(launchpad.fireworks.find({"fw_id": {"$in": workflow["nodes"]}}, fields), key=lambda fw: fw["fw_id"])
    last = [fw["launches"][-1] for fw in fireworks if fw.get("launches")]
    launches = {launch["launch_id"]: launch for launch in launchpad.launches.find({"launch_id": {"$in": last}})}
    return tuple(_job(fw, launches) for fw in fireworks)


def _job(firework: Mapping[str, Any], launches: Mapping[int, Mapping[str, Any]]) -> JobState:
    numbers = firework.get("launches") or [None]
    launch = launches.get(numbers[-1], {})
    error = None
    if firework["state"] == "FIZZLED":
        stored = (launch.get("action") or {}).get("stored_data") or {}
        error = last_lines((stored.get("_exception") or {}).get("_stacktrace", "the launcher was lost"))
    return JobState(firework["fw_id"], firework["name"], firework["state"], launch.get("launch_dir"), error)


def last_lines(traceback: str) -> str:
    """The message at the end of a traceback, without the calls that led to it."""
    lines = traceback.rstrip().splitlines()
    begin = len(lines) - 1
    while begin > 0 and not _names_exception(lines[begin]):
        begin -= 1
    return "\n".join(lines[begin:])


def _names_exception(line: str) -> bool:
    """Whether a line of a traceback is the one with the class of the exception."""
    name, colon, _ = line.partition(":")
    return (
        bool(line) and not line[0].isspace() and (bool(colon) or " " not in line) and "Traceback" not in name and " " not in name
    )


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
        )
        for item in store.query("tasks", query, fields)
    )
