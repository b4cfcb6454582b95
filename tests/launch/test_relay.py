"""VASP on compute nodes without a route to the database: a relay that has no launchpad, and hibana beside it that has."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from farm import FAKE_VASP, MGO, STEPS_OF_MGO, wait_until

from hibana.core.errors import HibanaError
from hibana.launch.relay import SILENT_VARIABLE, Spool, Watch, find_relay, serve

pytestmark = pytest.mark.timeout(600)


@contextmanager
def serving(folder, *words, **more):
    """A relay in an environment that names no database."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HIBANA")} | more
    command = [sys.executable, "-m", "hibana.cli", "relay", "serve", str(folder), *words]
    process = subprocess.Popen(command, env=env, start_new_session=True, cwd="/")
    try:
        yield process
    finally:
        process.terminate()
        process.wait(120)


def asking(folder, *command, cwd, **more):
    with (cwd / "out").open("w") as out, (cwd / "err").open("w") as err:
        words = [sys.executable, "-m", "hibana.cli", "relay", "ask", str(folder), *command]
        return subprocess.Popen(words, cwd=cwd, stdout=out, stderr=err, env={**os.environ, **more})


def test_a_command_runs_there_and_its_status_and_output_come_back(tmp_path):
    spool = tmp_path / "spool"
    with serving(spool, "--cores", "3", "--timeout", "100"):
        relay = find_relay(spool, 60)
        assert relay.cores == 3
        assert 60 < relay.ends - time.time() <= 100
        script = "pwd; echo $OMP_NUM_THREADS; echo trouble >&2; exit 7"
        asked = asking(spool, "sh", "-c", script, cwd=tmp_path, OMP_NUM_THREADS="5")
        assert asked.wait(120) == 7
        assert (tmp_path / "out").read_text().split() == [str(tmp_path), "5"]
        assert "trouble" in (tmp_path / "err").read_text()
        with pytest.raises(subprocess.CalledProcessError):  # one relay a folder
            subprocess.run([sys.executable, "-m", "hibana.cli", "relay", "serve", spool], check=True, capture_output=True)
        # told to end, and given up for another in the same folder
        sleeping = asking(spool, "sh", "-c", "echo $$ > pid; sleep 300", cwd=tmp_path)
        pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 180, "the command"))
        sleeping.terminate()
        assert sleeping.wait(120) == 143
        assert not alive(pid)
        (tmp_path / "pid").unlink()
        sleeping = asking(spool, "sh", "-c", "echo $$ > pid; sleep 300", cwd=tmp_path)
        pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 180, "the command"))
        sleeping.kill()
        sleeping.wait()
        assert asking(spool, "true", cwd=tmp_path).wait(120) == 0
        assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_command_that_nobody_waits_for_ends(tmp_path):
    spool = tmp_path / "spool"
    with serving(spool, "--cores", "1", **{SILENT_VARIABLE: "30"}):
        find_relay(spool, 180)
        asked = asking(spool, "sh", "-c", "echo $$ > pid; sleep 600", cwd=tmp_path)
        pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 180, "the command"))
        asked.kill()
        asked.wait()
        wait_until(lambda: not alive(pid), 180, "the command to end")


def test_a_folder_of_others_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(HibanaError, match="HIB-251"):
        Spool(tmp_path / "open")
    with pytest.raises(HibanaError, match="HIB-252"):
        find_relay(tmp_path / "nobody", 1)


def test_a_folder_is_made_for_its_owner_alone(tmp_path):
    before = os.umask(0o002)
    try:
        spool = Spool(tmp_path / "made" / "here")
    finally:
        os.umask(before)
    assert spool.folder.stat().st_mode & 0o777 == 0o700


def test_a_file_that_cannot_be_read_now_is_not_there(tmp_path):
    spool = Spool(tmp_path / "spool")
    (spool.folder / "relay.json").mkdir()
    assert spool.read("relay.json") is None


def said(pid, beat):
    """What a relay says."""
    return {"host": "node", "pid": pid, "cores": 1, "ends": None, "beat": beat, "notice": False}


def test_another_relay_in_its_place_means_that_it_is_gone(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.write("relay.json", said(1, 0))
    watch = Watch(spool.folder)
    spool.write("relay.json", said(1, 1))
    assert watch.look() == (False, False)
    spool.write("relay.json", said(2, 2))
    assert watch.look() == (True, False)


def test_who_asked_does_not_wait_for_the_answer_of_another_relay(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.write("relay.json", said(1, 0))
    asked = asking(spool.folder, "true", cwd=tmp_path, **{SILENT_VARIABLE: "3"})
    wait_until(lambda: spool.names("asked"), 180, "the request")
    beats = itertools.count()

    def has_ended():
        spool.write("relay.json", said(2, next(beats)))
        return asked.poll() is not None

    try:
        wait_until(has_ended, 180, "the one who asked to give up")
    finally:
        asked.kill()
        asked.wait()
    assert asked.returncode == 143
    assert "HIB-252" in (tmp_path / "err").read_text()


def test_who_asked_before_the_relay_began_learns_that_it_knows_nothing_of_it(tmp_path):
    spool = Spool(tmp_path / "spool")
    asked = asking(spool.folder, "true", cwd=tmp_path)
    wait_until(lambda: spool.names("asked"), 180, "the request")
    try:
        with serving(spool.folder, "--cores", "1"):
            assert asked.wait(120) == 143
    finally:
        asked.kill()
        asked.wait()
    assert "HIB-252" in (tmp_path / "err").read_text()


def test_a_relay_that_is_heard_of_late_is_not_replaced(tmp_path, monkeypatch):
    """A network file system may show its beat many seconds late."""
    spool = Spool(tmp_path / "spool")
    spool.write("relay.json", said(1, 0))
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if sum(slept) > 20:
            spool.write("relay.json", said(1, 1))

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(HibanaError, match=r"HIB-251.*node"):
        serve(spool.folder, 1)


def test_a_command_in_a_directory_that_is_not_there_does_not_end_the_relay(tmp_path):
    spool = Spool(tmp_path / "spool")
    asked = {
        "command": ["true"],
        "directory": str(tmp_path / "gone"),
        "output": os.devnull,
        "errors": os.devnull,
        "environment": {},
    }
    with serving(spool.folder, "--cores", "1"):
        find_relay(spool.folder, 60)
        spool.write("beats/lost", 0)
        spool.write("asked/lost.json", asked)
        assert wait_until(lambda: spool.read("answered/lost.json"), 180, "an answer") == {"status": 127}
        spool.write("beats/next", 0)
        spool.write("asked/next.json", {**asked, "directory": str(tmp_path)})
        assert wait_until(lambda: spool.read("answered/next.json"), 180, "an answer") == {"status": 0}


def relayed(farm):
    """The farm with a worker file whose vasp_cmd goes through a relay; the relay's folder."""
    spool = farm.folder / "spool"
    command = f"{sys.executable} -m hibana.cli relay ask {spool} {sys.executable} {FAKE_VASP}"
    farm.fworker.write_text(f"name: login\ncategory: ''\nquery: '{{}}'\nenv:\n  vasp_cmd: {command}\n  cores: 1\n")
    return spool


def test_a_campaign_whose_nodes_do_not_reach_the_database(farm, undisturbed):
    spool = relayed(farm)
    farm.submit()
    with serving(spool, "--cores", "2", FAKE_VASP=str(farm.script), FAKE_VASP_LOG=str(farm.log)):
        said = json.loads(farm.run("--relay", spool, "--json"))
    assert said["packing"]["cores"] == 2
    assert farm.results() == undisturbed
    assert farm.ran() == STEPS_OF_MGO
    assert not Spool(spool).names("asked")


def test_a_relay_that_dies_fails_no_run(farm, undisturbed):
    """kill -9 of the relay in the middle of the first run; the next relay and the next hibana run go on."""
    spool = relayed(farm)
    farm.submit(MGO)
    farm.behave(seconds=300)
    env = {"FAKE_VASP": str(farm.script), "FAKE_VASP_LOG": str(farm.log), SILENT_VARIABLE: "20"}
    farm.env[SILENT_VARIABLE] = "20"
    with serving(spool, "--cores", "1", **env) as relay:
        run = farm.start(*farm.run_command("--relay", spool))
        wait_until(farm.ran, 180, "the first calculation")
        os.killpg(relay.pid, signal.SIGKILL)
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 130, output
    assert farm.states()["MgO relax 1"] == "READY"
    assert "FIZZLED" not in farm.states().values()
    farm.behave()
    farm.env[SILENT_VARIABLE] = "60"
    with serving(spool, "--cores", "1", **env):  # it waits until the first counts as gone
        farm.run("--relay", spool)
    assert farm.results() == undisturbed
