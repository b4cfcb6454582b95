"""Runs of supercells of MgO with and without a vacancy, made by simple laws so that tests know what must come out of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_documents import METAL, gapped
from hibana.defects.ewald import lattice_energy, point_charge_potential
from hibana.documents.arrays import ArrayRef, PackedArray, pack, unpack
from hibana.documents.crystal import Crystal
from hibana.documents.task import Inputs

EPSILON = 5.0
"""Static dielectric constant: the electronic part, and an ionic one of 1.8."""

TENSOR, IONIC = (tuple(tuple(value * (i == j) for j in range(3)) for i in range(3)) for value in (3.2, 1.8))
DIELECTRIC = {"epsilon_electronic": TENSOR, "epsilon_ionic": IONIC}

OXYGEN = -5.0
"""Half of the molecule, eV."""

UNCORRECTED = {0: 7.0, 1: 4.0, 2: 2.0}
"""Formation energies at standard states by half of the molecule, before corrections, Fermi level at :data:`VBM`, eV."""

VBM = 1.0
"""Of the host, and of its supercell, eV."""

PER_ATOM = -6.0
VALENCE = {"Mg": 2, "O": 6}


@dataclass
class Shelf:
    """Keeps arrays, and gives them back as a store does."""

    arrays: dict[str, PackedArray] = field(default_factory=dict)

    def put(self, **arrays: NDArray[Any]) -> dict[str, ArrayRef]:
        packed = {name: pack(np.asarray(array)) for name, array in arrays.items()}
        self.arrays |= {item.ref.sha256: item for item in packed.values()}
        return {name: item.ref for name, item in packed.items()}

    def get(self, ref: ArrayRef) -> NDArray[np.generic]:
        if ref.sha256 not in self.arrays:
            raise LookupError(ref.sha256)
        return unpack(self.arrays[ref.sha256])


def perfect_run(shelf: Shelf, crystal: Crystal, *, metal: bool = False) -> dict[str, Any]:
    """Changes of a task document that make it a run of the perfect supercell."""
    energies, occupations = np.array([VBM, VBM + 4.6]), np.array([1.0, 1.0 if metal else 0.0])
    potentials = np.full(len(crystal.species), -50.0)
    arrays = _arrays(shelf, potentials, energies, occupations, np.array([_P, _S]))
    return _changes(crystal, 0, PER_ATOM * len(crystal.species), arrays) | {"edges": METAL if metal else gapped(4.6, VBM)}


def vacancy_run(
    shelf: Shelf, crystal: Crystal, charge: int, hole: Crystal, *, unlike: bool = False, shallow: bool = False
) -> dict[str, Any]:
    """Changes of a task document that make it a run of a vacancy.

    Parameters
    ----------
    shelf
        Where arrays go.
    crystal
        The relaxed cell.
    charge
        Of the cell.
    hole
        The perfect cell, whose only site that `crystal` has not is the vacant one.
    unlike
        Make the states like no band edge of the host.
    shallow
        Put the electrons of the vacancy into the conduction band.
    """
    place = vacant_place(crystal, hole)
    steps = np.array(crystal.frac_coords) - place
    potentials = -50.0 - charge * point_charge_potential(crystal.lattice, EPSILON * np.eye(3), steps, accuracy=15.0)
    energies = np.array([VBM, VBM + 2.5, VBM + 4.6])
    filling = (2 - charge) / 2
    occupations = np.array([1.0, 0.0, filling]) if shallow else np.array([1.0, filling, 0.0])
    characters = np.array([_P, _OWN, _S])
    arrays = _arrays(shelf, potentials, energies, occupations, 0.2 * characters if unlike else characters)
    energy = PER_ATOM * len(hole.species) - OXYGEN + UNCORRECTED[charge] - charge * VBM
    return _changes(crystal, charge, energy, arrays) | {"edges": gapped(2.1, VBM + 2.5)}


def correction(charge: int, lattice: Any) -> float:
    """Correction of :func:`vacancy_run`: its potentials are those of a point charge, so that there is nothing to align."""
    return -(charge**2) * lattice_energy(lattice, EPSILON * np.eye(3), accuracy=15.0)


def vacant_place(crystal: Crystal, hole: Crystal) -> NDArray[np.float64]:
    """Place of the oxygen site of the perfect cell that is far from every one of the other."""
    ours = np.array([place for place, name in zip(crystal.frac_coords, crystal.species, strict=True) if name == "O"])
    theirs = np.array([place for place, name in zip(hole.frac_coords, hole.species, strict=True) if name == "O"])
    steps = theirs[:, None] - ours[None]
    steps -= np.round(steps)
    return theirs[np.linalg.norm(steps, axis=-1).min(axis=1).argmax()]


_P = [[0.0, 0.0, 0.0, 0.0], [0.0, 0.8, 0.0, 0.0]]
_S = [[0.8, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
_OWN = [[0.2, 0.2, 0.0, 0.0], [0.0, 0.1, 0.0, 0.0]]


def _arrays(
    shelf: Shelf, potentials: NDArray, energies: NDArray, occupations: NDArray, characters: NDArray
) -> dict[str, ArrayRef]:
    return shelf.put(
        site_potentials=potentials,
        kpoints=np.zeros((1, 3)),
        kpoint_weights=np.ones(1),
        eigenvalues=energies[None, None],
        occupations=occupations[None, None],
        projections=characters[None, None],
    )


def _changes(crystal: Crystal, charge: int, energy: float, arrays: dict[str, ArrayRef]) -> dict[str, Any]:
    valence = float(sum(VALENCE[name] for name in crystal.species))
    return {
        "task": "defect",
        "final": crystal,
        "n_sites": len(crystal.species),
        "energy": energy,
        "energy_per_atom": energy / len(crystal.species),
        "n_ionic_steps": 7,
        "magnetization": 0.0,
        "inputs": Inputs(incar={"ISPIN": 2}, kpoints={}, potcars=(), encut=400.0, valence=valence, nelect=valence - charge),
        "arrays": arrays,
    }
