"""Character of the states: their charge in the atomic spheres by angular momentum.

Inside a sphere a state is a sum of the data set's all-electron partial waves. For each angular momentum the charge is kept
as a Hermitian matrix between its magnetic components, because only the matrix, not its diagonal, can be rotated to
symmetry-equivalent k points and atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.result import ORBITALS, Floats

LMAX = 2
"""Largest angular momentum reported; f components are left out."""

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class SphereMatrices:
    """Charge matrices of the states at some k points.

    ``blocks[ell]`` has shape (nspin, nk, nbands, n_atoms, 2l+1, 2l+1), in electrons, for ell = 0, 1, 2.
    """

    blocks: tuple[Complex, ...]

    def diagonal(self) -> Floats:
        """Charges by orbital (nspin, nk, nbands, n_atoms, 9), in the order of ``ORBITALS``."""
        parts = [np.einsum("...mm->...m", block).real for block in self.blocks]
        return np.concatenate(parts, axis=-1)


def radial_overlaps(setup: Any) -> list[Floats]:
    """Overlaps of a data set's partial waves inside its largest matching radius, one matrix for each ell = 0, 1, 2."""
    data = setup.data
    r, dr = data.rgd.r_g, data.rgd.dr_g
    inside = r <= max(data.rcut_j)
    weight = r[inside] ** 2 * dr[inside]
    overlaps = []
    for ell in range(LMAX + 1):
        waves = np.array([phi[: len(r)][inside] for phi, lj in zip(data.phi_jg, data.l_j, strict=True) if lj == ell])
        overlaps.append((waves * weight) @ waves.T if len(waves) else np.zeros((0, 0)))
    return overlaps


def sphere_matrices(calculator: Any, nbands: int, rotations: Complex | None = None) -> SphereMatrices:
    """Charge matrices at all k points of a GPAW calculation.

    Parameters
    ----------
    calculator
        A converged GPAW calculator.
    nbands
        How many of its bands.
    rotations
        Coefficients (nspin, nk, nbands, n) of its states in those that are wanted, or None for its own.
    """
    states = calculator.dft.ibzwfs
    setups = calculator.dft.setups
    overlaps = {id(setup): radial_overlaps(setup) for setup in setups}
    shape = (states.nspins, len(states.ibz), nbands, len(setups))
    blocks = tuple(np.zeros((*shape, 2 * ell + 1, 2 * ell + 1), dtype=complex) for ell in range(LMAX + 1))
    for wave in states:
        for atom, setup in enumerate(setups):
            amplitudes = wave.P_ani[atom][:nbands]
            if rotations is not None:
                amplitudes = rotations[wave.spin, wave.k].T @ amplitudes
            for ell, components in _by_momentum(setup, amplitudes).items():
                blocks[ell][wave.spin, wave.k, :, atom] = np.einsum(
                    "ncm,cd,ndk->nmk", components.conj(), overlaps[id(setup)][ell], components, optimize=True
                )
    return SphereMatrices(blocks)


def _by_momentum(setup: Any, amplitudes: Complex) -> dict[int, Complex]:
    """Projector amplitudes (nbands, n_projectors) as (nbands, n_channels, 2l+1) for each ell."""
    found: dict[int, list[Complex]] = {}
    start = 0
    for ell in setup.l_j:
        if ell <= LMAX:
            found.setdefault(ell, []).append(amplitudes[:, start : start + 2 * ell + 1])
        start += 2 * ell + 1
    return {ell: np.stack(parts, axis=1) for ell, parts in found.items()}


@dataclass(frozen=True)
class SymmetryOperations:
    """A crystal's operations in GPAW's convention: a position (row) ``s`` goes to ``s U + t``, a k point to ``U k``.

    Parameters
    ----------
    rotations
        ``U`` (n, 3, 3), fractional coordinates.
    atom_maps
        (n, n_atoms): the atom each atom goes to.
    lattice
        Rows are the lattice vectors.
    """

    rotations: NDArray[np.int_]
    atom_maps: NDArray[np.int_]
    lattice: Floats

    @classmethod
    def of(cls, calculator: Any) -> SymmetryOperations:
        """The operations by which a GPAW calculation reduced its k points."""
        symmetries = calculator.dft.ibzwfs.ibz.symmetries
        return cls(symmetries.rotation_scc, symmetries.atommap_sa, np.array(calculator.atoms.cell))

    def orbital_rotation(self, operation: int, ell: int) -> Floats:
        """Matrix by which the real harmonics of one l transform (2l+1, 2l+1)."""
        from gpaw.rotation import rotation

        cartesian = np.linalg.inv(self.lattice) @ self.rotations[operation] @ self.lattice
        return np.asarray(rotation(ell, cartesian))

    def apply(self, blocks: tuple[Complex, ...], operation: int) -> tuple[Complex, ...]:
        """Charge matrices of the states moved by one operation."""
        moved = []
        for ell, block in enumerate(blocks):
            turn = self.orbital_rotation(operation, ell)
            moved.append(np.einsum("mi,...ij,kj->...mk", turn, block[..., self.atom_maps[operation], :, :], turn))
        return tuple(moved)

    def average(self, matrices: SphereMatrices) -> SphereMatrices:
        """Charge matrices averaged over all operations: those of the sum over a star of k points."""
        total = [np.zeros_like(block) for block in matrices.blocks]
        for operation in range(len(self.rotations)):
            for sum_, block in zip(total, self.apply(matrices.blocks, operation), strict=True):
                sum_ += block
        return SphereMatrices(tuple(block / len(self.rotations) for block in total))


def at_images(matrices: SphereMatrices, operations: SymmetryOperations, images: list[tuple[int, int, bool]]) -> SphereMatrices:
    """Charge matrices at symmetry images of the calculated k points.

    Parameters
    ----------
    matrices
        At the irreducible points.
    operations
        The operations of the calculation.
    images
        For each wanted point: irreducible point, operation, time reversal (:func:`hibana.rehearsal.kpoints.locate`).
    """
    parts = []
    for k, operation, reversed_ in images:
        moved = operations.apply(tuple(block[:, k : k + 1] for block in matrices.blocks), operation)
        parts.append([block.conj() if reversed_ else block for block in moved])
    return SphereMatrices(tuple(np.concatenate([part[ell] for part in parts], axis=1) for ell in range(LMAX + 1)))


def join(parts: list[SphereMatrices]) -> SphereMatrices:
    """Charge matrices of several sets of k points one after the other."""
    blocks = zip(*(part.blocks for part in parts), strict=True)
    return SphereMatrices(tuple(np.concatenate(block, axis=1) for block in blocks))


def charges_by_momentum(characters: Floats, occupations: Floats, weights: Floats) -> Floats:
    """Charge in each sphere by s, p, d (nspin, n_atoms, 3).

    Parameters
    ----------
    characters
        (nspin, nk, nbands, n_atoms, 9).
    occupations
        (nspin, nk, nbands), electrons per state.
    weights
        (nk,), summing to 1.
    """
    orbitals = np.einsum("skbao,skb,k->sao", characters, occupations, weights, optimize=True)
    return np.stack([orbitals[..., 0], orbitals[..., 1:4].sum(-1), orbitals[..., 4 : len(ORBITALS)].sum(-1)], axis=-1)
