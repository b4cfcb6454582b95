"""The candidate: a crystal that came in, where from, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from hibana.documents.crystal import Crystal
from hibana.documents.spec import CalculatorName
from hibana.documents.task import Document


class Submission(Document):
    """One workflow asked for a candidate; (flow, protocol, version, calculator) is asked once."""

    flow: str = Field(description="Name of the flow, for instance electronic.")
    protocol: str = Field(description="Name of the protocol.")
    protocol_version: int = Field(description="Version of the protocol.")
    calculator: CalculatorName = Field(description="Which code has to answer.")
    fw_ids: tuple[int, ...] = Field(default=(), description="FireWorks ids of the workflow's roots.")
    submitted_at: datetime = Field(description="When, UTC.")


class CandidateDoc(Document):
    """A standardised crystal under its identity."""

    material_id: str = Field(description="hib- and the first 16 hex digits of structure_key.")
    structure_key: str = Field(description="Digest of the crystal, the same for every description of it.")
    formula: str = Field(description="Reduced formula.")
    elements: tuple[str, ...] = Field(description="Elements, alphabetically.")
    n_sites: int = Field(description="Atoms in the primitive cell.")
    space_group_number: int = Field(description="Space group.")
    space_group_symbol: str = Field(description="Its Hermann-Mauguin symbol.")
    crystal: Crystal = Field(description="Standardised primitive cell.")
    sources: tuple[str, ...] = Field(description="Files or database entries it was read from.")
    submissions: tuple[Submission, ...] = Field(default=(), description="Workflows asked for it.")


class Material(Document):
    """Which candidate a run or a property is about."""

    material_id: str = Field(description="Identity of the candidate crystal.")
    structure_key: str = Field(description="Digest of the candidate crystal.")
    formula: str = Field(description="Reduced formula.")
    elements: tuple[str, ...] = Field(description="Elements, alphabetically.")
    space_group_number: int = Field(description="Space group of the candidate.")

    @classmethod
    def of(cls, candidate: CandidateDoc) -> Material:
        """The material of a candidate."""
        return cls(**{name: getattr(candidate, name) for name in cls.model_fields})

    def plain(self) -> dict[str, Any]:
        """Plain JSON data, as jobs hand it on."""
        return self.model_dump(mode="json")
