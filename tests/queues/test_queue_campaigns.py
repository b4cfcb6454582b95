"""A material through a queue, as a user sends it there: `hibana init`, `hibana doctor`, `hibana submit`, `qlaunch rapidfire`.

The walltime of a job is too short for the first relaxation, so that jobs have to take it up from one another. Slurm runs always
(where its packages can be installed), PBS and Grid Engine with HIBANA_QUEUES=1; pjsub is a stand-in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rigs import ALL, REPOSITORY, only_with_all
from site_folder import MGO, PROGRAMS, SiteFolder

from hibana.documents.properties import ElectronicDoc
from hibana.store.launchpad_file import read_yaml
from size import FULL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PILOT, RESERVE = "my_qadapter.yaml", "reserve_qadapter.yaml"


def launched(site: SiteFolder) -> None:
    """Pilot jobs until nothing is left, one in the queue at a time."""
    words = ["-q", str(site.config / PILOT), "rapidfire", "-m", "1", "--nlaunches", "0", "--sleep", "2", "--timeout", "500"]
    site.qlaunch(*words)


def checked(site: SiteFolder) -> dict[str, str]:
    """States by name of the checks of `hibana doctor`; none may have failed."""
    report = json.loads(site.hibana("doctor", "--json", "--protocol", "pbesol-demo", "--elements", "Mg,O"))
    assert report["ok"], report
    return {check["name"]: check["state"] for check in report["checks"]}


def is_continued(site: SiteFolder) -> None:
    """The first relaxation took more than one run and one job, and no job was killed in the middle of a run."""
    relaxation = site.store.database["tasks"].find_one({"task": "structure_opt", "round": 1})
    assert relaxation["status"] == "converged"
    assert site.ran("relax") > 1
    jobs = list(site.folder.glob("block_*/launcher_*/FW_submit.script"))
    assert len(jobs) > 1
    assert site.store.database["launches"].distinct("state") == ["COMPLETED"]


def is_complete(site: SiteFolder, undisturbed: list[dict[str, Any]]) -> None:
    """The results are those of a campaign without queue and walltime."""
    wait_until(lambda: site.states() == {"COMPLETED"}, "qlaunch does not wait for the last job")
    is_continued(site)
    assert site.ran("relax") > 2
    assert site.results() == undisturbed


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s: {what}"
        time.sleep(0.5)


def test_slurm_pilot_jobs_continue_a_run(slurm, set_up, undisturbed):
    site = set_up(slurm)
    assert checked(site)["queue"] == "ok"
    site.submit()
    launched(site)
    is_complete(site, undisturbed)


@pytest.mark.timeout(3000)
def test_slurm_runs_the_demonstration(slurm, set_up, tmp_path, launchpad):
    """workflows/demo.yaml for MgO, by the rehearsal engine: real calculations, several jobs; HIBANA_QUEUES=1 HIBANA_FULL=1."""
    if not (ALL and FULL):
        pytest.skip("real calculations: HIBANA_QUEUES=1 HIBANA_FULL=1")
    potcars, engine = tmp_path / "engine_potcars", f"{sys.executable} -m hibana.rehearsal"
    subprocess.run([*engine.split(), "--make-potcars", potcars, "--elements", "Mg,O"], check=True, capture_output=True)
    site = set_up(replace(slurm, walltime="00:02:00"), potcars, engine)
    campaign = read_yaml(REPOSITORY / "workflows" / "demo.yaml")
    campaign["fws"][0]["spec"]["_tasks"][0]["structures"] = [str(MGO)]
    (tmp_path / "campaign.yaml").write_text(json.dumps(campaign))
    site.call(PROGRAMS / "lpad", "add", tmp_path / "campaign.yaml")
    words = ["-q", site.config / PILOT, "rapidfire", "-m", "1", "--nlaunches", "infinite", "--sleep", "2"]
    with site.going_on(PROGRAMS / "qlaunch", *words):
        ended = "the calculations of MgO"
        wait_until(lambda: "FIZZLED" in site.states() or list(site.store.properties(ElectronicDoc)), ended, 2400)
        wait_until(lambda: site.states() == {"COMPLETED"}, "the last job ends")
    (electronic,) = site.store.properties(ElectronicDoc)
    assert electronic.calculator == "gpaw-rehearsal"
    assert len(list(site.folder.glob("block_*/launcher_*/FW_submit.script"))) > 1
    assert site.store.database["launches"].distinct("state") == ["COMPLETED"]


def test_slurm_reserved_jobs_are_as_large_as_their_cells_need(slurm, set_up):
    only_with_all()
    site = set_up(slurm)
    (site.config / "resources.yaml").write_text(
        "- {max_atoms: 1, nodes: 1, ntasks_per_node: 1, walltime: '00:01:00'}\n"
        "- {max_atoms: 8, nodes: 1, ntasks_per_node: 2, walltime: '00:01:00'}\n"
    )
    site.submit("--resources", site.config / "resources.yaml")
    site.qlaunch("-r", "-q", str(site.config / RESERVE), "rapidfire", "--nlaunches", "2", "--sleep", "2", "--timeout", "300")
    tasks = site.store.database["tasks"]
    wait_until(lambda: tasks.find_one({"task": "structure_opt", "round": 1}), "the second job ends the relaxation")
    wait_until(lambda: site.store.database["launches"].distinct("state") == ["COMPLETED"], "it ends")
    is_continued(site)
    launches = list(site.store.database["launches"].find({}, {"state_history": 1}))
    assert all("reservation_id" in launch["state_history"][0] for launch in launches)
    scripts = [path.read_text() for path in site.folder.glob("block_*/launcher_*/FW_submit.script")]
    assert all("--ntasks-per-node=2" in text for text in scripts), "MgO has two atoms: the second row"


def test_pbs_pilot_jobs_continue_a_run(pbs, set_up, undisturbed):
    site = set_up(pbs)
    assert checked(site)["queue"] == "ok"
    site.submit()
    launched(site)
    is_complete(site, undisturbed)


def test_grid_engine_pilot_jobs_continue_a_run(gridengine, set_up, undisturbed):
    site = set_up(gridengine)
    assert checked(site)["queue"] == "ok"
    site.submit()
    launched(site)
    is_complete(site, undisturbed)


def test_grid_engine_gives_the_slots_of_a_reserved_job(gridengine, set_up):
    site = set_up(gridengine)
    (site.config / "resources.yaml").write_text("- {nodes: 1, ntasks_per_node: 2, walltime: '00:01:00'}\n")
    site.submit("--resources", site.config / "resources.yaml")
    site.qlaunch("-r", "-q", str(site.config / RESERVE), "rapidfire", "--nlaunches", "1")
    (launch,) = site.store.database["launches"].find({}, {"state_history": 1})
    described = gridengine.ask("qstat", "-j", launch["state_history"][0]["reservation_id"])
    assert "parallel environment:  mpi range: 2" in described
    assert "hard resource_list:         h_rt=60" in described


def test_stand_in_pjsub_pilot_jobs_continue_a_run(pjm, set_up, undisturbed):
    site = set_up(pjm)
    assert checked(site)["queue"] == "ok"
    site.submit()
    launched(site)
    is_complete(site, undisturbed)
    jobs = json.loads((site.folder / "state" / "jobs.json").read_text())
    assert {job["limit"] for job in jobs.values()} == {50}
