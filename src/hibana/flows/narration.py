"""What a launcher prints while a calculation runs, so that nobody looks at a silent screen for an hour."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hibana.documents.task import RunDoc

INTERVAL_SECONDS = 20.0
"""Time between two lines about a running calculation."""


@contextmanager
def narrated(name: str, directory: Path, interval: float = INTERVAL_SECONDS) -> Iterator[None]:
    """Print where a calculation is, every so often, while the block runs.

    Parameters
    ----------
    name
        What the calculation is called in the lines.
    directory
        Folder it runs in.
    interval
        Seconds between two lines.
    """
    started, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(interval):
            _say(name, f"{last_step(directory)}, {time.monotonic() - started:.0f} s")

    _say(name, f"running in {directory}")
    narrator = threading.Thread(target=tell, name="narrator", daemon=True)
    narrator.start()
    try:
        yield
    finally:
        over.set()
        narrator.join()


def last_step(directory: Path) -> str:
    """The last step in a folder's OSZICAR, in words."""
    try:
        lines = (directory / "OSZICAR").read_text(errors="replace").splitlines()
    except OSError:
        return "starting"
    ionic = 1
    electronic = None
    for words in map(str.split, lines):
        if "F=" in words:
            ionic, electronic = ionic + 1, None
        elif len(words) > 2 and words[0].endswith(":"):
            electronic = words
    if electronic is None:
        return f"ionic step {ionic} begins"
    return f"ionic step {ionic}, electronic step {electronic[1]}, E = {electronic[2]} eV"


def conclude(name: str, run: RunDoc) -> None:
    """Print how a calculation ended."""
    edges = run.edges
    gap = "" if edges.band_gap is None else f", gap {edges.band_gap:.2f} eV"
    energy = "" if run.energy_per_atom is None else f", {run.energy_per_atom:.4f} eV/atom"
    epsilon = "".join(
        f", {name} {sum(tensor[axis][axis] for axis in range(3)) / 3:.2f}"
        for name, tensor in (("ε∞", run.epsilon_electronic), ("ε ionic", run.epsilon_ionic))
        if tensor is not None
    )
    why = "" if run.failure is None else f" ({run.failure.kind}: {run.failure.message})"
    _say(name, f"{run.status}{why}{energy}{gap}{epsilon}, {run.n_ionic_steps} ionic steps")


def _say(name: str, what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {name}: {what}", flush=True)
