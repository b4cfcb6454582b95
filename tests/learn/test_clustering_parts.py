"""The parts of target-dependent clustering: leaf space, hierarchy, signatures, residuals, stability."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, is_valid_linkage, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ks_2samp
from sklearn.metrics import adjusted_rand_score

from hibana.core.errors import HibanaError
from hibana.learn.clustering.groups import Wanted, expect, judge_groups
from hibana.learn.clustering.leaves import Forest, grow, leaf_matrix
from hibana.learn.clustering.partition import partition
from hibana.learn.clustering.signature import distinct, signatures
from hibana.learn.clustering.stability import best_jaccard, stability
from hibana.learn.clustering.tree import cut, ward


def steps(rows, seed=0, noise=0.05):
    """Features, a target that takes four values by the signs of two of them, and which of the four a row has."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 8)).astype(np.float32)
    truth = 2 * (features[:, 0] > 0) + (features[:, 1] > 0)
    return features, np.array([0.0, 1.0, 3.0, 7.0])[truth] + noise * rng.normal(size=rows), truth


def test_scalar_product_is_the_share_of_trees_in_which_two_rows_meet():
    features, target, _ = steps(80)
    space = grow(features, target, Forest(trees=15), 0)
    together = (leaves := space.model.apply(features))[:, None, :] == leaves[None, :, :]
    np.testing.assert_allclose((space.matrix @ space.matrix.T).toarray(), together.mean(axis=2), atol=1e-6)
    assert space.matrix.nnz == 80 * 15
    assert space.matrix.shape[1] == sum(tree.get_n_leaves() for tree in space.model.estimators_)


def test_rows_with_missing_features_have_leaves():
    features, target, _ = steps(60)
    features[::3, 0] = np.nan
    space = grow(features, target, Forest(trees=5), 0)
    assert leaf_matrix(space.model, features[:7]).nnz == 35


def test_smallest_leaf_grows_with_the_table_until_trees_see_a_part():
    forest = Forest(leaf_share=0.02)
    assert [forest.leaf(rows) for rows in (50, 1_000, 10_000, 100_000, 1_000_000)] == [3, 20, 200, 400, 400]


@settings(max_examples=30)
@given(st.integers(2, 60), st.integers(1, 6), st.integers(0, 1000))
def test_ward_without_weights_is_scipys(rows, dimensions, seed):
    points = np.random.default_rng(seed).normal(size=(rows, dimensions))
    mine, peer = ward(points, np.ones(rows)), linkage(points, "ward")
    np.testing.assert_allclose(mine, peer, atol=1e-9)
    groups = 1 + seed % rows
    assert adjusted_rand_score(cut(mine, groups)[0], fcluster(peer, groups, "maxclust")) == pytest.approx(1)


@settings(max_examples=30)
@given(st.integers(2, 25), st.integers(0, 1000))
def test_a_weight_is_so_many_points_in_one_place(rows, seed):
    rng = np.random.default_rng(seed)
    points, weights = rng.normal(size=(rows, 3)), rng.integers(1, 6, rows)
    apart = linkage(np.repeat(points, weights, axis=0), "ward")
    np.testing.assert_allclose(ward(points, weights.astype(float))[:, 2], apart[-(rows - 1) :, 2], atol=1e-9)


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 100))
def test_coincident_points_are_cut_into_as_many_groups_as_asked_for(groups, seed):
    points = np.random.default_rng(seed).integers(0, 2, size=(12, 2)).astype(float)
    labels, tree = cut(ward(points, np.ones(12)), groups)
    assert sorted(set(labels)) == list(range(groups))
    assert len(tree) == groups - 1
    assert groups == 1 or is_valid_linkage(tree)


def test_tree_of_the_groups_has_the_heights_of_the_last_merges():
    points = np.random.default_rng(1).normal(size=(40, 3))
    whole = ward(points, np.ones(40))
    labels, tree = cut(whole, 6)
    np.testing.assert_array_equal(tree[:, 2], whole[-5:, 2])
    centres = np.stack([points[labels == group].mean(axis=0) for group in range(6)])
    sizes = np.bincount(labels).astype(float)
    np.testing.assert_allclose(ward(centres, sizes)[:, 2], tree[:, 2])


def test_average_linkage_is_that_of_one_minus_the_proximity():
    features, target, _ = steps(700)
    leaves = grow(features, target, Forest(trees=20), 0).matrix
    proximity = (leaves @ leaves.T).toarray().astype(float)
    distances = squareform(1 - proximity, checks=False)
    peer = fcluster(linkage(np.maximum(distances, 0), "average"), 4, "maxclust")
    assert adjusted_rand_score(partition(leaves, 4, method="average").labels, peer) == pytest.approx(1)


def test_average_linkage_of_many_rows_is_refused():
    features, target, _ = steps(5_001)
    leaves = grow(features, target, Forest(trees=2), 0).matrix
    with pytest.raises(HibanaError, match="HIB-273"):
        partition(leaves, 4, method="average")


@pytest.mark.parametrize(("rows", "method"), [(400, "ward"), (400, "average"), (6_000, "ward")])
def test_groups_are_those_the_target_knows(rows, method):
    """The two features that decide make up a quarter of the variance; groups of the features themselves would not be these."""
    features, target, truth = steps(rows)
    leaves = grow(features, target, Forest(trees=40), 0).matrix
    assert adjusted_rand_score(partition(leaves, 4, method=method).labels, truth) > 0.9
    plain = fcluster(linkage(features[:400], "ward"), 4, "maxclust")
    assert adjusted_rand_score(plain, truth[:400]) < 0.2


def test_many_rows_are_divided_like_few():
    """The way through small groups finds what the hierarchy of the rows finds."""
    features, target, _ = steps(6_000, noise=0.5)
    leaves = grow(features, target, Forest(trees=40), 0).matrix
    many = partition(leaves, 8).labels
    few = partition(leaves[:1_500], 8).labels
    assert adjusted_rand_score(many[:1_500], few) > 0.6
    assert np.bincount(many).max() < 3_000


def test_renumbered_groups_keep_rows_and_tree():
    features, target, _ = steps(300)
    found = partition(grow(features, target, Forest(trees=20), 0).matrix, 5)
    order = np.array([3, 0, 4, 1, 2])
    new = found.renumbered(order)
    for number, old in enumerate(order):
        np.testing.assert_array_equal(new.labels == number, found.labels == old)
    leaf_pairs = {tuple(sorted(order[pair.astype(int)])) for pair in new.tree[:, :2] if (pair < 5).all()}
    assert leaf_pairs == {tuple(sorted(pair.astype(int))) for pair in found.tree[:, :2] if (pair < 5).all()}


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(10, 80), st.integers(2, 30))
def test_statistic_is_kolmogorov_and_smirnovs(seed, rows, values):
    rng = np.random.default_rng(seed)
    feature = rng.integers(0, values, rows).astype(np.float32)
    feature[rng.random(rows) < 0.1] = np.nan
    labels = (rng.random(rows) < 0.5).astype(int)
    known = ~np.isnan(feature)
    own, rest = feature[known & (labels == 1)], feature[known & (labels == 0)]
    found = signatures(feature[:, None], ["f"], labels, [1])
    if min(len(own), len(rest)) < 5:
        assert found.empty
        return
    row = found.iloc[0]
    assert abs(row["ks"]) == pytest.approx(ks_2samp(own, rest).statistic)
    side = ks_2samp(own, rest, alternative="less").statistic - ks_2samp(own, rest, alternative="greater").statistic
    assert side == pytest.approx(0, abs=1e-12) or np.sign(row["ks"]) == np.sign(side)
    assert row["median"] == np.median(own)
    assert row["known_rest"] == pytest.approx(len(rest) / (labels == 0).sum())
    assert row["p"] == pytest.approx(ks_2samp(own, rest, method="asymp").pvalue)


def test_what_sets_a_group_apart_comes_first_and_noise_is_not_significant():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [60, 240])
    features = rng.normal(size=(300, 50)).astype(np.float32)
    features[labels == 0, 7] += 3
    features[labels == 0, 9] -= 2
    found = signatures(features, [f"f{i}" for i in range(50)], labels, [0])
    assert found["feature"].tolist()[:2] == ["f7", "f9"]
    assert found["ks"][0] > 0.7
    assert found["ks"][1] < -0.5
    assert (found["fdr"][:2] < 1e-6).all()
    assert (found["fdr"][2:] > 0.01).all()


def test_features_that_say_the_same_are_named_once():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 100))
    features = np.stack([one, np.exp(one), -one, other, np.zeros(100)], axis=1).astype(np.float32)
    names = list("abcde")
    assert distinct(features, names, names, 10) == ["a", "d"]
    assert distinct(features, names, ["e", "c", "d", "a"], 1) == ["c"]


def test_a_cubic_target_leaves_no_residual():
    against = np.append(np.linspace(0, 6, 50), np.nan)
    target = 2 - against + 0.3 * against**2 - 0.02 * against**3
    target[-1] = 1.0
    found = expect(target, against)
    assert np.abs(found.residuals[:-1]).max() < 1e-12
    assert np.isnan(found.residuals[-1])
    np.testing.assert_allclose(found.coefficients, [2, -1, 0.3, -0.02], atol=1e-10)
    np.testing.assert_allclose(found.curve(np.array([0.0, 1.0])), [2, 1.28])
    assert found.r2 == pytest.approx(1)


def test_promising_groups_are_large_and_better_than_expected():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), [30, 30, 30, 30, 4, 30])
    against = rng.uniform(1, 6, len(labels))
    against[labels == 3] = rng.uniform(0.5, 1.5, 30)
    shift = np.array([0.0, 0.4, 0.8, 0.9, 2.0, -1.2])[labels]
    target = 4 - 0.5 * against + shift + 0.1 * rng.normal(size=len(labels))
    expectation = expect(target, against)
    ranks = judge_groups(labels, target, against, expectation, Wanted(10, 2.5))["rank"]
    assert {group: int(rank) for group, rank in ranks.dropna().items()} == {2: 1, 1: 2}
    anywhere = judge_groups(labels, target, against, expectation, Wanted(10))["rank"]
    assert 3 in anywhere.dropna().index
    low = judge_groups(labels, target, against, expectation, Wanted(10, low=True))["rank"]
    assert low[5] == 1


def test_stability_of_equal_and_of_random_partitions():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 1000)
    same = np.array([2, 0, 4, 1, 3])[labels]
    equal = stability([labels, same, same], [0, 1, 2])
    assert equal.rand == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(equal.jaccard, np.ones(5))
    chance = stability([labels, rng.permutation(labels)], [0, 1])
    assert abs(chance.rand[0]) < 0.02
    assert (chance.jaccard < 0.25).all()
    assert chance.as_dict()["adjusted_rand"]["mean"] == chance.rand[0]


def test_jaccard_index_of_a_group_that_is_split():
    np.testing.assert_allclose(best_jaccard(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 2, 2])), [0.75, 1])


def test_distance_in_the_full_leaf_space():
    features, target, _ = steps(30)
    leaves = grow(features, target, Forest(trees=10), 0).matrix
    proximity = (leaves @ leaves.T).toarray()
    np.testing.assert_allclose(squareform(pdist(leaves.toarray())) ** 2, 2 * (1 - proximity), atol=1e-5)


def test_groups_without_another_column_are_judged_by_their_mean():
    labels, target = np.repeat([0, 1], 20), np.repeat([1.0, 2.0], 20) + np.tile([0.0, 0.1], 20)
    found = judge_groups(labels, target, None, expect(target, None), Wanted(5))
    assert found["rank"].dropna().index.tolist() == [1]
    assert found.loc[1, "residual_mean"] == pytest.approx(0.5)
    assert "against_median" not in found.columns
    assert isinstance(found, pd.DataFrame)
