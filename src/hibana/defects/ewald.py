"""Electrostatics of a point charge and its periodic images in an anisotropic dielectric, by Ewald sums.

The charge sits at the origin of a lattice, with a uniform background that makes the cell neutral. With the dielectric tensor
ε the potential at r is (Y. Kumagai and F. Oba, Phys. Rev. B 89, 195205 (2014); here in SI units)

    V(r) = e/ε₀ { Σ_R erfc(γ|r-R|) / (4π √det ε |r-R|) + 1/Ω Σ_G exp(-G·ε·G/4γ²) cos(G·r) / G·ε·G - 1/(4Ωγ²) }

with lengths |x| = √(x·ε⁻¹·x). In these lengths the lattice is that of an isotropic dielectric; sums over spheres in them
converge for every tensor at the same pace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

ACCURACY = 15.0
"""Default of the reach of both sums, pydefect's."""

DOUBLE = 6.5
"""Reach beyond which no term changes a double: erfc(6.5) = 4e-20."""


def point_charge_potential(
    lattice: ArrayLike, epsilon: ArrayLike, positions: ArrayLike, *, accuracy: float = ACCURACY, splitting: float = 1.0
) -> Array:
    """Potential of a unit positive charge at the origin, its images and the background.

    Parameters
    ----------
    lattice
        (3, 3) lattice vectors as rows, Å.
    epsilon
        (3, 3) static dielectric tensor in the same Cartesian axes; its symmetric part counts.
    positions
        (n, 3) fractional positions relative to the charge.
    accuracy
        Reach of both sums: terms below about exp(-accuracy²) of the largest are left out. Beyond 6.5 nothing changes.
    splitting
        Multiple of the parameter γ that makes both sums equally long. The result does not depend on it.

    Returns
    -------
    NDArray
        (n,) in V; infinite at the charge. Its average over the cell is zero.

    Raises
    ------
    ValueError
        If the tensor is not positive definite.
    """
    split = _Split.of(lattice, epsilon, accuracy, splitting)
    places = np.asarray(positions, dtype=float).reshape(-1, 3)
    return _volts(split.real(places, skip_origin=False) + split.reciprocal(places) + split.background)


def lattice_energy(lattice: ArrayLike, epsilon: ArrayLike, *, accuracy: float = ACCURACY, splitting: float = 1.0) -> float:
    """Energy of a unit charge in the potential of its images and the background, eV.

    Negative; for a charge q the error of a periodic calculation is q² times it, and the correction the opposite.

    Parameters
    ----------
    lattice, epsilon, accuracy, splitting
        As for :func:`point_charge_potential`.

    Raises
    ------
    ValueError
        If the tensor is not positive definite.
    """
    split = _Split.of(lattice, epsilon, accuracy, splitting)
    origin = np.zeros((1, 3))
    at_charge = split.real(origin, skip_origin=True) + split.reciprocal(origin) + split.background + split.own
    return float(_volts(at_charge)[0] / 2)


def is_positive(epsilon: ArrayLike) -> bool:
    """Whether a dielectric tensor (3, 3) is finite and positive definite."""
    tensor = np.asarray(epsilon, dtype=float)
    return tensor.shape == (3, 3) and bool(np.isfinite(tensor).all()) and bool(np.linalg.eigvalsh((tensor + tensor.T) / 2)[0] > 0)


@dataclass(frozen=True)
class _Split:
    """The two sums in the metric of the dielectric tensor; energies in units of e²/ε₀ over Å."""

    cell: Array
    volume: float
    root: float
    gamma: float
    reach: float

    @classmethod
    def of(cls, lattice: ArrayLike, epsilon: ArrayLike, accuracy: float, splitting: float) -> _Split:
        if not is_positive(epsilon):
            raise ValueError("the dielectric tensor is not positive definite")
        tensor = np.asarray(epsilon, dtype=float)
        values, axes = np.linalg.eigh((tensor + tensor.T) / 2)
        cell = np.asarray(lattice, dtype=float) @ (axes / np.sqrt(values)) @ axes.T
        root = float(np.sqrt(values.prod()))
        scaled_volume = float(abs(np.linalg.det(cell)))
        gamma = splitting * np.sqrt(np.pi) / np.cbrt(scaled_volume)
        return cls(cell, scaled_volume * root, root, gamma, min(accuracy, DOUBLE))

    def real(self, places: Array, *, skip_origin: bool) -> Array:
        """Sum over lattice vectors, (n,)."""
        cartesian = (places - np.rint(places)) @ self.cell
        cutoff = self.reach / self.gamma
        points = _points(self.cell, cutoff + float(np.linalg.norm(cartesian, axis=1).max(initial=0.0)))
        vectors = points[points.any(axis=1) | (not skip_origin)] @ self.cell
        squares = ((cartesian[:, None] - vectors[None]) ** 2).sum(axis=2)
        sites, near = np.nonzero(squares <= cutoff**2)
        distance = np.sqrt(squares[sites, near])
        with np.errstate(divide="ignore"):
            terms = _erfc(self.gamma * distance) / distance
        return np.asarray(np.bincount(sites, terms, minlength=len(places)) / (4 * np.pi * self.root))

    def reciprocal(self, places: Array) -> Array:
        """Sum over reciprocal lattice vectors, (n,)."""
        reciprocal = np.asarray(2 * np.pi * np.linalg.inv(self.cell).T, dtype=float)
        indices = _points(reciprocal, 2 * self.gamma * self.reach)
        indices = indices[len(indices) // 2 + 1 :]
        squares = ((indices @ reciprocal) ** 2).sum(axis=1)
        weights = 2 * np.exp(-squares / (4 * self.gamma**2)) / squares
        return np.asarray(np.cos(2 * np.pi * places @ indices.T) @ weights / self.volume)

    @property
    def background(self) -> float:
        """Potential of the background and the Gaussian charges, which makes the average zero."""
        return -1 / (4 * self.volume * self.gamma**2)

    @property
    def own(self) -> float:
        """Potential of the Gaussian charge at its own centre, to be taken away."""
        return float(-self.gamma / (2 * np.pi**1.5 * self.root))


def _points(cell: Array, radius: float) -> NDArray[np.int64]:
    """Integer triples (n, 3) of the lattice points within a sphere, ascending: the last half are the negatives of the first."""
    most = np.floor(radius * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(int)
    axes = [np.arange(-number, number + 1) for number in most]
    triples = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(triples[((triples @ cell) ** 2).sum(axis=1) <= radius**2], dtype=np.int64)


def _erfc(values: Array) -> Array:
    from scipy.special import erfc

    return np.asarray(erfc(values))


def _volts(values: Array) -> Array:
    from scipy.constants import angstrom, e, epsilon_0

    return np.asarray(values * e / (epsilon_0 * angstrom))
