"""Units as data: ``Annotated[float, Unit("eV")]`` is what the data dictionaries are generated from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Unit:
    """Unit of a quantity as printed in tables, for instance ``eV``, ``Å``, ``eV/Å`` or ``1`` for a pure number."""

    symbol: str


def unit_of(model: type[BaseModel], field: str) -> str | None:
    """Unit of a model's field, or None where it has none (text, flags, references).

    Parameters
    ----------
    model
        A pydantic model.
    field
        Name of one of its fields.

    Raises
    ------
    KeyError
        If the model has no such field.
    """
    for item in model.model_fields[field].metadata:
        if isinstance(item, Unit):
            return item.symbol
    return None
