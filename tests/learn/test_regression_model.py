"""Saved models: what goes in and out again, and what is refused."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.tree import DecisionTreeRegressor

from hibana.core.errors import HibanaError
from hibana.learn.regression.families import FAMILIES
from hibana.learn.regression.model import SavedModel, fit, load, save
from hibana.learn.regression.task import Target, Task

VERSIONS = {"composition": "definitions 1"}


def task() -> Task:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 3)).astype(np.float32)
    features[5, 1] = np.nan
    return Task(
        Target("gap", "eV", "log10"),
        pd.Index([f"r{number}" for number in range(60)]),
        ("a", "b", "c"),
        features,
        features[:, 0].astype(float),
        None,
        "",
        {},
        VERSIONS,
    )


def saved(name: str, folder) -> tuple[SavedModel, pd.DataFrame]:
    made = task()
    model = fit(FAMILIES[name], made, {}, trees=10, seed=0, jobs=1, snapshot="s1")
    save(model, folder)
    return model, pd.DataFrame(made.features, columns=list(made.names), index=made.row_ids)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_model_predicts_the_same(tmp_path, name):
    model, frame = saved(name, tmp_path)
    again = load(tmp_path)
    assert again.target == model.target
    assert again.snapshot == "s1"
    shuffled = frame[["c", "a", "b"]].assign(other=1.0)
    found = again.predict(shuffled, VERSIONS)
    assert found.index.equals(frame.index)
    assert found["prediction_transformed"].to_numpy() == pytest.approx(model.estimator.predict(frame.to_numpy()))
    assert found["prediction"].to_numpy() == pytest.approx(10 ** found["prediction_transformed"].to_numpy())
    assert again.predict(frame.iloc[:0]).empty


def test_nothing_is_pickled(tmp_path):
    saved("random_forest", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.json", "model.skops"]
    assert (tmp_path / "model.skops").read_bytes()[:2] == b"PK"
    said = json.loads((tmp_path / "model.json").read_text())
    assert said["trusted_types"] == ["sklearn.tree._tree.Tree"]
    assert said["packages"]["scikit-learn"]


def test_other_features_are_refused(tmp_path):
    _, frame = saved("random_forest", tmp_path)
    model = load(tmp_path)
    with pytest.raises(HibanaError, match=r"HIB-268.*1 of 3 are missing: b"):
        model.predict(frame.drop(columns="b"))
    with pytest.raises(HibanaError, match=r"HIB-268.*definitions 2"):
        model.predict(frame, {"composition": "definitions 2"})
    with pytest.raises(HibanaError, match=r"HIB-268.*not there"):
        model.predict(frame, {})


def test_a_damaged_model_is_refused(tmp_path):
    saved("random_forest", tmp_path)
    file = tmp_path / "model.skops"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(HibanaError, match=r"HIB-269.*not the file that model\.json describes"):
        load(tmp_path)
    file.unlink()
    with pytest.raises(HibanaError, match="HIB-269"):
        load(tmp_path)


def test_types_that_do_not_belong_there_are_refused(tmp_path):
    """Even where the file is what its card says: only the types of its own kind of model are loaded."""
    saved("gradient_boosting", tmp_path)
    file, card = tmp_path / "model.skops", tmp_path / "model.json"
    skops.io.dump(DecisionTreeRegressor().fit([[0.0], [1.0]], [0.0, 1.0]), file)
    card.write_text(json.dumps({**json.loads(card.read_text()), "sha256": sha256(file.read_bytes()).hexdigest()}))
    with pytest.raises(HibanaError, match=r"HIB-269.*sklearn\.tree\._tree\.Tree"):
        load(tmp_path)
