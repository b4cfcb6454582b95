"""Which firework to run next: the highest priority first, without sorting the whole queue for every launch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from fireworks.fw_config import SORT_FWS
from pymongo import ASCENDING, DESCENDING

from hibana.launch.patient import Document, PatientCollection

PREFETCH = 100


class Candidates:
    """Fireworks that are ready to run, a few at a time.

    The order is strict: before a firework that was read earlier is offered, one indexed query asks whether a ready one of
    higher priority has come since. Among equals the order is FireWorks' (``SORT_FWS``); launchers that meet at the same
    firework part ways among its equals.

    Parameters
    ----------
    fireworks
        FireWorks' collection.
    """

    def __init__(self, fireworks: PatientCollection) -> None:
        self.fireworks = fireworks
        self._query: Mapping[str, Any] = {}
        self._waiting: list[tuple[int, Any]] = []
        self._offered: Any = None

    def clear(self) -> None:
        """Forget what was read."""
        self._waiting = []

    def exist(self, query: Mapping[str, Any]) -> bool:
        """Whether there is a firework to run, as far as is known without looking again at those read earlier."""
        self._ask(query)
        return bool(self._waiting) or self._refill()

    def offer(self, query: Mapping[str, Any]) -> Iterator[int]:
        """Ids of fireworks in the order in which they should be tried; each is read again before it is run."""
        self._ask(query)
        tried: set[int] = set()
        self._overtake(tried)
        while self._waiting or (self._refill() and not self._are_all_in(tried)):
            place = self._among_equals() if tried else 0
            fw_id, self._offered = self._waiting.pop(place)
            tried.add(fw_id)
            yield fw_id
            self._overtake(tried)

    def is_still_next(self, firework: Document) -> bool:
        """Whether a firework that was offered, as it is now, still has the priority by which it was; else all are read again."""
        if _priority(firework) == self._offered:
            return True
        self._waiting = []
        return False

    def _ask(self, query: Mapping[str, Any]) -> None:
        if query != self._query:
            self._query = dict(query)
            self._waiting = []

    def _overtake(self, tried: set[int]) -> None:
        """Put ready ones of higher priority, but for those tried in vain, before those that were read earlier."""
        if not self._waiting:
            return
        if SORT_FWS.upper() == "FILO":
            self._waiting = []
            return
        first = self._waiting[0][1]
        higher = {"$gt": first} if isinstance(first, int | float) else {"$gte": float("-inf")}
        query = {"state": "READY", "spec._priority": higher}
        # first without the worker's own conditions: that is one look into an index, and mostly the answer
        if self.fireworks.one(query, {"_id": 1}) is not None:
            first_now = dict(self._read(query))
            later = [item for item in self._waiting if item[0] not in first_now]
            self._waiting = [item for item in first_now.items() if item[0] not in tried] + later

    def _refill(self) -> bool:
        self._waiting = self._read({"state": "READY"})
        return bool(self._waiting)

    def _read(self, query: Document) -> list[tuple[int, Any]]:
        """The first of the worker's fireworks that match, in order, with their priorities."""
        order: list[tuple[str, int]] = [("spec._priority", DESCENDING)]
        if SORT_FWS.upper() in ("FIFO", "FILO"):
            order.append(("created_on", ASCENDING if SORT_FWS.upper() == "FIFO" else DESCENDING))
        fields = {"fw_id": 1, "spec._priority": 1}
        found = self.fireworks.all({**self._query, **query}, fields, order, PREFETCH)
        return [(doc["fw_id"], _priority(doc)) for doc in found]

    def _are_all_in(self, tried: set[int]) -> bool:
        return all(fw_id in tried for fw_id, _ in self._waiting)

    def _among_equals(self) -> int:
        if SORT_FWS:
            return 0
        first = self._waiting[0][1]
        equals = [place for place, (_, priority) in enumerate(self._waiting) if priority == first]
        return random.choice(equals)


def indexed(query: Mapping[str, Any], worker: str) -> Document:
    """An FWorker's query in words that an index can serve: ``$in`` instead of an ``$or`` over one field."""
    same = [{"spec._fworker": {"$exists": False}}, {"spec._fworker": None}, {"spec._fworker": worker}]
    plain = dict(query)
    if plain.get("$or") == same:
        del plain["$or"]
        plain["spec._fworker"] = {"$in": [None, worker]}
    return plain


def _priority(doc: Mapping[str, Any]) -> Any:
    return (doc.get("spec") or {}).get("_priority")
