"""Screening against a plain loop with pymatgen: read, find the symmetry and the primitive cell, group duplicates.

Run ``python benchmarks/bench_screen.py``; results go to ``benchmarks/results/screen.json``. Both get the same file of JSON
lines: real oxides of the recorded data (``HIBANA_RECORDED`` names their folder), a fifth of them twice, in another cell. The
loop is what one writes with pymatgen: ``Structure.from_dict``, ``SpacegroupAnalyzer`` and ``StructureMatcher.group_structures``,
in one process. hibana checks the atoms, standardises, makes the identity, applies rules and compares, in one process and in as
many as there are processors. Read the ratios, those by CPU time where other work goes on: the times depend on the machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from hibana.structures.rules import load_rules
from hibana.structures.screening import screen

RECORDED = Path(os.environ.get("HIBANA_RECORDED", Path(__file__).resolve().parents[2] / "shared"))
SOURCE = RECORDED / "ml_data" / "mp_oxide_structures" / "structures.jsonl.gz"


def sample(number: int) -> list[str]:
    """Lines of every n-th structure, and of every fifth of these a copy in another cell with noise of 1e-4 Å."""
    with gzip.open(SOURCE, "rt") as file:
        lines = list(file)
    chosen = lines[:: max(1, len(lines) // number)][:number]
    rng = np.random.default_rng(1)
    for line in chosen[::5]:
        entry = json.loads(line)
        copy = Structure.from_dict(entry["structure"]) * np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
        copy.translate_sites(list(range(len(copy))), rng.random(3))
        copy.perturb(1e-4)
        chosen.append(json.dumps({"material_id": f"{entry['material_id']} copy", "structure": copy.as_dict()}))
    return chosen


def plain(path: Path) -> int:
    """Groups that a plain loop finds."""
    structures = []
    for line in path.read_text().splitlines():
        structure = Structure.from_dict(json.loads(line)["structure"])
        analyzer = SpacegroupAnalyzer(structure, symprec=0.01)
        analyzer.get_space_group_number()
        structures.append(analyzer.get_primitive_standard_structure())
    return len(StructureMatcher().group_structures(structures))


def timed(function, *arguments) -> tuple[float, float, int]:
    """Seconds that passed, CPU seconds of this process, and the result."""
    start, cpu = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return time.perf_counter() - start, time.process_time() - cpu, result


def families(path: Path, folder: Path, workers: int) -> int:
    return len({row.family for row in screen([path], folder, load_rules("oxides"), workers=workers).rows})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=150)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "screen.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    processors = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "in.jsonl"
        lines = sample(arguments.number)
        path.write_text("\n".join(line.strip() for line in lines))
        families(path, Path(name), 1)
        results = {
            "pymatgen": timed(plain, path),
            "hibana, 1 process": timed(families, path, Path(name), 1),
            f"hibana, {processors} processes": timed(families, path, Path(name), processors),
        }
    wall, cpu, _ = results["pymatgen"]
    print(f"{len(lines)} structures\n{'':22}{'structures/s':>14}{'times pymatgen':>16}{'by CPU time':>13}{'groups':>8}")
    rates = {}
    for label, (seconds, busy, groups) in results.items():
        by_cpu = cpu / busy if "processes" not in label else None
        rates[label] = {"per_second": len(lines) / seconds, "ratio": wall / seconds, "cpu_ratio": by_cpu, "groups": groups}
        shown = "" if by_cpu is None else f"{by_cpu:.2f}"
        print(f"{label:22}{len(lines) / seconds:14.1f}{wall / seconds:16.2f}{shown:>13}{groups:8}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps({"structures": len(lines), "rates": rates, "memory_mb": memory}, indent=2) + "\n")


if __name__ == "__main__":
    main()
