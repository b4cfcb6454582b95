"""Which atoms to displace, and derivatives from what the displaced crystals show.

Only atoms that symmetry does not relate are displaced, along directions that keep much of the symmetry and whose images span
space. Each displacement is done with both signs unless an operation turns one into the other. All images of all results enter
one least-squares fit, so that the derivatives have the crystal's symmetry and terms of even order in the displacement drop out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from hibana.rehearsal.result import Floats
from hibana.rehearsal.spacegroup import SpaceGroup

WELL_CONDITIONED = 0.3
"""Smallest singular value of the normalised directions of a set that is accepted."""

CONSIDERED = 20
"""Candidates beside the Cartesian axes, the cheapest ones, of which sets are formed."""

FIXED_COST = 0.05
"""Cost of a calculation that does not shrink with symmetry, in units of one without symmetry."""


@dataclass(frozen=True)
class Line:
    """A direction (3,), unit length, along which an atom is displaced; ``both`` if the other sign is a calculation too."""

    atom: int
    direction: Floats
    both: bool


@dataclass(frozen=True)
class Move:
    """One displaced atom: its number and displacement (3,), Å."""

    atom: int
    vector: Floats


def plan(group: SpaceGroup, lattice: Floats) -> list[Line]:
    """The cheapest displacements from which all derivatives follow.

    Parameters
    ----------
    group
        The crystal's operations.
    lattice
        Rows are the lattice vectors, Å; they are candidates for directions.
    """
    lines = []
    for atom in group.inequivalent:
        site = group.site_rotations(atom)
        candidates = _candidates(site, lattice)
        images = [site @ direction for direction in candidates]
        both = [
            not (np.abs(image + direction).max(axis=1) < 1e-4).any() for image, direction in zip(images, candidates, strict=True)
        ]
        keeping = [
            int((np.abs(image - direction).max(axis=1) < 1e-4).sum()) for image, direction in zip(images, candidates, strict=True)
        ]
        cost = [(1 + sign) * (1 / n + FIXED_COST) for sign, n in zip(both, keeping, strict=True)]
        chosen = _cheapest(images, cost)
        lines += [Line(atom, candidates[i], both[i]) for i in chosen]
    return lines


def _candidates(site: Floats, lattice: Floats) -> list[Floats]:
    """Directions to choose from: Cartesian axes, lattice vectors, rotation axes, and combinations of these."""
    simple = [*np.eye(3), *(lattice / np.linalg.norm(lattice, axis=1)[:, None])]
    for rotation in site:
        proper = rotation * np.linalg.det(rotation)
        values, vectors = np.linalg.eig(proper)
        simple += [vectors[:, i].real for i in np.flatnonzero(np.abs(values - 1) < 1e-6)]
    simple = _different([v / np.linalg.norm(v) for v in simple if np.linalg.norm(v) > 1e-6])
    products = [np.cross(a, b) for a, b in itertools.combinations(simple, 2)]
    simple = _different(simple + [v / np.linalg.norm(v) for v in products if np.linalg.norm(v) > 0.1])
    sums = [a + sign * b for a, b in itertools.combinations(simple, 2) for sign in (1, -1)]
    return _different(simple + [v / np.linalg.norm(v) for v in sums if np.linalg.norm(v) > 0.1])


def _different(vectors: list[Floats]) -> list[Floats]:
    """The vectors without those parallel to an earlier one."""
    kept: list[Floats] = []
    for vector in vectors:
        if not kept or np.abs(np.array(kept) @ vector).max() < 1 - 1e-6:
            kept.append(np.asarray(vector))
    return kept


def _cheapest(images: list[Floats], cost: list[float]) -> tuple[int, ...]:
    """The set of at most three candidates with the lowest cost whose images span space well."""
    best: tuple[float, tuple[int, ...]] = (np.inf, ())
    cheap = sorted(range(3, len(images)), key=lambda i: cost[i])[:CONSIDERED]
    considered = sorted([0, 1, 2, *cheap], key=lambda i: cost[i])  # the Cartesian axes always do
    for size in (1, 2, 3):
        for chosen in itertools.combinations(considered, size):
            total = sum(cost[i] for i in chosen)
            if total >= best[0] - 1e-9:
                continue
            directions = np.concatenate([images[i] for i in chosen])
            if np.linalg.eigvalsh(3 * directions.T @ directions / len(directions))[0] > WELL_CONDITIONED**2:
                best = total, chosen
    return best[1]


def force_constants(group: SpaceGroup, moves: list[Move], forces: list[Floats]) -> Floats:
    """Second derivatives of the energy from forces.

    Parameters
    ----------
    group
        The crystal's operations.
    moves
        The displaced atoms.
    forces
        For each of them, forces less those of the undisplaced crystal (n_atoms, 3), eV/Å.

    Returns
    -------
    (3 n_atoms, 3 n_atoms)
        eV/Å^2, symmetric, with the crystal's symmetry; no sum rule is imposed.
    """
    n_atoms = group.images.shape[1]
    matrix = np.zeros((n_atoms, 3, n_atoms, 3))
    for atom in range(n_atoms):
        vectors, values = _images(group, moves, atom, forces)
        matrix[atom] = -np.linalg.lstsq(vectors, values.reshape(len(values), -1), rcond=None)[0].reshape(3, n_atoms, 3)
    flat = matrix.reshape(3 * n_atoms, 3 * n_atoms)
    return np.asarray((flat + flat.T) / 2)


def born_charges(group: SpaceGroup, moves: list[Move], dipoles: list[Floats]) -> Floats:
    """Born effective charges from changes of the polarisation.

    Parameters
    ----------
    group, moves
        As for :func:`force_constants`.
    dipoles
        For each move, the change of polarisation times volume (3,), e Å.

    Returns
    -------
    (n_atoms, 3, 3)
        e; rows are the direction of the polarisation (or field), columns that of the displacement. No sum rule is imposed.
    """
    n_atoms = group.images.shape[1]
    charges = np.zeros((n_atoms, 3, 3))
    for atom in range(n_atoms):
        vectors, values = _images(group, moves, atom, [d[None] for d in dipoles])
        charges[atom] = np.linalg.lstsq(vectors, values[:, 0], rcond=None)[0].T
    return charges


def _images(group: SpaceGroup, moves: list[Move], atom: int, results: list[Floats]) -> tuple[Floats, Floats]:
    """Displacements of ``atom`` (m, 3) and results (m, n, 3) that are images of those calculated.

    A result with n = n_atoms belongs to atoms and is moved with them; one with n = 1 belongs to the crystal.
    """
    vectors, values = [], []
    for move, result in zip(moves, results, strict=True):
        for rotation, image in zip(group.cartesian, group.images, strict=True):
            if image[move.atom] != atom:
                continue
            turned = result @ rotation.T
            if len(turned) == len(image):
                placed = np.empty_like(turned)
                placed[image] = turned
                turned = placed
            vectors.append(rotation @ move.vector)
            values.append(turned)
    return np.array(vectors), np.array(values)
