"""Adding workflows once: never half of one, never one twice, whoever is killed when.

The unique key of a workflow stands in ``metadata.submission`` under a unique index, so the insertion of its document decides
who adds it. Its Fireworks are there before, where no launcher takes them (WAITING); its root is made READY when all is in
place. A submission that is cut short leaves at most Fireworks that nobody runs, which the next one of the same key that adds
a workflow removes. It may meet withdrawals of the same keys (:mod:`hibana.launch.withdrawal`), and finishes those it finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING
from pymongo.errors import BulkWriteError, OperationFailure

from hibana.launch.withdrawal import (
    CONDEMNED,
    MARK,
    WORKFLOW_FIELDS,
    delete,
    finish_withdrawal,
    fireworks_of,
    is_marked,
    is_taken,
    remove_orphans,
    roots_of,
)
from hibana.launch.workflows import to_workflow
from hibana.store.arrays import DUPLICATE_KEY

if TYPE_CHECKING:
    from fireworks import LaunchPad, Workflow
    from jobflow import Flow

SUBMISSION = "submission"

PARTIAL = "hibana_submission"
"""Index of workflows that former versions made instead of the sparse one."""

CHECKED_FIELDS = {"fw_id": 1, CONDEMNED: 1}
"""What is read of the fireworks of a workflow that was just added."""


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
    if PARTIAL in launchpad.workflows.index_information():
        with suppress(OperationFailure):  # another process has dropped it
            launchpad.workflows.drop_index(PARTIAL)


def find_submitted(launchpad: LaunchPad, keys: list[str]) -> dict[str, Submitted]:
    """The workflows of these keys that are in the launchpad.

    What a killed process has left is finished: roots are made READY, and a workflow that was being withdrawn is withdrawn, and
    not among those found, unless it has begun.
    """
    found = list(launchpad.workflows.find({f"metadata.{SUBMISSION}": {"$in": keys}}, WORKFLOW_FIELDS))
    every_root = [root for workflow in found for root in roots_of(workflow)]
    query = {"fw_id": {"$in": every_root}}
    states = {doc["fw_id"]: doc for doc in launchpad.fireworks.find(query, {"fw_id": 1, "state": 1, MARK: 1})}
    there: list[Mapping[str, Any]] = []
    unfinished: list[Mapping[str, Any]] = []
    for workflow in found:
        roots = [states.get(root) for root in roots_of(workflow)]
        if any(root is not None and is_marked(root) for root in roots):
            there += [] if finish_withdrawal(launchpad, workflow) else [workflow]
        else:
            is_finished = all(root is not None and root["state"] != "WAITING" for root in roots)
            (there if is_finished else unfinished).append(workflow)
    if unfinished:
        nodes = {"fw_id": {"$in": [node for workflow in unfinished for node in workflow["nodes"]]}}
        there += _finish(launchpad, unfinished, list(launchpad.fireworks.find(nodes, CHECKED_FIELDS)))
    return {workflow["metadata"][SUBMISSION]: Submitted(roots_of(workflow), is_new=False) for workflow in there}


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
    added: dict[str, Submitted] = {}
    while missing := {key: order for key, order in orders.items() if key not in added}:
        added |= _add(launchpad, missing)
    return added


def _add(launchpad: LaunchPad, orders: Mapping[str, Order]) -> dict[str, Submitted]:
    """Add workflows; a key is left out if its workflow was withdrawn, or lost fireworks, while it was added."""
    total = sum(len(order.flow.jobs) for order in orders.values())
    ids = iter(range(launchpad.get_new_fw_id(quantity=total), 2**62))
    workflows = {key: _workflow(key, order, ids) for key, order in orders.items()}
    launchpad.fireworks.insert_many([firework.to_db_dict() for workflow in workflows.values() for firework in workflow.fws])
    documents = {key: workflow.to_db_dict() for key, workflow in workflows.items()}
    lost = _insert_workflows(launchpad, documents)
    won = {key: document for key, document in documents.items() if key not in lost}
    if theirs := [node for key in lost for node in documents[key]["nodes"]]:
        launchpad.fireworks.delete_many({"fw_id": {"$in": theirs}})
    there = list(launchpad.fireworks.find({f"spec.{SUBMISSION}": {"$in": list(won)}}, CHECKED_FIELDS))
    ours = {node for document in won.values() for node in document["nodes"]}
    remove_orphans(launchpad, {item["fw_id"] for item in there} - ours)
    whole = _finish(launchpad, list(won.values()), [item for item in there if item["fw_id"] in ours])
    added = {document["metadata"][SUBMISSION]: Submitted(roots_of(document), is_new=True) for document in whole}
    return added | (find_submitted(launchpad, lost) if lost else {})


def _finish(
    launchpad: LaunchPad, workflows: list[Mapping[str, Any]], fireworks: list[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Make the roots of new workflows READY; returns those that are whole, the others are removed.

    Some lack fireworks if these were taken for those of a killed submission before their workflow was there.

    Parameters
    ----------
    launchpad
        The launchpad.
    workflows
        Documents of workflows that are there.
    fireworks
        Their fireworks, as they were when the workflows were there.
    """
    while marked := [item["fw_id"] for item in fireworks if CONDEMNED in item]:
        launchpad.fireworks.update_many({"fw_id": {"$in": marked}}, {"$unset": {CONDEMNED: ""}})
        nodes = [node for workflow in workflows for node in workflow["nodes"]]
        fireworks = list(launchpad.fireworks.find({"fw_id": {"$in": nodes}}, CHECKED_FIELDS))
    there = {item["fw_id"] for item in fireworks}
    whole: list[Mapping[str, Any]] = []
    broken: list[Mapping[str, Any]] = []
    for workflow in workflows:
        is_whole = there.issuperset(workflow["nodes"]) or any(map(is_taken, fireworks_of(launchpad, workflow)))
        (whole if is_whole else broken).append(workflow)
    if broken:
        delete(launchpad, broken)
    _make_ready(launchpad, [root for workflow in whole for root in roots_of(workflow)])
    return whole


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
        if not failures or any(failure["code"] != DUPLICATE_KEY for failure in failures):
            raise
        return [keys[failure["index"]] for failure in failures]
    return []


def _make_ready(launchpad: LaunchPad, roots: list[int]) -> None:
    if roots:
        change = {"$set": {"state": "READY", "updated_on": datetime.now(UTC).isoformat()}}
        launchpad.fireworks.update_many({"fw_id": {"$in": roots}, "state": "WAITING"}, change)
