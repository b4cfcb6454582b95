from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.kpoints import Grid, find_grid, fold, locate, read_kpoints, star, unique

CUBIC_GROUP = np.array(
    [
        np.diag(signs)[list(order)]
        for signs in np.array(np.meshgrid([1, -1], [1, -1], [1, -1])).reshape(3, -1).T
        for order in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    ]
)
LATTICE = 4 * np.eye(3)
SPACING = (0.5, True)


@given(
    st.tuples(*[st.integers(1, 6)] * 3),
    st.tuples(*[st.sampled_from([0.0, 0.25, 0.5])] * 3),
    st.randoms(use_true_random=False),
)
def test_a_regular_mesh_is_recognised_in_any_order(divisions, steps, random):
    grid = Grid(divisions, tuple(s / n for s, n in zip(steps, divisions, strict=True)))
    points = grid.points + np.array([[random.randint(-1, 1) for _ in range(3)] for _ in grid.points])
    shuffled = points[np.array(random.sample(range(len(points)), len(points)))]
    found = find_grid(shuffled)
    assert found is not None
    assert found.divisions == divisions
    assert len(unique(np.concatenate([found.points, grid.points]))) == len(grid.points)


def test_what_is_no_mesh_is_not_taken_for_one():
    assert find_grid(np.array([[0, 0, 0], [0.5, 0, 0], [0.3, 0, 0]])) is None
    assert find_grid(np.array([[0, 0, 0], [0.5, 0.5, 0]])) is None


@given(st.tuples(*[st.floats(-3, 3)] * 3))
def test_folding_changes_a_point_by_a_reciprocal_lattice_vector(point):
    folded = fold(np.array([point]))[0]
    assert (np.abs(folded) <= 0.5 + 1e-5).all()
    assert np.array(point) - folded == pytest.approx(np.round(np.array(point) - folded), abs=1e-9)


def test_star_sizes_of_the_cube():
    sizes = {(0, 0, 0): 1, (0.5, 0.5, 0.5): 1, (0.5, 0, 0): 3, (0.2, 0.2, 0.2): 8, (0.2, 0, 0): 6, (0.1, 0.2, 0.3): 48}
    for point, size in sizes.items():
        assert len(star(np.array(point), CUBIC_GROUP)) == size


def test_every_point_is_an_image_of_an_irreducible_one():
    irreducible = np.array([[0.1, 0.2, 0.3]])
    points = star(irreducible[0], CUBIC_GROUP)
    for point, (i, s, reverse) in zip(points, locate(points, irreducible, CUBIC_GROUP, time_reversal=False), strict=True):
        assert not reverse
        assert CUBIC_GROUP[s] @ irreducible[i] == pytest.approx(point)
    only_identity = np.eye(3, dtype=int)[None]
    assert locate(-irreducible, irreducible, only_identity, time_reversal=True) == [(0, 0, True)]
    with pytest.raises(RehearsalError, match="not on the sampled mesh"):
        locate(points[:2] + 0.01, irreducible, CUBIC_GROUP, time_reversal=True)


def read(tmp_path, text, group=CUBIC_GROUP):
    path = tmp_path / "KPOINTS"
    path.write_text(text)
    return read_kpoints(path, LATTICE, group, SPACING)


def test_meshes_as_vasp_defines_them(tmp_path):
    gamma = read(tmp_path, "c\n0\nGamma\n2 2 3\n")
    assert gamma.mesh.style == "Gamma"
    assert [0, 0, 0] in gamma.full.tolist()
    assert len(gamma.full) == 12
    packed = read(tmp_path, "c\n0\nMonkhorst\n2 2 3\n")
    assert set(np.abs(packed.full[:, 0])) == {0.25}
    assert 0.0 in packed.full[:, 2]
    shifted = read(tmp_path, "c\n0\nGamma\n2 2 2\n0.5 0.5 0.5\n")
    assert set(np.abs(shifted.full).ravel()) == {0.25}
    automatic = read(tmp_path, "c\n0\nAuto\n20\n")
    assert automatic.mesh.divisions == (5, 5, 5)


def test_weighted_list_with_a_path_of_zero_weight(tmp_path):
    text = "c\n6\nReciprocal\n0.25 0.25 0.25 1\n0 0 0 0\n0.1 0 0 0\n0.2 0 0 0\n0 0 0 0 X\n0.5 0 0 0\n"
    plan = read(tmp_path, text)
    assert plan.grid is not None
    assert plan.grid.divisions == (2, 2, 2)
    assert len(plan.path) == 5
    assert plan.weights is not None
    assert plan.weights.sum() == pytest.approx(1)
    assert plan.mesh.style == "listgenerated"


def test_line_mode_has_both_ends_of_each_line(tmp_path):
    plan = read(tmp_path, "c\n5\nLine\nReciprocal\n0 0 0\n0.5 0 0\n\n0.5 0 0\n0.5 0.5 0\n")
    assert plan.points is not None
    assert plan.points.tolist()[0] == [0, 0, 0]
    assert plan.points.tolist()[4] == plan.points.tolist()[5] == [0.5, 0, 0]
    assert len(plan.points) == 10
    assert len(plan.full) == 0


def test_cartesian_points_are_in_units_of_two_pi_over_angstrom(tmp_path):
    plan = read(tmp_path, "c\n2\nCartesian\n0 0 0 1\n0.125 0 0 0\n")
    assert plan.path[0] == pytest.approx([0.5, 0, 0])
