"""Taking submissions back that nothing has come of yet.

A submission is a workflow, its fireworks, and a note with the candidate. They go in this order
(:mod:`hibana.launch.withdrawal`), and the note only as it was read before no workflow was found: a submission of the same
question may be adding one. What is left by a killed withdrawal is finished by the next one, by the next submission of the same
question, and by the launchers' look for what killed processes leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hibana.documents.candidate import CandidateDoc, Submission
from hibana.launch.adding import SUBMISSION
from hibana.launch.counters import Counters
from hibana.launch.patient import Document, PatientCollection
from hibana.launch.sources import JOBS, SOURCES
from hibana.launch.submit import forget_without_workflow, keys_of_submission
from hibana.launch.withdrawal import WORKFLOW_FIELDS, fireworks_of, is_marked, is_taken, remove_orphans, take_back
from hibana.store.patience import patiently

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from hibana.store.store import Store

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
    """What became, or would become, of one submission; where it has several workflows, of one of them."""

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

    A workflow of which a run has started, waits in a queue or has ended is left as it is. It may be killed at any point and
    called again, and called while launchers run and while the same materials are submitted. The candidates stay.

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
        report.submissions += [item for submission in meant for item in work.of(_Case(candidate, submission))]
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
    def key(self) -> Document:
        """Matches the keys of its workflows."""
        return keys_of_submission(self.candidate.material_id, self.submission)

    def as_reported(self, fate: Fate, fireworks: Sequence[Mapping[str, Any]]) -> Withdrawn:
        """What became of a workflow with these fireworks, as they were before."""
        return Withdrawn(
            material_id=self.candidate.material_id,
            formula=self.candidate.formula,
            **self.submission.question(),
            fate=fate,
            jobs=len(fireworks),
            states=dict(sorted(Counter(firework["state"] for firework in fireworks).items())),
        )


class _Withdrawal:
    """Withdraws one submission after the other."""

    def __init__(self, store: Store, launchpad: LaunchPad, dry_run: bool) -> None:
        self.store = store
        self.launchpad = launchpad
        self.dry_run = dry_run
        self.removed: list[int] = []

    def of(self, case: _Case) -> list[Withdrawn]:
        """Withdraw one submission, or say what would become of it."""
        workflows = PatientCollection(self.launchpad.workflows).all({f"metadata.{SUBMISSION}": case.key}, WORKFLOW_FIELDS)
        found = [self._of_workflow(workflow, case) for workflow in workflows]
        if not found:
            found = [case.as_reported("ended" if self._has_ended(case) else "withdrawn", ())]
        if not self.dry_run:
            self._sweep(case)
            if all(item.fate == "withdrawn" for item in found):
                forget_without_workflow(self.store, self.launchpad, case.candidate.material_id, case.submission)
        return found

    def _of_workflow(self, workflow: Document, case: _Case) -> Withdrawn:
        fireworks = fireworks_of(self.launchpad, workflow)
        # what somebody has begun to withdraw is finished: all who look must come to the same verdict
        if self.dry_run or not any(map(is_marked, fireworks)):
            fate: Fate = "begun" if any(map(is_taken, fireworks)) else "ended" if self._has_ended(case) else "withdrawn"
            if self.dry_run or fate != "withdrawn":
                return case.as_reported(fate, fireworks)
        if not take_back(self.launchpad, workflow):  # a launcher was faster, now or when an earlier withdrawal was cut short
            return case.as_reported("begun", fireworks)
        self.removed += workflow["nodes"]
        return case.as_reported("withdrawn", fireworks)

    def _sweep(self, case: _Case) -> None:
        """Remove the fireworks of no workflow that killed processes have left of a submission."""
        left = {f"spec.{SUBMISSION}": case.key, "state": {"$in": ["PAUSED", "WAITING"]}, "launches": []}
        orphans = PatientCollection(self.launchpad.fireworks).all(left, {"fw_id": 1})
        self.removed += remove_orphans(self.launchpad, [firework["fw_id"] for firework in orphans])

    def _has_ended(self, case: _Case) -> bool:
        question = case.submission.question()
        outcomes = self.store.outcomes(case.candidate.material_id)
        return any(all(outcome[name] == value for name, value in question.items()) for outcome in outcomes)
