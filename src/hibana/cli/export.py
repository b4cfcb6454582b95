"""``hibana export``: a curated table as files."""

from __future__ import annotations

import sys
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

TABLES = (
    *("electronic", "dielectric", "optical_absorption", "phonon_gamma", "sites", "oxygen_vacancy"),
    *("structures", "materials"),
)
"""Names of the tables, here as well so that help needs no Parquet library."""


def _print_docs(wanted: bool) -> None:
    if wanted:
        from hibana.tables.documentation import as_markdown

        sys.stdout.write(as_markdown())
        raise typer.Exit


def export(
    table: Annotated[str, typer.Argument(help=f"Name of the table: {', '.join(TABLES)}.")],
    directory: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; made where it is missing.")],
    protocol: ProtocolOption = None,
    protocol_version: ProtocolVersionOption = None,
    calculator: CalculatorOption = None,
    include_flagged: Annotated[
        bool, typer.Option("--include-flagged", help="Keep rows with flags in the table instead of listing them as left out.")
    ] = False,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Also write jsonl or hdf5; may be given several times.")
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Right to use the table, for its cards: CC-BY-4.0.")] = None,
    citation: Annotated[
        list[str] | None, typer.Option("--citation", help="What to cite with the table; may be given several times.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write to a folder of its own below -o, named by the snapshot, and never change it.")
    ] = False,
    _docs: Annotated[
        bool, typer.Option("--docs", hidden=True, is_eager=True, callback=_print_docs, help="Print docs/tables.md.")
    ] = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a table as Parquet and CSV, with its structures, data dictionary, cards, and what was left out and why.

    The snapshot in manifest.json is a hash of what the table contains: the same state of the store gives the same one.

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
        formats=formats or (),
        licence=licence,
        citation=citation or (),
        keep=keep,
    )
    if as_json:
        print_json(report.as_dict())
        return
    console = output()
    console.print(f"{report.table}: {report.n_rows} rows ({report.series})", markup=False)
    console.print(f"snapshot: {report.snapshot}", markup=False)
    for code, count in report.left_out.items():
        console.print(f"left out: {count} {code}", markup=False)
    for path in report.files:
        console.print(f"  {path}", markup=False)
