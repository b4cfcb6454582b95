"""What a run would cost with VASP: a rule fitted to recorded runs, and how far off it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCALE, BY_POINTS, BY_ELECTRONS, HYBRID = 0.70, 0.26, 0.92, 27.0
"""Core-seconds of an electronic step: SCALE (spins x k points)^BY_POINTS (electrons)^BY_ELECTRONS, times HYBRID for hybrids.

Least squares of the logarithm over 41 public VASP runs (2 to 64 atoms, 8 to 576 electrons, 1 to 1,280 cores, PBE and HSE06)."""

FACTOR = 6.0
"""Two thirds of those runs lie within this factor of the rule, either way: cores used well or badly are most of it."""

RESPONSE_STEPS, RESPONSE_STEPS_BY_ATOM = 50, 4
"""Electronic steps of density-functional perturbation theory, of which the files of a run do not tell the number."""

MODEL = (
    f"{SCALE:g} core-seconds x (spins x k points)^{BY_POINTS:g} x electrons^{BY_ELECTRONS:g} an electronic step, x {HYBRID:g} "
    f"with exact exchange; fitted to 41 recorded VASP runs, two thirds of which are within a factor of {FACTOR:g}"
)
"""The rule in words."""


def core_hours(task: Mapping[str, Any]) -> float:
    """Core-hours of a calculation as the rule has it.

    Parameters
    ----------
    task
        A task document as it is stored.
    """
    incar = task["inputs"]["incar"]
    points = (task.get("arrays", {}).get("kpoint_weights") or {}).get("shape") or (1,)
    sampled = int(incar.get("ISPIN", 1)) * int(points[0])
    per_step = SCALE * sampled**BY_POINTS * float(task["inputs"]["nelect"] or 1.0) ** BY_ELECTRONS
    if incar.get("LHFCALC"):
        per_step *= HYBRID
    steps = max(task["n_ionic_steps"], 1) * max(task["n_electronic_steps"], 1)
    if incar.get("LEPSILON"):
        steps += RESPONSE_STEPS + RESPONSE_STEPS_BY_ATOM * task["n_sites"]
    return float(per_step * steps / 3600)
