"""The learning modules at 1,000, 10,000 and 100,000 rows against the obvious alternative: time, memory, and how good it is.

Run ``python benchmarks/bench_learn.py [--rows 1000 10000] [--only regression]``. Every case runs in a process of its own, so
that its peak memory is its own; times are CPU seconds. Data are the published formation energies of
``ml_data/mp_formation_energy`` (folder named by ``HIBANA_RECORDED``), the lowest polymorph of each formula, drawn at random.
Results go to ``benchmarks/results/learn.json``, module by module.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "learn.json"
RECORDED = Path(os.environ.get("HIBANA_RECORDED", HERE.parent.parent / "shared"))
ROWS = (1_000, 10_000, 100_000)
TARGET = "formation_energy_eV_per_atom"
TREES, ROUNDS = 20, 100
"""Trees of a forest and rounds of boosting, the same on both sides; times and memory grow with their number."""
CHOICES = {"random_forest": 0, "gradient_boosting": -1}
"""Which of its hyperparameters each family is measured with: the first and the dearest."""


def formation_energies(n_rows: int):
    """Dataset of the lowest polymorphs of ``n_rows`` formulas, or of all there are."""
    from dataclasses import replace

    from hibana.learn.dataset import read_dataset

    dataset = read_dataset(RECORDED / "ml_data" / "mp_formation_energy" / "table.csv.gz")
    lowest = dataset.frame.sort_values(TARGET, kind="stable").drop_duplicates("reduced_formula")
    return replace(dataset, frame=lowest.sample(min(n_rows, len(lowest)), random_state=0))


def regression(n_rows: int, method: str) -> dict[str, Any]:
    """One fit on four fifths of the chemical systems, judged on the others."""
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

    from hibana.learn.regression.families import FAMILIES
    from hibana.learn.regression.inputs import gather
    from hibana.learn.regression.scores import scores
    from hibana.learn.regression.task import make_task
    from hibana.learn.regression.validation import make_folds

    dataset = formation_energies(n_rows)
    start = time.process_time()
    inputs = gather(dataset, ["composition"])
    features = time.process_time() - start
    task = make_task(dataset, TARGET, inputs, group="chemical_system")
    train, test = make_folds(task, 5, 0)[0]
    makers: dict[str, Callable[[], Any]] = {
        name: lambda family=family, trees=trees: family.make(family.grid[CHOICES[family.name]], trees=trees, seed=0)
        for (name, family), trees in zip(FAMILIES.items(), (TREES, ROUNDS), strict=True)
    }
    makers["scikit-learn RandomForestRegressor"] = lambda: RandomForestRegressor(TREES, random_state=0)
    makers["scikit-learn GradientBoostingRegressor"] = lambda: GradientBoostingRegressor(n_estimators=ROUNDS, random_state=0)
    known = task.features if method in FAMILIES else _filled(task.features)
    start = time.process_time()
    model = makers[method]().fit(known[train], task.target[train])
    fit = time.process_time() - start
    found = scores(task.target[test], model.predict(known[test]))
    return {"rows": len(task.target), "features_s": features, "fit_s": fit, "r2": found.r2, "mae": found.mae}


def _filled(features):
    """Features without gaps, which boosting of scikit-learn's default kind needs."""
    import numpy as np

    return np.where(np.isnan(features), np.nanmedian(features, axis=0), features)


REGRESSIONS = (
    "random_forest",
    "scikit-learn RandomForestRegressor",
    "gradient_boosting",
    "scikit-learn GradientBoostingRegressor",
)
MODULES: dict[str, tuple[Callable[[int, str], dict[str, Any]], tuple[str, ...]]] = {"regression": (regression, REGRESSIONS)}
"""By module: what one case does, and the methods that are compared."""


def cases(modules: list[str], rows: list[int]) -> Iterator[tuple[str, int, str]]:
    for module in modules:
        for n_rows in rows:
            for method in MODULES[module][1]:
                yield module, n_rows, method


def in_a_process(module: str, n_rows: int, method: str) -> dict[str, Any]:
    """Outcome of a case in a process of its own, with its peak memory."""
    command = [sys.executable, __file__, "--case", module, str(n_rows), method]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--only", nargs="+", choices=sorted(MODULES), default=sorted(MODULES))
    parser.add_argument("--case", nargs=3, metavar=("MODULE", "ROWS", "METHOD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        module, n_rows, method = arguments.case
        found = MODULES[module][0](int(n_rows), method)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"method": method, **found, "peak_MiB": peak}))
        return
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for module, n_rows, method in cases(arguments.only, arguments.rows):
        found = in_a_process(module, n_rows, method)
        numbers = "  ".join(f"{name} {value:.3g}" for name, value in found.items() if isinstance(value, float))
        print(f"{module}  {found.get('rows', n_rows):>7}  {method:40s}  {numbers}", flush=True)
        kept.setdefault(module, {}).setdefault(str(n_rows), {})[method] = found
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
