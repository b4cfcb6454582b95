"""The file named WAVECAR: GPAW's own restart file, under the name that workflow tools copy from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.kpoints import unique

NAME = "WAVECAR"

_SAME = 1e-6
"""Largest difference of two cells (Å) or fractional coordinates that are the same structure."""


def save(calculator: Any, directory: Path) -> None:
    """Write density and wave functions, replacing an old file in one step."""
    temporary = directory / f".{NAME}.gpw"
    calculator.write(temporary, mode="all")
    temporary.replace(directory / NAME)


def load(directory: Path) -> Any | None:
    """Restore a calculation, or None where there is no file or it is empty (tools touch one to be safe).

    Raises
    ------
    RehearsalError
        HIB-181 for a file that is not this engine's.
    """
    path = directory / NAME
    if not path.is_file() or path.stat().st_size == 0:
        return None
    from gpaw.new.ase_interface import GPAW

    try:
        return GPAW(path, txt=None)
    except Exception as error:  # whatever a foreign file makes the reader trip over
        raise RehearsalError(
            181, f"{type(error).__name__}: {error}", where=path, fix="Remove it: it is no restart file of hibana-vasp."
        ) from error


def mismatch(calculator: Any, inputs: RunInputs, *, same_sampling: bool) -> str:
    """Why a restored calculation does not belong to these inputs; empty if it does.

    Parameters
    ----------
    calculator
        From :func:`load`.
    inputs
        What the directory asks for.
    same_sampling
        Whether k points and bands must be the same, as for a run that keeps the wave functions.
    """
    atoms, settings = calculator.atoms, inputs.settings
    if atoms.get_chemical_symbols() != inputs.symbols:
        return "it is of another composition"
    shift = atoms.get_scaled_positions() - inputs.frac_coords
    if np.abs(np.array(atoms.cell) - inputs.lattice).max() > _SAME or np.abs(shift - np.round(shift)).max() > _SAME:
        return "it is of another structure"
    parameters = calculator.params
    if abs(parameters.mode.ecut - settings.encut) > 1e-3:
        return f"it was made with ENCUT = {parameters.mode.ecut:g}"
    if calculator.dft.ibzwfs.nspins != settings.nspin:
        return "it was made with another ISPIN"
    if abs(parameters.charge - settings.charge) > 1e-6:
        return "it was made with another NELECT"
    setups = parameters.setups
    if any(setups.get(r.symbol) != r.name for r in inputs.recipes):
        return "it was made with other data sets"
    if same_sampling:
        points = calculator.dft.ibzwfs.ibz.bz.kpt_Kc
        full = inputs.kpoints.full
        if len(points) != len(full) or len(unique(np.concatenate([points, full]))) != len(full):
            return "it was made on other k points"
        if calculator.dft.ibzwfs.nbands < settings.nbands:
            return f"it was made with NBANDS = {calculator.dft.ibzwfs.nbands}"
    return ""
