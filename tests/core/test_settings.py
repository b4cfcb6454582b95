"""What the environment says."""

from __future__ import annotations

from pathlib import Path

from hibana.core.settings import Settings


def test_an_empty_variable_is_an_unset_one(monkeypatch):
    for name in ("HIBANA_LAUNCHPAD", "HIBANA_VASP_CMD", "HIBANA_STORE_DIR"):
        monkeypatch.setenv(name, "")
    assert Settings.from_environment() == Settings()


def test_variables_are_read(monkeypatch):
    monkeypatch.setenv("HIBANA_LAUNCHPAD", "/a/lp.yaml")
    monkeypatch.setenv("HIBANA_VASP_CMD", "srun vasp_std")
    monkeypatch.setenv("HIBANA_STORE_DIR", "/b")
    assert Settings.from_environment() == Settings(Path("/a/lp.yaml"), "srun vasp_std", Path("/b"))
