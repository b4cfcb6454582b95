"""Site projections as LORBIT asks for them: by l and m, or summed over m."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.result import ORBITALS, Floats, RunResult

_SHELLS = {"s": slice(0, 1), "p": slice(1, 4), "d": slice(4, 9)}


def resolves_m(result: RunResult) -> bool:
    """Whether LORBIT asks for the magnetic quantum number too (11 and above); 10 asks for s, p and d."""
    return int(result.parameters["LORBIT"]) > 10


def orbital_names(result: RunResult) -> tuple[str, ...]:
    """Names of the columns of a projection."""
    return ORBITALS if resolves_m(result) else tuple(_SHELLS)


def orbital_columns(result: RunResult, array: Floats, axis: int) -> Floats:
    """An array whose ``axis`` runs over :data:`ORBITALS`, with it summed over m where LORBIT asks for that."""
    if resolves_m(result):
        return array
    moved = np.moveaxis(array, axis, -1)
    summed = np.stack([moved[..., shell].sum(axis=-1) for shell in _SHELLS.values()], axis=-1)
    return np.moveaxis(summed, -1, axis)
