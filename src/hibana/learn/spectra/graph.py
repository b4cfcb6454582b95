"""Crystals as graphs: atoms that symmetry makes alike are one node, bonds lead to the nearest shells around each.

Atoms of one orbit have the same surroundings, so a network of messages gives them the same numbers. The graph therefore holds one
atom of each orbit with its multiplicity, and says of each bond which node lies at its other end and how the bond looks from
there. A cell and its supercell have the same graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

VERSION = "1"
"""Of the definition; another version makes other graphs."""

SYMMETRY_TOLERANCE = 0.01
"""Å; how far atoms may be from where a symmetry operation puts them."""

SHELL_TOLERANCE = 0.01
"""Å; atoms whose distances differ by no more are of one shell, which is taken whole."""

FIRST_RADIUS = 6.0
"""Å; where neighbours are looked for first."""

GROWTH = 1.4
"""Factor by which the radius grows as long as there are too few neighbours within it."""


@dataclass(frozen=True)
class Graph:
    """A crystal: nodes are atoms that differ by symmetry.

    Parameters
    ----------
    numbers
        (n_nodes,) atomic numbers.
    multiplicities
        (n_nodes,) atoms of the cell that the node stands for.
    centres
        (n_bonds,) node each bond belongs to, ascending.
    neighbours
        (n_bonds,) node like the atom at the other end.
    outward
        (n_bonds, 3) vector in Å from the centre to the other end.
    backward
        (n_bonds, 3) vector in Å from the other end to the centre, turned by the symmetry operation that takes the other end to
        its node. It makes angles with the bonds of that node.
    """

    numbers: Indices
    multiplicities: Indices
    centres: Indices
    neighbours: Indices
    outward: Array
    backward: Array

    @property
    def distances(self) -> Array:
        """Lengths of the bonds in Å, (n_bonds,)."""
        return np.linalg.norm(self.outward, axis=1)

    def as_array(self) -> Array:
        """All numbers in one array, see :func:`graph_from_array`."""
        heads = [len(self.numbers), len(self.centres)]
        parts = (self.numbers, self.multiplicities, self.centres, self.neighbours, self.outward.ravel(), self.backward.ravel())
        return np.concatenate([np.asarray(heads, dtype=float), *(np.asarray(part, dtype=float) for part in parts)])


def graph_from_array(numbers: Array) -> Graph:
    """The graph that :meth:`Graph.as_array` wrote."""
    n_nodes, n_bonds = int(numbers[0]), int(numbers[1])
    sizes = np.cumsum([2, n_nodes, n_nodes, n_bonds, n_bonds, 3 * n_bonds])
    nodes, multiplicities, centres, neighbours, outward, backward = np.split(numbers, sizes)[1:]
    whole = (part.astype(np.intp) for part in (nodes, multiplicities, centres, neighbours))
    return Graph(*whole, outward.reshape(-1, 3), backward.reshape(-1, 3))


def crystal_graph(structure: Structure, neighbours: int = 12, *, symmetry: bool = True) -> Graph:
    """Graph of a crystal.

    Parameters
    ----------
    structure
        An ordered crystal.
    neighbours
        Bonds an atom has at least: the shell of the last of them is taken whole.
    symmetry
        Whether atoms that symmetry makes alike are one node; without, each atom is one.

    Raises
    ------
    ValueError
        If a site is disordered.
    """
    if not structure.is_ordered:
        raise ValueError("a site is disordered")
    numbers = np.array([site.specie.Z for site in structure], dtype=np.intp)
    orbits, turns = _orbits(structure, numbers) if symmetry else _alone(len(numbers))
    nodes, node_of, multiplicities = np.unique(orbits, return_inverse=True, return_counts=True)
    centres, ends, outward = _bonds(structure, nodes, neighbours)
    backward = np.einsum("bij,bj->bi", turns[ends], -outward)
    return Graph(numbers[nodes], multiplicities, centres, node_of[ends], outward, backward)


def _alone(n_atoms: int) -> tuple[Indices, Array]:
    """Every atom is an orbit."""
    return np.arange(n_atoms), np.broadcast_to(np.eye(3), (n_atoms, 3, 3))


def _orbits(structure: Structure, numbers: Indices) -> tuple[Indices, Array]:
    """First atom of the orbit of each (n_atoms,), and the Cartesian rotation that takes each atom to it (n_atoms, 3, 3)."""
    import spglib

    lattice, fractions = structure.lattice.matrix, structure.frac_coords
    found = spglib.get_symmetry_dataset((lattice, fractions, numbers), symprec=SYMMETRY_TOLERANCE)
    if found is None:
        return _alone(len(numbers))
    orbits = np.asarray(found.equivalent_atoms, dtype=np.intp)
    best, miss = np.zeros(len(numbers), dtype=np.intp), np.full(len(numbers), np.inf)
    for index, (rotation, translation) in enumerate(zip(found.rotations, found.translations, strict=True)):
        apart = fractions @ rotation.T + translation - fractions[orbits]
        distance = np.linalg.norm((apart - np.rint(apart)) @ lattice, axis=1)
        closer = distance < miss - SYMMETRY_TOLERANCE * 1e-3
        best[closer], miss[closer] = index, distance[closer]
    if miss.max() > 2 * SYMMETRY_TOLERANCE:
        return _alone(len(numbers))
    turns = np.linalg.inv(lattice.T)
    return orbits, np.einsum("ij,njk,kl->nil", lattice.T, found.rotations[best].astype(float), turns)


def _bonds(structure: Structure, nodes: Indices, neighbours: int) -> tuple[Indices, Indices, Array]:
    """Node, atom at the other end, and vector of each bond, sorted by node."""
    radius, lattice = FIRST_RADIUS, structure.lattice.matrix
    sites = [structure[int(node)] for node in nodes]
    while True:
        centres, ends, images, distances = structure.get_neighbor_list(radius, sites=sites, exclude_self=False)
        others = (ends != nodes[centres]) | images.any(axis=1)
        centres, ends, images, distances = centres[others], ends[others], images[others], distances[others]
        if len(centres) and np.bincount(centres, minlength=len(nodes)).min() >= neighbours:
            order = np.lexsort((distances, centres))
            centres, ends, images, distances = centres[order], ends[order], images[order], distances[order]
            starts = np.searchsorted(centres, np.arange(len(nodes)))
            limits = distances[starts + neighbours - 1] + SHELL_TOLERANCE
            if limits.max() <= radius:
                break
        radius *= GROWTH
    kept = distances <= limits[centres]
    centres, ends, images = centres[kept], ends[kept], images[kept]
    fractions = structure.frac_coords
    outward = (fractions[ends] + images - fractions[nodes[centres]]) @ lattice
    return centres.astype(np.intp), ends.astype(np.intp), outward
