"""Splits: no group on both sides, every row once, the same in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hibana.tables.leakage import composition_points, leakage, near_duplicates
from hibana.tables.splits import (
    NEITHER,
    fold_numbers_of,
    folds_of,
    grouped_folds,
    leave_one_cluster_out,
    property_range,
    random_folds,
)

labels = st.lists(st.one_of(st.none(), st.just(float("nan")), st.sampled_from("abcdefghij")), min_size=6, max_size=60)
values = st.lists(st.floats(-5, 5) | st.just(float("nan")), min_size=2, max_size=40)
seeds = st.integers(0, 10)


def texts(groups):
    return ["" if group is None or group != group else group for group in groups]


def every_row_once(folds, n_rows):
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(n_rows))
    for training, test in folds:
        assert sorted([*training.tolist(), *test.tolist()]) == list(range(n_rows))


def by_row(folds, names):
    """Which rows are tested together, whatever the order of rows and folds."""
    return {frozenset(names[place] for place in test) for _, test in folds}


@given(st.sets(st.text(max_size=5), min_size=5, max_size=40), st.integers(2, 5), seeds, st.randoms())
def test_random_folds(names, k, seed, shuffler):
    rows = sorted(names)
    folds = random_folds(rows, k, seed)
    every_row_once(folds, len(rows))
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1
    shuffled = rows.copy()
    shuffler.shuffle(shuffled)
    again = random_folds(shuffled, k, seed)
    assert [{shuffled[i] for i in test} for _, test in again] == [{rows[i] for i in test} for _, test in folds]


def test_another_seed_gives_other_folds():
    assert by_row(random_folds(100, 5, 0), range(100)) != by_row(random_folds(100, 5, 1), range(100))
    groups = [str(number // 3) for number in range(99)]
    assert by_row(grouped_folds(groups, 5, 0), range(99)) != by_row(grouped_folds(groups, 5, 1), range(99))


@given(labels, st.integers(2, 4), seeds, st.randoms())
def test_grouped_folds(groups, k, seed, shuffler):
    names = texts(groups)
    if len(set(names)) < k:
        with pytest.raises(ValueError, match="groups"):
            grouped_folds(groups, k, seed)
        return
    folds = grouped_folds(groups, k, seed)
    assert len(folds) == k
    assert all(len(test) for _, test in folds)
    every_row_once(folds, len(groups))
    for training, test in folds:
        assert not {names[i] for i in training} & {names[i] for i in test}
    order = list(range(len(groups)))
    shuffler.shuffle(order)
    again = grouped_folds([groups[place] for place in order], k, seed)
    assert [{order[i] for i in test} for _, test in again] == [set(test.tolist()) for _, test in folds]
    assert leakage(folds, groups).rows == 0


@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=30, max_size=200), st.integers(2, 4), seeds)
def test_grouped_folds_are_balanced(groups, k, seed):
    if len(set(groups)) >= k:
        sizes = [len(test) for _, test in grouped_folds(groups, k, seed)]
        assert max(sizes) - min(sizes) <= max(groups.count(group) for group in groups)


@given(values, st.floats(0.05, 0.9), st.sampled_from(["top", "bottom"]), st.randoms())
def test_property_range(numbers, share, side, shuffler):
    known = [number for number in numbers if number == number]
    try:
        ((training, test),) = property_range(numbers, share, side)
    except ValueError:
        worst = min(known, default=None) if side == "top" else max(known, default=None)
        assert worst is None or sum(number == worst for number in known) > (1 - share) * len(known) - 1
        return
    assert sorted([*training, *test]) == [place for place, number in enumerate(numbers) if number == number]
    inside, outside = np.array(numbers)[test], np.array(numbers)[training]
    assert inside.min() > outside.max() if side == "top" else inside.max() < outside.min()
    assert len(test) >= share * len(known)
    order = list(range(len(numbers)))
    shuffler.shuffle(order)
    ((_, again),) = property_range([numbers[place] for place in order], share, side)
    assert {order[place] for place in again} == set(test.tolist())


@given(st.integers(0, 5), st.randoms())
def test_clusters_of_far_points_are_found_in_any_order(seed, shuffler):
    generator = np.random.default_rng(seed)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    points = np.repeat(centres, 8, axis=0) + generator.uniform(-0.5, 0.5, (32, 2))
    folds = leave_one_cluster_out(points, 4, seed)
    every_row_once(folds, 32)
    if len({len(test) for _, test in folds}) == 1:
        assert by_row(folds, range(32)) == {frozenset(range(start, start + 8)) for start in range(0, 32, 8)}
    order = list(range(32))
    shuffler.shuffle(order)
    again = leave_one_cluster_out(points[order], 4, seed)
    assert [{order[i] for i in test} for _, test in again] == [set(test.tolist()) for _, test in folds]


def test_clusters_of_the_published_kind_of_data_are_apart():
    points = np.vstack([np.zeros((5, 3)), np.full((3, 3), 9.0)])
    assert by_row(leave_one_cluster_out(points, 2, 0), range(8)) == {frozenset(range(5)), frozenset({5, 6, 7})}


@given(st.lists(st.integers(NEITHER, 3), min_size=1, max_size=30))
def test_fold_numbers_go_there_and_back(numbers):
    folds = folds_of(numbers)
    if folds:
        np.testing.assert_array_equal(fold_numbers_of(folds, len(numbers)), numbers)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: random_folds(["a", "a"], 2, 0), "same name"),
        (lambda: random_folds(3, 4, 0), "3 rows cannot"),
        (lambda: random_folds(3, 1, 0), "1 folds"),
        (lambda: leave_one_cluster_out([[0.0], [0.0]], 2, 0), "1 different points"),
        (lambda: leave_one_cluster_out([[float("nan")], [0.0]], 2, 0), "finite"),
        (lambda: property_range([1.0, 2.0], 1.0), "share"),
        (lambda: property_range([1.0, 2.0], 0.5, "left"), "neither top nor bottom"),
        (lambda: property_range([float("nan")]), "no row has a value"),
        (lambda: property_range([1.0, 1.0]), "tie"),
    ],
)
def test_what_cannot_be_split(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_leakage_counts_groups_and_rows_on_both_sides():
    folds = folds_of([0, 0, 1, 1, 1])
    found = leakage(folds, ["a", "b", "a", "c", None])
    assert (found.shared, found.rows, found.tested, found.unknown) == (2, 2, 5, 1)


def test_near_duplicates_have_the_same_elements_amounts_and_volume():
    compositions = [
        {"Mg": 0.5, "O": 0.5},
        {"Mg": 0.49, "O": 0.51},
        {"Mg": 0.4, "O": 0.6},
        {"Ca": 0.5, "O": 0.5},
        {},
    ]
    folds = folds_of([0, -1, -1, -1, -1])
    assert near_duplicates(folds, composition_points(compositions)).rows == 1
    near = composition_points(compositions, [10.0, 10.19, 10.0, 10.0, 10.0])
    far = composition_points(compositions, [10.0, 10.21, 10.0, 10.0, 10.0])
    unknown = composition_points(compositions, [10.0, np.nan, 10.0, 10.0, 10.0])
    assert [near_duplicates(folds, points).rows for points in (near, far, unknown)] == [1, 0, 0]
    others = folds_of([-1, -1, 0, 0, 0])
    assert (near_duplicates(others, near).rows, near_duplicates(others, near).unknown) == (0, 1)
