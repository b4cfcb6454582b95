"""Volumes of crystals from their compositions: one volume for each element, fitted to known crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hibana.learn.features.composition import element_dictionary, element_fractions
from hibana.learn.features.elements import N_ELEMENTS, property_of

Array = NDArray[np.float64]

STIFFNESS = 0.3
"""Weight of the radius: the sum over crystals of the squared fraction of an element at which they count as much."""

SMALLEST = 0.5
"""Å^3, of any element: hydrogen in a crystal takes some room."""


@dataclass(frozen=True)
class Volumes:
    """Volume of each element in crystals.

    Parameters
    ----------
    of_element
        Å^3 per atom by symbol.
    """

    of_element: Mapping[str, float]

    def of(self, amounts: Mapping[str, float]) -> float:
        """Volume (Å^3) of some atoms."""
        return sum(amount * self.of_element[symbol] for symbol, amount in amounts.items())


def fit_volumes(formulas: Sequence[str], per_atom: Array) -> Volumes:
    """Fit volumes of the elements.

    Least squares in the volume per atom, none below :data:`SMALLEST`, each drawn towards the cube of the covalent radius (times a
    common factor that is fitted first), so that an element that no crystal has gets a volume too.

    Parameters
    ----------
    formulas
        (n,) of the crystals.
    per_atom
        (n,) Å^3 per atom.
    """
    from scipy.optimize import nnls

    fractions = element_fractions(formulas).to_numpy()
    radii = property_of("CovalentRadius", np.arange(1, N_ELEMENTS + 1)) / 100
    cubes = np.where(np.isfinite(radii), radii, np.nanmedian(radii)) ** 3
    along = fractions @ cubes
    prior = np.maximum(cubes * float(along @ per_atom / (along @ along)), SMALLEST)
    weight = np.sqrt(STIFFNESS)
    rows = np.vstack([fractions, weight * np.eye(N_ELEMENTS)])
    wanted = np.concatenate([per_atom - fractions.sum(axis=1) * SMALLEST, weight * (prior - SMALLEST)])
    found = nnls(rows, wanted)[0] + SMALLEST
    symbols = [entry.name for entry in element_dictionary()]
    return Volumes(dict(zip(symbols, found.tolist(), strict=True)))
