"""New rows among groups that are there: those of the same kind find their group, those of another are told to be outside."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from typer.testing import CliRunner

from hibana.cli.main import app
from hibana.core.errors import HibanaError
from hibana.learn.clustering.leaves import Forest, grow, leaf_matrix
from hibana.learn.clustering.partition import partition
from hibana.learn.clustering.places import QUANTILES, load_places, make_places, place, place_rows
from hibana.learn.clustering.run import Settings, cluster
from hibana.learn.dataset import read_dataset
from hibana.learn.regression.inputs import gather
from hibana.learn.regression.task import make_task


def rows(count: int, seed: int) -> pd.DataFrame:
    """Four kinds of rows, by the signs of a and b, with targets -3, -1, 1 and 3; c says nothing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.uniform(-1, 1, (count, 3)), columns=list("abc"))
    frame["y"] = 2 * np.sign(frame["a"]) + np.sign(frame["b"]) + 0.05 * rng.normal(size=count)
    return frame


@pytest.fixture
def made(tmp_path):
    """The folder of a clustering of 400 rows, its table, and which rows are in which group."""
    frame = rows(400, 0)
    frame.to_csv(tmp_path / "t.csv", index=False)
    dataset = read_dataset(tmp_path / "t.csv")
    task = make_task(dataset, "y", gather(dataset, [], list("abc")))
    result = cluster(dataset, task, tmp_path / "out", settings=Settings(groups=4, forest=Forest(trees=40), repeats=2))
    return tmp_path / "out", frame, result


def test_rows_of_the_same_kinds_find_their_groups(made) -> None:
    folder, _, result = made
    assert result["nearest_centre_is_own"] > 0.99
    new = rows(1000, 1)
    found = place_rows(folder, new)
    kind = new["y"].round().rank(method="dense", ascending=False).astype(int) - 1
    clear = (new[["a", "b"]].abs() > 0.05).all(axis=1)
    assert (found["cluster"] == kind)[clear].mean() > 0.99
    assert found["outside"].mean() < 0.06  # nominal 0.01; the largest percent of 100 rows is one row
    assert (found["prediction"] - new["y"]).abs()[clear].median() < 0.4
    assert found["novelty"].between(0, 1).all()


def test_a_row_the_groups_were_made_of_is_placed_by_its_distance(made) -> None:
    """The centre is the mean of the rows of a group, the distance that of vectors of leaves."""
    folder, frame, _ = made
    places, model = load_places(folder)
    labels = pd.read_parquet(folder / "clusters.parquet")["cluster"].to_numpy()
    leaves = leaf_matrix(model.estimator, model.matrix(frame)).toarray()
    centres = np.stack([leaves[labels == group].mean(axis=0) for group in range(4)])
    distances = np.linalg.norm(leaves[:, None] - centres[None], axis=2)
    found = place_rows(folder, frame)
    np.testing.assert_allclose(found["distance"], distances.min(axis=1), atol=2e-3)
    assert (found["cluster"] == distances.argmin(axis=1)).mean() > 0.99
    np.testing.assert_allclose(places.low, frame[list("abc")].min(), rtol=1e-6)


def test_rows_unlike_all_that_is_known_are_outside(made) -> None:
    """A forest answers for any row; that it lies beyond the known range of what the trees look at is said."""
    folder, _, _ = made
    far, unimportant = rows(50, 2), rows(50, 2)
    far["a"] += 5
    unimportant["c"] += 5
    found = place_rows(folder, far)
    assert found["outside"].all()
    assert (found["beyond"] > 0.5).all()
    assert (place_rows(folder, unimportant)["beyond"] < 0.1).all()


def test_rows_between_the_groups_are_outside() -> None:
    """A row that no rows share leaves with is farther from every centre than all of them."""
    frame = rows(300, 3)
    features = frame[list("abc")].to_numpy(np.float32)
    space = grow(features, frame["y"].to_numpy(), Forest(trees=30), 0)
    labels = partition(space.matrix, 4, seed=0).labels
    places = make_places(space, labels, features)
    mixed = csr_array(leaf_matrix(space.model, features))
    middle = place(places, space.model, np.zeros((1, 3), np.float32))
    typical = place(places, space.model, features)
    assert middle["distance"][0] > typical["distance"].quantile(0.95)
    assert middle["novelty"][0] > 0.95
    assert mixed.shape[1] == places.centres.shape[1]
    assert len(place(places, space.model, features[:0])) == 0


def shapeless(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows without clear groups."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 6)).astype(np.float32)
    target = features[:, 0] + np.sin(2 * features[:, 1]) + 0.5 * features[:, 2] * features[:, 0]
    return features, target + 0.2 * rng.normal(size=count)


def test_new_rows_are_not_farther_from_small_groups_than_their_own_rows_are() -> None:
    """A row is a part of its centre, and the nearer to it the smaller the group: it is measured by the others."""
    features, target = shapeless(400, 0)
    space = grow(features, target, Forest(trees=60), 0)
    labels = partition(space.matrix, 20, seed=0).labels
    found = place(make_places(space, labels, features), space.model, shapeless(2000, 1)[0])
    assert found["novelty"].median() == pytest.approx(0.5, abs=0.15)
    assert found["outside"].mean() < 0.1  # groups of 20 rows: nominal 0.05


def test_distances_of_a_group_are_to_the_centre_of_the_others() -> None:
    features, target = shapeless(60, 2)
    space = grow(features, target, Forest(trees=25), 0)
    labels = np.r_[0, np.repeat([1, 2], [9, 50])]
    leaves, drawn = space.matrix.toarray().astype(float), space.model.estimators_samples_
    trees = np.repeat(np.arange(25), [int((tree.tree_.children_left < 0).sum()) for tree in space.model.estimators_])
    expected: dict[int, list[float]] = {0: [0.0], 1: [], 2: []}
    for row in range(1, 60):
        new = np.array([row not in drawn[tree] for tree in range(25)])
        seen = np.where(new[trees], leaves[row], 0) * 25 / new.sum()
        others = leaves[(labels == labels[row]) & (np.arange(60) != row)].mean(axis=0)
        expected[labels[row]].append(np.sqrt(1 - 2 * seen @ others + others @ others))
    places = make_places(space, labels, features)
    for group, distances in expected.items():
        np.testing.assert_allclose(places.distances[group], np.quantile(distances, QUANTILES), atol=1e-5)


def test_files_that_do_not_belong_together_are_refused(made, tmp_path) -> None:
    folder, frame, _ = made
    with pytest.raises(HibanaError, match="HIB-268"):
        place_rows(folder, frame[["a", "b"]])
    centres = folder / "forest/centres.npz"
    whole = centres.read_bytes()
    centres.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HibanaError, match="HIB-269"):
        load_places(folder)
    with np.load(io.BytesIO(whole)) as held:
        arrays = dict(held)
    np.savez(centres, **arrays | {"forest": np.zeros(32, np.uint8)})
    with pytest.raises(HibanaError, match=r"HIB-269.*another forest"):
        load_places(folder)
    centres.unlink()
    with pytest.raises(HibanaError, match="HIB-269"):
        load_places(folder / "forest")


def test_the_verb_writes_groups_of_new_rows(made, tmp_path) -> None:
    folder, _, _ = made
    new = rows(60, 4)
    new.loc[0, ["a", "b", "c"]] = np.nan
    new.loc[1, "a"] = 9
    new.to_csv(tmp_path / "new.csv", index=False)
    words = ["learn", "place", str(folder), str(tmp_path / "new.csv"), "-o", str(tmp_path / "placed.csv")]
    columns = [word for name in "abc" for word in ("--column", name)]
    result = CliRunner().invoke(app, [*words, *columns, "--json"])
    assert result.exit_code == 0, result.output
    said, placed = json.loads(result.stdout), pd.read_csv(tmp_path / "placed.csv", index_col="row_id")
    assert (said["n_placed"], said["n_without_features"]) == (59, 1) == (len(placed), 60 - len(placed))
    assert said["n_outside"] == placed["outside"].sum() >= 1
    assert placed.loc["row-0000001", "outside"]
    assert sum(said["rows_by_group"].values()) == 59
    assert "59 rows placed" in CliRunner().invoke(app, [*words, *columns]).stdout


def test_groups_are_judged_on_rows_they_were_not_made_of(made, tmp_path) -> None:
    """Of a target that the features decide little is left within the groups; of one they do not, all of it."""
    _, frame, result = made
    assert result["held_out"] is None
    frame["noise"] = np.random.default_rng(5).normal(size=len(frame))
    frame.assign(formula=[f"Mg{number + 1}O" for number in range(len(frame))]).to_csv(tmp_path / "t.csv", index=False)
    assert CliRunner().invoke(app, ["split", str(tmp_path / "t.csv"), "-k", "2", "-t", "y"]).exit_code == 0
    found = {}
    for target, split in (("y", "random"), ("noise", "random"), ("y", "y_top")):
        words = ["-t", target, "--split", split, "-n", "4", "--trees", "30", "--repeats", "2", "-o", str(tmp_path / "judged")]
        columns = [word for name in "abc" for word in ("--column", name)]
        done = CliRunner().invoke(app, ["learn", "cluster", str(tmp_path / "t.csv"), *words, *columns])
        assert done.exit_code == 0, done.output
        assert f"rows held out by {split}" in done.stdout
        found[target, split] = json.loads((tmp_path / "judged/result.json").read_text())["held_out"]
    assert found["y", "random"]["n"] == 400
    assert found["y", "random"]["target_variance_within_groups"] < 0.1
    assert 0.95 < found["noise", "random"]["target_variance_within_groups"] < 1.3
    assert found["y", "y_top"]["target_variance_within_groups"] > 0.1
    assert len(found["y", "random"]["sha256"]) == 64
