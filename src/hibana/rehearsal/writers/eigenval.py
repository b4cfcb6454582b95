"""EIGENVAL: eigenvalues and occupations with six decimals."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.result import RunResult
from hibana.rehearsal.writers.files import rows
from hibana.rehearsal.writers.kpoints import written_weights


def preamble(result: RunResult, flags: tuple[int, int]) -> str:
    """First five lines of EIGENVAL and DOSCAR: atoms and two flags, volume per atom (Å3) and cell lengths (m)."""
    lattice, atoms = result.steps[-1].lattice, len(result.symbols)
    sizes = [abs(np.linalg.det(lattice)) / atoms, *(np.linalg.norm(lattice, axis=1) * 1e-10)]
    first = "".join(f"{number:5d}" for number in (atoms, atoms, *flags))
    return f"{first}\n" + "".join(f" {size:14.7E}" for size in sizes) + "\n  0.0\n  CAR\n hibana-vasp, not VASP\n"


def eigenval_text(result: RunResult) -> str:
    """EIGENVAL of the last ionic step; the number of electrons is rounded, as the format wants an integer."""
    bands = result.bands
    _, nk, nbands = bands.eigenvalues.shape
    text = [preamble(result, (max(int(result.parameters["NSW"]), 1), result.nspin))]
    text.append(f"{round(result.nelect):7d}{nk:7d}{nbands:7d}\n")
    numbers = np.arange(1, nbands + 1)[:, None]
    template = "%5d " + " %14.6f" * result.nspin + " %10.6f" * result.nspin + "\n"
    for k, (point, weight) in enumerate(zip(bands.kpoints.tolist(), written_weights(result).tolist(), strict=True)):
        text.append("\n" + "".join(f" {number:14.7E}" for number in (*point, weight)) + "\n")
        text.append(rows(template, np.hstack([numbers, bands.eigenvalues[:, k].T, bands.occupations[:, k].T])))
    return "".join(text)
