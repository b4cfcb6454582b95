"""Kinds of error of the exported tables."""

from __future__ import annotations

from hibana.core.errors import declare

UNKNOWN_TABLE = declare(
    130,
    "no such table",
    "Choose one of the tables that the message lists.",
)
MIXED_SERIES = declare(
    131,
    "a table holds one calculator and one protocol",
    "Choose what to export with --calculator, --protocol and --protocol-version.",
)
UNKNOWN_SERIES = declare(
    132,
    "nothing of this calculator and protocol in the store",
    "Choose a calculator and a protocol that are there, or submit the candidates with the one you want.",
)
NOTHING_ASKED = declare(
    133,
    "nothing to export",
    "Submit candidates first (hibana submit), or check that the launchpad file names the database you mean.",
)
UNWRITABLE_DIRECTORY = declare(
    134,
    "the folder of the table cannot be written",
    "Choose another folder with -o, or mend the permissions or the free space of this one.",
)
FOREIGN_README = declare(
    135,
    "the folder has a README.md of its own",
    "Export each table to a folder of its own, for instance -o tables/dielectric.",
)
OTHER_GRID = declare(
    136,
    "a spectrum is not on the grid of the table",
    "Build the documents of the material again with this version of hibana.",
)
