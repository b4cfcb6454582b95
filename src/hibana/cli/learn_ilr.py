"""``hibana learn ilr``: a linear regression of descriptors crossed with categories, for small data and extrapolation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.cli.learn import FolderOption, SplitsOption, learn_app


@learn_app.command()
def ilr(
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    target: Annotated[str, typer.Option("--target", "-t", help="Column to predict.")],
    descriptor: Annotated[
        list[str], typer.Option("--descriptor", "-d", help="Column with a number, or a..b for all columns from a to b; repeat.")
    ],
    category: Annotated[
        list[str],
        typer.Option("--category", "-k", help="Column with true and false, 0 and 1, or texts, or a..b; may be repeated."),
    ],
    folder: FolderOption,
    size: Annotated[
        str | None, typer.Option("--size", help="Column to extrapolate along as well, e.g. the number of atoms.")
    ] = None,
    join: Annotated[Path | None, typer.Option("--join", help="Second table whose columns are added; needs --on.")] = None,
    on: Annotated[str | None, typer.Option("--on", help="Column that tells which rows of both tables belong together.")] = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Judge on this split of splits.json instead of those made here; may be repeated."),
    ] = None,
    splits: SplitsOption = None,
    share: Annotated[float, typer.Option("--share", min=0.01, max=0.9, help="Share of the rows left out at an end.")] = 0.2,
    components: Annotated[int, typer.Option("--components", min=1, help="Components of the partial least squares.")] = 8,
    seed: Annotated[int, typer.Option("--seed", help="Of the random folds and the forest.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a linear regression whose coefficients depend on categories, and show where it extrapolates better than its peers.

    Splits: rows at random, the largest and smallest values of the target, and of a size. Peers: linear regression, partial
    least squares, kernel ridge, random forest, on descriptors alone and with the categories; where the regression loses is said.

    Example: hibana learn ilr oxides.csv -t gap -d volume..density -k is_magnetic -k crystal_system --size nsites -o ilr
    """
    from hibana.learn.dataset import read_dataset
    from hibana.learn.ilr.benchmark import make_splits, taken
    from hibana.learn.ilr.columns import joined, read_columns, sizes
    from hibana.learn.ilr.run import learn
    from hibana.learn.splits import stored_split

    if (join is None) != (on is None):
        raise typer.BadParameter("--join and --on belong together", param_hint="--join")
    if splits is not None and not split:
        raise typer.BadParameter("name one of its splits with --split", param_hint="--splits")
    dataset = read_dataset(table)
    written = [stored_split(dataset, name, splits) for name in split or ()]
    if join is not None and on is not None:
        dataset = joined(dataset, read_dataset(join), on)
    columns = read_columns(dataset, target, descriptor, category)
    judged = [taken(item, columns) for item in written]
    judged = judged or make_splits(columns, None if size is None else sizes(dataset, columns, size), share=share, seed=seed)
    notes = errors()
    result = learn(
        dataset,
        columns,
        judged,
        folder,
        components=components,
        seed=seed,
        written=written,
        say=lambda text: notes.print(text, markup=False),
    )
    print_json(result) if as_json else _show(result, folder)


def _show(result: dict[str, Any], folder: Path) -> None:
    """Errors as a table, one row a split."""
    from rich.table import Table

    console, table = output(), result["table"]
    console.print(
        f"{table['name']}: {table['n_used']} of {table['n_rows']} rows, {len(result['crossed'])} of {len(result['categories'])} "
        f"categories crossed, {result['n_terms']} terms",
        markup=False,
    )
    unit = result["target"]["unit"]
    grid = Table(title=f"RMSE{f' ({unit})' if unit else ''} of {result['target']['column']}; R² in brackets")
    grid.add_column("split")
    rows: dict[str, dict[str, str]] = {}
    for item in result["benchmark"]:
        name = item["method"] if item["method"] == "ILR" or item["inputs"] == "descriptors" else f"{item['method']}+categories"
        rows.setdefault(item["split"], {})[name] = f"{item['rmse']:.3g} ({item['r2']:.2f})"
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    for name in names:
        grid.add_column(name)
    for split, row in rows.items():
        grid.add_row(split, *(row[name] for name in names))
    console.print(grid)
    loses = result["loses_on"]
    for label, words in (("descriptors", "on descriptors alone"), ("both", "with the categories")):
        console.print(f"loses to the best peer {words}: {', '.join(loses[label]) or 'nowhere'}", markup=False)
    console.print(f"  {folder}", markup=False)
