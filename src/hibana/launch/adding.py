"""Adding workflows once: never half of one, never one twice, whoever is killed when.

The unique key of a workflow stands in ``metadata.submission`` under a unique index, so the insertion of its document decides
who adds it. Its Fireworks are there before, where no launcher takes them (WAITING); its root is made READY when all is in
place. A submission that is cut short leaves at most Fireworks that nobody runs, which the next one of the same key removes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING
from pymongo.errors import BulkWriteError

from hibana.launch.workflows import to_workflow
from hibana.store.store import DUPLICATE_KEY

if TYPE_CHECKING:
    from fireworks import LaunchPad, Workflow
    from jobflow import Flow

SUBMISSION = "submission"


@dataclass(frozen=True)
class Submitted:
    """A workflow that is in the launchpad.

    Parameters
    ----------
    root_ids
        Ids of its root Fireworks.
    is_new
        Whether it was added now.
    """

    root_ids: tuple[int, ...]
    is_new: bool


@dataclass(frozen=True)
class Order:
    """A workflow to add: its flow, and the plain fields people search for."""

    flow: Flow
    fields: Mapping[str, Any]


def prepare(launchpad: LaunchPad) -> None:
    """Create the indexes that make a workflow unique, where they are missing.

    Sparse, not partial: the embedded server finds nothing by a partial index and reads all workflows instead.
    """
    field = f"metadata.{SUBMISSION}"
    launchpad.workflows.create_index([(field, ASCENDING)], unique=True, sparse=True, name="hibana_submission_once")
    launchpad.fireworks.create_index([(f"spec.{SUBMISSION}", ASCENDING)], sparse=True, name="hibana_submission")


def find_submitted(launchpad: LaunchPad, keys: list[str]) -> dict[str, Submitted]:
    """The workflows of these keys that are in the launchpad; roots that a cut-short submission left behind are made READY."""
    found = launchpad.workflows.find({f"metadata.{SUBMISSION}": {"$in": keys}}, {"nodes": 1, "parent_links": 1, "metadata": 1})
    there = {item["metadata"][SUBMISSION]: Submitted(roots_of(item), is_new=False) for item in found}
    _make_ready(launchpad, [root for item in there.values() for root in item.root_ids])
    return there


def add_once(launchpad: LaunchPad, orders: Mapping[str, Order]) -> dict[str, Submitted]:
    """Add the workflows whose keys are not there yet; they should be some hundred at most.

    Parameters
    ----------
    launchpad
        A LaunchPad of any class, after :func:`prepare`.
    orders
        Key to what is to be added under it.

    Returns
    -------
    dict
        Every key with its workflow.
    """
    total = sum(len(order.flow.jobs) for order in orders.values())
    if total == 0:
        return {}
    ids = iter(range(launchpad.get_new_fw_id(quantity=total), 2**62))
    workflows = {key: _workflow(key, order, ids) for key, order in orders.items()}
    launchpad.fireworks.insert_many([firework.to_db_dict() for workflow in workflows.values() for firework in workflow.fws])
    documents = {key: workflow.to_db_dict() for key, workflow in workflows.items()}
    lost = _insert_workflows(launchpad, documents)
    won = {key: document for key, document in documents.items() if key not in lost}
    ours = {node for document in won.values() for node in document["nodes"]}
    theirs = {node for key in lost for node in documents[key]["nodes"]}
    there = launchpad.fireworks.find({f"spec.{SUBMISSION}": {"$in": list(won)}}, {"fw_id": 1})
    if unwanted := theirs | {item["fw_id"] for item in there} - ours:
        launchpad.fireworks.delete_many({"fw_id": {"$in": list(unwanted)}})
    added = {key: Submitted(roots_of(document), is_new=True) for key, document in won.items()}
    _make_ready(launchpad, [root for item in added.values() for root in item.root_ids])
    return added | (find_submitted(launchpad, lost) if lost else {})


def _workflow(key: str, order: Order, ids: Iterator[int]) -> Workflow:
    """The workflow; its document already says that the root is READY."""
    fields = {**order.fields, SUBMISSION: key}
    workflow = to_workflow(order.flow, spec=fields, metadata=fields, ids=ids)
    for root in workflow.root_fw_ids:
        workflow.fw_states[root] = "READY"
    return workflow


def _insert_workflows(launchpad: LaunchPad, documents: Mapping[str, dict[str, Any]]) -> list[str]:
    """Insert workflow documents; the keys of those that somebody else has added."""
    keys = list(documents)
    try:
        launchpad.workflows.insert_many(list(documents.values()), ordered=False)
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
        if any(failure["code"] != DUPLICATE_KEY for failure in failures):
            raise
        return [keys[failure["index"]] for failure in failures]
    return []


def _make_ready(launchpad: LaunchPad, roots: list[int]) -> None:
    if roots:
        change = {"$set": {"state": "READY", "updated_on": datetime.now(UTC).isoformat()}}
        launchpad.fireworks.update_many({"fw_id": {"$in": roots}, "state": "WAITING"}, change)


def roots_of(workflow: Mapping[str, Any]) -> tuple[int, ...]:
    """Ids of the fireworks of a workflow's document that have no parents."""
    children = {int(child) for child in workflow["parent_links"]}
    return tuple(sorted(node for node in workflow["nodes"] if node not in children))
