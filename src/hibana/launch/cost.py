"""``hibana cost``: core-hours spent, by step, material, formula, month or machine."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from hibana.launch.stages import STAGES, stage_of_run
from hibana.store.claims import ANSWERS

if TYPE_CHECKING:
    from hibana.store.store import Store

By = Literal["step", "material", "formula", "month", "worker"]

PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class Cost:
    """What a group of runs cost.

    Parameters
    ----------
    name
        Step, material, formula, month (of the end of a run) or host.
    runs, core_hours
        Runs with an answer, and what they cost, with all their continuations.
    failed_runs, failed_core_hours
        Runs without an answer, and what they cost.
    low, median, high, largest
        10th percentile, median, 90th percentile and maximum of the core-hours of one run, with an answer or without.
    """

    name: str
    runs: int
    core_hours: float
    failed_runs: int
    failed_core_hours: float
    low: float
    median: float
    high: float
    largest: float


@dataclass(frozen=True)
class CostReport:
    """What a campaign cost.

    Parameters
    ----------
    by
        What the groups are.
    groups
        The groups, the most expensive first (steps in the order of a flow, months in that of time), and `total` of them.
    lost_launches, lost_core_hours
        Launches that ended with an error or whose process was lost, and wall time times cores of their workers; no task document
        tells what they cost, so it is not part of the sums.
    """

    by: By
    groups: tuple[Cost, ...]
    total: Cost
    lost_launches: int
    lost_core_hours: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass
class _Runs:
    """Core-hours of runs one by one."""

    answered: array[float] = field(default_factory=lambda: array("d"))
    failed: array[float] = field(default_factory=lambda: array("d"))


def cost(store: Store, by: By = "step") -> CostReport:
    """What a campaign cost, from all its task documents.

    Parameters
    ----------
    store
        The store.
    by
        What the groups are.
    """
    groups: dict[str, _Runs] = defaultdict(_Runs)
    everything = _Runs()
    fields = ("material_id", "formula", "task", "functional", "variant", "status")
    projection = dict.fromkeys((*fields, "machine.core_hours", "machine.finished", "machine.host"), 1)
    for task in store.database["tasks"].find({}, projection):
        for runs in (groups[_group(task, by)], everything):
            (runs.answered if task["status"] in ANSWERS else runs.failed).append(task["machine"]["core_hours"])
    found = [_cost(name, runs) for name, runs in groups.items()]
    lost = list(_lost(store))
    return CostReport(
        by=by,
        groups=tuple(sorted(found, key=lambda item: _order(item, by))),
        total=_cost("total", everything),
        lost_launches=len(lost),
        lost_core_hours=sum(lost),
    )


def _group(task: Mapping[str, Any], by: By) -> str:
    if by == "step":
        return stage_of_run(task["task"], task["functional"], task.get("variant", ""))
    if by == "material":
        return f"{task['material_id']} {task['formula']}"
    if by == "formula":
        return str(task["formula"])
    if by == "month":
        return f"{task['machine']['finished']:%Y-%m}"
    return str(task["machine"]["host"])


def _cost(name: str, runs: _Runs) -> Cost:
    import numpy as np

    every = np.concatenate([np.frombuffer(part) for part in (runs.answered, runs.failed) if part] or [np.zeros(1)])
    low, median, high = (float(value) for value in np.percentile(every, PERCENTILES))
    return Cost(
        name=name,
        runs=len(runs.answered),
        core_hours=sum(runs.answered),
        failed_runs=len(runs.failed),
        failed_core_hours=sum(runs.failed),
        low=low,
        median=median,
        high=high,
        largest=float(every.max()),
    )


def _order(item: Cost, by: By) -> tuple[float, str]:
    if by == "step":
        return (float(STAGES.index(item.name)), item.name)
    if by == "month":
        return (0.0, item.name)
    return (-(item.core_hours + item.failed_core_hours), item.name)


def _lost(store: Store) -> Iterable[float]:
    """Core-hours of the launches that ended with an error or were lost."""
    fields = {"time_start": 1, "time_end": 1, "fworker.env.cores": 1, "fworker.env.threads": 1}
    for launch in store.database["launches"].find({"state": "FIZZLED"}, fields):
        begin, end = launch.get("time_start"), launch.get("time_end")
        if not begin or not end:
            continue
        env = (launch.get("fworker") or {}).get("env") or {}
        cores = float(env.get("cores") or 1) * float(env.get("threads") or 1)
        yield cores * max((_moment(end) - _moment(begin)).total_seconds(), 0.0) / 3600


def _moment(text: str) -> datetime:
    """A time as FireWorks writes it, always UTC, without the zone that only some write."""
    return datetime.fromisoformat(text).replace(tzinfo=None)
