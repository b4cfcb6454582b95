"""Making and adding one workflow: hibana's ``electronic`` against atomate2's ``RelaxBandStructureMaker`` through jobflow.

Run ``python benchmarks/bench_flows.py``; the numbers are also written to ``benchmarks/results/flows.json``. Both start from the
same structure. hibana makes six jobs: the five it submits and the hybrid step that one of them is replaced by. atomate2 makes
five, which jobflow's own ``flow_to_workflow`` turns into FireWorks' documents. Adding is done on one embedded server, with
hibana's submission and with FireWorks' own LaunchPad. All in one process; the time is the smallest of several repetitions
after a first, uncounted one. Read the ratios: the times depend on the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPETITIONS = 5
BATCH = 20
SITES = {"MgO, 2 atoms": 1, "MgO, 16 atoms": 2}


def best(action: Callable[[], object], repetitions: int, clock: Callable[[], float]) -> float:
    """Smallest time of an action, ms."""
    action()
    times = []
    for _ in range(repetitions):
        start = clock()
        action()
        times.append(1000 * (clock() - start))
    return min(times)


def structure_of(multiple: int):
    from pymatgen.core import Lattice, Structure

    made = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.212), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return made.get_primitive_structure() * (multiple, multiple, multiple)


def candidate_of(structure):
    from hibana.documents.candidate import CandidateDoc
    from hibana.structures.convert import from_pymatgen

    return CandidateDoc(
        material_id="hib-0123456789abcdef",
        structure_key="0123456789abcdef" * 4,
        formula="MgO",
        elements=("Mg", "O"),
        n_sites=len(structure),
        space_group_number=225,
        space_group_symbol="Fm-3m",
        crystal=from_pymatgen(structure),
        sources=("benchmark",),
    )


def hibana_flows(candidate) -> list:
    """The flow that is submitted, and the hybrid step that replaces its decision."""
    from jobflow import Flow

    from hibana.documents.spec import Prior
    from hibana.flows.bulk import bulk_flow, decide
    from hibana.flows.messages import Answer

    flow = bulk_flow(candidate, "pbesol-demo", "gpaw-rehearsal", "electronic")
    material, series = flow.jobs[0].function_args[:2]
    answer = Answer(
        status="converged", address="0" * 64, crystal=candidate.crystal, prior=Prior(band_gap=4.5), gap_class="gapped"
    ).plain()
    return [flow, Flow([decide.original(material, series, "hse06", answer, {"band": answer, "dos": answer}).replace])]


def atomate2_flow(structure):
    from atomate2.vasp.flows.core import RelaxBandStructureMaker

    return RelaxBandStructureMaker().make(structure)


def documents(workflow) -> list[dict]:
    return [workflow.to_db_dict(), *(firework.to_db_dict() for firework in workflow.fws)]


def measure_building(structure, repetitions: int) -> dict[str, dict[str, float]]:
    """CPU ms to make the jobs and to turn them into FireWorks' documents, and the size of these in bytes."""
    import bson
    from jobflow import JobStore
    from jobflow.managers.fireworks import flow_to_workflow
    from maggma.stores import MemoryStore

    from hibana.launch.workflows import to_workflow

    candidate, store = candidate_of(structure), JobStore(MemoryStore())

    def ours() -> list[dict]:
        return [item for flow in hibana_flows(candidate) for item in documents(to_workflow(flow))]

    def theirs() -> list[dict]:
        return documents(flow_to_workflow(atomate2_flow(structure), store))

    return {
        "hibana": {
            "jobs": best(lambda: hibana_flows(candidate), repetitions, time.process_time),
            "jobs and documents": best(ours, repetitions, time.process_time),
            "bytes": sum(len(bson.encode(item)) for item in ours()),
        },
        "atomate2": {
            "jobs": best(lambda: atomate2_flow(structure), repetitions, time.process_time),
            "jobs and documents": best(theirs, repetitions, time.process_time),
            "bytes": sum(len(bson.encode(item)) for item in theirs()),
        },
    }


@contextmanager
def launchpad_file() -> Iterator[Path]:
    """A launchpad file of an embedded server that lives as long as the block."""
    from hibana.store.launchpad_file import write_launchpad_file
    from hibana.store.server import down, free_port, up

    with tempfile.TemporaryDirectory(prefix="hibana-bench-") as name:
        folder = Path(name)
        write_launchpad_file(folder / "my_launchpad.yaml", up(folder / "store", free_port()))
        try:
            yield folder / "my_launchpad.yaml"
        finally:
            down(folder / "store")


def measure_adding(structure, repetitions: int) -> dict[str, dict[str, float]]:
    """Wall ms to make the jobs and add the workflow to a server."""
    from fireworks import LaunchPad
    from jobflow import JobStore
    from jobflow.managers.fireworks import flow_to_workflow
    from maggma.stores import MemoryStore

    from hibana.launch.adding import Order, add_once, prepare
    from hibana.launch.launchpad import HibanaLaunchPad

    candidate, store, number = candidate_of(structure), JobStore(MemoryStore()), itertools.count()
    with launchpad_file() as path:
        own = HibanaLaunchPad.connect(path)
        stock = LaunchPad.from_file(str(path))
        stock.m_logger.setLevel(logging.WARNING)

        prepare(own)

        def ours(count: int) -> None:
            flows = [hibana_flows(candidate)[0] for _ in range(count)]
            add_once(own, {f"benchmark {next(number)}": Order(flow, {"formula": "MgO"}) for flow in flows})

        def theirs(count: int) -> None:
            flows = [flow_to_workflow(atomate2_flow(structure), store) for _ in range(count)]
            if count == 1:
                stock.add_wf(flows[0])
            else:
                stock.bulk_add_wfs(flows)

        found: dict[str, dict[str, float]] = {"hibana": {}, "atomate2": {}}
        for who, action in (("hibana", ours), ("atomate2", theirs)):
            found[who]["one made and added"] = best(lambda action=action: action(1), repetitions, time.perf_counter)
            batch = best(lambda action=action: action(BATCH), 1, time.perf_counter)
            found[who][f"each of {BATCH} added together"] = batch / BATCH
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--no-server", action="store_true", help="do not measure adding")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    results = {}
    for name, multiple in SITES.items():
        structure = structure_of(multiple)
        found = measure_building(structure, arguments.repetitions)
        if not arguments.no_server:
            for who, times in measure_adding(structure, arguments.repetitions).items():
                found[who] |= times
        results[name] = found
        for what, value in found["hibana"].items():
            other = found["atomate2"][what]
            print(f"{name:14} {what:28} hibana {value:9.2f}   atomate2 {other:9.2f}   ratio {other / value:7.1f}", flush=True)
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "flows.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
