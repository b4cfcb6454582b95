"""Fixtures: the queues, each started once, and folders set up for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flows"))

from potcars import write_library
from rigs import Rig, down, only_with_all, stand_in_pjm, up
from site_folder import SiteFolder

from hibana.store.connection import connect
from hibana.store.launchpad_file import write_launchpad_file

SLURM_QUEUE = "debug"


@pytest.fixture(scope="session")
def potcars(tmp_path_factory) -> Path:
    return write_library(tmp_path_factory.mktemp("potcars"))


@pytest.fixture(scope="session")
def slurm_folder(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("slurm")
    yield folder
    down("slurm", folder)


@pytest.fixture(scope="session")
def slurm(slurm_folder) -> Rig:
    return Rig("slurm", up("slurm", slurm_folder), "00:01:00", ("--queue", SLURM_QUEUE))


@pytest.fixture(scope="session")
def pbs(slurm, slurm_folder, tmp_path_factory) -> Rig:
    """PBS commands on top of the same Slurm."""
    only_with_all()
    env = up("pbs", tmp_path_factory.mktemp("pbs"), slurm_folder)
    return Rig("pbs", env, "00:01:00", ("--queue", SLURM_QUEUE))


@pytest.fixture(scope="session")
def gridengine(tmp_path_factory) -> Iterator[Rig]:
    only_with_all()
    folder = tmp_path_factory.mktemp("gridengine")
    try:
        yield Rig("age", up("gridengine", folder), "00:00:50", ("--pe", "mpi"))
    finally:
        down("gridengine", folder)


@pytest.fixture
def pjm(tmp_path) -> Rig:
    return stand_in_pjm(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(server, potcars, tmp_path_factory) -> list[dict[str, Any]]:
    """Property documents of MgO without queue and walltime."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_launchpad_file(folder / "database.yaml", server, "test_undisturbed_by_queues")
    store = connect(folder / "database.yaml")
    site = SiteFolder(folder, None, folder / "database.yaml", store, potcars, 0.0)
    site.init()
    site.submit()
    site.hibana("run", "--fworker", site.config / "my_fworker.yaml")
    assert site.ran("relax") == 2
    results = site.results()
    store.database.client.drop_database("test_undisturbed_by_queues")
    return results


@pytest.fixture
def set_up(tmp_path, launchpad_file, store, potcars):
    """Make a folder for a queue."""

    def make(rig: Rig, library: Path = potcars, vasp_cmd: str | None = None) -> SiteFolder:
        hours, minutes, seconds = map(int, rig.walltime.split(":"))
        site = SiteFolder(tmp_path, rig, launchpad_file, store, library, (3600 * hours + 60 * minutes + seconds) / 20)
        site.vasp_cmd = vasp_cmd or site.vasp_cmd
        site.init()
        return site

    return make
