"""The independent-particle dielectric constant, integrated finely around each k point by k.p perturbation theory.

A plain sum over a mesh fails for small gaps: the one point at the band edge stands for its whole cell although 1/E^3 falls
off within a fraction of it (ZnO in PBEsol, 4x4x3: 24 instead of 5). The states within the cell of a point follow from those
at the point: in their basis the Hamiltonian at ``k + d`` is ``E + d.p + d^2/2`` with the momentum matrix p, which also gives
the matrix elements there. The cell is the Wigner-Seitz cell of the mesh, so that the crystal's operations hold for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import Bohr
from numpy.typing import NDArray

from hibana.rehearsal.kpoints import Grid
from hibana.rehearsal.result import Floats
from hibana.rehearsal.transitions import momenta

REFINEMENTS = (1, 3, 5, 7)
"""Points along each edge of a cell, one after the other; 1 is the plain sum."""

SETTLED = 0.01
"""Relative change of the dielectric constant's trace at which refining ends."""

BASIS = 144
"""Largest number of bands the states near a point are expanded in."""


@dataclass(frozen=True)
class Head:
    """Independent-particle dielectric tensor (3, 3) by each refinement that was done, and how many points an edge had."""

    tensors: tuple[Floats, ...]
    refinements: tuple[int, ...]

    @property
    def plain(self) -> Floats:
        """By the plain sum over the mesh."""
        return self.tensors[0]

    @property
    def refined(self) -> Floats:
        """By the finest integration."""
        return self.tensors[-1]

    @property
    def uncertainty(self) -> float:
        """Relative change of the trace in the last refinement."""
        return float(abs(np.trace(self.tensors[-1] - self.tensors[-2])) / np.trace(self.tensors[-1]))


def dielectric_head(calculator: Any, grid: Grid, rotations: NDArray[np.int_], filled: list[int]) -> Head:
    """Static dielectric tensor of independent particles, without local fields.

    Parameters
    ----------
    calculator
        A GPAW calculation on the mesh with many bands.
    grid
        The mesh.
    rotations
        The crystal's rotations, fractional coordinates (n, 3, 3); the identity if symmetry is not used.
    filled
        Number of filled bands of each spin.

    Returns
    -------
    Head
        Tensors not yet averaged over the crystal's operations.
    """
    states = calculator.dft.ibzwfs
    lattice = np.array(calculator.atoms.cell) / Bohr
    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    prefactor = 8 * np.pi / abs(np.linalg.det(lattice)) * 2 / len(filled)
    expansions = []
    for wave in states:
        bands = slice(0, min(BASIS, wave.psit_nX.data.shape[0]))
        point = np.array(states.ibz.kpt_kc[wave.k])
        expansions.append((states.ibz.weight_k[wave.k], point, wave.eig_n[bands], momenta(wave, bands, bands), filled[wave.spin]))
    tensors: list[Floats] = []
    done = []
    for count in REFINEMENTS:
        offsets, shares = cell_points(grid, reciprocal, count)
        operations = _mesh_rotations(rotations, grid, count)
        total = np.zeros((3, 3))
        for weight, point, energies, elements, n in expansions:
            for offset, share in _irreducible(point, offsets, shares, operations):
                total += weight * share * _oscillators(energies, elements, offset @ reciprocal, n)
        tensors.append(np.eye(3) + prefactor * total)
        done.append(count)
        if len(tensors) > 1 and abs(np.trace(tensors[-1] - tensors[-2])) < SETTLED * np.trace(tensors[-1]):
            break
    return Head(tuple(tensors), tuple(done))


def cell_points(grid: Grid, reciprocal: Floats, count: int) -> tuple[Floats, Floats]:
    """Points of a ``count`` times finer mesh in the Wigner-Seitz cell of a mesh point.

    Parameters
    ----------
    grid
        The mesh.
    reciprocal
        Rows are the reciprocal-lattice vectors.
    count
        Odd number of points along an edge.

    Returns
    -------
    offsets, shares
        (n, 3) reciprocal-lattice units, and (n,) the share of each, which sum to 1; a point on the surface belongs to several
        cells.
    """
    fine = np.array(list(itertools.product(range(-count, count + 1), repeat=3))) / (count * np.array(grid.divisions))
    neighbours = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3))) / np.array(grid.divisions)
    distances = np.linalg.norm((fine[:, None] - neighbours[None]) @ reciprocal, axis=2)
    own = np.linalg.norm(fine @ reciprocal, axis=1)
    scale = np.linalg.norm(reciprocal / np.array(grid.divisions)[:, None], axis=1).max()
    inside = own <= distances.min(axis=1) + 1e-6 * scale
    ties = (distances[inside] <= own[inside][:, None] + 1e-6 * scale).sum(axis=1)
    return fine[inside], 1 / (ties * count**3)


def _mesh_rotations(rotations: NDArray[np.int_], grid: Grid, count: int) -> Floats:
    """Rotations of k points (with and without inversion) that take the fine mesh to itself (n, 3, 3)."""
    turned = np.linalg.inv(rotations).transpose(0, 2, 1)
    divisions = count * np.array(grid.divisions)
    scaled = turned * divisions[None, :, None] / divisions[None, None, :]
    fitting = turned[np.abs(scaled - np.round(scaled)).max(axis=(1, 2)) < 1e-6]
    return np.unique(np.round(np.concatenate([fitting, -fitting])), axis=0)


def _irreducible(point: Floats, offsets: Floats, shares: Floats, operations: Floats) -> Iterator[tuple[Floats, float]]:
    """Offsets that the operations which keep ``point`` do not relate, each with the share of all its images."""
    moved = operations @ point - point
    keeping = operations[np.abs(moved - np.round(moved)).max(axis=1) < 1e-6]
    images = np.round(np.einsum("sij,nj->nsi", keeping, offsets), 9) + 0.0
    lookup: dict[tuple[float, ...], list[Any]] = {}
    for offset, share, image in zip(offsets, shares, images, strict=True):
        entry = lookup.setdefault(min(map(tuple, image)), [offset, 0.0])
        entry[1] += share
    yield from ((offset, share) for offset, share in lookup.values())


def _oscillators(energies: Floats, elements: Any, offset: Floats, filled: int) -> Floats:
    """Sum over transitions of ``Re p p* / E^3`` (3, 3), atomic units, at ``k + offset`` (1/Bohr)."""
    if offset.any():
        hamiltonian = np.diag(energies + offset @ offset / 2) + elements @ offset
        energies, vectors = np.linalg.eigh((hamiltonian + hamiltonian.conj().T) / 2)
        left, right = vectors[:, :filled].conj().T, vectors[:, filled:]
        elements = np.stack([left @ elements[..., v] @ right for v in range(3)], axis=-1)
    else:
        elements = elements[:filled, filled:]
    weights = 1 / (energies[None, filled:] - energies[:filled, None]) ** 3
    return np.asarray(np.einsum("nma,nm,nmb->ab", elements.conj(), weights, elements, optimize=True).real)
