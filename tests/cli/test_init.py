"""`hibana init` from flags and from a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from hibana.store.launchpad_file import read_yaml

COMMAND = [sys.executable, "-m", "hibana.cli", "init"]
FLAGS = ["--site", "slurm", "--yes", "--host", "db.example.org", "--potcars", "potcars", "--queue", "normal"]


@pytest.fixture
def init(tmp_path):
    env = {key: value for key, value in os.environ.items() if key != "PMG_VASP_PSP_DIR"}

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            cwd=tmp_path,
            env=env | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    run.folder = tmp_path
    run.env = env
    return run


def test_from_flags(init):
    done = init(*FLAGS, "--directory", "site", "--walltime", "02:00:00", "--json", HIBANA_INIT_PASSWORD="secret")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    site = init.folder / "site"
    assert sorted(report["files"]) == sorted(str(path) for path in site.iterdir())
    assert "secret" not in done.stdout
    launchpad = read_yaml(site / "my_launchpad.yaml")
    assert (launchpad["host"], launchpad["password"]) == ("db.example.org", "secret")
    adapter = read_yaml(site / "my_qadapter.yaml")
    assert (adapter["queue"], adapter["walltime"]) == ("normal", "02:00:00")
    assert f"PMG_VASP_PSP_DIR={init.folder}/potcars" in adapter["pre_rocket"]
    assert any(command.startswith("qlaunch") for command in report["commands"])


def test_the_example_of_the_help_works_as_it_is_printed(init):
    said = " ".join(init("--help", COLUMNS="200").stdout.split())
    example = said.partition("Example: hibana init ")[2].partition("╭")[0].split()
    done = init(*example, HOME=str(init.folder))
    assert done.returncode == 0, done.stderr
    assert f"FW_CONFIG_FILE={init.folder}/fw_config/FW_config.yaml" in done.stdout.replace("~", str(init.folder))


def test_says_what_comes_next(init):
    done = init("--site", "local", "--yes", "--directory", "here")
    assert done.returncode == 0, done.stderr
    assert "hibana store up --port 27411" in done.stdout
    assert f"FW_CONFIG_FILE={init.folder}/here/FW_config.yaml" in done.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--site", "slurm", "--yes"], "HIB-170"),
        (["--site", "slurm"], "HIB-170"),
        (["--site", "moon", "--yes"], "HIB-241"),
        ([*FLAGS, "--walltime", "tomorrow"], "HIB-241"),
        (["--site", "local", "--yes", "--queue", "normal"], "--queue"),
    ],
)
def test_mistakes(init, words, code):
    done = init(*words)
    assert done.returncode == 2
    assert code in done.stderr
    assert "Traceback" not in done.stderr
    assert list(init.folder.iterdir()) == []


def test_files_that_are_there_stay(init):
    (init.folder / "my_fworker.yaml").write_text("name: mine\n")
    done = init(*FLAGS)
    assert (done.returncode, "HIB-242" in done.stderr) == (2, True)
    assert [path.name for path in init.folder.iterdir()] == ["my_fworker.yaml"]
    assert init(*FLAGS, "--force").returncode == 0
    assert read_yaml(init.folder / "my_fworker.yaml")["name"] == "slurm"


def test_asks_in_a_terminal(init):
    """What flags say is not asked; Enter takes the default; a password is not shown."""
    ours, theirs = pty.openpty()
    command = [*COMMAND, "--site", "age", "--directory", "site", "--host", "db.example.org", "--username", "me", "--pe", "mpi"]
    process = subprocess.Popen(command, cwd=init.folder, env=init.env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    answers = ["", "", "top secret", "mpirun vasp_std", "/potcars", "", "", "my-group", "", "", "", "", "12:00:00"]
    shown = b""
    for answer in answers:
        shown += read_until(ours, b": ")
        os.write(ours, answer.encode() + b"\n")
    shown += read_until(ours, None)
    assert process.wait(120) == 0, shown
    assert b"top secret" not in shown
    site = init.folder / "site"
    launchpad, adapter = read_yaml(site / "my_launchpad.yaml"), read_yaml(site / "my_qadapter.yaml")
    assert (launchpad["port"], launchpad["username"], launchpad["password"]) == (27017, "me", "top secret")
    assert read_yaml(site / "my_fworker.yaml")["env"]["vasp_cmd"] == "mpirun vasp_std"
    assert (adapter["ntasks_per_node"], adapter["walltime"]) == (32, "12:00:00")
    assert "group=my-group\npe=mpi\n" in (site / "qsub_hibana").read_text()


def read_until(terminal: int, end: bytes | None) -> bytes:
    """What a terminal shows up to a text; None: to the end of the program."""
    shown = b""
    while end is None or not shown.endswith(end):
        try:
            piece = os.read(terminal, 1024)
        except OSError:  # the program has ended
            break
        if not piece:
            break
        shown += piece
    return shown
