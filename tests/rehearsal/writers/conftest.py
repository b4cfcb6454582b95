from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hibana.rehearsal.result import RunResult


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[[RunResult], Path]:
    """Writes inputs and outputs of a result into a new folder each time, because custodian remembers what it has read."""
    from synthetic_result import write_inputs

    from hibana.rehearsal.writers import write_outputs

    def make(result: RunResult) -> Path:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        write_inputs(result, folder)
        write_outputs(result, folder)
        return folder

    return make
