"""What a table is: a name, the property documents it joins, and its columns."""

from __future__ import annotations

from dataclasses import dataclass

from hibana.documents.properties import PropertyDoc
from hibana.tables.columns import Column


@dataclass(frozen=True)
class Table:
    """A join of property documents, one row a material in one series (protocol, version, calculator).

    Parameters
    ----------
    name
        Name of the table and of its files.
    title
        What it holds, for the head of its card.
    about
        How the numbers were made and how to read them, one paragraph each, for its card.
    flow
        Flow whose candidates it accounts for.
    documents
        Kinds of property document it joins; all of them are needed for a row. The last one is what the table is about.
    columns
        Its columns, in their order.
    """

    name: str
    title: str
    about: tuple[str, ...]
    flow: str
    documents: tuple[type[PropertyDoc], ...]
    columns: tuple[Column, ...]
