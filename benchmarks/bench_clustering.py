"""Clustering in the leaf space of a forest at 1,000 to 100,000 rows: CPU time, peak memory, and whether it still divides.

Run ``python benchmarks/bench_clustering.py``; results go to ``benchmarks/results/clustering.json``. The table is synthetic: 60
features, a target that depends on six of them. The peer is what one writes first: the same forest, its leaves one-hot encoded as
a dense array, and ``scipy.cluster.hierarchy.linkage(..., "ward")``; where it would take more than ``--memory`` GB it is not run
and what it would take is stated. The case ``fixed leaf`` is hibana with smallest leaves of five rows whatever the size of the
table. Every case runs in a process of its own, one seed, 100 trees, 20 groups, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hibana.learn.clustering.leaves import Forest, grow
from hibana.learn.clustering.partition import partition
from hibana.learn.clustering.signature import signatures

TREES, GROUPS, FEATURES = 100, 20, 60
FIXED_LEAF = 5
HIBANA, FIXED, DENSE = "hibana", "fixed leaf", "dense one-hot, scipy"
CASES = (HIBANA, FIXED, DENSE)
GB = 1e9


def table(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and target."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    x[:, 1::4] = np.round(x[:, 1::4])
    y = np.sin(2 * x[:, 0]) + (x[:, 1] > 0) * x[:, 2] + 0.5 * x[:, 3] ** 2 + x[:, 4] * (x[:, 5] > 0.5)
    return x, y + 0.2 * rng.normal(size=rows)


def one(case: str, rows: int) -> dict[str, Any]:
    """Run one case and measure it."""
    features, target = table(rows)
    at_start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    forest = Forest(trees=TREES)
    if case == FIXED:
        forest = Forest(trees=TREES, leaf_share=FIXED_LEAF / min(rows, 20_000))
    start, marks = time.process_time(), {}
    space = grow(features, target, forest, 0)
    marks["forest_s"] = time.process_time() - start
    if case == DENSE:
        from scipy.cluster.hierarchy import fcluster, linkage

        labels = fcluster(linkage(space.matrix.toarray().astype(float), "ward"), GROUPS, "maxclust") - 1
    else:
        labels = partition(space.matrix, GROUPS, seed=0).labels
    marks["groups_s"] = time.process_time() - start - marks["forest_s"]
    if case == HIBANA:
        signatures(features, [str(i) for i in range(FEATURES)], labels, range(GROUPS))
        marks["signatures_s"] = time.process_time() - start - sum(marks.values())
    sizes = np.bincount(labels, minlength=GROUPS)
    means = np.bincount(labels, target, minlength=GROUPS) / np.maximum(sizes, 1)
    return {
        **{name: round(seconds, 2) for name, seconds in marks.items()},
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - at_start),
        "leaf": space.leaf,
        "n_leaves": space.matrix.shape[1],
        "largest_group": round(float(sizes.max() / rows), 3),
        "variance_within": round(float(((target - means[labels]) ** 2).sum() / ((target - target.mean()) ** 2).sum()), 3),
        "oob_r2": round(space.oob_r2, 3),
    }


def dense_gb(rows: int, leaves: int) -> float:
    """What the peer holds at once: the dense array and, twice, the distances of all pairs."""
    return (8.0 * rows * leaves + 2 * 8.0 * rows * (rows - 1) / 2) / GB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--add", action="store_true", help="keep what the file of results has of other cases and sizes")
    parser.add_argument("--memory", type=float, default=6.0)
    parser.add_argument("--one", nargs=2, metavar=("CASE", "ROWS"))
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "clustering.json")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one[0], int(arguments.one[1]))))
        return
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    kept = json.loads(arguments.output.read_text())["cases"] if arguments.add else {}
    found: dict[str, dict[str, dict[str, Any]]] = kept
    print(f"{'case':22}{'rows':>8}{'forest s':>10}{'groups s':>10}{'MB':>8}{'leaf':>6}{'largest':>9}{'within':>8}")
    for case in arguments.cases:
        for rows in arguments.rows:
            needed = dense_gb(rows, found[HIBANA][str(rows)]["n_leaves"]) if case == DENSE else 0.0
            if needed > arguments.memory:
                result: dict[str, Any] = {"needs_gb": round(needed, 1)}
                print(f"{case:22}{rows:8}   not run: {needed:.1f} GB")
            else:
                command = [sys.executable, __file__, "--one", case, str(rows)]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **threads})
                result = json.loads(done.stdout.splitlines()[-1])
                numbers = f"{result['forest_s']:10.1f}{result['groups_s']:10.1f}{result['memory_mb']:8}{result['leaf']:6}"
                print(f"{case:22}{rows:8}{numbers}{result['largest_group']:9.3f}{result['variance_within']:8.3f}", flush=True)
            found.setdefault(case, {})[str(rows)] = result
            arguments.output.parent.mkdir(exist_ok=True)
            arguments.output.write_text(json.dumps({"trees": TREES, "groups": GROUPS, "cases": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
