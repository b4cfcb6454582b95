"""pydefect is imported in one place, late, silently, and not where a file would change its settings."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hibana.defects
from hibana.defects.binding import pydefect_module

ROOM = Path(hibana.defects.__file__).parent

QUIET = """
import logging, sys, warnings
from hibana.defects.binding import pydefect_module
before = list(warnings.filters)
pydefect_module("input_maker.supercell_maker")
pydefect_module("analyzer.band_edge_states")
assert warnings.filters == before, "filters"
for name, logger in logging.Logger.manager.loggerDict.items():
    if name.startswith(("pydefect", "vise")) and isinstance(logger, logging.Logger):
        assert not logger.handlers, name
        assert not logger.isEnabledFor(logging.WARNING), name
"""

LATE = """
import sys
import hibana.defects.supercell, hibana.defects.entries, hibana.defects.gate
assert not [name for name in sys.modules if name.split(".")[0] in ("pydefect", "vise")]
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", [QUIET, LATE])
def test_import_leaves_no_trace(code, tmp_path):
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "text", "number"),
    [("pydefect.yaml", "ewald_accuracy: 1\n", "HIB-220"), ("vise.yaml", "kpoint_density: 1.0\n", "HIB-032")],
)
def test_settings_from_a_file_are_refused(name, text, number, tmp_path):
    (tmp_path / name).write_text(text)
    (tmp_path / "below").mkdir()
    done = run(
        "from hibana.core.errors import HibanaError\n"
        "from hibana.defects.binding import pydefect_module\n"
        "try:\n    pydefect_module('input_maker.supercell')\n"
        "except HibanaError as error:\n    print(error)",
        tmp_path / "below",
    )
    assert number in done.stdout
    assert name in done.stdout


def test_pydefect_is_imported_in_one_place():
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in ("pydefect", "vise")], path.name


def test_a_module_is_imported_once():
    assert pydefect_module("input_maker.supercell") is sys.modules["pydefect.input_maker.supercell"]
