"""FireWorks' offline mode: a job of hibana says that it cannot run there, and what to do instead."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
from pathlib import Path

from farm import MGO, SCRIPTS
from fireworks import FWorker
from fireworks.core import rocket
from fireworks.queue.queue_launcher import setup_offline_job
from monty.io import zopen

from hibana.launch import offline
from hibana.launch.failures import failures

REMEDY = ("hibana relay", "lpad recover_offline", "docs/packing.md")


def reserve(farm, folder) -> int:
    """Reserve the next job for an offline run in a folder, as ``qlaunch -r`` does; the launch."""
    folder.mkdir()
    firework, launch_id = farm.launchpad.reserve_fw(FWorker.from_file(str(farm.fworker)), str(folder))
    here = Path.cwd()
    os.chdir(folder)
    try:
        setup_offline_job(farm.launchpad, firework, launch_id)
    finally:
        os.chdir(here)
    return launch_id


def test_an_offline_launch_ends_with_a_number_and_the_way_out(farm):
    farm.submit(MGO)
    folder = farm.folder / "offline"
    launch_id = reserve(farm, folder)
    command = [SCRIPTS / "rlaunch", "-w", farm.fworker, "singleshot", "--offline"]
    subprocess.run(command, cwd=folder, env={**farm.env, "PWD": str(folder)}, capture_output=True, check=True)
    said = json.loads((folder / "FW_offline.json").read_text())
    error = said["fwaction"]["stored_data"]["_exception"]["_stacktrace"]
    assert said["state"] == "FIZZLED"
    assert "HIB-253" in error
    assert all(words in error for words in REMEDY)
    assert farm.ran() == []

    farm.lpad("recover_offline")
    assert farm.launchpad.get_launch_by_id(launch_id).state == "FIZZLED"
    assert farm.states()["MgO relax 1"] == "FIZZLED"
    (failure,) = failures(farm.store)
    assert (failure.cause, failure.n) == ("HIB-253", 1)
    farm.launchpad.rerun_fw(farm.launchpad.get_fw_ids({"name": "MgO relax 1"})[0])
    farm.work()
    assert farm.outcome()[0] == "done"


def test_what_is_mended_in_fireworks_is_still_broken(monkeypatch):
    """When this fails FireWorks or monty has mended it: then mend_reading has nothing to do any more and can go."""
    assert inspect.signature(zopen).parameters["mode"].default is inspect.Parameter.empty
    assert "with zopen(fpath) as f_in:" in inspect.getsource(rocket.Rocket)
    monkeypatch.setattr(rocket, "zopen", zopen)
    offline.mend_reading()
    assert rocket.zopen is not zopen
