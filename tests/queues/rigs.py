"""Queues on this machine: a real Slurm, its PBS commands, a real Grid Engine, and the stand-in for pjsub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts" / "queues"
STAND_IN = Path(__file__).parent / "stand_in_pjm.py"

ALL = bool(os.environ.get("HIBANA_QUEUES"))
"""Whether all queues are set up (``make test-queues``), or the quickest only."""

UP_SECONDS = 300


@dataclass(frozen=True)
class Rig:
    """A queue that is up.

    Parameters
    ----------
    site
        Kind of site, as `hibana init` calls it.
    env
        Environment in which its commands answer.
    options
        Options of `hibana init` for it.
    walltime
        Walltime of a job, hh:mm:ss; Slurm counts in minutes.
    """

    site: str
    env: dict[str, str]
    walltime: str
    options: tuple[str, ...] = field(default=())

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout


def up(name: str, folder: Path, *words: str | Path) -> dict[str, str]:
    """Start a queue by its script; the environment that its env.sh makes. Skips the test where it cannot be had."""
    if os.geteuid() != 0:
        pytest.skip(f"{name}: a queue of one's own needs root")
    if shutil.which("apt-get") is None:
        pytest.skip(f"{name}: this is no Debian system to install a queue on")
    command = [str(SCRIPTS / f"{name}.sh"), "up", str(folder), *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=UP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name}: not set up within {UP_SECONDS} s")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if "cannot be installed" in last or "cannot be fetched" in last or "apt-get update failed" in last:
            pytest.skip(last)
        raise AssertionError(f"{' '.join(command)}\n{done.stderr}")
    shell = f"source {folder}/env.sh && env -0"
    made = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    return dict(pair.split("=", 1) for pair in made.stdout.split("\0") if "=" in pair)


def only_with_all() -> None:
    if not ALL:
        pytest.skip("set up with HIBANA_QUEUES=1 (make test-queues) only")


def down(name: str, folder: Path) -> None:
    subprocess.run([str(SCRIPTS / f"{name}.sh"), "down", str(folder)], capture_output=True, timeout=120, check=False)


def stand_in_pjm(folder: Path) -> Rig:
    """pjsub, pjstat and pjdel in a folder of their own."""
    commands = folder / "stand_in"
    commands.mkdir()
    for command in ("pjsub", "pjstat", "pjdel"):
        script = commands / command
        script.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
        script.chmod(0o755)
    env = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "STAND_IN_PJM": str(folder / "state")}
    return Rig("fugaku", env, "00:00:50", ("--account", "hp000000"))
