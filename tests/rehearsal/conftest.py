from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data sets made by these tests go to a folder of their own, unless HIBANA_DATASETS names one."""
    patch = pytest.MonkeyPatch()
    folder = Path(os.environ.get("HIBANA_DATASETS") or tmp_path_factory.mktemp("datasets"))
    patch.setenv("HIBANA_DATASETS", str(folder))
    yield folder
    patch.undo()
