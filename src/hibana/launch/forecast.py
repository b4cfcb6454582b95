"""What a rehearsal tells of the campaign: runs, failures, cost and time."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.launch.effort import FACTOR, MODEL, core_hours

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

LOST_SHARE = 0.5
"""Part of a run that a fault throws away, on average."""


@dataclass
class Forecast:
    """The forecast of a campaign.

    Parameters
    ----------
    materials
        Number of materials.
    outcomes
        Materials by what became of them: done, metal, partial, failed, or none.
    runs
        Calculations with an answer by step.
    starts
        How often the code was started.
    faults
        What befell the runs, by kind and detail; none without chaos.
    corrections
        Corrections by custodian's error key and the policy's verdict.
    failures
        Jobs that ended with an error and calculations given up, by cause; each time counts.
    repeated
        Jobs that were started again because of it.
    core_hours
        With VASP, as the rule has it; what the faults cost is in it.
    factor
        How far off that may be, either way.
    cores, cores_per_run
        Resources.
    hours
        Wall time with these resources, off by the same factor; one material's runs follow each other.
    seconds
        What the rehearsal itself took.
    """

    materials: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    corrections: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    core_hours: float = 0.0
    factor: float = FACTOR
    model: str = MODEL
    cores: int = 1
    cores_per_run: int = 1
    hours: float = 0.0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def make_forecast(
    launchpad: HibanaLaunchPad, attempts: Path, failures: Mapping[str, int], *, cores: int, cores_per_run: int
) -> Forecast:
    """The forecast from what a rehearsal left in its store and in the folder where attempts were counted.

    Parameters
    ----------
    launchpad
        The rehearsal's launchpad.
    attempts
        The folder.
    failures
        Failures by cause, counted on the way.
    cores, cores_per_run
        Resources of the campaign.
    """
    db = launchpad.db
    fields = {"material_id": 1, "task": 1, "functional": 1, "round": 1, "n_sites": 1, "n_ionic_steps": 1, "n_electronic_steps": 1}
    more = {"inputs.incar": 1, "inputs.nelect": 1, "arrays.kpoint_weights": 1, "status": 1, "corrections": 1}
    tasks = list(db["tasks"].find({}, {**fields, **more}))
    costs: dict[str, float] = defaultdict(float)
    for task in tasks:
        costs[task["material_id"]] += core_hours(task)
    faults = read_faults(attempts)
    starts = sum(path.stat().st_size for path in attempts.glob("??/*"))
    wasted = 1 + LOST_SHARE * sum(faults.values()) / max(starts - sum(faults.values()), 1)
    outcomes = Counter(str(item["state"]) for item in db["outcomes"].find({}, {"state": 1}))
    return Forecast(
        materials=db["candidates"].count_documents({}),
        outcomes=dict(sorted(outcomes.items())),
        runs=dict(sorted(Counter(map(step_of, tasks)).items())),
        starts=starts,
        faults=dict(faults.most_common()),
        corrections=dict(_corrections(tasks).most_common()),
        failures=dict(Counter(failures).most_common()),
        core_hours=wasted * sum(costs.values()),
        cores=cores,
        cores_per_run=cores_per_run,
        hours=makespan([wasted * cost / cores_per_run for cost in costs.values()], max(cores // cores_per_run, 1)),
    )


def step_of(task: Mapping[str, Any]) -> str:
    """What a calculation is called: task, and its functional where it is a hybrid."""
    return f"{task['task']} {task['functional']}" if task["functional"].endswith("_nsc") else str(task["task"])


def read_faults(attempts: Path) -> Counter[str]:
    """What befell the runs, by kind and detail."""
    path = attempts / "faults.tsv"
    lines = path.read_text().splitlines() if path.is_file() else []
    return Counter(" ".join(line.split("\t")[2:]).strip() for line in lines)


def makespan(chains: Iterable[float], slots: int) -> float:
    """Time until all chains are done on so many slots, the longest taken first (greedy; at most 4/3 of the best)."""
    ends = [0.0] * slots
    for length in sorted(chains, reverse=True):
        heapq.heappush(ends, heapq.heappop(ends) + length)
    return max(ends)


def _corrections(tasks: Iterable[Mapping[str, Any]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for task in tasks:
        for correction in task.get("corrections", ()):
            found[f"{', '.join(correction['errors']) or correction['handler']} ({correction['verdict']})"] += 1
    return found
