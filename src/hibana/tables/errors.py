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
DUPLICATE_ROWS = declare(
    137,
    "two rows of a table have one name",
    "Build the documents of the material again (hibana rebuild); if it stays, it is a fault of hibana: report it.",
)
WRONG_TYPE = declare(
    138,
    "a cell is not of the type of its column",
    "Build the documents of the material again (hibana rebuild); if it stays, it is a fault of hibana: report it.",
)
NO_SNAPSHOT = declare(
    139,
    "the folder is no export of a table",
    "Name a folder that `hibana export TABLE -o FOLDER` wrote; it has a manifest.json.",
)
CHANGED_SNAPSHOT = declare(
    140,
    "the files are not those that were exported",
    "Export the table again to a new folder; snapshots are never edited.",
)
OTHER_TABLE = declare(
    141,
    "two exports of different tables cannot be compared",
    "Name two exports of one table.",
)
UNKNOWN_FORMAT = declare(
    142,
    "no such format of a table",
    "Choose jsonl or hdf5; Parquet and CSV are always written.",
)
BAD_EXPORT_TASK = declare(
    143,
    "the export task does not say what to do",
    "Compare the YAML file with workflows/export.yaml.",
)
MODULE_FAILED = declare(
    144,
    "a command on an exported table failed",
    "Run the command by hand in the folder that the message names, mend what it says, then `lpad rerun_fws` the task.",
)
UNREADABLE_SPLITS = declare(
    145,
    "the splits of the table cannot be read",
    "Write them with: hibana split TABLE",
)
OTHER_SPLITS = declare(
    146,
    "the splits belong to another snapshot of the table",
    "Write them again for this table (hibana split TABLE), or name the file that belongs to it with --splits.",
)
NO_SUCH_SPLIT = declare(
    147,
    "the file of splits has no such split",
    "Choose one of those that the message lists, or write more (hibana split TABLE --target COLUMN).",
)
