"""What `hibana doctor` finds: every trap once, and nothing on a machine where all is well."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pymongo import WriteConcern

from hibana.launch.doctor.code import check_code, check_limits, check_worker_file, program_of
from hibana.launch.doctor.database import RECORDS, check_clock, check_database
from hibana.launch.doctor.folder import check_folder
from hibana.launch.doctor.potcars import check_potcars
from hibana.launch.doctor.queue import check_queue
from hibana.launch.doctor.settings import check_settings, config_files, configured_file, known_keys
from hibana.launch.doctor.versions import check_versions, record, versions_here
from hibana.protocol.protocol import load_protocol
from hibana.store.connection import connect

PROTOCOL = load_protocol("pbesol-demo")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A home and a working directory without any FireWorks file, and no job around."""
    for name in ("FW_CONFIG_FILE", "HIBANA_LAUNCHPAD", "HIBANA_VASP_CMD", "SLURM_JOB_ID", "PBS_JOBID", "JOB_ID", "PJM_JOBID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


ENGINE = f"{sys.executable} -m hibana.rehearsal"


def states(checks) -> list[str]:
    return [check.state for check in checks]


def config(text: str) -> Path:
    path = Path("FW_config.yaml")
    path.write_text(text)
    return path.absolute()


GOOD = "PING_TIME_SECS: 60\nRUN_EXPIRATION_SECS: 240\n"


class TestSettings:
    def test_all_well(self):
        assert states(check_settings(config(GOOD), None)) == ["ok"]

    def test_keys_are_those_of_fireworks(self):
        from fireworks import fw_config

        assert {name for name in known_keys() if not hasattr(fw_config, name)} == set()
        assert {"PING_TIME_SECS", "RUN_EXPIRATION_SECS", "QUEUE_UPDATE_INTERVAL", "LAUNCHPAD_LOC"} <= set(known_keys())

    @pytest.mark.parametrize(
        ("text", "state", "what"),
        [
            ("PING_TIME_SEC: 60\n", "failed", "Write PING_TIME_SECS"),
            ("RUN_EXPIRATION_SECS: 240\n", "failed", "taken for lost"),
            ("PING_TIME_SECS: 60\nRUN_EXPIRATION_SECS: 100\n", "failed", "taken for lost"),
            ("PING_TIME_SECS: 60\n", "warning", "RUN_EXPIRATION_SECS is missing"),
            ("PING_TIME_SECS: soon\n", "failed", "not a number"),
            (GOOD + "CONFIG_FILE_DIR: /nowhere\n", "failed", "does not exist"),
            (GOOD + "CONFIG_FILE_DIR: .\n", "warning", "relative"),
            (GOOD + "WFLOCK_EXPIRATION_KILL: true\n", "warning", "locks"),
            ("- 1\n", "failed", "mapping"),
        ],
    )
    def test_traps(self, text, state, what):
        checks = check_settings(config(text), None)
        assert states(checks) == [state]
        assert checks[0].code == "HIB-245"
        assert what in checks[0].what + checks[0].fix

    def test_none_at_all(self):
        assert config_files() == []
        assert states(check_settings(None, None)) == ["warning"]

    def test_a_variable_that_names_nothing(self, monkeypatch):
        monkeypatch.setenv("FW_CONFIG_FILE", "/nowhere/FW_config.yaml")
        assert states(check_settings(None, None)) == ["failed"]

    def test_the_working_directory_goes_before_the_variable(self, tmp_path, monkeypatch):
        other = tmp_path / "FW_config.yaml"
        other.write_text(GOOD)
        monkeypatch.setenv("FW_CONFIG_FILE", str(other))
        assert config_files() == [other]
        here = config(GOOD)
        assert config_files() == [here, other]
        (check,) = check_settings(here, None)
        assert (check.state, "instead of" in check.what) == ("warning", True)

    def test_another_launchpad_than_hibana_s(self, tmp_path):
        (tmp_path / "a.yaml").touch()
        (tmp_path / "b.yaml").touch()
        (check,) = check_settings(config(GOOD + f"LAUNCHPAD_LOC: {tmp_path}/a.yaml\n"), tmp_path / "b.yaml")
        assert check.state == "warning"
        assert states(check_settings(config(GOOD + f"LAUNCHPAD_LOC: {tmp_path}/a.yaml\n"), tmp_path / "a.yaml")) == ["ok"]

    def test_files_are_found_as_fireworks_finds_them(self, tmp_path):
        site = tmp_path / "site"
        site.mkdir()
        (site / "my_fworker.yaml").touch()
        settings = config(GOOD + f"CONFIG_FILE_DIR: {site}\n")
        assert configured_file(settings, "FWORKER_LOC", "my_fworker.yaml") == site / "my_fworker.yaml"
        assert configured_file(settings, "QUEUEADAPTER_LOC", "my_qadapter.yaml") is None


class TestDatabase:
    def test_embedded_server(self, launchpad, database):
        checks = {check.name: check for check in check_database(database, "here")}
        assert {name: check.state for name, check in checks.items()} == {
            "database": "warning",
            "writing": "ok",
            "launchpad": "ok",
            "clock": "ok",
        }
        assert "embedded" in checks["database"].what
        assert database[RECORDS].count_documents({}) == 0

    def test_a_database_that_fireworks_never_saw(self, database):
        checks = {check.name: check.state for check in check_database(database, "here")}
        assert checks["launchpad"] == "warning"

    def test_unacknowledged_writes(self, launchpad, database):
        careless = database.with_options(write_concern=WriteConcern(w=0))
        checks = {check.name: check for check in check_database(careless, "here")}
        assert (checks["writing"].state, checks["writing"].code) == ("failed", "HIB-243")

    @pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (-1, "ok"), (5, "warning"), (-5, "warning"), (90, "failed")])
    def test_clock(self, seconds, state):
        def hello(_command):
            now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
            return {"localTime": now + datetime.timedelta(seconds=seconds)}

        server = SimpleNamespace(client=SimpleNamespace(admin=SimpleNamespace(command=hello)))
        check = check_clock(server, "there")
        assert check.state == state
        if state != "ok":
            assert ("behind" if seconds > 0 else "ahead") in check.what


class TestPotentials:
    def test_library(self, fake_potcars, monkeypatch):
        monkeypatch.setenv("PMG_VASP_PSP_DIR", str(fake_potcars))
        checks, library = check_potcars(PROTOCOL, ["Mg", "O"])
        assert states(checks) == ["ok"]
        assert library.calculator == "gpaw-rehearsal"
        assert set(library.titles) == {"Mg", "O", "Zn", "Al"}

    def test_a_synthetic_library(self, tmp_path, monkeypatch):
        words = ["--mode", "replay", "--make-potcars", str(tmp_path), "--elements", "Mg,O"]
        subprocess.run([*ENGINE.split(), *words], check=True, capture_output=True)
        monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
        (check,), library = check_potcars(PROTOCOL, ["Mg", "O"])
        assert library.calculator == "synthetic"
        assert "synthetic (not VASP's)" in check.what

    def test_missing_elements(self, fake_potcars, monkeypatch):
        monkeypatch.setenv("PMG_VASP_PSP_DIR", str(fake_potcars))
        checks, _ = check_potcars(PROTOCOL, ["Mg", "Ti", "O", "Xx"])
        assert [(check.state, check.code) for check in checks] == [("failed", "HIB-034")]
        assert "Ti, Xx" in checks[0].what

    def test_no_library(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "nowhere"))
        checks, library = check_potcars(PROTOCOL, [])
        assert [(check.state, check.code) for check in checks] == [("failed", "HIB-033")]
        assert library is None

    def test_empty_library(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
        assert [check.code for check in check_potcars(PROTOCOL, [])[0]] == ["HIB-034"]

    def test_the_digest_tells_two_libraries_apart(self, fake_potcars, monkeypatch, tmp_path):
        import shutil

        monkeypatch.setenv("PMG_VASP_PSP_DIR", str(fake_potcars))
        first = check_potcars(PROTOCOL, [])[1].digest
        shutil.copytree(fake_potcars, tmp_path / "copy")
        monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "copy"))
        assert check_potcars(PROTOCOL, [])[1].digest == first
        file = tmp_path / "copy" / "POT_GGA_PAW_PBE_54" / "Mg" / "POTCAR"
        file.write_text(file.read_text().replace("made up\n   1.0", "made up\n   2.0"))
        assert check_potcars(PROTOCOL, [])[1].digest != first


class TestCode:
    @pytest.mark.parametrize(
        ("command", "program"),
        [
            (["vasp_std"], "vasp_std"),
            (["srun", "--cpu-bind=cores", "vasp_std"], "vasp_std"),
            (["mpirun", "-np", "8", "/opt/vasp/bin/vasp_gam"], "/opt/vasp/bin/vasp_gam"),
            (["mpiexec", "./code"], "./code"),
            (["bash", "-c", "exec mpirun -np $NSLOTS vasp_std"], "vasp_std"),
            (["python", "-m", "hibana.rehearsal"], "python"),
        ],
    )
    def test_program_behind_a_command(self, command, program):
        assert program_of(command) == program

    def test_missing_program(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        for where, state in (({"has_queue": True, "in_job": False}, "warning"), ({"has_queue": True, "in_job": True}, "failed")):
            (check,) = check_code({"vasp_cmd": "srun vasp_std"}, None, **where)
            assert (check.state, check.code) == (state, "HIB-246")
            assert "srun and vasp_std" in check.what

    def test_no_command(self):
        assert states(check_code({}, None, has_queue=False, in_job=False)) == ["failed"]

    def test_rehearsal_engine_answers(self):
        command = f"{sys.executable} -m hibana.rehearsal"
        (check,) = check_code({"vasp_cmd": command}, "gpaw-rehearsal", has_queue=False, in_job=False)
        assert check.state == "ok"
        assert check.what.startswith("hibana-vasp")

    def test_rehearsal_engine_that_cannot_start(self):
        (check,) = check_code({"vasp_cmd": f"{sys.executable} -m hibana.rehearsal.nowhere"}, None, has_queue=False, in_job=False)
        assert check.state == "failed"

    def test_potentials_of_another_code(self):
        (check,) = check_code({"vasp_cmd": "vasp_std"}, "gpaw-rehearsal", has_queue=False, in_job=False)
        assert (check.state, "potentials" in check.what) == ("failed", True)

    @pytest.mark.parametrize(
        ("command", "library", "state"),
        [
            ("true", "synthetic", "warning"),
            ("srun vasp_std", "synthetic", "failed"),
            (ENGINE, "synthetic", "failed"),
            (f"{ENGINE} --mode replay", "synthetic", "ok"),
            (f"env HIBANA_VASP_MODE=chaos {ENGINE} --attempts x", "synthetic", "ok"),
            (f"{ENGINE} --mode=replay", "gpaw-rehearsal", "ok"),
            (f"{ENGINE} --mode=gpaw", "gpaw-rehearsal", "ok"),
        ],
    )
    def test_synthetic_potentials_are_not_those_of_vasp(self, command, library, state):
        checks = check_code({"vasp_cmd": command}, library, has_queue=False, in_job=False)
        assert states(checks) == [state]
        assert state == "ok" or "the potentials are synthetic (not VASP's)" in checks[0].what

    @pytest.mark.parametrize(
        ("text", "state"),
        [
            ("name: a\ncategory: ''\nquery: '{}'\nenv: {vasp_cmd: x, cores: 8, threads: 2, our_scratch: /x}\n", "ok"),
            ("name: a\ncategory: [x, y]\nquery: '{}'\n", "ok"),
            ("name: a\ncategory: ''\nquery: '{}'\nenv: {vasp_comd: x}\n", "warning"),
            ("name: a\ncategory: ''\nquery: '{}'\nenv: {cores: many}\n", "failed"),
            ("name: a\ncategory: ''\nquery: {}\n", "failed"),
            ("name: a\ncategry: ''\nquery: '{}'\n", "failed"),
            ("name: a\nquery: '{}'\n", "failed"),
            ("name: a\nenv: {vasp_cmd: x}\n", "failed"),
            ("name: [\n", "failed"),
            ("name: a\nquery: '{}'\nenv: [vasp_cmd]\n", "failed"),
        ],
    )
    def test_worker_file(self, tmp_path, text, state):
        path = tmp_path / "my_fworker.yaml"
        path.write_text(text)
        checks, _ = check_worker_file(path)
        assert states(checks) == [state]

    def test_limits_are_looked_at_for_vasp(self, monkeypatch):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert any("OMP_NUM_THREADS" in check.what for check in check_limits({}, calculator="vasp"))
        assert states(check_limits({}, calculator="gpaw-rehearsal")) == ["skipped"]


class TestQueue:
    ADAPTER = (
        "_fw_name: CommonAdapter\n_fw_q_type: SLURM\nrocket_launch: rlaunch singleshot\nqueue: normal\nwalltime: '01:00:00'\n"
    )

    @pytest.fixture
    def look(self, tmp_path, monkeypatch):
        """Look at an adapter's file where the commands of all queues are stand-ins that answer nothing."""
        folder = tmp_path / "stand_in"
        folder.mkdir()
        for name in ("sbatch", "squeue", "scancel", "qsub", "qstat", "qdel", "pjsub", "pjstat", "pjdel"):
            (folder / name).write_text("#!/bin/sh\nexit 0\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        path = tmp_path / "my_qadapter.yaml"

        def check(text: str):
            path.write_text(text)
            return check_queue(path)

        check.folder = folder
        return check

    def test_all_well(self, look):
        assert states(look(self.ADAPTER)) == ["ok"]

    def test_no_queue(self):
        assert states(check_queue(None)) == ["skipped"]

    @pytest.mark.parametrize(
        ("more", "state", "what"),
        [
            ("ntasks_per_nodes: 8\n", "warning", "Write ntasks_per_node."),
            ("_fw_template_file: /nowhere\n", "failed", "does not exist"),
            ("rocket_launch: null\n", "failed", "rocket_launch"),
            ("rocket_launch: rlaunch -l /nowhere.yaml singleshot\n", "failed", "/nowhere.yaml"),
            ("rocket_launch: hibana run --timeout 3600\n", "warning", "Lower --timeout"),
            ("walltime: 60\n", "warning", "quotes"),
            ("_q_commands_override: {submit_cmd: nowhere-sub}\n", "failed", "nowhere-sub"),
        ],
    )
    def test_traps(self, look, more, state, what):
        key = more.partition(":")[0]
        kept = [line for line in self.ADAPTER.splitlines(keepends=True) if not line.startswith(f"{key}:")]
        found = [check for check in look("".join(kept) + more) if check.state != "ok"]
        assert states(found) == [state]
        assert found[0].code == "HIB-247"
        assert what in found[0].what + found[0].fix

    def test_pbs_without_queue_counts_no_jobs(self, look):
        checks = look(self.ADAPTER.replace("SLURM", "PBS").replace("queue: normal\n", ""))
        assert "warning" in states(checks)

    def test_relative_files_of_a_job(self, look):
        Path("my_launchpad.yaml").touch()
        checks = look(self.ADAPTER.replace("rlaunch", "rlaunch -l my_launchpad.yaml"))
        assert states(checks) == ["warning", "ok"]

    def test_commands_that_are_missing(self, look):
        (look.folder / "scancel").unlink()
        (check,) = look(self.ADAPTER)
        assert (check.state, "scancel" in check.what) == ("failed", True)

    def test_a_queue_that_does_not_answer(self, look):
        (look.folder / "squeue").write_text("#!/bin/sh\nexit 1\n")
        (check,) = look(self.ADAPTER)
        assert (check.state, "does not answer" in check.what) == ("failed", True)

    def test_pjm(self, look):
        assert states(look("_fw_name: '{{hibana.launch.pjm.PJMAdapter}}'\nrocket_launch: x\nelapse: '1:00'\n")) == [
            "warning",
            "ok",
        ]


class TestFolder:
    def test_folder_that_is_still_to_be_made(self, tmp_path):
        (check,) = check_folder(tmp_path / "a" / "b")
        assert check.state in ("ok", "warning")
        assert not (tmp_path / "a").exists()

    def test_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        (check,) = check_folder(tmp_path / "file" / "launches")
        assert (check.state, check.code) == ("failed", "HIB-248")

    @pytest.mark.parametrize(("blocks", "state"), [(10_000, "failed"), (1_000_000, "warning"), (10_000_000, "ok")])
    def test_space(self, tmp_path, monkeypatch, blocks, state):
        free = SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_favail=1_000_000, f_files=2_000_000)
        monkeypatch.setattr(os, "statvfs", lambda _: free)
        assert states(check_folder(tmp_path)) == [state]


class TestVersions:
    HERE = versions_here(PROTOCOL.digest, "abc")

    def test_nobody_recorded(self, database):
        assert states(check_versions(database, self.HERE, has_queue=False)) == ["skipped"]
        assert states(check_versions(database, self.HERE, has_queue=True)) == ["warning"]

    @pytest.mark.parametrize(
        ("change", "state"),
        [({}, "ok"), ({"pymatgen": "2020.1.1"}, "failed"), ({"potentials": "xyz"}, "failed"), ({"python": "3.99"}, "warning")],
    )
    def test_comparison(self, database, change, state):
        record(database, "node", self.HERE | change, [])
        (check,) = check_versions(database, self.HERE, has_queue=True)
        assert check.state == state
        assert "node" in check.where + check.what

    def test_a_worker_recorded_again_replaces_what_it_said(self, database):
        record(database, "node", self.HERE | {"pymatgen": "2020.1.1"}, [])
        record(database, "node", self.HERE, [])
        assert states(check_versions(database, self.HERE, has_queue=True)) == ["ok"]

    def test_what_failed_there_is_told_here(self, database):
        trouble = check_code({}, None, has_queue=True, in_job=True)
        record(database, "node", self.HERE, trouble)
        (check,) = check_versions(database, self.HERE, has_queue=True)
        assert check.state == "failed"
        assert "HIB-246" in check.what


class TestCommand:
    @pytest.fixture
    def doctor(self, tmp_path, launchpad_file, fake_potcars):
        (tmp_path / "work" / "my_fworker.yaml").write_text(
            f"name: here\ncategory: ''\nquery: '{{}}'\nenv:\n  vasp_cmd: {sys.executable} -m hibana.rehearsal\n  cores: 1\n"
        )
        config(GOOD)

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            env = {**os.environ, "PMG_VASP_PSP_DIR": str(fake_potcars), "HIBANA_LAUNCHPAD": str(launchpad_file)}
            command = [sys.executable, "-m", "hibana.cli", "doctor", "--protocol", "pbesol-demo", *words]
            return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

        return run

    def test_all_well_and_recorded(self, doctor, launchpad_file):
        done = doctor("--json", "--record")
        report = json.loads(done.stdout)
        assert done.returncode == 0, report
        assert report["ok"]
        assert report["recorded"] == "here"
        assert {check["state"] for check in report["checks"]} <= {"ok", "warning", "skipped"}
        assert connect(launchpad_file).database[RECORDS].find_one({"_id": "here"})["versions"]["hibana"]
        again = json.loads(doctor("--json").stdout)
        assert [check["state"] for check in again["checks"] if check["name"] == "versions"] == ["ok"]

    def test_what_fails_has_a_number_and_a_way_to_mend_it(self, doctor):
        done = doctor("--elements", "Mg,Ti")
        assert done.returncode == 1
        assert "HIB-034" in done.stdout
        assert "mend:" in done.stdout
        assert "Traceback" not in done.stderr

    def test_a_setting_that_fireworks_refuses_is_told_without_a_traceback(self, doctor):
        config("PING_TIME_SEC: 60\n")
        done = doctor("--json")
        assert done.returncode == 1
        (check,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "settings"]
        assert "PING_TIME_SEC" in check["what"]
        assert "Traceback" not in done.stderr
