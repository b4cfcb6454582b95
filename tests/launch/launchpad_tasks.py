"""Firetasks for the tests of the launchpad, and launcher processes that run them.

As a program: ``launchpad_tasks.py launch|stock LAUNCHPAD_FILE DIRECTORY SECONDS`` runs what is ready until nothing is left or
the time is over; ``launchpad_tasks.py add LAUNCHPAD_FILE N`` adds N workflows.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from fireworks import Firework, FWAction, LaunchPad, Workflow, explicit_serialize
from fireworks.core.firework import FiretaskBase
from fireworks.core.fworker import FWorker
from fireworks.core.rocket_launcher import rapidfire
from fireworks.features.dupefinder import DupeFinderBase

from hibana.launch.launchpad import HibanaLaunchPad


@explicit_serialize
class NoteTask(FiretaskBase):
    """Notes in the database that it ran, then returns the action its parameters ask for."""

    optional_params = ["seconds", "fail", "detour", "addition", "update", "push", "defuse"]  # noqa: RUF012

    def run_task(self, fw_spec):
        self.launchpad.db["notes"].insert_one({"fw_id": self.fw_id, "pid": os.getpid(), "got": fw_spec.get("got")})
        time.sleep(self.get("seconds", 0))
        if self.get("fail"):
            raise RuntimeError("asked to fail")
        return FWAction(
            stored_data={"ran": self.fw_id},
            detours=[Workflow([note(name)]) for name in self.get("detour", [])],
            additions=[Workflow([note(name)]) for name in self.get("addition", [])],
            update_spec=self.get("update", {}),
            mod_spec=[{"_push": {"got": word}} for word in self.get("push", [])],
            defuse_children=self.get("defuse", False),
        )


@explicit_serialize
class SameWord(DupeFinderBase):
    """Fireworks with the same word in their spec are duplicates."""

    def query(self, spec):
        return {"launches": {"$ne": []}, "spec.word": spec["word"]}


def note(name, parents=(), spec=None, **parameters):
    """A firework with one NoteTask."""
    fields = {"_add_launchpad_and_fw_id": True, **(spec or {})}
    return Firework([NoteTask(**parameters)], spec=fields, name=name, parents=list(parents) or None)


def chain(seconds=0.0):
    """A -> B, A -> C, B and C -> D."""
    a = note("a", seconds=seconds)
    b, c = note("b", [a], seconds=seconds), note("c", [a], seconds=seconds)
    return Workflow([a, b, c, note("d", [b, c], seconds=seconds)], name="diamond")


def dynamic():
    """What a workflow can do to itself: detour, addition, specs handed on."""
    a = note("a", push=["p"], update={"word": "w"})
    b = note("b", [a], detour=["detour"], push=["q"])
    c = note("c", [b], addition=["addition"])
    return Workflow([a, b, c], name="dynamic")


def quiet():
    """Let FireWorks say errors only."""
    for name in ("launchpad", "rocket.launcher"):
        logger = logging.getLogger(name)
        logger.setLevel("ERROR")
        for handler in logger.handlers:
            handler.setLevel("ERROR")


def open_launchpad(kind, path):
    """hibana's LaunchPad, or FireWorks'."""
    made = (LaunchPad if kind == "stock" else HibanaLaunchPad).from_file(str(path))
    quiet()
    return made


def run_all(launchpad, directory, seconds=60.0):
    """Run what is ready, and what becomes ready, until nothing is left."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    here = Path.cwd()
    try:
        while launchpad.future_run_exists(FWorker()) and time.monotonic() < deadline:
            rapidfire(launchpad, FWorker(), str(directory), max_loops=1, sleep_time=0.05, strm_lvl="ERROR")
    finally:
        os.chdir(here)


if __name__ == "__main__":
    sys.modules["launchpad_tasks"] = sys.modules["__main__"]
    what, file = sys.argv[1], sys.argv[2]
    pad = open_launchpad(what, file)
    if what == "add":
        for _ in range(int(sys.argv[3])):
            pad.add_wf(chain())
    else:
        run_all(pad, sys.argv[3], float(sys.argv[4]))
