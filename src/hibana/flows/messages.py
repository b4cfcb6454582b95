"""What jobs hand to each other: small plain dictionaries, validated where they are read.

An :class:`Answer` holds all that the next job needs; the task document stays in the store under its address.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.candidate import Material
from hibana.documents.crystal import Crystal, Matrix
from hibana.documents.spec import CalculatorName, GapClass, Prior
from hibana.documents.task import Correction, Document, RunStatus, TaskDoc, why_no_answer
from hibana.protocol.protocol import load_protocol, protocol_names

__all__ = ["Answer", "Material", "Message", "Past", "Series", "series_of"]


class Message(Document):
    """Base of what is handed on; ``plain`` is its form in arguments and outputs of jobs."""

    def plain(self) -> dict[str, Any]:
        """Plain JSON data."""
        return self.model_dump(mode="json")


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
    epsilon_electronic: Annotated[Matrix | None, Unit("1")] = Field(
        default=None, description="Electronic dielectric tensor, for the share of exact exchange."
    )

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
            epsilon_electronic=task.epsilon_electronic,
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
            return cls(
                status="failed", reason=f"{what} ended with an error (hibana why MATERIAL says more; lpad get_fws -s FIZZLED)"
            )
        return cls.model_validate(output)


def series_of(protocol: str, calculator: CalculatorName) -> Series:
    """The series of a protocol, given by name or file, as it is on this machine; a file is named by its full path.

    Raises
    ------
    HibanaError
        HIB-030 or HIB-031 if there is no such protocol.
    """
    packaged = protocol in protocol_names()
    return _packaged_series(protocol, calculator) if packaged else _series(protocol, str(Path(protocol).resolve()), calculator)


@cache
def _packaged_series(protocol: str, calculator: CalculatorName) -> Series:
    return _series(protocol, protocol, calculator)


def _series(protocol: str, name: str, calculator: CalculatorName) -> Series:
    loaded = load_protocol(protocol)
    return Series(protocol=name, protocol_version=loaded.version, protocol_digest=loaded.digest, calculator=calculator)
