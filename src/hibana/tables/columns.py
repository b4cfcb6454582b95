"""Columns of tables: projections of the fields of property documents.

Type, unit and meaning of a column are those of the field it shows, so a data dictionary is generated from the documents and
can say nothing else than they do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from hibana.core.units import unit_of
from hibana.documents.arrays import ArrayRef
from hibana.documents.properties import From, PropertyDoc
from hibana.tables.cells import Dtype, Value, as_cell
from hibana.tables.errors import OTHER_GRID
from hibana.tables.grids import Grid
from hibana.tables.ranges import Range, allowed_range

Documents = Mapping[type[PropertyDoc], PropertyDoc]
"""The property documents of one material in one series, by their type."""

TENSOR_COMPONENTS: Mapping[str, tuple[int, ...]] = {
    "xx": (0, 0),
    "yy": (1, 1),
    "zz": (2, 2),
    "yz": (1, 2),
    "xz": (0, 2),
    "xy": (0, 1),
}
"""Names of the six components of a symmetric tensor, in the order of Voigt."""

FLAGS = "flags"
"""Name of the column with the flags of a row."""

_DTYPES: dict[Any, Dtype] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    tuple[str, ...]: "list of strings",
    tuple[float, ...]: "list of numbers",
    tuple[float, float, float]: "list of numbers",
    dict[str, float]: "map of numbers",
}


def _no_array(ref: ArrayRef) -> NDArray[np.generic]:
    raise LookupError(f"array {ref.sha256[:12]} is not at hand")


@dataclass(frozen=True)
class Record:
    """What the cells of one row are read from.

    Parameters
    ----------
    documents
        The property documents of the row's material.
    array
        Gives the array that a reference names.
    item
        The part of a document the row is about, in a table with several rows a material.
    parts
        Documents about parts of the material, for a row that is about the whole of it.
    withheld
        Documents that there are, but not for this row: they have flags.
    family
        Family of duplicates that screening put the material into; None where it was not screened.
    """

    documents: Documents
    array: Callable[[ArrayRef], NDArray[np.generic]] = field(default=_no_array)
    item: BaseModel | None = None
    parts: Sequence[PropertyDoc] = ()
    withheld: Documents = field(default_factory=dict)
    family: str | None = None


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
        Takes the value out of what a row is made from.
    grid
        The points a spectrum is given on; None for all other types.
    steps
        Steps whose runs the value was read from; their addresses stand in the row.
    is_note
        Whether it is a note on other columns (a reason), so that an empty cell is no missing value.
    """

    name: str
    dtype: Dtype
    unit: str | None
    meaning: str
    source: str
    read: Callable[[Record], Any]
    grid: Grid | None = None
    steps: tuple[str, ...] = ()
    is_note: bool = False

    @cached_property
    def allowed(self) -> Range | None:
        """The range its numbers must be in; None where they may be anything or it has no numbers."""
        return allowed_range(self.source, self.name)

    def value(self, record: Record) -> Value:
        """Value of one row; None where it is missing, NaN and infinity included.

        Raises
        ------
        ValueError
            If a spectrum has another number of points than its grid.
        """
        value = as_cell(self.read(record), self.dtype)
        if self.grid is not None and isinstance(value, np.ndarray) and value.shape != (self.grid.count,):
            raise ValueError(f"{self.name} has the shape {value.shape} on a grid of {self.grid.count} points")
        return value

    def as_dict(self) -> dict[str, Any]:
        """Entry of the data dictionary."""
        entry: dict[str, Any] = {"name": self.name, "type": self.dtype, "unit": self.unit}
        entry |= {"meaning": self.meaning, "source": self.source, "steps": list(self.steps)}
        entry["allowed"] = None if self.allowed is None else self.allowed.as_list()
        return entry if self.grid is None else {**entry, "grid": self.grid.as_dict()}


def property_name(kind: type[PropertyDoc]) -> str:
    """Name of a kind of property, for instance ``electronic`` for ``ElectronicDoc``; also its collection in the store."""
    return kind.collection


def steps_of(model: type[BaseModel], field: str) -> tuple[str, ...]:
    """Steps whose runs the values of a field are read from, by its annotation."""
    return tuple(step for item in model.model_fields[field].metadata if isinstance(item, From) for step in item.steps)


def projection(
    kind: type[PropertyDoc], field: str, name: str | None = None, *, after: Sequence[str] = (), is_note: bool = False
) -> Column:
    """Column that shows a field of a property document.

    Parameters
    ----------
    kind
        The document.
    field
        Its field.
    name
        Name of the column; default: that of the field.
    after
        Fields whose meaning is read before that of the field, where it goes on from theirs.
    is_note
        Whether it is a note on other columns.

    Raises
    ------
    KeyError
        If the document has no such field.
    TypeError
        If values of the field do not fit in a cell.
    """
    return Column(
        name=name or field,
        dtype=_dtype(kind.model_fields[field].annotation),
        unit=unit_of(kind, field),
        meaning=_meaning(kind, (*after, field)),
        source=f"{property_name(kind)}.{field}",
        read=lambda record: getattr(record.documents[kind], field),
        steps=steps_of(kind, field),
        is_note=is_note,
    )


def item_projection(
    kind: type[PropertyDoc], items: str, item: type[BaseModel], field: str, name: str | None = None, *, after: Sequence[str] = ()
) -> Column:
    """Column of a table with one row an item of a document's tuple: shows a field of the item.

    Parameters
    ----------
    kind
        The document.
    items
        Its field with the tuple of items.
    item
        Model of an item.
    field
        Field of the item.
    name
        Name of the column; default: that of the field.
    after
        Fields of the item whose meaning is read before that of the field, where it goes on from theirs.
    """
    return Column(
        name=name or field,
        dtype=_dtype(item.model_fields[field].annotation),
        unit=unit_of(item, field),
        meaning=_meaning(item, (*after, field)),
        source=f"{property_name(kind)}.{items}.{field}",
        read=lambda record: getattr(record.item, field),
        steps=steps_of(item, field) or steps_of(kind, items),
    )


def component_columns(
    kind: type[PropertyDoc], field: str, components: Mapping[str, tuple[int, ...]] = TENSOR_COMPONENTS
) -> tuple[Column, ...]:
    """Columns with the components of a vector or tensor field, named ``<field>_<component>``.

    Parameters
    ----------
    kind
        The document.
    field
        A field of nested tuples of numbers, or None.
    components
        Name of each component to its indices; default: the six of a symmetric 3x3 tensor.
    """
    info = kind.model_fields[field]
    return tuple(
        Column(
            name=f"{field}_{name}",
            dtype="number",
            unit=unit_of(kind, field),
            meaning=f"{(info.description or '').rstrip('.')}: component {name}.",
            source=f"{property_name(kind)}.{field}",
            read=_component(kind, field, indices),
            steps=steps_of(kind, field),
        )
        for name, indices in components.items()
    )


def spectrum_column(
    kind: type[PropertyDoc],
    array: str,
    *,
    grid: Grid,
    points: str,
    unit: str,
    meaning: str,
    steps: tuple[str, ...],
) -> Column:
    """Column with a spectrum that a document keeps as an array, loaded from the store row by row.

    Parameters
    ----------
    kind
        The document.
    array
        Name of the spectrum, (n,), in the document's ``arrays``; the cell is missing where the document has none.
    grid
        The points every row has.
    points
        Name of the array with the points of the document's own grid.
    unit, meaning
        Unit and meaning of the numbers.
    steps
        Steps it was read from.

    Raises
    ------
    HibanaError
        From the column's ``value``: HIB-136 if the document's points are not those of `grid`.
    """

    def read(record: Record) -> Any:
        arrays = record.documents[kind].arrays
        if array not in arrays:
            return None
        if not grid.has(np.asarray(record.array(arrays[points]), dtype=float)):
            raise OTHER_GRID.error(
                f"{property_name(kind)}: {array} is not given on {grid}", where=record.documents[kind].material_id
            )
        return record.array(arrays[array])

    return Column(array, "spectrum", unit, meaning, f"{property_name(kind)}.arrays.{array}", read, grid, steps)


def address_column(kind: type[PropertyDoc], step: str, name: str | None = None) -> Column:
    """Column with the content address of the run of one step that a property rests on.

    Parameters
    ----------
    kind
        Property document whose ``addresses`` name the run.
    step
        Its key there.
    name
        Name of the column; default ``address_`` and the step.
    """
    return Column(
        name=name or f"address_{step}",
        dtype="string",
        unit=None,
        meaning=f"Content address of the run {step} that the row rests on.",
        source=f"{property_name(kind)}.addresses.{step}",
        read=lambda record: record.documents[kind].addresses.get(step),
    )


def flags_column(*kinds: type[PropertyDoc]) -> Column:
    """Column with the flags of all documents a row is joined from, each once, in their order."""
    return Column(
        name=FLAGS,
        dtype="list of strings",
        unit=None,
        meaning=PropertyDoc.model_fields["flags"].description or "",
        source=", ".join(f"{property_name(kind)}.flags" for kind in kinds),
        read=lambda record: tuple(dict.fromkeys(flag for kind in kinds for flag in record.documents[kind].flags)),
    )


def _meaning(model: type[BaseModel], fields: Sequence[str]) -> str:
    return " ".join(model.model_fields[field].description or "" for field in fields)


def _component(kind: type[PropertyDoc], field: str, indices: tuple[int, ...]) -> Callable[[Record], Any]:
    def read(record: Record) -> Any:
        value = getattr(record.documents[kind], field)
        for index in indices:
            value = None if value is None else value[index]
        return value

    return read


def _dtype(annotation: Any) -> Dtype:
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (item for item in get_args(annotation) if item is not NoneType)
    if get_origin(annotation) is Literal:
        annotation = type(get_args(annotation)[0])
    if annotation not in _DTYPES:
        raise TypeError(f"values of type {annotation} do not fit in a cell of a table")
    return _DTYPES[annotation]
