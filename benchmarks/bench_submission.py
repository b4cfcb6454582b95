"""Submission of many materials: `hibana submit` against `lpad add` file by file, and against jobflow's own way.

Run ``python benchmarks/bench_submission.py [--number 2000]``; the numbers are also written to
``benchmarks/results/submission.json``. The materials are made-up orthorhombic elpasolites of ten atoms, each of another formula;
the flow is ``bulk``. Everything goes to one embedded server. The peers add the same workflows: ``lpad add`` one file at a time,
as a process each, and ``flow_to_workflow`` with ``LaunchPad.add_wf`` in one process. Before the submission and after it, hibana's
launcher and FireWorks' own run empty jobs of the highest priority; after it, ``hibana status`` is asked twice. What has been
measured is printed and written as it comes: ``--number 100000`` takes an hour on two cores.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_full_store import seconds_of_a_launch

ELEMENTS = tuple(
    "Li Na K Rb Cs Mg Ca Sr Ba Sc Y La Ti Zr Hf V Nb Ta Al Ga In Si Ge Sn Zn Cd Cu Ag Ni Co Fe Mn Cr Mo W Bi Sb Pb".split()  # noqa: SIM905
)
ANIONS = ("O", "F", "S", "Se", "Cl", "Br", "I")
FACE_CENTRED = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
SIX_WAYS = np.concatenate([np.eye(3), -np.eye(3)])
COLLECTIONS = ("candidates", "fireworks", "workflows")
FLOW = "bulk"


def materials() -> Iterator[tuple[str, dict]]:
    """Names and structures, all of different formulas."""
    from pymatgen.core import Structure

    for a, b, c in itertools.permutations(ELEMENTS, 3):
        for anion in ANIONS if b < c else ():
            spread = sum(ord(letter) for letter in a + b + c + anion) % 97 / 97
            edges = (7.6 + 1.6 * spread) * np.diag([1, 1.02, 0.97])
            positions = np.array([[0.25] * 3, [0.75] * 3, [0] * 3, [0.5] * 3, *((0.25 + 0.01 * spread) * SIX_WAYS)])
            structure = Structure(FACE_CENTRED @ edges, [a, a, b, c, *[anion] * 6], positions @ np.linalg.inv(FACE_CENTRED))
            yield f"{a}2{b}{c}{anion}6", structure.as_dict()


def write_lines(path: Path, number: int) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        for name, structure in itertools.islice(materials(), number):
            lines.write(json.dumps({"material_id": name, "structure": structure}) + "\n")


def processor_seconds(process: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_hibana(launchpad, path: Path, workers: int, server: int) -> dict:
    """Rate, and the server's processor time, in each tenth of the submission; memory, and what it takes in the database."""
    from hibana.launch.submit import submit

    marks = [(0, time.perf_counter(), processor_seconds(server))]

    def mark(so_far) -> None:
        marks.append((len(so_far.added), time.perf_counter(), processor_seconds(server)))
        print(f"{marks[-1][0]} materials after {marks[-1][1] - marks[0][1]:.0f} s", file=sys.stderr)

    report = submit([path], FLOW, "pbesol", "vasp", launchpad, workers=workers, on_batch=mark)
    steps = marks[:: max(1, len(marks) // 10)]
    tenths = [[new - old for new, old in zip(after, before, strict=True)] for before, after in itertools.pairwise(steps)]
    sizes = {name: launchpad.db.command("collStats", name) for name in COLLECTIONS}
    return {
        "added": len(report.added),
        "per second": len(report.added) / (marks[-1][1] - marks[0][1]),
        "rates as the store fills": [round(added / seconds, 2) for added, seconds, _ in tenths],
        "server's CPU s per 1000 as it fills": [round(1000 * used / added, 2) for added, _, used in tenths],
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "documents": {name: int(item["count"]) for name, item in sizes.items()},
        "MB": {name: round(item["size"] / 2**20, 2) for name, item in sizes.items()},
        "MB of indexes": {name: round(item.get("totalIndexSize", 0) / 2**20, 2) for name, item in sizes.items()},
    }


def measure_lpad(launchpad_file: Path, folder: Path, path: Path, number: int) -> float:
    """Workflows a second by `lpad add`, a file at a time."""
    from hibana.flows.registry import find_flow
    from hibana.launch.workflows import to_workflow
    from hibana.structures.identity import make_candidate
    from hibana.structures.reading import iterate_structures

    files = []
    for read in itertools.islice(iterate_structures(path), number):
        file = folder / f"{len(files)}.json"
        flow = find_flow(FLOW).make(make_candidate(read), "pbesol", "vasp")
        to_workflow(flow).to_file(str(file))
        files.append(file)
    start = time.perf_counter()
    for file in files:
        command = [str(Path(sys.executable).parent / "lpad"), "-l", str(launchpad_file), "-s", "add", str(file)]
        subprocess.run(command, check=True, capture_output=True)
    return number / (time.perf_counter() - start)


def measure_jobflow(launchpad_file: Path, path: Path, number: int) -> float:
    """Workflows a second by atomate2's flow, `flow_to_workflow` and `add_wf`, in one process."""
    from atomate2.vasp.flows.core import RelaxBandStructureMaker
    from fireworks import LaunchPad
    from jobflow import JobStore
    from jobflow.managers.fireworks import flow_to_workflow
    from maggma.stores import MemoryStore

    from hibana.structures.reading import iterate_structures

    store, stock = JobStore(MemoryStore()), LaunchPad.from_file(str(launchpad_file))
    read = [item.structure for item in itertools.islice(iterate_structures(path), number)]
    start = time.perf_counter()
    for structure in read:
        stock.add_wf(flow_to_workflow(RelaxBandStructureMaker().make(structure), store))
    return number / (time.perf_counter() - start)


def launch_rates(launchpad_file: Path, folder: Path, when: str) -> dict[str, float]:
    """Of both launchers; FireWorks' gets one job, since it is slow where many wait."""
    from fireworks import LaunchPad

    from hibana.launch.launchpad import HibanaLaunchPad

    kinds = {"hibana": (HibanaLaunchPad, 60), "FireWorks": (LaunchPad, 1)}
    return {
        f"launches per second, {name}, {when}": 1 / seconds_of_a_launch(kind.from_file(str(launchpad_file)), folder, jobs)
        for name, (kind, jobs) in kinds.items()
    }


def seconds_of_status(launchpad_file: Path) -> float:
    """A look at `hibana status`, with the start of the command."""
    start = time.perf_counter()
    command = [str(Path(sys.executable).parent / "hibana"), "status", "-l", str(launchpad_file), "--json"]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


class Results(dict):
    """What was measured; printed and written whenever something is added."""

    def add(self, new: dict) -> None:
        """Print and write."""
        self.update(new)
        for key, value in new.items():
            print(f"{key:50} {value if not isinstance(value, float) else round(value, 4)}", flush=True)
        target = Path(__file__).parent / "results" / "submission.json"
        target.write_text(json.dumps(self, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=2000, help="materials")
    parser.add_argument("--workers", type=int, default=1, help="processes that standardise")
    parser.add_argument("--peers", type=int, default=5, help="workflows that the peers add")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.store.launchpad_file import write_launchpad_file
    from hibana.store.server import down, free_port, up

    results = Results()
    with tempfile.TemporaryDirectory(prefix="hibana-bench-") as name:
        folder = Path(name)
        lines = folder / "materials.jsonl.gz"
        write_lines(lines, options.number)
        file = folder / "my_launchpad.yaml"
        server = up(folder / "store", free_port())
        write_launchpad_file(file, server)
        try:
            launchpad = HibanaLaunchPad.from_file(str(file))
            launchpad.initialise()
            results.add(launch_rates(file, folder, "store empty"))
            results.add(measure_hibana(launchpad, lines, options.workers, server.pid))
            peers = {
                "lpad add": measure_lpad(file, folder, lines, options.peers),
                "flow_to_workflow and add_wf": measure_jobflow(file, lines, options.peers),
            }
            for peer, rate in peers.items():
                results.add({f"{peer}, per second": rate, f"hibana / {peer}": results["per second"] / rate})
            for look in (1, 2):
                results.add({f"status, s, look {look}": seconds_of_status(file)})
            results.add(launch_rates(file, folder, "store full"))
            launchpad.connection.close()
        finally:
            down(folder / "store")


if __name__ == "__main__":
    main()
