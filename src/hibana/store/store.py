"""The store: hibana's collections in the database that FireWorks uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from bson.codec_options import CodecOptions
from numpy.typing import NDArray
from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from hibana.documents.arrays import ArrayRef, PackedArray
from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.properties import PropertyDoc
from hibana.documents.task import TaskDoc
from hibana.store.arrays import Arrays
from hibana.store.claims import ANSWERS, LEASE_SECONDS, Claim, Claims
from hibana.store.indexes import create_indexes
from hibana.store.owner import Owner
from hibana.store.patience import patiently
from hibana.store.queries import find

P = TypeVar("P", bound=PropertyDoc)

ABANDONED = timedelta(minutes=5)
"""A submission that has no workflow after this time was cut short and may be made again."""


class Store:
    """Candidates, runs, arrays, claims, properties and outcomes.

    Parameters
    ----------
    database
        A pymongo database; FireWorks' collections may be in it too.
    lease_seconds
        A run whose owner has not been heard of for so long may be taken over.
    """

    def __init__(self, database: Database[dict[str, Any]], *, lease_seconds: float = LEASE_SECONDS) -> None:
        options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)
        self.database = database.with_options(codec_options=options)
        self.claims = Claims(self.database, lease_seconds)
        self.arrays = Arrays(self.database)
        self._indexed = False

    def ensure_indexes(self) -> None:
        """Create the indexes that are missing; done by itself at the first write."""
        if not self._indexed:
            create_indexes(self.database)
            self._indexed = True

    # -- candidates ---------------------------------------------------------------------------------------------------

    def add_candidate(self, doc: CandidateDoc) -> bool:
        """Add a candidate; False if it was there (its sources are joined to those known)."""
        fields = _dump(doc)
        sources = fields.pop("sources")
        fields.pop("submissions")
        change = {
            "$setOnInsert": {**fields, "submissions": [_dump(s) for s in doc.submissions]},
            "$addToSet": {"sources": {"$each": sources}},
        }
        key = {"_id": doc.material_id}
        try:
            return self._writable("candidates").update_one(key, change, upsert=True).upserted_id is not None
        except DuplicateKeyError:
            self._writable("candidates").update_one(key, {"$addToSet": {"sources": {"$each": sources}}})
            return False

    def candidate(self, material_id: str) -> CandidateDoc | None:
        """The candidate of an identity."""
        found = self._collection("candidates").find_one({"_id": material_id})
        return None if found is None else CandidateDoc.model_validate(_bare(found))

    def candidates_of(self, formula: str) -> list[CandidateDoc]:
        """All candidates of a reduced formula, in the order of their identities."""
        found = self._collection("candidates").find({"formula": formula}).sort("_id", ASCENDING)
        return [CandidateDoc.model_validate(_bare(item)) for item in found]

    def record_submission(self, material_id: str, submission: Submission) -> bool:
        """Note that a workflow is going to be added for a candidate; True if the caller has to add it.

        False if the same (flow, protocol, version, calculator) was asked for before. A submission that still has no
        workflow after five minutes was cut short, and the next caller gets True: it should look for a workflow of the
        cut-short one first, then add one and call :meth:`attach_workflow`.
        """
        collection = self._writable("candidates")
        same = _same_question(submission)
        entry = _dump(submission)
        new = {"_id": material_id, "submissions": {"$not": {"$elemMatch": same}}}
        if collection.update_one(new, {"$push": {"submissions": entry}}).modified_count == 1:
            return True
        before = submission.submitted_at - ABANDONED
        cut_short = {**same, "fw_ids": [], "submitted_at": {"$lt": before}}
        again = {"_id": material_id, "submissions": {"$elemMatch": cut_short}}
        renew = {"$set": {"submissions.$.submitted_at": submission.submitted_at}}
        return collection.update_one(again, renew).modified_count == 1

    def attach_workflow(self, material_id: str, submission: Submission, fw_ids: Sequence[int]) -> None:
        """Note the FireWorks ids of the workflow that was added for a submission."""
        one = {"_id": material_id, "submissions": {"$elemMatch": _same_question(submission)}}
        self._writable("candidates").update_one(one, {"$set": {"submissions.$.fw_ids": list(fw_ids)}})

    # -- runs ---------------------------------------------------------------------------------------------------------

    def claim(self, address: str, *, owner: Owner) -> Claim | None:
        """Take the right to calculate an address.

        None if a live run holds it or it has its answer. The claim of a dead process, or of one not heard of for the
        lease, is taken over: its token grows and the former owner's result will be refused.
        """
        self.ensure_indexes()
        return patiently(lambda: self.claims.take(address, owner), patience=60.0)

    def heartbeat(self, claim: Claim) -> bool:
        """Say that the owner of a claim lives; False if the claim was taken over."""
        return self.claims.beat(claim)

    def release(self, claim: Claim) -> None:
        """Give a claim back without a result."""
        patiently(lambda: self.claims.release(claim), patience=60.0)

    def complete(self, doc: TaskDoc, arrays: Mapping[str, PackedArray], claim: Claim) -> bool:
        """Store the result of a claimed run.

        The arrays go first, then the document by one conditional write. Waits for a database that restarts.

        Parameters
        ----------
        doc
            The result; ``doc.arrays`` refers to `arrays`.
        arrays
            Packed arrays by name.
        claim
            The claim the run was made under.

        Returns
        -------
        bool
            False if the claim was taken over meanwhile; nothing is stored then but the arrays.

        Raises
        ------
        ValueError
            If the document is of another address, or refers to an array that is not given.
        """
        if doc.address != claim.address:
            raise ValueError(f"a result of {doc.address} was given with the claim of {claim.address}")
        if missing := [name for name, ref in doc.arrays.items() if name not in arrays or arrays[name].ref != ref]:
            raise ValueError(f"the document refers to arrays that were not given: {', '.join(missing)}")
        self.ensure_indexes()
        for packed in arrays.values():
            patiently(lambda packed=packed: self.arrays.put(packed))  # type: ignore[misc]
        return patiently(lambda: self.claims.commit(claim, _dump(doc)))

    def task(self, address: str, *, any_status: bool = False) -> TaskDoc | None:
        """The answer of an address.

        Parameters
        ----------
        address
            Content address of the Spec.
        any_status
            Also a result that is no answer (failed, stopped at the walltime, not converged), to see why.
        """
        key: dict[str, Any] = {"_id": address}
        if not any_status:
            key["status"] = {"$in": list(ANSWERS)}
        found = self._collection("tasks").find_one(key)
        if found is None and self.claims.publish_if_pending(address):
            found = self._collection("tasks").find_one(key)
        return None if found is None else TaskDoc.model_validate(_bare(found))

    def tasks_of(self, material_id: str, protocol: str, protocol_version: int, calculator: str) -> list[TaskDoc]:
        """Every run of a material by one version of a protocol and one code, answered or not, the earliest first."""
        query = {
            "material_id": material_id,
            "protocol": protocol,
            "protocol_version": protocol_version,
            "calculator.name": calculator,
        }
        found = self._collection("tasks").find(query).sort("machine.finished", ASCENDING)
        return [TaskDoc.model_validate(_bare(item)) for item in found]

    def array(self, ref: ArrayRef) -> NDArray[np.generic]:
        """The array a reference names.

        Raises
        ------
        HibanaError
            HIB-080 if it is not in the store.
        """
        return self.arrays.get(ref)

    # -- claims of materials ------------------------------------------------------------------------------------------

    def put_property(self, doc: PropertyDoc, arrays: Mapping[str, PackedArray] | None = None) -> None:
        """Store a property document in the place of an earlier one of the same material, protocol, calculator and part.

        Parameters
        ----------
        doc
            The document.
        arrays
            The packed arrays it refers to, by name; they are stored first.
        """
        about = (doc.material_id, f"{doc.protocol}@{doc.protocol_version}", doc.calculator)
        key = "|".join((*about, doc.part) if doc.part else about)
        collection = self._writable(doc.collection)
        for packed in (arrays or {}).values():
            patiently(lambda packed=packed: self.arrays.put(packed))  # type: ignore[misc]
        patiently(lambda: collection.replace_one({"_id": key}, {**_dump(doc), "_id": key}, upsert=True))

    def properties(self, kind: type[P], query: Mapping[str, Any] | None = None) -> Iterator[P]:
        """Property documents of a kind that match a MongoDB filter, sorted by material_id."""
        for found in self._collection(kind.collection).find(dict(query or {})).sort("_id", ASCENDING):
            yield kind.model_validate(_bare(found))

    def record_outcome(
        self,
        material_id: str,
        flow: str,
        protocol: str,
        calculator: str,
        state: str,
        reason: str | None = None,
        *,
        protocol_version: int,
    ) -> None:
        """Note what a flow's collector says of a material, in the place of what was said before.

        Parameters
        ----------
        material_id, flow, protocol, protocol_version, calculator
            What it is about.
        state
            For instance ``done``, ``metal`` or ``failed``.
        reason
            Why, in words.
        """
        about = (material_id, flow, f"{protocol}@{protocol_version}", calculator)
        document = {
            "_id": "|".join(about),
            "material_id": material_id,
            "flow": flow,
            "protocol": protocol,
            "protocol_version": protocol_version,
            "calculator": calculator,
            "state": state,
            "reason": reason,
            "recorded_at": datetime.now(UTC),
        }
        collection = self._writable("outcomes")
        patiently(lambda: collection.replace_one({"_id": document["_id"]}, document, upsert=True))

    def outcomes(self, material_id: str) -> list[dict[str, Any]]:
        """What the flows' collectors said of a material."""
        return [_bare(found) for found in self._collection("outcomes").find({"material_id": material_id})]

    def count(self, collection: str, filter: Mapping[str, Any] | None = None) -> int:
        """How many documents of a collection match a MongoDB filter."""
        return self._collection(collection).count_documents(dict(filter or {}))

    def query(
        self,
        collection: str,
        filter: Mapping[str, Any] | None = None,
        fields: Sequence[str] = (),
        limit: int = 0,
        *,
        by_key: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Documents of a collection as plain mappings; see :func:`hibana.store.queries.find`."""
        return find(self.database, collection, filter or {}, fields, limit, by_key=by_key)

    def _collection(self, name: str) -> Collection[dict[str, Any]]:
        return self.database[name]

    def _writable(self, name: str) -> Collection[dict[str, Any]]:
        self.ensure_indexes()
        return self.database[name]


def _dump(doc: CandidateDoc | Submission | TaskDoc | PropertyDoc) -> dict[str, Any]:
    return doc.model_dump(mode="python")


def _bare(found: Mapping[str, Any]) -> dict[str, Any]:
    """A stored document without the store's own fields."""
    return {key: value for key, value in found.items() if key not in ("_id", "token")}


def _same_question(submission: Submission) -> dict[str, Any]:
    return {
        "flow": submission.flow,
        "protocol": submission.protocol,
        "protocol_version": submission.protocol_version,
        "calculator": submission.calculator,
    }
