"""Fixtures with a real MongoDB-wire server: the embedded one, or the one that HIBANA_TEST_MONGODB names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pymongo.database import Database

    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.store.server import ServerStatus
    from hibana.store.store import Store


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerStatus]:
    """An embedded server on a free port, started once a session, its data in a temporary folder.

    ``HIBANA_TEST_MONGODB=host:port`` runs the tests on another server.
    """
    from hibana.store.server import ServerStatus, down, free_port, up

    given = os.environ.get("HIBANA_TEST_MONGODB")
    if given:
        host, _, port = given.partition(":")
        yield ServerStatus(Path(), running=True, answering=True, host=host, port=int(port or 27017))
        return
    directory = tmp_path_factory.mktemp("server")
    yield up(directory, free_port())
    down(directory)


@pytest.fixture
def launchpad_file(server: ServerStatus, tmp_path: Path) -> Iterator[Path]:
    """A plain FireWorks launchpad file of a fresh database, which is dropped afterwards."""
    from pymongo import MongoClient

    from hibana.store.launchpad_file import write_launchpad_file

    name = f"test_{uuid.uuid4().hex[:12]}"
    path = tmp_path / "my_launchpad.yaml"
    write_launchpad_file(path, server, name)
    yield path
    client: MongoClient[dict[str, Any]] = MongoClient(server.host, server.port, retryWrites=False)
    client.drop_database(name)
    client.close()


@pytest.fixture
def store(launchpad_file: Path) -> Iterator[Store]:
    """A store on a fresh database."""
    from hibana.store.connection import connect

    made = connect(launchpad_file)
    yield made
    made.database.client.close()


@pytest.fixture
def database(store: Store) -> Database[dict[str, Any]]:
    """The database of the store."""
    return store.database


@pytest.fixture
def launchpad(launchpad_file: Path) -> Iterator[HibanaLaunchPad]:
    """hibana's LaunchPad on the same fresh database, ready for use."""
    from hibana.launch.launchpad import HibanaLaunchPad

    made = HibanaLaunchPad.from_file(str(launchpad_file))
    made.initialise()
    yield made
    made.connection.close()
