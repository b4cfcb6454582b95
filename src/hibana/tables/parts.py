"""Tables with a row for each part of a material, for instance for each vacancy in each charge state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from hibana.documents.properties import PropertyDoc
from hibana.tables.columns import Documents


class Parts(ABC):
    """What a table asks of the parts of a material.

    A part is a document of the kind the table is about, and there are several of a material. Where `documents` is of one part,
    that document is among them.
    """

    noun: str
    """What the parts are, for the card: vacancies."""

    @abstractmethod
    def refusal(self, documents: Documents) -> str | None:
        """Why a material has no parts by a rule of the protocol; None if it may have."""

    @abstractmethod
    def expected(self, documents: Documents, parts: Sequence[PropertyDoc]) -> Mapping[str, str | None]:
        """Parts that a material must have besides those there are, with the reason why they are not there or None."""

    @abstractmethod
    def order(self, part: PropertyDoc) -> Any:
        """What parts are sorted by."""

    @abstractmethod
    def why_unavailable(self, documents: Documents) -> str | None:
        """Why a part has no value; None if it has."""

    @abstractmethod
    def flags(self, documents: Documents) -> tuple[str, ...]:
        """Flags of a row."""

    @abstractmethod
    def item(self, documents: Documents) -> BaseModel | None:
        """What else a row is about, for instance its site; None where it is not known."""
