"""Comparing the database with the queue, with heartbeats and with this machine's processes, and mending what differs.

:func:`hibana.launch.recover.recover` knows the database and the processes of its machine. The queue knows more: a job that was
cancelled while it waited, or while it ran, is gone from it. FireWorks keeps such a launch RESERVED for 14 days, or RUNNING for
four hours. A launch is judged by the queue only where the queue is its own: its folder is here, and belongs to this user. One
that goes on beating is never given up, whatever the queue says; and a mistaken verdict costs a repeated run, never a result,
because results count by their fencing token.
"""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fireworks.fw_config import RUN_EXPIRATION_SECS

from hibana.flows.ghosts import end_ghosts
from hibana.launch.beats import is_silent
from hibana.launch.locks import aware
from hibana.launch.recover import RecoverReport, give_up, recover, survey, why_lost
from hibana.launch.schedulers import JobState, Scheduler
from hibana.store.claims import Claims
from hibana.store.patience import patiently
from hibana.store.silence import SilentFor, silence_now

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

GRACE_SECONDS = 60.0
"""A launch that changed its state within this time is not judged by the queue: its job may not be listed yet, or end just now."""

SUSPECT_BEATS = 1.5
"""A launch whose job is gone from the queue is lost when it has missed this many beats."""

LOG = logging.getLogger(__name__)

Case = Literal["launch lost", "state behind", "lock", "half-added workflow", "withdrawal", "claim", "not mended"]


@dataclass(frozen=True)
class Mending:
    """One thing that was mended, or would be.

    Parameters
    ----------
    case
        What kind of thing.
    what
        Firework, or address of a calculation.
    name
        Name of the firework, where there is one.
    reason
        What was wrong.
    """

    case: Case
    what: str
    name: str
    reason: str

    def as_dict(self) -> dict[str, str]:
        """Plain data."""
        return {"case": self.case, "what": self.what, "name": self.name, "reason": self.reason}


@dataclass(frozen=True)
class Reconciliation:
    """What a look found and mended.

    Parameters
    ----------
    mendings
        What was mended, or, in a dry run, would be.
    queue
        The batch system that was asked; None where there is none.
    asked
        Jobs that the queue was asked about.
    answered
        Whether it answered.
    ghosts
        Processes on this machine that were ended.
    dry_run
        Whether nothing was changed.
    """

    mendings: tuple[Mending, ...]
    queue: str | None = None
    asked: int = 0
    answered: bool = True
    ghosts: int = 0
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "mendings": [mending.as_dict() for mending in self.mendings],
            "queue": self.queue,
            "jobs_asked": self.asked,
            "queue_answered": self.answered,
            "ghosts": self.ghosts,
            "dry_run": self.dry_run,
        }


def reconcile(
    launchpad: HibanaLaunchPad,
    scheduler: Scheduler | None = None,
    *,
    worker: str | None = None,
    stale_after: float = RUN_EXPIRATION_SECS,
    dry_run: bool = False,
) -> Reconciliation:
    """Look once, and mend.

    Parameters
    ----------
    launchpad
        The launchpad.
    scheduler
        The queue of this site; None where there is none: then heartbeats and processes decide.
    worker
        Name of this site's worker (``name`` of my_fworker.yaml): the queue is asked about its launches only. None: about all
        whose folder is here, unless they are of several workers: two clusters may share a folder, and their queues know
        nothing of each other.
    stale_after
        Seconds without a ping after which a launch that has no heartbeat is lost.
    dry_run
        Say what would be mended and change nothing.

    Raises
    ------
    pymongo.errors.ConnectionFailure
        If the database does not answer for ten minutes.
    """
    silent_for = patiently(lambda: silence_now(launchpad.db))
    view = _QueueView.ask(launchpad, scheduler, worker)
    judge = partial(_why_lost, view, silent_for, stale_after)
    claims = Claims(launchpad.db)
    if dry_run:
        report, ghosts = survey(launchpad, judge, stale_after=stale_after), 0
        expired = patiently(claims.expired)
    else:
        report = recover(launchpad, stale_after=stale_after)
        give_up(launchpad, report, judge, stale_after)
        expired = patiently(claims.free_expired)
        ghosts = report.ghosts + sum(end_ghosts(claim["part"]) for claim in expired if claim.get("part") is not None)
    return Reconciliation(
        (*_mendings(launchpad, report), *_of_claims(expired)), view.kind, len(view.asked), view.answered, ghosts, dry_run
    )


@dataclass(frozen=True)
class _QueueView:
    """What the queue says of the jobs that the database knows."""

    kind: str | None = None
    worker: str | None = None
    at: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    asked: tuple[str, ...] = ()
    states: Mapping[str, JobState] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        return not self.asked or bool(self.states)

    @classmethod
    def ask(cls, launchpad: HibanaLaunchPad, scheduler: Scheduler | None, worker: str | None) -> _QueueView:
        """Ask for the state of every job that a launch of this site stands for."""
        if scheduler is None:
            return cls()
        fields = dict.fromkeys(("state_history", "heartbeat", "launch_dir", "fworker.name"), 1)
        found = launchpad.p_launches.all({"state": {"$in": ["RESERVED", "RUNNING"]}}, fields)
        empty = cls(scheduler.kind, worker)
        known = [(job, launch) for launch in found if (job := empty.job_of(launch)) is not None]
        workers = {str((launch.get("fworker") or {}).get("name")) for _, launch in known}
        if worker is None and len(workers) > 1:
            LOG.warning(
                "launches of several workers are here (%s); the queue is asked only with a worker file",
                ", ".join(sorted(workers)),
            )
            return cls()
        ids = tuple(sorted({job for job, _ in known}))
        return cls(scheduler.kind, worker, empty.at, ids, scheduler.job_states(ids))

    def job_of(self, launch: Mapping[str, Any]) -> str | None:
        """The job of this queue in which a launch waits or runs; None where that is not known."""
        if self.kind is None or not self._is_of_here(launch):
            return None
        reserved = [entry["reservation_id"] for entry in launch["state_history"] if entry.get("reservation_id")]
        if reserved:
            return str(reserved[-1])
        job = (launch.get("heartbeat") or {}).get("job") or {}
        return str(job["id"]) if job.get("kind") == self.kind and job.get("id") else None

    def _is_of_here(self, launch: Mapping[str, Any]) -> bool:
        if self.worker is not None and (launch.get("fworker") or {}).get("name") != self.worker:
            return False
        try:
            owner = Path(launch["launch_dir"]).stat().st_uid
        except (OSError, KeyError, TypeError):
            return False
        return os.getuid() in (0, owner)


def _why_lost(view: _QueueView, silent_for: SilentFor, stale_after: float, launch: Mapping[str, Any]) -> str | None:
    """Why a launch is lost, by the queue or by what :func:`hibana.launch.recover.why_lost` knows."""
    return _by_queue(view, silent_for, launch) or why_lost(silent_for, stale_after, launch)


def _by_queue(view: _QueueView, silent_for: SilentFor, launch: Mapping[str, Any]) -> str | None:
    job = view.job_of(launch)
    state = None if job is None else view.states.get(job)
    last = launch["state_history"][-1]
    since = (view.at - _moment(last["created_on"])).total_seconds()
    if state is None or state == "running" or since < GRACE_SECONDS:
        return None
    if launch["state"] == "RESERVED":
        return f"job {job} is gone from the queue and has not begun" if state == "gone" else None
    if is_silent(launch, silent_for, SUSPECT_BEATS) is False:
        return None
    return f"job {job} is gone from the queue" if state == "gone" else f"job {job} was put back into the queue"


def _mendings(launchpad: HibanaLaunchPad, report: RecoverReport) -> list[Mending]:
    """A line for each thing of a report."""
    cases: list[tuple[Case, list[int], str]] = [
        ("half-added workflow", report.removed, "the process that added it is gone; it was removed"),
        ("withdrawal", report.withdrawn, "it was cut short; the workflow is removed unless it has begun"),
        ("lock", report.unlocked, "the process that held the workflow's lock is gone, or the lock is old"),
        ("launch lost", report.rerun, "its process is gone"),
        ("state behind", report.refreshed, "its state was not that of its launches"),
        ("not mended", report.failed, "this machine cannot read it; see the log"),
    ]
    ids = [fw_id for _, some, _ in cases for fw_id in some]
    names = {doc["fw_id"]: doc["name"] for doc in launchpad.p_fireworks.all({"fw_id": {"$in": ids}}, {"fw_id": 1, "name": 1})}
    return [
        Mending(case, str(fw_id), str(names.get(fw_id, "")), report.reasons.get(fw_id, usual))
        for case, some, usual in cases
        for fw_id in dict.fromkeys(some)
    ]


def _of_claims(expired: list[dict[str, Any]]) -> list[Mending]:
    who = [(claim["_id"], claim.get("owner") or {}) for claim in expired]
    return [
        Mending("claim", address, "", f"held by process {owner.get('pid')} on {owner.get('host')}, which is gone")
        for address, owner in who
    ]


def _moment(time: str | datetime.datetime) -> datetime.datetime:
    """A time as FireWorks keeps it: ISO text, or a date."""
    return aware(datetime.datetime.fromisoformat(time) if isinstance(time, str) else time)
