"""The fake VASP, whose relaxations go in small ionic steps that take their time; STOPCAR ends them behind a step.

Continued, a relaxation goes on where its CONTCAR is, so a walltime shorter than all steps takes several runs. ``seconds`` of the
script (``FAKE_VASP``) is the time of one ionic step; everything else is at once.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flows"))

import fake_vasp

STRAIN = 0.002
"""Change of the lattice constant in one ionic step."""


class Paced:
    """What the run under way has to do, and how far it came."""

    steps = 1
    done = 1


def ionic_steps(step: str, lattice, frac, volume: float, moves: bool):
    """Cells and energies on the way to the volume, in steps of equal strain."""
    ratio = (volume / (abs(np.linalg.det(lattice)) / len(frac))) ** (1 / 3)
    energy = -6.0 * len(frac)
    Paced.steps = 1 + math.ceil(abs(ratio - 1) / STRAIN - 0.01) if step == "relax" else 1
    if Paced.steps == 1:
        return [(lattice, energy)]
    return [(lattice * (1 + (ratio - 1) * part), energy + (1 - part) * 0.1) for part in np.linspace(0, 1, Paced.steps)]


def work(here: Path, seconds: float) -> bool:
    """Take the time of all ionic steps; True if STOPCAR ended the run before the last."""
    if Paced.steps == 1:
        return False
    for done in range(1, Paced.steps + 1):
        time.sleep(seconds)
        if (here / "STOPCAR").exists():
            (here / "STOPCAR").unlink()
            Paced.done = done
            return done < Paced.steps
    return False


def as_stopped(result, _steps):
    """The ionic steps that were done."""
    return replace(result, steps=result.steps[: Paced.done], ionic_converged=False)


if __name__ == "__main__":
    fake_vasp.ionic_steps, fake_vasp.work, fake_vasp.as_stopped = ionic_steps, work, as_stopped
    sys.exit(fake_vasp.main())
