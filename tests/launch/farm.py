"""A folder in which hibana and FireWorks are run as a user runs them, with the fake VASP as the code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire

import hibana.vasp.run
from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.launch.recover import recover
from hibana.launch.submit import submit

REPOSITORY = Path(__file__).resolve().parents[2]
FAKE_VASP = REPOSITORY / "tests" / "flows" / "fake_vasp.py"
MGO = REPOSITORY / "workflows" / "demo" / "MgO.cif"
SCRIPTS = Path(sys.executable).parent
STEPS_OF_MGO = ["band", "dos", "hse06", "hse06 semilocal", "relax", "relax"]
"""Runs of the code for one gapped material whose relaxation takes two rounds."""


class Farm:
    """Commands, environment and results."""

    def __init__(self, folder: Path, launchpad_file: Path, launchpad: Any, store: Any, potcars: Path) -> None:
        self.folder = folder
        self.launchpad_file = launchpad_file
        self.launchpad = launchpad
        self.store = store
        self.script = folder / "script.json"
        self.fworker = folder / "my_fworker.yaml"
        self.fworker.write_text(
            f"name: test\ncategory: ''\nquery: '{{}}'\nenv:\n  vasp_cmd: {sys.executable} {FAKE_VASP}\n  cores: 1\n"
        )
        self.log = folder / "vasp.log"
        self.behave()
        self.env = {
            **os.environ,
            "PWD": str(folder),
            "PMG_VASP_PSP_DIR": str(potcars),
            "HIBANA_LAUNCHPAD": str(launchpad_file),
            "FAKE_VASP": str(self.script),
            "FAKE_VASP_LOG": str(self.log),
            "OMP_NUM_THREADS": "1",
        }

    def behave(self, **script: Any) -> None:
        """Say how the fake VASP behaves from now on."""
        self.script.write_text(json.dumps(script))

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start a command in a session of its own, as from another terminal."""
        return subprocess.Popen(
            list(map(str, command)),
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def call(self, *command: str | Path, code: int = 0) -> str:
        """Run a command to its end; its standard output."""
        words = list(map(str, command))
        done = subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def hibana(self, *words: str | Path, code: int = 0) -> str:
        return self.call(sys.executable, "-m", "hibana.cli", *words, code=code)

    def lpad(self, *words: str) -> str:
        return self.call(SCRIPTS / "lpad", "-l", self.launchpad_file, *words)

    def run_command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "hibana.cli", "run", "-w", str(self.fworker), *map(str, words)]

    def run(self, *words: str | Path, code: int = 0) -> str:
        return self.call(*self.run_command(*words), code=code)

    def work(self) -> None:
        """Recover and run everything in this process, with hibana's LaunchPad; quicker than :meth:`run`."""
        here = Path.cwd()
        recover(self.launchpad)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("PMG_VASP_PSP_DIR", "FAKE_VASP", "FAKE_VASP_LOG"):
                patch.setenv(name, self.env[name])
            patch.setattr(hibana.vasp.run, "POLLING_SECONDS", 0.05)
            try:
                worker = FWorker.from_file(str(self.fworker))
                rapidfire(self.launchpad, worker, m_dir=str(self.folder), sleep_time=1, strm_lvl="CRITICAL")
            finally:
                os.chdir(here)

    def submit(self, *files: Path, flow: str = "electronic") -> dict[str, Any]:
        report = submit(files or (MGO,), flow, "pbesol-demo", "gpaw-rehearsal", self.launchpad)
        return report.as_dict()

    def ran(self) -> list[str]:
        """Steps the code was started for, sorted."""
        return sorted(line.split("\t")[0] for line in self.log.read_text().splitlines()) if self.log.exists() else []

    def states(self) -> dict[str, str]:
        return {fw["name"]: fw["state"] for fw in self.launchpad.fireworks.find({}, {"name": 1, "state": 1})}

    def results(self) -> list[dict[str, Any]]:
        """Property documents without what may differ between two campaigns: the time."""
        documents = [doc for kind in (RelaxationDoc, ElectronicDoc) for doc in self.store.properties(kind)]
        return [doc.model_dump(exclude={"built_at"}) for doc in documents]

    def electronic(self) -> ElectronicDoc:
        (doc,) = self.store.properties(ElectronicDoc)
        return doc

    def outcome(self) -> tuple[str, str]:
        (found,) = self.store.query("outcomes", {})
        return found["state"], found["reason"]


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for a condition; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")
