"""Vibrations at Gamma and the ions' part of the dielectric tensor."""

from __future__ import annotations

import numpy as np
from scipy.constants import angstrom, atomic_mass, e, epsilon_0

from hibana.rehearsal.result import Floats

TERAHERTZ = float(np.sqrt(e / atomic_mass) / angstrom / (2 * np.pi) / 1e12)
"""Frequency (THz) of 1 u on a spring of 1 eV/Å^2."""

COULOMB = e / (epsilon_0 * angstrom)
"""``e^2 / epsilon_0`` in eV Å."""


def vibrations(force_constants: Floats, masses: Floats) -> tuple[Floats, Floats]:
    """Frequencies and eigenvectors of the dynamical matrix at Gamma.

    Parameters
    ----------
    force_constants
        (3n, 3n), eV/Å^2.
    masses
        (n,), u.

    Returns
    -------
    frequencies
        (3n,), THz, descending, imaginary ones negative.
    eigenvectors
        (3n, n, 3), orthonormal.
    """
    roots = np.repeat(np.sqrt(masses), 3)
    squares, vectors = np.linalg.eigh(force_constants / np.outer(roots, roots))
    frequencies = np.sign(squares) * np.sqrt(np.abs(squares)) * TERAHERTZ
    return frequencies[::-1], vectors.T[::-1].reshape(-1, len(masses), 3)


def without_translations(force_constants: Floats) -> Floats:
    """Force constants (3n, 3n) that a displacement of the whole crystal leaves without force, by projection."""
    kept = _internal(len(force_constants) // 3)
    return np.asarray(kept @ kept.T @ force_constants @ kept @ kept.T)


def ionic_tensor(force_constants: Floats, born_charges: Floats, volume: float) -> Floats:
    """Ions' part of the static dielectric tensor at clamped cell (3, 3).

    ``(e^2 / epsilon_0 V) sum_m S_m S_m / w_m^2`` over the modes m that are no translation, which does not depend on the masses
    (Gonze and Lee, Phys. Rev. B 55, 10355 (1997), eqs. 46-55).

    Parameters
    ----------
    force_constants
        (3n, 3n), eV/Å^2.
    born_charges
        (n, 3, 3), e; rows are the field's direction.
    volume
        Å^3.
    """
    kept = _internal(len(born_charges))
    charges = born_charges.transpose(1, 0, 2).reshape(3, -1) @ kept
    inner = kept.T @ force_constants @ kept
    if not inner.size:
        return np.zeros((3, 3))
    return np.asarray(COULOMB / volume * charges @ np.linalg.pinv(inner, rcond=1e-8, hermitian=True) @ charges.T)


def _internal(n_atoms: int) -> Floats:
    """Orthonormal displacements (3n, 3n - 3) that are orthogonal to translations of the whole crystal."""
    translations = np.tile(np.eye(3), (n_atoms, 1)) / np.sqrt(n_atoms)
    return np.asarray(np.linalg.svd(translations, full_matrices=True)[0][:, 3:])
