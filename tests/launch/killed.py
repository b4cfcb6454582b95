"""Processes that die by SIGKILL just before a given command to the database, and small workflows to try them on."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fireworks import Firework, Workflow
from launchpad_tasks import NoteTask
from pymatgen.core import Lattice, Structure
from pymongo import monitoring

from hibana.launch.launchpad import HibanaLaunchPad

FORK = multiprocessing.get_context("fork")
ELECTRONIC = "electronic"


class Killer(monitoring.CommandListener):
    """Kills its own process when the nth command from now on is about to be sent."""

    def __init__(self, nth: int) -> None:
        self.left = nth
        self.armed = False

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "createIndexes":  # many, and of indexes that are there
            return
        self.left -= self.armed
        if self.armed and self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def is_killed_at(nth: int, launchpad_file: Path, work: Callable[[HibanaLaunchPad], Any]) -> bool:
    """Do something in a process that is killed before its nth command; False if it came to its end before."""

    def child() -> None:
        killer = Killer(nth)
        monitoring.register(killer)
        launchpad = HibanaLaunchPad.from_file(str(launchpad_file))
        killer.armed = True
        work(launchpad)

    process = FORK.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def make_small(monkeypatch: Any, roots: int) -> int:
    """Let submissions add workflows of so many roots with a child in common; the number of their jobs."""
    names = [*(f"root {number}" for number in range(roots)), "child"]

    def to_workflow(flow: Any, *, spec: Any, metadata: Any, ids: Any) -> Workflow:
        fields = {**spec, "_add_launchpad_and_fw_id": True}
        made = [Firework([NoteTask()], spec=fields, name=name, fw_id=next(ids)) for name in names]
        return Workflow(made, dict.fromkeys(made[:-1], made[-1:]), name="small", metadata=dict(metadata))

    flow = SimpleNamespace(jobs=names)
    kind = SimpleNamespace(label=ELECTRONIC, make=lambda *_: flow, check=lambda _: None)
    monkeypatch.setattr("hibana.launch.adding.to_workflow", to_workflow)
    monkeypatch.setattr("hibana.launch.submit.find_flow", lambda *_: kind)
    return len(names)


def crystals(folder: Path, count: int) -> list[Path]:
    """Files of so many different materials."""
    files = []
    for number in range(count):
        files.append(folder / f"{number}.vasp")
        lattice = Lattice.tetragonal(3.0 + 0.1 * number, 4.5)
        Structure(lattice, ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(str(files[-1]), "poscar")
    return files
