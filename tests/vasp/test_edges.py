"""Band edges: what is gapped, what is a metal, what nobody can say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hibana.vasp.edges import band_edges


@st.composite
def insulators(draw):
    """A gapped crystal: eigenvalues, occupations, k-points, and its VBM and CBM."""
    nk, filled, empty, nspin = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 2))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vbm, gap = draw(st.floats(-5, 5)), draw(st.floats(0.05, 8))
    valence = vbm - random.uniform(0.01, 5, (nspin, nk, filled))
    conduction = vbm + gap + random.uniform(0.01, 5, (nspin, nk, empty))
    valence[random.integers(nspin), random.integers(nk), random.integers(filled)] = vbm
    conduction[random.integers(nspin), random.integers(nk), random.integers(empty)] = vbm + gap
    eigenvalues = np.concatenate([valence, conduction], axis=-1)
    occupations = np.concatenate([np.ones_like(valence), np.zeros_like(conduction)], axis=-1)
    shuffled = random.permutation(filled + empty)
    kpoints = random.uniform(-0.5, 0.5, (nk, 3))
    return eigenvalues[..., shuffled], occupations[..., shuffled], kpoints, vbm, gap


@given(insulators())
def test_edges_of_an_insulator(crystal):
    eigenvalues, occupations, kpoints, vbm, gap = crystal
    electrons = occupations[:, 0].sum() * (2 if len(occupations) == 1 else 1)
    edges = band_edges(
        eigenvalues, occupations, kpoints, nelect=electrons, electrons_per_state=2 if len(occupations) == 1 else 1, efermi=0.1
    )
    assert edges.gap_class == "gapped"
    assert edges.vbm == pytest.approx(vbm)
    assert edges.cbm == pytest.approx(vbm + gap)
    assert edges.band_gap == pytest.approx(gap, abs=1e-6)
    assert edges.direct_gap >= edges.band_gap - 1e-6
    assert edges.is_direct == (edges.vbm_kpoint == edges.cbm_kpoint)
    assert edges.is_direct == (edges.direct_gap - edges.band_gap < 1.0005e-3)
    assert edges.efermi == 0.1
    assert edges.occupation_deviation == 0


@given(insulators(), st.floats(0.001, 0.49))
def test_a_smeared_tail_moves_no_edge(crystal, tail):
    eigenvalues, occupations, kpoints, vbm, gap = crystal
    smeared = np.abs(occupations - tail)
    edges = band_edges(eigenvalues, smeared, kpoints)
    assert (edges.vbm, edges.cbm) == (pytest.approx(vbm), pytest.approx(vbm + gap))
    assert edges.occupation_deviation == pytest.approx(tail)


def test_a_band_that_is_filled_at_some_k_points_only_is_a_metal():
    occupations = np.array([[[1.0, 0.0], [1.0, 1.0]]])
    edges = band_edges(np.array([[[0.0, 2.0], [0.1, 1.0]]]), occupations, np.zeros((2, 3)))
    assert (edges.gap_class, edges.band_gap, edges.vbm) == ("metal", 0.0, None)


def test_overlapping_bands_are_a_metal():
    occupations = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    edges = band_edges(np.array([[[0.0, 2.0], [2.5, 3.0]]]), occupations, np.zeros((2, 3)))
    assert edges.gap_class == "metal"


def test_a_level_shared_by_too_few_electrons_is_no_gap():
    occupations = np.array([[[1.0, 1 / 3, 1 / 3, 1 / 3]]])
    edges = band_edges(np.array([[[-20.0, -7.0, -7.0, -7.0]]]), occupations, np.zeros((1, 3)), nelect=2.0)
    assert edges.gap_class == "metal"


@pytest.mark.parametrize(
    ("eigenvalues", "occupations"),
    [
        (None, None),
        (np.array([[[0.0, 1.0]]]), np.array([[[1.0, 1.0]]])),
        (np.array([[[0.0, np.nan]]]), np.array([[[1.0, 0.0]]])),
    ],
)
def test_what_is_not_known_is_unknown_and_never_a_metal(eigenvalues, occupations):
    edges = band_edges(eigenvalues, occupations, np.zeros((1, 3)))
    assert (edges.gap_class, edges.band_gap) == ("unknown", None)


def test_one_point_listed_twice_is_direct():
    eigenvalues = np.array([[[0.0, 2.0], [-1.0, 3.0], [0.0, 2.0 - 1e-4]]])
    occupations = np.array([[[1.0, 0.0]] * 3])
    kpoints = np.array([[0, 0, 0], [0.5, 0, 0], [0, 0, 0]])
    edges = band_edges(eigenvalues, occupations, kpoints)
    assert edges.is_direct
    assert edges.vbm_kpoint == edges.cbm_kpoint == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("what", ["eigenvalues", "occupations"])
def test_a_number_that_cannot_be_read_makes_no_metal(what):
    numbers = {"eigenvalues": np.array([[[0.0, 5.0]]]), "occupations": np.array([[[1.0, 0.0]]])}
    numbers[what][0, 0, 0] = np.nan
    edges = band_edges(*numbers.values(), np.zeros((1, 3)), nelect=2, electrons_per_state=2, efermi=1.0)
    assert (edges.gap_class, edges.band_gap, edges.occupation_deviation) == ("unknown", None, None)
