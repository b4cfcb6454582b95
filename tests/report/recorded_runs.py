"""Recorded VASP runs as task documents."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from hibana.documents.task import Machine, TaskDoc

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MACHINE = Machine(host="localhost", directory="/scratch", started=NOW, finished=NOW, cores=1, core_hours=0.0)


def task_of(recorded: Path, folder: Path, case: str, task: str) -> tuple[TaskDoc, dict[str, np.ndarray]]:
    """A recorded run as a task document, with its arrays."""
    from hibana.vasp.reader import read_run

    for part in ("inputs", "outputs"):
        shutil.copytree(recorded / "vasp_runs" / case / part, folder, dirs_exist_ok=True)
    run, arrays = read_run(folder)
    doc = TaskDoc(
        **run.model_dump(),
        address=(task[0] * 64),
        material_id="hib-0",
        task=task,
        functional="pbesol",
        protocol="pbesol",
        protocol_version=1,
        machine=MACHINE,
    )
    return doc, arrays
