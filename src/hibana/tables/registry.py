"""All tables by name."""

from __future__ import annotations

from hibana.tables.dielectric import DIELECTRIC
from hibana.tables.electronic import ELECTRONIC
from hibana.tables.errors import UNKNOWN_TABLE
from hibana.tables.materials import materials
from hibana.tables.optical_absorption import OPTICAL_ABSORPTION
from hibana.tables.oxygen_vacancy import OXYGEN_VACANCY
from hibana.tables.phonon_gamma import PHONON_GAMMA
from hibana.tables.sites import SITES
from hibana.tables.structures import STRUCTURES
from hibana.tables.table import Table

_PROPERTIES = (ELECTRONIC, DIELECTRIC, OPTICAL_ABSORPTION, PHONON_GAMMA, SITES, OXYGEN_VACANCY, STRUCTURES)

TABLES: dict[str, Table] = {table.name: table for table in (*_PROPERTIES, materials(_PROPERTIES))}


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
