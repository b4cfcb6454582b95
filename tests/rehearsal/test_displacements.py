"""Displacement plans and fits against crystals of springs, whose derivatives are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engine_runs import ZNO, mgo
from pymatgen.core import Lattice, Structure

from hibana.rehearsal.displacements import Move, born_charges, force_constants, plan
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.kpoints import KpointMesh, KpointPlan
from hibana.rehearsal.local_fields import measuring_directions
from hibana.rehearsal.modes import TERAHERTZ, ionic_tensor, vibrations, without_translations
from hibana.rehearsal.result import Species
from hibana.rehearsal.settings import resolve
from hibana.rehearsal.spacegroup import SpaceGroup

CRYSTALS = {
    "rock salt": Structure.from_str(mgo(), fmt="poscar"),
    "conventional rock salt": Structure.from_str(mgo(), fmt="poscar").to_conventional(),
    "wurtzite": Structure.from_str(ZNO, fmt="poscar"),
    "rutile": Structure.from_spacegroup(136, Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
    "zinc blende": Structure.from_spacegroup(
        216, Lattice.cubic(5.4), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]
    ).get_primitive_structure(),
    "monoclinic": Structure.from_spacegroup(
        15, Lattice.monoclinic(4.7, 3.4, 5.1, 99.5), ["Cu", "O"], [[0.25, 0.25, 0], [0, 0.416, 0.25]]
    ).get_primitive_structure(),
    "triclinic": Structure(Lattice.from_parameters(3.1, 3.7, 4.4, 81, 97, 103), ["Mg", "O"], [[0, 0, 0], [0.46, 0.52, 0.55]]),
}


def inputs_of(structure: Structure, **changes: Any) -> RunInputs:
    """Inputs that hold a structure; everything else is of no account here."""
    structure = structure.get_sorted_structure()
    symbols = [site.specie.symbol for site in structure]
    species = tuple(Species(s, symbols.count(s), "", "", 8.0, 400.0, 16.0) for s in dict.fromkeys(symbols))
    settings = replace(resolve({}, species), **changes)
    lattice, frac = np.array(structure.lattice.matrix), np.array(structure.frac_coords)
    no_points = KpointPlan(KpointMesh("listgenerated"), np.zeros((0, 3)), None)
    return RunInputs({}, settings, lattice, frac, species, (), None, no_points, np.eye(3, dtype=int)[None], "", ())


def springs(inputs: RunInputs) -> np.ndarray:
    """Force constants of central springs between all pairs, stiffer for unlike atoms and short distances."""
    cart, lattice, symbols = inputs.frac_coords @ inputs.lattice, inputs.lattice, inputs.symbols
    cells = np.array(np.meshgrid(*[np.arange(-2, 3)] * 3)).reshape(3, -1).T @ lattice
    n = len(cart)
    matrix = np.zeros((n, 3, n, 3))
    for a in range(n):
        for b in range(n):
            vectors = cart[b] + cells - cart[a]
            length = np.linalg.norm(vectors, axis=1)
            stiffness = (7.0 if symbols[a] != symbols[b] else 2.0) * 100 * np.exp(-((length / 1.1) ** 2))
            near = length > 1e-6
            block = np.einsum("c,ci,cj->ij", stiffness[near] / length[near] ** 2, vectors[near], vectors[near])
            matrix[a, :, b] -= block
            matrix[a, :, a] += block
    return matrix.reshape(3 * n, 3 * n)


def charges(inputs: RunInputs) -> np.ndarray:
    """Site tensors with the crystal's symmetry: sums over neighbours, as the true ones are."""
    cart, lattice, symbols = inputs.frac_coords @ inputs.lattice, inputs.lattice, inputs.symbols
    cells = np.array(np.meshgrid(*[np.arange(-2, 3)] * 3)).reshape(3, -1).T @ lattice
    tensors = []
    for a in range(len(cart)):
        vectors = np.concatenate([cart[b] + cells - cart[a] for b in range(len(cart))])
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        weights = 10 * np.exp(-((length / 1.1) ** 2))
        tilt = (weights * vectors).T @ vectors + 0.3 * np.einsum("c,ci,cj->ij", weights[:, 0] ** 2, vectors, vectors)
        tensors.append((1 if symbols[a] == symbols[0] else -1) * tilt)
    return np.array(tensors)


@pytest.mark.parametrize("name", CRYSTALS)
def test_fits_return_the_derivatives_of_a_crystal_of_springs(name):
    inputs = inputs_of(CRYSTALS[name])
    group = SpaceGroup.of(inputs)
    matrix, tensors = springs(inputs), charges(inputs)
    n = len(inputs.symbols)
    moves, forces, dipoles = [], [], []
    for line in plan(group, inputs.lattice):
        for sign in (1, -1) if line.both else (1,):
            move = Move(line.atom, 0.01 * sign * line.direction)
            u = np.zeros((n, 3))
            u[move.atom] = move.vector
            moves.append(move)
            forces.append(-(matrix @ u.ravel()).reshape(n, 3))
            dipoles.append(tensors[move.atom] @ move.vector)
    found = force_constants(group, moves, forces)
    assert found == pytest.approx(matrix, abs=1e-6 * np.abs(matrix).max())
    assert born_charges(group, moves, dipoles) == pytest.approx(tensors, abs=1e-6 * np.abs(tensors).max())


def test_terms_of_second_order_do_not_enter():
    """A dipole quadratic in the displacement, as wurtzite allows, beside the linear one."""
    inputs = inputs_of(CRYSTALS["wurtzite"])
    group = SpaceGroup.of(inputs)
    moves, dipoles = [], []
    for line in plan(group, inputs.lattice):
        for sign in (1, -1) if line.both else (1,):
            vector = 0.1 * sign * line.direction
            moves.append(Move(line.atom, vector))
            dipoles.append(2.0 * vector + np.array([0, 0, 30 * vector @ vector]))
    found = born_charges(group, moves, dipoles)
    assert found == pytest.approx(np.tile(2 * np.eye(3), (4, 1, 1)), abs=1e-9)


@pytest.mark.parametrize(("name", "most"), [("rock salt", 2), ("conventional rock salt", 2), ("wurtzite", 4), ("zinc blende", 4)])
def test_few_displacements_are_needed(name, most):
    inputs = inputs_of(CRYSTALS[name])
    lines = plan(SpaceGroup.of(inputs), inputs.lattice)
    assert sum(1 + line.both for line in lines) <= most


def test_without_symmetry_every_ion_is_displaced_both_ways():
    inputs = inputs_of(CRYSTALS["rock salt"], isym=0)
    lines = plan(SpaceGroup.of(inputs), inputs.lattice)
    assert len(lines) == 6
    assert all(line.both for line in lines)


@pytest.mark.parametrize(
    ("name", "count"), [("rock salt", 1), ("wurtzite", 2), ("rutile", 2), ("monoclinic", 4), ("triclinic", 6)]
)
def test_a_tensor_follows_from_as_many_directions_as_the_crystal_has_components(name, count):
    group = SpaceGroup.of(inputs_of(CRYSTALS[name]))
    basis = group.invariant_tensors()
    directions = measuring_directions(basis)
    assert len(basis) == len(directions) == count
    rng = np.random.default_rng(1)
    random = rng.normal(size=(3, 3))
    tensor = group.average(random + random.T)
    values = np.einsum("di,ij,dj->d", directions, tensor, directions)
    coefficients = np.linalg.solve(np.einsum("di,bij,dj->db", directions, basis, directions), values)
    assert np.einsum("b,bij->ij", coefficients, basis) == pytest.approx(tensor)


def test_moments_lower_the_symmetry():
    structure = CRYSTALS["conventional rock salt"]
    inputs = inputs_of(structure, nspin=2, magmom=(1.0, 1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0))
    assert len(SpaceGroup.of(inputs).rotations) < len(SpaceGroup.of(inputs_of(structure)).rotations)


def test_two_masses_on_a_spring():
    """Frequency sqrt(k / reduced mass), eigenvectors in inverse ratio of the roots of the masses."""
    k, masses = 10.0, np.array([24.0, 16.0])
    matrix = k * np.kron(np.array([[1, -1], [-1, 1]]), np.eye(3))
    frequencies, vectors = vibrations(matrix, masses)
    assert frequencies[:3] == pytest.approx(TERAHERTZ * np.sqrt(k * (1 / 24 + 1 / 16)))
    assert frequencies[3:] == pytest.approx(0, abs=1e-5)
    assert pytest.approx(15.6333, abs=1e-4) == TERAHERTZ
    assert np.einsum("mai,nai->mn", vectors, vectors) == pytest.approx(np.eye(6), abs=1e-12)
    assert (np.diff(frequencies) <= 0).all()
    assert vibrations(-matrix, masses)[0][-3:] == pytest.approx(-frequencies[:3])


def test_ions_polarise_by_charge_over_stiffness():
    """Two ions +-z on springs k: 4 pi 14.4 eV Å z^2 / (k V), whatever the masses."""
    z, k, volume = 2.0, 5.654, 18.79
    matrix = k * np.kron(np.array([[1, -1], [-1, 1]]), np.eye(3))
    tensors = np.array([z * np.eye(3), -z * np.eye(3)])
    expected = 4 * np.pi * 14.399645 * z**2 / k / volume
    assert ionic_tensor(matrix, tensors, volume) == pytest.approx(expected * np.eye(3), rel=1e-6)
    spoiled = matrix + 0.01 * np.eye(6)
    assert without_translations(spoiled) @ np.tile(np.eye(3), (2, 1)) == pytest.approx(np.zeros((6, 3)), abs=1e-12)
    assert ionic_tensor(without_translations(spoiled), tensors, volume) == pytest.approx(expected * np.eye(3), rel=0.01)
    assert ionic_tensor(np.zeros((3, 3)), np.zeros((1, 3, 3)), volume) == pytest.approx(np.zeros((3, 3)))
