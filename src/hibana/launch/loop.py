"""The autonomous loop: what waits is ranked by what is known already, and FireWorks' priorities are set accordingly.

What ranks is handed in, since the modules that learn know nothing of FireWorks. A round may be killed at any moment: decisions
are logged before they are carried out, and the next round, which comes to the same ones from the same data, carries out the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from hibana.launch.priorities import MATERIAL, PriorityReport, set_priorities
from hibana.store.patience import patiently

if TYPE_CHECKING:
    from fireworks import LaunchPad

BATCH = 300
RUNNABLE = ("READY", "WAITING")
BEGUN = ("RESERVED", "RUNNING", "COMPLETED")
ENDED = ("COMPLETED", "ARCHIVED", "DEFUSED")
"""States of workflows in which nothing waits."""

FIRST = 1000
"""Candidates that get a priority of their own in a round."""


@dataclass(frozen=True)
class WaitingMaterial:
    """A material with work that waits.

    Parameters
    ----------
    material_id, formula
        Which.
    priority
        Highest priority of its jobs that wait; None if they have none.
    has_begun
        Whether some of its work is done or runs; it is finished before another is begun.
    """

    material_id: str
    formula: str
    priority: int | None
    has_begun: bool


@dataclass(frozen=True)
class Ranked:
    """A material in the order of a ranking.

    Parameters
    ----------
    material_id
        Which.
    about
        What is said of it in the log: ``why``, and what the ranking knows besides.
    """

    material_id: str
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Ranking:
    """The order in which materials should be calculated.

    Parameters
    ----------
    about
        Where it comes from: table, snapshot, rule, model, seed.
    items
        The materials, the first one first.
    """

    about: Mapping[str, Any]
    items: Sequence[Ranked]


Rank = Callable[[Sequence[WaitingMaterial]], Ranking]


class Log(Protocol):
    """Where decisions are kept."""

    def last(self, material_id: str) -> int | None:
        """Priority decided last for a material; None if there was no decision."""

    def append(self, decisions: Sequence[Mapping[str, Any]]) -> None:
        """Keep decisions."""


@dataclass(frozen=True)
class Change:
    """A priority that is set.

    Parameters
    ----------
    material_id, formula
        Of what.
    before, priority
        What it was and what it becomes.
    about
        Rank, score, prediction and why.
    """

    material_id: str
    formula: str
    before: int | None
    priority: int
    about: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, on one level."""
        said = asdict(self)
        return {**said, **said.pop("about")}


@dataclass(frozen=True)
class Round:
    """One look at the campaign.

    Parameters
    ----------
    at
        When.
    about
        Where the ranking comes from.
    n_waiting, n_begun
        Materials that wait, and how many of them have begun.
    changes
        What is set, the highest priority first.
    report
        What was set; None where nothing waits.
    dry_run
        Whether nothing was written.
    """

    at: datetime
    about: Mapping[str, Any]
    n_waiting: int
    n_begun: int
    changes: Sequence[Change]
    report: PriorityReport | None
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "at": self.at.isoformat(),
            **self.about,
            "n_waiting": self.n_waiting,
            "n_begun": self.n_begun,
            "changes": [change.as_dict() for change in self.changes],
            "jobs": None if self.report is None else self.report.as_dict(),
            "dry_run": self.dry_run,
        }


def look(
    launchpad: LaunchPad,
    rank: Rank,
    *,
    series: Mapping[str, Any],
    makes: Callable[[str], bool],
    known: Collection[str],
    log: Log | None = None,
    first: int = FIRST,
    dry_run: bool = False,
) -> Round:
    """Rank what waits and set its priorities.

    Materials that have begun get ``first + 1``, the best of the others ``first``, the next ``first - 1`` and so on, all behind
    these 0.

    Parameters
    ----------
    launchpad
        A LaunchPad of any class.
    rank
        Ranks materials that wait.
    series
        Fields of the workflows that are meant: ``protocol``, ``protocol_version``, ``calculator``; those left out may be any.
    makes
        Whether a flow, as a workflow names it, gives what is looked for.
    known
        Materials of which that is known already.
    log
        Where decisions are kept before they are carried out.
    first
        Candidates that get a priority of their own.
    dry_run
        Say what would change and write nothing.
    """
    at = datetime.now(UTC)
    materials = waiting_materials(launchpad, series, makes, known)
    ranking = rank(materials)
    wanted = plan(materials, ranking, first)
    changes = _changes(materials, ranking, wanted, log)
    if log is not None and not dry_run:
        log.append([{"at": at.isoformat(), **ranking.about, **change.as_dict()} for change in changes])
    report = None if dry_run or not wanted else set_priorities(launchpad, wanted, series=series)
    n_begun = sum(item.has_begun for item in materials)
    return Round(at, ranking.about, len(materials), n_begun, changes, report, dry_run)


def plan(materials: Sequence[WaitingMaterial], ranking: Ranking, first: int = FIRST) -> dict[str, int]:
    """Priority of each material."""
    begun = {item.material_id for item in materials if item.has_begun}
    fresh = [item.material_id for item in ranking.items if item.material_id not in begun]
    return dict.fromkeys(sorted(begun), first + 1) | {name: max(first - place, 0) for place, name in enumerate(fresh)}


def waiting_materials(
    launchpad: LaunchPad, series: Mapping[str, Any], makes: Callable[[str], bool], known: Collection[str]
) -> list[WaitingMaterial]:
    """Materials with jobs that are READY or WAITING, sorted by ``material_id``.

    Parameters are those of :func:`look`. A material whose every job waits for one that failed or is held does not count.
    """
    query = {
        MATERIAL: {"$exists": True},
        "state": {"$nin": ENDED},
        **{f"metadata.{name}": value for name, value in series.items()},
    }
    fields = {"metadata": 1, "nodes": 1}
    nodes: dict[str, list[int]] = {}
    formulas: dict[str, str] = {}
    for workflow in patiently(lambda: list(launchpad.workflows.find(query, fields))):
        about = workflow["metadata"]
        name = about["material_id"]
        if name not in known and makes(about.get("flow", "")):
            nodes.setdefault(name, []).extend(workflow["nodes"])
            formulas[name] = about.get("formula", "")
    found = []
    for names in _batches(sorted(nodes)):
        jobs = _jobs(launchpad, [node for name in names for node in nodes[name]])
        for name in names:
            of_one = [jobs[node] for node in nodes[name] if node in jobs]
            found += _material(name, formulas[name], of_one)
    return found


def _jobs(launchpad: LaunchPad, nodes: list[int]) -> dict[int, tuple[str, int | None]]:
    """State and priority of fireworks."""
    fields = {"fw_id": 1, "state": 1, "spec._priority": 1}
    found = patiently(lambda: list(launchpad.fireworks.find({"fw_id": {"$in": nodes}}, fields)))
    return {job["fw_id"]: (job["state"], job.get("spec", {}).get("_priority")) for job in found}


def _material(name: str, formula: str, jobs: Sequence[tuple[str, int | None]]) -> list[WaitingMaterial]:
    states = {state for state, _ in jobs}
    is_blocked = "READY" not in states and states.isdisjoint(("RESERVED", "RUNNING"))
    if is_blocked or states.isdisjoint(RUNNABLE):
        return []
    priorities = [priority for state, priority in jobs if state in RUNNABLE and priority is not None]
    return [WaitingMaterial(name, formula, max(priorities, default=None), not states.isdisjoint(BEGUN))]


def _changes(materials: Sequence[WaitingMaterial], ranking: Ranking, wanted: Mapping[str, int], log: Log | None) -> list[Change]:
    """Priorities that differ from what is set, or from what was decided last."""
    about = {item.material_id: item.about for item in ranking.items}
    changes = []
    for item in materials:
        priority = wanted.get(item.material_id)
        if priority is None:
            continue
        is_logged = log is None or log.last(item.material_id) == priority
        if item.priority != priority or not is_logged:
            said = dict(about.get(item.material_id, {}))
            if item.has_begun:
                said["why"] = f"has begun and is finished first; {said['why']}" if said.get("why") else "has begun"
            changes.append(Change(item.material_id, item.formula, item.priority, priority, said))
    return sorted(changes, key=lambda change: (-change.priority, change.material_id))


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    coming = iter(names)
    while some := list(islice(coming, BATCH)):
        yield some
