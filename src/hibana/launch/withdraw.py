"""Taking submissions back that nothing has come of yet.

A submission is a workflow, its fireworks, and a note with the candidate. They go in this order: the fireworks that a launcher
could take, now or when a submission under way makes the first of them ready, are paused, on the condition that they have not
been taken; if none has been taken meanwhile the workflow is deleted, then the fireworks, then the note. Killed at any point it
leaves nothing that a launcher would take, and what is left is found by the note the next time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from hibana.documents.candidate import CandidateDoc, Submission
from hibana.launch.adding import SUBMISSION, roots_of
from hibana.launch.counters import Counters
from hibana.launch.patient import Document, PatientCollection
from hibana.launch.sources import JOBS, SOURCES
from hibana.launch.submit import keys_of_submission
from hibana.store.patience import patiently

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from hibana.store.store import Store

MARK = "withdrawing"
"""Field of a firework that was paused to be withdrawn."""

UNTOUCHED = ("READY", "WAITING", "PAUSED", "DEFUSED", "ARCHIVED")
"""States of fireworks that have not been taken, if they have no launch either."""

Fate = Literal["withdrawn", "begun", "ended"]

FATE_MEANINGS: dict[Fate, str] = {
    "withdrawn": "withdrawn",
    "begun": "left as it is: runs of it have started",
    "ended": "left as it is: it has a result",
}


@dataclass(frozen=True)
class Choice:
    """Which submissions of the materials are meant; None for all.

    Parameters
    ----------
    flow
        Name of the flow; ``bulk`` is meant with whatever branches, ``bulk:band`` with these.
    protocol, protocol_version, calculator
        As in the submission.
    """

    flow: str | None = None
    protocol: str | None = None
    protocol_version: int | None = None
    calculator: str | None = None

    def includes(self, submission: Submission) -> bool:
        """Whether a submission is meant."""
        if self.flow is not None and self.flow not in (submission.flow, submission.flow.partition(":")[0]):
            return False
        given = {name: value for name, value in asdict(self).items() if value is not None and name != "flow"}
        return all(getattr(submission, name) == value for name, value in given.items())


@dataclass(frozen=True)
class Withdrawn:
    """What became, or would become, of one submission."""

    material_id: str
    formula: str
    flow: str
    protocol: str
    protocol_version: int
    calculator: str
    fate: Fate
    jobs: int
    states: dict[str, int]


@dataclass
class WithdrawReport:
    """What became of all that were asked for.

    Parameters
    ----------
    submissions
        Those that are meant.
    unsubmitted
        Materials without any.
    dry_run
        Whether nothing was written.
    """

    submissions: list[Withdrawn] = field(default_factory=list)
    unsubmitted: list[str] = field(default_factory=list)
    dry_run: bool = False

    def of(self, fate: Fate) -> list[Withdrawn]:
        """Those of one fate."""
        return [item for item in self.submissions if item.fate == fate]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "dry_run": self.dry_run,
            "submissions": [asdict(item) for item in self.submissions],
            "unsubmitted": self.unsubmitted,
        }


def withdraw(
    store: Store, launchpad: LaunchPad, material_ids: Sequence[str], choice: Choice, *, dry_run: bool = False
) -> WithdrawReport:
    """Take back the submissions of materials that nothing has come of yet.

    A submission of which a run has started, waits in a queue or has ended is left as it is. It may be killed at any point and
    called again, and called while launchers run, but not while the same materials are submitted. The candidates stay.

    Parameters
    ----------
    store, launchpad
        Documents and workflows; a LaunchPad of any class.
    material_ids
        The materials.
    choice
        Which of their submissions.
    dry_run
        Say what would become of them and write nothing.
    """
    report = WithdrawReport(dry_run=dry_run)
    work = _Withdrawal(store, launchpad, dry_run)
    for candidate in _candidates(store, material_ids):
        meant = [submission for submission in candidate.submissions if choice.includes(submission)]
        report.submissions += [work.of(_Case(candidate, submission)) for submission in meant]
        if not meant:
            report.unsubmitted.append(candidate.material_id)
    patiently(lambda: Counters(store.database, SOURCES).look_again(JOBS.name, work.removed))
    return report


def _candidates(store: Store, material_ids: Sequence[str]) -> Iterator[CandidateDoc]:
    for material_id in dict.fromkeys(material_ids):
        candidate = store.candidate(material_id)
        if candidate is not None:
            yield candidate


@dataclass(frozen=True)
class _Case:
    """One submission of one candidate."""

    candidate: CandidateDoc
    submission: Submission

    @property
    def question(self) -> Document:
        """The fields that tell it from the candidate's others."""
        return self.submission.model_dump(include={"flow", "protocol", "protocol_version", "calculator"})

    @property
    def key(self) -> Document:
        """Matches the keys of its workflows."""
        return keys_of_submission(self.candidate.material_id, self.submission)


class _Withdrawal:
    """Withdraws one submission after the other."""

    def __init__(self, store: Store, launchpad: LaunchPad, dry_run: bool) -> None:
        self.store = store
        self.dry_run = dry_run
        self.removed: list[int] = []
        self.workflows = PatientCollection(launchpad.workflows)
        self.fireworks = PatientCollection(launchpad.fireworks)

    def of(self, case: _Case) -> Withdrawn:
        """Withdraw one submission, or say what would become of it."""
        workflows = self.workflows.all({f"metadata.{SUBMISSION}": case.key}, {"nodes": 1, "parent_links": 1})
        nodes = [node for workflow in workflows for node in workflow["nodes"]]
        fireworks = self._fireworks(nodes)
        fate = self._fate(fireworks, case)
        if not self.dry_run:
            if fate == "withdrawn":
                self._change(nodes, {"state": "READY"}, {"state": "PAUSED", MARK: True})
                roots = [root for workflow in workflows for root in roots_of(workflow)]
                self._change(roots, {"state": "WAITING"}, {"state": "PAUSED", MARK: True})
                fate = self._fate(self._fireworks(nodes), case)
            if fate == "withdrawn":
                self._remove([workflow["_id"] for workflow in workflows], nodes, case)
            else:  # a launcher was faster, now or when an earlier withdrawal was cut short
                self._change(nodes, {"state": "PAUSED", MARK: True}, {"state": "READY"})
        states = Counter(firework["state"] for firework in fireworks)
        return Withdrawn(
            material_id=case.candidate.material_id,
            formula=case.candidate.formula,
            **case.question,
            fate=fate,
            jobs=len(nodes),
            states=dict(sorted(states.items())),
        )

    def _remove(self, workflow_ids: list[Any], nodes: list[int], case: _Case) -> None:
        self.workflows.remove({"_id": {"$in": workflow_ids}})
        self.fireworks.remove({"fw_id": {"$in": nodes}})
        self.removed += nodes
        # fireworks of no workflow, which a withdrawal or a submission that was cut short has left
        self.fireworks.remove({f"spec.{SUBMISSION}": case.key, "state": {"$in": ["PAUSED", "WAITING"]}, "launches": []})
        candidates = PatientCollection(self.store.database["candidates"])
        candidates.change({"_id": case.candidate.material_id}, {"$pull": {"submissions": case.question}})

    def _change(self, nodes: list[int], only: Document, fields: Document) -> None:
        change: Document = {"$set": {**fields, "updated_on": datetime.now(UTC).isoformat()}}
        if MARK not in fields:
            change["$unset"] = {MARK: ""}
        if nodes:
            patiently(lambda: self.fireworks.collection.update_many({"fw_id": {"$in": nodes}, **only}, change))

    def _fireworks(self, nodes: list[int]) -> list[Document]:
        fields = {"state": 1, "launches": 1, "archived_launches": 1}
        return self.fireworks.all({"fw_id": {"$in": nodes}}, fields) if nodes else []

    def _fate(self, fireworks: list[Document], case: _Case) -> Fate:
        if any(item["state"] not in UNTOUCHED or item.get("launches") or item.get("archived_launches") for item in fireworks):
            return "begun"
        outcomes = self.store.outcomes(case.candidate.material_id)
        ended = any(all(outcome[name] == value for name, value in case.question.items()) for outcome in outcomes)
        return "ended" if ended else "withdrawn"
