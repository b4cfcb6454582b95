"""Export of a table with few and with many rows: time, and memory of the process.

Run ``python benchmarks/bench_export.py [ROWS ...]``; the numbers are also written to ``benchmarks/results/export.json``. The
documents are made up as they are asked for, by a stand-in for the store that keeps none of them, so that what is measured is the
export: reading pages of documents, validating them, making rows, writing Parquet, CSV, structures and cards. One material has a
relaxation and an electronic document; the others of a table are of the same size. A page of documents is made when it is asked
for and forgotten with it; what that takes is measured on its own (``made``) and is part of the time of the others. A database
would add what it takes to read and decode them. For comparison: the same rows collected in a list and written by pandas, as one
would do it without streaming. Results of sizes that are not asked for are kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "export.json"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
COMPARED = 100_000
"""The comparison is made up to this size: it needs memory for all rows."""

PAGE = 1000

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SERIES = {"protocol": "pbesol", "protocol_version": 1, "calculator": "vasp"}
CRYSTAL = {
    "lattice": ((0.0, 2.1, 2.1), (2.1, 0.0, 2.1), (2.1, 2.1, 0.0)),
    "species": ("Mg", "O"),
    "frac_coords": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
}


class Made:
    """A collection that makes its documents."""

    def __init__(self, name: str, count: int) -> None:
        self._name, self._count = name, count

    def find(self, query: dict[str, Any], _projection: Any = None) -> Made:
        """What is after a key."""
        self._first = int(query["_id"]["$gt"][4:20], 16) + 1 if "_id" in query else 0
        self._last = self._count
        return self

    def sort(self, *_: Any) -> Made:
        """They are sorted."""
        return self

    def limit(self, count: int) -> Iterator[dict[str, Any]]:
        """Make so many."""
        return (self._document(number) for number in range(self._first, min(self._first + count, self._last)))

    def _document(self, number: int) -> dict[str, Any]:
        identity = f"hib-{number:016x}"
        if self._name == "candidates":
            submissions = [{"flow": "electronic", **SERIES}]
            return {"_id": identity, "material_id": identity, "formula": "MgO", "submissions": submissions}
        head = {
            "_id": f"{identity}|pbesol@1|vasp",
            "material_id": identity,
            "formula": "MgO",
            "elements": ["Mg", "O"],
            "calculator_version": "6.4.2",
            "status": "complete",
            "built_with": "0.1.0",
            "built_at": NOON,
            **SERIES,
        }
        if self._name == "relaxation":
            cell = {"a": 4.21, "b": 4.21, "c": 4.21 + number / 1e9, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}
            more = {"space_group_number": 225, "space_group_symbol": "Fm-3m", "crystal": CRYSTAL}
            return {**head, **cell, **more, "energy_per_atom": -6.25, "addresses": {"structure_opt": f"{number:064x}"}}
        gaps = {"gap_class": "gapped", "band_gap_pbesol": 4.0 + number / 1e6, "vbm": 3.07, "cbm": 7.73, "is_gap_direct": True}
        return {**head, **gaps, "addresses": {"band": f"{number:064x}", "dos": f"{number:064x}"}}


class Nothing:
    """A collection without documents."""

    def find(self, *_: Any) -> Nothing:
        """Find nothing."""
        return self

    sort = find

    def limit(self, _count: int) -> tuple[()]:
        """Give nothing."""
        return ()


class MadeStore:
    """Stands in for the store."""

    def __init__(self, count: int) -> None:
        there = ("candidates", "relaxation", "electronic")
        self.database = {name: Made(name, count) for name in there} | {"outcomes": Nothing()}

    def query(self, collection: str, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        """The one series."""
        yield {"submissions": []} if collection == "candidates" else dict(SERIES)

    def array(self, _ref: Any) -> None:
        """No table of this benchmark has arrays."""


def streamed(count: int, folder: Path) -> None:
    from hibana.tables.export import export

    export(MadeStore(count), "electronic", folder)


def collected(count: int, folder: Path) -> None:
    """All rows in memory, then pandas."""
    import pandas as pd

    from hibana.tables.registry import find_table
    from hibana.tables.rows import rows
    from hibana.tables.series import Series

    table = find_table("electronic")
    names = [column.name for column in table.columns]
    found = [dict(zip(names, row.values, strict=True)) for row in rows(MadeStore(count), table, Series(**SERIES))]
    frame = pd.DataFrame(found)
    frame.to_parquet(folder / "electronic.parquet")
    frame.to_csv(folder / "electronic.csv")


def made(count: int, _folder: Path) -> None:
    """Nothing but the documents, page by page."""
    for collection in MadeStore(count).database.values():
        after: dict[str, Any] = {}
        while page := list(collection.find(after).limit(PAGE)):
            after = {"_id": {"$gt": page[-1]["_id"]}}


WAYS = {"made": made, "streamed": streamed, "collected": collected}


def measure(way: str, count: int, answer: Any) -> None:
    """Time and the highest memory of a process of its own; the packages are loaded before."""
    importlib.import_module("hibana.tables.export")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        WAYS[way](count, Path(scratch))
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(scratch).rglob("*"))
    used = resource.getrusage(resource.RUSAGE_SELF)
    answer.put(
        {
            "way": way,
            "rows": count,
            "seconds": round(seconds, 2),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
            "memory_MB": round(used.ru_maxrss / 1024, 1),
            "memory_before_MB": round(before / 1024, 1),
            "files_MB": round(size / 1e6, 1),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=list(SIZES))
    counts = parser.parse_args().rows
    context = multiprocessing.get_context("spawn")
    kept = json.loads(RESULTS.read_text())["runs"] if RESULTS.is_file() else []
    found = [run for run in kept if run["rows"] not in counts]
    for count in counts:
        for way in WAYS:
            if way == "collected" and count > COMPARED:
                continue
            answer = context.Queue()
            process = context.Process(target=measure, args=(way, count, answer))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{way} with {count} rows ended with {process.exitcode}")
            found.append(answer.get())
            print(found[-1], flush=True)
            RESULTS.parent.mkdir(exist_ok=True)
            ordered = sorted(found, key=lambda run: run["rows"])
            RESULTS.write_text(json.dumps({"cores": os.cpu_count(), "runs": ordered}, indent=2) + "\n")


if __name__ == "__main__":
    main()
