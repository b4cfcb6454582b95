"""Packed arrays, apart from their documents, by the hash of their content."""

from __future__ import annotations

from typing import Any

import gridfs
import numpy as np
from gridfs.errors import FileExists, NoFile
from numpy.typing import NDArray
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from hibana.documents.arrays import ArrayRef, PackedArray, unpack
from hibana.store.errors import NO_ARRAY

LARGEST_DOCUMENT = 12 * 1024 * 1024
"""Bytes above which an array goes to GridFS; MongoDB's limit of a document is 16 MB."""


class Arrays:
    """The collection ``arrays``, with the GridFS ``arrays.files``, ``arrays.chunks`` beside it."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self.collection = database["arrays"]
        self.files = gridfs.GridFS(database, "arrays")

    def put(self, packed: PackedArray) -> None:
        """Store an array; one that is there already is not written again."""
        key = packed.ref.sha256
        if self.collection.find_one({"_id": key}, {"_id": 1}) is not None:
            return
        document: dict[str, Any] = {"_id": key, "dtype": packed.ref.dtype, "shape": list(packed.ref.shape)}
        if len(packed.data) > LARGEST_DOCUMENT:
            self._put_file(key, packed.data)
        else:
            document["data"] = packed.data
        try:
            self.collection.insert_one(document)
        except DuplicateKeyError:
            return

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
                data = self.files.get(ref.sha256).read()
            except NoFile as error:
                raise NO_ARRAY.error(f"the file of array {ref.sha256[:12]} is missing") from error
        return unpack(PackedArray(ref, bytes(data)))

    def _put_file(self, key: str, data: bytes) -> None:
        try:
            self.files.put(data, _id=key)
        except FileExists:
            return
