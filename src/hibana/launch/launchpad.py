"""hibana's LaunchPad: FireWorks' own collections, safe for several launchers and for killed ones, and faster.

What differs from FireWorks' LaunchPad, whose data it shares so that stock ``lpad``, ``rlaunch`` and ``qlaunch`` work beside
it: ids come from the after-image of the counter; checkout is a compare-and-set that leaves no half-made launch; a workflow is
refreshed once a launch; locks are signed (:mod:`hibana.launch.locks`) and changes can be completed by others
(:mod:`hibana.launch.refresh`); a launch names the process that runs it; a restart of the database is sat out.
"""

from __future__ import annotations

import datetime
import json
import logging
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import bson
from fireworks.core.firework import Firework, FWAction, Launch, Workflow
from fireworks.core.fworker import FWorker
from fireworks.core.launchpad import LaunchPad, LockedWorkflowError
from fireworks.utilities.fw_serializers import recursive_dict
from fireworks.utilities.fw_utilities import get_my_host, get_my_ip
from pymongo import DESCENDING, ReturnDocument
from pymongo.errors import ConnectionFailure

from hibana.launch.candidates import Candidates, indexed
from hibana.launch.checkout import FIRST_CHECKPOINT, checkout
from hibana.launch.insertion import creation_order, insert, number
from hibana.launch.locks import Lock, Locks
from hibana.launch.mending import mend
from hibana.launch.patient import Document, PatientCollection
from hibana.launch.refresh import children, finish_journal, update_workflow
from hibana.launch.rerun import rerun
from hibana.launch.withdrawal import MARK
from hibana.store.connection import StoreAddress, check
from hibana.store.launchpad_file import find_launchpad_file
from hibana.store.patience import patiently

PING_EVERY = 2.0
"""A ping that says nothing new within so many seconds of the one before is not written."""

LARGEST_LAUNCH = 15_000_000
"""Bytes of a launch's document above which its action goes to GridFS."""

LOG = logging.getLogger(__name__)


class HibanaLaunchPad(LaunchPad):  # type: ignore[misc]
    """A LaunchPad on plain FireWorks collections; takes the same arguments and the same file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.p_fireworks = PatientCollection(self.fireworks)
        self.p_launches = PatientCollection(self.launches)
        self.p_workflows = PatientCollection(self.workflows)
        self.p_journal = PatientCollection(self.db["wf_journal"])
        self.candidates = Candidates(self.p_fireworks)
        self.locks = Locks(self.db, lambda workflow: finish_journal(self, workflow))
        # launches this object checked out, without trackers, and when they were pinged
        self._pinged: dict[int, float] = {}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> HibanaLaunchPad:
        """Make one from the content of a launchpad file."""
        fields = {name: d.get(name) for name in ("host", "port", "name", "username", "password", "logdir", "strm_lvl")}
        kwargs = dict(d.get("mongoclient_kwargs") or {})
        if not d.get("uri_mode"):
            kwargs.setdefault("w", "majority")
        return cls(
            **fields,
            user_indices=d.get("user_indices"),
            wf_user_indices=d.get("wf_user_indices"),
            authsource=d.get("authsource"),
            uri_mode=d.get("uri_mode", False),
            mongoclient_kwargs=kwargs,
        )

    @classmethod
    def connect(cls, launchpad_file: Path | None = None) -> HibanaLaunchPad:
        """Open the launchpad a file names, make sure that it answers, and make it ready for use.

        Parameters
        ----------
        launchpad_file
            FireWorks launchpad file; by default ``HIBANA_LAUNCHPAD``, then FireWorks' own places.

        Raises
        ------
        HibanaError
            HIB-070 to HIB-073, as :func:`hibana.store.connection.connect`.
        """
        path = find_launchpad_file(launchpad_file)
        address = StoreAddress.from_launchpad_file(path)
        client = address.client()
        try:
            check(client, address)
        finally:
            client.close()
        launchpad = cls.from_file(str(path))
        assert isinstance(launchpad, HibanaLaunchPad)
        for handler in launchpad.m_logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.WARNING)  # the standard output is for the results of a verb
        launchpad.initialise()
        return launchpad

    # -- setting up ---------------------------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Make an empty database ready (counter of ids, indexes) and add what is missing in another; nothing is deleted."""
        if self.fw_id_assigner.find_one({}) is None:
            first = {f"next_{name}": self._highest(collection, name) + 1 for collection, name in self._counted()}
            self.fw_id_assigner.update_one({"_id": -1}, {"$setOnInsert": first}, upsert=True)
        if f"{MARK}_1" not in self.fireworks.index_information():
            self.tuneup()

    def reset(self, password: str, require_password: bool = True, max_reset_wo_password: int = 25) -> None:
        """Delete everything; see :meth:`fireworks.LaunchPad.reset`."""
        super().reset(password, require_password, max_reset_wo_password)
        self.p_journal.remove({})
        self.candidates.clear()
        self._pinged.clear()

    def tuneup(self, bkground: bool = True) -> None:
        """Build the indexes; in the background, as every MongoDB server since 4.2 does in any case."""
        super().tuneup(bkground=True)
        self.workflows.create_index("locked", sparse=True)
        self.fireworks.create_index(MARK, sparse=True)
        if not bkground:
            LOG.info("the collections are not compacted: the server does that by itself")

    def get_new_fw_id(self, quantity: int = 1) -> int:
        """First of so many new firework ids, each given out once."""
        return self._count("next_fw_id", quantity)

    def get_new_launch_id(self) -> int:
        """A new launch id, given out once."""
        return self._count("next_launch_id", 1)

    # -- adding -------------------------------------------------------------------------------------------------------

    def add_wf(self, wf: Workflow | Firework, reassign_all: bool = True) -> dict[int, int]:
        """Add a workflow; returns old ids to new ones. New ids have the order in which the fireworks were made.

        Others see the workflow when it is complete: it is locked until its fireworks are in.
        """
        workflow = Workflow.from_firework(wf) if isinstance(wf, Firework) else wf
        ids = number(self, [workflow], reassign_all=reassign_all)
        insert(self, [workflow])
        self.m_logger.info(f"Added a workflow. id_map: {ids}")
        return ids

    def bulk_add_wfs(self, wfs: Sequence[Workflow | Firework]) -> None:
        """Add several workflows at once: four commands to the database however many they are."""
        workflows = [Workflow.from_firework(wf) if isinstance(wf, Firework) else wf for wf in wfs]
        if workflows:
            number(self, workflows, reassign_all=True)
            insert(self, workflows)

    def append_wf(self, new_wf: Workflow, fw_ids: Sequence[int], detour: bool = False, pull_spec_mods: bool = True) -> None:
        """Append a workflow to fireworks of one that is there; see :meth:`fireworks.LaunchPad.append_wf`."""
        parents = list(fw_ids)
        with self.locked(parents[0]) as lock:
            eager = {*parents, *children(lock.workflow, parents)}

            def compute(workflow: Workflow) -> Iterable[int]:
                updated: Iterable[int] = workflow.append_wf(new_wf, parents, detour=detour, pull_spec_mods=pull_spec_mods)
                return updated

            update_workflow(self, lock, eager, compute)

    # -- running ------------------------------------------------------------------------------------------------------

    def run_exists(self, fworker: FWorker | None = None) -> bool:
        """Whether there is a firework that is ready to run."""
        return self.candidates.exist(worker_query(fworker))

    def future_run_exists(self, fworker: FWorker | None = None) -> bool:
        """Whether there is, or may be when what runs now is done, a firework to run."""
        if self.run_exists(fworker):
            return True
        query = {**worker_query(fworker), "state": {"$in": ["RUNNING", "RESERVED"]}}
        active = [doc["fw_id"] for doc in self.p_fireworks.all(query, {"fw_id": 1})]
        if not active:
            return False
        waiting: set[int] = set()
        for workflow in self.p_workflows.all({"nodes": {"$in": active}}, {"links": 1}):
            waiting |= children(workflow, active)
        return self.p_fireworks.one({"fw_id": {"$in": sorted(waiting)}, "state": "WAITING"}, {"_id": 1}) is not None

    def checkout_fw(
        self,
        fworker: FWorker,
        launch_dir: str,
        fw_id: int | None = None,
        host: str | None = None,
        ip: str | None = None,
        state: str = "RUNNING",
    ) -> tuple[Firework | None, int | None]:
        """Take the next firework to run; see :func:`hibana.launch.checkout.checkout`."""
        host, ip = host or _host(), ip or _ip()
        started = checkout(self, fworker, launch_dir, fw_id, host, ip, state)
        if started is None:
            return None, None
        firework, launch = started
        if launch.launch_id is not None:
            self.backup_launch_data = {launch.launch_id: launch.to_db_dict()}
            self.backup_fw_data = {firework.fw_id: firework.to_db_dict()}
            is_plain = not launch.trackers and launch.state_history[-1].get("checkpoint") == FIRST_CHECKPOINT
            self._pinged = {launch.launch_id: time.monotonic()} if is_plain else {}
        return firework, launch.launch_id

    def stock_checkout(
        self, fworker: FWorker, launch_dir: str, fw_id: int, host: str, ip: str, state: str
    ) -> tuple[Firework | None, int | None]:
        """FireWorks' own checkout, for fireworks with a duplicate finder."""
        firework, launch_id = super().checkout_fw(fworker, launch_dir, fw_id, host, ip, state)
        return firework, launch_id

    def note_state(self, fw_id: int, state: str) -> None:
        """Write the state of a firework that starts into its workflow, without locking or reading it."""
        before = ["READY", "RESERVED"] if state == "RUNNING" else ["READY"]
        fields = {
            f"fw_states.{fw_id}": state,
            "state": {"$cond": [{"$in": ["$state", before]}, state, "$state"]},
            "updated_on": "$$NOW",
        }
        self.p_workflows.change({"nodes": fw_id}, [{"$set": fields}])

    def fizzle_unreadable(self, fw_id: int) -> None:
        """Mark a firework that cannot be made from its document, for instance because a class is missing on this worker."""
        details = {"_message": "FireWork failed to deserialize", "_stacktrace": traceback.format_exc()}
        LOG.warning("firework %s cannot be read; marking it FIZZLED", fw_id)
        now = datetime.datetime.now(datetime.UTC).isoformat()
        change = {"$set": {"state": "FIZZLED", "updated_on": now, "spec._exception_details": details}}
        self.p_fireworks.change({"fw_id": fw_id, "state": "READY"}, change)
        self.note_state(fw_id, "FIZZLED")
        self.p_workflows.change({"nodes": fw_id}, {"$set": {"state": "FIZZLED"}})

    def ping_launch(
        self, launch_id: int, ptime: datetime.datetime | None = None, checkpoint: Mapping[str, Any] | None = None
    ) -> None:
        """Say that a launch lives. A database that does not answer is no reason to stop."""
        last = self._pinged.get(launch_id)
        if last is not None and checkpoint in (None, FIRST_CHECKPOINT) and time.monotonic() - last < PING_EVERY:
            return
        try:
            if last is None:
                super().ping_launch(launch_id, ptime, checkpoint)
            else:
                self._ping(launch_id, ptime, checkpoint)
                self._pinged[launch_id] = time.monotonic()
        except ConnectionFailure as error:
            LOG.warning("no ping for launch %s: %s", launch_id, type(error).__name__)

    def set_reservation_id(self, launch_id: int, reservation_id: str | int) -> None:
        """Note the queue's number of a reserved launch, and nothing else: its job may be starting at this moment."""
        reserved = {"state": "RESERVED", "reservation_id": {"$exists": False}}
        query = {"launch_id": launch_id, "state_history": {"$elemMatch": reserved}}
        self.p_launches.change(query, {"$set": {"state_history.$.reservation_id": str(reservation_id)}})

    def change_launch_dir(self, launch_id: int, launch_dir: str) -> None:
        """Note that a launch runs in another directory."""
        self.p_launches.change({"launch_id": launch_id}, {"$set": {"launch_dir": launch_dir}})

    def complete_launch(self, launch_id: int, action: FWAction | None = None, state: str = "COMPLETED") -> dict[str, Any]:
        """Note the end of a launch and refresh the workflow; see :meth:`fireworks.LaunchPad.complete_launch`."""
        launch = patiently(lambda: self.get_launch_by_id(launch_id))
        launch.state = state
        if action:
            launch.action = action
        self.p_launches.replace({"launch_id": launch_id}, self._fitting(launch), upsert=True)
        for firework in self.p_fireworks.all({"launches": launch_id}, {"fw_id": 1}):
            self._refresh_wf(firework["fw_id"])
        done: dict[str, Any] = launch.to_dict()
        return done

    def restore_backup_data(self, launch_id: int, fw_id: int) -> None:
        """Write a launch and its firework as they were when it began; see :meth:`fireworks.LaunchPad.restore_backup_data`."""
        if launch_id in self.backup_launch_data:
            self.p_launches.replace({"launch_id": launch_id}, self.backup_launch_data[launch_id])
        if fw_id in self.backup_fw_data:
            self.p_fireworks.replace({"fw_id": fw_id}, self.backup_fw_data[fw_id])

    # -- changing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, fw_id: int) -> Iterator[Lock]:
        """Hold the lock of the workflow of a firework; a workflow left half written by another process is mended first."""
        lock = self.locks.take(fw_id)
        while lock.inherited:
            mend(self, lock)
            lock = self.locks.take(fw_id)
        try:
            yield lock
        finally:
            self.locks.release(lock)

    def rerun_fw(
        self,
        fw_id: int,
        rerun_duplicates: bool = True,
        recover_launch: int | str | None = None,
        recover_mode: str | None = None,
    ) -> list[int]:
        """Run a firework again; see :meth:`fireworks.LaunchPad.rerun_fw`."""
        return rerun(self, fw_id, rerun_duplicates, recover_launch, recover_mode)

    def _refresh_wf(self, fw_id: int) -> None:
        """FireWorks' hook: bring the workflow up to date after a firework's launch changed."""
        try:
            with self.locked(fw_id) as lock:
                eager = {fw_id, *children(lock.workflow, [fw_id])}
                update_workflow(self, lock, eager, lambda workflow: set(workflow.refresh(fw_id)))
        except LockedWorkflowError:
            self.m_logger.info(f"{fw_id=} locked. Can't refresh!")
        except ConnectionFailure:
            raise
        except Exception as error:
            self.p_fireworks.change({"fw_id": fw_id}, {"$set": {"state": "FIZZLED"}})
            self.p_workflows.change({"nodes": fw_id}, {"$set": {"state": "FIZZLED", f"fw_states.{fw_id}": "FIZZLED"}})
            raise RuntimeError(f"Error refreshing workflow. The full stack trace is: {traceback.format_exc()}") from error

    def _upsert_fws(self, fws: list[Firework], reassign_all: bool = False) -> dict[int, int]:
        """FireWorks' hook: write whole fireworks, new ones under new ids."""
        old_new: dict[int, int] = {}
        negative = [fw for fw in fws if reassign_all or fw.fw_id < 0]
        first = self.get_new_fw_id(len(negative)) if negative else 0
        for new_id, firework in enumerate(sorted(negative, key=creation_order), start=first):
            old_new[firework.fw_id] = new_id
            firework.fw_id = new_id
        for firework in fws:
            self.p_fireworks.replace({"fw_id": firework.fw_id}, firework.to_db_dict(), upsert=True)
        return old_new

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _count(self, field: str, quantity: int) -> int:
        def operation() -> Document | None:
            after: Document | None = self.fw_id_assigner.find_one_and_update(
                {}, {"$inc": {field: quantity}}, return_document=ReturnDocument.AFTER
            )
            return after

        after = patiently(operation)
        if after is None:
            self.initialise()
            return self._count(field, quantity)
        return int(after[field]) - quantity

    def _counted(self) -> tuple[tuple[Any, str], ...]:
        return (self.fireworks, "fw_id"), (self.launches, "launch_id")

    @staticmethod
    def _highest(collection: Any, field: str) -> int:
        found = collection.find_one({}, {field: 1}, sort=[(field, DESCENDING)])
        return int(found[field]) if found else 0

    def _ping(self, launch_id: int, ptime: datetime.datetime | None, checkpoint: Mapping[str, Any] | None) -> None:
        moment = ptime or datetime.datetime.now(datetime.UTC)
        fields: Document = {"state_history.$.updated_on": moment.isoformat()}
        if checkpoint is not None:
            fields["state_history.$.checkpoint"] = recursive_dict(dict(checkpoint))
        query = {"launch_id": launch_id, "state": "RUNNING", "state_history.state": "RUNNING"}
        self.launches.update_one(query, {"$set": fields})

    def _fitting(self, launch: Launch) -> Document:
        """The launch's document, its action in GridFS if it is too large for one document."""
        document: Document = launch.to_db_dict()
        if self.gridfs_fallback is None or len(bson.encode(document)) < LARGEST_LAUNCH:
            return document
        text = json.dumps(document["action"]).encode()
        about = {"launch_id": launch.launch_id}

        def put() -> Any:
            for old in self.gridfs_fallback.find({"metadata.launch_id": launch.launch_id}):
                self.gridfs_fallback.delete(old._id)
            return self.gridfs_fallback.put(text, encoding="utf-8", metadata=about)

        return {**document, "action": {"gridfs_id": str(patiently(put))}}


def worker_query(fworker: FWorker | None) -> Document:
    """What a worker may run, in words that an index can serve."""
    return indexed(fworker.query, fworker.name) if fworker else {}


@cache
def _host() -> str:
    return str(get_my_host())


@cache
def _ip() -> str:
    return str(get_my_ip())
