"""Priorities of materials that wait: set in bulk, for what is not done yet, and for what comes of it later.

A priority is FireWorks' ``_priority`` in the spec of each firework, so that stock ``lpad get_fws``, ``rlaunch`` and ``qlaunch``
heed it. A job that runs hands the priority that it has when it ends to the jobs that follow it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from pymongo import UpdateMany

from hibana.store.patience import patiently

if TYPE_CHECKING:
    from fireworks import LaunchPad

BATCH = 300
"""Materials whose fireworks are changed by one bulk write."""

PASSES = 5
"""How often a batch is looked at again for fireworks that were added meanwhile."""

DONE = ("COMPLETED", "ARCHIVED", "DEFUSED")
"""States of fireworks whose priority no longer matters; one that failed may be run again."""

MATERIAL = "metadata.material_id"
"""Where a workflow says which material it is about."""


@dataclass
class PriorityReport:
    """What was set.

    Parameters
    ----------
    materials
        Materials with a workflow.
    changed
        Fireworks whose priority was changed, by their state.
    unchanged
        Fireworks not done yet that had it already.
    done
        Materials of which nothing is left to do.
    missing
        Materials without a workflow.
    dry_run
        Whether nothing was written.
    """

    materials: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    done: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def set_priorities(
    launchpad: LaunchPad, priorities: Mapping[str, int], *, series: Mapping[str, Any] | None = None, dry_run: bool = False
) -> PriorityReport:
    """Set the priorities of materials, in all their workflows or those of a series, for what is not done yet.

    It may be called while launchers run, and by several at once: the last one counts. What a running job adds later has the
    new priority too.

    Parameters
    ----------
    launchpad
        A LaunchPad of any class.
    priorities
        material_id to priority; higher is earlier, and any number is earlier than none.
    series
        Fields of the workflows that are meant (``protocol``, ``protocol_version``, ``calculator``); None for all workflows.
    dry_run
        Count what would change and write nothing.
    """
    patiently(lambda: launchpad.workflows.create_index(MATERIAL, sparse=True))
    report, changed = PriorityReport(dry_run=dry_run), Counter[str]()
    for batch in _batches(priorities):
        _set_batch(launchpad, batch, {f"metadata.{name}": value for name, value in (series or {}).items()}, report, changed)
    report.changed = dict(sorted(changed.items()))
    return report


def _set_batch(
    launchpad: LaunchPad, batch: Mapping[str, int], only: Mapping[str, Any], report: PriorityReport, changed: Counter[str]
) -> None:
    for number in range(PASSES):
        nodes = _nodes(launchpad, batch, only)
        waiting = _waiting(launchpad, [node for of_one in nodes.values() for node in of_one])
        wrong = {
            material_id: found
            for material_id, ids in nodes.items()
            if (found := [node for node in ids if node in waiting and waiting[node][1] != batch[material_id]])
        }
        changed.update(waiting[node][0] for ids in wrong.values() for node in ids)
        if number == 0:
            report.materials += len(nodes)
            report.missing += [material_id for material_id in batch if material_id not in nodes]
            report.done += [material_id for material_id, ids in nodes.items() if not any(node in waiting for node in ids)]
            report.unchanged += len(waiting) - sum(map(len, wrong.values()))
        if report.dry_run or not wrong:
            return
        _write(launchpad, batch, wrong)


def _nodes(launchpad: LaunchPad, batch: Mapping[str, int], only: Mapping[str, Any]) -> dict[str, list[int]]:
    """Fireworks of each material that has any, in the workflows that are meant."""
    query, fields = {**only, MATERIAL: {"$in": list(batch)}}, {MATERIAL: 1, "nodes": 1}
    nodes: dict[str, list[int]] = {}
    for workflow in patiently(lambda: list(launchpad.workflows.find(query, fields))):
        nodes.setdefault(workflow["metadata"]["material_id"], []).extend(workflow["nodes"])
    return nodes


def _waiting(launchpad: LaunchPad, nodes: list[int]) -> dict[int, tuple[str, Any]]:
    """State and priority of those fireworks that are not done."""
    query, fields = {"fw_id": {"$in": nodes}, "state": {"$nin": DONE}}, {"fw_id": 1, "state": 1, "spec._priority": 1}
    found = patiently(lambda: list(launchpad.fireworks.find(query, fields)))
    return {doc["fw_id"]: (doc["state"], doc.get("spec", {}).get("_priority")) for doc in found}


def _write(launchpad: LaunchPad, batch: Mapping[str, int], wrong: Mapping[str, list[int]]) -> None:
    """One bulk write. The time of the fireworks' last change is left: it is what launchers and refreshes compare."""
    ids: dict[int, list[int]] = {}
    for material_id, nodes in wrong.items():
        ids.setdefault(batch[material_id], []).extend(nodes)
    changes = [
        UpdateMany({"fw_id": {"$in": nodes}, "state": {"$nin": DONE}}, {"$set": {"spec._priority": priority}})
        for priority, nodes in ids.items()
    ]
    patiently(lambda: launchpad.fireworks.bulk_write(changes, ordered=False))


def _batches(priorities: Mapping[str, int]) -> Iterator[dict[str, int]]:
    coming: Iterable[tuple[str, int]] = iter(priorities.items())
    while some := dict(islice(coming, BATCH)):
        yield some
