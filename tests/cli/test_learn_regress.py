"""``hibana learn regress``, ``predict`` and ``ilr`` from end to end on tables of a few rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hibana.cli.main import app
from hibana.core.errors import HibanaError

OXIDES = [f"{metal}{count}O{oxygen}" for metal in ("Mg", "Ca", "Zn", "Al", "Ti") for count in (1, 2) for oxygen in (1, 2, 3, 5)]


@pytest.fixture
def oxides(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"formula": OXIDES, "gap": rng.uniform(1, 5, len(OXIDES)), "polar": [0, 1] * 20, "n": range(40)})
    frame.loc[0, "gap"] = None
    frame.to_csv(tmp_path / "oxides.csv", index=False)
    return tmp_path / "oxides.csv"


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_regress_then_predict(oxides, tmp_path):
    options = ["--folds", "3", "--trees", "10", "--no-curve", "-m", "random_forest"]
    result = run("learn", "regress", oxides, "--target", "gap", "--log", "-o", tmp_path / "out", *options, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said == json.loads((tmp_path / "out/result.json").read_text())
    assert said["table"]["left_out"] == {"no_target": 1}
    assert said["groups"]["name"] == "reduced_formula"
    assert said["features"]["versions"]["composition"]
    predicted = run("learn", "predict", tmp_path / "out/random_forest", oxides, "-o", tmp_path / "predicted.csv")
    assert "40 predictions, 0 rows without features" in predicted.stdout
    found = pd.read_csv(tmp_path / "predicted.csv", index_col="row_id")
    assert found["prediction"].between(1, 5).all()
    with pytest.raises(HibanaError, match="HIB-268"):
        run("learn", "predict", tmp_path / "out/random_forest", oxides, "--column", "n", "-o", tmp_path / "no.csv")


def test_scores_are_shown(oxides, tmp_path):
    options = ["--folds", "2", "--trees", "5", "--no-curve", "-g", "none", "--column", "n", "-m", "random_forest"]
    result = run("learn", "regress", oxides, "-t", "gap", "-o", tmp_path / "out", *options)
    assert "39 of 40 rows, 1 left out: no_target" in result.stdout
    assert "random_forest" in result.stdout
    assert "by " not in result.stdout


def test_ilr(oxides, tmp_path):
    options = ["-d", "n", "-k", "polar", "--size", "n"]
    shown = run("learn", "ilr", oxides, "--target", "gap", *options, "-o", tmp_path / "out")
    assert "1 of 1 categories crossed, 5 terms" in shown.stdout
    said = json.loads((tmp_path / "out/result.json").read_text())
    assert said["crossed"] == ["polar"]
    assert {item["split"] for item in said["benchmark"]} >= {"random", "size: top 20%"}
    assert run("learn", "ilr", oxides, "--target", "gap", *options, "--join", oxides, "-o", tmp_path / "out").exit_code == 2


def test_an_unknown_model_is_refused(oxides, tmp_path):
    assert run("learn", "regress", oxides, "-t", "gap", "-o", tmp_path, "-m", "oracle").exit_code == 2


def test_too_few_rows_are_said(tmp_path):
    (tmp_path / "few.csv").write_text("formula,gap\nMgO,4.8\nZnO,0.8\n")
    with pytest.raises(HibanaError, match=r"HIB-262.*2 of 2 rows are left"):
        run("learn", "regress", tmp_path / "few.csv", "-t", "gap", "-o", tmp_path / "out")
