"""Features, splits, interaction regression, generator, spectra and loop at 1,000, 10,000 and 100,000 rows: CPU time and memory.

Run ``python benchmarks/bench_scaling.py [--only loop] [--rows 1000 10000]``. Rows are made up: neutral formulas of 31 cations and
11 anions with a smooth target, and for spectra crystals of eight atoms without symmetry. Beside each module stands what one would
write first, up to the size that its memory or its time allows. Every case runs in a process of its own with one thread; the clock
starts when packages are loaded and the data are there. Results go to ``benchmarks/results/scaling.json``, case by case.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "scaling.json"
ROWS = (1_000, 10_000, 100_000)
HIBANA = "hibana"
KNOWN = 2_000
"""Values that the loop knows."""

CATIONS = {
    1: ["Li", "Na", "K", "Rb", "Cs", "Ag", "Cu"],
    2: ["Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Pb", "Mn", "Fe", "Co", "Ni"],
    3: ["Al", "Ga", "In", "Sc", "Y", "La", "Cr"],
    4: ["Ti", "Zr", "Hf", "Sn", "Si", "Ge"],
}
ANIONS = {1: ["F", "Cl", "Br", "I"], 2: ["O", "S", "Se", "Te"], 3: ["N", "P", "As"]}

Run = Callable[[], dict[str, Any]]


def formulas(count: int) -> list[str]:
    """Different neutral formulas of two cations and an anion, in a mixed order."""
    import numpy as np

    cations = [(symbol, charge) for charge, symbols in CATIONS.items() for symbol in symbols]
    anions = [(symbol, charge) for charge, symbols in ANIONS.items() for symbol in symbols]
    found = []
    for ((a, p), (b, q)), (x, r) in product(combinations(cations, 2), anions):
        for m, n in product(range(1, 8), repeat=2):
            if (m * p + n * q) % r == 0 and np.gcd.reduce([m, n, (m * p + n * q) // r]) == 1:
                found.append(f"{a}{m}{b}{n}{x}{(m * p + n * q) // r}")
    order = np.random.default_rng(0).permutation(len(found))
    return [found[place] for place in order[:count]]


def dataset(count: int):
    """A table of formulas with a target that their mean electronegativity and amounts decide."""
    import numpy as np
    import pandas as pd

    from hibana.learn.dataset import read_dataset
    from hibana.learn.features.composition import composition_features

    texts = formulas(count)
    shown = composition_features(texts)["MagpieData mean Electronegativity"].to_numpy()
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"material_id": [f"m{number:07d}" for number in range(count)], "reduced_formula": texts})
    frame["y"] = 3 * shown + np.sin(9 * shown) + 0.1 * rng.normal(size=count)
    folder = Path(tempfile.mkdtemp())
    frame.to_csv(folder / "table.csv", index=False)
    return read_dataset(folder / "table.csv")


def features(rows: int, method: str) -> Run:
    """Magpie's statistics."""
    from hibana.learn.features.composition import composition_features

    texts = formulas(rows)
    if method == HIBANA:
        composition_features(texts[:2])
        return lambda: {"columns": composition_features(texts).shape[1]}
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    magpie = ElementProperty.from_preset("magpie")
    return lambda: {"columns": len(list(map(magpie.featurize, map(Composition, texts)))[-1])}


def splits(rows: int, method: str) -> Run:
    """All splits of a table with what each lets through."""
    import numpy as np
    from scipy.spatial.distance import cdist

    from hibana.learn.features.composition import element_fractions
    from hibana.learn.splits import splits_of

    table = dataset(rows)
    if method == HIBANA:
        return lambda: {"splits": len(splits_of(table, 5, 0, ["y"]).leaks)}
    fractions = element_fractions(table.frame["reduced_formula"]).to_numpy()

    def nearest() -> dict[str, Any]:
        distances = cdist(fractions, fractions)
        np.fill_diagonal(distances, np.inf)
        return {"nearest": float(distances.min(axis=1).mean())}

    return nearest


def ilr(rows: int, method: str) -> Run:
    """One fit of 20 descriptors, crossed with ten categories by hibana."""
    import numpy as np
    import pandas as pd
    from sklearn.kernel_ridge import KernelRidge

    from hibana.learn.ilr.model import fit

    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(rng.normal(size=(rows + 1000, 20))).add_prefix("x")
    kinds = pd.DataFrame(rng.integers(0, 2, (rows + 1000, 10)).astype(float)).add_prefix("c")
    y = (numbers["x0"] * kinds["c0"] + numbers["x1"] - 2 * numbers["x2"] * (1 - kinds["c1"])).to_numpy() + 0.1 * rng.normal(
        size=rows + 1000
    )
    if method == HIBANA:
        return lambda: {"r2": _r2(fit(numbers[:rows], kinds[:rows], y[:rows]).predict(numbers[rows:], kinds[rows:]), y[rows:])}
    both = np.hstack([numbers, kinds])
    return lambda: {"r2": _r2(KernelRidge(kernel="rbf", gamma=0.01).fit(both[:rows], y[:rows]).predict(both[rows:]), y[rows:])}


def _r2(predicted: Any, truth: Any) -> float:
    return round(float(1 - ((predicted - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()), 3)


def generator(rows: int, _method: str) -> Run:
    """Compounds of a table, 300 batches of training, and 200 formulas drawn."""
    import numpy as np

    from hibana.learn.generation.compounds import read_compounds
    from hibana.learn.generation.generator import fit_generator
    from hibana.learn.generation.network import Effort

    table = dataset(rows)

    def run() -> dict[str, Any]:
        start = time.process_time()
        compounds = read_compounds(table, "y")
        read = time.process_time() - start
        made, _ = fit_generator(compounds, Effort(steps=300), 0, table.snapshot)
        drawn = made.draw(np.full(200, float(np.median(compounds.values))), 0)
        return {"compounds": len(compounds.formulas), "of_it_reading_s": round(read, 2), "different": len(set(drawn))}

    return run


def spectra(rows: int, method: str) -> Run:
    """Spectra of 1,501 points predicted by a network of small size; graphs are there."""
    import numpy as np
    from pymatgen.core import Lattice, Structure

    from hibana.learn.spectra.graph import crystal_graph
    from hibana.learn.spectra.model import SpectrumModel
    from hibana.learn.spectra.network import Shape, make_network
    from hibana.learn.spectra.run import NEIGHBOURS, SIZES

    rng = np.random.default_rng(0)
    lattice = Lattice.from_parameters(5.1, 5.9, 6.3, 84, 95, 103)
    elements = [rng.choice(["Mg", "Ti", "O", "O", "O", "Ca", "Si", "O"], 8) for _ in range(40)]
    made = [crystal_graph(Structure(lattice, list(names), rng.uniform(size=(8, 3))), NEIGHBOURS["small"]) for names in elements]
    graphs = [made[number % 40] for number in range(rows)]
    shape = Shape(1501, **SIZES["small"])
    model = SpectrumModel(
        make_network(shape, 0), shape, NEIGHBOURS["small"], 1.0, "s", "1", np.arange(1501.0), "energy", "eV", ""
    )
    if method == HIBANA:
        return lambda: {"mean": float(model.predict_graphs(graphs).mean())}
    return lambda: {"mean": float(np.mean([model.predict_graphs([graph]).mean() for graph in graphs]))}


def loop(rows: int, method: str) -> Run:
    """Rank rows that wait by 2,000 values that are known."""
    import pandas as pd
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel
    from sklearn.preprocessing import StandardScaler

    from hibana.learn.features.table import featurise
    from hibana.learn.priority.goal import Goal
    from hibana.learn.priority.ranking import Sources, rank
    from hibana.learn.priority.rule import Rule

    table = dataset(rows + KNOWN)
    waiting = list(table.frame["material_id"][KNOWN:])
    frame = table.frame.iloc[:KNOWN]
    known = type(table)("known", table.path, frame, {}, table.snapshot)
    if method == HIBANA:
        rule = Rule((Goal("y", low=float(frame["y"].quantile(0.9))),))
        return lambda: {
            "ranked": len(rank(known, table, waiting, rule, Sources(("composition", "elements")), seed=0, batch=10).items)
        }

    def process() -> dict[str, Any]:
        found = featurise(table, ["composition", "elements"]).frame.select_dtypes("number")
        x = StandardScaler().fit_transform(found.loc[:, found.notna().all() & (found.std() > 0)])
        model = GaussianProcessRegressor(Matern(10.0, nu=2.5) + WhiteKernel(0.1), normalize_y=True, random_state=0)
        mean, spread = model.fit(x[:KNOWN], frame["y"]).predict(x[KNOWN:], return_std=True)
        return {"ranked": len(pd.Series(mean + spread).sort_values())}

    return process


MODULES: dict[str, tuple[Callable[[int, str], Run], dict[str, int]]] = {
    "features": (features, {HIBANA: 100_000, "matminer, one by one": 10_000}),
    "splits": (splits, {HIBANA: 100_000, "distances of all pairs (scipy)": 10_000}),
    "ilr": (ilr, {HIBANA: 100_000, "kernel ridge (scikit-learn)": 10_000}),
    "generator": (generator, {HIBANA: 100_000}),
    "spectra": (spectra, {HIBANA: 100_000, "one crystal at a time": 1_000}),
    "loop": (loop, {HIBANA: 100_000, "Gaussian process (scikit-learn)": 10_000}),
}
"""By module: what prepares a case, and the largest size of each way."""


def cases(modules: list[str], sizes: list[int]) -> Iterator[tuple[str, str, int]]:
    for module in modules:
        for method, most in MODULES[module][1].items():
            yield from ((module, method, size) for size in sizes if size <= most)


def one(module: str, method: str, rows: int) -> dict[str, Any]:
    """Run a case and measure it."""
    run = MODULES[module][0](rows, method)
    before, start, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
    found = run()
    seconds = {"cpu_s": round(time.process_time() - cpu, 2), "wall_s": round(time.perf_counter() - start, 2)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**seconds, "memory_mb": round((peak - before) / 1024), "peak_mb": round(peak / 1024), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--only", nargs="+", choices=sorted(MODULES), default=list(MODULES))
    parser.add_argument("--one", nargs=3, metavar=("MODULE", "METHOD", "ROWS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        module, method, rows = arguments.one
        print(json.dumps(one(module, method, int(rows))))
        return
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    for module, method, rows in cases(arguments.only, arguments.rows):
        command = [sys.executable, __file__, "--one", module, method, str(rows)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads})
        found = json.loads(done.stdout.splitlines()[-1])
        print(module, method, rows, found, flush=True)
        kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        kept.setdefault(module, {}).setdefault(method, {})[str(rows)] = found
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
