"""Features of crystals and of sites."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

from hibana.core.errors import HibanaError
from hibana.learn.dataset import read_dataset
from hibana.learn.features.sites import site_dictionary, site_features
from hibana.learn.features.structure import structure_dictionary, structure_features
from hibana.learn.features.surroundings import Surroundings, gaussian_labels, order_labels


def perovskite(shift=0.0):
    """Cubic SrTiO3, or with titanium moved along z by a fraction of the lattice parameter."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5 + shift], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], sites)


def rocksalt():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.212), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def published(recorded):
    """Small published crystals of low symmetry among others."""
    found = (structure for _, structure in read_dataset(recorded / "ml_data/oxide_dielectric_pbesol").structures())
    return list(itertools.islice((structure for structure in found if 5 < len(structure) < 13), 4))


def test_order_parameters_and_symmetry_functions_are_those_of_matminer(published):
    from matminer.featurizers.site import CrystalNNFingerprint, GaussianSymmFunc

    fingerprint, gaussian = CrystalNNFingerprint.from_preset("ops"), GaussianSymmFunc()
    for structure in published[:2]:
        surroundings = Surroundings(structure)
        for site in range(0, len(structure), 3):
            np.testing.assert_allclose(surroundings.orders(site), fingerprint.featurize(structure, site), atol=1e-9)
            np.testing.assert_allclose(surroundings.gaussians(site), gaussian.featurize(structure, site), rtol=1e-9)
    assert list(order_labels()) == fingerprint.feature_labels()
    assert list(gaussian_labels()) == gaussian.feature_labels()


def test_statistics_over_distinct_sites_are_those_over_all(published):
    from matminer.featurizers.site import CrystalNNFingerprint
    from matminer.featurizers.structure import SiteStatsFingerprint

    stats = ("mean", "std_dev", "minimum", "maximum")
    featuriser = SiteStatsFingerprint(CrystalNNFingerprint.from_preset("ops"), stats=stats)
    structure = max(published, key=lambda structure: structure.get_space_group_info()[1])
    ours = structure_features([structure])[featuriser.feature_labels()].to_numpy()[0]
    np.testing.assert_allclose(ours, featuriser.featurize(structure), atol=5e-3)


def test_coordination_numbers_are_those_of_crystal_nn():
    from pymatgen.analysis.local_env import CrystalNN

    structure = perovskite(0.03)
    surroundings = Surroundings(structure)
    for site in range(len(structure)):
        expected = CrystalNN(weighted_cn=True).get_cn(structure, site, use_weights=True)
        assert surroundings.bonds(site).coordination == pytest.approx(expected, abs=1e-6)


def test_perovskite_has_an_octahedral_transition_metal():
    features = structure_features([perovskite()]).iloc[0]
    assert features["octahedral transition_metal"] == pytest.approx(1)
    assert features["octahedral transition_metal per atom"] == pytest.approx(0.2)
    assert features["transition_metal coordination number"] == pytest.approx(6)
    assert features["tetrahedral transition_metal"] == 0
    assert features["cuboctahedral alkaline_earth"] > 0.9
    assert features["octahedral f_block"] == 0
    assert np.isnan(features["f_block coordination number"])
    assert features["bond length minimum"] == pytest.approx(3.905 / 2)
    assert (features["crystal system"], features["point group order"], features["centrosymmetric"]) == (7, 48, 1)
    assert features["information per atom"] == pytest.approx(2 * 0.2 * np.log2(5) + 0.6 * np.log2(5 / 3))
    assert features["NpValence per volume"] == pytest.approx(12 / 3.905**3)
    assert features["transition_metal per volume"] == pytest.approx(1 / 3.905**3)
    assert features["density"] == pytest.approx(perovskite().density, rel=1e-4)


def test_titanium_off_centre_is_seen():
    features = structure_features([perovskite(), perovskite(0.02), perovskite(0.06)])
    asymmetry = features["transition_metal bond asymmetry"]
    assert asymmetry[0] == pytest.approx(0, abs=1e-9)
    assert 0.02 < asymmetry[1] < asymmetry[2] < 1
    assert features["transition_metal bond length distortion"][1] > 0.005
    assert features["centrosymmetric"].tolist() == [1, 0, 0]


@settings(max_examples=6)
@given(
    cell=st.sampled_from([(1, 1, 2), (2, 1, 1), (1, 2, 2)]),
    angle=st.floats(1, 179),
    shift=st.tuples(*[st.floats(0, 1)] * 3),
    shuffler=st.randoms(),
    off=st.sampled_from([0.0, 0.03]),
)
def test_description_of_a_crystal_plays_no_part(cell, angle, shift, shuffler, off):
    one = perovskite(off)
    other = one * cell
    other.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], angle))
    other.translate_sites(list(range(len(other))), shift)
    sites = list(other)
    shuffler.shuffle(sites)
    features = structure_features([one, Structure.from_sites(sites)]).drop(columns="distinct sites")
    np.testing.assert_allclose(features.iloc[1], features.iloc[0], rtol=5e-3, atol=5e-3)


def test_what_fails_is_a_row_without_features():
    disordered = Structure(Lattice.cubic(4), [{"Mg": 0.5, "Ca": 0.5}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    features = structure_features([disordered, rocksalt()])
    assert features.iloc[0].isna().all()
    assert features.loc[1, "octahedral alkaline_earth"] == pytest.approx(1)


def test_oxidation_states_and_moments_play_no_part():
    decorated = rocksalt()
    decorated.add_oxidation_state_by_element({"Mg": 2, "O": -2})
    decorated.add_site_property("magmom", [1.0] * len(decorated))
    features = structure_features([rocksalt(), decorated])
    np.testing.assert_array_equal(features.iloc[0], features.iloc[1])


def test_dictionary_has_every_feature_once():
    for entries in (structure_dictionary(), site_dictionary()):
        names = [entry.name for entry in entries]
        assert len(set(names)) == len(names)
        assert all(entry.unit and entry.meaning and entry.source for entry in entries)
    assert list(structure_features([])) == [entry.name for entry in structure_dictionary()]


def test_oxygen_of_rocksalt():
    features = site_features(rocksalt(), 4)
    assert features["coordination number"] == pytest.approx(6, abs=0.01)
    assert features["shortest bond"] == features["longest bond"] == pytest.approx(2.106)
    assert features["bond angle"] == pytest.approx((12 * 90 + 3 * 180) / 15, abs=0.5)
    assert features["neighbour fraction alkaline_earth"] == pytest.approx(1)
    assert features["neighbour Number mean"] == pytest.approx(12)
    assert features["neighbour Electronegativity difference"] == pytest.approx(3.44 - 1.31)
    assert features["nearest of same element"] == pytest.approx(4.212 / np.sqrt(2))
    assert features["neighbour coordination mean"] == pytest.approx(6, abs=0.01)
    assert features["site Number"] == 8


def test_nearest_image_of_the_only_oxygen():
    structure = Structure(Lattice.from_parameters(5, 3, 9, 90, 90, 30), ["O", "Mg"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    expected = min(site.nn_distance for site in structure.get_all_neighbors(9.0)[0] if site.specie.symbol == "O")
    assert site_features(structure, 0)["nearest of same element"] == pytest.approx(expected)


def test_site_that_is_not_there():
    with pytest.raises(IndexError, match="no site 8"):
        site_features(rocksalt(), 8)
    with pytest.raises(IndexError, match="no site -1"):
        site_features(rocksalt(), -1)
    with pytest.raises(HibanaError, match="HIB-011"):
        site_features(Structure(Lattice.cubic(4), [{"Mg": 0.5}], [[0, 0, 0]]), 0)
