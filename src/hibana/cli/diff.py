"""``hibana diff``: what changed from one export of a table to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hibana.cli.console import JsonOption, output, print_json

if TYPE_CHECKING:
    from hibana.tables.diff import TableDiff

DIGITS = 12
"""Digits of a snapshot that are shown."""


def diff(
    before: Annotated[Path, typer.Argument(help="Folder of an export.")],
    after: Annotated[Path, typer.Argument(help="Folder of a later export of the same table.")],
    limit: Annotated[int, typer.Option("--limit", min=0, help="Changes of each kind that are named; 0 for all.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Say which rows and cells changed from one export to another, and why.

    A cell changed because it was read from another run (the addresses are named), because the series, the unit or the version of
    the code is another one, because it is or was missing (with the code that says why), or because its document was built again.

    Example: hibana diff tables/dielectric-3f9ac1d20b47 tables/dielectric-81c2e06b4f5a
    """
    from hibana.tables.diff import diff as compare

    found = compare(before, after, limit=limit or None)
    if as_json:
        print_json(found.as_dict())
        return
    console = output()
    for line in _lines(found):
        console.print(line, markup=False)


def _lines(found: TableDiff) -> list[str]:
    first, second = (snapshot[:DIGITS] for snapshot in found.snapshots)
    if found.is_empty:
        return [f"{found.table}: both contain the same (snapshot {first})"]
    lines = [f"{found.table}: {first} -> {second}"]
    for name, (old, new) in {"series": found.series, "filter": found.filters}.items():
        if old != new:
            lines.append(f"{name}: {old} -> {new}")
    for what, names in {"added": found.columns_added, "removed": found.columns_removed}.items():
        if names:
            lines.append(f"columns {what}: {', '.join(names)}")
    lines += [f"column {name}: {text}" for name, text in sorted(found.columns_changed.items())]
    lines.append(
        f"rows: {found.n_rows_added} added, {found.n_rows_removed} removed, "
        f"{found.n_rows_changed} changed in {found.n_cells_changed} cells"
    )
    lines += [f"  {count} cells: {why}" for why, count in found.reasons.most_common()]
    lines += [f"left out otherwise: {count} {move}" for move, count in found.left_out_moves.most_common()]
    lines += [f"+ {change.row} {change.formula}: {change.why}" for change in found.rows_added]
    lines += _more(found.n_rows_added, found.rows_added, "added rows")
    lines += [f"- {change.row} {change.formula}: {change.why}" for change in found.rows_removed]
    lines += _more(found.n_rows_removed, found.rows_removed, "removed rows")
    lines += [
        f"~ {change.row} {change.formula} {change.column}: {_cell(change.before)} -> {_cell(change.after)} ({change.why})"
        for change in found.cells_changed
    ]
    return lines + _more(found.n_cells_changed, found.cells_changed, "changed cells")


def _more(count: int, shown: list[Any], what: str) -> list[str]:
    return [f"  … and {count - len(shown)} more {what} (--limit 0 names all)"] if count > len(shown) else []


def _cell(value: Any) -> str:
    return "missing" if value is None else str(value)
