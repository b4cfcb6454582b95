"""Force constants from forces in displaced supercells, by phonopy's public interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy

from hibana.documents.crystal import Crystal
from hibana.properties.displacements import SAME_LATTICE, crystal_of, phonopy_of

Array = NDArray[np.float64]

SAME_SITE = 0.2
"""Å. A displaced atom is nearer than this to its place."""

DISPLACED = 1e-4
"""Å. Smaller displacements are rounded digits."""

SPANNING = 0.1
"""Least singular value of the unit vectors of displacements that span space."""


class ForcesError(ValueError):
    """Runs that do not make force constants, with the reason."""


def force_constants(crystal: Crystal, runs: Sequence[tuple[Crystal, Array]], *, symprec: float) -> Phonopy:
    """A Phonopy object with force constants, without the sum rule.

    Parameters
    ----------
    crystal
        The primitive cell the supercells were made of.
    runs
        Displaced supercell and forces (n, 3) in eV/Å on its sites, in any order of the sites.
    symprec
        Tolerance of the symmetry search, Å.

    Raises
    ------
    ForcesError
        If a cell is no supercell of the crystal, more than one atom is displaced, or the displacements do not suffice.
    """
    matrix = _matrix_of(crystal, runs[0][0])
    phonons = phonopy_of(crystal, matrix, symprec)
    ideal = crystal_of(phonons.supercell)
    found: list[dict[str, Any]] = []
    left = np.zeros((len(ideal.species), 3))
    for cell, forces in runs:
        shifts, ordered = _on_ideal(ideal, cell, forces)
        moved = np.flatnonzero(np.linalg.norm(shifts, axis=1) > DISPLACED)
        if moved.size == 0:
            left = ordered
        elif moved.size == 1:
            number = int(moved[0])
            found.append({"number": number, "displacement": shifts[number], "forces": ordered})
        else:
            raise ForcesError(f"{moved.size} atoms are displaced in one supercell; one is wanted")
    if not found:
        raise ForcesError("no atom is displaced in any supercell")
    lacking = _not_displaced(phonons, {item["number"] for item in found})
    if lacking:
        raise ForcesError(f"no displacement of {', '.join(lacking)}")
    lacking = _undetermined(phonons, found)
    if lacking:
        raise ForcesError(f"the displacements of {', '.join(lacking)} do not span space")
    if not any((np.abs(item["forces"] - left) > 0).any() for item in found):
        raise ForcesError("no displacement gives a force")
    phonons.dataset = {
        "natom": len(ideal.species),
        "first_atoms": [item | {"forces": item["forces"] - left} for item in found],
    }
    try:
        phonons.produce_force_constants(show_drift=False)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        raise ForcesError(f"the displacements do not give force constants: {error}") from error
    return phonons


def fewer_than_wanted(phonons: Phonopy, crystal: Crystal, symprec: float) -> list[str]:
    """A flag if displacements were left out whose forces would cancel terms of even order."""
    whole = phonopy_of(crystal, np.array(phonons.supercell_matrix).T, symprec)
    whole.generate_displacements()
    given, wanted = len(phonons.displacements), len(whole.displacements)
    if given >= wanted:
        return []
    return [f"{given} displacements where the symmetry asks for {wanted}: anharmonic forces are in the force constants"]


def _matrix_of(crystal: Crystal, supercell: Crystal) -> NDArray[np.int64]:
    lattice, large = np.array(crystal.lattice), np.array(supercell.lattice)
    matrix: NDArray[np.int64] = np.rint(large @ np.linalg.inv(lattice)).astype(np.int64)
    n_cells = abs(round(np.linalg.det(matrix)))
    if np.abs(matrix @ lattice - large).max() > SAME_LATTICE or n_cells * len(crystal.species) != len(supercell.species):
        raise ForcesError("the displaced cell is no supercell of the relaxed crystal")
    return matrix


def _on_ideal(ideal: Crystal, cell: Crystal, forces: Array) -> tuple[Array, Array]:
    """Displacements and forces (n, 3) in the order of the ideal supercell's sites."""
    lattice = np.array(ideal.lattice)
    if np.abs(np.array(cell.lattice) - lattice).max() > SAME_LATTICE or len(cell.species) != len(ideal.species):
        raise ForcesError("the displaced cells are not of one supercell")
    steps = np.array(cell.frac_coords)[None] - np.array(ideal.frac_coords)[:, None]
    steps = (steps - np.rint(steps)) @ lattice
    distances = np.linalg.norm(steps, axis=2)
    distances[np.array(ideal.species)[:, None] != np.array(cell.species)[None]] = np.inf
    order = distances.argmin(axis=1)
    places = np.arange(len(order))
    if distances[places, order].max() > SAME_SITE or len(set(order.tolist())) != len(order):
        raise ForcesError("the atoms of a displaced cell are not at the places of the relaxed crystal")
    return steps[places, order], forces[order]


def _not_displaced(phonons: Phonopy, displaced: set[int]) -> list[str]:
    """Symmetry-inequivalent atoms of which none is displaced, by symbol and number in the supercell."""
    orbits = phonons.symmetry.get_map_atoms()
    seen = {int(orbits[number]) for number in displaced}
    missing = sorted({int(orbit) for orbit in orbits} - seen)
    return [f"{phonons.supercell.symbols[number]}{number + 1}" for number in missing]


def _undetermined(phonons: Phonopy, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Displaced atoms whose displacements and their images do not span space, by symbol and number in the supercell.

    Phonopy would silently take what is missing for zero.
    """
    lattice = np.array(phonons.supercell.cell).T
    lacking = []
    for number in sorted({item["number"] for item in found}):
        rotations = lattice @ phonons.symmetry.get_site_symmetry(number) @ np.linalg.inv(lattice)
        moves = np.array([item["displacement"] for item in found if item["number"] == number])
        directions = (moves / np.linalg.norm(moves, axis=1)[:, None]) @ np.swapaxes(rotations, 1, 2)
        if np.linalg.svd(directions.reshape(-1, 3), compute_uv=False)[2:].sum() < SPANNING:
            lacking.append(f"{phonons.supercell.symbols[number]}{number + 1}")
    return lacking
