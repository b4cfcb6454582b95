"""``hibana learn generate``: compositions for a wanted value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.cli.learn import FolderOption, learn_app

REDUCTIONS = ("lowest", "median", "highest")
"""What may stand for a formula with several rows, here as well so that help needs no pandas."""

SHOWN = 20
"""Formulas that are printed; the file has all."""


@learn_app.command()
def generate(
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    target: Annotated[str, typer.Option("--target", "-t", help="Column whose value is wanted.")],
    value: Annotated[float, typer.Option("--value", "-V", help="The wanted value, in the column's unit.")],
    folder: FolderOption,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Formulas wanted.")] = 20,
    several: Annotated[
        str, typer.Option("--several", help=f"What stands for a formula with several rows: {', '.join(REDUCTIONS)}.")
    ] = "median",
    where: Annotated[str, typer.Option("--where", help="Condition on the rows, as pandas' DataFrame.query takes it.")] = "",
    rows: Annotated[int | None, typer.Option("--rows", min=100, help="Learn from this many formulas at most.")] = None,
    only_new: Annotated[bool, typer.Option("--only-new", help="Leave out formulas that were learned from.")] = False,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Batches that the generator learns from.")] = 1500,
    trees: Annotated[int, typer.Option("--trees", min=1, help="Rounds of boosting of the judge.")] = 300,
    seed: Annotated[int, typer.Option("--seed", help="Of everything drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Draw new formulas for a wanted value of a column: neutral, few elements, at most 20 atoms.

    A conditional generator learns from the neutral compounds of the table; boosted trees, which it never sees, judge what it
    draws. The folder gets generated.csv, result.json (does the estimate follow the wish? are the formulas like known ones? new?),
    a figure and both models, without pickle. hibana learn substitute makes structures of the formulas.

    Example: hibana learn generate tables/materials -t band_gap_pbesol -V 3 -n 50 -o new
    """
    from hibana.learn.dataset import read_dataset
    from hibana.learn.generation.compounds import read_compounds
    from hibana.learn.generation.extra import needs

    if several not in REDUCTIONS:
        raise typer.BadParameter(f"{several!r}; there are: {', '.join(REDUCTIONS)}", param_hint="--several")
    needs("torch", "sklearn", "skops", "matminer")
    from hibana.learn.generation.network import Effort
    from hibana.learn.generation.run import generate as learn

    dataset = read_dataset(table)
    compounds = read_compounds(dataset, target, reduction=several, where=where, most_rows=rows, seed=seed)
    notes = errors()
    result = learn(
        dataset,
        compounds,
        value,
        number,
        folder,
        effort=Effort(steps=steps),
        trees=trees,
        only_new=only_new,
        seed=seed,
        say=lambda text: notes.print(text, markup=False),
    )
    print_json(result) if as_json else _show(result, folder)


def _show(result: dict[str, Any], folder: Path) -> None:
    """The report in a few lines, and the first formulas."""
    import pandas as pd
    from rich.table import Table

    console = output()
    table, tracking, like, judge = result["table"], result["tracking"], result["likeness"], result["judge"]
    lines = (
        f"{table['name']}: {table['n_compounds']} neutral compounds of {table['n_rows']} rows",
        f"judge, on compounds it had not seen: R² {judge['r2']:.3f}, MAE {judge['mae']:.3g}",
        f"estimate against wish: rank correlation {tracking['rank_correlation']:.2f}, R² {tracking['of_draws']['r2']:.2f}",
        f"elements a formula: {like['mean_n_elements']['drawn']:.2f} drawn, {like['mean_n_elements']['known']:.2f} known",
        f"neutral {like['neutral']:.0%}, new {like['new']:.0%}, different {like['different']:.0%}",
        f"distance to the nearest known compound: {like['distance']['drawn']['median']:.3f} (median; known compounds "
        f"{like['distance']['known']['median']:.3f})",
    )
    for line in lines:
        console.print(line, markup=False)
    grid = Table(title=f"{result['target']['column']} = {result['wanted']['value']:g}")
    for name in ("formula", "estimate", "new", "distance"):
        grid.add_column(name)
    for row in pd.read_csv(folder / "generated.csv", keep_default_na=False).head(SHOWN).itertuples():
        grid.add_row(str(row.formula), f"{row.estimate:.3f}", "yes" if row.is_new else "no", f"{row.distance:.3f}")
    console.print(grid)
    console.print(f"  {folder}", markup=False)
