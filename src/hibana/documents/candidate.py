"""The candidate: a crystal that came in, where from, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
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

    def question(self) -> dict[str, Any]:
        """The fields that tell it from a candidate's others."""
        return self.model_dump(include={"flow", "protocol", "protocol_version", "calculator"})


FAMILY_LABEL = re.compile(r"fam-[0-9a-f]{16}")
"""What the label of a family looks like."""


class Family(Document, frozen=True):
    """What a screening said of the family of a crystal."""

    label: str = Field(description="Name of the family: fam- and 16 hex digits of the smallest key in it.")
    rule: int = Field(description="Version of the rule by which crystals are of one family.")


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
    families: tuple[Family, ...] = Field(
        default=(),
        description="Family that each screening put it into. Screenings of other crystals may give other labels; candidates that "
        "share one are of one family.",
    )
    submissions: tuple[Submission, ...] = Field(default=(), description="Workflows asked for it.")


def latest_families(families: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Of labels with versions of the rule those of the latest version, sorted."""
    given = sorted(set(families))
    latest = max((rule for _, rule in given), default=0)
    return tuple((label, rule) for label, rule in given if rule == latest)


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
