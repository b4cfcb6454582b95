"""``hibana learn regress`` and ``hibana learn predict``: models of one column of a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.cli.learn import FileOption, FolderOption, SplitsOption, learn_app

FAMILIES = ("random_forest", "gradient_boosting")
"""Names of the families of models, here as well so that help needs no scikit-learn."""

SourcesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        "-f",
        help="composition, elements, structure or site, or a file of features (hibana learn features); may be repeated. "
        "Default: composition where no column is named.",
    ),
]
ColumnsOption = Annotated[
    list[str] | None, typer.Option("--column", help="Column of the table that is a feature as well; may be repeated.")
]
CacheOption = Annotated[Path | None, typer.Option("--cache", help="Folder to keep features of structures in.")]
WorkersOption = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes.")]


@learn_app.command()
def regress(
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    target: Annotated[str, typer.Option("--target", "-t", help="Column to predict.")],
    folder: FolderOption,
    features: SourcesOption = None,
    column: ColumnsOption = None,
    group: Annotated[
        str,
        typer.Option(
            "--group",
            "-g",
            help="Rows that agree in this are never on both sides of a fold: a column, or prototype, chemical_system, "
            "reduced_formula, anonymous_formula; none for rows at random only.",
        ),
    ] = "reduced_formula",
    split: Annotated[
        str,
        typer.Option(
            "--split", help="Judge on the folds of this split of splits.json, e.g. cluster; --group then is for inner folds."
        ),
    ] = "",
    splits: SplitsOption = None,
    log: Annotated[bool, typer.Option("--log", help="Learn the decimal logarithm of the target.")] = False,
    where: Annotated[str, typer.Option("--where", help="Condition on the rows, as pandas' DataFrame.query takes it.")] = "",
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help=f"{' or '.join(FAMILIES)}; default: both.")] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Outer folds.")] = 5,
    trees: Annotated[int, typer.Option("--trees", min=1, help="Trees, or rounds of boosting.")] = 300,
    seed: Annotated[int, typer.Option("--seed", help="Of folds, models and draws.")] = 0,
    no_curve: Annotated[bool, typer.Option("--no-curve", help="Leave the learning curve out.")] = False,
    cache: CacheOption = None,
    jobs: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Fit random forests and boosted trees to a column, and say honestly how well they predict.

    Nested cross-validation: hyperparameters are chosen on inner folds, errors measured on outer ones. The scores by group are
    the ones to quote; those of rows drawn at random stand beside them. The folder gets result.json, out-of-fold predictions,
    importances, a learning curve, figures, and the models fitted on all rows (without pickle) for hibana learn predict.

    Example: hibana learn regress tables/dielectric -t epsilon_electronic_average --log -f composition -g prototype -o eps
    """
    from dataclasses import replace

    from hibana.learn.dataset import read_dataset
    from hibana.learn.regression.inputs import gather
    from hibana.learn.regression.run import regress as learn
    from hibana.learn.regression.task import make_task
    from hibana.learn.regression.validation import Effort
    from hibana.learn.splits import stored_split

    for name in model or ():
        if name not in FAMILIES:
            raise typer.BadParameter(f"{name!r}; there are: {', '.join(FAMILIES)}", param_hint="--model")
    if splits is not None and not split:
        raise typer.BadParameter("name one of its splits with --split", param_hint="--splits")
    dataset = read_dataset(table)
    written = stored_split(dataset, split, splits) if split else None
    sources = list(features or ([] if column else ["composition"]))
    inputs = gather(dataset, sources, column or (), cache=cache, workers=jobs)
    chosen = "" if group == "none" else group
    task = make_task(dataset, target, inputs, transform="log10" if log else "none", group=chosen, where=where)
    task = replace(task, split=written)
    notes = errors()
    result = learn(
        dataset,
        task,
        folder,
        families=model or FAMILIES,
        effort=Effort(folds=folds, trees=trees, seed=seed, jobs=jobs),
        curve=not no_curve,
        inputs=[*sources, *(f"column {name}" for name in column or ())],
        say=lambda text: notes.print(text, markup=False),
    )
    print_json(result) if as_json else _show(result, folder)


@learn_app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model that hibana learn regress wrote, e.g. eps/random_forest.")],
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    file: FileOption,
    features: SourcesOption = None,
    column: ColumnsOption = None,
    cache: CacheOption = None,
    jobs: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Predict with a saved model. Features that are not those it was fitted on are refused.

    Example: hibana learn predict eps/random_forest tables/structures -f composition -f structure -o predicted.csv
    """
    from hibana.learn.dataset import read_dataset
    from hibana.learn.regression.inputs import gather
    from hibana.learn.regression.model import load

    saved = load(model)
    dataset = read_dataset(table)
    inputs = gather(dataset, list(features or ([] if column else ["composition"])), column or (), cache=cache, workers=jobs)
    known = inputs.values[inputs.values.notna().any(axis=1)]
    found = saved.predict(known, inputs.versions)
    file.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(file)
    report = {"file": file, "n_predicted": len(found), "n_without_features": len(inputs.values) - len(found)}
    if as_json:
        print_json(report)
        return
    output().print(f"{len(found)} predictions, {report['n_without_features']} rows without features: {file}", markup=False)


def _show(result: dict[str, Any], folder: Path) -> None:
    """Scores as a table."""
    from rich.table import Table

    table, target = result["table"], result["target"]
    console = output()
    left_out = "".join(f", {count} left out: {reason}" for reason, count in table["left_out"].items())
    console.print(f"{table['name']}: {table['n_used']} of {table['n_rows']} rows{left_out}", markup=False)
    scale = f"{target['transform']} of {target['column']}" if target["transform"] != "none" else target["column"]
    grid = Table(title=f"{scale}, {result['features']['n']} features")
    for name in ("model", "split", "R²", "MAE", "RMSE", "R² over folds"):
        grid.add_column(name)
    for name, found in result["models"].items():
        for split in ("random", "grouped"):
            if found[split]:
                pooled, folds = found[split]["pooled"], found[split]["over_folds"]["r2"]
                label = "random" if split == "random" else f"by {found[split]['split']}"
                numbers = (f"{pooled['r2']:.3f}", f"{pooled['mae']:.4g}", f"{pooled['rmse']:.4g}")
                about = "-" if math.isnan(folds["sd"]) else f"{folds['mean']:.3f} ± {folds['sd']:.3f}"
                grid.add_row(name, label, *numbers, about)
    console.print(grid)
    console.print(f"  {folder}", markup=False)
