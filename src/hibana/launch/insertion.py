"""Adding new workflows to the database, so that others see each of them complete or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bson import ObjectId
from fireworks.core.firework import Firework, Workflow

from hibana.launch.locks import aware
from hibana.launch.patient import Document
from hibana.store.owner import Owner

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

BATCH = 500
"""Workflows written by one command."""


def number(launchpad: HibanaLaunchPad, workflows: Sequence[Workflow], *, reassign_all: bool) -> dict[int, int]:
    """Give the fireworks of new workflows their ids, and the roots their state; returns old ids to new ones.

    Parameters
    ----------
    launchpad
        The launchpad.
    workflows
        The workflows.
    reassign_all
        Whether fireworks that have an id already (not a negative one) get another.
    """
    old_new: dict[int, int] = {}
    new = [fw for workflow in workflows for fw in workflow.fws if reassign_all or fw.fw_id < 0]
    next_id = launchpad.get_new_fw_id(len(new)) if new else 0
    for workflow in workflows:
        for fw_id in workflow.root_fw_ids:
            workflow.id_fw[fw_id].state = "READY"
            workflow.fw_states[fw_id] = "READY"
        ids: dict[int, int] = {}
        for firework in sorted(workflow.fws, key=creation_order):
            if reassign_all or firework.fw_id < 0:
                ids[firework.fw_id] = next_id
                firework.fw_id = next_id
                next_id += 1
        workflow._reassign_ids(ids)
        old_new |= ids
    return old_new


def insert(launchpad: HibanaLaunchPad, workflows: Sequence[Workflow]) -> None:
    """Write new workflows, some hundred at a time.

    What is being added is noted first. Fireworks that are ready to run go in last: none of a workflow runs before it is complete.
    """
    for start in range(0, len(workflows), BATCH):
        some = workflows[start : start + BATCH]
        documents = [{"_id": ObjectId(), **workflow.to_db_dict()} for workflow in some]
        fireworks = sorted((fw for wf in some for fw in wf.fws), key=lambda fw: (fw.state == "READY", fw.fw_id))
        note: Document = {
            "_id": ObjectId(),
            "adding": [document["_id"] for document in documents],
            "owner": Owner.here().as_dict(),
            "at": launchpad.locks.clock.now(),
        }
        launchpad.p_journal.replace({"_id": note["_id"]}, note, upsert=True)
        launchpad.p_workflows.add(documents, "_id")
        launchpad.p_fireworks.add([fw.to_db_dict() for fw in fireworks], "fw_id")
        launchpad.p_journal.remove({"_id": note["_id"]})


def remove_half_added(launchpad: HibanaLaunchPad, stale_after: float) -> list[int]:
    """Remove the workflows that a process did not live to add completely: who asked for them was not told that they are there.

    Parameters
    ----------
    launchpad
        The launchpad.
    stale_after
        Seconds after which a process on another machine is taken for dead.

    Returns
    -------
    list of int
        First firework of each.
    """
    removed: list[int] = []
    for note in launchpad.p_journal.all({"adding": {"$exists": True}}):
        age = (launchpad.locks.clock.now() - aware(note["at"])).total_seconds()
        owner = Owner.from_dict(note["owner"])
        if not (owner.is_dead or (not owner.is_here and age > stale_after)):
            continue
        for workflow in launchpad.p_workflows.all({"_id": {"$in": note["adding"]}}, {"nodes": 1}):
            its_own = {"fw_id": {"$in": workflow["nodes"]}}
            if len(launchpad.p_fireworks.all(its_own, {"fw_id": 1})) < len(workflow["nodes"]):
                launchpad.p_fireworks.remove(its_own)
                launchpad.p_workflows.remove({"_id": workflow["_id"]})
                removed.append(min(workflow["nodes"]))
        launchpad.p_journal.remove({"_id": note["_id"]})
    return removed


def creation_order(firework: Firework) -> tuple[bool, int]:
    """Sorts fireworks as they were made: new ones count down from -1, numbered ones keep their order."""
    return (firework.fw_id < 0, abs(firework.fw_id))
