"""Making a workflow agree with its fireworks and their launches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fireworks.core.firework import Firework, Workflow

from hibana.launch.locks import Lock
from hibana.launch.patient import Document
from hibana.launch.refresh import parents_first, update_workflow

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

RECOVERED = "recovered"
"""Key in the history of a launch that was given up because its process is gone: its firework runs again."""

ACTIVE = ("RUNNING", "RESERVED")


def mend(launchpad: HibanaLaunchPad, lock: Lock, lost: Collection[int] = ()) -> None:
    """Make a locked workflow agree with its fireworks and their launches, and unlock it.

    Every firework's state is computed anew from its parents and launches; one whose launches were all given up runs again.

    Parameters
    ----------
    launchpad
        The launchpad.
    lock
        The workflow's lock.
    lost
        Fireworks that are active without a launch and known to be left behind; others without a launch are left alone, as a
        launcher may be about to write it.

    Raises
    ------
    ValueError
        If fireworks of the workflow are gone (deleted by hand).
    """
    nodes = list(lock.workflow["nodes"])
    there = {doc["fw_id"]: doc for doc in launchpad.p_fireworks.all({"fw_id": {"$in": nodes}}, {"fw_id": 1, "state": 1})}
    if missing := sorted(set(nodes) - set(there)):
        raise ValueError(f"the fireworks {missing} of the workflow are gone")
    lock.workflow["fw_states"] = {str(fw_id): doc["state"] for fw_id, doc in there.items()}
    order = parents_first(lock.workflow)

    def compute(workflow: Workflow) -> Iterable[int]:
        updated: set[int] = set()
        for fw_id in order:
            firework = workflow.id_fw[fw_id]
            if is_given_up(firework):
                updated |= set(workflow.rerun_fw(fw_id))
            elif firework.launches or firework.state not in ACTIVE or fw_id in lost:
                updated |= set(workflow.refresh(fw_id))
        return updated

    update_workflow(launchpad, lock, nodes, compute)


def is_given_up(firework: Firework) -> bool:
    """Whether a firework has launches and all of them ended by being given up."""
    return bool(firework.launches) and all(
        launch.state == "FIZZLED" and launch.state_history[-1].get(RECOVERED) for launch in firework.launches
    )


def lags(workflow: Mapping[str, Any], fireworks: Mapping[int, Document]) -> bool:
    """Whether the states that a workflow's document gives are not those of its fireworks."""
    states = workflow.get("fw_states") or {}
    return any(fw_id in fireworks and states.get(str(fw_id)) != fireworks[fw_id]["state"] for fw_id in workflow["nodes"])
