"""Canonical form of a crystal: integers that are the same for every description of it.

The form is made in four steps.

1. spglib finds the idealised conventional cell; that removes noise below ``symprec``, supercells and orientation.
2. All bases of the primitive lattice with the smallest metric are found: those of one lattice differ by its automorphisms,
   at most 48 of them.
3. The parameters of the conventional cell are put on a grid (1e-3 Å, 0.01 degrees); in the monoclinic and triclinic
   systems, where the setting is a matter of choice, the cell is reduced first. The metric of the bases of step 2 is taken
   from the lattice on the grid, and the smallest one is kept.
4. In each of these bases, and with the origin at each atom of the rarest kind, the fractional coordinates are put on a grid
   (1e-4); the smallest list of integers is the canonical one.

A grid has boundaries, and a number that lies on one is put to either side by noise. The boundaries therefore stand where
the decimal numbers of files do not: at 0.555... of the way between two grid points, which is about half-way between
neighbouring decimals of any number of digits, and clear of thirds, sixths and eighths.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Lattice

from hibana.structures.errors import NO_SYMMETRY
from hibana.structures.symmetry import Kind, KindCell, symmetry_dataset

if TYPE_CHECKING:
    pass

LENGTH_GRID = 1e-3
"""Grid of the conventional cell's lengths, Å."""

ANGLE_GRID = 1e-2
"""Grid of its angles, degrees."""

COORDINATE_GRID = 10_000
"""Grid points of a fractional coordinate between 0 and 1."""

BOUNDARY = 5 / 9
"""Where a boundary stands between grid points: 0.555..., half-way between the decimals of any number of digits."""

METRIC_TIE = 5.5e-5
"""Lengths (Å) nearer than this are equal when bases are compared; above noise, below the steps of four-digit decimals."""

ANGLES_BY_SYMPREC = -1.0
"""spglib's sign for judging angles by ``symprec`` as well; vise's 5 degrees would take a sheared lattice for a cubic one."""

PRIMITIVE_ROWS: dict[str, tuple[tuple[float, ...], ...]] = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 0.5, -0.5), (0, 0.5, 0.5)),
    "C": ((0.5, 0.5, 0), (-0.5, 0.5, 0), (0, 0, 1)),
    "I": ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5)),
    "F": ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}
"""Primitive vectors (rows) in the axes of the conventional cell, by centring letter; R in obverse hexagonal axes."""

ENANTIOMORPHS = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212,
}  # fmt: skip
"""Space groups that are mirror images of one another; a crystal and its mirror image are one material."""


@dataclass(frozen=True)
class CanonicalForm:
    """The integers a structure's identity is made of.

    Parameters
    ----------
    space_group_number
        Space group; of two enantiomorphic ones the smaller number.
    metric
        Lengths of the reduced primitive basis and projections between its vectors on a grid of 1e-3 Å.
    kinds
        Kinds of site as (element symbol, moment on a grid of 0.1 μB, number of sites), sorted.
    coordinates
        Fractional coordinates on the grid, kind by kind, sorted.
    """

    space_group_number: int
    metric: tuple[int, ...]
    kinds: tuple[tuple[str, int, int], ...]
    coordinates: tuple[tuple[int, int, int], ...]


def canonical_form(cell: KindCell) -> CanonicalForm:
    """Canonical form of a crystal.

    Parameters
    ----------
    cell
        Any cell of it.

    Raises
    ------
    HibanaError
        HIB-017 where spglib finds no symmetry.
    """
    dataset = symmetry_dataset(cell, angle_tolerance=ANGLES_BY_SYMPREC)
    rows = np.array(PRIMITIVE_ROWS[str(dataset.international)[0]], dtype=float)
    conventional = np.array(dataset.std_lattice)
    bases = _reduced_bases(rows @ conventional)
    on_grid = bases @ rows @ _lattice_on_grid(conventional, int(dataset.number))
    metric = min(_on_grid(_metric_numbers(on_grid) / LENGTH_GRID).tolist())
    _, chosen = np.unique(dataset.std_mapping_to_primitive, return_index=True)
    positions = np.array(dataset.std_positions)[chosen] @ np.linalg.inv(rows)
    types = np.array(dataset.std_types)[chosen]
    labellings = {cell.kinds, tuple(kind.flipped for kind in cell.kinds)}
    kinds, coordinates = min(_site_form(bases, positions, [labels[index] for index in types]) for labels in labellings)
    number = int(dataset.number)
    return CanonicalForm(ENANTIOMORPHS.get(number, number), tuple(metric), kinds, coordinates)


def _on_grid(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Grid points of values in units of the grid; boundaries stand at 0.555... beside them."""
    return np.floor(values - BOUNDARY).astype(np.int64) + 1


def _lattice_on_grid(conventional: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """The conventional lattice (rows, Å) with its parameters on the grid."""
    setting = np.eye(3)
    if number <= 2:
        setting = _reduced_bases(conventional)[0].astype(float)
    elif number <= 15:
        setting = _reduced_net(conventional)
    reduced = setting @ conventional
    lengths = np.linalg.norm(reduced, axis=1)
    cosines = [reduced[i] @ reduced[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    angles = np.degrees(np.arccos(cosines))
    lengths = _on_grid(lengths / LENGTH_GRID) * LENGTH_GRID
    angles = _on_grid(angles / ANGLE_GRID) * ANGLE_GRID
    lattice: NDArray[np.float64] = np.linalg.inv(setting) @ Lattice.from_parameters(*lengths, *angles).matrix
    return lattice


def _reduced_net(conventional: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integer matrix that takes a and c (unique axis b) to the shortest vectors of their plane, at an obtuse angle."""
    p, q = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    while True:
        if np.linalg.norm(q @ conventional) < np.linalg.norm(p @ conventional):
            p, q = q, p
        short, long = p @ conventional, q @ conventional
        steps = np.rint(short @ long / (short @ short))
        if steps == 0:
            break
        q = q - steps * p
    if short @ long > 0:
        q = -q
    return np.array([p, [0, 1, 0], q])


@cache
def _unimodular_matrices() -> NDArray[np.int64]:
    """All 3x3 matrices of -1, 0 and 1 with determinant 1 or -1, (6960, 3, 3).

    The bases of shortest vectors of a lattice are among the products of these with its Niggli-reduced basis.
    """
    vectors = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    crosses = np.cross(vectors[:, None], vectors[None])
    determinants = np.einsum("ix,jkx->ijk", vectors, crosses)
    i, j, k = np.nonzero(np.abs(determinants) == 1)
    return np.stack([vectors[i], vectors[j], vectors[k]], axis=1)


def _reduced_bases(lattice: NDArray[np.float64]) -> NDArray[np.int64]:
    """All bases with the smallest metric, as integer matrices (n, 3, 3) to be multiplied with the lattice.

    "Smallest" is lexicographic in the numbers of :func:`_metric_numbers`, and numbers nearer than ``METRIC_TIE`` are equal.
    """
    niggli = spglib.niggli_reduce(lattice)
    if niggli is None:
        raise NO_SYMMETRY.error("the lattice cannot be reduced: its vectors are nearly dependent")
    to_niggli = np.rint(niggli @ np.linalg.inv(lattice)).astype(np.int64)
    matrices = _unimodular_matrices()
    numbers = _metric_numbers(matrices @ niggli)
    kept = np.arange(len(matrices))
    for column in numbers.T:
        kept = kept[column[kept] <= column[kept].min() + METRIC_TIE]
    bases: NDArray[np.int64] = matrices[kept] @ to_niggli
    return bases


def _metric_numbers(bases: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths and mutual projections v_i·v_j/sqrt(|v_i||v_j|) of bases (n, 3, 3): (n, 6) in Å."""
    lengths = np.linalg.norm(bases, axis=2)
    products = np.einsum("nix,njx->nij", bases, bases)
    projections = [products[:, i, j] / np.sqrt(lengths[:, i] * lengths[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    return np.column_stack([lengths, *projections])


def _site_form(
    bases: NDArray[np.int64], positions: NDArray[np.float64], labels: list[Kind]
) -> tuple[tuple[tuple[str, int, int], ...], tuple[tuple[int, int, int], ...]]:
    """Kinds of site with their numbers, and the smallest list of grid coordinates over bases and origins."""
    kinds = sorted(set(labels))
    ranks = np.array([kinds.index(kind) for kind in labels])
    counts = np.bincount(ranks)
    origins = positions[ranks == np.argmin(counts)]
    inverses = np.rint(np.linalg.inv(bases)).astype(np.int64)
    moved = np.einsum("onx,bxy->bony", positions[None] - origins[:, None], inverses)
    grid = np.mod(_on_grid(moved * COORDINATE_GRID), COORDINATE_GRID)
    codes = ((ranks * COORDINATE_GRID + grid[..., 0]) * COORDINATE_GRID + grid[..., 1]) * COORDINATE_GRID + grid[..., 2]
    rows = np.sort(codes.reshape(-1, len(labels)), axis=1)
    smallest = rows[np.lexsort(rows.T[::-1])[0]] % COORDINATE_GRID**3
    coordinates = [
        (code // COORDINATE_GRID**2, code // COORDINATE_GRID % COORDINATE_GRID, code % COORDINATE_GRID)
        for code in smallest.tolist()
    ]
    named = [(kind.symbol, kind.moment, int(count)) for kind, count in zip(kinds, counts, strict=True)]
    return tuple(named), tuple(coordinates)
