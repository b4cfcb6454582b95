"""Answers to fields and displacements: springs between neighbours, charges on the atoms, one oscillator for the electrons.

All tensors are sums over the bonds of the crystal and so have its symmetry. The force constants obey the acoustic sum rule, Born
charges sum to zero, and the dielectric function of an oscillator obeys Kramers-Kronig relations and the f-sum rule exactly; at
zero frequency it is the electronic dielectric tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.replay.question import Question
from hibana.rehearsal.replay.traits import Traits, charges_of
from hibana.rehearsal.result import Floats, Response, Spectrum

REACH = 6.0
"""Longest bond, Å; at it springs have faded to nothing."""

TRANSVERSE = 0.25
"""Stiffness across a bond over that along it."""

COULOMB, TERAHERTZ = 180.95, 15.633302
"""e²/ε0 in eV Å, and the frequency of 1 u on a spring of 1 eV/Å^2 in THz."""

PLASMA = 1378.85
"""Square of the plasma energy of one electron in 1 Å^3, eV^2."""

DAMPING = 0.3
"""Width of the oscillator, eV."""


@dataclass(frozen=True)
class Bonds:
    """Pairs of neighbours: indices of both atoms (n,), unit vectors (n, 3) and stiffness (n,), eV/Å^2; each pair both ways."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    directions: Floats
    stiffness: Floats

    @property
    def squares(self) -> Floats:
        """Stiffness times r̂ r̂ᵀ of every bond, (n, 3, 3)."""
        return np.asarray(self.stiffness[:, None, None] * self.directions[:, :, None] * self.directions[:, None, :])


def bonds_of(lattice: Floats, frac_coords: Floats, traits: Traits) -> Bonds:
    """All bonds up to :data:`REACH` of a periodic crystal."""
    ranges = np.ceil(REACH * np.linalg.norm(np.linalg.inv(lattice), axis=0)).astype(int)
    images = np.array(np.meshgrid(*[np.arange(-n, n + 1) for n in ranges], indexing="ij")).reshape(3, -1).T
    wrapped = frac_coords % 1.0
    apart = (wrapped[None, :, None] - wrapped[:, None, None] + images) @ lattice
    lengths = np.linalg.norm(apart, axis=-1)
    first, second, image = np.nonzero((lengths < REACH) & (lengths > 1e-3))
    length = lengths[first, second, image]
    fading = (1 - length / REACH) ** 2 / (1 - 2.0 / REACH) ** 2
    stiffness = traits.spring * np.exp(-1.5 * (length - 2.0)) * fading
    return Bonds(first, second, apart[first, second, image] / length[:, None], stiffness)


def force_constants(bonds: Bonds, n_atoms: int) -> Floats:
    """Second derivatives of the energy, (3 n, 3 n), eV/Å^2: no energy for moving all atoms together."""
    blocks = (1 - TRANSVERSE) * bonds.squares + TRANSVERSE * bonds.stiffness[:, None, None] * np.eye(3)
    matrix = np.zeros((n_atoms, n_atoms, 3, 3))
    np.add.at(matrix, (bonds.first, bonds.second), -blocks)
    np.add.at(matrix, (bonds.first, bonds.first), blocks)
    springs = matrix.transpose(0, 2, 1, 3).reshape(3 * n_atoms, 3 * n_atoms)
    return np.asarray((springs + springs.T) / 2)


def dielectric_tensor(bonds: Bonds, traits: Traits) -> Floats:
    """Electronic dielectric tensor, (3, 3): its mean is the trait, its shape that of the bonds."""
    shape = bonds.squares.sum(axis=0) / bonds.stiffness.sum()
    return np.asarray(np.eye(3) + (traits.epsilon - 1) * (0.7 * np.eye(3) + 0.9 * shape))


def born_charges(bonds: Bonds, symbols: list[str]) -> Floats:
    """Born charges, (n, 3, 3), e; they sum to zero."""
    n_atoms = len(symbols)
    local = np.zeros((n_atoms, 3, 3))
    np.add.at(local, bonds.first, bonds.squares)
    total = np.trace(local, axis1=1, axis2=2)
    shape = 0.7 * np.eye(3) + 0.9 * local / np.where(total > 0, total, 1.0)[:, None, None]
    charges = np.array(charges_of(symbols))[:, None, None] * shape
    return np.asarray(charges - charges.mean(axis=0))


def response_of(question: Question, traits: Traits, lattice: Floats) -> Response | None:
    """The answer to LEPSILON and IBRION = 5 to 8; None where neither is asked for."""
    electronic = question.flag("LEPSILON")
    ionic = question.integer("IBRION", -1) in (5, 6, 7, 8) and question.integer("NSW", 0) > 0
    if not electronic and not ionic:
        return None
    bonds = bonds_of(lattice, question.frac_coords, traits)
    n_atoms = len(question.frac_coords)
    epsilon = dielectric_tensor(bonds, traits) if electronic else None
    charges = born_charges(bonds, question.symbols) if electronic else None
    rpa = None if epsilon is None else np.eye(3) + 0.95 * (epsilon - np.eye(3))
    if not ionic:
        return Response(epsilon, rpa, charges)
    springs = force_constants(bonds, n_atoms)
    masses = np.repeat([item.mass for item in question.species for _ in range(item.count)], 3)
    values, vectors = np.linalg.eigh(springs / np.sqrt(np.outer(masses, masses)))
    frequencies = np.sign(values) * np.sqrt(np.abs(values)) * TERAHERTZ
    order = np.argsort(-frequencies)
    return Response(
        epsilon,
        rpa,
        charges,
        epsilon_ionic=None if charges is None else _ionic(springs, charges, lattice),
        force_constants=springs,
        frequencies=frequencies[order],
        eigenvectors=vectors.T[order].reshape(3 * n_atoms, n_atoms, 3),
    )


def _ionic(springs: Floats, charges: Floats, lattice: Floats) -> Floats:
    """Ionic dielectric tensor: Z K^-1 Z over the volume, without translations."""
    field = charges.transpose(0, 2, 1).reshape(-1, 3)
    tensor = COULOMB / abs(np.linalg.det(lattice)) * field.T @ np.linalg.pinv(springs, rcond=1e-8, hermitian=True) @ field
    return np.asarray((tensor + tensor.T) / 2)


def spectrum_of(question: Question, traits: Traits, lattice: Floats) -> Spectrum | None:
    """The dielectric function for LOPTICS: an oscillator with all electrons along each principal axis."""
    if not question.flag("LOPTICS"):
        return None
    end = question.number("OMEGAMAX", 80.0)
    energies = np.linspace(0.0, end, max(question.integer("NEDOS", 2001), 2))
    static, axes = np.linalg.eigh(dielectric_tensor(bonds_of(lattice, question.frac_coords, traits), traits))
    plasma = PLASMA * question.number("NELECT", question.valence) / abs(np.linalg.det(lattice))
    centres = plasma / (static - 1)
    main = 1 + plasma / (centres[None, :] - energies[:, None] ** 2 - 1j * DAMPING * energies[:, None])
    tensors = np.einsum("ia,ea,ja->eij", axes, main, axes)
    columns = tensors[:, (0, 1, 2, 0, 1, 2), (0, 1, 2, 1, 2, 0)]
    return Spectrum(energies, np.ascontiguousarray(columns.real), np.ascontiguousarray(columns.imag))
