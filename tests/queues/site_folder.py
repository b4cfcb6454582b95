"""A folder set up by `hibana init` for a queue, and the commands a user types in it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rigs import REPOSITORY, Rig

from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.store.launchpad_file import read_yaml

MGO = REPOSITORY / "workflows" / "demo" / "MgO.cif"
PACED_VASP = Path(__file__).parent / "paced_vasp.py"
PROGRAMS = Path(sys.executable).parent
QLAUNCH_SECONDS = 600


class SiteFolder:
    """Commands, environment and results.

    Parameters
    ----------
    folder
        Where everything is.
    rig
        The queue; None for runs without one.
    database
        Launchpad file of an empty database.
    store
        The store on it.
    potcars
        Library of the fake VASP's potentials.
    step_seconds
        Time of an ionic step.
    """

    def __init__(self, folder: Path, rig: Rig | None, database: Path, store: Any, potcars: Path, step_seconds: float) -> None:
        self.folder, self.rig, self.store, self.potcars = folder, rig, store, potcars
        self.config = folder / "fw_config"
        self.address = read_yaml(database)
        self.log = folder / "vasp.log"
        script = folder / "script.json"
        script.write_text(json.dumps({"seconds": step_seconds, "volume": 10.5}))
        words = ["env", f"FAKE_VASP={script}", f"FAKE_VASP_LOG={self.log}", sys.executable, str(PACED_VASP)]
        self.vasp_cmd = shlex.join(words)
        self.env = {
            **(rig.env if rig else os.environ),
            "PWD": str(folder),
            "PMG_VASP_PSP_DIR": str(potcars),
            "HIBANA_LAUNCHPAD": str(self.config / "my_launchpad.yaml"),
            "FW_CONFIG_FILE": str(self.config / "FW_config.yaml"),
            "OMP_NUM_THREADS": "1",
        }

    def init(self) -> None:
        """Write the site's files."""
        place = ["--port", str(self.address["port"]), "--database", self.address["name"], "--vasp-cmd", self.vasp_cmd]
        if self.rig is None:
            self.hibana("init", "--site", "local", "--directory", self.config, "--yes", *place)
            return
        queue = ["--host", self.address["host"], "--potcars", self.potcars, "--nodes", 1, "--cores-per-node", 1]
        limits = ["--walltime", self.rig.walltime, *self.rig.options]
        self.hibana("init", "--site", self.rig.site, "--directory", self.config, "--yes", *place, *queue, *limits)

    def hibana(self, *words: str | Path | int, code: int = 0) -> str:
        return self.call(sys.executable, "-m", "hibana.cli", *words, code=code)

    def qlaunch(self, *words: str | Path) -> str:
        return self.call(PROGRAMS / "qlaunch", *words, timeout=QLAUNCH_SECONDS)

    def call(self, *words: str | Path | int, code: int = 0, timeout: float = 300) -> str:
        command = list(map(str, words))
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    @contextmanager
    def going_on(self, *words: str | Path) -> Iterator[None]:
        """A command that runs while the block does."""
        log = (self.folder / "going_on.log").open("w")
        process = subprocess.Popen(list(map(str, words)), cwd=self.folder, env=self.env, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
            log.close()

    def submit(self, *words: str | Path) -> None:
        campaign = ["--flow", "electronic", "--protocol", "pbesol-demo", "--calculator", "gpaw-rehearsal"]
        assert "1 added" in self.hibana("submit", MGO, *campaign, *words)

    def ran(self, step: str) -> int:
        """How often the code was started for a step."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum(line.split("\t")[0] == step for line in lines)

    def states(self) -> set[str]:
        return set(self.store.database["fireworks"].distinct("state"))

    def results(self) -> list[dict[str, Any]]:
        """Property documents without what may differ between two campaigns: times and costs."""
        documents = [doc for kind in (RelaxationDoc, ElectronicDoc) for doc in self.store.properties(kind)]
        return [doc.model_dump(exclude={"built_at"}) for doc in documents]
