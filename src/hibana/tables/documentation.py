"""The page docs/tables.md, made from the registry of tables."""

from __future__ import annotations

from hibana.tables.card import columns_table, markdown_table
from hibana.tables.columns import property_name
from hibana.tables.left_out import LEFT_OUT_MEANINGS
from hibana.tables.missing import MISSING_MEANINGS
from hibana.tables.registry import TABLES
from hibana.tables.table import Table

HEAD = """# Tables

`hibana export TABLE -o FOLDER` writes a table and all that is needed to use it:

| file | what it is |
| --- | --- |
| `TABLE.parquet` | the table; unit, meaning, allowed range and source of each column are in its field metadata |
| `TABLE.csv` | the same as text: UTF-8, an empty cell is a missing value, lists are joined by `;`, maps are `Zn:0.93;O:0.07` |
| `TABLE.jsonl`, `TABLE.h5` | the same as JSON lines and HDF5, with `--format jsonl` and `--format hdf5` |
| `TABLE_long.csv` | spectra, one line a material and point of the grid, in tables that have some |
| `structures.jsonl.gz` | the structure of each material: `{"material_id": …, "structure": …}`, one line each, read by pymatgen |
| `left_out.csv` | every candidate without a row, with a code and the reason |
| `dictionary.json` | the columns for programs |
| `manifest.json` | snapshot, series, counts before and after, columns, query, versions, licence, and the hash of each file |
| `croissant.json` | the card as JSON-LD (Croissant 1.0) |
| `README.md` | the card for people |

A table holds one series: one calculator, one protocol, one version of it. Numbers of two series are never mixed.

**Snapshots.** `snapshot` in the manifest is the SHA-256 of what the table contains: its rows, columns, structures, series and
filter. Two exports of the same state of the store are the same bytes. With `--keep` an export goes to a folder that is named by
its snapshot, is read-only and is never written to again. `hibana diff A B` says which rows and cells changed from one export to
another, and why.

**Splits.** `hibana split FOLDER` writes `splits.json` beside the table: rows to train on and to test. It is no part of the
snapshot but names it; the learning modules refuse splits of another one. After a new export to the same folder, split again.

**In a campaign.** `lpad add workflows/export.yaml` exports tables as kept snapshots when nothing is left to run, or when so many
materials have their results, and then runs commands on them, for instance a learning module.

**Names of rows.** `row_id` is unique in a table and the same in every export: material, part of it where the row is about one,
protocol, calculator. `reduced_formula`, `anonymous_formula`, `prototype` and `chemical_system` are there to group rows by: rows
of one group are alike, and a split between training and test must not part them.

**Missing values.** A missing value is null, an empty cell in CSV, NaN in HDF5, and never 0. The column `missing` names the
missing cells of a row, each with a code:
"""

RANGES_TEXT = """**Allowed ranges.** A number outside the range of its column is no result of a calculation that went right (a
gap below 0, a lattice constant of 0.01 Å). Its row is left out as `out_of_range`, or with `--include-flagged` kept with a flag.

**Left out.** Every candidate of the store has a row or a line in `left_out.csv`, with one of these codes:
"""


def as_markdown() -> str:
    """The page."""
    missing = markdown_table(("code", "meaning"), [(f"`{code}`", text) for code, text in MISSING_MEANINGS.items()])
    left_out = markdown_table(("code", "meaning"), [(f"`{code}`", text) for code, text in LEFT_OUT_MEANINGS.items()])
    listing = markdown_table(
        ("table", "one row", "what it holds"),
        [(f"[`{table.name}`](#{table.name})", _one_row(table), table.title) for table in TABLES.values()],
    )
    end = "This page is the output of `hibana export --docs`."
    return (
        "\n\n".join((HEAD.strip(), missing, RANGES_TEXT.strip(), left_out, listing, end, *map(_section, TABLES.values()))) + "\n"
    )


def _one_row(table: Table) -> str:
    if table.parts is not None:
        return f"one of the {table.parts.noun} of a material"
    return "a material" if table.items is None else f"one of the {table.items} of a material"


def _section(table: Table) -> str:
    needed = ", ".join(f"`{property_name(kind)}`" for kind in table.documents)
    optional = ", ".join(f"`{property_name(kind)}`" for kind in table.optional)
    joined = f"Joined from the documents {needed}{f', and where they are there {optional}' if optional else ''}."
    return "\n\n".join((f"## {table.name}", f"{table.title}.", joined, *table.about, columns_table(table.columns)))
