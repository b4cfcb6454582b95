"""``hibana status`` with few and with many documents in the store, on the embedded server or another.

Run ``python benchmarks/bench_status.py``; the numbers are also written to ``benchmarks/results/status.json``. The store is filled
step by step with synthetic fireworks, task documents and outcomes (six jobs and five runs for each material). At each size the
documents that were added are counted, and then the time of one look is measured, with nothing changed and with a hundred jobs
changed since the last: the median of the repetitions, with the number of commands to the server and of documents from it. For
comparison: the same counts by aggregation over all documents. ``HIBANA_TEST_MONGODB=host:port`` measures another server.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo import MongoClient, monitoring

STAGES = ("relax 1", "band", "dos", "dielectric", "decide", "collect")
TASKS = ("structure_opt", "band", "dos", "dielectric_dfpt", "dielectric_function")
FORMULAS = ("MgO", "GaN", "La2O2S", "TiAl", "CsPbBr3", "Ca(OH)2", "ZnS", "BiOI")
SERIES = {"calculator": "vasp", "protocol": "pbesol", "protocol_version": 1}
BATCH = 2000
CHANGED = 100


class Traffic(monitoring.CommandListener):
    """Counts commands and documents that come back."""

    def __init__(self) -> None:
        self.commands = 0
        self.documents = 0

    def started(self, event) -> None:
        """Count a command."""
        self.commands += event.command_name != "ping"

    def succeeded(self, event) -> None:
        """Count documents."""
        cursor = event.reply.get("cursor", {})
        self.documents += len(cursor.get("firstBatch", ())) + len(cursor.get("nextBatch", ()))

    def failed(self, event) -> None:
        """Nothing to count."""


def material(number: int) -> tuple[str, str]:
    return f"hib-{hashlib.sha256(str(number).encode()).hexdigest()[:16]}", FORMULAS[number % len(FORMULAS)]


def fireworks(first: int, last: int, at: datetime) -> Iterator[dict[str, Any]]:
    for number in range(first, last):
        identity, formula = material(number)
        spec = {"material_id": identity, "formula": formula, "flow": "bulk", **SERIES}
        for place, stage in enumerate(STAGES):
            state = "COMPLETED" if number % 10 < 8 else "READY" if place == 0 else "WAITING"
            fw_id = number * len(STAGES) + place + 1
            yield {
                "fw_id": fw_id,
                "name": f"{formula} {stage}",
                "state": state,
                "updated_on": (at + timedelta(milliseconds=10 * fw_id)).isoformat(),
                "launches": [fw_id],
                "spec": spec,
            }


def tasks(first: int, last: int, at: datetime) -> Iterator[dict[str, Any]]:
    for number in range(first, last):
        identity, formula = material(number)
        for place, task in enumerate(TASKS):
            failed = (number + place) % 50 == 0
            address = hashlib.sha256(f"{number} {task}".encode()).hexdigest()
            yield {
                "_id": address,
                "material_id": identity,
                "formula": formula,
                "task": task,
                "functional": "pbesol",
                "variant": "",
                "status": "failed" if failed else "converged",
                "failure": {"kind": "zbrent", "message": ""} if failed else None,
                "protocol": "pbesol",
                "protocol_version": 1,
                "calculator": {"name": "vasp", "version": "6.4.2"},
                "machine": {
                    "host": f"node{number % 40}",
                    "directory": "/scratch",
                    "finished": at + timedelta(milliseconds=50 * number + place),
                    "core_hours": 1.0 + number % 7,
                },
                "flags": [],
                "corrections": [],
            }


def outcomes(first: int, last: int, at: datetime) -> Iterator[dict[str, Any]]:
    for number in range(first, last):
        identity, _ = material(number)
        about = {"material_id": identity, "flow": "bulk", "state": "done", "recorded_at": at + timedelta(milliseconds=number)}
        yield {"_id": f"{identity}|bulk", **about, **SERIES}


def insert(collection, documents: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for document in documents:
        batch.append(document)
        if len(batch) == BATCH:
            collection.insert_many(batch, ordered=False)
            batch = []
    if batch:
        collection.insert_many(batch, ordered=False)


def by_aggregation(database) -> float:
    """Seconds for the same counts over all documents."""
    began = time.perf_counter()
    list(database["fireworks"].aggregate([{"$group": {"_id": ["$name", "$state"], "n": {"$sum": 1}}}]))
    group = {"_id": ["$task", "$status"], "n": {"$sum": 1}, "h": {"$sum": "$machine.core_hours"}}
    list(database["tasks"].aggregate([{"$group": group}]))
    return time.perf_counter() - began


def looks(store, traffic: Traffic, repeats: int, materials: int, change: datetime | None = None) -> dict[str, float]:
    """Median time of a look at the status, with the commands and documents of one."""
    from hibana.launch.status import status

    seconds, commands, documents = [], [], []
    for turn in range(repeats):
        if change is not None:
            change += timedelta(minutes=5)
            ids = [1 + (17 * number) % (materials * len(STAGES)) for number in range(CHANGED)]
            fields = {"state": ("RUNNING", "READY")[turn % 2], "updated_on": change.isoformat()}
            store.database["fireworks"].update_many({"fw_id": {"$in": ids}}, {"$set": fields})
        before, began = (traffic.commands, traffic.documents), time.perf_counter()
        found = status(store)
        seconds.append(time.perf_counter() - began)
        commands.append(traffic.commands - before[0])
        documents.append(traffic.documents - before[1])
        assert sum(found.total.jobs.values()) == materials * len(STAGES)
        assert found.total.answered + found.total.unanswered == materials * len(TASKS)
    return {
        "seconds": statistics.median(seconds),
        "commands": statistics.median(commands),
        "documents": statistics.median(documents),
    }


def measure(client, sizes: list[int], traffic: Traffic, repeats: int) -> list[dict[str, Any]]:
    from hibana.launch.status import status
    from hibana.store.store import Store

    store = Store(client["bench_status"])
    start = datetime.now(UTC)
    database, results, there = store.database, [], 0
    for collection, field in (
        ("fireworks", "fw_id"),
        ("fireworks", "updated_on"),
        ("fireworks", "state"),
        ("workflows", "nodes"),
    ):
        database[collection].create_index(field)
    for step, materials in enumerate(sizes):
        # each size has a day of its own: what was added then has been counted for long when the looks are measured
        at = start + timedelta(days=step)
        insert(database["fireworks"], fireworks(there, materials, at))
        insert(database["tasks"], tasks(there, materials, at))
        insert(database["outcomes"], outcomes(there, materials, at))
        documents = materials * (len(STAGES) + len(TASKS) + 1)
        new = documents - there * (len(STAGES) + len(TASKS) + 1)
        began = time.perf_counter()
        status(store)
        counting = time.perf_counter() - began
        noon = at + timedelta(hours=12)
        database["counters"].update_many({}, {"$set": {"since": noon}})
        quiet = looks(store, traffic, repeats, materials)
        busy = looks(store, traffic, repeats, materials, noon)
        there = materials
        results.append(
            {
                "documents": documents,
                "counted per second": new / counting,
                "nothing changed": quiet,
                f"{CHANGED} changed": busy,
                "aggregation, seconds": by_aggregation(database),
                "counters, bytes": len(json.dumps(list(database["counters"].find({}, {"pending": 0})), default=str)),
            }
        )
        print(json.dumps(results[-1]), flush=True)
    return results


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        f"| documents | status, nothing changed, s | commands | documents read | status, {CHANGED} changed, s | aggregation, s | "
        "counted, 1/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        quiet, busy = row["nothing changed"], row[f"{CHANGED} changed"]
        lines.append(
            f"| {row['documents']:,} | {quiet['seconds']:.3f} | {quiet['commands']:.0f} | {quiet['documents']:.0f} | "
            f"{busy['seconds']:.3f} | {row['aggregation, seconds']:.2f} | {row['counted per second']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="sizes of the store")
    parser.add_argument("--repeats", type=int, default=7, help="looks at each size; the median counts")
    options = parser.parse_args()

    from hibana.store.server import down, free_port, up

    traffic = Traffic()
    sizes = [max(size // (len(STAGES) + len(TASKS) + 1), 1) for size in sorted(options.documents)]
    given = os.environ.get("HIBANA_TEST_MONGODB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        server = None if given else up(folder, free_port())
        place = given or f"{server.host}:{server.port}"
        client: MongoClient[dict[str, Any]] = MongoClient(place, event_listeners=[traffic], retryWrites=False)
        try:
            results = measure(client, sizes, traffic, options.repeats)
        finally:
            if given:
                client.drop_database("bench_status")
            client.close()
            if server is not None:
                down(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    target = Path(__file__).parent / "results" / "status.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"server": given or "embedded", "sizes": results, "memory, MiB": peak}, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
