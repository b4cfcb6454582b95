"""Orbital characters of the band edges: shares of s, p, d and f, and of the elements, at VBM and CBM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ORBITALS = "spdf"

WIDTH = 0.5
"""How far the density of states counts as the band edge, eV. Chosen among widths from 0.1 to 10 eV because it gives the
published s share of MgO's CBM; no other compound has been compared."""


@dataclass(frozen=True)
class EdgeCharacter:
    """Character of one band edge.

    Parameters
    ----------
    s, p, d, f
        Shares of the orbitals over all elements, sum 1.
    elements
        Shares of s p d f of each element; the sum over all elements is 1.
    """

    s: float
    p: float
    d: float
    f: float
    elements: dict[str, tuple[float, float, float, float]]

    @classmethod
    def of(cls, weights: Array, elements: Sequence[str]) -> EdgeCharacter | None:
        """Character from weights (n_elements, 4) on any scale; None where they are nothing or no numbers."""
        total = weights.sum()
        if not np.isfinite(total) or total <= 0:
            return None
        shares = weights / total
        s, p, d, f = (float(share) for share in shares.sum(axis=0))
        return cls(s, p, d, f, {name: _four(row) for name, row in zip(elements, shares, strict=True)})


def window_character(
    energies: Array, partial_dos: Array, elements: Sequence[str], edge: float, side: int, *, width: float = WIDTH
) -> EdgeCharacter | None:
    """Character of the density of states from a band edge to ``width`` inside the band.

    The published characters of oxides (Y. Kumagai et al., Phys. Rev. Mater. 5, 123803 (2021)) do not say how they were taken.
    Those of single states they cannot be: the published s share of MgO's CBM is 0.88, and the state at Γ has s character
    alone. A window of 0.5 eV gives 0.883; that the published numbers were made so is an inference from this one value.

    Parameters
    ----------
    energies
        (ne,), eV, evenly spaced.
    partial_dos
        (n_elements, nspin, 4, ne).
    elements
        Elements in the order of ``partial_dos``.
    edge
        Energy of the VBM or CBM in the same run, eV.
    side
        -1 for the VBM, whose band lies below it; +1 for the CBM.
    width
        Depth of the window, eV.

    Returns
    -------
    EdgeCharacter or None
        None if the energies do not reach over the window, or nothing is there.
    """
    low, high = sorted((edge, edge + side * width))
    if energies[0] > low or energies[-1] < high:
        return None
    inside = (energies >= low) & (energies <= high)
    return EdgeCharacter.of(partial_dos[..., inside].sum(axis=(1, 3)).astype(float), elements)


def _four(row: Array) -> tuple[float, float, float, float]:
    s, p, d, f = (float(value) for value in row)
    return s, p, d, f
