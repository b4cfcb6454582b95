"""The queue adapter for pjsub, with stand-ins for Fujitsu's commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from fireworks.utilities.fw_serializers import load_object

from hibana.core.errors import HibanaError
from hibana.launch.pjm import PJMAdapter

LISTED = """JOB_ID     JOB_NAME   MD ST  USER     START_DATE      ELAPSE_LIM NODE_REQUIRE    VNODE  CORE V_MEM
238        job.sh     NM RUN user1    11/17 09:01:41  0001:00:00 12:2x3x2        -      -    -
239        bulk.sh    BU QUE user1    (--/-- --:--)   0001:00:00 12:2x3x2        -      -    -
240        step.sh    ST HLD user1    (--/-- --:--)   0001:00:00 2               -      -    -
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A PATH on which a command prints what the test says."""
    folder = tmp_path / "stand_in"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, out: str, status: int = 0, err: str = "") -> None:
        (folder / "out").write_text(out)
        (folder / "err").write_text(err)
        (folder / name).write_text(f"#!/bin/sh\ncat {folder}/out\ncat {folder}/err >&2\nexit {status}\n")
        (folder / name).chmod(0o755)

    return make


@pytest.fixture
def adapter() -> PJMAdapter:
    keys = {"account": "hp000000", "queue": "small", "nodes": 2, "ntasks_per_node": 48, "walltime": "24:00:00"}
    return PJMAdapter({**keys, "rocket_launch": "rlaunch singleshot", "volumes": None})


def test_job_script(adapter):
    script = adapter.get_script_str("/scratch/launcher_1").splitlines()
    for line in ("-g hp000000", "-L rscgrp=small", "-L node=2", "-L elapse=24:00:00", "--mpi max-proc-per-node=48"):
        assert f"#PJM {line}" in script
    assert not [line for line in script if "GFSCACHE" in line or "$$" in line]
    assert script.index("cd /scratch/launcher_1") < script.index("rlaunch singleshot")


def test_job_number_is_not_that_of_the_message(adapter, stand_in, tmp_path):
    stand_in("pjsub", "[INFO] PJM 0000 pjsub Job 31000001 submitted.\n")
    assert adapter.submit_to_queue(str(tmp_path / "script")) == "31000001"


def test_what_pjsub_says_is_told(adapter, stand_in, tmp_path):
    stand_in("pjsub", "", 1, "[ERR.] PJM 0054 pjsub node=99999 is greater than the upper limit.\n")
    with pytest.raises(HibanaError, match="HIB-240") as caught:
        adapter.submit_to_queue(str(tmp_path / "script"))
    assert "greater than the upper limit" in str(caught.value)


def test_pjsub_that_says_no_number(adapter, stand_in, tmp_path):
    stand_in("pjsub", "[INFO] PJM 0000\n")
    with pytest.raises(HibanaError, match="HIB-240"):
        adapter.submit_to_queue(str(tmp_path / "script"))


def test_missing_pjsub(adapter, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HibanaError, match="HIB-240"):
        adapter.submit_to_queue(str(tmp_path / "script"))


def test_jobs_are_counted(adapter, stand_in):
    stand_in("pjstat", LISTED)
    assert adapter.get_njobs_in_queue() == 3


def test_a_queue_that_does_not_answer_is_not_an_empty_one(adapter, stand_in):
    stand_in("pjstat", "", 1)
    assert adapter.get_njobs_in_queue() is None


def test_fireworks_loads_it_and_copies_it(adapter, tmp_path):
    template = tmp_path / "own.txt"
    template.write_text("own $${launch_dir}\n")
    loaded = load_object({"_fw_name": "{{hibana.launch.pjm.PJMAdapter}}", "_fw_template_file": str(template), "nodes": 1})
    copy = load_object(loaded.to_dict())
    assert isinstance(copy, PJMAdapter)
    assert copy["nodes"] == 1
    assert copy.get_script_str("/x") == f"own {Path('/x')}\n"
