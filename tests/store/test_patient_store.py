"""Every operation of the store sits out a connection that drops, before the server did what was asked or after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, CursorNotFound
from test_store import ADDRESS, make_candidate, make_electronic, make_submission, make_task

from hibana.documents.arrays import pack
from hibana.documents.properties import ElectronicDoc
from hibana.launch.job_outputs import PatientOutputs
from hibana.store import patience
from hibana.store.owner import Owner
from hibana.store.patience import begun_patiently
from hibana.store.store import Store

OPERATIONS = (
    "find_one",
    "find",
    "update_one",
    "replace_one",
    "insert_one",
    "insert_many",
    "bulk_write",
    "create_index",
    "count_documents",
)
ELSEWHERE = Owner("node17", "another boot", 4711, 99)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(params=["before", "after"])
def dropped(request, monkeypatch) -> list[tuple[str, str]]:
    """Let the connection drop at the first of each operation on each collection, and tell which those were."""
    found: list[tuple[str, str]] = []

    def dropping(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Collection, *args: Any, **options: Any) -> Any:
            if (self.name, name) in found:
                return operation(self, *args, **options)
            found.append((self.name, name))
            if request.param == "after":
                operation(self, *args, **options)
            raise AutoReconnect("dropped")

        return call

    for name in OPERATIONS:
        monkeypatch.setattr(Collection, name, dropping(name, getattr(Collection, name)))
    monkeypatch.setattr(patience.time, "sleep", lambda _seconds: None)
    return found


def test_a_calculation_is_asked_claimed_and_answered(store, dropped):
    arrays = {"eigenvalues": pack(np.array([[1.0, 2.0]]))}
    assert store.task(ADDRESS) is None
    claim = store.claim(ADDRESS, owner=Owner.here(7))
    assert claim is not None
    assert claim.token == 1
    assert store.note(claim, {"directory": "/d"})
    store.release(claim)
    again = store.claim(ADDRESS, owner=Owner.here(8))
    assert again is not None
    assert (again.token, dict(again.left)["directory"]) == (2, "/d")
    assert store.complete(make_task(arrays=arrays), arrays, again)
    assert store.task(ADDRESS).energy == -12.0
    assert store.array(arrays["eigenvalues"].ref).tolist() == [[1.0, 2.0]]
    assert [task.address for task in store.tasks_of("hib-1", "pbesol", 1, "vasp")] == [ADDRESS]
    assert store.claim(ADDRESS, owner=Owner.here(9)) is None
    assert {("claims", "update_one"), ("tasks", "find_one"), ("tasks", "find"), ("arrays", "insert_many")} <= set(dropped)


def test_a_claim_of_another_is_not_taken_for_ones_own(store, dropped):
    assert store.claim(ADDRESS, owner=ELSEWHERE) is not None
    dropped.clear()
    assert store.claim(ADDRESS, owner=Owner.here(7)) is None


def test_candidates_properties_and_outcomes(store, dropped):
    store.add_candidates([make_candidate()])
    store.record_submissions(["hib-1"], make_submission())
    store.attach_workflows(make_submission(), {"hib-1": [5]})
    (submission,) = store.candidate("hib-1").submissions
    assert submission.fw_ids == (5,)
    assert len(store.candidates_of("MgO")) == 1
    store.put_property(make_electronic())
    store.record_outcome("hib-1", "bulk", "pbesol", "vasp", "done", protocol_version=1)
    assert [doc.band_gap_pbesol for doc in store.properties(ElectronicDoc)] == [4.7]
    assert [item["state"] for item in store.outcomes("hib-1")] == ["done"]
    assert [item["gap_class"] for item in store.query("electronic", {}, ("gap_class",))] == ["gapped"]
    assert store.count("electronic") == 1
    assert ("candidates", "bulk_write") in dropped


def test_the_outputs_of_jobs(store, dropped):
    outputs = PatientOutputs.from_collection(store.database["job_outputs"])
    outputs.update([{"uuid": "a", "index": 1, "output": {"n": 1}}], key=["uuid", "index"])
    outputs.update([{"uuid": "a", "index": 1, "output": {"n": 2}}], key=["uuid", "index"])
    assert [doc["output"] for doc in outputs.query({"uuid": "a"})] == [{"n": 2}]
    assert outputs.query_one({"uuid": "a"})["output"] == {"n": 2}
    assert ("job_outputs", "find") in dropped


def test_a_cursor_that_a_restarted_server_does_not_know(monkeypatch):
    monkeypatch.setattr(patience.time, "sleep", lambda _seconds: None)
    begun = []

    def find():
        begun.append(True)
        if len(begun) == 1:
            raise CursorNotFound("cursor id 7 not found")
        yield from range(3)

    assert list(begun_patiently(find)) == [0, 1, 2]
    assert list(begun_patiently(lambda: iter(()))) == []
    assert len(begun) == 2


def test_without_patience_nothing_is_repeated(store, dropped, monkeypatch):
    """The drops of these tests do reach who has no patience."""
    monkeypatch.setattr("hibana.store.store.patiently", lambda operation, **_: operation())
    with pytest.raises(AutoReconnect):
        Store(store.database).candidate("hib-1")
