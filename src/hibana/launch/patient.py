"""A MongoDB collection whose reads and absolute writes sit out a restart of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.collection import Collection

from hibana.store.patience import patiently

Document = dict[str, Any]
Filter = Mapping[str, Any]


class PatientCollection:
    """The few operations a launcher needs, each safe to do twice.

    Parameters
    ----------
    collection
        A pymongo collection.
    """

    def __init__(self, collection: Collection[Document]) -> None:
        self.collection = collection

    def one(self, query: Filter, fields: Filter | None = None) -> Document | None:
        """The first document that matches."""
        return patiently(lambda: self.collection.find_one(query, fields))

    def all(
        self, query: Filter, fields: Filter | None = None, sort: list[tuple[str, int]] | None = None, limit: int = 0
    ) -> list[Document]:
        """Every document that matches."""
        return patiently(lambda: list(self.collection.find(query, fields, sort=sort, limit=limit)))

    def change(self, query: Filter, change: Filter | Sequence[Filter]) -> bool:
        """Update one document; whether one matched. The update must be absolute, or its filter must not match again."""
        return patiently(lambda: self.collection.update_one(query, change).matched_count == 1)

    def replace(self, query: Filter, document: Document, *, upsert: bool = False) -> bool:
        """Replace one document; whether one matched or was made."""

        def operation() -> bool:
            result = self.collection.replace_one(query, document, upsert=upsert)
            return result.matched_count == 1 or result.upserted_id is not None

        return patiently(operation)

    def add(self, documents: Sequence[Document], key: str) -> None:
        """Insert documents in order; after a dropped connection only those whose key is not there yet.

        Raises
        ------
        pymongo.errors.BulkWriteError
            If a key is taken.
        """
        tries = 0

        def operation() -> None:
            nonlocal tries
            tries += 1
            missing = list(documents)
            if tries > 1:
                there = self.collection.find({key: {"$in": [document[key] for document in documents]}}, {key: 1})
                keys = {document[key] for document in there}
                missing = [document for document in documents if document[key] not in keys]
            if missing:
                self.collection.insert_many(missing)

        patiently(operation)

    def remove(self, query: Filter) -> None:
        """Delete every document that matches."""
        patiently(lambda: self.collection.delete_many(query))
