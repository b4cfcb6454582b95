"""Counters that stay cheap however many documents there are, and right whoever is killed when.

What is counted stands in the documents of the database; a counter is derived from them and can be made anew at any time. For
each source (fireworks, runs, outcomes, ...) there is one document in ``counters`` with the counts, and for each document that
was counted one entry in ``counters.<source>`` that says what it was counted as::

    counters            {_id: source, version, floor, layout, cells: [[key, n, seconds], ...], pending: [entry, ...], since, ...}
    counters.<source>   {_id: key, seq, stamp, cells: [[key, n, seconds], ...], causes: [...], about: [...]}

To *fold* is to look at the documents whose time stamp is not older than the last look and to count the difference to their
entries. Counts and the new entries (``pending``) are committed by one write, on the condition that the version is still the
one that was read before the documents were; the entries are then written, by whoever lives. So a process killed at any point
leaves nothing uncounted and nothing counted twice, and of two that fold at once one waits for the other.

What carries an old time stamp when it arrives (a clock that is wrong, a result that was copied late), is changed without one
or is deleted, is found by a sweep that goes round all documents, a little at each fold.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from hibana.launch.cells import Cell, Cells, Counted, added, pruned
from hibana.launch.errors import COUNTERS_NEWER, COUNTERS_READ_ONLY
from hibana.launch.patient import Document
from hibana.launch.sources import LAYOUT, Source
from hibana.store.connection import REFUSED_CODES

COLLECTION = "counters"
CHUNK = 500
DUPLICATE_KEY = 11000
OVERLAP = timedelta(seconds=120)
"""Clocks of the machines agree within this; what differs more is left to the sweep."""

CONFLICTS = 8
"""So often a fold begins again because others fold, before it leaves the counting to them."""

SWEEP_TARGET = 300
"""About so many documents are looked at again at each fold."""

NARROWEST, WIDEST = 0.001, 7 * 86400.0
"""Limits (s) of the time window of one sweep."""


@dataclass(frozen=True)
class Standing:
    """How far the counters of a source are.

    Parameters
    ----------
    source
        Name of the source.
    counted_to
        Time up to which all is counted; None while the first count goes on.
    complete
        False if this process left the counting to another, which is at it.
    """

    source: str
    counted_to: datetime | None
    complete: bool


@dataclass
class _State:
    """The document of a source as this process knows it."""

    version: int
    floor: int
    cells: Cells
    pending: list[Document] = field(default_factory=list)
    since: datetime | None = None
    built: bool = False
    first: datetime | None = None
    sweep_at: datetime | None = None
    sweep_width: float = 60.0

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> _State:
        fields = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(**{**fields, "cells": Counted.cells_of(document["cells"])})

    def as_dict(self) -> Document:
        return {**vars(self), "cells": Counted.plain(self.cells), "layout": LAYOUT}


class ConflictError(Exception):
    """Another process has committed meanwhile."""


class Counters:
    """The counters of a database.

    Parameters
    ----------
    database
        Where the documents and the counters are; its times must be aware of their zone.
    sources
        What is counted.
    """

    def __init__(self, database: Database[Document], sources: Sequence[Source]) -> None:
        self.database = database
        self.sources = {source.name: source for source in sources}
        self.totals: Collection[Document] = database[COLLECTION]
        self._prepared: set[str] = set()

    def fold(self, names: Iterable[str] | None = None, *, say: Callable[[str, int], None] = lambda *_: None) -> list[Standing]:
        """Count what has changed since the last time.

        Parameters
        ----------
        names
            Names of sources; default: all.
        say
            Called with the name of a source and the number of documents looked at, now and then.

        Raises
        ------
        HibanaError
            HIB-122 if the counters are a newer hibana's, HIB-123 if they may not be written.
        """
        chosen = [self.sources[name] for name in (self.sources if names is None else names)]
        swept = random.choice(chosen).name
        try:
            return [self._fold(source, say, sweeps=source.name == swept) for source in chosen]
        except OperationFailure as error:
            if error.code in REFUSED_CODES:
                raise COUNTERS_READ_ONLY.error(str(error.details.get("errmsg") if error.details else error)) from error
            raise

    def recount(self, names: Iterable[str] | None = None) -> None:
        """Throw the counts away, so that the next fold counts all documents anew.

        Parameters
        ----------
        names
            Names of sources; default: all.
        """
        for name in self.sources if names is None else names:
            found = self.totals.find_one({"_id": name}, {"_id": 1, "version": 1})
            while found is not None and not self._renew(name, found["version"]):
                found = self.totals.find_one({"_id": name}, {"_id": 1, "version": 1})

    def look_again(self, name: str, keys: Iterable[Any]) -> None:
        """Count documents of a source again that were deleted, or changed without a time stamp; others find it by and by.

        Parameters
        ----------
        name
            Name of the source.
        keys
            Keys of the documents.
        """
        source, chosen = self.sources[name], list(keys)
        if not chosen or self.totals.find_one({"_id": name, "built": True}, {"_id": 1}) is None:
            return

        def look(state: _State) -> _State:
            for some in _chunks(chosen):
                entries = self._known(source, some)
                there = {source.key(document): document for document in source.of_keys(self.database, list(entries))}
                self._count(source, state, {key: there.get(key) for key in entries}, entries)
            return state

        self._retry(source, look)

    def cells(self, name: str) -> Cells:
        """The counts of a source."""
        found = self.totals.find_one({"_id": name}, {"cells": 1})
        return {} if found is None else Counted.cells_of(found["cells"])

    def examples(self, name: str, cells: Iterable[Cell], limit: int = 3) -> list[Any]:
        """Keys of some documents of a source that are counted in one of the cells, of those that are failures."""
        wanted = [cell.key for cell in cells]
        found = self._entries(name).find({"causes": {"$in": wanted}}, {"_id": 1}).limit(limit)
        return [entry["_id"] for entry in found]

    # -- one source ---------------------------------------------------------------------------------------------------

    def _fold(self, source: Source, say: Callable[[str, int], None], *, sweeps: bool) -> Standing:
        if source.name not in self._prepared:
            source.prepare(self.database)
            self._entries(source.name).create_index("stamp")
            self._entries(source.name).create_index("causes", sparse=True)
            self._prepared.add(source.name)
        done = self._retry(source, lambda state: self._advance(source, state, say, sweeps=sweeps))
        if done is not None:
            return Standing(source.name, done.since, complete=True)
        found = self.totals.find_one({"_id": source.name}, {"since": 1, "built": 1}) or {}
        return Standing(source.name, found.get("since") if found.get("built") else None, complete=False)

    def _retry(self, source: Source, action: Callable[[_State], _State]) -> _State | None:
        """Do something with the state; begin again when another process has changed it. None: leave it to the other."""
        for turn in range(CONFLICTS):
            state = self._state(source)
            try:
                self._write_entries(source, state)
                return action(state)
            except ConflictError:
                time.sleep(random.uniform(0.5, 1.0) * 0.05 * 2**turn)
        return None

    def _advance(self, source: Source, state: _State, say: Callable[[str, int], None], *, sweeps: bool) -> _State:
        now = self._now()
        if not state.built:
            if state.since is None:
                self._commit(source, state, since=now)
            self._take(source, state, source.everything(self.database), say, counted=self._nothing_counted(source))
            self._commit(source, state, built=True)
        assert state.since is not None
        self._take(source, state, source.changed(self.database, state.since - OVERLAP), say)
        if sweeps:
            self._sweep(source, state)
        self._commit(source, state, since=max(now, state.since), pending=[])
        return state

    def _take(
        self,
        source: Source,
        state: _State,
        documents: Iterable[Document],
        say: Callable[[str, int], None],
        counted: set[Any] | None = None,
    ) -> None:
        """Count documents, which must have been read after the state.

        `counted`: keys that have entries, where that is known without asking.
        """
        stream, seen = iter(documents), 0
        while chunk := {source.key(document): document for document in islice(stream, CHUNK)}:
            if counted is None:
                entries = self._known(source, list(chunk))
            else:
                entries, chunk = {}, {key: document for key, document in chunk.items() if key not in counted}
                counted |= chunk.keys()
            self._count(source, state, chunk, entries)
            seen += len(chunk)
            say(source.name, seen)

    def _count(
        self,
        source: Source,
        state: _State,
        documents: Mapping[Any, Document | None],
        entries: Mapping[Any, Document],
    ) -> None:
        """Count the difference of documents (None: deleted) to their entries."""
        valid = {key: entry for key, entry in entries.items() if entry["seq"] >= state.floor}
        there = {key: document for key, document in documents.items() if document is not None}
        about = {key: entry.get("about") for key, entry in valid.items()}
        now = source.contributions(self.database, there, about) if there else {}
        pending, cells, first = [], dict(state.cells), state.first
        for key, document in documents.items():
            counted = now.get(key, Counted())
            before = Counted.cells_of(valid[key]["cells"]) if key in valid else {}
            stamp = None if document is None else source.stamp(document)
            if key in valid and before == counted.cells and valid[key]["stamp"] == stamp:
                continue
            cells = added(cells, counted.cells, before)
            moment = None if document is None else source.moment(document)
            first = moment if first is None else min(first, moment or first)
            pending.append({"_id": key, "stamp": stamp, "seq": state.version + 1, "new": key not in entries, **counted.as_dict()})
        if pending:
            self._commit(source, state, cells=pruned(cells), pending=pending, first=first)
            self._write_entries(source, state)

    # -- the sweep ----------------------------------------------------------------------------------------------------

    def _sweep(self, source: Source, state: _State) -> None:
        """Look again at all documents of one window of time, and go on to the next."""
        if state.first is None:
            return
        begin = state.sweep_at
        end = state.first if begin is None else begin + timedelta(seconds=state.sweep_width)
        is_last = state.since is not None and end > state.since
        documents = {source.key(doc): doc for doc in source.between(self.database, begin, None if is_last else end)}
        entries = {entry["_id"]: entry for entry in self._entries_between(source, begin, None if is_last else end)}
        strangers = [key for key in entries if key not in documents]
        moved = {source.key(document): document for document in source.of_keys(self.database, strangers)}
        unknown = [key for key in documents if key not in entries]
        entries |= self._known(source, unknown)
        looked_at: dict[Any, Document | None] = {**documents, **{key: moved.get(key) for key in strangers}}
        for some in _chunks(list(looked_at)):
            self._count(source, state, {key: looked_at[key] for key in some}, entries)
        width = state.sweep_width
        if begin is not None:
            factor = 2.0 if len(documents) < SWEEP_TARGET / 2 else 0.5 if len(documents) > SWEEP_TARGET else 1.0
            width = min(max(width * factor, NARROWEST), WIDEST)
        self._commit(source, state, sweep_at=None if is_last else end, sweep_width=width)

    # -- reading and writing ------------------------------------------------------------------------------------------

    def _state(self, source: Source) -> _State:
        """The state of a source; a new one, or one of another layout, is begun anew."""
        while True:
            found = self.totals.find_one({"_id": source.name})
            if found is not None and found["layout"] == LAYOUT:
                return _State.read(found)
            if found is not None and found["layout"] > LAYOUT:
                raise COUNTERS_NEWER.error(f"they have layout {found['layout']}, this hibana writes {LAYOUT}", where=COLLECTION)
            self._renew(source.name, None if found is None else found["version"])

    def _renew(self, name: str, version: int | None) -> bool:
        """Begin to count anew; False if another process changed the counters meanwhile.

        Versions only grow, also where somebody has dropped the counters: what is left of older ones is told by its number.
        """
        new = max(time.time_ns() // 1000, (version or 0) + 1)
        document = {"_id": name, **_State(new, new, {}).as_dict()}
        if version is not None:
            return self.totals.replace_one({"_id": name, "version": version}, document).matched_count == 1
        try:
            self.totals.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    def _commit(self, source: Source, state: _State, **changes: Any) -> None:
        """Write the state with changes.

        Raises
        ------
        ConflictError
            If another process has written it since it was read.
        """
        new = _State(**{**vars(state), **changes, "version": state.version + 1})
        matched = self.totals.replace_one({"_id": source.name, "version": state.version}, new.as_dict()).matched_count
        if matched != 1:
            raise ConflictError
        vars(state).update(vars(new))

    def _write_entries(self, source: Source, state: _State) -> None:
        """Write the entries of the last commit; they may be written by several processes, and over older ones only."""
        entries = {entry["_id"]: {name: value for name, value in entry.items() if name != "new"} for entry in state.pending}
        new = [entries[entry["_id"]] for entry in state.pending if entry["new"]]
        changed = [entries[entry["_id"]] for entry in state.pending if not entry["new"]]
        collection = self._entries(source.name)
        if new:
            try:
                collection.insert_many([dict(entry) for entry in new], ordered=False)
            except BulkWriteError as error:
                if any(failure["code"] != DUPLICATE_KEY for failure in error.details["writeErrors"]):
                    raise
                changed += new  # some are there: of a process that was killed, or of another that completes the same
        if changed:
            collection.bulk_write([_written(entry) for entry in changed], ordered=False)
        state.pending = []

    def _known(self, source: Source, keys: list[Any]) -> dict[Any, Document]:
        """Entries of keys; those older than the floor too, which have to be overwritten but count for nothing."""
        query = {"_id": {"$in": keys}}
        return {entry["_id"]: entry for entry in self._entries(source.name).find(query)} if keys else {}

    def _nothing_counted(self, source: Source) -> set[Any] | None:
        """The empty set if there are no entries at all, so that a first count need not ask for them."""
        return set() if self._entries(source.name).find_one({}, {"_id": 1}) is None else None

    def _entries_between(self, source: Source, begin: datetime | None, end: datetime | None) -> Iterator[Document]:
        for query in source.windows("stamp", begin, end):
            yield from self._entries(source.name).find(query)

    def _entries(self, name: str) -> Collection[Document]:
        return self.database[f"{COLLECTION}.{name}"]

    def _now(self) -> datetime:
        now = self.database.command("hello")["localTime"]
        assert isinstance(now, datetime)
        return now.replace(tzinfo=UTC)


def _written(entry: Document) -> UpdateOne:
    """Update of an older entry."""
    fields = {name: value for name, value in entry.items() if name != "_id"}
    gone = {name: "" for name in ("causes", "about") if name not in entry}
    change = {"$set": fields, **({"$unset": gone} if gone else {})}
    return UpdateOne({"_id": entry["_id"], "seq": {"$lt": entry["seq"]}}, change)


def _chunks(keys: list[Any]) -> Iterator[list[Any]]:
    return (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))
