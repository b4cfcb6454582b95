"""The frame in which tensors are given: axes attached to the crystal, the same for every description of it.

A tensor read from a run is in the axes of that run's cell, which depend on how the crystal was described. Here it is turned
into a right-handed Cartesian frame attached to the conventional cell: **x along a, z along a×b (that is, c*), y = z×x**.
The conventional cell is the standard one of the space group (International Tables, spglib's default setting: unique axis b
and cell choice 1 in the monoclinic system, obverse hexagonal axes in the rhombohedral one), and where the setting leaves
a choice it is made by the crystal alone:

triclinic
    the Niggli cell (a ≤ b ≤ c, angles all obtuse or all acute);
monoclinic
    the smallest |a| + |c| the space-group symbol allows, then the smallest |a|, β ≥ 90 degrees;
orthorhombic
    a ≤ b ≤ c as far as the symbol allows;
otherwise
    the lengths and angles leave no choice but of the lattice's own symmetries.

Of the cells that are left, which differ by symmetries of the lattice that are not the crystal's, the one with the largest
:func:`_arrangement_scores` is taken: the arrangement of the atoms decides. The cells that are left after that differ by
symmetries of the crystal or by the inversion, under which no tensor of rank two changes; the one that needs the smallest
turn from the run's axes is taken.

Only right-handed cells are used, so the rotation from the run's axes is proper, always. A crystal and its mirror image
(one material in hibana) have the same tensors in their frames: a mirror is the inversion times a proper rotation, and the
tensors do not feel the inversion.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Element

from hibana.documents.crystal import Crystal
from hibana.structures.convert import to_pymatgen
from hibana.structures.errors import NO_SYMMETRY
from hibana.structures.symmetry import KindCell, kind_cell, symmetry_dataset

if TYPE_CHECKING:
    from spglib import SpglibDataset

    from hibana.protocol.protocol import SymmetryRule

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

TIE = 1e-4
"""Lengths (Å) nearer than this are equal when cells are compared: above the noise of a run's cell, below real differences."""

ORIGIN_GRID = 24
"""Origin shifts between settings of a space group are multiples of 1/24 of the cell (halves, thirds, quarters, eighths)."""

SCORE_RANGE = 4
"""Largest index of the reflections that the score of an arrangement sums over."""

SCORE_FORM = np.array([[0.31, 0.017, 0.029], [0.017, 0.23, 0.041], [0.029, 0.041, 0.17]])
"""Quadratic form Q of the weights exp(-h·Q·h) of reflections: without any symmetry, so that it tells all axes apart."""


@dataclass(frozen=True)
class Frame:
    """The conventional frame of a crystal, seen from one description of it.

    Parameters
    ----------
    rotation
        Proper rotation (3, 3) from the run's Cartesian axes: v_frame = rotation @ v_run.
    lattice
        Vectors of the conventional cell as rows (3, 3) in the frame, Å; idealised.
    setting
        The same vectors (rows) in units of the run's cell, (3, 3).
    space_group_number
        Space group at the tolerance asked for.
    rotations
        Rotation parts of the space group's operations in the frame, (n, 3, 3), orthogonal.
    permutations
        Site to which each operation takes each site, (n, n_sites).
    """

    rotation: Array
    lattice: Array
    setting: Array
    space_group_number: int
    rotations: Array
    permutations: Integers

    def turn(self, tensor: Array) -> Array:
        """A tensor of rank two, or an array (..., 3, 3) of them, from the run's axes to the frame."""
        return np.asarray(self.rotation @ np.asarray(tensor, dtype=float) @ self.rotation.T)

    def turn_crystal(self, crystal: Crystal) -> Crystal:
        """The run's cell with its Cartesian axes turned to the frame; sites and coordinates stay."""
        a, b, c = (np.array(crystal.lattice) @ self.rotation.T).tolist()
        return crystal.model_copy(update={"lattice": (tuple(a), tuple(b), tuple(c))})


def conventional_frame(crystal: Crystal, rule: SymmetryRule) -> Frame:
    """The frame of a crystal's conventional cell.

    Parameters
    ----------
    crystal
        Any cell of it; sites with different moments are different sites.
    rule
        Tolerances of the symmetry search.

    Raises
    ------
    HibanaError
        HIB-017 where no symmetry is found.
    """
    given = kind_cell(to_pymatgen(crystal))
    cell = _right_handed(given)
    dataset = symmetry_dataset(cell, rule.symprec, rule.angle_tolerance)
    to_standard = np.rint(np.linalg.inv(np.array(dataset.transformation_matrix)).T * ORIGIN_GRID) / ORIGIN_GRID
    choices = _equivalent(_settled(cell, dataset), int(dataset.hall_number))
    lattice = _upright(choices[0] @ np.array(dataset.std_lattice))
    turns = [_nearest_rotation(choice @ to_standard @ cell.lattice, lattice) for choice in choices]
    smallest = int(np.argmax([np.trace(turn) for turn in turns]))
    setting, rotation = choices[smallest] @ to_standard, turns[smallest]
    to_setting = np.linalg.inv(setting).T
    inner = to_setting @ np.array(dataset.rotations) @ np.linalg.inv(to_setting)
    rotations = lattice.T @ inner @ np.linalg.inv(lattice.T)
    return Frame(
        rotation=rotation,
        lattice=lattice,
        setting=setting if cell is given else -setting,
        space_group_number=int(dataset.number),
        rotations=rotations,
        permutations=_permutations(cell, dataset),
    )


def point_group_residual(tensor: Array, frame: Frame) -> float:
    """Largest change of a component of a tensor (3, 3) in the frame under the point group, over its largest component."""
    tensor = np.asarray(tensor, dtype=float)
    turned = frame.rotations @ tensor @ np.swapaxes(frame.rotations, 1, 2)
    return float(np.abs(turned - tensor).max() / max(np.abs(tensor).max(), np.finfo(float).tiny))


def asymmetry(tensor: Array) -> float:
    """Largest difference of a tensor (3, 3) from its transpose, over its largest component."""
    tensor = np.asarray(tensor, dtype=float)
    return float(np.abs(tensor - tensor.T).max() / max(np.abs(tensor).max(), np.finfo(float).tiny))


def site_tensor_residual(tensors: Array, frame: Frame) -> float:
    """Largest change of a component of site tensors (n_sites, 3, 3) in the frame under the space group.

    An operation with rotation R that takes site i to site j must take the tensor T_i to R T_i Rᵀ = T_j.
    """
    tensors = np.asarray(tensors, dtype=float)
    worst = 0.0
    for rotation, sites in zip(frame.rotations, frame.permutations, strict=True):
        worst = max(worst, float(np.abs(rotation @ tensors @ rotation.T - tensors[sites]).max()))
    return worst


def other_setting_residual(tensors: Array, frame: Frame) -> float:
    """Smallest :func:`site_tensor_residual` after a turn of the tensors by a symmetry of the lattice.

    It is small where cell and tensors were written down in two settings that the lattice does not tell apart (a crystal of
    Laue class -3 or 4/m and one turned by 180 degrees about a side axis, for instance).
    """
    cells = _proper_matrices() @ frame.lattice
    metric = frame.lattice @ frame.lattice.T
    same = np.abs(cells @ np.swapaxes(cells, 1, 2) - metric).max(axis=(1, 2)) <= TIE * np.sqrt(metric.max())
    turns = np.swapaxes(np.linalg.inv(frame.lattice) @ cells[same], 1, 2)
    return min(site_tensor_residual(turn @ np.asarray(tensors, dtype=float) @ turn.T, frame) for turn in turns)


def _right_handed(cell: KindCell) -> KindCell:
    """The cell with its vectors reversed if they are left-handed: the atoms stay where they are."""
    if np.linalg.det(cell.lattice) > 0:
        return cell
    return KindCell(-cell.lattice, -cell.positions, cell.types, cell.kinds, cell.moments)


def _upright(lattice: Array) -> Array:
    """Vectors of the same lengths and angles with a along x and c* along z."""
    x = lattice[0] / np.linalg.norm(lattice[0])
    z = np.cross(lattice[0], lattice[1])
    z /= np.linalg.norm(z)
    return np.asarray(lattice @ np.array([x, np.cross(z, x), z]).T)


def _nearest_rotation(rows: Array, target: Array) -> Array:
    """Proper rotation R that brings rows @ R.T nearest to the target (polar decomposition)."""
    u, _, v = np.linalg.svd(target.T @ rows)
    return np.asarray(u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v)


def _permutations(cell: KindCell, dataset: SpglibDataset) -> Integers:
    """Site to which each operation of the input cell takes each site, (n_operations, n_sites)."""
    found = []
    different = cell.types[:, None] != cell.types[None]
    for rotation, translation in zip(dataset.rotations, dataset.translations, strict=True):
        moved = cell.positions @ rotation.T + translation
        steps = moved[:, None] - cell.positions[None]
        distances = np.linalg.norm((steps - np.rint(steps)) @ cell.lattice, axis=2)
        found.append(np.where(different, np.inf, distances).argmin(axis=1))
    return np.array(found)


def _settled(cell: KindCell, dataset: SpglibDataset) -> Integers:
    """Integer matrix that takes spglib's standard cell (rows) to the one of the convention."""
    lattice, number = np.array(dataset.std_lattice), int(dataset.number)
    choices, keys = _choices(lattice, number)
    order = np.lexsort(keys.T[::-1])
    choices, keys = choices[order], keys[order]
    if number > 2:
        allowed = np.array([_keeps_setting(int(dataset.hall_number), choice.tobytes()) for choice in choices])
        choices, keys = choices[allowed], keys[allowed]
    for column in range(keys.shape[1]):
        smallest = keys[:, column] <= keys[:, column].min() + TIE
        choices, keys = choices[smallest], keys[smallest]
    scores = _arrangement_scores(cell, dataset, choices)
    chosen: Integers = choices[int(scores.argmax())]
    return chosen


def _equivalent(choice: Integers, hall_number: int) -> Integers:
    """The right-handed cells (n, 3, 3) that symmetries of the crystal, or the inversion, make of one."""
    _, operations = _operations(hall_number)
    rotations = np.array(list(operations)).reshape(-1, 3, 3)
    cells = choice @ np.swapaxes(rotations, 1, 2)
    signs = np.rint(np.linalg.det(cells)).astype(np.int64)
    return np.asarray(cells * signs[:, None, None])


def _choices(lattice: Array, number: int) -> tuple[Integers, Array]:
    """Right-handed cells (n, 3, 3) in units of the standard one, and the numbers (n, m) of which the smallest are wanted."""
    if number <= 2:
        return _niggli_cells(lattice)
    if number <= 15:
        return _monoclinic_cells(lattice)
    choices = _proper_matrices()
    cells = choices @ lattice
    if number <= 74:
        permuting = np.abs(choices).sum(axis=(1, 2)) == 3
        return choices[permuting], np.linalg.norm(cells[permuting], axis=2)
    products = np.einsum("nix,njx->nij", cells, cells)
    length = np.linalg.norm(lattice, axis=1).max()
    same = np.abs(products - lattice @ lattice.T).max(axis=(1, 2)) <= TIE * length
    return choices[same], np.zeros((int(same.sum()), 1))


def _niggli_cells(lattice: Array) -> tuple[Integers, Array]:
    """The cells of the three shortest vectors, angles all obtuse or all acute."""
    niggli = spglib.niggli_reduce(lattice)
    if niggli is None:
        raise NO_SYMMETRY.error("the lattice cannot be reduced: its vectors are nearly dependent")
    to_niggli = np.rint(niggli @ np.linalg.inv(lattice)).astype(np.int64)
    choices = _proper_matrices() if np.linalg.det(to_niggli) > 0 else -_proper_matrices()
    cells = choices @ niggli
    lengths = np.linalg.norm(cells, axis=2)
    products = np.einsum("nix,njx->nij", cells, cells)[:, (1, 0, 0), (2, 2, 1)] / lengths.max(axis=1)[:, None]
    acute = (products >= -TIE).all(axis=1)
    alike = (products <= TIE).all(axis=1) | acute
    keys = np.column_stack([lengths, np.where((products <= TIE).all(axis=1), 0, 1), products])
    return choices[alike] @ to_niggli, keys[alike]


def _monoclinic_cells(lattice: Array) -> tuple[Integers, Array]:
    """The cells with vectors a and c of small indices in the plane normal to b, at an obtuse angle."""
    indices = range(-3, 4)
    rows = [
        [[p, 0, q], [0, p * s - q * r, 0], [r, 0, s]]
        for p, q, r, s in itertools.product(indices, repeat=4)
        if abs(p * s - q * r) == 1
    ]
    choices = np.array(rows, dtype=np.int64)
    cells = choices @ lattice
    a, c = np.linalg.norm(cells[:, 0], axis=1), np.linalg.norm(cells[:, 2], axis=1)
    product = np.einsum("nx,nx->n", cells[:, 0], cells[:, 2]) / np.maximum(a, c)
    short = (product <= TIE) & (a + c <= (a + c).min() * 3)
    return choices[short], np.column_stack([a + c, a, product])[short]


@lru_cache(maxsize=1)
def _proper_matrices() -> Integers:
    """All 3x3 matrices of -1, 0 and 1 with determinant 1, (3480, 3, 3)."""
    vectors = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.int64)
    determinants = np.einsum("ix,jkx->ijk", vectors, np.cross(vectors[:, None], vectors[None]))
    i, j, k = np.nonzero(determinants == 1)
    return np.stack([vectors[i], vectors[j], vectors[k]], axis=1)


@lru_cache(maxsize=65536)
def _keeps_setting(hall_number: int, choice: bytes) -> bool:
    """Whether a change of cell leaves the space group as it is, but for the origin.

    The cell changes as rows' = choice @ rows, coordinates as x' = Q x with Q = choice⁻ᵀ, and an operation (W, w) becomes
    (Q W Q⁻¹, Q w). These must be the operations of the group after some shift s of the origin, which changes w to
    w + (1 - W) s.
    """
    change = np.rint(np.linalg.inv(np.frombuffer(choice, dtype=np.int64).reshape(3, 3)).T).astype(np.int64)
    back = np.rint(np.linalg.inv(change)).astype(np.int64)
    steps, operations = _operations(hall_number)
    if tuple(change.ravel().tolist()) in operations:
        return True
    if {_on_grid(change @ np.array(step)) for step in steps} != set(steps):
        return False
    shifts = np.stack(np.meshgrid(*[np.arange(ORIGIN_GRID)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for rotation, translation in operations.items():
        turned = change @ np.array(rotation).reshape(3, 3) @ back
        other = operations.get(tuple(turned.ravel().tolist()))
        if other is None:
            return False
        moved = change @ np.array(translation) - np.array(other) + shifts @ (np.eye(3, dtype=np.int64) - turned).T
        moved %= ORIGIN_GRID
        shifts = shifts[(moved[:, None] == np.array(steps)).all(axis=2).any(axis=1)]
        if not len(shifts):
            return False
    return True


@lru_cache(maxsize=530)
def _operations(hall_number: int) -> tuple[tuple[tuple[int, ...], ...], dict[tuple[int, ...], tuple[int, ...]]]:
    """Centring translations, and rotation to translation for each rotation; translations in 1/24 of the cell."""
    symmetry = spglib.get_symmetry_from_database(hall_number)
    steps: list[tuple[int, ...]] = []
    operations: dict[tuple[int, ...], tuple[int, ...]] = {}
    for rotation, translation in zip(symmetry["rotations"], symmetry["translations"], strict=True):
        key = tuple(int(number) for number in rotation.ravel())
        shift = _on_grid(np.rint(translation * ORIGIN_GRID).astype(np.int64))
        if key == (1, 0, 0, 0, 1, 0, 0, 0, 1):
            steps.append(shift)
        operations.setdefault(key, shift)
    return tuple(steps), operations


def _on_grid(steps: Integers) -> tuple[int, ...]:
    return tuple(int(step) % ORIGIN_GRID for step in steps)


def _arrangement_scores(cell: KindCell, dataset: SpglibDataset, choices: Integers) -> Array:
    """A number for each cell that tells the arrangements of the atoms in it apart.

    The sum over reflections h of exp(-h·Q·h) times the products Re F_k F_l* of the structure factors of the elements, each
    pair (k, l) with its own weight, and |F_m|² of the moments. Neither the origin, nor the inversion, nor the sign of all
    moments together, nor the order of sites changes it.
    """
    positions, types = np.array(dataset.std_positions), np.array(dataset.std_types)
    reflections = np.array(list(itertools.product(range(-SCORE_RANGE, SCORE_RANGE + 1), repeat=3)))
    weights = np.exp(-np.einsum("ni,ij,nj->n", reflections, SCORE_FORM, reflections))
    numbers = np.array([kind.number for kind in cell.kinds])[types]
    moments = np.array([kind.moment for kind in cell.kinds], dtype=float)[types]
    elements = sorted(set(numbers.tolist()))
    charges = np.array([(numbers == element) for element in elements], dtype=float)
    strength = np.sqrt(np.array([float(Element.from_Z(element).Z) for element in elements]))
    scores = []
    for choice in choices:
        inner = positions @ np.linalg.inv(choice)
        phases = np.exp(2j * np.pi * inner @ reflections.T)
        factors = charges @ phases / len(positions)
        total = np.abs(strength @ factors) ** 2 + (np.abs(factors) ** 2).sum(axis=0)
        total += np.abs(moments @ phases / len(positions)) ** 2
        scores.append(float(weights @ total))
    return np.array(scores)
