"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["servers"]

settings.register_profile("hibana", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hibana")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first, so that the last ones handed to the processes are short."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Folder with recorded VASP runs (``vasp_runs/``), error cases (``vasp_errors/``) and published data.

    ``HIBANA_RECORDED`` names it; by default it is looked for beside the repository. Tests that need it skip where it is
    absent.
    """
    folder = Path(os.environ.get("HIBANA_RECORDED", REPOSITORY.parent / "shared"))
    if not (folder / "vasp_runs").is_dir():
        pytest.skip(f"no recorded VASP runs in {folder}; set HIBANA_RECORDED")
    return folder
