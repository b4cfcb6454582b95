"""A campaign whose runs fail, and whose launchers, store and scheduler are killed at random, ends as an undisturbed one does.

``HIBANA_CHAOS_MATERIALS`` sets the number of materials (6 by default, 2,000 at full size; the crystals that can be made up are
2,704); kills and patience grow with it. A material is seven jobs, of 0.3 MB on disk each and some tenths of a CPU second. For
instance::

    HIBANA_CHAOS_MATERIALS=2000 pytest -s --basetemp=/scratch/chaos \\
        "tests/end_to_end/test_chaos_campaign.py::test_the_table_is_that_of_an_undisturbed_campaign[1]"
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rough_queue import RoughQueue, write_rates

from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.launch.forecast import read_faults
from hibana.launch.made_crystals import write_crystals
from hibana.launch.recover import recover
from hibana.launch.rehearse import CALCULATOR, Stage, failed_jobs
from hibana.launch.submit import submit
from hibana.launch.worker import run_workers
from hibana.store.store import Store
from hibana.tables.export import export
from size import FULL

MATERIALS = int(os.environ.get("HIBANA_CHAOS_MATERIALS") or (2000 if FULL else 6))
PROTOCOL, FLOW = "pbesol-demo", "electronic"
SEEDS = (1, 2, 3)
KILLS = ("launcher", "launcher", "store", "launcher", "scheduler", "launcher", "store") * max(1, MATERIALS // 100)
POLL = max(0.2, MATERIALS / 400)
"""Seconds between two looks of the undisturbed campaign's workers, each of which counts all fireworks."""

DIGITS = 1e-5
"""Largest difference of two numbers that are the same, in the unit of the column."""


pytestmark = pytest.mark.slow


@contextmanager
def campaign(folder: Path, seed: int | None, rates: Path | None = None) -> Iterator[tuple[Stage, Any]]:
    """A rehearsal with everything submitted, and its launchpad."""
    stage = Stage(folder)
    with stage.environment(PROTOCOL), stage.launchpad() as launchpad:
        stage.write_worker(seed=seed, rates=rates, recordings=None, cores=1)
        report = submit(write_crystals(folder / "structures", MATERIALS), FLOW, PROTOCOL, CALCULATOR, launchpad)
        assert len(report.added) == MATERIALS
        yield stage, launchpad


def documents(store: Store) -> dict[str, dict[str, Any]]:
    """Property documents but for the time they were made."""
    found = [doc for kind in (RelaxationDoc, ElectronicDoc) for doc in store.properties(kind)]
    return {f"{doc.collection} {doc.formula}": doc.model_dump(exclude={"built_at"}) for doc in found}


def table(store: Store, folder: Path) -> list[dict[str, Any]]:
    """Rows of the exported table."""
    import pyarrow.parquet as parquet

    export(store, "electronic", folder)
    rows: list[dict[str, Any]] = parquet.read_table(folder / "electronic.parquet").to_pylist()
    return rows


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Where two results differ: in anything but digits that the files of a relaxation in parts do not hold."""
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        return [line for key in expected for line in differences(found[key], expected[key], f"{where}.{key}")]
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple) and len(found) == len(expected):
        return [line for n, item in enumerate(expected) for line in differences(found[n], item, f"{where}[{n}]")]
    if isinstance(expected, float) and isinstance(found, float) and abs(found - expected) <= DIGITS:
        return []
    return [] if found == expected else [f"{where}: {found!r}, undisturbed {expected!r}"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Table and documents of a campaign that nothing befell."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with campaign(folder, None) as (stage, launchpad):
        worker = folder / "my_fworker.yaml"
        run_workers(
            launchpad, stage.launchpad_file, workers=2, fworker_file=worker, directory=folder / "launches", poll_seconds=POLL
        )
        assert not failed_jobs(launchpad)
        store = Store(launchpad.db)
        return table(store, folder / "tables"), documents(store)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_table_is_that_of_an_undisturbed_campaign(tmp_path, undisturbed, seed):
    rows, expected = undisturbed
    assert len(rows) > MATERIALS * 0.7
    with campaign(tmp_path, seed, write_rates(tmp_path / "rates.json", seed)) as (stage, launchpad):
        queue = RoughQueue(stage, launchpad, seed, kills=KILLS, patience=MATERIALS * 150)
        queue.run()
        faults = read_faults(stage.attempts)
        told = f"{queue.log}; {dict(faults)}; {dict(queue.failures)}; {queue.states()}"
        assert set(queue.states()) == {"COMPLETED"}, told
        store = Store(launchpad.db)
        found = documents(store)
        assert found.keys() == expected.keys(), told
        for name, document in expected.items():
            assert differences(found[name], document) == [], f"{name}; {told}"
        assert differences(table(store, tmp_path / "tables"), rows) == [], told
        assert len(queue.log) == len(queue.kills)
        assert sum(faults.values()) > MATERIALS / 3
        assert_nothing_doubled(launchpad)
        assert_nothing_left_behind(launchpad)


def assert_nothing_doubled(launchpad: Any) -> None:
    """No address was taken again after its answer was there, and no workflow has a job twice."""
    claims = {claim["_id"]: claim for claim in launchpad.db["claims"].find()}
    for task in launchpad.db["tasks"].find({}, {"token": 1, "status": 1}):
        claim = claims[task["_id"]]
        assert (claim["state"], claim["token"]) == ("done", task["token"]), claim
        assert task["status"] in ("converged", "ionic_limit")
    name_of = {firework["fw_id"]: firework["name"] for firework in launchpad.fireworks.find({}, {"fw_id": 1, "name": 1})}
    for workflow in launchpad.workflows.find({}, {"nodes": 1}):
        names = [name_of[fw_id] for fw_id in workflow["nodes"]]
        assert len(names) == len(set(names))


def assert_nothing_left_behind(launchpad: Any) -> None:
    """No lock, no lease, no launch that runs, nothing to recover."""
    assert launchpad.workflows.count_documents({"locked": {"$exists": True}}) == 0
    assert launchpad.workflows.count_documents({"state": {"$ne": "COMPLETED"}}) == 0
    assert launchpad.db["claims"].count_documents({"state": {"$ne": "done"}}) == 0
    assert launchpad.launches.count_documents({"state": {"$in": ["RUNNING", "RESERVED"]}}) == 0
    assert not recover(launchpad)
