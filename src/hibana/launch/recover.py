"""Mending what killed launchers leave behind.

Safe while others run, and safe to be done by several at once: whoever marks a launch as given up first counts, and workflows
are changed under their lock.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from fireworks.fw_config import RUN_EXPIRATION_SECS
from pymongo.errors import ConnectionFailure

from hibana.launch.insertion import remove_half_added
from hibana.launch.locks import Lock, aware
from hibana.launch.mending import ACTIVE, RECOVERED, lags, mend
from hibana.launch.patient import Document
from hibana.store.owner import Owner

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

BATCH = 500
LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class RecoverReport:
    """What was mended.

    Parameters
    ----------
    rerun
        Fireworks that run again because the process that ran them is gone.
    refreshed
        Fireworks whose launch had ended but not their state, and one firework of each workflow that lagged behind.
    unlocked
        One firework of each workflow whose lock was left by a process that is gone.
    removed
        First firework of each workflow that was never completely added.
    failed
        First firework of each workflow that could not be mended here, for instance because it needs a package that this machine
        lacks; the log says why.
    """

    rerun: list[int] = field(default_factory=list)
    refreshed: list[int] = field(default_factory=list)
    unlocked: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def as_dict(self) -> dict[str, list[int]]:
        """The report for ``--json``."""
        return asdict(self)


def recover(launchpad: HibanaLaunchPad, *, stale_after: float = RUN_EXPIRATION_SECS) -> RecoverReport:
    """Mend what killed launchers leave: running fireworks nobody runs, locks nobody holds, workflows that lag behind.

    A launch whose process ran on this machine is lost as soon as the process is gone; while it lives, only if it has not
    pinged for FireWorks' own expiry (RUN_EXPIRATION_SECS). A launch on another machine, or one by stock FireWorks that had no
    time to begin its task, is lost if it has not pinged for `stale_after`. Reservations in a queue are left alone.

    Parameters
    ----------
    launchpad
        The launchpad.
    stale_after
        Seconds without a ping; several times FireWorks' PING_TIME_SECS, by default its own expiry.
    """
    report = RecoverReport()
    report.removed += remove_half_added(launchpad, stale_after)
    _break_locks(launchpad, report)
    _give_up_lost(launchpad, report, stale_after)
    _catch_up(launchpad, report)
    _drop_old_journals(launchpad)
    return report


def is_lost(launch: Mapping[str, Any], stale_after: float) -> bool:
    """Whether nobody runs a launch that is RUNNING."""
    last = launch["state_history"][-1]
    silent = _age(last.get("updated_on", last["created_on"]))
    owner = Owner.from_dict(last["owner"]) if "owner" in last else None
    if owner is not None and owner.is_here:
        return owner.is_dead or silent > max(stale_after, RUN_EXPIRATION_SECS)
    return silent > stale_after


def _break_locks(launchpad: HibanaLaunchPad, report: RecoverReport) -> None:
    for workflow in launchpad.p_workflows.all({"locked": {"$exists": True}}):
        lock = launchpad.locks.take_over(workflow, min(workflow["nodes"]))
        if lock is not None and _mend(launchpad, lock, report):
            report.unlocked.append(lock.fw_id)


def _give_up_lost(launchpad: HibanaLaunchPad, report: RecoverReport, stale_after: float) -> None:
    fields = {"fw_id": 1, "state": 1, "launches": 1, "updated_on": 1}
    active = launchpad.p_fireworks.all({"state": {"$in": list(ACTIVE)}}, fields)
    launches = _launches(launchpad, active)
    for firework in active:
        fw_id = firework["fw_id"]
        own = [launches[launch_id] for launch_id in firework["launches"] if launch_id in launches]
        lost = [launch for launch in own if launch["state"] == "RUNNING" and is_lost(launch, stale_after)]
        left_behind = not own and _age(firework["updated_on"]) > stale_after
        ended = bool(own) and all(launch["state"] in ("COMPLETED", "FIZZLED") for launch in own)
        marked = [_give_up(launchpad, launch) for launch in lost]
        if any(marked) or left_behind or ended:
            with launchpad.locked(fw_id) as lock:
                if not _mend(launchpad, lock, report, {fw_id} if left_behind else ()):
                    continue
            now = launchpad.p_fireworks.one({"fw_id": fw_id}, {"state": 1}) or {}
            ran = lost or left_behind or any(launch["state_history"][-1].get(RECOVERED) for launch in own)
            (report.rerun if ran and now.get("state") not in ("COMPLETED", "FIZZLED") else report.refreshed).append(fw_id)


def _catch_up(launchpad: HibanaLaunchPad, report: RecoverReport) -> None:
    active = [doc["fw_id"] for doc in launchpad.p_fireworks.all({"state": {"$in": list(ACTIVE)}}, {"fw_id": 1})]
    fields = {"nodes": 1, "fw_states": 1, "locked": 1}
    under_way = {"state": {"$in": ["RUNNING", "RESERVED"]}}
    workflows = {doc["_id"]: doc for doc in launchpad.p_workflows.all(under_way, fields)}
    for some in _batches(active):
        workflows |= {doc["_id"]: doc for doc in launchpad.p_workflows.all({"nodes": {"$in": some}}, fields)}
    for workflow in _lagging(launchpad, list(workflows.values())):
        fw_id = min(workflow["nodes"])
        with launchpad.locked(fw_id) as lock:
            if lags(lock.workflow, _states(launchpad, lock.workflow["nodes"])) and _mend(launchpad, lock, report):
                report.refreshed.append(fw_id)


def _drop_old_journals(launchpad: HibanaLaunchPad) -> None:
    """Delete what was noted of changes that were completed: their lock is gone."""
    for journal in launchpad.p_journal.all({"token": {"$exists": True}}, {"token": 1}):
        if launchpad.p_workflows.one({"_id": journal["_id"], "locked.token": journal["token"]}, {"_id": 1}) is None:
            launchpad.p_journal.remove(journal)


def _lagging(launchpad: HibanaLaunchPad, workflows: list[Document]) -> Iterator[Document]:
    for some in _batches(workflows):
        states = _states(launchpad, [fw_id for workflow in some for fw_id in workflow["nodes"]])
        yield from (workflow for workflow in some if "locked" not in workflow and lags(workflow, states))


def _states(launchpad: HibanaLaunchPad, fw_ids: Iterable[int]) -> dict[int, Document]:
    found = launchpad.p_fireworks.all({"fw_id": {"$in": list(fw_ids)}}, {"fw_id": 1, "state": 1})
    return {doc["fw_id"]: doc for doc in found}


def _launches(launchpad: HibanaLaunchPad, fireworks: Iterable[Document]) -> dict[int, Document]:
    ids = [launch_id for doc in fireworks for launch_id in doc["launches"]]
    fields = {"launch_id": 1, "state": 1, "state_history": 1}
    return {
        doc["launch_id"]: doc for some in _batches(ids) for doc in launchpad.p_launches.all({"launch_id": {"$in": some}}, fields)
    }


def _give_up(launchpad: HibanaLaunchPad, launch: Mapping[str, Any]) -> bool:
    """Mark a launch as given up; False if it ended, pinged or was given up by another meanwhile."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    change = {
        "$set": {"state": "FIZZLED", "time_end": now},
        "$push": {"state_history": {"state": "FIZZLED", "created_on": now, RECOVERED: True}},
    }
    as_seen = {"launch_id": launch["launch_id"], "state": "RUNNING", "state_history": launch["state_history"]}
    return launchpad.p_launches.change(as_seen, change)


def _mend(launchpad: HibanaLaunchPad, lock: Lock, report: RecoverReport, lost: Collection[int] = ()) -> bool:
    """Mend one workflow; one that cannot be mended is noted and does not keep the others from it."""
    try:
        mend(launchpad, lock, lost)
    except ConnectionFailure:
        raise
    except Exception as error:  # whatever a user's class raises when it is read
        LOG.warning("the workflow of firework %s cannot be mended: %s: %s", lock.fw_id, type(error).__name__, error)
        report.failed.append(lock.fw_id)
        launchpad.locks.release(lock)
        return False
    return True


def _batches(items: list[T]) -> Iterator[list[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _age(time: str | datetime.datetime) -> float:
    """Seconds since a time as FireWorks keeps it: ISO text, or a date."""
    moment = datetime.datetime.fromisoformat(time) if isinstance(time, str) else time
    return (datetime.datetime.now(datetime.UTC) - aware(moment)).total_seconds()
