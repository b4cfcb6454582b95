"""Jobs of a real Slurm, cancelled while they wait and while they run, are found and run again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from farm import SCRIPTS, wait_until
from fireworks import Workflow
from launchpad_tasks import note, run_all

from hibana.launch import reconcile as reconciling
from hibana.launch.reconcile import reconcile
from hibana.launch.schedulers import Slurm, scheduler_here, scheduler_on_path

RIG = Path(__file__).resolve().parents[2] / "scripts" / "queues" / "slurm.sh"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin") is None,
        reason="no Slurm on this machine; scripts/queues/slurm.sh up DIR installs it",
    ),
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A Slurm of one node; the environment of its commands."""
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run(["bash", str(RIG), "up", str(folder)], check=True, timeout=120, capture_output=True)
    text = subprocess.run(["bash", "-c", f"source {folder}/env.sh && env -0"], check=True, capture_output=True, text=True).stdout
    yield dict(line.split("=", 1) for line in text.split("\0") if "=" in line)
    subprocess.run(["bash", str(RIG), "down", str(folder)], check=False, timeout=120, capture_output=True)


@pytest.fixture
def slurm(rig, monkeypatch):
    for name, value in rig.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(reconciling, "GRACE_SECONDS", 1.0)
    return scheduler_on_path()


def queue_up(launchpad, launchpad_file, folder, pre_rocket=""):
    """Stock qlaunch in reservation mode: one firework, one job; the job's number."""
    folder.mkdir()
    adapter = folder / "my_qadapter.yaml"
    adapter.write_text(
        f"_fw_name: CommonAdapter\n_fw_q_type: SLURM\nwalltime: '00:05:00'\npre_rocket: '{pre_rocket}'\n"
        f"rocket_launch: {SCRIPTS / 'rlaunch'} -l {launchpad_file} singleshot\n"
    )
    words = [SCRIPTS / "qlaunch", "-l", launchpad_file, "-q", adapter, "--launch_dir", folder, "-r", "singleshot"]
    subprocess.run(words, check=True, cwd=folder, timeout=120, capture_output=True)
    launch = launchpad.launches.find_one({"state_history.reservation_id": {"$exists": True}}, sort=[("launch_id", -1)])
    return str(launch["state_history"][0]["reservation_id"])


def test_cancelled_jobs_of_a_real_queue(launchpad, launchpad_file, slurm, tmp_path):
    assert isinstance(slurm, Slurm)
    assert scheduler_here() is None
    launchpad.bulk_add_wfs([Workflow([note("runs", seconds=200)])])
    running = queue_up(launchpad, launchpad_file, tmp_path / "runs")
    launchpad.bulk_add_wfs([Workflow([note("waits")])])
    waiting = queue_up(launchpad, launchpad_file, tmp_path / "waits", pre_rocket="#SBATCH --begin=now+1hour")
    wait_until(lambda: launchpad.db["notes"].count_documents({}) == 1, 180, "the job to begin")
    assert slurm.job_states([running, waiting, "999999"]) == {running: "running", waiting: "pending", "999999": "gone"}
    assert 100 < Slurm(running).seconds_left() <= 300
    time.sleep(1.5)
    assert not reconcile(launchpad, slurm).mendings
    subprocess.run(["scancel", waiting], check=True)
    wait_until(lambda: slurm.job_states([waiting])[waiting] == "gone", 180, "the waiting job to be gone")
    (found,) = reconcile(launchpad, slurm).mendings
    assert (found.name, found.reason) == ("waits", f"job {waiting} is gone from the queue and has not begun")
    # stock rlaunch, and a task that does not beat: nothing but the queue tells that it has ended
    subprocess.run(["scancel", running], check=True)
    wait_until(lambda: slurm.job_states([running])[running] == "gone", 180, "the running job to be gone")
    assert launchpad.fireworks.find_one({"name": "runs"})["state"] == "RUNNING"
    (found,) = reconcile(launchpad, slurm).mendings
    assert (found.name, found.reason) == ("runs", f"job {running} is gone from the queue")
    launchpad.fireworks.update_one({"name": "runs"}, {"$set": {"spec._tasks.0.seconds": 0}})
    run_all(launchpad, tmp_path / "again")
    assert {fw["name"]: fw["state"] for fw in launchpad.fireworks.find()} == {"runs": "COMPLETED", "waits": "COMPLETED"}
