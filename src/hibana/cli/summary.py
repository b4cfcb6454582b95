"""``hibana summary``: the results at a glance."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli import console
from hibana.cli.console import CalculatorOption, JsonOption, LaunchpadOption, ProtocolOption, ProtocolVersionOption

if TYPE_CHECKING:
    from hibana.report.summary import Line


def summary(
    files: Annotated[
        list[Path] | None, typer.Option("--files", help="Folder whose files are listed too (tables, figures); may be repeated.")
    ] = None,
    protocol: ProtocolOption = None,
    protocol_version: ProtocolVersionOption = None,
    calculator: CalculatorOption = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print each material's space group, lattice, gaps and dielectric constants, and where the files are.

    Example: hibana summary --files tables --files figures
    """
    from hibana.report.summary import summarise

    lines = summarise(console.open_store(launchpad), protocol=protocol, protocol_version=protocol_version, calculator=calculator)
    found = sorted(path for folder in files or () for path in folder.glob("*") if path.is_file())
    if as_json:
        console.print_json({"materials": [line.as_dict() for line in lines], "files": found})
        return
    out = console.output()
    for series, group in groupby(lines, key=lambda line: line.series):
        _print_group(series, list(group))
    if not lines:
        out.print("no results yet; `hibana why MATERIAL` says where a candidate is", markup=False)
    for path in found:
        out.print(f"  {path}", markup=False)


def _print_group(series: str, lines: list[Line]) -> None:
    """Materials of one series as a table, and below it what to know of them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from hibana.report.summary import HEADINGS, shown_headings

    table = Table(title=f"{series} (gaps in eV, lengths in Å)", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown = shown_headings(lines)
    for place in shown:
        table.add_column(HEADINGS[place], no_wrap=HEADINGS[place] != "lattice")
    for line in lines:
        cells = line.cells()
        table.add_row(*(Text(cells[place]) for place in shown))
    out = console.output()
    out.print(table)
    for line in lines:
        for remark in line.remarks:
            out.print(f"  {line.formula} {line.material_id}: {remark}", markup=False)
