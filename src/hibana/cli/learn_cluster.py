"""``hibana learn cluster`` and ``hibana learn place``: groups of materials that are alike in what decides a property."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.cli.learn import FileOption, FolderOption, SplitsOption, learn_app
from hibana.cli.learn_regress import CacheOption, ColumnsOption, SourcesOption, WorkersOption

METHODS = ("ward", "average")
"""Ways of clustering, here as well so that help needs no scikit-learn."""

SHOWN = 4
"""Features printed for each promising group."""


@learn_app.command()
def cluster(
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    target: Annotated[str, typer.Option("--target", "-t", help="Column that the clustering depends on.")],
    folder: FolderOption,
    against: Annotated[
        str,
        typer.Option("--against", "-a", help="Column that the target is judged against, e.g. the gap for a dielectric constant."),
    ] = "",
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--features",
            "-f",
            help="composition, elements, structure or site, or a file of features (hibana learn features); may be repeated. "
            "Default: composition where no column is named.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="Column of the table that is a feature as well; may be repeated.")
    ] = None,
    groups: Annotated[int, typer.Option("--groups", "-n", min=2, help="Number of groups.")] = 20,
    log: Annotated[bool, typer.Option("--log", help="Use the decimal logarithm of the target.")] = False,
    where: Annotated[str, typer.Option("--where", help="Condition on the rows, as pandas' DataFrame.query takes it.")] = "",
    at_least: Annotated[
        float | None, typer.Option("--at-least", help="Smallest median of the column --against of a promising group.")
    ] = None,
    least_size: Annotated[
        int | None, typer.Option("--least-size", min=2, help="Fewest rows of a promising group; default: one in a hundred.")
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="Judge groups of the training rows on the test rows of this split of splits.json, too.")
    ] = "",
    splits: SplitsOption = None,
    low: Annotated[bool, typer.Option("--low", help="A low target is wanted instead of a high one.")] = False,
    method: Annotated[str, typer.Option("--method", "-m", help="ward, or average (linkage; up to 5,000 rows).")] = "ward",
    trees: Annotated[int, typer.Option("--trees", min=2, help="Trees of a forest.")] = 300,
    leaf_share: Annotated[
        float, typer.Option("--leaf-share", min=0.0, max=0.5, help="Smallest leaf as a share of the rows of a tree.")
    ] = 0.02,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the groups that are reported.")] = 0,
    repeats: Annotated[
        int, typer.Option("--repeats", min=2, help="Seeds that are compared to see how stable the groups are.")
    ] = 3,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder to keep features of structures in.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Group materials by what decides a property, and say which groups are better than expected and what they have in common.

    A random forest is fitted to the target; rows are alike if its trees send them to the same leaves, so that only differences
    that matter for the target count. Groups are ranked by their target beyond what --against lets expect. How far the groups
    depend on the seed is always stated: read it first.

    Example: hibana learn cluster tables/materials -t epsilon_electronic_average --log -a band_gap_pbesol --at-least 2.5
        -f composition -f structure -o groups
    """
    from dataclasses import replace

    from hibana.learn.clustering.leaves import Forest
    from hibana.learn.clustering.run import Settings
    from hibana.learn.clustering.run import cluster as learn
    from hibana.learn.dataset import read_dataset
    from hibana.learn.regression.inputs import gather
    from hibana.learn.regression.task import make_task
    from hibana.learn.splits import stored_split

    if splits is not None and not split:
        raise typer.BadParameter("name one of its splits with --split", param_hint="--splits")
    if method not in METHODS:
        raise typer.BadParameter(f"{method!r}; there are: {', '.join(METHODS)}", param_hint="--method")
    if at_least is not None and not against:
        raise typer.BadParameter("needs --against", param_hint="--at-least")
    dataset = read_dataset(table)
    written = stored_split(dataset, split, splits) if split else None
    sources = list(features or ([] if column else ["composition"]))
    inputs = gather(dataset, sources, column or (), cache=cache, workers=jobs)
    task = replace(make_task(dataset, target, inputs, transform="log10" if log else "none", where=where), split=written)
    notes = errors()
    result = learn(
        dataset,
        task,
        folder,
        against=against,
        settings=Settings(
            groups=groups,
            method=method,
            forest=Forest(trees=trees, leaf_share=leaf_share, jobs=jobs),
            seed=seed,
            repeats=repeats,
            at_least=at_least,
            least_size=least_size,
            low=low,
        ),
        inputs=[*sources, *(f"column {name}" for name in column or ())],
        say=lambda text: notes.print(text, markup=False),
    )
    print_json(result) if as_json else _show(result, folder)


@learn_app.command()
def place(
    groups: Annotated[Path, typer.Argument(help="Folder that hibana learn cluster wrote.")],
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    file: FileOption,
    features: SourcesOption = None,
    column: ColumnsOption = None,
    cache: CacheOption = None,
    jobs: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Put the rows of a table into the groups of a clustering, and say which of them are like none of its rows.

    Each row goes to the nearest centre in the leaf space of the forest. `novelty` is the share of the group's own rows that are
    nearer to it, `beyond` how much of what the forest looks at lies outside the range of the rows it was grown on; a row is
    `outside` if the one is above 0.99 or the other at least 0.1: its group then says little.

    Example: hibana learn place groups tables/structures -f composition -f structure -o placed.csv
    """
    from hibana.learn.clustering.places import place_rows
    from hibana.learn.dataset import read_dataset
    from hibana.learn.regression.inputs import gather

    dataset = read_dataset(table)
    inputs = gather(dataset, list(features or ([] if column else ["composition"])), column or (), cache=cache, workers=jobs)
    known = inputs.values[inputs.values.notna().any(axis=1)]
    found = place_rows(groups, known, inputs.versions)
    file.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(file, float_format="%.6g")
    outside = int(found["outside"].sum())
    report = {
        "file": file,
        "n_placed": len(found),
        "n_outside": outside,
        "n_without_features": len(inputs.values) - len(found),
        "rows_by_group": {str(group): count for group, count in found["cluster"].value_counts().sort_index().items()},
    }
    if as_json:
        print_json(report)
        return
    console = output()
    console.print(f"{len(found)} rows placed, {report['n_without_features']} rows without features: {file}", markup=False)
    console.print(f"{outside} of them are outside: like none of the rows the groups were made of", markup=False)


def _show(result: dict[str, Any], folder: Path) -> None:
    """Stability and the promising groups."""
    from rich.table import Table

    console = output()
    table, target, rand = result["table"], result["target"], result["stability"]["adjusted_rand"]
    left_out = "".join(f", {count} left out: {reason}" for reason, count in table["left_out"].items())
    console.print(f"{table['name']}: {table['n_used']} of {table['n_rows']} rows{left_out}", markup=False)
    seeds = len(result["stability"]["seeds"])
    console.print(
        f"agreement of {seeds} seeds (adjusted Rand index) {rand['mean']:.2f}, from {rand['min']:.2f} to {rand['max']:.2f}"
    )
    console.print(f"out-of-bag R² {result['forest']['oob_r2'][0]:.3f}")
    if held := result["held_out"]:
        share = held["target_variance_within_groups"]
        console.print(
            f"variance of the target within groups, {held['n']} rows held out by {held['name']}: {share:.2f}", markup=False
        )
    scale = f"{target['transform']} of {target['column']}" if target["transform"] != "none" else target["column"]
    judged = f"against {result['against']['column']}" if result["against"] else "against its mean"
    if not result["promising"]:
        console.print(f"no group of {len(result['groups'])} is promising", markup=False)
        console.print(f"  {folder}", markup=False)
        return
    grid = Table(title=f"Promising groups: {scale} {judged}")
    other = ["against"] if result["against"] else []
    for name in ("group", "rows", "target", "residual", *other, "comes back", "set apart by"):
        grid.add_column(name)
    groups = {group["group"]: group for group in result["groups"]}
    for number in result["promising"]:
        group = groups[number]
        leading = ", ".join(f"{'+' if item['ks'] > 0 else '-'}{item['feature']}" for item in group["features"][:SHOWN])
        numbers = [f"{group['target_mean']:.4g}", f"{group['residual_mean']:+.3g} ± {group['residual_se']:.1g}"]
        numbers += [f"{group['against_median']:.3g}"] if result["against"] else []
        grid.add_row(str(number), str(group["n"]), *numbers, f"{group['jaccard']:.2f}", leading)
    console.print(grid)
    console.print(f"  {folder}", markup=False)
