"""Reading a workflow, letting FireWorks compute its new states, and writing what changed.

FireWorks writes several documents for one change: fireworks, then the workflow. So that a process killed in between loses
nothing and doubles nothing:

- Children are written before their parents: as long as the firework that triggered the change has its old state, refreshing
  it again gives the same result.
- A change that may not be applied twice (new fireworks, ``mod_spec``) is first noted as a whole in the collection
  ``wf_journal``; who breaks the lock completes it.
- A firework is written only if it is still as it was read; only the fields that changed are written.
- The workflow's document and the release of its lock are one write, which needs the lock.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import bson
from fireworks.core.firework import Firework, Workflow
from fireworks.core.launchpad import LazyFirework, LockedWorkflowError, get_action_from_gridfs
from gridfs import GridFS

from hibana.launch.locks import Lock
from hibana.launch.patient import Document, PatientCollection
from hibana.store.patience import patiently

LARGEST_JOURNAL = 15_000_000
ATTEMPTS = 10


class Collections(Protocol):
    """The collections of a launchpad, as patient ones."""

    p_fireworks: PatientCollection
    p_launches: PatientCollection
    p_workflows: PatientCollection
    p_journal: PatientCollection
    gridfs_fallback: GridFS | None

    def get_new_fw_id(self, quantity: int = 1) -> int:
        """First of so many new ids."""
        ...


class ChangedError(Exception):
    """A firework was changed by another process between reading and writing."""


@dataclass(frozen=True)
class Loaded:
    """A workflow and the documents of those of its fireworks that were read at once."""

    workflow: Workflow
    seen: dict[int, Document]


def update_workflow(
    launchpad: Collections, lock: Lock, eager: Iterable[int], compute: Callable[[Workflow], Iterable[int]]
) -> None:
    """Change a locked workflow and unlock it.

    Parameters
    ----------
    launchpad
        The launchpad.
    lock
        The lock, which is released by the last write.
    eager
        Fireworks to read at once; others are read as FireWorks asks for them.
    compute
        Changes the workflow and returns the ids of the fireworks it changed or added (negative ids).

    Raises
    ------
    LockedWorkflowError
        If the lock was broken meanwhile, or others change the fireworks all the time.
    """
    wanted = list(eager)

    def computed() -> tuple[Loaded, set[int]]:
        """What changes; FireWorks reads the fireworks it asks for by itself."""
        loaded = load(launchpad, lock.workflow, wanted)
        return loaded, set(compute(loaded.workflow))

    for _ in range(ATTEMPTS):
        loaded, updated = patiently(computed)
        try:
            _write(launchpad, lock, loaded, updated)
            return
        except ChangedError:
            continue
    raise LockedWorkflowError(f"Could not update workflow of {lock.fw_id}: its fireworks are changed by others")


def load(launchpad: Collections, document: Mapping[str, Any], eager: Iterable[int]) -> Loaded:
    """Make FireWorks' Workflow from a workflow's document.

    Raises
    ------
    ValueError
        If a firework that has to be read is missing.
    """
    wanted = list(eager)
    seen = {doc["fw_id"]: doc for doc in launchpad.p_fireworks.all({"fw_id": {"$in": wanted}})}
    if missing := sorted(set(wanted) - set(seen)):
        raise ValueError(f"No Firework exists with id: {missing[0]}")
    launches = _launches(launchpad, seen.values())
    gridfs = launchpad.gridfs_fallback
    raw = (launchpad.p_fireworks.collection, launchpad.p_launches.collection, gridfs)
    fireworks = [
        read_firework(seen[fw_id], launches) if fw_id in seen else LazyFirework(fw_id, *raw) for fw_id in document["nodes"]
    ]
    states = {int(fw_id): state for fw_id, state in document["fw_states"].items()} if "fw_states" in document else None
    times = (document["created_on"], document["updated_on"])
    workflow = Workflow(fireworks, dict(document["links"]), document["name"], document["metadata"], *times, states)
    return Loaded(workflow, seen)


def read_firework(document: Document, launches: Mapping[int, Document]) -> Firework:
    """Make FireWorks' Firework from its document and those of its launches."""
    fields = dict(document)
    for name in ("launches", "archived_launches"):
        fields[name] = [launches[launch_id] for launch_id in document[name] if launch_id in launches]
    return Firework.from_dict(fields)


def launches_of(launchpad: Collections, *fireworks: Document) -> dict[int, Document]:
    """Documents of the launches of fireworks by id, their actions fetched from GridFS where they are there."""
    return _launches(launchpad, fireworks)


def finish_journal(launchpad: Collections, workflow: Mapping[str, Any]) -> bool:
    """Complete the change that the holder of a workflow's lock had noted; True if there was one and the lock is free now."""
    journal = launchpad.p_journal.one({"_id": workflow["_id"]})
    locked = workflow.get("locked")
    if journal is None or not isinstance(locked, Mapping) or journal["token"] != locked.get("token"):
        return False
    _apply(launchpad, journal)
    return True


def _write(launchpad: Collections, lock: Lock, loaded: Loaded, updated: set[int]) -> None:
    workflow = loaded.workflow
    new = _give_ids(launchpad, workflow, updated)
    changed = [fw_id for fw_id in reversed(parents_first(lock.workflow)) if fw_id in updated]
    changes = (_change(workflow.id_fw[fw_id], loaded.seen.get(fw_id)) for fw_id in changed)
    writes = [change for change in changes if change is not None]
    journal: Document = {
        "_id": lock.workflow["_id"],
        "token": lock.token,
        "new": [workflow.id_fw[fw_id].to_db_dict() for fw_id in new.values()],
        "writes": writes,
        "workflow": {**workflow.to_db_dict(), "updated_on": _now()},
    }
    if (new or _is_modified(workflow, updated)) and len(bson.encode(journal)) < LARGEST_JOURNAL:
        launchpad.p_journal.replace({"_id": journal["_id"]}, journal, upsert=True)
        _apply(launchpad, journal)
    else:
        if journal["new"]:
            launchpad.p_fireworks.add(journal["new"], "fw_id")
        for change in writes:
            if not _put(launchpad, change):
                raise ChangedError
        _put_workflow(launchpad, journal)
    lock.released = True


def _apply(launchpad: Collections, journal: Mapping[str, Any]) -> None:
    new = {doc["fw_id"]: doc for doc in journal["new"]}
    there = launchpad.p_fireworks.all({"fw_id": {"$in": list(new)}}, {"fw_id": 1}) if new else []
    if missing := [new[fw_id] for fw_id in new.keys() - {doc["fw_id"] for doc in there}]:
        launchpad.p_fireworks.add(missing, "fw_id")
    for change in journal["writes"]:
        _put(launchpad, change)
    _put_workflow(launchpad, journal)
    launchpad.p_journal.remove({"_id": journal["_id"], "token": journal["token"]})


def _put_workflow(launchpad: Collections, journal: Mapping[str, Any]) -> None:
    """Write the workflow without its lock.

    Raises
    ------
    LockedWorkflowError
        If the lock was broken meanwhile, and the workflow is not as it was to be written.
    """
    key = {"_id": journal["_id"], "locked.token": journal["token"]}
    if launchpad.p_workflows.replace(key, dict(journal["workflow"])):
        return
    # written just before the connection dropped, or by who completed the journal?
    found = launchpad.p_workflows.one({"_id": journal["_id"]}, {"updated_on": 1})
    if found is None or found["updated_on"] != journal["workflow"]["updated_on"].replace(tzinfo=None):
        raise LockedWorkflowError("the lock of the workflow was broken while it was changed")


def _give_ids(launchpad: Collections, workflow: Workflow, updated: set[int]) -> dict[int, int]:
    """Give ids to new fireworks, in the order in which they were made; returns old to new."""
    negative = sorted((fw_id for fw_id in updated if fw_id < 0), reverse=True)
    if not negative:
        return {}
    first = launchpad.get_new_fw_id(len(negative))
    old_new = dict(zip(negative, range(first, first + len(negative)), strict=True))
    for old, new in old_new.items():
        workflow.id_fw[old].fw_id = new
    workflow._reassign_ids(old_new)
    return old_new


def _change(firework: Firework | LazyFirework, seen: Document | None) -> Document | None:
    """What to write of a firework, as a filter and an update; None if nothing changed."""
    now = firework.to_db_dict()
    if seen is None:
        return {"filter": {"fw_id": now["fw_id"]}, "set": now}
    fields = {name: value for name, value in now.items() if seen.get(name) != value}
    if not set(fields) - {"updated_on", "created_on"}:
        return None
    # a new time even where FireWorks keeps the old one: it tells others that the document changed
    fields["updated_on"] = datetime.datetime.now(datetime.UTC).isoformat()
    filter = {"fw_id": now["fw_id"], "state": seen["state"], "updated_on": seen["updated_on"]}
    return {"filter": filter, "set": fields}


def _put(launchpad: Collections, change: Mapping[str, Any]) -> bool:
    if launchpad.p_fireworks.change(change["filter"], {"$set": change["set"]}):
        return True
    # done just before the connection dropped, or by who completed the journal?
    key = {"fw_id": change["filter"]["fw_id"], "updated_on": change["set"].get("updated_on")}
    return launchpad.p_fireworks.one(key, {"_id": 1}) is not None


def _is_modified(workflow: Workflow, updated: set[int]) -> bool:
    """Whether an action that was applied changes specs in a way that must not be done twice."""
    completed = (fw for fw_id in updated if (fw := workflow.id_fw.get(fw_id)) is not None and fw.state == "COMPLETED")
    return any(launch.action is not None and launch.action.mod_spec for fw in completed for launch in fw.launches)


def _now() -> datetime.datetime:
    """The time, as exactly as the database keeps it."""
    now = datetime.datetime.now(datetime.UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _launches(launchpad: Collections, fireworks: Iterable[Document]) -> dict[int, Document]:
    ids = [launch_id for doc in fireworks for launch_id in [*doc["launches"], *doc["archived_launches"]]]
    if not ids:
        return {}
    found = launchpad.p_launches.all({"launch_id": {"$in": ids}})
    for launch in found:
        launch["action"] = patiently(partial(get_action_from_gridfs, launch.get("action"), launchpad.gridfs_fallback))
    return {launch["launch_id"]: launch for launch in found}


def parents_first(workflow: Mapping[str, Any]) -> list[int]:
    """Ids of a workflow's fireworks, each after its parents.

    Raises
    ------
    ValueError
        If its links have a circle.
    """
    parents = {int(child): set(of) for child, of in workflow["parent_links"].items()}
    order: list[int] = []
    waiting = set(workflow["nodes"])
    while waiting:
        ready = sorted(fw_id for fw_id in waiting if not parents.get(fw_id, set()) & waiting)
        if not ready:
            raise ValueError(f"the links of the workflow of firework {min(waiting)} have a circle")
        order += ready
        waiting -= set(ready)
    return order


def children(workflow: Mapping[str, Any], parents: Iterable[int]) -> set[int]:
    """Ids of the direct children of fireworks."""
    return {child for parent in parents for child in workflow["links"].get(str(parent), ())}


def descendants(workflow: Mapping[str, Any], fw_id: int) -> set[int]:
    """Ids of everything that follows a firework."""
    found: set[int] = set()
    front = {fw_id}
    while front:
        front = children(workflow, front) - found
        found |= front
    return found
