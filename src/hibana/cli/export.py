"""``hibana export``: a curated table as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hibana.cli.console import (
    CalculatorOption,
    JsonOption,
    LaunchpadOption,
    ProtocolOption,
    ProtocolVersionOption,
    open_store,
    output,
    print_json,
)

TABLES = ("electronic", "dielectric", "optical_absorption", "phonon_gamma", "sites", "oxygen_vacancy")
"""Names of the tables, here as well so that help needs no Parquet library."""


def export(
    table: Annotated[str, typer.Argument(help=f"Name of the table: {', '.join(TABLES)}.")],
    directory: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; made where it is missing.")],
    protocol: ProtocolOption = None,
    protocol_version: ProtocolVersionOption = None,
    calculator: CalculatorOption = None,
    include_flagged: Annotated[
        bool, typer.Option("--include-flagged", help="Keep rows with flags in the table instead of listing them as left out.")
    ] = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a table as Parquet and CSV, with its data dictionary, its card, and what was left out and why.

    Spectra are lists in the Parquet file; a second CSV file has them with one line a material and energy (or frequency).
    A table holds one calculator and one protocol; choose where the store has several. Where no candidate has a result yet the
    table has no rows and the card says why.

    Example: hibana export dielectric -o tables/dielectric --protocol pbesol --calculator vasp
    """
    from hibana.tables.export import export as write_table

    report = write_table(
        open_store(launchpad),
        table,
        directory,
        protocol=protocol,
        protocol_version=protocol_version,
        calculator=calculator,
        include_flagged=include_flagged,
    )
    if as_json:
        print_json(report.as_dict())
        return
    console = output()
    console.print(f"{report.table}: {report.n_rows} rows ({report.series})", markup=False)
    for code, count in report.left_out.items():
        console.print(f"left out: {count} {code}", markup=False)
    for path in report.files:
        console.print(f"  {path}", markup=False)
