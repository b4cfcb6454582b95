"""Files of a site: examples in fw_config, and what `hibana init` makes of answers.

``python tests/launch/test_site_folders.py`` writes fw_config anew after a template was changed.
"""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from fireworks import FWorker
from fireworks.queue.queue_adapter import QueueAdapterBase
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from fireworks.utilities.fw_serializers import load_object

from hibana.core.errors import HibanaError
from hibana.flows.resources import queue_of, read_resources
from hibana.launch.sites import find_site, pilot_seconds, site_names, write_site
from hibana.store.connection import StoreAddress
from hibana.store.launchpad_file import read_yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "fw_config"
PROGRAMS = Path("/home/me/hibana/.venv/bin")
CLUSTERS = [name for name in site_names() if name != "local"]
ANSWERS = {
    "local": {},
    "slurm": {"queue": "normal"},
    "pbs": {"queue": "normal"},
    "age": {"account": "my-group", "resource": "node_f", "vasp_cmd": "mpirun -np 192 vasp_std", "cores_per_node": "192"},
    "fugaku": {"account": "hp000000", "volumes": "/vol0004"},
}
COMMON = {
    "host": "db.example.org",
    "username": "hibana_user",
    "password": "change me",
    "potcars": "/home/me/potcars",
    "modules": "vasp/6.4.3",
}


def answers_of(site: str) -> dict[str, str]:
    """Answers behind an example of fw_config."""
    return ANSWERS[site] if site == "local" else {**COMMON, **ANSWERS[site]}


def example(site: str) -> dict[str, str]:
    return find_site(site).render(answers_of(site), Path("/home/me/fw_config") / site, PROGRAMS)


@pytest.mark.parametrize("site", site_names())
def test_examples_in_the_repository_are_what_init_writes(site):
    made = example(site)
    there = {path.name: path.read_text() for path in (EXAMPLES / site).iterdir()}
    if site == "local":  # used where it stands by the demonstration: no absolute paths
        made, there = ({name: without_paths(text) for name, text in texts.items()} for texts in (made, there))
    assert there == made


def without_paths(text: str) -> list[str]:
    return [line for line in text.splitlines() if "fw_config/local" not in line]


def adapter_of(path: Path) -> QueueAdapterBase:
    """FireWorks looks a plain name up by importing all of its own modules, tests with foreign pytest marks among them."""
    content = read_yaml(path)
    return CommonAdapter.from_dict(content) if content["_fw_name"] == "CommonAdapter" else load_object(content)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    return tmp_path / "site"


@pytest.mark.parametrize("site", CLUSTERS)
@pytest.mark.parametrize("file", ["my_qadapter.yaml", "reserve_qadapter.yaml"])
def test_fireworks_makes_a_job_script_of_every_key(home, site, file, recwarn):
    """FireWorks warns of a key that the template does not know and leaves it out."""
    write_site(find_site(site), answers_of(site), home)
    adapter = adapter_of(home / file)
    adapter["job_name"] = "MgO-relax-1"
    script = adapter.get_script_str("/scratch/launcher_1")
    assert not [str(warning.message) for warning in recwarn if "not present in template" in str(warning.message)]
    assert "24:00:00" in script
    assert "MgO-relax-1" in script
    assert "module load vasp/6.4.3" in script
    assert "cd /scratch/launcher_1" in script
    assert "$$" not in script
    assert ("rlaunch" in script and "singleshot" in script) == file.startswith("reserve")


SIZES = {
    "slurm": ("--nodes=2", "--ntasks-per-node=32"),
    "pbs": ("select=2:ncpus=32:mpiprocs=32",),
    "age": ("-l node_f=2", "# slots 2 192"),
    "fugaku": ("-L node=2", "max-proc-per-node=48"),
}


@pytest.mark.parametrize("site", CLUSTERS)
def test_templates_honour_the_sizes_of_cells(home, site):
    write_site(find_site(site), answers_of(site), home)
    rows = read_resources(home / "resources.yaml")
    adapter = adapter_of(home / "reserve_qadapter.yaml")
    adapter.update(queue_of(rows, 300))
    script = adapter.get_script_str("/scratch")
    assert all(words in script for words in SIZES[site])
    adapter.update(queue_of(rows, 4))
    assert "04:00:00" in adapter.get_script_str("/scratch")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"resource": "node_f", "account": "my-group"}, "-g my-group SCRIPT"),
        ({"resource": "", "account": "", "pe": "mpi"}, "-pe mpi 384 SCRIPT"),
        ({"resource": "", "account": "it's", "pe": "mpi"}, "-g it's -pe mpi 384 SCRIPT"),
    ],
)
def test_grid_engine_gets_group_and_slots_from_the_wrapper(home, tmp_path, answers, words):
    write_site(find_site("age"), answers_of("age") | answers | {"nodes": "2"}, home)
    script = tmp_path / "script"
    script.write_text(adapter_of(home / "my_qadapter.yaml").get_script_str("/scratch"))
    qsub = tmp_path / "stand_in" / "qsub"
    qsub.parent.mkdir()
    qsub.write_text('#!/bin/sh\necho "$@"\n')
    qsub.chmod(0o755)
    env = {"PATH": f"{qsub.parent}:/usr/bin:/bin"}
    done = subprocess.run([home / "qsub_hibana", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == words.replace("SCRIPT", str(script))


@pytest.mark.parametrize("site", site_names())
def test_files_are_read_by_fireworks_and_hibana(home, site):
    write_site(find_site(site), answers_of(site), home)
    address = StoreAddress.from_launchpad_file(home / "my_launchpad.yaml")
    assert address.name == "hibana"
    assert address.password == (None if site == "local" else "change me")
    worker = FWorker.from_file(str(home / "my_fworker.yaml"))
    assert worker.env["cores"] == {"local": 1, "age": 192, "fugaku": 48}.get(site, 32)
    assert stat.S_IMODE((home / "my_launchpad.yaml").stat().st_mode) == 0o600


@pytest.mark.parametrize("password", ['it\'s: "#x" {y}', "0123", "null", "ends with \\", "@ä%"])
def test_values_come_back_as_they_were_given(home, password):
    write_site(find_site("slurm"), {**answers_of("slurm"), "password": password, "vasp_cmd": "bash -c 'exec $VASP'"}, home)
    assert str(StoreAddress.from_launchpad_file(home / "my_launchpad.yaml").password) == password
    assert FWorker.from_file(str(home / "my_fworker.yaml")).env["vasp_cmd"] == "bash -c 'exec $VASP'"


def test_paths_with_spaces_work_in_files_and_jobs(tmp_path):
    home = tmp_path / "my site"
    write_site(find_site("slurm"), answers_of("slurm"), home)
    assert read_yaml(home / "FW_config.yaml")["LAUNCHPAD_LOC"] == str(home / "my_launchpad.yaml")
    adapter = adapter_of(home / "my_qadapter.yaml")
    assert f"--launchpad '{home}/my_launchpad.yaml'" in adapter["rocket_launch"]


def test_relative_folders_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = write_site(find_site("local"), {}, Path("here"))
    assert all(path.is_absolute() and path.is_file() for path in written.files)
    assert str(tmp_path / "here") in (tmp_path / "here" / "FW_config.yaml").read_text()


def test_nothing_is_overwritten_without_force(home):
    site, answers = find_site("slurm"), answers_of("slurm")
    write_site(site, answers, home)
    write_site(site, answers, home)  # the same again is no change
    worker = home / "my_fworker.yaml"
    worker.write_text("name: mine\n")
    other = {**answers, "queue": "other"}
    with pytest.raises(HibanaError, match=r"HIB-242.*my_fworker"):
        write_site(site, other, home)
    assert worker.read_text() == "name: mine\n"
    assert "queue: normal" in (home / "my_qadapter.yaml").read_text()
    write_site(site, other, home, force=True)
    assert "queue: other" in (home / "my_qadapter.yaml").read_text()


@pytest.mark.parametrize(
    ("site", "answers", "what"),
    [
        ("moon", {}, "no kind of site"),
        ("slurm", {"host": "h"}, "potcars"),
        ("pbs", {"host": "h", "potcars": "/p"}, "queue"),
        ("slurm", {**COMMON, "nodes": "0"}, "nodes"),
        ("slurm", {**COMMON, "nodes": "two"}, "nodes"),
        ("slurm", {**COMMON, "walltime": "a day"}, "walltime"),
        ("slurm", {**COMMON, "vasp_cmd": " "}, "vasp_cmd"),
        ("slurm", {**COMMON, "modules": "vasp\nrm"}, "line break"),
    ],
)
def test_answers_that_cannot_be_right_are_refused(tmp_path, monkeypatch, site, answers, what):
    monkeypatch.delenv("PMG_VASP_PSP_DIR", raising=False)
    with pytest.raises(HibanaError, match="HIB-241") as caught:
        write_site(find_site(site), answers, tmp_path / "site")
    assert what in str(caught.value)
    assert not (tmp_path / "site").exists()


def test_pilot_jobs_end_before_their_walltime():
    assert pilot_seconds("24:00:00") == 86400 - 600
    assert pilot_seconds("00:01:00") == 45


if __name__ == "__main__":
    for name in site_names():
        if name != "local":
            (EXAMPLES / name).mkdir(exist_ok=True)
            for file, text in example(name).items():
                (EXAMPLES / name / file).write_text(text)
