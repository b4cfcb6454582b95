"""Share of exact exchange of the dielectric-dependent hybrid."""

from __future__ import annotations

import numpy as np

from hibana.documents.crystal import Matrix

VACUUM = 1.0
"""Dielectric constant of empty space, below which no static electronic one can be."""


def exchange_ratio(epsilon: Matrix) -> float:
    """AEXX = 3/tr ε∞: far from an electron and a hole, exact exchange is screened like their Coulomb attraction.

    Parameters
    ----------
    epsilon
        Electronic dielectric tensor with local fields, (3, 3).

    Raises
    ------
    ValueError
        If an eigenvalue is below 1 or is no number, with the reason in words.

    References
    ----------
    J. H. Skone, M. Govoni, G. Galli, Phys. Rev. B 89, 195112 (2014), equation 5.
    """
    tensor = np.asarray(epsilon, dtype=float)
    if not np.all(np.isfinite(tensor)):
        raise ValueError("the electronic dielectric tensor is not finite")
    lowest = float(np.linalg.eigvalsh((tensor + tensor.T) / 2)[0])
    if lowest < VACUUM:
        raise ValueError(f"the electronic dielectric tensor is unphysical: an eigenvalue is {lowest:.3f}, below 1")
    return float(3 / np.trace(tensor))
