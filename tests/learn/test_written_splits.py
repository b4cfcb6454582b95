"""Learning that is judged on the splits of ``splits.json``: only with the table they were made of, and said in the result."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from crystal_exports import fill
from hibana.cli.main import app, main
from hibana.core.errors import HibanaError
from hibana.learn.dataset import read_dataset
from hibana.learn.regression.families import RANDOM_FOREST
from hibana.learn.regression.inputs import gather
from hibana.learn.regression.task import make_task
from hibana.learn.regression.validation import Effort, choose, make_folds
from hibana.learn.splits import splits_of, stored_split, usable_folds
from hibana.tables.export import export
from hibana.tables.splits_file import read_split, write_splits

FORMULAS = [f"{metal}{anion}" for metal in ("Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Be", "Mn") for anion in ("O", "S", "Se", "Te")]


@pytest.fixture
def table(tmp_path):
    """64 rows, two a formula, with their splits."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"material_id": [f"m{number:02}" for number in range(64)], "reduced_formula": FORMULAS * 2})
    frame["x"], frame["z"] = rng.normal(size=64), rng.normal(size=64)
    frame["flag"] = rng.integers(0, 2, 64).astype(bool)
    frame["y"] = frame["x"] + 0.5 * frame["flag"] * frame["z"] + 0.1 * rng.normal(size=64)
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert invoke("split", str(tmp_path), "-k", "4", "-t", "y").exit_code == 0
    return tmp_path


def invoke(*words: str):
    return CliRunner().invoke(app, list(words))


def regress(table, *words: str):
    fixed = ("-t", "y", "--column", "x", "--column", "z", "-m", "random_forest", "--trees", "10", "--no-curve")
    return invoke("learn", "regress", str(table / "t.csv"), "-o", str(table / "out"), *fixed, *words)


def test_a_stored_split_is_the_one_that_was_made(table) -> None:
    dataset = read_dataset(table)
    made = splits_of(dataset, 4, 0, ["y"])
    for split in made.splits:
        stored = stored_split(dataset, split.name)
        for (training, test), (training_there, test_there) in zip(
            stored.folds(list(dataset.frame.index)), split.folds, strict=True
        ):
            assert training.tolist() == training_there.tolist()
            assert test.tolist() == test_there.tolist()
        assert stored.sha256 == sha256((table / "splits.json").read_bytes()).hexdigest()
    some = stored_split(dataset, "reduced_formula").folds(["m33", "m01"])
    assert [test.tolist() for _, test in some if len(test)] == [[0, 1]]


def test_regression_on_a_split(table) -> None:
    result = regress(table, "--split", "cluster", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads((table / "out/result.json").read_text())
    assert said["split"]["name"] == "cluster"
    assert said["split"]["sha256"] == sha256((table / "splits.json").read_bytes()).hexdigest()
    assert said["headline_split"] == "split cluster"
    written = json.loads((table / "splits.json").read_text())
    fold = dict(zip(written["row_ids"], next(s for s in written["splits"] if s["name"] == "cluster")["fold"], strict=True))
    predictions = pd.read_csv(table / "out/predictions.csv")
    own = predictions[predictions["split"] == "split cluster"]
    assert dict(zip(own["row_id"], own["fold"], strict=True)) == fold
    assert set(predictions["split"]) == {"random", "split cluster"}
    assert "split cluster" in regress(table, "--split", "cluster").stdout


def test_a_range_is_one_fold_and_far_rows_are_predicted_worse(table) -> None:
    assert regress(table, "--split", "y_top").exit_code == 0
    predictions = pd.read_csv(table / "out/predictions.csv")
    own = predictions[predictions["split"] == "split y_top"]
    truth = pd.read_csv(table / "t.csv")["y"]
    assert sorted(own["truth"]) == pytest.approx(sorted(truth)[-len(own) :])
    assert own["truth"].mean() > own["prediction"].mean()


def test_interaction_regression_on_splits(table) -> None:
    fixed = ("-t", "y", "-d", "x", "-d", "z", "-k", "flag", "-o", str(table / "ilr"), "--components", "2")
    result = invoke("learn", "ilr", str(table), *fixed, "--split", "reduced_formula", "--split", "y_bottom", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [item["name"] for item in said["splits"]] == ["reduced_formula", "y_bottom"]
    kinds = {item["split"]: item["kind"] for item in said["benchmark"]}
    assert kinds == {"reduced_formula": "interpolation", "y_bottom": "extrapolation"}
    assert {item["n_test"] for item in said["benchmark"] if item["split"] == "reduced_formula"} == {64}


@pytest.mark.parametrize("words", [("--split", "nonsense"), ("--split", "prototype")])
def test_a_split_that_is_not_there(table, words) -> None:
    with pytest.raises(HibanaError, match=r"HIB-147.*there are: random, reduced_formula") as error:
        stored_split(read_dataset(table), words[1])
    assert ("space group" in str(error.value)) == (words[1] == "prototype")
    result = regress(table, *words)
    assert isinstance(result.exception, HibanaError)


def test_splits_of_another_snapshot_are_refused(table, tmp_path_factory) -> None:
    frame = pd.read_csv(table / "t.csv")
    frame.loc[0, "y"] += 1
    frame.to_csv(table / "t.csv", index=False)
    with pytest.raises(HibanaError, match="HIB-146"):
        stored_split(read_dataset(table), "random")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "mine.json"
    write_splits(splits_of(read_dataset(table), 3), elsewhere)
    assert regress(table, "--split", "random", "--splits", str(elsewhere)).exit_code == 0
    assert json.loads((table / "out/result.json").read_text())["split"]["file"] == "mine.json"
    assert regress(table, "--splits", str(elsewhere)).exit_code == 2


def test_damaged_files_are_told(table) -> None:
    file, dataset = table / "splits.json", read_dataset(table)
    ids = list(dataset.frame.index)
    whole = json.loads(file.read_text())
    cases = {
        "HIB-145": ["", "[]", json.dumps(whole | {"version": 99}), json.dumps({**whole, "splits": [{"name": "random"}]})],
        "HIB-146": [json.dumps(whole | {"row_ids": whole["row_ids"][1:]})],
    }
    for code, texts in cases.items():
        for text in texts:
            file.write_text(text)
            with pytest.raises(HibanaError, match=code):
                read_split(file, "random", dataset.snapshot, ids)
    file.unlink()
    with pytest.raises(HibanaError, match="HIB-145"):
        stored_split(dataset, "random")


def test_a_fold_without_enough_rows_is_told(table) -> None:
    split = stored_split(read_dataset(table), "y_top")
    with pytest.raises(HibanaError, match=r"HIB-262.*fold 0 of the split 'y_top'"):
        usable_folds(split, ["m01", "m02"], 10, 2)


def test_a_fold_that_lost_all_its_test_rows_is_told(table) -> None:
    """Whichever it is: without its test rows the last fold does not go unnoticed."""
    split = stored_split(read_dataset(table), "random")
    for lost in range(4):
        rows = [row for row, number in split.numbers.items() if number != lost]
        assert [len(test) > 0 for _, test in split.folds(rows)] == [number != lost for number in range(4)]
        with pytest.raises(
            HibanaError, match=f"HIB-262.*fold {lost} of the split 'random' has 48 rows to train on and 0 to test"
        ):
            usable_folds(split, rows, 10, 2)


def test_a_written_split_judges_and_does_not_choose(table) -> None:
    """Also for the model that is fitted on all rows: this split has too few test rows to choose on."""
    dataset = read_dataset(table)
    task = make_task(dataset, "y", gather(dataset, [], ["x", "z"]), group="reduced_formula")
    split = replace(stored_split(dataset, "random"), numbers={row: 0 if row == "m00" else -1 for row in dataset.frame.index})
    effort = Effort(inner_folds=2, trees=10)
    with pytest.raises(HibanaError, match="HIB-262"):
        make_folds(replace(task, split=split), 2, 0)
    assert choose(RANDOM_FOREST, replace(task, split=split), effort) == choose(RANDOM_FOREST, task, effort)


@pytest.mark.parametrize("words", [["split"], ["learn", "predict", "model"], ["learn", "place", "groups"]])
def test_a_folder_is_no_file_to_write(table, capsys, words) -> None:
    with pytest.raises(SystemExit):
        main([*words, str(table / "t.csv"), "-o", str(table)])
    assert re.match(r"HIB-178 .*is a directory", capsys.readouterr().err)


@pytest.mark.parametrize("words", [["regress"], ["cluster"], ["features"], ["ilr", "-d", "x", "-k", "flag"], ["spectra"]])
def test_a_file_is_no_folder_to_write_to(table, capsys, words) -> None:
    target = [] if words == ["features"] else ["-t", "y"]
    with pytest.raises(SystemExit):
        main(["learn", *words, str(table / "t.csv"), *target, "-o", str(table / "t.csv")])
    assert re.match(r"HIB-178 .*is a file", capsys.readouterr().err)


def test_the_only_fold_of_a_range_has_no_spread(table) -> None:
    result = regress(table, "--split", "y_top")
    assert "fold 1 of 1" in result.output
    assert "nan" not in result.output


def test_splits_of_an_export_are_no_part_of_it_and_end_with_it(bulk, tmp_path) -> None:
    fill(bulk, 12, optics=False)
    export(bulk.store, "electronic", tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    assert invoke("split", str(tmp_path), "-k", "3").exit_code == 0
    export(bulk.store, "electronic", tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert stored_split(read_dataset(tmp_path), "random").name == "random"
    bulk.complete("BeO")
    export(bulk.store, "electronic", tmp_path)
    with pytest.raises(HibanaError, match="HIB-146"):
        stored_split(read_dataset(tmp_path), "random")


def test_a_kept_snapshot_is_split_into_a_file_elsewhere(bulk, tmp_path) -> None:
    fill(bulk, 12, optics=False)
    kept = export(bulk.store, "electronic", tmp_path / "tables", keep=True).directory
    file = tmp_path / "splits.json"
    assert invoke("split", str(kept), "-k", "3", "-o", str(file)).exit_code == 0
    assert len(stored_split(read_dataset(kept), "reduced_formula", file).numbers) == 12
