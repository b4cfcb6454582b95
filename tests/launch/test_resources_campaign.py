"""Queue resources through a campaign, and the cores of a job that the queue made for one Firework."""

from __future__ import annotations

import json

import pytest
from farm import MGO, SCRIPTS

from hibana.launch.firetasks import run_context

pytestmark = pytest.mark.timeout(600)

TABLE = "- {max_atoms: 1, nodes: 1, ntasks_per_node: 4}\n- {nodes: 2, ntasks_per_node: 16, walltime: '02:00:00'}\n"
CAMPAIGN = """\
fws:
  - fw_id: -1
    name: campaign
    spec:
      _add_launchpad_and_fw_id: true
      _tasks:
        - _fw_name: '{{{{hibana.launch.campaign.CampaignTask}}}}'
          structures: {structures}
          flow: electronic
          protocol: pbesol-demo
          calculator: gpaw-rehearsal
          resources: {resources}
links: {{}}
metadata: {{}}
"""
WANTED = {"nodes": 2, "ntasks_per_node": 16, "walltime": "02:00:00"}


def specs(farm) -> dict[str, dict]:
    return {item["name"]: item["spec"] for item in farm.launchpad.fireworks.find({}, {"name": 1, "spec": 1})}


def test_a_campaign_names_the_table_of_its_site(farm):
    (farm.folder / "resources.yaml").write_text(TABLE)
    (farm.folder / "campaign.yaml").write_text(CAMPAIGN.format(structures=MGO, resources="resources.yaml"))
    farm.lpad("add", "campaign.yaml")
    farm.call(SCRIPTS / "rlaunch", "-l", farm.launchpad_file, "-w", farm.fworker, "rapidfire", "--nlaunches", "1")
    made = specs(farm)
    assert made["MgO relax 1"]["_queueadapter"] == made["MgO band"]["_queueadapter"] == WANTED
    assert "_queueadapter" not in made["MgO collect"]
    assert made["MgO band"]["n_atoms"] == 2


def test_a_table_that_is_none_fails_the_campaign_before_anything_is_added(farm):
    (farm.folder / "resources.yaml").write_text("nodes: 2\n")
    (farm.folder / "campaign.yaml").write_text(CAMPAIGN.format(structures=MGO, resources="resources.yaml"))
    farm.lpad("add", "campaign.yaml")
    farm.call(SCRIPTS / "rlaunch", "-l", farm.launchpad_file, "-w", farm.fworker, "rapidfire", "--nlaunches", "1")
    assert farm.states() == {"campaign": "FIZZLED"}
    (launch,) = farm.launchpad.launches.find({})
    assert "HIB-103" in json.dumps(launch["action"])


def test_the_command_line_takes_the_table(farm):
    path = farm.folder / "resources.yaml"
    path.write_text(TABLE)
    words = ("submit", MGO, "--flow", "electronic", "--protocol", "pbesol-demo", "--calculator", "gpaw-rehearsal")
    farm.hibana(*words, "--resources", path)
    assert specs(farm)["MgO relax 1"]["_queueadapter"] == WANTED
    path.write_text("- nodes\n")
    farm.hibana(*words, "--resources", path, code=2)


@pytest.mark.parametrize(("history", "cores"), [([{"state": "RESERVED", "reservation_id": "17"}], 32), ([], 3)])
def test_cores_are_those_of_the_job_that_the_queue_made_for_it(launchpad, history, cores):
    launchpad.launches.insert_one(
        {
            "fw_id": 5,
            "launch_id": 9,
            "state": "RUNNING",
            "fworker": {"name": "w"},
            "state_history": [*history, {"state": "RUNNING"}],
        }
    )
    spec = {"_fw_env": {"vasp_cmd": "srun vasp_std", "cores": 3, "threads": 2}, "_queueadapter": WANTED}
    assert run_context(launchpad, spec, 5).cores == cores
    assert run_context(launchpad, {"_fw_env": spec["_fw_env"]}, 5).cores == 3
    spec["_fw_env"]["vasp_cmd"] = "srun -c {threads} vasp_std"
    threads = 4 if history else 2
    context = run_context(launchpad, {**spec, "_queueadapter": {**WANTED, "cpus_per_task": 4}}, 5)
    assert (context.cores, context.threads, context.vasp_cmd) == (cores, threads, f"srun -c {threads} vasp_std")
    assert run_context(launchpad, spec, 5).threads == 2
