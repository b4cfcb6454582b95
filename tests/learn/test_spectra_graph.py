"""Graphs of crystals, and what a network makes of them whatever cell, order, orientation and origin they are given in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from hibana.learn.spectra.batch import collate
from hibana.learn.spectra.graph import crystal_graph, graph_from_array
from hibana.learn.spectra.groups import coordination
from hibana.learn.spectra.network import Shape, SpectrumNetwork, make_network

SHAPE = Shape(7, channels=16, alignn_layers=2, gcn_layers=1, distance_bins=20, angle_bins=10, expansion=8)


def perovskite() -> Structure:
    cell = Lattice.orthorhombic(3.9, 4.1, 4.4)
    sites = [[0, 0, 0], [0.5, 0.5, 0.48], [0.5, 0.5, 0.01], [0.5, 0, 0.52], [0, 0.5, 0.51]]
    return Structure(cell, ["Ba", "Ti", "O", "O", "O"], sites)


def rutile() -> Structure:
    return Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]])


def spinel() -> Structure:
    species, places = ["Mg", "Al", "O"], [[0] * 3, [0.625] * 3, [0.3875] * 3]
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(8.08), species, places).get_primitive_structure()


CRYSTALS = {"perovskite": perovskite, "rutile": rutile, "spinel": spinel}


def sensitive(seed: int = 3) -> SpectrumNetwork:
    """A network with large weights: one that is not trained hardly minds angles."""
    network = make_network(SHAPE, seed).eval()
    with torch.no_grad():
        for weights in network.parameters():
            if weights.dim() > 1:
                weights.mul_(4)
    return network


def spectrum(structure: Structure, neighbours: int = 8, *, symmetry: bool = True) -> np.ndarray:
    network = sensitive()
    with torch.no_grad():
        return network(collate([crystal_graph(structure, neighbours, symmetry=symmetry)])).numpy()[0]


def turned(structure: Structure, rotation: np.ndarray) -> Structure:
    return Structure(Lattice(structure.lattice.matrix @ rotation.T), structure.species, structure.frac_coords)


@pytest.mark.parametrize("name", CRYSTALS)
def test_one_node_an_orbit_says_the_same_as_one_node_an_atom(name):
    structure = CRYSTALS[name]()
    whole = crystal_graph(structure, 8, symmetry=False)
    assert len(whole.numbers) == len(structure)
    assert len(crystal_graph(structure, 8).numbers) <= len(whole.numbers)
    assert spectrum(structure) == pytest.approx(spectrum(structure, symmetry=False), rel=1e-4)


def test_spinel_has_three_nodes_with_their_multiplicities():
    graph = crystal_graph(spinel(), 8)
    assert sorted(zip(graph.numbers.tolist(), graph.multiplicities.tolist(), strict=True)) == [(8, 8), (12, 2), (13, 4)]


@pytest.mark.parametrize("symmetry", [True, False])
@pytest.mark.parametrize("scaling", [(2, 1, 1), (1, 2, 2), [[1, 1, 0], [-1, 1, 0], [0, 0, 1]]])
@pytest.mark.parametrize("name", CRYSTALS)
def test_supercells_have_the_spectrum_of_their_cell(name, scaling, symmetry):
    structure = CRYSTALS[name]()
    large = structure.copy()
    large.make_supercell(scaling)
    assert len(large) > len(structure)
    assert spectrum(large, symmetry=symmetry) == pytest.approx(spectrum(structure), rel=1e-4)


@settings(max_examples=15)
@given(
    name=st.sampled_from(sorted(CRYSTALS)),
    order=st.randoms(use_true_random=False),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    shift=st.tuples(*[st.floats(-1, 1)] * 3),
    mirrored=st.booleans(),
)
def test_order_orientation_and_origin_do_not_matter(name, order, angles, shift, mirrored):
    structure = CRYSTALS[name]()
    reference = spectrum(structure)
    places = list(range(len(structure)))
    order.shuffle(places)
    rotation = Rotation.from_euler("zyx", angles, degrees=True).as_matrix() * (-1 if mirrored else 1)
    other = turned(Structure.from_sites([structure[place] for place in places]), rotation)
    other.translate_sites(range(len(other)), shift)
    assert spectrum(other) == pytest.approx(reference, rel=1e-4)


@settings(max_examples=10)
@given(strain=st.floats(0.02, 0.1))
def test_strain_and_other_elements_do_matter(strain):
    structure, other = rutile(), rutile()
    other.apply_strain([0, 0, strain])
    assert np.abs(spectrum(other) / spectrum(structure) - 1).max() > 1e-3
    exchanged = rutile()
    exchanged.replace_species({"Ti": "Sn"})
    assert np.abs(spectrum(exchanged) / spectrum(structure) - 1).max() > 1e-3


def test_angles_matter():
    batch = collate([crystal_graph(perovskite(), 8)])
    network = sensitive()
    with torch.no_grad():
        first, second = network(batch), network(replace(batch, cosines=-batch.cosines))
    assert (first / second - 1).abs().max() > 1e-3


@pytest.mark.parametrize("name", CRYSTALS)
def test_shells_are_taken_whole(name):
    structure = CRYSTALS[name]()
    graph = crystal_graph(structure, 8, symmetry=False)
    for node in range(len(graph.numbers)):
        reach = graph.distances[graph.centres == node].max()
        near = structure.get_neighbors(structure[node], reach + 1e-3)
        assert len(near) == (graph.centres == node).sum() >= 8


def test_vectors_lead_to_atoms_of_the_element_that_the_graph_says():
    structure = spinel()
    graph = crystal_graph(structure, 8)
    for centre, neighbour, vector in zip(graph.centres, graph.neighbours, graph.outward, strict=True):
        first = next(site for site in structure if graph.numbers[centre] == site.specie.Z)
        (end,) = structure.get_sites_in_sphere(first.coords + vector, 0.01)
        assert graph.numbers[neighbour] == end.specie.Z


def test_graphs_survive_the_cache():
    graph = crystal_graph(rutile(), 8)
    other = graph_from_array(graph.as_array())
    for name in ("numbers", "multiplicities", "centres", "neighbours", "outward", "backward"):
        assert np.array_equal(getattr(graph, name), getattr(other, name))


def test_disordered_sites_are_refused():
    with pytest.raises(ValueError, match="disordered"):
        crystal_graph(Structure(Lattice.cubic(4), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]]))


def test_coordination_numbers_of_known_structures():
    """Hoppe's numbers: 6 in rocksalt, 12 in fcc; in rutile 6 for Ti and 3 for O but for the slightly unequal bonds."""
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
    assert coordination(crystal_graph(salt, 12)) == pytest.approx([6, 6], abs=0.15)
    assert coordination(crystal_graph(Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]]), 12)) == (
        pytest.approx([12], abs=0.01)
    )
    graph = crystal_graph(rutile(), 12)
    assert coordination(graph)[graph.numbers == 22] == pytest.approx([6], abs=0.2)


def test_predictions_do_not_depend_on_what_stands_beside():
    network = make_network(SHAPE, 0).eval()
    graphs = [crystal_graph(maker(), 8) for maker in CRYSTALS.values()]
    with torch.no_grad():
        together = network(collate(graphs)).numpy()
        alone = np.concatenate([network(collate([graph])).numpy() for graph in graphs])
    assert together == pytest.approx(alone, rel=1e-5)
    assert (together >= 0).all()
