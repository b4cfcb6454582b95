"""Clusters of vectors and what they explain; comparison of groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hibana.learn.spectra.ward import clusters_of, explained, mean_spectra, standardised, variance_removed, ward_clusters


def blobs(n=60, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    return labels, centres[labels] + generator.normal(size=(n, 2)), np.eye(3)[labels] + 0.01 * generator.random((n, 3))


def test_ward_finds_groups_and_new_points_go_to_the_nearest():
    labels, points, _ = blobs()
    found = ward_clusters(points, 3)
    for number in range(3):
        assert len(set(found.labels[labels == number])) == 1
    others, new, _ = blobs(seed=1)
    assert all(len(set(found.nearest(new)[others == number])) == 1 for number in range(3))


def test_many_rows_are_clustered_without_all_pairs(monkeypatch):
    monkeypatch.setattr("hibana.learn.spectra.ward.MOST_EXACT", 50)
    monkeypatch.setattr("hibana.learn.spectra.ward.CENTRES", 20)
    labels, points, _ = blobs(600)
    found = ward_clusters(points, 3)
    assert all(len(set(found.labels[labels == number])) == 1 for number in range(3))


def test_largest_cluster_comes_first():
    found = clusters_of(np.array([7, 7, 3, 9, 9, 9]), np.arange(6.0)[:, None])
    assert found.labels.tolist() == [1, 1, 2, 0, 0, 0]
    assert found.centres.ravel().tolist() == [4.0, 0.5, 2.0]


def test_right_clusters_explain_all_and_wrong_ones_nothing():
    labels, _, spectra = blobs(300)
    others, _, held_out = blobs(60, seed=1)
    assert explained(labels, spectra, others, held_out) > 0.99
    shuffled = np.random.default_rng(2).permutation(labels)
    assert explained(shuffled, spectra, others, held_out) < 0.05
    assert explained(np.zeros_like(labels), spectra, np.zeros_like(others), held_out) == pytest.approx(0, abs=1e-12)


def test_points_that_are_missing_do_not_count():
    labels, _, spectra = blobs(90)
    holes = spectra.copy()
    holes[::2, 1] = np.nan
    assert explained(labels, holes, labels, holes) > 0.99
    assert mean_spectra(labels, holes, 4)[3] == pytest.approx(np.nanmean(holes, axis=0))
    truth = np.array([[1.0, np.nan]])
    assert variance_removed(truth, np.array([[1.0, 5.0]]), np.array([0.0, 0.0])) == 1.0


def test_standardised_columns():
    first, second = standardised(np.array([[1.0, 2, np.nan], [3, 2, 4], [5, 2, 6]]), np.array([[3.0, 9, np.nan]]))
    assert first.mean(axis=0) == pytest.approx([0, 0])
    assert first.shape == (3, 2)
    assert second.tolist() == [[0.0, 0.0]]


def test_groups_are_compared_by_elements_and_coordination():
    from hibana.learn.spectra.groups import compare_groups

    labels = np.repeat([0, 1], 40)
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "O": generator.normal(3, 0.1, 80),
            "Ti": np.where(labels == 0, generator.normal(6, 0.1, 80), generator.normal(4, 0.1, 80)),
            "W": np.where((labels == 0) & (np.arange(80) % 2 == 0), 6.0, np.nan),
        }
    )
    found = compare_groups(labels, frame).set_index(["cluster", "feature"])
    titanium = found.loc[(0, "coordination of Ti")]
    assert (titanium["statistic"], titanium["inside"] > 5.9, titanium["outside"] < 4.1) == (1.0, True, True)
    assert titanium["q"] < 1e-6
    assert found.loc[(1, "coordination of Ti"), "statistic"] == -1.0
    tungsten = found.loc[(0, "has W")]
    assert (tungsten["inside"], tungsten["outside"]) == (0.5, 0.0)
    assert found.loc[(0, "coordination of O"), "q"] > 0.01
    assert (1, "has W") not in found.index
    assert (found["q"] >= found["p"]).all()
