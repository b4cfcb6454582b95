"""Evidence for property documents, from recorded runs and from numbers made by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.documents.arrays import pack
from hibana.documents.candidate import Material
from hibana.documents.crystal import Crystal
from hibana.documents.task import BandEdges, Calculator, Inputs, Machine, RunDoc, TaskDoc
from hibana.properties.evidence import Evidence
from hibana.protocol.protocol import load_protocol
from hibana.vasp.reader import read_run

Arrays = dict[str, NDArray[np.float64]]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROTOCOL = load_protocol("pbesol")
GAPPED = BandEdges(gap_class="gapped", band_gap=5.0)


def crystal_of(lattice: Any, species: tuple[str, ...], places: Any, magmoms: tuple[float, ...] | None = None) -> Crystal:
    rows = tuple(tuple(float(x) for x in row) for row in lattice)
    return Crystal(lattice=rows, species=species, frac_coords=tuple(tuple(map(float, x)) for x in places), magmoms=magmoms)


def rock_salt(cation: str, anion: str, a: float) -> Crystal:
    half = a / 2
    return crystal_of([[0, half, half], [half, 0, half], [half, half, 0]], (cation, anion), [[0, 0, 0], [0.5, 0.5, 0.5]])


def run_of(crystal: Crystal, **fields: Any) -> RunDoc:
    known = {
        "formula": "X",
        "elements": tuple(sorted(set(crystal.species))),
        "n_sites": len(crystal.species),
        "status": "converged",
        "calculator": Calculator(name="vasp", version="6.4.2"),
        "inputs": Inputs(incar={}, kpoints={}, potcars=()),
        "initial": crystal,
        "final": crystal,
        "edges": GAPPED,
    }
    return RunDoc(**{**known, **fields})


def task_of(step: str, run: RunDoc, arrays: Arrays | None = None) -> TaskDoc:
    refs = {name: pack(array).ref for name, array in (arrays or {}).items()}
    return TaskDoc(
        **{**dict(run), "arrays": refs},
        address=f"address of {step}",
        material_id="hib-0123456789abcdef",
        task=step,
        functional="pbesol",
        protocol=PROTOCOL.name,
        protocol_version=PROTOCOL.version,
        machine=Machine(host="", directory="", started=NOW, finished=NOW, cores=1, core_hours=0.1),
    )


def evidence_of(runs: dict[str, tuple[RunDoc, Arrays]], reasons: dict[str, str] | None = None) -> Evidence:
    """Evidence of runs by step, with their arrays as float32, as a store gives them."""
    tasks = {step: task_of(step, run, found) for step, (run, found) in runs.items()}
    kept = {
        pack(array).ref.sha256: np.asarray(array, dtype=np.float32) for _, arrays in runs.values() for array in arrays.values()
    }
    first = next(iter(tasks.values()), None)
    material = Material(
        material_id="hib-0123456789abcdef",
        structure_key="0" * 64,
        formula="X" if first is None else first.formula,
        elements=() if first is None else first.elements,
        space_group_number=1,
    )
    return Evidence(material, PROTOCOL, tasks, NOW, reasons or {}, array=lambda ref: kept[ref.sha256])


def recorded_run(recorded: Path, case: str, part: str = "") -> tuple[RunDoc, Arrays]:
    return read_run(recorded / "vasp_runs" / case / "outputs" / part, projections=False)
