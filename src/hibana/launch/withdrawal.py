"""Removing what has not begun from the launchpad, safe whoever is killed when and whoever else is at it.

A workflow is withdrawn in steps: those of its fireworks that a launcher could take, now or when a submission under way makes
the first of them ready, are paused and marked, on the condition that nobody has taken them. Whether one was taken is then
settled for good, so everybody who looks comes to the same verdict, and everybody may finish what somebody else began: the
workflow and then its fireworks are deleted, or the paused ones are made ready again.

Fireworks of no workflow may be those of a submission that is just going to add it. They are marked by a word of their own,
and only what still bears the mark when no workflow was found to have them is deleted. Who adds a workflow looks at its
fireworks after that (:mod:`hibana.launch.adding`), and takes the mark away, or begins again where it came too late.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hibana.launch.patient import Document, PatientCollection
from hibana.store.patience import patiently

if TYPE_CHECKING:
    from fireworks import LaunchPad

MARK = "withdrawing"
"""Field of a firework that was paused to be withdrawn."""

CONDEMNED = "condemned"
"""Field of a firework that seems to be of no workflow: a word of who is going to delete it."""

UNTOUCHED = ("READY", "WAITING", "PAUSED", "DEFUSED", "ARCHIVED")
"""States of fireworks that have not been taken, if they have no launch either."""

WORKFLOW_FIELDS = {"nodes": 1, "parent_links": 1, "metadata": 1}
"""What is read of a workflow's document."""

BATCH = 500


def roots_of(workflow: Mapping[str, Any]) -> tuple[int, ...]:
    """Ids of the fireworks of a workflow's document that have no parents."""
    children = {int(child) for child in workflow["parent_links"]}
    return tuple(sorted(node for node in workflow["nodes"] if node not in children))


def fireworks_of(launchpad: LaunchPad, workflow: Mapping[str, Any]) -> list[Document]:
    """State, mark and launches of the fireworks of a workflow."""
    fields = {"fw_id": 1, "state": 1, "launches": 1, "archived_launches": 1, MARK: 1}
    return PatientCollection(launchpad.fireworks).all({"fw_id": {"$in": workflow["nodes"]}}, fields)


def is_taken(firework: Mapping[str, Any]) -> bool:
    """Whether a launcher has taken a firework, now or before."""
    return firework["state"] not in UNTOUCHED or bool(firework.get("launches") or firework.get("archived_launches"))


def is_marked(firework: Mapping[str, Any]) -> bool:
    """Whether a firework is paused by a withdrawal."""
    return firework["state"] == "PAUSED" and bool(firework.get(MARK))


def take_back(launchpad: LaunchPad, workflow: Mapping[str, Any]) -> bool:
    """Remove a workflow unless a launcher has taken one of its fireworks; whether it is gone.

    May be done by several at once, and goes on with what a killed one has left.

    Parameters
    ----------
    launchpad
        A LaunchPad of any class.
    workflow
        Document of the workflow.
    """
    nodes = list(workflow["nodes"])
    paused = {"state": "PAUSED", MARK: True}
    # in this order: a submission under way makes roots that wait READY
    _change(launchpad, roots_of(workflow), {"state": "WAITING"}, {"$set": paused})
    _change(launchpad, nodes, {"state": "READY"}, {"$set": paused})
    if any(is_taken(firework) for firework in fireworks_of(launchpad, workflow)):
        _change(launchpad, nodes, paused, {"$set": {"state": "READY"}, "$unset": {MARK: ""}})
        return False
    delete(launchpad, [workflow])
    return True


def finish_withdrawal(launchpad: LaunchPad, workflow: Mapping[str, Any]) -> bool:
    """:func:`take_back` for a withdrawal that somebody else has begun; the counters of jobs learn of it."""
    from hibana.launch.counters import Counters
    from hibana.launch.sources import JOBS, SOURCES
    from hibana.store.store import Store

    if not take_back(launchpad, workflow):
        return False
    patiently(lambda: Counters(Store(launchpad.db).database, SOURCES).look_again(JOBS.name, workflow["nodes"]))
    return True


def delete(launchpad: LaunchPad, workflows: Iterable[Mapping[str, Any]]) -> None:
    """Delete workflows, then their fireworks."""
    chosen = list(workflows)
    PatientCollection(launchpad.workflows).remove({"_id": {"$in": [workflow["_id"] for workflow in chosen]}})
    nodes = [node for workflow in chosen for node in workflow["nodes"]]
    PatientCollection(launchpad.fireworks).remove({"fw_id": {"$in": nodes}})


def cut_short(launchpad: LaunchPad) -> list[Document]:
    """Documents of the workflows with fireworks that a withdrawal has paused; mostly of one that was killed."""
    found = PatientCollection(launchpad.fireworks).all({MARK: True, "state": "PAUSED"}, {"fw_id": 1})
    ids = [firework["fw_id"] for firework in found]
    workflows = PatientCollection(launchpad.workflows)
    batches = (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
    documents = [item for some in batches for item in workflows.all({"nodes": {"$in": some}}, WORKFLOW_FIELDS)]
    return list({document["_id"]: document for document in documents}.values())


def remove_orphans(launchpad: LaunchPad, fw_ids: Collection[int]) -> list[int]:
    """Delete those of some fireworks that are of no workflow.

    Parameters
    ----------
    launchpad
        A LaunchPad of any class.
    fw_ids
        Fireworks that may be of none.

    Returns
    -------
    list of int
        Those that were of none.
    """
    fireworks, workflows = PatientCollection(launchpad.fireworks), PatientCollection(launchpad.workflows)
    having = workflows.all({"nodes": {"$in": list(fw_ids)}}, {"nodes": 1}) if fw_ids else []
    word, ids = {CONDEMNED: uuid.uuid4().hex}, set(fw_ids).difference(*(workflow["nodes"] for workflow in having))
    if not ids:
        return []
    chosen = {"fw_id": {"$in": list(ids)}}
    patiently(lambda: fireworks.collection.update_many(chosen, {"$set": word}))
    having = workflows.all({"nodes": {"$in": list(ids)}}, {"nodes": 1})
    orphans = sorted(ids.difference(*(workflow["nodes"] for workflow in having)))
    fireworks.remove({"fw_id": {"$in": orphans}, **word})
    if having:
        patiently(lambda: fireworks.collection.update_many({**chosen, **word}, {"$unset": {CONDEMNED: ""}}))
    return orphans


def _change(launchpad: LaunchPad, nodes: Collection[int], only: Document, change: Document) -> None:
    fields = {**change, "$set": {**change["$set"], "updated_on": datetime.now(UTC).isoformat()}}
    patiently(lambda: launchpad.fireworks.update_many({"fw_id": {"$in": list(nodes)}, **only}, fields))
