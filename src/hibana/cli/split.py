"""``hibana split``: which rows of a table to train on and which to test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hibana.cli.console import JsonOption, output, print_json


def split(
    table: Annotated[Path, typer.Argument(help="Folder of an export, or a Parquet or CSV file.")],
    file: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="File to write; default: splits.json beside the table."),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", "-k", min=2, help="Number of folds, and of clusters.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Another seed gives other folds.")] = 0,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", "-t", help="Column whose largest and whose smallest values are tested; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write splits into training and test rows, each with what it lets leak from one side to the other.

    At random; by formula, chemical system, prototype, duplicate family and host, so that none is on both sides; and
    extrapolative ones: clusters of compositions, the largest cells, the largest and smallest values of a column. A row is known
    by its row_id, so the order of the rows plays no part.

    Example: hibana split tables/dielectric --target epsilon_electronic_average
    """
    from hibana.learn.dataset import read_dataset
    from hibana.learn.splits import splits_of
    from hibana.tables.errors import UNWRITABLE_DIRECTORY
    from hibana.tables.splits_file import SPLITS_FILE, write_splits

    dataset = read_dataset(table)
    made = splits_of(dataset, folds, seed, target or ())
    path = file or dataset.path.parent / SPLITS_FILE
    try:
        write_splits(made, path)
    except OSError as error:
        raise UNWRITABLE_DIRECTORY.error(str(error.strerror), where=path) from error
    if as_json:
        print_json({"file": path, "rows": len(made.row_ids), "leakage": made.leaks, "left_out": made.left_out})
        return
    console = output()
    console.print(f"{made.table}: {len(made.row_ids)} rows, written to {path}", markup=False)
    console.print("test rows of which training rows know the like:", markup=False)
    for item in made.splits:
        shares = ", ".join(f"{kind} {leak['share_of_test_rows']:.1%}" for kind, leak in made.leaks[item.name].items())
        console.print(f"  {item.name} ({len(item.folds)} folds): {shares}", markup=False)
    for name, reason in made.left_out.items():
        console.print(f"  no split by {name}: {reason}", markup=False)
