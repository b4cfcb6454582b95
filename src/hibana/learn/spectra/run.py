"""Spectra from table to folder: graphs, training, held-out scores, latent vectors, clusters, figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from hibana.core.address import content_address
from hibana.learn.dataset import Dataset
from hibana.learn.figures import labelled
from hibana.learn.regression.groups import formula_column, group_labels
from hibana.learn.result import table_of, write_result
from hibana.learn.spectra import figures
from hibana.learn.spectra.clustering import COMPOSITION, PREDICTED, Comparison, compare, default_number, label_all, summary_of
from hibana.learn.spectra.graph import VERSION, Graph
from hibana.learn.spectra.graphs import graphs_of
from hibana.learn.spectra.groups import compare_groups, element_coordinations
from hibana.learn.spectra.model import SpectrumModel, save
from hibana.learn.spectra.network import Shape, layer_names, make_network, n_parameters
from hibana.learn.spectra.scores import spectrum_scores
from hibana.learn.spectra.split import Split, split_rows
from hibana.learn.spectra.target import Spectra, read_spectra
from hibana.learn.spectra.training import CHECKPOINT, Progress, Rows, Settings, pick_device, train
from hibana.learn.spectra.versions import versions

Array = NDArray[np.float64]
Say = Callable[[str], None]
Told = Callable[[int, int], None]

MODULE = "spectra"
NO_SPECTRUM = "no spectrum"
MODEL = "model"

SIZES: dict[str, dict[str, int]] = {
    "small": {"channels": 48, "alignn_layers": 2, "gcn_layers": 2, "distance_bins": 40, "angle_bins": 20, "expansion": 32},
    "full": {"channels": 256, "alignn_layers": 4, "gcn_layers": 4, "distance_bins": 80, "angle_bins": 40, "expansion": 64},
}
"""Sizes of networks: one for a few cores, and the published one."""

NEIGHBOURS = {"small": 8, "full": 12}


@dataclass(frozen=True)
class Options:
    """What is wanted.

    Parameters
    ----------
    size
        ``small`` or ``full`` (:data:`SIZES`).
    settings
        How the network is trained.
    group
        Rows that agree in this are never on two sides of the split (:func:`hibana.learn.regression.groups.group_labels`).
    clusters
        Number of clusters; 0 for about eight training rows each.
    layer
        Layer whose latent vectors are clustered; empty for the last.
    device
        ``auto``, ``cpu``, ``cuda``, ...
    restart
        Whether an unfinished training in the folder is thrown away.
    """

    size: str = "small"
    settings: Settings = field(default_factory=Settings)
    group: str = "reduced_formula"
    clusters: int = 0
    layer: str = ""
    device: str = "auto"
    restart: bool = False


@dataclass(frozen=True)
class Material:
    """Rows of a table that have a spectrum and a structure.

    Parameters
    ----------
    rows
        Their row ids.
    graphs
        Their graphs.
    spectra
        (n, n_points), NaN where a point is missing.
    groups
        Their groups.
    formulas
        Their formulas.
    what
        The target, of all rows of the table.
    left_out
        How many other rows there are, by reason.
    """

    rows: pd.Index
    graphs: list[Graph]
    spectra: Array
    groups: list[Any]
    formulas: list[str]
    what: Spectra
    left_out: dict[str, int]


def gather(
    dataset: Dataset,
    target: str,
    options: Options,
    *,
    structures: Dataset | None = None,
    cache: Path | None = None,
    workers: int = 1,
    progress: Told | None = None,
) -> Material:
    """Spectra and graphs of a table.

    Parameters
    ----------
    dataset
        The table with its structures.
    target
        See :func:`hibana.learn.spectra.target.read_spectra`.
    options
        What is wanted.
    structures
        The same table with the path it has the structures beside; None if they are beside the table.
    cache
        Folder to keep graphs in.
    workers
        Processes that make graphs.
    progress
        Told how many of how many structures are done.

    Raises
    ------
    HibanaError
        HIB-261 if there is no column for the groups, HIB-263 without structures, HIB-277 without spectra.
    """
    what = read_spectra(dataset, target)
    labels = group_labels(dataset, options.group)
    formulas = dataset.frame[formula_column(dataset)].astype(str)
    graphs = graphs_of(structures or dataset, NEIGHBOURS[options.size], cache, workers, progress)
    known = np.isfinite(what.values).any(axis=1)
    used = [row for row in range(len(dataset.frame)) if known[row] and row in graphs.of_row]
    reasons = Counter(NO_SPECTRUM if not known[row] else graphs.left_out[row] for row in set(range(len(known))) - set(used))
    return Material(
        rows=dataset.frame.index[used],
        graphs=[graphs.of_row[row] for row in used],
        spectra=what.values[used],
        groups=[labels.iloc[row] for row in used],
        formulas=[formulas.iloc[row] for row in used],
        what=what,
        left_out=dict(sorted(reasons.items())),
    )


def learn_spectra(
    dataset: Dataset,
    material: Material,
    folder: Path,
    options: Options | None = None,
    *,
    say: Say = lambda _: None,
    every: float = 30,
) -> dict[str, Any]:
    """Train a network, judge it on held-out rows, cluster its latent vectors, and write everything into a folder.

    Parameters
    ----------
    dataset
        The table, for its name and identity.
    material
        Its rows (:func:`gather`).
    folder
        Where to: ``result.json``, ``model/``, ``predictions.parquet``, ``latents.parquet``, ``clusters.csv``, ``comparison.csv``,
        figures. A training that was cut off there is gone on with.
    options
        What is wanted.
    say
        Told how it gets on.
    every
        Seconds between two writings of the state of the training.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    HibanaError
        HIB-262 if there are too few rows or groups, HIB-278 if the folder holds an unfinished training of something else,
        HIB-279 if the device cannot be used.
    """
    options = options or Options()
    device = pick_device(options.device)
    split = split_rows(material.groups, options.settings.seed)
    folder.mkdir(parents=True, exist_ok=True)
    model, progress = fit(dataset, material, split, folder, options, device, say=say, every=every)
    say("latent vectors and clusters")
    predicted = model.predict_graphs(material.graphs, str(device))
    latents = model.latents(material.graphs, str(device))
    layer = options.layer or layer_names(model.shape)[-1]
    n_clusters = options.clusters or default_number(len(split.training))
    n_clusters = min(n_clusters, len(split.training))
    vectors = {**latents, PREDICTED: predicted, COMPOSITION: _compositions(material.formulas)}
    found = compare(vectors, material.spectra, split, n_clusters, layer, options.settings.seed)
    labels = label_all(found.chosen, latents[layer], split)
    _write_tables(material, split, predicted, latents, labels, folder)
    _draw(material, split, predicted, labels, progress, found, n_clusters, folder)
    result = _result(dataset, material, split, options, model, progress, predicted, found, n_clusters, layer, device)
    write_result(folder, result)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return result


def fit(
    dataset: Dataset,
    material: Material,
    split: Split,
    folder: Path,
    options: Options,
    device: torch.device,
    *,
    say: Say = lambda _: None,
    every: float = 30,
) -> tuple[SpectrumModel, Progress]:
    """Train a network on the training rows of a split and save it into ``model/``; see :func:`learn_spectra`."""
    shape = Shape(material.spectra.shape[1], **SIZES[options.size])
    training = material.spectra[split.training]
    scale = float(np.sqrt(np.nanmean(training**2))) or 1.0
    network = make_network(shape, options.settings.seed)
    network.start_from(torch.from_numpy(np.nan_to_num(np.nanmean(training, axis=0)) / scale).float())
    if options.restart:
        (folder / CHECKPOINT).unlink(missing_ok=True)
    say(f"{n_parameters(network)} weights, {len(split.training)} training rows, {device.type}")
    progress = train(
        network,
        _rows(material, split.training, scale),
        _rows(material, split.validation, scale),
        options.settings,
        device=device,
        folder=folder,
        identity=_identity(dataset, material, shape, options),
        every=every,
        say=say,
    )
    what = material.what
    model = SpectrumModel(
        network=network,
        shape=shape,
        neighbours=NEIGHBOURS[options.size],
        scale=scale,
        target=what.name,
        unit=what.unit,
        grid=what.grid,
        grid_name=what.grid_name,
        grid_unit=what.grid_unit,
        snapshot=dataset.snapshot,
    )
    save(model, folder / MODEL)
    return model, progress


def _identity(dataset: Dataset, material: Material, shape: Shape, options: Options) -> str:
    """Hash of what a training depends on."""
    return content_address(
        {
            "table": dataset.snapshot,
            "target": material.what.name,
            "rows": list(material.rows),
            "shape": asdict(shape),
            "graph": [VERSION, NEIGHBOURS[options.size]],
            "settings": {name: str(value) for name, value in asdict(options.settings).items()},
            "group": options.group,
        }
    )


def _rows(material: Material, places: NDArray[np.intp], scale: float) -> Rows:
    return Rows([material.graphs[place] for place in places], material.spectra[places] / scale)


def _compositions(formulas: list[str]) -> Array:
    from hibana.learn.features.composition import composition_features

    return composition_features(formulas).to_numpy(dtype=float)


def _elements(material: Material) -> list[list[str]]:
    """Elements of each crystal."""
    from pymatgen.core import Element

    return [[Element.from_Z(int(number)).symbol for number in np.unique(graph.numbers)] for graph in material.graphs]


def _write_tables(
    material: Material, split: Split, predicted: Array, latents: dict[str, Array], labels: NDArray[np.intp], folder: Path
) -> None:
    """Predictions and latent vectors of all rows, clusters, and what sets them apart."""
    index = pd.Index(material.rows, name="row_id")
    common = {"split": split.labels(), "cluster": labels}
    columns = {"prediction": list(predicted.astype(np.float32))}
    pd.DataFrame({**common, **columns}, index=index).to_parquet(folder / "predictions.parquet")
    vectors = {name: list(values.astype(np.float32)) for name, values in latents.items()}
    pd.DataFrame({**common, **vectors}, index=index).to_parquet(folder / "latents.parquet")
    pd.DataFrame(summary_of(labels, material.spectra, _elements(material))).to_csv(folder / "clusters.csv", index=False)
    compare_groups(labels, element_coordinations(material.graphs)).to_csv(folder / "comparison.csv", index=False)


def _draw(
    material: Material,
    split: Split,
    predicted: Array,
    labels: NDArray[np.intp],
    progress: Progress,
    found: Comparison,
    n_clusters: int,
    folder: Path,
) -> None:
    what = material.what
    axis = labelled(what.grid_name, what.grid_unit), labelled(what.name, what.unit)
    figures.learning(progress.history, progress.best_epoch, folder / "learning.png")
    names = [material.formulas[place] for place in split.test]
    figures.examples(what.grid, axis, material.spectra[split.test], predicted[split.test], names, folder / "spectra.png")
    figures.cluster_grid(what.grid, axis, labels, material.spectra, _elements(material), folder / "clusters.png")
    figures.shares({name: numbers[n_clusters] for name, numbers in found.held_out.items()}, folder / "explained.png")


def _result(
    dataset: Dataset,
    material: Material,
    split: Split,
    options: Options,
    model: SpectrumModel,
    progress: Progress,
    predicted: Array,
    found: Comparison,
    n_clusters: int,
    layer: str,
    device: torch.device,
) -> dict[str, Any]:
    mean = np.nan_to_num(np.nanmean(material.spectra[split.training], axis=0))
    parts = {"training": split.training, "validation": split.validation, "test": split.test}
    what = material.what
    return {
        "module": MODULE,
        "table": {**table_of(dataset), "n_used": len(material.rows), "left_out": material.left_out},
        "target": {"column": what.name, "unit": what.unit, "n_points": len(what.grid), "grid": [what.grid_name, what.grid_unit]},
        "groups": {"name": options.group, "n": len(set(map(str, material.groups)))},
        "network": {
            **asdict(model.shape),
            "size": options.size,
            "neighbours": model.neighbours,
            "weights": n_parameters(model.network),
        },
        "training": {
            **asdict(options.settings),
            "epochs_done": progress.epoch,
            "best_epoch": progress.best_epoch,
            "device": device.type,
        },
        "scores": {name: spectrum_scores(material.spectra[rows], predicted[rows], mean) for name, rows in parts.items()},
        "clusters": {
            "layer": layer,
            "n": n_clusters,
            "explained_held_out": {name: numbers[n_clusters] for name, numbers in found.held_out.items()},
            "explained_held_out_by_number": found.held_out,
            "explained_all_rows": found.all_rows,
        },
        "history": progress.history,
        "packages": versions(),
    }
