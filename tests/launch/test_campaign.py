"""The campaign of workflows/*.yaml, as FireWorks' own commands run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fireworks import Firework, LaunchPad, Workflow
from fireworks.core.rocket_launcher import launch_rocket

from hibana.core.errors import HibanaError
from hibana.launch.campaign import CampaignTask, find_structures

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent


def stock(command: str, *words: str, cwd: Path) -> str:
    """One of FireWorks' own commands."""
    environment = {**os.environ, "PWD": str(cwd), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([SCRIPTS / command, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def states(launchpad) -> dict[str, str]:
    return {fw["name"]: fw["state"] for fw in launchpad.fireworks.find({}, {"name": 1, "state": 1})}


def add(launchpad, **fields):
    asked = {"structures": "demo", "flow": "electronic", "protocol": "pbesol-demo", "calculator": "gpaw-rehearsal"}
    spec = {"_add_launchpad_and_fw_id": True}
    launchpad.add_wf(Workflow([Firework([CampaignTask(**{**asked, **fields})], spec=spec, name="campaign")]))


def stored_data(launchpad) -> dict:
    return launchpad.launches.find_one(sort=[("launch_id", -1)])["action"]["stored_data"]


def test_lpad_add_and_rlaunch_take_the_demo_as_it_is(launchpad, launchpad_file, tmp_path, monkeypatch):
    """The launcher is started in the project's folder, as the comment in the file says."""
    project = tmp_path / "project"
    shutil.copytree(REPOSITORY / "workflows", project / "workflows")
    file = str(launchpad_file)
    stock("lpad", "-l", file, "add", "workflows/demo.yaml", cwd=project)
    stock("rlaunch", "-l", file, "rapidfire", "--nlaunches", "1", cwd=project)
    data = stored_data(launchpad)
    assert data["structures"] == [str(project / "workflows" / "demo")]
    assert (data["n_added"], data["n_refused"]) == (2, 0)
    assert {name: state for name, state in states(launchpad).items() if name.startswith("MgO") or name == "demo campaign"} == {
        "demo campaign": "COMPLETED",
        "MgO relax 1": "READY",
        "MgO band": "WAITING",
        "MgO dos": "WAITING",
        "MgO decide": "WAITING",
        "MgO collect": "WAITING",
    }
    listing = stock("lpad", "-l", file, "get_wflows", "-d", "more", cwd=project)
    assert "MgO electronic pbesol-demo hib-" in listing
    assert "READY" in stock("lpad", "-l", file, "get_fws", "-q", '{"name": "MgO relax 1"}', cwd=project)
    assert "COMPLETED" in stock("lpad", "-l", file, "report", cwd=project)

    stock("lpad", "-l", file, "add", "workflows/demo.yaml", cwd=project)
    before = launchpad.workflows.count_documents({})
    monkeypatch.chdir(project)
    launch_rocket(LaunchPad.from_file(file), fw_id=max(launchpad.get_fw_ids()))
    assert launchpad.workflows.count_documents({}) == before
    assert stored_data(launchpad)["n_already_there"] == 2


def test_a_broken_file_is_in_the_stored_data_and_stops_nothing(launchpad, tmp_path, monkeypatch):
    shutil.copy(REPOSITORY / "workflows" / "demo" / "MgO.cif", tmp_path)
    (tmp_path / "broken.cif").write_text("data_x\n")
    monkeypatch.chdir(tmp_path)
    add(launchpad, structures=str(tmp_path))
    launch_rocket(launchpad)
    data = stored_data(launchpad)
    assert data["n_added"] == 1
    assert [(item["code"], Path(item["source"]).name) for item in data["refused"]] == [("HIB-010", "broken.cif")]


def test_a_priority_of_the_campaign_is_that_of_its_workflows(launchpad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add(launchpad, structures=str(REPOSITORY / "workflows" / "demo" / "MgO.cif"))
    launchpad.set_priority(launchpad.get_fw_ids()[0], 7)
    launch_rocket(launchpad)
    assert launchpad.fireworks.count_documents({"spec._priority": 7, "spec.formula": "MgO"}) == 5


@pytest.mark.parametrize("structures", ["nowhere", [], 3, [""]])
def test_a_campaign_without_structures_says_so_with_a_number(launchpad, tmp_path, monkeypatch, structures):
    monkeypatch.chdir(tmp_path)
    add(launchpad, structures=structures)
    launch_rocket(launchpad)
    trace = stored_data(launchpad)["_exception"]["_stacktrace"]
    assert ("HIB-111" if structures == "nowhere" else "HIB-112") in trace
    assert states(launchpad) == {"campaign": "FIZZLED"}


@pytest.mark.parametrize(
    ("flow", "branches", "code"),
    [
        ("bulk", "band", "HIB-112"),
        ("bulk", [1], "HIB-112"),
        ("bulk", ["nope"], "HIB-099"),
        ("bulk", [], "HIB-100"),
        ("electronic", ["band"], "HIB-100"),
    ],
)
def test_branches_that_cannot_be_say_so_with_a_number(launchpad, tmp_path, monkeypatch, flow, branches, code):
    monkeypatch.chdir(tmp_path)
    add(launchpad, structures=str(REPOSITORY / "workflows" / "demo" / "MgO.cif"), flow=flow, branches=branches)
    launch_rocket(launchpad)
    assert code in stored_data(launchpad)["_exception"]["_stacktrace"]
    assert states(launchpad) == {"campaign": "FIZZLED"}


def test_a_misspelt_key_is_not_taken_for_a_campaign_without_it(launchpad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    misspelt = tmp_path / "bulk.yaml"
    misspelt.write_text((REPOSITORY / "workflows" / "bulk.yaml").read_text().replace("branches:", "brnches:"))
    launchpad.add_wf(Workflow.from_file(str(misspelt)))
    launch_rocket(launchpad)
    assert "HIB-112 the campaign cannot be read: brnches" in stored_data(launchpad)["_exception"]["_stacktrace"]
    assert states(launchpad) == {"bulk campaign": "FIZZLED"}


def test_without_its_launchpad_it_says_what_is_missing(tmp_path):
    task = CampaignTask(structures="demo", flow="electronic", protocol="pbesol-demo", calculator="vasp")
    with pytest.raises(HibanaError, match=r"HIB-110.*\n.*\n.*_add_launchpad_and_fw_id"):
        task.run_task({})


class TestFindStructures:
    """Relative paths of a campaign."""

    def make(self, *parts: str, root: Path) -> Path:
        folder = root.joinpath(*parts)
        folder.mkdir(parents=True)
        shutil.copy(REPOSITORY / "workflows" / "demo" / "MgO.cif", folder)
        return folder

    def test_below_the_launcher_s_folder_or_the_project_s_workflows(self, tmp_path):
        inner = self.make("workflows", "demo", root=tmp_path)
        assert find_structures("demo", [tmp_path / "launches", tmp_path]) == inner
        nearer = self.make("launches", "demo", root=tmp_path)
        assert find_structures("demo", [tmp_path / "launches", tmp_path]) == nearer

    def test_a_folder_without_structures_is_not_meant(self, tmp_path):
        (tmp_path / "demo" / "tables").mkdir(parents=True)
        inner = self.make("workflows", "demo", root=tmp_path)
        assert find_structures("demo", [tmp_path]) == inner

    def test_from_a_launch_folder_deep_below_the_project(self, tmp_path, monkeypatch):
        inner = self.make("workflows", "demo", root=tmp_path)
        deep = tmp_path / "demo" / "launches" / "launcher_1"
        deep.mkdir(parents=True)
        monkeypatch.chdir(deep)
        monkeypatch.setenv("PWD", "/")
        assert find_structures("demo") == inner

    def test_the_launcher_s_own_folder_counts_where_the_launch_is_elsewhere(self, tmp_path, monkeypatch):
        inner = self.make("project", "mine", root=tmp_path)
        (tmp_path / "scratch").mkdir()
        monkeypatch.chdir(tmp_path / "scratch")
        monkeypatch.setenv("PWD", str(tmp_path / "project"))
        assert find_structures("mine") == inner

    def test_absolute_and_home(self, tmp_path, monkeypatch):
        inner = self.make("mine", root=tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert find_structures(str(inner)) == find_structures("~/mine") == find_structures("$HOME/mine/MgO.cif").parent

    def test_what_was_tried_is_said(self, tmp_path):
        with pytest.raises(HibanaError, match="HIB-111") as caught:
            find_structures("gone", [tmp_path])
        assert str(tmp_path / "gone") in caught.value.where
        assert str(tmp_path / "workflows" / "gone") in caught.value.where
