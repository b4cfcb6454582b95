"""What ``hibana run`` says of jobs that ended with an error, as a user types what it says, on a real server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from fireworks import FiretaskBase, Firework, FWorker, explicit_serialize
from fireworks.scripts.lpad_run import lpad

from hibana.cli.main import main
from hibana.launch.launchpad import HibanaLaunchPad


@explicit_serialize
class Nothing(FiretaskBase):
    """Is never run."""


@pytest.fixture
def launchpad(launchpad_file: Path, tmp_path: Path, monkeypatch) -> HibanaLaunchPad:
    """One job, FIZZLED."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIBANA_LAUNCHPAD", raising=False)
    found = HibanaLaunchPad.connect(launchpad_file)
    found.add_wf(Firework([Nothing()], name="structure_opt"))
    _, launch_id = found.checkout_fw(FWorker(), str(tmp_path))
    found.complete_launch(launch_id, state="FIZZLED")
    return found


def states(launchpad: HibanaLaunchPad) -> list[str]:
    return [document["state"] for document in launchpad.fireworks.find()]


def run(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["run", "--directory", "launches", *words])
    assert stop.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("how", ["found", "option", "environment"])
def test_the_printed_command_makes_fizzled_jobs_ready(how: str, launchpad, launchpad_file: Path, monkeypatch, capsys) -> None:
    words: tuple[str, ...] = ()
    if how != "found":
        moved = launchpad_file.parent / "other place" / "pad.yaml"
        moved.parent.mkdir()
        launchpad_file.rename(moved)
        if how == "option":
            words = ("-l", str(moved))
        else:
            monkeypatch.setenv("HIBANA_LAUNCHPAD", str(moved))
    assert states(launchpad) == ["FIZZLED"]
    said = run(capsys, *words)
    assert re.search(r"hibana failures\b", said)
    command = re.search(r"then (lpad .*rerun_fws -s FIZZLED) and hibana run", said)
    assert command is not None, said
    lpad(shlex.split(command[1])[1:])
    assert states(launchpad) == ["READY"]
