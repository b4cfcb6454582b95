"""What a table is: a name, the property documents it joins, and its columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hibana.documents.properties import PropertyDoc
from hibana.tables.columns import Column
from hibana.tables.grids import Grid
from hibana.tables.parts import Parts


@dataclass(frozen=True)
class Table:
    """A join of property documents, one row a material in one series (protocol, version, calculator), or several.

    Parameters
    ----------
    name
        Name of the table and of its files.
    title
        What it holds, for the head of its card.
    about
        How the numbers were made and how to read them, one paragraph each, for its card.
    branches
        Branches of flows each of which gives its property; a candidate is accounted for if a flow with one of them was asked
        for.
    documents
        Kinds of property document it joins; all of them are needed for a row. The last one is what the table is about.
    columns
        Its columns, in their order.
    items
        Field of the last document with a tuple of items, each of which has a row of its own; None: one row a material.
    parts
        For a table with a row for each part of a material: there are several of the last document, and this accounts for them.
    optional
        Kinds of document that a row may do without.
    """

    name: str
    title: str
    about: tuple[str, ...]
    branches: tuple[str, ...]
    documents: tuple[type[PropertyDoc], ...]
    columns: tuple[Column, ...]
    items: str | None = None
    parts: Parts | None = None
    optional: tuple[type[PropertyDoc], ...] = ()

    @property
    def subject(self) -> type[PropertyDoc]:
        """The kind of document the table is about."""
        return self.documents[-1]

    @cached_property
    def flat_columns(self) -> tuple[Column, ...]:
        """Columns whose cells fit in a CSV file: all but the spectra."""
        return tuple(column for column in self.columns if column.grid is None)

    @cached_property
    def spectra(self) -> tuple[Column, ...]:
        """Columns with a spectrum in each cell."""
        return tuple(column for column in self.columns if column.grid is not None)

    @cached_property
    def grid(self) -> Grid | None:
        """The one grid of its spectra; None where it has none.

        Raises
        ------
        ValueError
            If its spectra are on several grids.
        """
        grids = {column.grid for column in self.spectra}
        if len(grids) > 1:
            raise ValueError(f"the spectra of {self.name} are on several grids")
        return next(iter(grids), None)

    @property
    def long_name(self) -> str:
        """File with one line a material and point of the grid."""
        return f"{self.name}_long.csv"
