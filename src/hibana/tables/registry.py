"""All tables by name."""

from __future__ import annotations

from hibana.tables.electronic import ELECTRONIC
from hibana.tables.errors import UNKNOWN_TABLE
from hibana.tables.table import Table

TABLES: dict[str, Table] = {table.name: table for table in (ELECTRONIC,)}


def find_table(name: str) -> Table:
    """Table of a name.

    Raises
    ------
    HibanaError
        If there is none.
    """
    if name not in TABLES:
        raise UNKNOWN_TABLE.error(f"{name!r}; there are: {', '.join(TABLES)}")
    return TABLES[name]
