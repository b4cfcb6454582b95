"""What a launcher asks between and around its jobs sits out a connection that drops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fireworks import Workflow
from jobflow import Flow, job
from launchpad_tasks import note
from pymongo.errors import AutoReconnect

from hibana.launch.firetasks import _workflows, job_store, run_context
from hibana.launch.launcher import is_active
from hibana.launch.patient import PatientCollection
from hibana.launch.worker import _progress, count_states
from hibana.store import patience


class Dropping:
    """A collection of which the first call of each operation finds the connection gone."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.dropped: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._collection, name)
        if not callable(operation) or name in self.dropped:
            return operation

        def drop(*_: Any, **__: Any) -> None:
            self.dropped.add(name)
            raise AutoReconnect("dropped")

        return drop


@pytest.fixture
def dropping(launchpad, monkeypatch):
    """A launchpad with two jobs, one of which runs; its connection drops now and then."""
    first = note("a")
    launchpad.add_wf(Workflow([first, note("b", [first])]))
    launchpad.fireworks.update_one({"name": "a"}, {"$set": {"state": "RUNNING"}})
    monkeypatch.setattr(patience.time, "sleep", lambda _seconds: None)
    for name in ("fireworks", "launches", "workflows"):
        monkeypatch.setattr(launchpad, name, Dropping(getattr(launchpad, name)))
    monkeypatch.setattr(launchpad, "p_fireworks", PatientCollection(launchpad.fireworks))
    return launchpad


def test_the_run_and_its_launchers(dropping):
    assert count_states(dropping) == {"WAITING": 1, "RUNNING": 1}
    assert is_active(dropping)
    assert _progress(dropping, 1.0).running == ("a",)
    assert dropping.fireworks.dropped == {"count_documents", "find_one", "find"}


def test_the_context_of_a_job(dropping):
    assert run_context(dropping, {"_fw_env": {"cores": 3}}, 1).cores == 3
    assert dropping.launches.dropped == {"find_one"}


def test_what_a_job_is_replaced_by(dropping):
    def nothing() -> None:
        """No work."""

    (made,) = _workflows([Flow([job(nothing)()])], dropping, 1, {})
    assert len(made.fws) == 1
    assert (dropping.workflows.dropped, dropping.fireworks.dropped) == ({"find_one"}, {"find_one"})


def test_the_store_of_outputs(launchpad, monkeypatch):
    monkeypatch.setattr(patience.time, "sleep", lambda _seconds: None)
    made = []

    def from_collection(collection: Any) -> Any:
        made.append(collection)
        return SimpleNamespace()

    monkeypatch.setattr("maggma.stores.MongoStore.from_collection", from_collection)
    monkeypatch.setattr("jobflow.JobStore", lambda store: store)
    collection = Dropping(launchpad.db["job_outputs"])
    monkeypatch.setattr(launchpad, "db", {"job_outputs": collection})
    job_store(launchpad)
    monkeypatch.undo()
    assert (made, collection.dropped) == ([collection], {"create_index"})
    assert "uuid_1_index_-1" in launchpad.db["job_outputs"].index_information()
