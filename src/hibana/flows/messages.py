"""What jobs hand to each other: small plain dictionaries, validated where they are read.

An :class:`Answer` holds all that the next job needs; the task document stays in the store under its address.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.candidate import CandidateDoc
from hibana.documents.crystal import Crystal
from hibana.documents.spec import CalculatorName, GapClass, Prior
from hibana.documents.task import Correction, Document, RunStatus, TaskDoc
from hibana.protocol.protocol import load_protocol, protocol_names

Step = Literal["structure_opt", "band", "dos", "hse06_nsc"]
"""Steps of the electronic flow; they name the addresses of a property document."""


class Message(Document):
    """Base of what is handed on; ``plain`` is its form in arguments and outputs of jobs."""

    def plain(self) -> dict[str, Any]:
        """Plain JSON data."""
        return self.model_dump(mode="json")


class Material(Message):
    """Which candidate a job works for."""

    material_id: str = Field(description="Identity of the candidate crystal.")
    structure_key: str = Field(description="Digest of the candidate crystal.")
    formula: str = Field(description="Reduced formula.")
    elements: tuple[str, ...] = Field(description="Elements, alphabetically.")
    space_group_number: int = Field(description="Space group of the candidate.")

    @classmethod
    def of(cls, candidate: CandidateDoc) -> Material:
        """The material of a candidate."""
        return cls(**{name: getattr(candidate, name) for name in cls.model_fields})


class Series(Message):
    """By which protocol, and by which code."""

    protocol: str = Field(description="Name or file of the protocol.")
    protocol_version: int = Field(description="Version of the protocol at submission.")
    protocol_digest: str = Field(description="Digest of its numbers at submission.")
    calculator: CalculatorName = Field(description="Which code has to answer.")


class Past(Message):
    """What was done of a calculation before the walltime ended it."""

    parts: int = Field(default=0, description="Parts done.")
    idle_parts: int = Field(default=0, description="Parts of about the same length that got nowhere, since one that did.")
    longest: Annotated[float, Unit("s")] = Field(default=0.0, description="Longest part.")
    crystal: Crystal | None = Field(default=None, description="Cell to go on from.")
    directory: str | None = Field(default=None, description="Folder of the last part.")
    started: str | None = Field(default=None, description="Start of the first part, ISO 8601, UTC.")
    core_hours: Annotated[float, Unit("h")] = Field(default=0.0, description="Core-hours spent.")
    corrections: tuple[Correction, ...] = Field(default=(), description="Corrections made.")


class Answer(Message):
    """How a calculation ended and what the next one needs of it."""

    status: RunStatus | Literal["skipped"] = Field(description="How the run ended; skipped where it was not done.")
    reason: str | None = Field(default=None, description="Why there is no answer.")
    address: str | None = Field(default=None, description="Address of the task document.")
    round: int = Field(default=1, description="Round of a repeated relaxation.")
    crystal: Crystal | None = Field(default=None, description="Final cell.")
    prior: Prior = Field(default=Prior(), description="Prior knowledge for the next calculation.")
    gap_class: GapClass = Field(default="unknown", description="metal, gapped, or unknown.")

    @property
    def is_answered(self) -> bool:
        """Whether the calculation has its answer."""
        return self.status == "converged"

    @property
    def why_not(self) -> str:
        """Why there is no answer, in words."""
        return self.reason or self.status

    @classmethod
    def of(cls, task: TaskDoc) -> Answer:
        """What a task document says."""
        return cls(
            status=task.status,
            reason=None if task.status == "converged" else why_no_answer(task),
            address=task.address,
            round=task.round,
            crystal=task.final,
            prior=task.prior(),
            gap_class=task.edges.gap_class if task.status == "converged" else "unknown",
        )

    def refused(self, reason: str) -> Answer:
        """The same, but not taken for an answer."""
        return self.model_copy(update={"status": "failed", "reason": reason})

    @classmethod
    def skipped(cls, reason: str) -> Answer:
        """A calculation that was not done."""
        return cls(status="skipped", reason=reason)

    @classmethod
    def read(cls, output: dict[str, Any] | None, what: str) -> Answer:
        """The answer of a job, where None stands for a job that ended with an error.

        Parameters
        ----------
        output
            Output of the job.
        what
            Its name, for the reason.
        """
        if output is None:
            return cls(status="failed", reason=f"{what} ended with an error (lpad get_fws -s FIZZLED)")
        return cls.model_validate(output)


def why_no_answer(task: TaskDoc) -> str:
    """Why a run has no answer, in words."""
    if task.failure is not None:
        return f"{task.failure.kind}: {task.failure.message}"
    return {
        "ionic_limit": "the ionic steps reached NSW",
        "electronic_limit": "the electronic steps reached NELM",
        "walltime": "the walltime ended the run",
    }.get(task.status, task.status)


def series_of(protocol: str, calculator: CalculatorName) -> Series:
    """The series of a protocol, given by name or file, as it is on this machine; a file is named by its full path.

    Raises
    ------
    HibanaError
        HIB-030 or HIB-031 if there is no such protocol.
    """
    loaded = load_protocol(protocol)
    name = protocol if protocol in protocol_names() else str(Path(protocol).resolve())
    return Series(protocol=name, protocol_version=loaded.version, protocol_digest=loaded.digest, calculator=calculator)
