"""Leases on calculations: who may calculate an address, and whose result counts.

A claim carries a fencing token that grows at each take-over. The document of the claim is the only place where a result is
committed: one conditional write that fails once the token has grown. The committed result is then copied into ``tasks``;
a process killed in between leaves the copying to whoever looks at the address next.

Document of a claim::

    {_id: address, token: 3, state: "held" | "released" | "done", status: how the run ended, owner: {...},
     heartbeat: the server's time, result: {...} while it is not yet in ``tasks``}
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from hibana.store.owner import Owner

HEARTBEAT_SECONDS = 60.0
LEASE_SECONDS = 3 * HEARTBEAT_SECONDS
ANSWERS = ("converged", "ionic_limit")
"""Ends of a run that answer its Spec: ``ionic_limit`` answers one round of a relaxation, the next round starts from it.
Any other end is a reason to calculate again, never an answer."""

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """The right to calculate an address, as long as nobody holds a higher token.

    Parameters
    ----------
    address
        Content address of the Spec.
    token
        Fencing token.
    owner
        Who holds it.
    """

    address: str
    token: int
    owner: Owner


class Claims:
    """The collection ``claims``.

    Parameters
    ----------
    database
        The store's database.
    lease_seconds
        A claim whose owner has not been heard of for so long is free to be taken over.
    """

    def __init__(self, database: Database[dict[str, Any]], lease_seconds: float = LEASE_SECONDS) -> None:
        self.database = database
        self.claims: Collection[dict[str, Any]] = database["claims"]
        self.tasks: Collection[dict[str, Any]] = database["tasks"]
        self.lease = timedelta(seconds=lease_seconds)

    def take(self, address: str, owner: Owner) -> Claim | None:
        """Take a claim; None if a live run holds it or the address has its answer."""
        while True:
            found = self.claims.find_one({"_id": address})
            if found is None:
                if self._create(address, owner):
                    return Claim(address, 1, owner)
                continue
            self.publish(found)
            if not self._is_free(found):
                return None
            seen = {"_id": address, "token": found["token"], "state": found["state"], "heartbeat": found["heartbeat"]}
            change: dict[str, Any] = {
                "$set": {"state": "held", "status": None, "owner": owner.as_dict()},
                "$inc": {"token": 1},
                "$currentDate": {"heartbeat": True},
            }
            if self.claims.update_one(seen, change).matched_count == 1:
                return Claim(address, found["token"] + 1, owner)

    def beat(self, claim: Claim) -> bool:
        """Say that the owner lives; False if the claim is no longer its own."""
        return self.claims.update_one(_held(claim), {"$currentDate": {"heartbeat": True}}).matched_count == 1

    def release(self, claim: Claim) -> None:
        """Give a claim back without a result; nothing happens if it is no longer its owner's."""
        self.claims.update_one(_held(claim), {"$set": {"state": "released"}, "$currentDate": {"heartbeat": True}})

    def commit(self, claim: Claim, result: Mapping[str, Any]) -> bool:
        """Commit a result by one conditional write; False if the claim was taken over.

        Doing it again after a dropped connection gives the same answer.
        """
        change = {"$set": {"state": "done", "status": result["status"], "result": dict(result)}}
        if self.claims.update_one(_held(claim), change).matched_count == 1:
            found: dict[str, Any] | None = {"_id": claim.address, "token": claim.token, "result": dict(result)}
        else:
            found = self.claims.find_one({"_id": claim.address, "token": claim.token, "state": "done"})
        if found is None:
            return False
        self.publish(found)
        return True

    def publish(self, found: Mapping[str, Any]) -> None:
        """Copy a committed result that is not yet in ``tasks``; a newer one there is left alone."""
        result = found.get("result")
        if result is None:
            return
        document = {**result, "_id": found["_id"], "token": found["token"]}
        try:
            self.tasks.replace_one({"_id": found["_id"], "token": {"$lte": found["token"]}}, document, upsert=True)
        except DuplicateKeyError:
            LOG.info("a newer result of %s is in the store", found["_id"])
        self.claims.update_one({"_id": found["_id"], "token": found["token"]}, {"$unset": {"result": ""}})

    def publish_if_pending(self, address: str) -> bool:
        """Copy a result whose owner was killed before it could; True if there was one."""
        found = self.claims.find_one({"_id": address, "result": {"$exists": True}})
        if found is not None:
            self.publish(found)
        return found is not None

    def _create(self, address: str, owner: Owner) -> bool:
        fields = {"token": 1, "state": "held", "status": None, "owner": owner.as_dict()}
        try:
            created = self.claims.update_one(
                {"_id": address}, {"$setOnInsert": {**fields, "heartbeat": self._now()}}, upsert=True
            )
        except DuplicateKeyError:
            return False
        return created.upserted_id is not None

    def _is_free(self, found: Mapping[str, Any]) -> bool:
        if found["state"] == "done":
            return found["status"] not in ANSWERS
        if found["state"] == "released":
            return True
        return Owner.from_dict(found["owner"]).is_dead or self._now() - found["heartbeat"] > self.lease

    def _now(self) -> datetime:
        """The server's time, so that clocks of machines need not agree."""
        now = self.database.command("hello")["localTime"]
        assert isinstance(now, datetime)
        return now.replace(tzinfo=UTC)


class Heartbeat:
    """Keeps a claim alive in the background; sits out dropped connections and restarts of the database.

    Used as a context manager around the run::

        with Heartbeat(store.heartbeat, claim):
            ...

    If the claim is taken over meanwhile, :attr:`lost` becomes true and the beating ends; the result is refused anyway.

    Parameters
    ----------
    beat
        Says that the owner lives; returns False if the claim is no longer its own (:meth:`Store.heartbeat`).
    claim
        The claim.
    interval
        Seconds between two beats.
    """

    def __init__(self, beat: Callable[[Claim], bool], claim: Claim, interval: float = HEARTBEAT_SECONDS) -> None:
        self._beat = beat
        self._claim = claim
        self._interval = interval
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat {claim.address[:8]}", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another run took the claim over: this one's result will be refused."""
        return self._lost.is_set()

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                if not self._beat(self._claim):
                    LOG.warning("another run took over %s", self._claim.address)
                    self._lost.set()
                    return
            except PyMongoError as error:
                LOG.warning("no heartbeat for %s: %s", self._claim.address[:12], type(error).__name__)


def _held(claim: Claim) -> dict[str, Any]:
    return {"_id": claim.address, "token": claim.token, "state": "held"}
