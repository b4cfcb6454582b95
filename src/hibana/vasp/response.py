"""What is missing or does not fit among the responses of a run: dielectric tensors, Γ phonons, dielectric function."""

from __future__ import annotations

from typing import Any

import numpy as np

from hibana.vasp.dynmat import frequencies_of
from hibana.vasp.outcar import OutcarData
from hibana.vasp.vasprun import FINITE_DIFFERENCES, VasprunData

SAME_FREQUENCY = 0.01
"""Frequencies of the force constants are those printed within this, THz."""

PHONONS = (5, 6, 7, 8)
"""IBRION that asks for the force constants at Γ."""


def asks_for(settings: dict[str, Any], *tags: str) -> bool:
    """Whether one of some logical INCAR tags is set."""
    return any(settings.get(tag) is True for tag in tags)


def response_warnings(vasprun: VasprunData, outcar: OutcarData | None) -> list[str]:
    """Warnings on responses that were asked for and are missing, and on those that contradict each other.

    Parameters
    ----------
    vasprun
        What vasprun.xml says.
    outcar
        What OUTCAR says; None without a usable one.
    """
    settings, last, warnings = {**vasprun.parameters, **vasprun.incar}, vasprun.last, []
    phonons = settings.get("IBRION") in PHONONS
    if vasprun.complete and asks_for(settings, "LEPSILON", "LCALCEPS"):
        electronic = last.epsilon is not None or (outcar is not None and outcar.epsilon is not None)
        ionic = last.epsilon_ion is not None or (outcar is not None and outcar.epsilon_ion is not None)
        where = "vasprun.xml" if outcar is None else "vasprun.xml and OUTCAR"
        for part, there in (("electronic", electronic), ("ionic", ionic or not phonons)):
            if not there:
                warnings.append(
                    f"the {part} dielectric tensor is not in {where}{', and there is no OUTCAR' if outcar is None else ''}"
                )
    if vasprun.complete and phonons and "force_constants" not in last.tables and "force constants" not in last.damaged:
        warnings.append("the force constants are not in vasprun.xml")
    if settings.get("IBRION") in FINITE_DIFFERENCES and vasprun.n_ionic_steps > 1 and "eigenvalues" in last.tables:
        warnings.append("finite differences: eigenvalues may be those of a displaced cell")
    if "dielectric_energies" in last.tables:
        warnings.append("the dielectric function is that of the density response, not of the current response")
    force_constants = last.tables.get("force_constants")
    printed = None if outcar is None else outcar.frequencies
    if force_constants is not None and printed is not None and len(printed) == len(force_constants):
        difference = float(np.abs(frequencies_of(force_constants, vasprun.masses) - printed).max())
        if difference > SAME_FREQUENCY:
            warnings.append(f"the force constants in vasprun.xml and the frequencies in OUTCAR differ by {difference:.3f} THz")
    return warnings
