"""Every verb that learns, where its results cannot be written: a numbered message, before the work where that can be known."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from hibana.cli.learn import learn_app
from hibana.cli.main import main

CODE = "HIB-275"
FORMULAS = [f"{metal}{anion}" for metal in ("Mg", "Ca", "Sr", "Ba", "Zn", "Cd") for anion in ("O", "S", "Se", "Te")]
VERBS = {
    "features": "features table.csv -o {} -s composition",
    "regress": "regress table.csv -o {} -t y --column a -m random_forest --folds 2 --trees 3 --no-curve",
    "predict": "predict model/random_forest table.csv -o {} --column a",
    "cluster": "cluster table.csv -o {} -t y --column a -n 3 --trees 5",
    "place": "place groups table.csv -o {} --column a",
    "spectra": "spectra table.csv -o {} -t s",
    "generate": "generate table.csv -o {} -t y -V 3",
    "substitute": "substitute MgO -T table.csv -o {}",
    "ilr": "ilr table.csv -o {} -t y -d a -k kind",
    "simulate": "simulate table.csv -o {} -t y --above 0.5 --seeds 1 --runs 8 --start 4 --column a --trees 3",
}
WRITING = ("features", "regress", "predict", "cluster", "place", "ilr", "simulate")
"""Verbs for which so small a table is enough."""

Say = Callable[[str, str], dict[str, str]]


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys) -> Say:
    """Runs a verb with an output, and gives the numbered error."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"reduced_formula": FORMULAS * 2, "a": rng.normal(size=48), "kind": rng.integers(0, 2, 48)})
    rows.assign(y=rows["a"] + 0.1 * rng.normal(size=48)).to_csv("table.csv", index=False)

    def run(verb: str, output: str) -> dict[str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["learn", *VERBS[verb].format(output).split(), "--json"])
        out, err = capsys.readouterr()
        if stop.value.code == 0:
            return {}
        assert "Traceback" not in err
        return json.loads(out)["error"]

    return run


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_every_verb_is_tried() -> None:
    assert {command.name or command.callback.__name__ for command in learn_app.registered_commands} == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_in_the_way(verb, refused, tmp_path) -> None:
    (tmp_path / "file").write_text("not yours")
    found = refused(verb, "file/of/results")
    assert (found["code"], found["where"]) == (CODE, "file/of/results")
    assert str(tmp_path / "file") in found["what"]
    assert (tmp_path / "file").read_text() == "not yours"


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_of_others(verb, refused, tmp_path, monkeypatch) -> None:
    (tmp_path / "theirs").mkdir()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and not (mode == os.W_OK and "theirs" in str(path)))
    found = refused(verb, "theirs/new/results")
    assert found["code"] == CODE
    assert "permission" in found["what"]
    assert not list((tmp_path / "theirs").iterdir())


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_there_is_of_the_other_kind(verb, refused, tmp_path) -> None:
    if verb in ("predict", "place"):
        (tmp_path / "results").mkdir()
    else:
        (tmp_path / "results").write_text("")
    assert refused(verb, "results")["code"] == "HIB-178"


def test_a_full_disk(refused) -> None:
    """With nothing in the way nothing is refused; when no byte can be written any more, each verb says so."""
    assert refused("regress", "model") == refused("cluster", "groups") == {}
    for verb in WRITING:
        with full_disk():
            found = refused(verb, f"new-{verb}/results")
        assert (found["code"], found["what"]) == (CODE, "File too large"), verb
        assert found["where"].startswith(f"new-{verb}/results"), verb
        assert refused(verb, f"new-{verb}/results") == {}, verb


def test_a_folder_where_a_file_should_be(refused, tmp_path) -> None:
    (tmp_path / "out" / "result.json").mkdir(parents=True)
    found = refused("simulate", "out")
    assert (found["code"], found["where"]) == (CODE, "out/result.json")


def test_an_input_that_cannot_be_read_is_no_matter_of_the_results(refused, tmp_path) -> None:
    (tmp_path / "table.csv").unlink()
    assert refused("features", "out")["code"] == "HIB-260"
