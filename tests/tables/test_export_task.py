"""Exports as jobs of FireWorks, beside a campaign."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fireworks import FiretaskBase, Firework, FWorker, LaunchPad, Workflow, explicit_serialize
from fireworks.core.rocket_launcher import launch_rocket
from ruamel.yaml import YAML

from hibana.core.errors import HibanaError
from hibana.launch.launcher import Orders
from hibana.launch.recover import recover
from hibana.launch.stopping import STOP, Stopped
from hibana.tables import exporting
from hibana.tables.exporting import NAME, ExportTask
from results import material_id

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def pad(launchpad) -> LaunchPad:
    """The launchpad, under a short name."""
    return launchpad


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where the launcher was started; it works in a folder below."""
    (tmp_path / "launch").mkdir()
    monkeypatch.chdir(tmp_path / "launch")
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


def add(pad: LaunchPad, **fields) -> int:
    task = ExportTask(**{"tables": ["electronic"], "directory": "tables", "every": 0.05, **fields})
    ids = pad.add_wf(Workflow([Firework([task], spec={"_add_launchpad_and_fw_id": True}, name="export")]))
    return next(iter(ids.values()))


@explicit_serialize
class Nothing(FiretaskBase):
    """A job that does nothing."""

    def run_task(self, fw_spec) -> None:
        """Do nothing."""


def job(pad: LaunchPad, **spec) -> int:
    ids = pad.add_wf(Workflow([Firework([Nothing()], spec=spec, name="job")]))
    return next(iter(ids.values()))


def launch(pad: LaunchPad, fw_id: int | None = None) -> None:
    assert launch_rocket(pad, FWorker(), fw_id=fw_id)


def said(pad: LaunchPad, fw_id: int) -> dict:
    (found,) = pad.launches.find({"fw_id": fw_id, "state": "COMPLETED"})
    return found["action"]["stored_data"]


def test_a_campaign_with_nothing_left_to_run_is_exported(campaign, pad, folder) -> None:
    campaign.complete("MgO")
    fw_id = add(pad, tables=["electronic", "materials"], licence="CC-BY-4.0")
    launch(pad, fw_id)
    data = said(pad, fw_id)
    assert data["state"] == "every job has ended"
    first, second = (Path(item["directory"]) for item in data["exports"])
    assert first == folder / "tables" / f"electronic-{data['exports'][0]['snapshot'][:12]}"
    assert len(pq.read_table(first / "electronic.parquet")) == len(pq.read_table(second / "materials.parquet")) == 1
    assert json.loads((first / "manifest.json").read_text())["licence"] == "CC-BY-4.0"


def test_it_gives_way_to_jobs_that_are_ready(campaign, pad, folder) -> None:
    campaign.complete("MgO")
    fw_id = add(pad)
    other = job(pad)
    launch(pad, fw_id)
    assert said(pad, fw_id)["state"] == "gave way to jobs that are ready"
    assert not (folder / "tables").exists()
    launch(pad, other)
    (again,) = pad.fireworks.distinct("fw_id", {"state": "READY"})
    assert pad.fireworks.find_one({"fw_id": again})["spec"]["_tasks"][0]["_fw_name"] == NAME
    launch(pad, again)
    assert said(pad, again)["state"] == "every job has ended"
    assert len(list((folder / "tables").iterdir())) == 1


def test_jobs_that_this_worker_may_not_run_are_waited_for(campaign, pad, folder, monkeypatch) -> None:
    """The export's worker takes exports only; another ends the job meanwhile."""
    campaign.complete("MgO")
    fw_id, other = add(pad), job(pad, _category="vasp")
    pad.fireworks.update_one({"fw_id": fw_id}, {"$set": {"spec._category": "exports"}})
    looked = []

    def sleep(_seconds: float) -> None:
        looked.append(pad.fireworks.find_one({"fw_id": other})["state"])
        if len(looked) == 3:
            pad.fireworks.update_one({"fw_id": other}, {"$set": {"state": "COMPLETED"}})

    monkeypatch.setattr(exporting.time, "sleep", sleep)
    assert launch_rocket(pad, FWorker(category="exports"), fw_id=fw_id)
    assert said(pad, fw_id)["state"] == "every job has ended"
    assert looked[:3] == ["READY"] * 3


@pytest.mark.parametrize(("others", "then"), [(3, 3), (9, 5), (None, None)])
def test_it_comes_behind_what_it_gives_way_to(others, then, campaign, pad, folder) -> None:
    campaign.complete("MgO")
    fw_id = add(pad)
    pad.set_priority(fw_id, 5)
    job(pad, **({} if others is None else {"_priority": others}))
    launch(pad, fw_id)
    (again,) = pad.fireworks.find({"state": "READY", "spec._tasks._fw_name": NAME})
    assert again["spec"].get("_priority") == then


def test_it_beats_and_can_be_stopped_until_the_last_command_has_ended(campaign, pad, folder, monkeypatch) -> None:
    campaign.complete("MgO")
    inside, seen = set(), []

    @contextlib.contextmanager
    def within(name):
        inside.add(name)
        yield
        inside.discard(name)

    def watched(function):
        def call(*args, **options):
            seen.append((function.__name__, sorted(inside)))
            return function(*args, **options)

        return call

    monkeypatch.setattr(exporting, "beating", lambda *_: within("beating"))
    monkeypatch.setattr(STOP, "interruptible", lambda: within("interruptible"))
    monkeypatch.setattr(exporting, "export", watched(exporting.export))
    monkeypatch.setattr(exporting, "_run", watched(exporting._run))
    launch(pad, add(pad))
    assert seen == [("export", ["beating", "interruptible"]), ("_run", ["beating", "interruptible"])]


@pytest.mark.parametrize("end", ["deadline", "notice"])
def test_it_leaves_at_the_end_of_its_worker_and_when_asked_to_stop(end, campaign, pad, folder, monkeypatch) -> None:
    campaign.complete("MgO")
    monkeypatch.setattr(STOP, "interruptible", contextlib.nullcontext)
    if end == "notice":
        monkeypatch.setattr(STOP, "_asked", threading.Event())
        STOP.ask()
    task = ExportTask(tables=["electronic"], directory="tables", every=0.05)
    task.launchpad, task.fw_id = pad, add(pad)
    with pytest.raises(Stopped):
        task.run_task({"_fw_env": {"deadline": 1.0} if end == "deadline" else {}})
    assert not (folder / "tables").exists()


def test_two_exports_do_not_wait_for_each_other(campaign, pad, folder) -> None:
    campaign.complete("MgO")
    ids = [add(pad), add(pad, tables=["structures"])]
    for fw_id in ids:
        launch(pad, fw_id)
        assert said(pad, fw_id)["state"] == "every job has ended"


def test_jobs_of_another_series_are_not_waited_for(campaign, pad, folder) -> None:
    campaign.complete("MgO")
    job(pad, calculator="gpaw-rehearsal")
    fw_id = add(pad, calculator="vasp")
    launch(pad, fw_id)
    assert said(pad, fw_id)["state"] == "every job has ended"


def test_a_number_of_materials_is_enough_while_others_wait(campaign, pad, folder) -> None:
    campaign.complete("MgO")
    campaign.complete("ZnO", status="unavailable", reason="band: killed")
    job(pad)
    early = add(pad, when=2)
    launch(pad, early)
    assert said(pad, early)["state"] == "gave way to jobs that are ready"
    campaign.complete("CaO")
    late = add(pad, when=2)
    launch(pad, late)
    data = said(pad, late)
    assert data["state"] == "2 materials have what each table is about"
    assert data["exports"][0]["n_rows"] == 2


def test_a_campaign_that_comes_no_further_is_exported_as_it_is(campaign, pad, folder) -> None:
    campaign.complete("MgO")
    fw_id = add(pad, when=10)
    launch(pad, fw_id)
    data = said(pad, fw_id)
    assert data["state"] == "every job has ended, with 1 of electronic where 10 were asked for"
    assert data["exports"][0]["n_rows"] == 1


def test_a_vacancy_host_counts_once(vacancies, pad, folder) -> None:
    for formula in ("MgO", "ZnO"):
        vacancies.host(formula)
        for charge in (0, 1, 2):
            vacancies.vacancy(formula, "O1", charge)
    fw_id = add(pad, tables=["oxygen_vacancy"], when=3)
    launch(pad, fw_id)
    assert said(pad, fw_id)["state"].endswith("with 2 of oxygen_vacancy where 3 were asked for")


def test_a_command_is_run_on_the_snapshot(campaign, pad, folder) -> None:
    campaign.complete("MgO")
    code = "import sys, pandas; print(pandas.read_parquet(sys.argv[1] + '/electronic.parquet').formula[0])"
    quoted = code.replace("'", '"\'"')
    fw_id = add(pad, then=[f"{sys.executable} -c '{quoted}' {{electronic}}", "hibana errors 137"])
    launch(pad, fw_id)
    first, second = said(pad, fw_id)["commands"]
    assert Path(first["log"]).read_text() == "MgO\n"
    assert "HIB-137" in Path(second["log"]).read_text(), "hibana is the one that runs here"


SLOW = """
import pathlib, sys, time
here = pathlib.Path(sys.argv[1])
(here / "begun").touch()
time.sleep(4)
(here / "ended").touch()
"""


def test_a_notice_lets_a_command_end_and_begins_no_other(campaign, pad, launchpad_file, folder) -> None:
    """The queue sends its notice to all processes of the job; what is left is done by the next launcher."""
    campaign.complete("MgO")
    (folder / "slow.py").write_text(SLOW)
    command = f"{sys.executable} {folder / 'slow.py'}"
    for name in "ab":
        (folder / name).mkdir()
    fw_id = add(pad, then=[f"{command} {folder / name}" for name in "ab"])
    orders = Orders(str(launchpad_file), None, str(folder))
    with subprocess.Popen(orders.command(), start_new_session=True, stdout=subprocess.DEVNULL, cwd=folder) as launcher:
        end = time.monotonic() + 120
        while not (folder / "a" / "begun").exists() and time.monotonic() < end:
            time.sleep(0.05)
        os.killpg(launcher.pid, signal.SIGUSR1)
        assert launcher.wait(120) == 0
    assert [(folder / name / what).exists() for name, what in (("a", "ended"), ("b", "begun"))] == [True, False]
    recover(pad)
    assert pad.get_fw_by_id(fw_id).state == "READY"
    launch(pad, fw_id)
    assert len(said(pad, fw_id)["commands"]) == 2
    assert (folder / "b" / "ended").exists()


def test_a_command_that_fails_fizzles_the_job_with_what_it_said(campaign, pad, folder) -> None:
    campaign.complete("MgO")
    fw_id = add(pad, then=["hibana errors 999"])
    launch(pad, fw_id)
    assert pad.get_fw_by_id(fw_id).state == "FIZZLED"
    trace = pad.launches.find_one({"fw_id": fw_id})["action"]["stored_data"]["_exception"]["_stacktrace"]
    assert "HIB-144" in trace
    assert "HIB-160" in trace
    assert len(list((folder / "tables").iterdir())) == 1, "the snapshot is there, and is found again when the job is rerun"
    pad.rerun_fw(fw_id)
    launch(pad, fw_id)
    assert len(list((folder / "tables").iterdir())) == 1


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"tabels": ["electronic"]}, "tabels means nothing"),
        ({"tables": []}, "names of tables"),
        ({"tables": ["electronics"]}, "HIB-130"),
        ({"when": "soon"}, "when is 'soon'"),
        ({"when": 0}, "when is 0"),
        ({"every": -1}, "every is -1"),
        ({"then": ["hibana learn regress {dielectric}"]}, "dielectric"),
        ({"then": ["hibana 'learn"]}, "quotation"),
        ({"formats": ["xlsx"]}, "HIB-142"),
    ],
)
def test_a_task_that_makes_no_sense_says_so_at_once(fields, what, campaign, pad, folder) -> None:
    campaign.complete("MgO")
    task = ExportTask({"tables": ["electronic"], "directory": "tables", "every": 0.05, **fields})
    task.launchpad, task.fw_id = pad, 1
    with pytest.raises(HibanaError, match=what) as caught:
        task.run_task({})
    assert caught.value.kind.code in ("HIB-143", "HIB-130", "HIB-142")
    assert not (folder / "tables").exists()


def test_lpad_add_takes_the_file(bulk, pad, launchpad_file, tmp_path) -> None:
    """As it is, but that it looks more often; the series is that of the demo, the numbers are made up here."""
    series = {"calculator": "gpaw-rehearsal", "protocol": "pbesol-demo"}
    bulk.submit("MgO", "bulk", **series)
    bulk.relaxation("MgO", **series)
    bulk.dielectric("MgO", **series)
    content = YAML(typ="safe").load((REPOSITORY / "workflows" / "export.yaml").read_text())
    content["fws"][0]["spec"]["_tasks"][0]["every"] = 0.1
    with (tmp_path / "export.yaml").open("w") as file:
        YAML().dump(content, file)
    environment = {**os.environ, "PWD": str(tmp_path), "OMP_NUM_THREADS": "1"}
    for words in (["lpad", "-l", str(launchpad_file), "add", "export.yaml"], ["rlaunch", "-l", str(launchpad_file), "rapidfire"]):
        done = subprocess.run([SCRIPTS / words[0], *words[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (launched,) = pad.launches.find({})
    assert launched["state"] == "COMPLETED"
    names = {path.name.partition("-")[0] for path in (tmp_path / "tables").iterdir()}
    assert names == {"dielectric", "materials"}
    rows = pq.read_table(next((tmp_path / "tables").glob("dielectric-*")) / "dielectric.parquet").to_pylist()
    assert [row["material_id"] for row in rows] == [material_id("MgO")]
