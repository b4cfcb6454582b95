"""Signed locks of workflows.

FireWorks locks a workflow by the field ``locked: true``, which tells neither who locked it nor when: the lock of a killed
launcher stays for ever. hibana writes a document there instead (stock FireWorks only asks whether the field exists)::

    locked: {token, owner: {host, machine, pid, started, launch_id}, at: the server's time, fw_id}

Another process breaks the lock when its owner is dead or the lock is old. An unsigned lock is first noted (``owner: None``
and the time); the note vanishes as soon as its holder writes, so that only the lock of a dead one grows old.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fireworks.core.launchpad import LockedWorkflowError
from fireworks.fw_config import WFLOCK_EXPIRATION_SECS
from pymongo.database import Database

from hibana.launch.patient import Document, PatientCollection
from hibana.store.owner import Owner
from hibana.store.patience import patiently

LOCK_SECONDS = float(WFLOCK_EXPIRATION_SECS)
"""Age at which a lock may be broken whoever holds it: FireWorks' own setting, 300 s."""

ASK_EVERY = 600.0
"""Seconds for which the difference to the server's clock is taken as known."""


@dataclass
class Lock:
    """A lock that is held.

    Parameters
    ----------
    token
        Tells this lock from every other.
    workflow
        The workflow's document as it was when the lock was taken.
    inherited
        Whether it was broken from another process, which may have left the workflow half written.
    released
        Whether the workflow was unlocked by the write that changed it.
    """

    token: str
    workflow: Document
    inherited: bool = False
    released: bool = False

    @property
    def fw_id(self) -> int:
        """A firework of the workflow, to name it by."""
        return int(min(self.workflow["nodes"]))

    @property
    def key(self) -> Document:
        """Matches the workflow as long as this lock is held."""
        return {"_id": self.workflow["_id"], "locked.token": self.token}


class Locks:
    """Locks of the workflows of a launchpad.

    Parameters
    ----------
    database
        The launchpad's database.
    finish
        Called with the document of a workflow whose lock is to be broken: completes what its holder had begun and noted, and
        says whether the workflow is free by that.
    lock_seconds
        Age at which a lock may be broken whoever holds it.
    """

    def __init__(
        self,
        database: Database[Document],
        finish: Callable[[Mapping[str, Any]], bool],
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        self.workflows = PatientCollection(database["workflows"])
        self.finish = finish
        self.limit = timedelta(seconds=lock_seconds)
        self.clock = ServerClock(database)

    def take(self, fw_id: int) -> Lock:
        """Lock the workflow of a firework; waits while a live process holds it.

        Raises
        ------
        ValueError
            If no workflow has this firework.
        LockedWorkflowError
            If others keep it locked for longer than a lock may last.
        """
        deadline = time.monotonic() + self.limit.total_seconds() + 10.0
        pause = 0.02
        while True:
            lock = self._try({"nodes": fw_id, "locked": {"$exists": False}}, fw_id)
            if lock is not None:
                return lock
            found = self.workflows.one({"nodes": fw_id})
            if found is None and time.monotonic() > deadline - self.limit.total_seconds():
                raise ValueError(f"Could not find workflow in database: {fw_id}")
            if found is not None and "locked" in found:
                lock = self.take_over(found, fw_id)
                if lock is not None:
                    return lock
            if time.monotonic() > deadline:
                raise LockedWorkflowError(f"Could not get workflow - LOCKED: {fw_id}")
            time.sleep(pause)
            pause = min(1.5 * pause, 0.5)

    def take_over(self, found: Mapping[str, Any], fw_id: int) -> Lock | None:
        """Break the lock of a workflow if its holder is dead or the lock is old; None if not, or if another was faster."""
        locked = found["locked"]
        if not isinstance(locked, Mapping):
            self.workflows.change({"_id": found["_id"], "locked": locked}, self._signature(None, uuid.uuid4().hex, fw_id))
            return None
        if not self.is_breakable(locked):
            return None
        if self.finish(found):
            return self._try({"_id": found["_id"], "locked": {"$exists": False}}, fw_id)
        return self._try({"_id": found["_id"], "locked.token": locked["token"]}, fw_id, inherited=True)

    def release(self, lock: Lock) -> None:
        """Unlock; nothing happens if that is done or the lock was broken meanwhile."""
        if not lock.released:
            self.workflows.change(lock.key, {"$unset": {"locked": ""}})

    def is_breakable(self, locked: Mapping[str, Any]) -> bool:
        """Whether the holder of a signed lock is dead or the lock is old."""
        if locked.get("owner") is not None and Owner.from_dict(locked["owner"]).is_dead:
            return True
        return self.clock.now() - aware(locked["at"]) > self.limit

    def _try(self, query: Document, fw_id: int, *, inherited: bool = False) -> Lock | None:
        token = uuid.uuid4().hex
        self.workflows.change(query, self._signature(Owner.here(), token, fw_id))
        # read in any case: a change that was done just before the connection dropped does not match again
        found = self.workflows.one({"nodes": fw_id, "locked.token": token})
        return None if found is None else Lock(token, found, inherited)

    @staticmethod
    def _signature(owner: Owner | None, token: str, fw_id: int) -> list[Document]:
        # an update by a pipeline, because $currentDate cannot reach into `locked: true`
        fields = {"token": token, "owner": owner and owner.as_dict(), "fw_id": fw_id}
        return [{"$set": {"locked": {**{key: {"$literal": value} for key, value in fields.items()}, "at": "$$NOW"}}}]


class ServerClock:
    """The server's time, so that the clocks of machines need not agree; asked for once in a while.

    Parameters
    ----------
    database
        Any database of the server.
    """

    def __init__(self, database: Database[Document]) -> None:
        self.database = database
        self._asked = -math.inf
        self._answer = datetime.min

    def now(self) -> datetime:
        """The time, UTC."""
        moment = time.monotonic()
        if moment - self._asked > ASK_EVERY:
            self._answer = aware(patiently(lambda: self.database.command("hello")["localTime"]))
            self._asked = moment
        return self._answer + timedelta(seconds=moment - self._asked)


def aware(moment: datetime) -> datetime:
    """A time read from the database, which keeps UTC, as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
