"""How long a run will take, from the runs that were done before."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pymongo import DESCENDING
from pymongo.database import Database

from hibana.launch.stages import stage_of_run

LATEST = 2000
"""So many runs, the latest, are looked at."""

ALIKE = 1.5
"""Runs whose cells have a number of atoms within this factor are alike."""

CAUTION = 0.8
"""Share of the runs alike that take no longer than what is expected."""


class Experience:
    """Core-seconds of earlier runs by stage and number of atoms.

    Parameters
    ----------
    database
        The store's.
    """

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._database = database
        self._runs: dict[str, list[tuple[int, float]]] = {}

    def refresh(self) -> None:
        """Read the latest runs."""
        fields = ("task", "functional", "variant", "n_sites", "machine.core_hours")
        found = self._database["tasks"].find({}, dict.fromkeys(fields, 1)).sort("machine.finished", DESCENDING).limit(LATEST)
        runs = defaultdict(list)
        for task in found:
            stage = stage_of_run(task["task"], task["functional"], task.get("variant", ""))
            runs[stage].append((int(task["n_sites"]), 3600 * float(task["machine"]["core_hours"])))
        self._runs = dict(runs)

    def core_seconds(self, stage: str, n_atoms: int) -> float | None:
        """What a run is expected to cost: four of five alike cost no more; None where there is none alike.

        Parameters
        ----------
        stage
            As :mod:`hibana.launch.stages` names them.
        n_atoms
            Atoms of its cell.
        """
        alike = sorted(cost for sites, cost in self._runs.get(stage, ()) if n_atoms / ALIKE <= sites <= n_atoms * ALIKE)
        return alike[min(int(CAUTION * len(alike)), len(alike) - 1)] if alike else None
