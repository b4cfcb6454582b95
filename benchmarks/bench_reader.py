"""Reading a finished run into a document: hibana's reader against emmet's TaskDoc, over the recorded VASP runs.

Run ``python benchmarks/bench_reader.py``; the numbers are also written to ``benchmarks/results/reader.json``. Both read the
same folders (inputs, vasprun.xml, OUTCAR; gzipped as recorded) and end with plain data encoded as BSON, as it would be stored.
hibana's time includes reading and packing its arrays (DOS, bands, projections, spectra, site potentials), which TaskDoc leaves
out by default; "with objects" is TaskDoc with DOS and band structure parsed. The time is the smallest CPU time of several
repetitions. The recorded runs have no POTCAR; with one, TaskDoc takes longer. Read the ratios: the times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RECORDED = Path(os.environ.get("HIBANA_RECORDED", HERE.parents[1] / "shared")) / "vasp_runs"
REPEATS = 3


def hibana_document(folder: Path) -> tuple[int, int]:
    """Bytes of the document and of its packed arrays."""
    import bson

    from hibana.documents.arrays import pack
    from hibana.vasp.reader import read_run

    run, arrays = read_run(folder)
    packed = {array.ref.sha256: array.data for array in map(pack, arrays.values())}
    return len(bson.encode(run.model_dump(mode="json"))), sum(map(len, packed.values()))


def emmet_document(folder: Path, **options: Any) -> tuple[int, int]:
    """Bytes of the document and of its objects (DOS and band structure)."""
    import bson
    from emmet.core.tasks import TaskDoc
    from monty.json import jsanitize

    document = jsanitize(TaskDoc.from_directory(folder, **options).model_dump(), enum_values=True, strict=True)
    objects = document.pop("vasp_objects", None) or {}
    return len(bson.encode(document)), len(bson.encode(objects)) if objects else 0


def with_objects(folder: Path) -> tuple[int, int]:
    """TaskDoc with DOS and band structure."""
    return emmet_document(folder, parse_dos=True, parse_bandstructure=True)


def measure(read: Callable[[Path], tuple[int, int]], folder: Path) -> dict[str, float]:
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        size, arrays = read(folder)
        times.append(time.process_time() - began)
    return {"ms": 1000 * min(times), "document_bytes": size, "array_bytes": arrays}


def cases() -> list[Path]:
    """Recorded runs that have what both readers need, in one piece."""
    return sorted(
        path
        for path in RECORDED.iterdir()
        if all(
            any((path / part / f"{name}{end}").is_file() for end in ("", ".gz"))
            for part, name in (("inputs", "INCAR"), ("inputs", "POSCAR"), ("outputs", "vasprun.xml"), ("outputs", "OUTCAR"))
        )
    )


def compare(case: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for part in ("inputs", "outputs"):
            for path in (case / part).iterdir():
                if (
                    path.is_file()
                    and not path.name.startswith(("LOCPOT", "POTCAR", "custodian"))
                    and not path.name.endswith(".orig")
                ):
                    shutil.copy(path, folder)
        if not any(folder.glob("CONTCAR*")):
            shutil.copy(folder / "POSCAR", folder / "CONTCAR")
        row: dict[str, Any] = {"case": case.name, "hibana": measure(hibana_document, folder)}
        row["taskdoc"] = measure(emmet_document, folder)
        row["taskdoc_with_objects"] = measure(with_objects, folder)
    return row


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over the runs of emmet's numbers over hibana's."""

    def median(of: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(of(row) for row in rows)

    def stored(entry: dict[str, float]) -> float:
        return entry["document_bytes"] + entry["array_bytes"]

    return {
        "time": median(lambda row: row["taskdoc"]["ms"] / row["hibana"]["ms"]),
        "time_with_objects": median(lambda row: row["taskdoc_with_objects"]["ms"] / row["hibana"]["ms"]),
        "document_size": median(lambda row: row["taskdoc"]["document_bytes"] / row["hibana"]["document_bytes"]),
        "all_stored": median(lambda row: stored(row["taskdoc_with_objects"]) / stored(row["hibana"])),
    }


def line(row: dict[str, Any]) -> str:
    """One row of the table: time and size of document and arrays."""
    ours, theirs, objects = row["hibana"], row["taskdoc"], row["taskdoc_with_objects"]
    return (
        f"{row['case']:26}{ours['ms']:6.0f} ms{ours['document_bytes'] / 1e3:6.1f}+{ours['array_bytes'] / 1e3:4.0f} kB"
        f"{theirs['ms']:9.0f} ms{theirs['document_bytes'] / 1e3:5.0f} kB"
        f"{objects['ms']:9.0f} ms{objects['array_bytes'] / 1e3:7.0f} kB"
        f"{theirs['ms'] / ours['ms']:14.1f}x{objects['ms'] / ours['ms']:9.1f}x"
        f"{theirs['document_bytes'] / ours['document_bytes']:8.1f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "reader.json")
    parser.add_argument("cases", nargs="*", help="Names of recorded runs; default: all.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if not RECORDED.is_dir():
        print(f"no recorded VASP runs in {RECORDED}; set HIBANA_RECORDED")
        return
    found = [case for case in cases() if not arguments.cases or case.name in arguments.cases]
    compare(RECORDED / "Si_double_relax_2")
    rows = []
    print(f"{'':24}{'hibana':>27}{'TaskDoc':>20}{'with objects':>22}{'ratios: time':>15}{'with obj.':>10}{'document':>9}")
    for case in found:
        rows.append(compare(case))
        print(line(rows[-1]), flush=True)
    medians = ratios(rows)
    print("medians: " + ", ".join(f"{name} x{value:.1f}" for name, value in medians.items()))
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps({"unit": "CPU ms, bytes", "medians": medians, "runs": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
