"""The card of a table: README.md beside its files, what a reader needs to use it without asking."""

from __future__ import annotations

from collections.abc import Sequence

from hibana.protocol.protocol import load_protocol, protocol_names
from hibana.tables.columns import Column
from hibana.tables.left_out import LEFT_OUT_MEANINGS
from hibana.tables.manifest import Manifest
from hibana.tables.missing import MISSING_MEANINGS
from hibana.tables.other_formats import SUFFIXES
from hibana.tables.series import Series
from hibana.tables.structures_file import STRUCTURES_FILE
from hibana.tables.table import Table
from hibana.tables.tally import Tally


def card(manifest: Manifest, tally: Tally) -> str:
    """Text of the card, in Markdown.

    Parameters
    ----------
    manifest
        What is known of the export.
    tally
        What was counted while it was written.
    """
    table = manifest.table
    sections = [
        f"# {table.name}: {table.title}",
        _facts(manifest, tally),
        *table.about,
        _files(manifest),
        _missing(table),
        "## Columns",
        columns_table(table.columns),
        "## What was left out",
        _left_out(table, tally),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(manifest: Manifest, tally: Tally) -> str:
    table, series, include_flagged = manifest.table, manifest.series, manifest.include_flagged
    versions = ", ".join(sorted(tally.calculator_versions))
    flagged = f"kept, {tally.n_flagged_rows} of the rows (see `flags`)" if include_flagged else "left out, see below"
    facts = {
        "Rows": f"{tally.n_rows}, {_key(table, tally)}",
        "Calculator": f"{series.calculator}{f' ({versions})' if versions else ''}; numbers of two calculators are never mixed",
        "Protocol": f"{series.protocol}, version {series.protocol_version}",
        **_functional(series),
        "Flagged results": flagged,
        "Candidates considered": str(tally.n_candidates),
        f"{_counted(table)} left out": str(tally.n_left_out),
        "Snapshot": f"`{manifest.snapshot}`, the hash of what the table contains: name it where you use the table",
        "Licence": manifest.licence or "not stated; ask who gave you the table",
        "Citation": "; ".join(manifest.citation) or "not stated",
    }
    text = "\n".join(f"- **{name}**: {fact}" for name, fact in facts.items())
    if series.calculator == "gpaw-rehearsal":
        text += (
            "\n\n> **Rehearsal.** These numbers come from the stand-in for VASP, not from VASP. They are real calculations, "
            "good for trying out a campaign, and are not for publication."
        )
    if series.calculator == "synthetic":
        text += (
            "\n\n> **Synthetic.** No calculation was made: these numbers are those of a toy model, for trying out how a campaign "
            "runs. They are true of no material."
        )
    if not tally.n_rows:
        text += "\n\n**The table has no rows.** The reasons are below."
    return text


def _functional(series: Series) -> dict[str, str]:
    """The density functional; nothing where the protocol in this version of hibana is not that of the table."""
    if series.protocol not in protocol_names():
        return {}
    protocol = load_protocol(series.protocol)
    if protocol.version != series.protocol_version:
        return {}
    name = {"pbesol": "PBEsol", "pbe": "PBE"}.get(protocol.functional, protocol.functional)
    hubbard = "with" if protocol.hubbard_u else "without"
    return {"Functional": f"{name} {hubbard} Hubbard U, but for columns that name another one; how it was used is said below"}


def _key(table: Table, tally: Tally) -> str:
    if table.parts is not None:
        return f"one of the {table.parts.noun} of {tally.n_materials} materials, sorted by `material_id`"
    if table.items is None:
        return "one a material, sorted by `material_id`"
    return f"one of the {table.items} of {tally.n_materials} materials, sorted by `material_id`"


def _files(manifest: Manifest) -> str:
    table = manifest.table
    return f"""## Files

- `{table.name}.parquet`: the table; unit, meaning and source of each column are in its field metadata
- `{table.name}.csv`: the same as text (UTF-8; lists are joined by `;`, and maps: `Zn:0.93;O:0.07`){_without(table)}
{_long(table)}{_others(manifest)}- `{STRUCTURES_FILE}`: a line of JSON a material: `material_id`, and `structure` for pymatgen
- `dictionary.json`: name, type, unit, meaning, allowed range and source property of each column
- `left_out.csv`: {_all(table)} without a row, with the reason
- `manifest.json`: what the table is, for programs: snapshot, series, counts, columns, versions, hash of each file
- `croissant.json`: the same as JSON-LD (Croissant 1.0)

```python
import json
import pandas as pd

table = pd.read_parquet("{table.name}.parquet")
same = pd.read_csv("{table.name}.csv", keep_default_na=False, na_values=[""])
left_out = pd.read_csv("left_out.csv", keep_default_na=False)
with open("dictionary.json", encoding="utf-8") as file:
    columns = pd.DataFrame(json.load(file)["columns"]).set_index("name")  # unit, meaning, steps of each column
{_stacking(table)}{_widening(table)}```"""


def _others(manifest: Manifest) -> str:
    """The formats that were asked for."""
    meanings = {
        "jsonl": f'the table as JSON lines: `pd.read_json("{manifest.table.name}.jsonl", lines=True, dtype=False)`',
        "hdf5": "the table as HDF5, a dataset a column; `missing_value` stands for null",
    }
    return "".join(f"- `{manifest.table.name}{SUFFIXES[name]}`: {meanings[name]}\n" for name in manifest.formats)


def _spectra(table: Table) -> str:
    return ", ".join(f"`{column.name}`" for column in table.spectra)


def _without(table: Table) -> str:
    return f", without the spectra {_spectra(table)}" if table.spectra else ""


def _long(table: Table) -> str:
    if table.grid is None:
        return ""
    return f"- `{table.long_name}`: {_spectra(table)}, one line a material and {table.grid.name} ({table.grid})\n"


def _widening(table: Table) -> str:
    """How to get the maps of all rows as one column a key."""
    names = [column.name for column in table.columns if column.dtype == "map of numbers"]
    cells = '[dict(() if cell is None else cell) for cell in table["{name}"]]'
    return "".join(f"{name} = pd.DataFrame({cells.format(name=name)}, index=table.index)\n" for name in names)


def _stacking(table: Table) -> str:
    """How to get the spectra of all rows as one array."""
    if table.grid is None:
        return ""
    name = table.spectra[0].name
    return f'''
import numpy as np
import pyarrow.parquet as pq

grid = json.loads(pq.read_schema("{table.name}.parquet").metadata[b"grid"])
{table.grid.name} = np.linspace(grid["start"], grid["stop"], grid["count"])
spectra = np.stack(table["{name}"].dropna())  # (materials, {table.grid.count})
'''


def _missing(table: Table) -> str:
    codes = "\n".join(f"- `{code}`: {meaning}" for code, meaning in MISSING_MEANINGS.items())
    return (
        "A missing value is null in Parquet and an empty cell in CSV, never 0. `missing` names each one with a code that says "
        "why, and `reason` says it in words. `keep_default_na=False` keeps pandas from taking the formula NaN for a missing "
        "value. `steps` of a column names the runs that it comes from, and `address_` with that name is the column with the "
        'address of the run: `hibana query \'{"address": "…"}\' --collection tasks` shows it, '
        f"and `hibana why MATERIAL` says how a material got where it is in `{table.name}`.\n\n{codes}"
    )


def columns_table(columns: Sequence[Column]) -> str:
    """The columns as a Markdown table."""
    return markdown_table(
        ("name", "type", "unit", "allowed", "meaning", "source"),
        [(f"`{c.name}`", c.dtype, c.unit or "", str(c.allowed or ""), c.meaning, f"`{c.source}`") for c in columns],
    )


def _all(table: Table) -> str:
    return f"every candidate{'' if table.parts is None else ', or of its ' + table.parts.noun + ' each one,'}"


def _counted(table: Table) -> str:
    return "Candidates" if table.parts is None else f"Candidates or {table.parts.noun}"


def _left_out(table: Table, tally: Tally) -> str:
    if not tally.n_left_out:
        return "Nothing." if table.parts else "Nothing: every candidate of the store has a row."
    counts = markdown_table(
        ("reason", _counted(table).lower(), "meaning"),
        [(code, str(tally.left_out[code]), text) for code, text in LEFT_OUT_MEANINGS.items() if code in tally.left_out],
    )
    part = () if table.parts is None else ("part",)
    names = ("material_id", "formula", *part, "code", "reason")
    listing = markdown_table(
        ("material_id", "formula", *part, "reason", "in words"),
        [[getattr(item, name) for name in names] for item in tally.first_left_out],
    )
    shown = len(tally.first_left_out)
    more = f"\n\nThe first {shown} of {tally.n_left_out}; `left_out.csv` has all." if shown < tally.n_left_out else ""
    return f"{counts}\n\n{listing}{more}"


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |" for row in rows)
