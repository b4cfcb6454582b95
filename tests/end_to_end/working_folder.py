"""A working folder with a store of its own, and the commands a user types in it; the code is the rehearsal engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[2]


class Campaign:
    """The folder.

    Parameters
    ----------
    folder
        Where the launchpad file, the launches and the tables are.
    potcars
        Library of the engine's potentials.
    structures
        Files of workflows/demo to submit.
    flow
        Flow to submit them for.
    """

    def __init__(self, folder: Path, potcars: Path, structures: list[str], flow: str) -> None:
        self.folder, self.structures, self.flow = folder, structures, flow
        self.launchpad = folder / "my_launchpad.yaml"
        self.env = {
            **os.environ,
            "PMG_VASP_PSP_DIR": str(potcars),
            "HIBANA_LAUNCHPAD": str(self.launchpad),
            "HIBANA_VASP_CMD": f"{sys.executable} -m hibana.rehearsal",
            "OMP_NUM_THREADS": "1",
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hibana.cli", *words]

    def hibana(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"hibana {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def submit(self) -> dict:
        files = [str(REPOSITORY / "workflows" / "demo" / name) for name in self.structures]
        words = ["--flow", self.flow, "--protocol", "pbesol-demo", "--calculator", "gpaw-rehearsal", "--json"]
        return json.loads(self.hibana("submit", *files, *words))

    def table(self, name: str) -> pd.DataFrame:
        self.hibana("export", "electronic", "--output", str(self.folder / name), "--include-flagged")
        return pd.read_parquet(self.folder / name / "electronic.parquet").set_index("formula")


def write_potcars(folder: Path) -> Path:
    """The engine's potentials for the demonstration."""
    words = ["--make-potcars", str(folder), "--elements", "Mg,O,Zn"]
    subprocess.run([sys.executable, "-m", "hibana.rehearsal", *words], check=True, capture_output=True)
    return folder


@contextmanager
def campaign_in(folder: Path, potcars: Path, structures: list[str], flow: str) -> Iterator[Campaign]:
    """A campaign with its store up while the block runs."""
    campaign = Campaign(folder, potcars, structures, flow)
    campaign.hibana("store", "up", "--directory", "store", "--launchpad", str(campaign.launchpad))
    try:
        yield campaign
    finally:
        campaign.hibana("store", "down", "--directory", "store")
