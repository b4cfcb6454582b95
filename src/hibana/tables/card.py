"""The card of a table: README.md beside its files, what a reader needs to use it without asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hibana.tables.columns import Column
from hibana.tables.rows import LEFT_OUT_MEANINGS, LeftOut, LeftOutCode
from hibana.tables.series import Series
from hibana.tables.table import Table

LISTED = 100
"""Left-out candidates the card lists by name; the file ``left_out.csv`` has all."""


@dataclass
class Tally:
    """What went through an export."""

    n_rows: int = 0
    n_flagged_rows: int = 0
    calculator_versions: set[str] = field(default_factory=set)
    left_out: dict[LeftOutCode, int] = field(default_factory=dict)
    first_left_out: list[LeftOut] = field(default_factory=list)

    @property
    def n_left_out(self) -> int:
        """Candidates without a row."""
        return sum(self.left_out.values())

    def leave_out(self, item: LeftOut) -> None:
        """Count a candidate without a row."""
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
        _facts(series, tally, include_flagged=include_flagged),
        *table.about,
        _files(table),
        _missing(table),
        "## Columns",
        _columns(table.columns),
        "## What was left out",
        _left_out(tally),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(series: Series, tally: Tally, *, include_flagged: bool) -> str:
    versions = ", ".join(sorted(tally.calculator_versions))
    flagged = f"kept, {tally.n_flagged_rows} of the rows (see `flags`)" if include_flagged else "left out, see below"
    facts = {
        "Rows": f"{tally.n_rows}, one a material, sorted by `material_id`",
        "Calculator": f"{series.calculator}{f' ({versions})' if versions else ''}; numbers of two calculators are never mixed",
        "Protocol": f"{series.protocol}, version {series.protocol_version}",
        "Flagged results": flagged,
        "Candidates left out": str(tally.n_left_out),
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


def _files(table: Table) -> str:
    return f"""## Files

- `{table.name}.parquet`: the table; unit, meaning and source of each column are in its field metadata
- `{table.name}.csv`: the same as text (UTF-8; lists are joined by `;`)
- `dictionary.json`: name, type, unit, meaning and source property of each column
- `left_out.csv`: every candidate without a row, with the reason

```python
import pandas as pd

table = pd.read_parquet("{table.name}.parquet")
same = pd.read_csv("{table.name}.csv", keep_default_na=False, na_values=[""])
```"""


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


def _left_out(tally: Tally) -> str:
    if not tally.n_left_out:
        return "Nothing: every candidate of the store has a row."
    counts = _markdown_table(
        ("reason", "candidates", "meaning"),
        [(code, str(tally.left_out[code]), text) for code, text in LEFT_OUT_MEANINGS.items() if code in tally.left_out],
    )
    listing = _markdown_table(
        ("material_id", "formula", "reason", "in words"),
        [(item.material_id, item.formula, item.code, item.reason) for item in tally.first_left_out],
    )
    shown = len(tally.first_left_out)
    more = f"\n\nThe first {shown} of {tally.n_left_out}; `left_out.csv` has all." if shown < tally.n_left_out else ""
    return f"{counts}\n\n{listing}{more}"


def _markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |" for row in rows)
