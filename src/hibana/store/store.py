"""The store: hibana's collections in the database that FireWorks uses."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from bson.codec_options import CodecOptions
from numpy.typing import NDArray
from pymongo import ASCENDING, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from hibana.documents.arrays import ArrayRef, PackedArray
from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.properties import PropertyDoc
from hibana.documents.task import TaskDoc
from hibana.store.arrays import DUPLICATE_KEY, Arrays
from hibana.store.claims import ANSWERS, LEASE_SECONDS, Claim, Claims
from hibana.store.indexes import create_indexes
from hibana.store.owner import Owner
from hibana.store.patience import begun_patiently, patiently
from hibana.store.queries import find

P = TypeVar("P", bound=PropertyDoc)


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
            patiently(lambda: create_indexes(self.database))
            self._indexed = True

    # -- candidates ---------------------------------------------------------------------------------------------------

    def add_candidates(self, docs: Sequence[CandidateDoc]) -> int:
        """Add candidates that are not there yet, and join sources and families of those that are; how many are new."""
        changes: list[UpdateOne] = []
        for doc in docs:
            fields = _dump(doc)
            sources, families = fields.pop("sources"), fields.pop("families")
            fields.pop("submissions")
            change = {
                "$setOnInsert": {**fields, "submissions": [_dump(s) for s in doc.submissions]},
                "$addToSet": {"sources": {"$each": sources}, "families": {"$each": families}},
            }
            changes.append(UpdateOne({"_id": doc.material_id}, change, upsert=True))
        try:
            return self._bulk("candidates", changes)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if not failures or any(failure["code"] != DUPLICATE_KEY for failure in failures):
                raise
            again = [changes[failure["index"]] for failure in failures]  # another process has added them: they are there now
            return int(error.details["nUpserted"]) + self._bulk("candidates", again)

    def add_candidate(self, doc: CandidateDoc) -> bool:
        """Add a candidate; False if it was there (its sources are joined to those known)."""
        return self.add_candidates([doc]) == 1

    def candidate(self, material_id: str) -> CandidateDoc | None:
        """The candidate of an identity."""
        found = patiently(lambda: self._collection("candidates").find_one({"_id": material_id}))
        return None if found is None else CandidateDoc.model_validate(_bare(found))

    def candidates_of(self, *formulas: str) -> list[CandidateDoc]:
        """All candidates of some reduced formulas, in the order of their identities."""
        query = {"formula": {"$in": list(formulas)}}
        found = patiently(lambda: list(self._collection("candidates").find(query).sort("_id", ASCENDING)))
        return [CandidateDoc.model_validate(_bare(item)) for item in found]

    def record_submissions(self, material_ids: Iterable[str], submission: Submission) -> None:
        """Note that a workflow is going to be added for candidates, where that was not noted before.

        Who was killed after it is found by the missing workflow: the next submission of the same question adds it, and calls
        :meth:`attach_workflows`.
        """
        self._note(submission, dict.fromkeys(material_ids, ()))

    def attach_workflows(self, submission: Submission, fw_ids: Mapping[str, Sequence[int]]) -> None:
        """Note the FireWorks ids of the workflows that were added for a submission, by material.

        The ids are written into the note that is there, and only then is one made where there is none: who has read the note
        before and removes it (:meth:`forget_submission`) comes too early or finds another.
        """
        asked = {"submissions": {"$elemMatch": submission.question()}}
        changes = [
            UpdateOne({"_id": material_id, **asked}, {"$set": {"submissions.$.fw_ids": list(ids)}})
            for material_id, ids in fw_ids.items()
        ]
        self._bulk("candidates", changes)
        self._note(submission, fw_ids)

    def forget_submission(self, material_id: str, submission: Submission) -> None:
        """Remove the note of a submission from a candidate, if it is still as it was read."""
        change = {"$pull": {"submissions": _dump(submission)}}
        candidates = self._writable("candidates")
        patiently(lambda: candidates.update_one({"_id": material_id}, change))

    def _note(self, submission: Submission, fw_ids: Mapping[str, Sequence[int]]) -> None:
        new, note = {"submissions": {"$not": {"$elemMatch": submission.question()}}}, _dump(submission)
        changes = [
            UpdateOne({"_id": material_id, **new}, {"$push": {"submissions": {**note, "fw_ids": list(ids)}}})
            for material_id, ids in fw_ids.items()
        ]
        self._bulk("candidates", changes)

    # -- runs ---------------------------------------------------------------------------------------------------------

    def claim(self, address: str, *, owner: Owner) -> Claim | None:
        """Take the right to calculate an address.

        None if a live run holds it or it has its answer. The claim of a dead process, or of one not heard of for the
        lease, is taken over: its token grows and the former owner's result will be refused.
        """
        self.ensure_indexes()
        tries = itertools.count()
        return patiently(lambda: self.claims.take(address, owner, again=next(tries) > 0))

    def heartbeat(self, claim: Claim) -> bool:
        """Say that the owner of a claim lives; False if the claim was taken over."""
        return self.claims.beat(claim)

    def note(self, claim: Claim, part: Mapping[str, Any]) -> bool:
        """Note what the owner of a claim begins; see :meth:`hibana.store.claims.Claims.note`."""
        return patiently(lambda: self.claims.note(claim, part))

    def release(self, claim: Claim, *, ended: bool = False) -> None:
        """Give a claim back without a result; see :meth:`hibana.store.claims.Claims.release`."""
        patiently(lambda: self.claims.release(claim, ended=ended), patience=60.0)

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
        patiently(lambda: self.arrays.put(arrays.values()))
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
        tasks = self._collection("tasks")
        found = patiently(lambda: tasks.find_one(key))
        if found is None and patiently(lambda: self.claims.publish_if_pending(address)):
            found = patiently(lambda: tasks.find_one(key))
        return None if found is None else TaskDoc.model_validate(_bare(found))

    def tasks_of(self, material_id: str, protocol: str, protocol_version: int, calculator: str) -> list[TaskDoc]:
        """Every run of a material by one version of a protocol and one code, answered or not, the earliest first."""
        query = {
            "material_id": material_id,
            "protocol": protocol,
            "protocol_version": protocol_version,
            "calculator.name": calculator,
        }
        found = patiently(lambda: list(self._collection("tasks").find(query).sort("machine.finished", ASCENDING)))
        return [TaskDoc.model_validate(_bare(item)) for item in found]

    def array(self, ref: ArrayRef) -> NDArray[np.generic]:
        """The array a reference names.

        Raises
        ------
        HibanaError
            HIB-080 if it is not in the store.
        """
        return patiently(lambda: self.arrays.get(ref))

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
        patiently(lambda: self.arrays.put((arrays or {}).values()))
        patiently(lambda: collection.replace_one({"_id": key}, {**_dump(doc), "_id": key}, upsert=True))

    def properties(self, kind: type[P], query: Mapping[str, Any] | None = None) -> Iterator[P]:
        """Property documents of a kind that match a MongoDB filter, sorted by material_id."""
        collection = self._collection(kind.collection)
        for found in begun_patiently(lambda: collection.find(dict(query or {})).sort("_id", ASCENDING)):
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
        return [
            _bare(found) for found in patiently(lambda: list(self._collection("outcomes").find({"material_id": material_id})))
        ]

    def count(self, collection: str, filter: Mapping[str, Any] | None = None) -> int:
        """How many documents of a collection match a MongoDB filter."""
        return patiently(lambda: self._collection(collection).count_documents(dict(filter or {})))

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

    def _bulk(self, name: str, changes: Sequence[UpdateOne]) -> int:
        """Make many changes by few commands, in no order; how many documents are new (not told behind a dropped connection)."""
        if not changes:
            return 0
        collection = self._writable(name)
        return patiently(lambda: collection.bulk_write(list(changes), ordered=False).upserted_count)

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
