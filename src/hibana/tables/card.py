"""The card of a table: README.md beside its files, what a reader needs to use it without asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hibana.tables.columns import Column
from hibana.tables.left_out import LEFT_OUT_MEANINGS, LeftOut, LeftOutCode
from hibana.tables.series import Series
from hibana.tables.table import Table

LISTED = 100
"""Left-out candidates the card lists by name; the file ``left_out.csv`` has all."""


@dataclass
class Tally:
    """What went through an export."""

    n_rows: int = 0
    n_materials: int = 0
    n_flagged_rows: int = 0
    calculator_versions: set[str] = field(default_factory=set)
    left_out: dict[LeftOutCode, int] = field(default_factory=dict)
    first_left_out: list[LeftOut] = field(default_factory=list)
    last_material: str | None = None

    @property
    def n_left_out(self) -> int:
        """Candidates, or parts of them, without a row."""
        return sum(self.left_out.values())

    def add_row(self, material_id: str, *, is_flagged: bool, version: str) -> None:
        """Count a row; those of one material come one after the other."""
        self.n_rows += 1
        self.n_materials += material_id != self.last_material
        self.last_material = material_id
        self.n_flagged_rows += is_flagged
        self.calculator_versions.add(version)

    def leave_out(self, item: LeftOut) -> None:
        """Count a candidate, or a part of one, without a row."""
        self.left_out[item.code] = self.left_out.get(item.code, 0) + 1
        if len(self.first_left_out) < LISTED:
            self.first_left_out.append(item)


def card(table: Table, series: Series, tally: Tally, *, include_flagged: bool) -> str:
    """Text of the card, in Markdown.

    Parameters
    ----------
    table
        The table.
    series
        The series it was made from.
    tally
        What was counted while it was written.
    include_flagged
        Whether flagged rows were let in.
    """
    sections = [
        f"# {table.name}: {table.title}",
        _facts(table, series, tally, include_flagged=include_flagged),
        *table.about,
        _files(table),
        _missing(table),
        "## Columns",
        _columns(table.columns),
        "## What was left out",
        _left_out(table, tally),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(table: Table, series: Series, tally: Tally, *, include_flagged: bool) -> str:
    versions = ", ".join(sorted(tally.calculator_versions))
    flagged = f"kept, {tally.n_flagged_rows} of the rows (see `flags`)" if include_flagged else "left out, see below"
    facts = {
        "Rows": f"{tally.n_rows}, {_key(table, tally)}",
        "Calculator": f"{series.calculator}{f' ({versions})' if versions else ''}; numbers of two calculators are never mixed",
        "Protocol": f"{series.protocol}, version {series.protocol_version}",
        "Flagged results": flagged,
        f"{_counted(table)} left out": str(tally.n_left_out),
    }
    text = "\n".join(f"- **{name}**: {fact}" for name, fact in facts.items())
    if series.calculator == "gpaw-rehearsal":
        text += (
            "\n\n> **Rehearsal.** These numbers come from the stand-in for VASP, not from VASP. They are real calculations, "
            "good for trying out a campaign, and are not for publication."
        )
    if not tally.n_rows:
        text += "\n\n**The table has no rows.** The reasons are below."
    return text


def _key(table: Table, tally: Tally) -> str:
    if table.parts is not None:
        return f"one of the {table.parts.noun} of {tally.n_materials} materials, sorted by `material_id`"
    if table.items is None:
        return "one a material, sorted by `material_id`"
    return f"one of the {table.items} of {tally.n_materials} materials, sorted by `material_id`"


def _files(table: Table) -> str:
    return f"""## Files

- `{table.name}.parquet`: the table; unit, meaning and source of each column are in its field metadata
- `{table.name}.csv`: the same as text (UTF-8; lists are joined by `;`, and maps: `Zn:0.93;O:0.07`){_without(table)}
{_long(table)}- `dictionary.json`: name, type, unit, meaning and source property of each column
- `left_out.csv`: {_all(table)} without a row, with the reason

```python
import pandas as pd

table = pd.read_parquet("{table.name}.parquet")
same = pd.read_csv("{table.name}.csv", keep_default_na=False, na_values=[""])
{_stacking(table)}{_widening(table)}```"""


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
import json
import numpy as np
import pyarrow.parquet as pq

grid = json.loads(pq.read_schema("{table.name}.parquet").metadata[b"grid"])
{table.grid.name} = np.linspace(grid["start"], grid["stop"], grid["count"])
spectra = np.stack(table["{name}"].dropna())  # (materials, {table.grid.count})
'''


def _missing(table: Table) -> str:
    return (
        "A missing value is null in Parquet and an empty cell in CSV, never 0; `reason` says why. `keep_default_na=False` keeps "
        "pandas from taking the formula NaN for a missing value. "
        '`address_…` names the run a number comes from: `hibana query \'{"address": "…"}\' --collection tasks` shows it, '
        f"and `hibana why MATERIAL` says how a material got where it is in `{table.name}`."
    )


def _columns(columns: Sequence[Column]) -> str:
    return _markdown_table(
        ("name", "type", "unit", "meaning", "source"),
        [(f"`{c.name}`", c.dtype, c.unit or "", c.meaning, f"`{c.source}`") for c in columns],
    )


def _all(table: Table) -> str:
    return f"every candidate{'' if table.parts is None else ', or of its ' + table.parts.noun + ' each one,'}"


def _counted(table: Table) -> str:
    return "Candidates" if table.parts is None else f"Candidates or {table.parts.noun}"


def _left_out(table: Table, tally: Tally) -> str:
    if not tally.n_left_out:
        return "Nothing." if table.parts else "Nothing: every candidate of the store has a row."
    counts = _markdown_table(
        ("reason", _counted(table).lower(), "meaning"),
        [(code, str(tally.left_out[code]), text) for code, text in LEFT_OUT_MEANINGS.items() if code in tally.left_out],
    )
    part = () if table.parts is None else ("part",)
    names = ("material_id", "formula", *part, "code", "reason")
    listing = _markdown_table(
        ("material_id", "formula", *part, "reason", "in words"),
        [[getattr(item, name) for name in names] for item in tally.first_left_out],
    )
    shown = len(tally.first_left_out)
    more = f"\n\nThe first {shown} of {tally.n_left_out}; `left_out.csv` has all." if shown < tally.n_left_out else ""
    return f"{counts}\n\n{listing}{more}"


def _markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |" for row in rows)
