"""Running a firework again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fireworks.utilities.fw_serializers import recursive_dict

from hibana.launch.patient import Document
from hibana.launch.refresh import descendants, update_workflow

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad


def rerun(
    launchpad: HibanaLaunchPad, fw_id: int, rerun_duplicates: bool, recover_launch: int | str | None, recover_mode: str | None
) -> list[int]:
    """Run a firework and what follows it again; returns the fireworks that were set back.

    Parameters
    ----------
    launchpad
        The launchpad.
    fw_id
        The firework.
    rerun_duplicates
        Whether fireworks that share its launches through a duplicate finder run again too.
    recover_launch, recover_mode
        Go on where this launch ('last' or an id) stopped, in its folder (``prev_dir``) or a copy of it (``cp``).

    Raises
    ------
    ValueError
        If there is no such firework, or no such launch to go on from.
    """
    found = launchpad.p_fireworks.one({"fw_id": fw_id}, {"fw_id": 1, "state": 1, "launches": 1, "spec._dupefinder": 1})
    if found is None:
        raise ValueError(f"FW with id: {fw_id} not found!")
    duplicates = _duplicates(launchpad, found) if rerun_duplicates else []
    _prepare(launchpad, found, recover_launch, recover_mode)
    reruns = []
    if found["state"] in ("ARCHIVED", "DEFUSED"):
        launchpad.m_logger.info(f"Cannot rerun {fw_id=}: it is {found['state']}.")
    elif found["state"] == "WAITING" and not recover_launch:
        launchpad.m_logger.debug(f"Skipping rerun {fw_id=}: it is already WAITING.")
    else:
        with launchpad.locked(fw_id) as lock:
            eager = {fw_id, *descendants(lock.workflow, fw_id)}
            update_workflow(launchpad, lock, eager, lambda workflow: set(workflow.rerun_fw(fw_id)))
        reruns.append(fw_id)
    for duplicate in duplicates:
        launchpad.m_logger.info(f"Also rerunning duplicate fw_id: {duplicate}")
        reruns.extend(rerun(launchpad, duplicate, False, recover_launch, recover_mode))
    return reruns


def _duplicates(launchpad: HibanaLaunchPad, found: Document) -> list[int]:
    if "_dupefinder" not in (found.get("spec") or {}):
        return []
    query = {"launches": {"$in": found["launches"]}, "fw_id": {"$ne": found["fw_id"]}}
    return sorted({doc["fw_id"] for doc in launchpad.p_fireworks.all(query, {"fw_id": 1})})


def _prepare(launchpad: HibanaLaunchPad, found: Document, launch: int | str | None, mode: str | None) -> None:
    """Note in the firework where it goes on; without a launch it begins anew."""
    key = {"fw_id": found["fw_id"]}
    if launch is None:
        launchpad.p_fireworks.change({**key, "spec._recovery": {"$exists": True}}, {"$unset": {"spec._recovery": ""}})
        return
    if not found["launches"]:
        raise ValueError(f"FW with id: {found['fw_id']} has no active launches")
    if launch != "last" and launch not in found["launches"]:
        raise ValueError(f"launch_id: {launch} is no launch of fw_id: {found['fw_id']}")
    recovery = launchpad.get_recovery(found["launches"][-1] if launch == "last" else launch)
    if not recovery:
        raise ValueError(f"No recovery info found in launch {launch}")
    fields = {"spec._recovery": {**recovery, "_mode": mode}}
    if mode == "prev_dir":
        fields["spec._launch_dir"] = recovery["_prev_dir"]
    launchpad.p_fireworks.change(key, recursive_dict({"$set": fields}))
