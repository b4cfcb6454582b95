"""A launch with few and with many documents in the store: hibana's launcher, and FireWorks' own where it is asked for.

Run ``python benchmarks/bench_full_store.py [--documents 1000 100000] [--peer]``; the numbers are also written to
``benchmarks/results/full_store.json``. The store, an embedded server, is filled with copies of a waiting workflow of six jobs;
then empty jobs of the highest priority are run by one launcher.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench_launchpad import CHAIN, chain, launch, open_launchpad

JOBS = 60
PAGE = 2000
LINKS = ("links", "parent_links", "fw_states")


def fill(launchpad, documents: int) -> None:
    """Copy the one workflow that is there until there are so many documents."""
    workflow = launchpad.workflows.find_one({}, {"_id": 0})
    fireworks = list(launchpad.fireworks.find({}, {"_id": 0}))
    first = min(workflow["nodes"])

    def moved(value, by: int):
        if isinstance(value, dict):
            return {str(int(key) + by): moved(item, by) for key, item in value.items()}
        if isinstance(value, list):
            return [moved(item, by) for item in value]
        return value + by if isinstance(value, int) else value

    def copies() -> Iterator[tuple[dict, list[dict]]]:
        for number in range(1, documents // (CHAIN + 1)):
            by = first + number * CHAIN
            own = {key: moved(workflow[key], by) for key in (*LINKS, "nodes")}
            yield {**workflow, **own}, [{**firework, "fw_id": firework["fw_id"] + by} for firework in fireworks]

    waiting: tuple[list, list] = ([], [])
    for made, own in copies():
        waiting[0].append(made)
        waiting[1].extend(own)
        if len(waiting[1]) > PAGE:
            insert(launchpad, *waiting)
    if waiting[0]:
        insert(launchpad, *waiting)
    launchpad.fw_id_assigner.update_one({}, {"$inc": {"next_fw_id": documents + first + CHAIN}})


def insert(launchpad, workflows: list[dict], fireworks: list[dict]) -> None:
    """Write what has been collected."""
    launchpad.workflows.insert_many(workflows, ordered=False)
    launchpad.fireworks.insert_many(fireworks, ordered=False)
    workflows.clear()
    fireworks.clear()


def seconds_of_a_launch(launchpad, folder: Path, jobs: int) -> float:
    """Mean of empty jobs that go before everything that waits."""
    made = [chain() for _ in range(0, jobs, CHAIN)]
    for firework in (firework for workflow in made for firework in workflow.fws):
        firework.spec["_priority"] = 1000
    launchpad.bulk_add_wfs(made)
    start = time.perf_counter()
    launch(launchpad, jobs, folder)
    return (time.perf_counter() - start) / jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[1000, 100_000], help="sizes of the store")
    parser.add_argument("--peer", action="store_true", help="let FireWorks' own launcher run a job as well")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    from fireworks import LaunchPad

    from hibana.store.server import down, free_port, up

    results = []
    for documents in options.documents:
        with tempfile.TemporaryDirectory(prefix="hibana-full-") as name:
            folder = Path(name)
            try:
                launchpad = open_launchpad("hibana", folder, up(folder / "store", free_port()))
                launchpad.add_wf(chain())
                start = time.perf_counter()
                fill(launchpad, documents)
                row = {"documents": launchpad.fireworks.count_documents({}) + launchpad.workflows.count_documents({})}
                row["filled in, s"] = time.perf_counter() - start
                row["hibana, s a launch"] = [round(seconds_of_a_launch(launchpad, folder, JOBS), 4) for _ in range(3)]
                if options.peer:
                    stock = LaunchPad.from_file(str(folder / "hibana.yaml"))
                    row["FireWorks, s a launch"] = seconds_of_a_launch(stock, folder, 1)
                launchpad.connection.close()
            finally:
                down(folder / "store")
        print(row, flush=True)
        results.append(row)
    target = Path(__file__).parent / "results" / "full_store.json"
    target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
