"""Packed arrays, apart from their documents, by the hash of their content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gridfs
import numpy as np
from gridfs.errors import NoFile
from numpy.typing import NDArray
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from hibana.documents.arrays import ArrayRef, PackedArray, unpack
from hibana.store.errors import NO_ARRAY

DUPLICATE_KEY = 11000
"""MongoDB's code of a document that is there already."""

LARGEST_DOCUMENT = 12 * 1024 * 1024
"""Bytes above which an array goes to GridFS; MongoDB's limit of a document is 16 MB."""


class Arrays:
    """The collection ``arrays``, with the GridFS ``arrays.files``, ``arrays.chunks`` beside it."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self.collection = database["arrays"]
        self.files = gridfs.GridFS(database, "arrays")

    def put(self, arrays: Iterable[PackedArray]) -> None:
        """Store arrays; those that are there already are not written again. One question to the database, and one command."""
        packed = {item.ref.sha256: item for item in arrays}
        there = {found["_id"] for found in self.collection.find({"_id": {"$in": list(packed)}}, {"_id": 1})} if packed else set()
        documents = [self._document(item) for key, item in packed.items() if key not in there]
        if not documents:
            return
        try:
            self.collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if not failures or any(failure["code"] != DUPLICATE_KEY for failure in failures):
                raise

    def get(self, ref: ArrayRef) -> NDArray[np.generic]:
        """The array a reference names.

        Raises
        ------
        HibanaError
            HIB-080 if it is not in the store.
        ValueError
            If its bytes are damaged.
        """
        found = self.collection.find_one({"_id": ref.sha256})
        if found is None:
            raise NO_ARRAY.error(f"no array {ref.sha256[:12]} of shape {tuple(ref.shape)}")
        data = found.get("data")
        if data is None:
            try:
                data = self.files.get(found.get("file", ref.sha256)).read()
            except NoFile as error:
                raise NO_ARRAY.error(f"the file of array {ref.sha256[:12]} is missing") from error
        return unpack(PackedArray(ref, bytes(data)))

    def _document(self, packed: PackedArray) -> dict[str, Any]:
        """The document of an array; the bytes of a large one go to a file of its own: a killed writer may leave half of one."""
        document = {"_id": packed.ref.sha256, "dtype": packed.ref.dtype, "shape": list(packed.ref.shape)}
        if len(packed.data) > LARGEST_DOCUMENT:
            document["file"] = self.files.put(packed.data)
        else:
            document["data"] = packed.data
        return document
