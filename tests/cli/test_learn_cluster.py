"""``hibana learn cluster`` from end to end on a table of a few rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hibana.cli.main import app
from hibana.core.errors import HibanaError

OPTIONS = ["--trees", "20", "--groups", "4", "--repeats", "2"]


@pytest.fixture
def oxides(tmp_path):
    rng = np.random.default_rng(0)
    formulas = [f"{metal}{count}O{n}" for metal in ("Mg", "Ca", "Ti", "Hf") for count in (1, 2) for n in range(1, 11)]
    frame = pd.DataFrame({"formula": formulas, "gap": rng.uniform(1, 6, 80)})
    frame["eps"] = 8 - frame["gap"] + 4 * frame["formula"].str.startswith("Ti")
    frame.to_csv(tmp_path / "oxides.csv", index=False)
    return tmp_path / "oxides.csv"


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_groups_as_json(oxides, tmp_path):
    result = run("learn", "cluster", oxides, "-t", "eps", "-a", "gap", "--log", "-o", tmp_path / "out", *OPTIONS, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said == json.loads((tmp_path / "out/result.json").read_text())
    assert said["target"] == {"column": "eps", "unit": "", "transform": "log10"}
    assert said["features"]["versions"]["composition"]
    assert len(said["groups"]) == 4
    clusters = pd.read_parquet(tmp_path / "out/clusters.parquet").set_index("row_id")["cluster"]
    best = clusters.index[clusters == said["promising"][0]]
    titanates = {f"row-{number:07d}" for number in range(40, 60)}
    assert set(best) <= titanates


def test_groups_for_people(oxides, tmp_path):
    result = run("learn", "cluster", oxides, "-t", "eps", "-a", "gap", "--at-least", "2", "-o", tmp_path / "out", *OPTIONS)
    assert "80 of 80 rows" in result.stdout
    assert "adjusted Rand index" in result.stdout
    assert "out-of-bag R²" in result.stdout
    assert "Promising groups: eps against gap" in result.stdout
    none = run("learn", "cluster", oxides, "-t", "eps", "-a", "gap", "--at-least", "9", "-o", tmp_path / "none", *OPTIONS)
    assert "no group of 4 is promising" in none.stdout


def test_a_table_of_a_few_rows_is_refused_clearly(oxides, tmp_path):
    with pytest.raises(HibanaError, match=r"HIB-262.*80 rows for 20 groups"):
        run("learn", "cluster", oxides, "-t", "eps", "-o", tmp_path / "out")
    pd.read_csv(oxides).head(3).to_csv(tmp_path / "few.csv", index=False)
    with pytest.raises(HibanaError, match=r"HIB-262.*3 rows"):
        run("learn", "cluster", tmp_path / "few.csv", "-t", "eps", "-o", tmp_path / "out", "--groups", "2")


@pytest.mark.parametrize("wrong", [["--method", "single"], ["--at-least", "2"], ["--repeats", "1"]])
def test_options_that_make_no_sense(oxides, tmp_path, wrong):
    assert run("learn", "cluster", oxides, "-t", "eps", "-o", tmp_path / "out", *wrong).exit_code == 2
