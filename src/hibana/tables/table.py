"""What a table is: a name, the property documents it joins, and its columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hibana.documents.crystal import Crystal
from hibana.documents.properties import PropertyDoc, RelaxationDoc
from hibana.tables.columns import Column, Documents
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
        for. None of them: every flow gives it.
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
    crystal_of
        Documents whose crystal stands beside the table as the structure of a material: that of the first one that has it.
    is_overview
        Whether a row leaves out optional documents that have flags, instead of having their flags.
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
    crystal_of: tuple[type[PropertyDoc], ...] = (RelaxationDoc,)
    is_overview: bool = False

    @property
    def subject(self) -> type[PropertyDoc]:
        """The kind of document the table is about."""
        return self.documents[-1]

    def crystal(self, documents: Documents) -> Crystal | None:
        """The structure of a material; None where no document has it."""
        crystals = (getattr(documents.get(kind), "crystal", None) for kind in self.crystal_of)
        return next((crystal for crystal in crystals if crystal is not None), None)

    def index(self, name: str) -> int:
        """Position of a column.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        return self._positions[name]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {column.name: number for number, column in enumerate(self.columns)}

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
