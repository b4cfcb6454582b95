"""Momentum matrix elements between the states of a GPAW calculation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]


def momenta(wave: Any, bra: slice, ket: slice) -> Complex:
    """Matrix elements of ``-i nabla`` at one k point.

    The plane waves give ``k + G``; inside the spheres the data sets' partial waves correct the smooth ones (Gajdos et al.,
    Phys. Rev. B 73, 045112 (2006), section II).

    Parameters
    ----------
    wave
        States of one k point and spin (an item of ``calculator.dft.ibzwfs``).
    bra, ket
        Ranges of bands.

    Returns
    -------
    (n_bra, n_ket, 3)
        1/Bohr.
    """
    plane_waves = wave.psit_nX.desc
    coefficients = wave.psit_nX.data
    left, right = coefficients[bra].conj(), coefficients[ket]
    vectors = plane_waves.reciprocal_vectors()
    elements = np.stack([(left * vectors[:, v]) @ right.T for v in range(3)], axis=-1) * plane_waves.dv
    for atom, setup in enumerate(wave.setups):
        projections = wave.P_ani[atom]
        for v in range(3):
            elements[..., v] -= 1j * (projections[bra].conj() @ setup.nabla_iiv[..., v] @ projections[ket].T)
    return np.asarray(elements)
