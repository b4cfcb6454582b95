"""Spectra by a graph network: cost of an epoch, held-out scores, and what clusters of the latent vectors explain.

Run ``python benchmarks/bench_spectra.py`` (a few minutes of one core). Two epochs are timed first, then as many are trained as
fit into the minutes. The data are the zone-centre phonon spectra of oxides in the folder ``--data`` (default: the recorded
material beside the repository). The result goes to ``benchmarks/results/spectra.json`` or ``--output``.

On a machine with a GPU that has torch, numpy, scipy, pandas and pyarrow but not pymatgen and spglib, make the graphs elsewhere
with ``--size full --prepare spectra.npz``, carry that file (a few MB), and run with
``--prepared spectra.npz --device cuda --size full --minutes 7``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RECORDED = Path(os.environ.get("HIBANA_RECORDED", HERE.parents[1] / "shared")) / "ml_data"
PACKAGES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "matplotlib")
FOR_GRAPHS = ("pymatgen", "spglib", "matminer")
PROBE = 2
"""Epochs that are timed to choose the number of epochs."""

SHARE = 0.85
"""Share of the minutes that training may take; the rest is for start and clusters."""


def main() -> None:
    arguments = parsed()
    needed = PACKAGES if arguments.prepared else (*PACKAGES, *FOR_GRAPHS)
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"not installed here: {', '.join(missing)}. Install hibana with its extra `learn` and run again.")
    sys.path.insert(0, str(HERE.parent / "src"))
    if arguments.prepare:
        prepare(arguments)
        return
    found = measure(arguments)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    shown = ("device", "s_per_epoch", "training", "scores", "explained_held_out", "explained_all_rows", "clustering")
    print(json.dumps({name: found[name] for name in shown}, indent=1))
    print(arguments.output)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--epochs", type=int, default=300, help="at most")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scaling", type=int, nargs="*", default=[1000, 10000, 100000], help="rows that are clustered")
    parser.add_argument("--data", type=Path, default=RECORDED)
    parser.add_argument("--prepare", type=Path, help="write graphs and spectra to this file and stop")
    parser.add_argument("--prepared", type=Path, help="read graphs and spectra from this file")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "spectra.json")
    return parser.parse_args()


def gathered(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Table and material."""
    from hibana.learn.dataset import read_dataset
    from hibana.learn.spectra.run import Options, gather

    dataset = read_dataset(arguments.data / "gamma_phonon_spectra" / "spectra.csv.gz")
    beside = replace(dataset, path=arguments.data / "oxide_dielectric_pbesol" / dataset.path.name)
    return dataset, gather(dataset, "s", Options(size=arguments.size), structures=beside)


def prepare(arguments: argparse.Namespace) -> None:
    """Write what a machine without pymatgen needs."""
    import numpy as np

    from hibana.learn.features.composition import composition_features
    from hibana.learn.spectra.elements import element_table

    dataset, material = gathered(arguments)
    graphs = [graph.as_array() for graph in material.graphs]
    arguments.prepare.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        arguments.prepare,
        graphs=np.concatenate(graphs),
        lengths=[len(graph) for graph in graphs],
        spectra=material.spectra.astype(np.float32),
        groups=np.array(list(map(str, material.groups))),
        rows=np.array(list(material.rows)),
        compositions=composition_features(material.formulas).to_numpy(dtype=np.float32),
        elements=element_table(),
        snapshot=dataset.snapshot,
        size=arguments.size,
    )
    print(f"{arguments.prepare}: {arguments.prepare.stat().st_size / 1e6:.1f} MB")


def prepared(arguments: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Table, material and composition features of a file that :func:`prepare` wrote."""
    import numpy as np
    import pandas as pd

    from hibana.learn.dataset import Dataset
    from hibana.learn.spectra import network
    from hibana.learn.spectra.graph import graph_from_array
    from hibana.learn.spectra.run import Material
    from hibana.learn.spectra.target import Spectra

    with np.load(arguments.prepared) as file:
        held = {name: file[name] for name in file.files}
    if str(held["size"]) != arguments.size:
        sys.exit(f"{arguments.prepared} was made with --size {held['size']}")
    network.element_table = lambda: held["elements"]
    graphs = [graph_from_array(part) for part in np.split(held["graphs"], np.cumsum(held["lengths"])[:-1])]
    spectra = held["spectra"].astype(float)
    rows, groups = pd.Index(held["rows"]), [str(group) for group in held["groups"]]
    grid = np.arange(spectra.shape[1], dtype=float)
    what = Spectra("s", "1/THz", spectra, grid, "frequency", "THz")
    dataset = Dataset("spectra", arguments.prepared, pd.DataFrame(index=rows), {}, str(held["snapshot"]))
    return dataset, Material(rows, graphs, spectra, groups, groups, what, {}), held["compositions"].astype(float)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time two epochs, train as long as there is time, and judge."""
    import numpy as np
    import torch

    from hibana.learn.spectra.clustering import COMPOSITION, PREDICTED, compare, default_number
    from hibana.learn.spectra.network import layer_names, n_parameters
    from hibana.learn.spectra.run import NEIGHBOURS, Options, fit
    from hibana.learn.spectra.scores import spectrum_scores
    from hibana.learn.spectra.split import split_rows
    from hibana.learn.spectra.training import Settings, pick_device
    from hibana.learn.spectra.versions import versions

    device = pick_device(arguments.device)
    settings = Settings(batch=arguments.batch, rate=arguments.rate, seed=arguments.seed)
    options = Options(size=arguments.size, settings=settings, device=str(device))
    began = time.perf_counter()
    if arguments.prepared:
        dataset, material, compositions = prepared(arguments)
    else:
        from hibana.learn.features.composition import composition_features

        dataset, material = gathered(arguments)
        compositions = composition_features(material.formulas).to_numpy(dtype=float)
    graphs_s = time.perf_counter() - began
    print(f"{len(material.graphs)} graphs in {graphs_s:.1f} s, {device}", flush=True)
    split = split_rows(material.groups, settings.seed)
    with tempfile.TemporaryDirectory() as scratch:
        seconds = seconds_an_epoch(dataset, material, replace(options, settings=replace(settings, epochs=PROBE)), Path(scratch))
        left = arguments.minutes * 60 * SHARE - (time.perf_counter() - began)
        epochs = max(1, min(arguments.epochs, int(left / seconds)))
        print(f"{seconds:.2f} s an epoch, {epochs} epochs", flush=True)
        chosen = replace(options, settings=replace(settings, epochs=epochs, patience=epochs))
        say = Every(max(1, epochs // 20))
        started = time.perf_counter()
        model, progress = fit(dataset, material, split, Path(scratch), chosen, device, say=say)
        training_s = time.perf_counter() - started
    predicted = model.predict_graphs(material.graphs, str(device))
    vectors = {**model.latents(material.graphs, str(device)), PREDICTED: predicted, COMPOSITION: compositions}
    number = default_number(len(split.training))
    found = compare(vectors, material.spectra, split, number, layer_names(model.shape)[-1], settings.seed)
    mean = material.spectra[split.training].mean(axis=0)
    parts = {"training": split.training, "validation": split.validation, "test": split.test}
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else f"cpu, {torch.get_num_threads()} threads",
        "n_crystals": len(material.graphs),
        "mean_nodes": float(np.mean([len(graph.numbers) for graph in material.graphs])),
        "mean_atoms": float(np.mean([graph.multiplicities.sum() for graph in material.graphs])),
        "graphs_s": round(graphs_s, 2),
        "s_per_epoch": round(seconds, 3),
        "ms_per_training_crystal": round(1000 * seconds / len(split.training), 3),
        "training_s": round(training_s, 1),
        "gpu_memory_MB": round(torch.cuda.max_memory_allocated(device) / 2**20) if on_gpu else None,
        "network": {**vars(model.shape), "neighbours": NEIGHBOURS[arguments.size], "weights": n_parameters(model.network)},
        "training": {"epochs": progress.epoch, "best_epoch": progress.best_epoch, "batch": settings.batch, "rate": settings.rate},
        "scores": {name: spectrum_scores(material.spectra[rows], predicted[rows], mean) for name, rows in parts.items()},
        "n_clusters": number,
        "explained_held_out": {name: shares[number] for name, shares in found.held_out.items()},
        "explained_by_number": found.held_out,
        "explained_all_rows": found.all_rows,
        "clustering": [clustering(n, model.shape.channels) for n in arguments.scaling],
        "history": progress.history,
        "packages": versions(),
    }


def clustering(n_rows: int, n_dimensions: int) -> dict[str, Any]:
    """CPU seconds and peak memory of the process for Ward's clusters of made latent vectors: 200 clouds of 100 clusters asked."""
    import resource

    import numpy as np

    from hibana.learn.spectra.ward import MOST_EXACT, ward_clusters

    generator = np.random.default_rng(0)
    centres = 3 * generator.normal(size=(200, n_dimensions))
    points = centres[generator.integers(200, size=n_rows)] + generator.normal(size=(n_rows, n_dimensions))
    began = time.process_time()
    labels = ward_clusters(points, 100).labels
    return {
        "n": n_rows,
        "way": "linkage of all rows" if n_rows <= MOST_EXACT else "k-means, then linkage of centres",
        "cpu_s": round(time.process_time() - began, 2),
        "clusters": len(set(labels.tolist())),
        "largest": int(np.bincount(labels).max()),
        "peak_memory_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def seconds_an_epoch(dataset: Any, material: Any, options: Any, folder: Path) -> float:
    """Seconds of the second of two epochs; the first warms up."""
    from hibana.learn.spectra.run import fit
    from hibana.learn.spectra.split import split_rows
    from hibana.learn.spectra.training import pick_device

    times: list[float] = []
    split = split_rows(material.groups, options.settings.seed)

    def tick(text: str) -> None:
        if text.startswith("epoch"):
            times.append(time.perf_counter())

    fit(dataset, material, split, folder / "probe", options, pick_device(options.device), say=tick)
    return max(1e-3, times[-1] - times[-2])


class Every:
    """Prints every so many epochs."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, text: str) -> None:
        """Take a line."""
        words = text.split()
        if words[0] != "epoch" or int(words[1]) % self.step == 0:
            print(text, flush=True)


if __name__ == "__main__":
    main()
