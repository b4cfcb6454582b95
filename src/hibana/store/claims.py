"""Leases on calculations: who may calculate an address, and whose result counts.

A claim carries a fencing token that grows at each take-over. The document of the claim is the only place where a result is
committed: one conditional write that fails once the token has grown. The committed result is then copied into ``tasks``;
a process killed in between leaves the copying to whoever looks at the address next.

Document of a claim::

    {_id: address, token: 3, state: "held" | "released" | "done", status: how the run ended, owner: {...},
     heartbeat: the server's time, result: {...} while it is not yet in ``tasks``,
     part: {...} what the run that holds it, or the last one that came to no end, has under way, part_noted: since when}
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from hibana.store.owner import Owner
from hibana.store.silence import SilentFor, silence, silence_now

HEARTBEAT_SECONDS = 60.0
LEASE_SECONDS = 3 * HEARTBEAT_SECONDS
RETRIES = 12
"""A beat that the database did not take is repeated after this fraction of the interval."""

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
    left
        What a run that came to no end had under way (:meth:`Claims.note`), with its ``seconds`` as far as they are known.
    """

    address: str
    token: int
    owner: Owner
    left: Mapping[str, Any] | None = field(default=None, compare=False)


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
        self.lease = lease_seconds

    def take(self, address: str, owner: Owner, *, again: bool = False) -> Claim | None:
        """Take a claim; None if a live run holds it or the address has its answer.

        Parameters
        ----------
        address
            Content address of the Spec.
        owner
            Who asks.
        again
            Whether the connection dropped while the same owner took it: what it holds by then is its own.
        """
        while True:
            found = self.claims.find_one({"_id": address})
            if found is None:
                if self._create(address, owner):
                    return Claim(address, 1, owner)
                continue
            self.publish(found)
            if again and found["state"] == "held" and found["owner"] == owner.as_dict():
                return Claim(address, found["token"], owner, _left_by(found))
            if not self._is_free(found):
                return None
            seen = {"_id": address, "token": found["token"], "state": found["state"], "heartbeat": found["heartbeat"]}
            left = _left_by(found)
            kept = {} if left is None else {"part": left}
            change: dict[str, Any] = {
                "$set": {"state": "held", "status": None, "owner": owner.as_dict(), **kept},
                "$inc": {"token": 1},
                "$currentDate": {"heartbeat": True},
            }
            if self.claims.update_one(seen, change).matched_count == 1:
                return Claim(address, found["token"] + 1, owner, left)

    def beat(self, claim: Claim) -> bool:
        """Say that the owner lives; False if the claim is no longer its own."""
        return self.claims.update_one(_held(claim), {"$currentDate": {"heartbeat": True}}).matched_count == 1

    def note(self, claim: Claim, part: Mapping[str, Any]) -> bool:
        """Note what the owner begins, for whoever takes the claim over should it come to no end; False if it is not its own.

        Parameters
        ----------
        claim
            The claim.
        part
            Plain data. ``seconds`` is added by who takes over: from now to the last heartbeat.
        """
        change = {"$set": {"part": dict(part)}, "$currentDate": {"part_noted": True, "heartbeat": True}}
        return self.claims.update_one(_held(claim), change).matched_count == 1

    def release(self, claim: Claim, *, ended: bool = False) -> None:
        """Give a claim back without a result; nothing happens if it is no longer its owner's.

        Parameters
        ----------
        claim
            The claim.
        ended
            Whether the run came to an end that is kept elsewhere; else what it noted is left to the next one.
        """
        change: dict[str, Any] = {"$set": {"state": "released"}, "$currentDate": {"heartbeat": True}}
        if ended:
            change["$unset"] = {"part": ""}
        self.claims.update_one(_held(claim), change)

    def free(self, launch_ids: Iterable[int]) -> list[dict[str, Any]]:
        """Take the claims of launches that are known to be lost away from them; returns their documents.

        An owner that lives after all loses nothing but its turn: its result is refused once another has taken over.
        """
        ids = list(launch_ids)
        held = {"state": "held", "owner.launch_id": {"$in": ids}}
        freed = []
        for found in self.claims.find(held) if ids else ():
            if self._let_go(found):
                freed.append(found)
        return freed

    def expired(self) -> list[dict[str, Any]]:
        """Claims that are held by nobody who lives: their process is gone, or was not heard of for the lease."""
        silent_for = silence_now(self.database)
        return [found for found in self.claims.find({"state": "held"}) if self._is_deserted(found, silent_for)]

    def free_expired(self) -> list[dict[str, Any]]:
        """Let go of those; returns their documents."""
        return [found for found in self.expired() if self._let_go(found)]

    def _let_go(self, found: Mapping[str, Any]) -> bool:
        """Release a claim as it was seen; False if its owner has beaten or another has taken it meanwhile."""
        seen = {"_id": found["_id"], "token": found["token"], "state": "held", "heartbeat": found["heartbeat"]}
        return self.claims.update_one(seen, {"$set": {"state": "released"}}).matched_count == 1

    def commit(self, claim: Claim, result: Mapping[str, Any]) -> bool:
        """Commit a result by one conditional write; False if the claim was taken over.

        Doing it again after a dropped connection gives the same answer.
        """
        change = {"$set": {"state": "done", "status": result["status"], "result": dict(result)}, "$unset": {"part": ""}}
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
        return self._is_deserted(found, partial(silence, self.database))

    def _is_deserted(self, found: Mapping[str, Any], silent_for: SilentFor) -> bool:
        return Owner.from_dict(found["owner"]).is_dead or silent_for(found["heartbeat"]) > self.lease

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
    on_lost
        Called once, in the thread of the heartbeat, when the claim was taken over.
    """

    def __init__(
        self,
        beat: Callable[[Claim], bool],
        claim: Claim,
        interval: float = HEARTBEAT_SECONDS,
        on_lost: Callable[[], object] = lambda: None,
    ) -> None:
        self._on_lost = on_lost
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
        pause = self._interval
        while not self._stop.wait(pause):
            pause = self._interval
            try:
                if not self._beat(self._claim):
                    LOG.warning("another run took over %s", self._claim.address)
                    self._lost.set()
                    self._on_lost()
                    return
            except PyMongoError as error:
                LOG.warning("no heartbeat for %s: %s", self._claim.address[:12], type(error).__name__)
                pause = self._interval / RETRIES


def _left_by(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run left under way, with its seconds up to its last sign of life."""
    part = found.get("part")
    if part is None:
        return None
    if "seconds" in part:
        return dict(part)
    return {**part, "seconds": max(0.0, (found["heartbeat"] - found["part_noted"]).total_seconds())}


def _held(claim: Claim) -> dict[str, Any]:
    return {"_id": claim.address, "token": claim.token, "state": "held"}
