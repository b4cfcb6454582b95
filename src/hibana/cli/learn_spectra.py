"""``hibana learn spectra``: spectra from structures, and groups of materials whose spectra are alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hibana.cli.console import JsonOption, errors, output, print_json
from hibana.cli.learn import FolderOption, learn_app

SIZES = ("small", "full")
"""Names of the sizes of networks, here as well so that help needs no torch."""


@learn_app.command()
def spectra(
    table: Annotated[Path, typer.Argument(help="Parquet or CSV file, or the folder of an export.")],
    folder: FolderOption,
    target: Annotated[
        str, typer.Option("--target", "-t", help="Column with spectra, part of its name, or what numbered columns begin with.")
    ] = "absorption",
    structures: Annotated[
        Path | None, typer.Option("--structures", help="Folder with structures.jsonl.gz; default: that of the table.")
    ] = None,
    group: Annotated[
        str, typer.Option("--group", "-g", help="Rows that agree in this are never on two sides of the split.")
    ] = "reduced_formula",
    size: Annotated[str, typer.Option("--size", help="small (48 channels, 2 + 2 layers) or full (256, 4 + 4).")] = "small",
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Times the training rows are seen, at most.")] = 100,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Crystals of one step.")] = 32,
    rate: Annotated[float, typer.Option("--rate", min=1e-8, help="Largest learning rate.")] = 2e-3,
    patience: Annotated[int, typer.Option("--patience", min=1, help="Epochs without progress before training stops.")] = 30,
    clusters: Annotated[int, typer.Option("--clusters", min=0, help="Number; 0: about eight training rows each.")] = 0,
    layer: Annotated[str, typer.Option("--layer", help="Layer that is clustered: embedding, alignn_1, ..., gcn_1, ...")] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of split, weights and order.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda, ...")] = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Throw an unfinished training in the folder away.")] = False,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder to keep graphs of structures in.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes that make graphs.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Train a graph network (ALIGNN) to predict spectra, and cluster materials by its latent vectors.

    The rows are split by group into training, validation (which stops the training) and held-out rows, by which everything is
    judged. The folder gets result.json, the model (no pickle), predictions, latent vectors of each layer, clusters, what sets
    them apart in elements and coordination, and figures. A training that was cut off goes on when the command is given again.

    Example: hibana learn spectra tables/optical_absorption --target absorption -o spectra --epochs 100
    """
    from hibana.learn.dataset import read_dataset
    from hibana.learn.errors import NO_LEARN_EXTRA

    if size not in SIZES:
        raise typer.BadParameter(f"{size!r}; there are: {', '.join(SIZES)}", param_hint="--size")
    try:
        from hibana.learn.spectra.network import Shape, layer_names
        from hibana.learn.spectra.run import SIZES as SHAPES
        from hibana.learn.spectra.run import Options, gather, learn_spectra
        from hibana.learn.spectra.training import Settings
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(str(error)) from error
    names = layer_names(Shape(1, **SHAPES[size]))
    if layer and layer not in names:
        raise typer.BadParameter(f"{layer!r}; there are: {', '.join(names)}", param_hint="--layer")
    dataset = read_dataset(table)
    beside = dataset if structures is None else replace(dataset, path=structures / dataset.path.name)
    options = Options(
        size=size,
        settings=Settings(epochs=epochs, batch=batch, rate=rate, patience=patience, seed=seed),
        group=group,
        clusters=clusters,
        layer=layer,
        device=device,
        restart=restart,
    )
    notes = errors()
    result = learn_spectra(
        dataset,
        gather(dataset, target, options, structures=beside, cache=cache, workers=jobs),
        folder,
        options,
        say=lambda text: notes.print(text, markup=False),
    )
    print_json(result) if as_json else _show(result, folder)


def _show(result: dict[str, Any], folder: Path) -> None:
    """Scores and shares as tables."""
    from rich.table import Table

    table, target, training = result["table"], result["target"], result["training"]
    console = output()
    left_out = "".join(f", {count} left out: {reason}" for reason, count in table["left_out"].items())
    console.print(f"{table['name']}: {table['n_used']} of {table['n_rows']} rows{left_out}", markup=False)
    grid = Table(title=f"{target['column']}, {target['n_points']} points, best epoch {training['best_epoch']}")
    for name in ("rows", "n", "R²", "MAE", "MAE of the mean spectrum", "median cosine"):
        grid.add_column(name)
    for name, found in result["scores"].items():
        numbers = (
            f"{found['r2']:.3f}",
            f"{found['mae']:.4g}",
            f"{found['mae_mean_spectrum']:.4g}",
            f"{found['median_cosine']:.3f}",
        )
        grid.add_row(name, str(found["n"]), *numbers)
    console.print(grid)
    shares = Table(title=f"share of held-out spectral variance explained by {result['clusters']['n']} clusters")
    shares.add_column("clusters of")
    shares.add_column("share")
    for name, share in result["clusters"]["explained_held_out"].items():
        shares.add_row(name, f"{share:.3f}")
    console.print(shares)
    console.print(f"  {folder}", markup=False)
