"""Columns of tables: projections of the fields of property documents.

Type, unit and meaning of a column are those of the field it shows, so a data dictionary is generated from the documents and
can say nothing else than they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hibana.core.units import unit_of
from hibana.documents.properties import PropertyDoc

Dtype = Literal["string", "integer", "number", "boolean", "list of strings"]
Value = str | int | float | bool | list[str] | None
Documents = Mapping[type[PropertyDoc], PropertyDoc]
"""The property documents of one material in one series, by their type."""

_DTYPES: dict[Any, Dtype] = {str: "string", int: "integer", float: "number", bool: "boolean", tuple: "list of strings"}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name
        Name of the column.
    dtype
        Type of its values; every column may hold missing values.
    unit
        Unit, or None where there is none.
    meaning
        What it says, in words.
    source
        Property document and field it shows, for instance ``electronic.vbm``.
    read
        Takes the value out of the documents of a material.
    """

    name: str
    dtype: Dtype
    unit: str | None
    meaning: str
    source: str
    read: Callable[[Documents], Any]

    def value(self, documents: Documents) -> Value:
        """Value of one row; None where it is missing, NaN and infinity included."""
        value = self.read(documents)
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return list(value) if isinstance(value, tuple) else value

    def as_dict(self) -> dict[str, str | None]:
        """Entry of the data dictionary."""
        return {"name": self.name, "type": self.dtype, "unit": self.unit, "meaning": self.meaning, "source": self.source}


def property_name(kind: type[PropertyDoc]) -> str:
    """Name of a kind of property, for instance ``electronic`` for ``ElectronicDoc``."""
    return kind.__name__.removesuffix("Doc").lower()


def projection(kind: type[PropertyDoc], field: str) -> Column:
    """Column that shows a field of a property document under the field's own name.

    Raises
    ------
    KeyError
        If the document has no such field.
    TypeError
        If values of the field do not fit in a cell.
    """
    info = kind.model_fields[field]
    return Column(
        name=field,
        dtype=_dtype(info.annotation),
        unit=unit_of(kind, field),
        meaning=info.description or "",
        source=f"{property_name(kind)}.{field}",
        read=lambda documents: getattr(documents[kind], field),
    )


def address_column(kind: type[PropertyDoc], task: str, name: str | None = None) -> Column:
    """Column with the content address of the run of one task that a property rests on.

    Parameters
    ----------
    kind
        Property document whose ``addresses`` name the run.
    task
        Its key there.
    name
        Name of the column; default ``address_`` and the task.
    """
    return Column(
        name=name or f"address_{task}",
        dtype="string",
        unit=None,
        meaning=f"Content address of the run {task} that the row rests on.",
        source=f"{property_name(kind)}.addresses.{task}",
        read=lambda documents: documents[kind].addresses.get(task),
    )


def flags_column(*kinds: type[PropertyDoc]) -> Column:
    """Column with the flags of all documents a row is joined from, each once, in their order."""
    return Column(
        name="flags",
        dtype="list of strings",
        unit=None,
        meaning=PropertyDoc.model_fields["flags"].description or "",
        source=", ".join(f"{property_name(kind)}.flags" for kind in kinds),
        read=lambda documents: tuple(dict.fromkeys(flag for kind in kinds for flag in documents[kind].flags)),
    )


def _dtype(annotation: Any) -> Dtype:
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (item for item in get_args(annotation) if item is not NoneType)
    if get_origin(annotation) is Literal:
        annotation = type(get_args(annotation)[0])
    if annotation == tuple[str, ...]:
        annotation = tuple
    if annotation not in _DTYPES:
        raise TypeError(f"values of type {annotation} do not fit in a cell of a table")
    return _DTYPES[annotation]
