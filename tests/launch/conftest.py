"""Fixtures of the FireWorks edge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flows"))

from farm import STEPS_OF_MGO, Farm
from potcars import write_library

from hibana.launch.launchpad import HibanaLaunchPad
from hibana.store.launchpad_file import write_launchpad_file
from hibana.store.store import Store


@pytest.fixture(scope="session")
def fake_potcars(tmp_path_factory) -> Path:
    return write_library(tmp_path_factory.mktemp("potcars"))


@pytest.fixture(scope="session")
def undisturbed(server, fake_potcars, tmp_path_factory) -> list[dict[str, Any]]:
    """Property documents of MgO from one launcher that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_launchpad_file(folder / "my_launchpad.yaml", server, "test_undisturbed")
    launchpad = HibanaLaunchPad.connect(folder / "my_launchpad.yaml")
    farm = Farm(folder, folder / "my_launchpad.yaml", launchpad, Store(launchpad.db), fake_potcars)
    farm.submit()
    farm.work()
    assert farm.ran() == STEPS_OF_MGO
    results = farm.results()
    launchpad.connection.drop_database("test_undisturbed")
    return results


@pytest.fixture
def farm(tmp_path, launchpad_file, launchpad, store, fake_potcars) -> Farm:
    return Farm(tmp_path, launchpad_file, launchpad, store, fake_potcars)
