"""``hibana learn features``: numbers that describe the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.cli.learn import FolderOption, learn_app

if TYPE_CHECKING:
    from hibana.learn.dataset import Dataset
    from hibana.learn.features.table import FeatureTable

SETS = ("composition", "elements", "structure", "site")
"""Names of the sets, here as well so that help needs no pandas."""


@learn_app.command()
def features(
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    folder: FolderOption,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help=f"{', '.join(SETS)}; may be repeated. Default: composition and structure."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder to keep features in, for other tables and another time; may be shared.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Compute features of compositions, structures and sites: features.parquet, and features.json, which says what each is.

    A row whose features cannot be computed stays, empty, and the column `failure` says why. With --cache an interrupted run goes
    on where it was.

    Example: hibana learn features tables/dielectric -o tables/dielectric --cache ~/.cache/hibana/features -j 8
    """
    from hibana.learn.dataset import read_dataset
    from hibana.learn.features.files import write_features

    found = _featurise(read_dataset(table), sets or ["composition", "structure"], cache, jobs)
    files = write_features(found, folder)
    report = {"rows": len(found.frame), "features": len(found.features), "failed": len(found.failures), "files": list(files)}
    if as_json:
        print_json(report)
        return
    console = output()
    console.print(f"{found.name}: {report['rows']} rows, {report['features']} features, {report['failed']} failed", markup=False)
    for path in files:
        console.print(f"  {path}", markup=False)


def _featurise(dataset: Dataset, sets: list[str], cache: Path | None, jobs: int) -> FeatureTable:
    """Features, with a bar on the standard error where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hibana.learn.features.table import featurise

    columns = TextColumn("structures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = errors()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)
        return featurise(dataset, sets, cache, jobs, lambda done, total: progress.update(bar, completed=done, total=total))
