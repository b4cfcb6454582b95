"""``hibana rehearse``: try a campaign out before it is sent to a machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, errors, output, print_json

if TYPE_CHECKING:
    from hibana.launch.forecast import Forecast


def rehearse(
    workflow: Annotated[Path, typer.Argument(help="Workflow file with a campaign, such as workflows/demo.yaml.")],
    structures: Annotated[
        list[str] | None,
        typer.Option("--structures", "-s", help="Structure files or folders, or a number of made-up crystals."),
    ] = None,
    chaos: Annotated[int | None, typer.Option("--chaos", help="Seed: let runs fail as VASP and machines do.")] = None,
    rates: Annotated[Path | None, typer.Option("--rates", help="Table of how often what goes wrong (YAML).")] = None,
    recordings: Annotated[Path | None, typer.Option("--recordings", help="Folder of recorded answers.")] = None,
    workers: Annotated[int, typer.Option("--workers", "-n", min=1, help="Launchers side by side.")] = 2,
    cores: Annotated[int, typer.Option("--cores", min=1, help="Cores the campaign would have in all.")] = 1,
    cores_per_run: Annotated[int, typer.Option("--cores-per-run", min=1, help="Cores of one run of VASP.")] = 1,
    directory: Annotated[Path | None, typer.Option("--directory", "-d", help="Keep everything here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a campaign with synthetic answers in a store of its own, and tell what it would take.

    Nothing is calculated and no store of yours is touched. With --chaos runs hang, die, print VASP's errors and fill the disk.

    Example: hibana rehearse workflows/demo.yaml --structures 50 --chaos 1 --cores 960 --cores-per-run 48
    """
    from hibana.launch.rehearse import Resources
    from hibana.launch.rehearse import rehearse as rehearse_campaign

    forecast = rehearse_campaign(
        workflow,
        structures=_chosen(structures),
        seed=chaos,
        rates=rates,
        recordings=recordings,
        workers=workers,
        resources=Resources(cores, cores_per_run),
        folder=directory,
    )
    if as_json:
        print_json(forecast.as_dict())
        return
    _print(forecast)


def _chosen(structures: list[str] | None) -> int | list[Path] | None:
    if not structures:
        return None
    if len(structures) == 1 and structures[0].isdecimal() and not Path(structures[0]).exists():
        return int(structures[0])
    return [Path(name) for name in structures]


def _print(forecast: Forecast) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for name, counts in (
        ("materials", forecast.outcomes),
        ("runs", forecast.runs),
        ("faults", forecast.faults),
        ("corrections", forecast.corrections),
        ("failures", forecast.failures),
    ):
        for number, (what, count) in enumerate(counts.items()):
            table.add_row(name if number == 0 else "", what, str(count))
    table.add_row("", "", "")
    table.add_row("started", f"{forecast.starts} runs, {forecast.repeated} jobs again after a failure", "")
    span = f"{forecast.core_hours / forecast.factor:,.1f} to {forecast.core_hours * forecast.factor:,.1f}"
    table.add_row("core-hours", f"{forecast.core_hours:,.1f} ({span})", "")
    hours = f"{forecast.hours / forecast.factor:,.2f} to {forecast.hours * forecast.factor:,.2f}"
    what = f"{forecast.hours:,.2f} h ({hours}) on {forecast.cores} cores, {forecast.cores_per_run} a run"
    table.add_row("time to finish", what, "")
    output().print(table)
    errors().print(f"core-hours: {forecast.model}; rehearsed in {forecast.seconds:.0f} s", markup=False)
