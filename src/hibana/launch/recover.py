"""Mending what killed launchers, and killed withdrawals, leave behind.

Safe while others run, and safe to be done by several at once: whoever marks a launch as given up first counts, and workflows
are changed under their lock.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fireworks.fw_config import RUN_EXPIRATION_SECS
from pymongo.errors import ConnectionFailure

from hibana.flows.ghosts import end_ghosts
from hibana.launch.beats import is_silent
from hibana.launch.insertion import remove_half_added
from hibana.launch.locks import Lock, aware
from hibana.launch.mending import ACTIVE, RECOVERED, lags, mend
from hibana.launch.patient import Document
from hibana.launch.withdrawal import cut_short, finish_withdrawal
from hibana.store.claims import Claims
from hibana.store.owner import Owner
from hibana.store.patience import patiently
from hibana.store.silence import SilentFor, silence_now

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

BATCH = 500
LEFT_BEHIND_SECONDS = 600.0
"""A firework that is active for so long without any launch is left behind: a launch is written moments after its state."""

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
    withdrawn
        First firework of each workflow whose withdrawal was cut short; it is gone now, or goes on if it had begun.
    failed
        First firework of each workflow that could not be mended here, for instance because it needs a package that this machine
        lacks; the log says why.
    ghosts
        Processes on this machine that were left of runs nobody watched any more, and were ended.
    reasons
        Why, by firework.
    """

    rerun: list[int] = field(default_factory=list)
    refreshed: list[int] = field(default_factory=list)
    unlocked: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    ghosts: int = 0
    reasons: dict[int, str] = field(default_factory=dict, compare=False)

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def as_dict(self) -> dict[str, Any]:
        """The report for ``--json``."""
        return {**asdict(self), "reasons": {str(fw_id): reason for fw_id, reason in self.reasons.items()}}


Judge = Callable[[Mapping[str, Any]], str | None]
"""Says why a launch that is RESERVED or RUNNING is lost; None if it is not."""


def recover(launchpad: HibanaLaunchPad, *, stale_after: float = RUN_EXPIRATION_SECS) -> RecoverReport:
    """Mend what killed launchers leave: running fireworks nobody runs, locks nobody holds, workflows that lag behind.

    A launch whose process ran on this machine is lost as soon as the process is gone; while it lives, only if it has not
    pinged for FireWorks' own expiry (RUN_EXPIRATION_SECS). On another machine a job of hibana is lost when it has missed its
    heartbeats (:mod:`hibana.launch.beats`), any other launch if it has not pinged for `stale_after`. Reservations in a queue
    are left alone (:mod:`hibana.launch.reconcile` asks the queue). Claims of lost launches are freed, and what still runs of
    them on this machine is ended.

    Parameters
    ----------
    launchpad
        The launchpad.
    stale_after
        Seconds without a ping; several times FireWorks' PING_TIME_SECS, by default its own expiry.
    """
    report = RecoverReport()
    report.removed += remove_half_added(launchpad, stale_after)
    for workflow in cut_short(launchpad):
        finish_withdrawal(launchpad, workflow)
        report.withdrawn.append(min(workflow["nodes"]))
    _break_locks(launchpad, report)
    silent_for = patiently(lambda: silence_now(launchpad.db))
    give_up(launchpad, report, partial(why_lost, silent_for, stale_after), stale_after)
    _catch_up(launchpad, report)
    _drop_old_journals(launchpad)
    return report


def survey(launchpad: HibanaLaunchPad, judge: Judge, *, stale_after: float = RUN_EXPIRATION_SECS) -> RecoverReport:
    """What :func:`recover`, or :func:`give_up` by another judge, would mend; nothing is changed.

    Parameters
    ----------
    launchpad
        The launchpad.
    judge
        Says which launches are lost.
    stale_after
        As for :func:`recover`.
    """
    report = RecoverReport(removed=_half_added(launchpad, stale_after))
    report.withdrawn += [min(workflow["nodes"]) for workflow in cut_short(launchpad)]
    for workflow in launchpad.p_workflows.all({"locked": {"$exists": True}}):
        locked = workflow["locked"]
        if isinstance(locked, Mapping) and launchpad.locks.is_breakable(locked):
            report.unlocked.append(min(workflow["nodes"]))
    for case in _cases(launchpad, judge, stale_after):
        if case.reason is not None:
            report.rerun.append(case.fw_id)
            report.reasons[case.fw_id] = case.reason
        elif case.ended:
            report.refreshed.append(case.fw_id)
    report.refreshed += [min(workflow["nodes"]) for workflow in _lagging(launchpad, _active_workflows(launchpad))]
    return report


def why_lost(silent_for: SilentFor, stale_after: float, launch: Mapping[str, Any]) -> str | None:
    """Why nobody runs a launch, as far as this machine and the database tell; None if somebody does, or may yet.

    Parameters
    ----------
    silent_for
        How long somebody was not heard of.
    stale_after
        As for :func:`recover`.
    launch
        Document of a launch that is RESERVED or RUNNING.
    """
    last = launch["state_history"][-1]
    if launch["state"] == "RESERVED":
        if "reservation_id" in last:
            return None
        dead = "owner" in last and Owner.from_dict(last["owner"]).is_dead
        return "reserved by a process that is gone and has submitted nothing" if dead else None
    return "its process is gone" if is_lost(launch, stale_after, silent_for) else None


def is_lost(launch: Mapping[str, Any], stale_after: float, silent_for: SilentFor | None = None) -> bool:
    """Whether nobody runs a launch that is RUNNING.

    Parameters
    ----------
    launch
        Its document.
    stale_after
        Seconds without a ping, for one that does not beat.
    silent_for
        How long the launch was not heard of; None: heartbeats do not count.
    """
    last = launch["state_history"][-1]
    pinged = _age(last.get("updated_on", last["created_on"]))
    owner = Owner.from_dict(last["owner"]) if "owner" in last else None
    if owner is not None and owner.is_here:
        return owner.is_dead or pinged > max(stale_after, RUN_EXPIRATION_SECS)
    missed = None if silent_for is None else is_silent(launch, silent_for)
    return pinged > stale_after if missed is None else missed


def _break_locks(launchpad: HibanaLaunchPad, report: RecoverReport) -> None:
    for workflow in launchpad.p_workflows.all({"locked": {"$exists": True}}):
        lock = launchpad.locks.take_over(workflow, min(workflow["nodes"]))
        if lock is not None and _mend(launchpad, lock, report):
            report.unlocked.append(lock.fw_id)


@dataclass(frozen=True)
class _Case:
    """A firework that is active, and what is wrong with it."""

    fw_id: int
    launches: list[Document]
    lost: list[Document]
    left_behind: bool
    ended: bool
    reason: str | None


def _cases(launchpad: HibanaLaunchPad, judge: Judge, stale_after: float) -> Iterator[_Case]:
    """The active fireworks with which something is wrong."""
    fields = {"fw_id": 1, "state": 1, "launches": 1, "updated_on": 1}
    active = launchpad.p_fireworks.all({"state": {"$in": list(ACTIVE)}}, fields)
    launches = _launches(launchpad, active)
    for firework in active:
        own = [launches[launch_id] for launch_id in firework["launches"] if launch_id in launches]
        reasons = {launch["launch_id"]: judge(launch) for launch in own if launch["state"] in ACTIVE}
        lost = [launch for launch in own if reasons.get(launch["launch_id"]) is not None]
        left_behind = not own and _age(firework["updated_on"]) > min(stale_after, LEFT_BEHIND_SECONDS)
        ended = bool(own) and all(launch["state"] in ("COMPLETED", "FIZZLED") for launch in own)
        reason = "it has no launch" if left_behind else reasons[lost[0]["launch_id"]] if lost else None
        if lost or left_behind or ended:
            yield _Case(firework["fw_id"], own, lost, left_behind, ended, reason)


def give_up(launchpad: HibanaLaunchPad, report: RecoverReport, judge: Judge, stale_after: float = RUN_EXPIRATION_SECS) -> None:
    """Give up the launches that a judge calls lost, and let their fireworks run again.

    Parameters
    ----------
    launchpad
        The launchpad.
    report
        What was mended is added to it.
    judge
        Says which launches are lost.
    stale_after
        As for :func:`recover`.
    """
    for case in _cases(launchpad, judge, stale_after):
        marked = [launch["launch_id"] for launch in case.lost if _give_up(launchpad, launch)]
        report.ghosts += _free_claims(launchpad, marked)
        if marked or case.left_behind or case.ended:
            with launchpad.locked(case.fw_id) as lock:
                if not _mend(launchpad, lock, report, {case.fw_id} if case.left_behind else ()):
                    continue
            now = launchpad.p_fireworks.one({"fw_id": case.fw_id}, {"state": 1}) or {}
            ran = case.reason is not None or any(launch["state_history"][-1].get(RECOVERED) for launch in case.launches)
            again = ran and now.get("state") not in ("COMPLETED", "FIZZLED")
            (report.rerun if again else report.refreshed).append(case.fw_id)
            if case.reason is not None:
                report.reasons[case.fw_id] = case.reason


def _free_claims(launchpad: HibanaLaunchPad, launch_ids: Collection[int]) -> int:
    """Free the calculations of lost launches for others, and end what still runs of them here; how many processes."""
    if not launch_ids:
        return 0
    freed = patiently(lambda: Claims(launchpad.db).free(launch_ids))
    return sum(end_ghosts(claim["part"]) for claim in freed if claim.get("part") is not None)


def _catch_up(launchpad: HibanaLaunchPad, report: RecoverReport) -> None:
    for workflow in _lagging(launchpad, _active_workflows(launchpad)):
        fw_id = min(workflow["nodes"])
        with launchpad.locked(fw_id) as lock:
            if lags(lock.workflow, _states(launchpad, lock.workflow["nodes"])) and _mend(launchpad, lock, report):
                report.refreshed.append(fw_id)


def _half_added(launchpad: HibanaLaunchPad, stale_after: float) -> list[int]:
    """First firework of each workflow that :func:`hibana.launch.insertion.remove_half_added` would remove."""
    found = []
    for note in launchpad.p_journal.all({"adding": {"$exists": True}}):
        owner = Owner.from_dict(note["owner"])
        age = (launchpad.locks.clock.now() - aware(note["at"])).total_seconds()
        if owner.is_dead or (not owner.is_here and age > stale_after):
            for workflow in launchpad.p_workflows.all({"_id": {"$in": note["adding"]}}, {"nodes": 1}):
                there = launchpad.p_fireworks.all({"fw_id": {"$in": workflow["nodes"]}}, {"fw_id": 1})
                found += [min(workflow["nodes"])] if len(there) < len(workflow["nodes"]) else []
    return found


def _active_workflows(launchpad: HibanaLaunchPad) -> list[Document]:
    active = [doc["fw_id"] for doc in launchpad.p_fireworks.all({"state": {"$in": list(ACTIVE)}}, {"fw_id": 1})]
    fields = {"nodes": 1, "fw_states": 1, "locked": 1}
    under_way = {"state": {"$in": ["RUNNING", "RESERVED"]}}
    workflows = {doc["_id"]: doc for doc in launchpad.p_workflows.all(under_way, fields)}
    for some in _batches(active):
        workflows |= {doc["_id"]: doc for doc in launchpad.p_workflows.all({"nodes": {"$in": some}}, fields)}
    return list(workflows.values())


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
    fields = dict.fromkeys(("launch_id", "state", "state_history", "heartbeat", "launch_dir", "fworker.name"), 1)
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
    as_seen = {name: launch[name] for name in ("launch_id", "state", "state_history")}
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
