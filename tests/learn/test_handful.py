"""Every verb that learns, on real exports of a handful of materials: results, or a numbered message, and never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fireworks import Firework, ScriptTask, Workflow

from crystal_exports import export_all, fill
from hibana.cli.learn import learn_app
from hibana.cli.main import main
from hibana.tables.export import export
from results import SERIES, material_id
from vacancy_results import ENERGIES, states

Run = Callable[..., tuple[int, str, str]]

RESULTS = "results"
GAP = ("-t", "band_gap_pbesol")
TREES = ("--trees", "10")
CALLS: dict[str, tuple[str, str]] = {
    "features of compositions": ("electronic", "features {} -o {} -s composition -s elements"),
    "features of structures": ("structures", "features {} -o {} -s structure"),
    "features of sites": ("sites", "features {} -o {} -s site"),
    "regress": ("electronic", "regress {} -o {} -t band_gap_pbesol --column a -m random_forest --folds 3 --trees 10"),
    "regress, formulas": ("materials", "regress {} -o {} -t band_gap_pbesol -m gradient_boosting --folds 3 --trees 10"),
    "regress, empty column": ("electronic", "regress {} -o {} -t direct_gap_pbesol --column a"),
    "predict": ("electronic", "predict out-regress/random_forest {} -o {}.csv --column a"),
    "cluster": ("dielectric", "cluster {} -o {} -t epsilon_electronic_average --log -n 3 --trees 10"),
    "cluster, as it is": ("electronic", "cluster {} -o {} -t band_gap_pbesol --column a"),
    "place": ("dielectric", "place out-cluster {} -o {}.csv"),
    "spectra": ("optical_absorption", "spectra {} -o {} --epochs 1"),
    "generate": ("electronic", "generate {} -o {} -t band_gap_pbesol -V 3 --steps 5"),
    "substitute": ("structures", "substitute BeO MgCl2 -T {} -o {} --trees 10"),
    "ilr": ("electronic", "ilr {} -o {} -t band_gap_pbesol -d a -k is_gap_direct"),
    "simulate": ("electronic", "simulate {} -o {} -t band_gap_pbesol --above 3 --seeds 2 --runs 8 --start 4 --trees 10"),
    "simulate, as it is": ("electronic", "simulate {} -o {} -t band_gap_pbesol --above 3 --trees 10"),
}
"""A name, the table it takes, and the words after ``hibana learn``: the table and the folder of the results go into the gaps."""

TOO_FEW, NO_STRUCTURES, NO_MODEL, NOTHING_TO_REPLAY = "HIB-262", "HIB-263", "HIB-269", "HIB-287"
EXPECTED: dict[int, dict[str, str]] = {
    0: dict.fromkeys(CALLS, TOO_FEW)
    | dict.fromkeys(("features of compositions",), RESULTS)
    | dict.fromkeys(("features of structures", "features of sites"), NO_STRUCTURES)
    | dict.fromkeys(("simulate", "simulate, as it is"), NOTHING_TO_REPLAY)
    | dict.fromkeys(("predict", "place"), NO_MODEL),
    1: dict.fromkeys(CALLS, TOO_FEW)
    | dict.fromkeys(("features of compositions", "features of structures", "features of sites"), RESULTS)
    | dict.fromkeys(("simulate", "simulate, as it is"), NOTHING_TO_REPLAY)
    | dict.fromkeys(("predict", "place"), NO_MODEL),
    12: dict.fromkeys(CALLS, TOO_FEW)
    | dict.fromkeys(("features of compositions", "features of structures", "features of sites"), RESULTS)
    | {"spectra": RESULTS, "simulate": RESULTS, "simulate, as it is": NOTHING_TO_REPLAY}
    | dict.fromkeys(("predict", "place"), NO_MODEL),
    30: dict.fromkeys(CALLS, RESULTS)
    | dict.fromkeys(("regress, empty column", "cluster, as it is", "generate", "substitute"), TOO_FEW)
    | {"simulate, as it is": NOTHING_TO_REPLAY},
}
"""What comes of each by number of materials."""


@pytest.fixture
def hibana(launchpad_file, monkeypatch, capsys, tmp_path) -> Run:
    """Runs one command line; gives exit code, standard output, standard error. Anything but an exit is a failure of the test."""
    monkeypatch.setenv("HIBANA_LAUNCHPAD", str(launchpad_file))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def said(answer: tuple[int, str, str]) -> str:
    """``results``, or the number of the error."""
    code, out, err = answer
    assert "Traceback" not in err
    found = json.loads(out)
    if code == 0:
        assert "error" not in found
        return RESULTS
    assert code == 2
    assert found["error"]["fix"]
    return found["error"]["code"]


def test_every_verb_is_tried() -> None:
    there = {command.name or command.callback.__name__ for command in learn_app.registered_commands}
    assert there == {words.split()[0] for _, words in CALLS.values()}


@pytest.mark.parametrize("count", EXPECTED)
def test_every_verb_takes_a_handful(count, bulk, hibana, tmp_path) -> None:
    fill(bulk, count)
    if not count:
        bulk.submit("MgO", "bulk")
    tables = export_all(bulk, tmp_path)
    found = {}
    for name, (table, words) in CALLS.items():
        folder = f"out-{name.replace(', ', '-').replace(' ', '-')}"
        line = words.format(tables[table], folder).split()
        found[name] = said(hibana("learn", *line, "--json"))
        assert (found[name] == RESULTS) == (Path(folder).exists() or Path(f"{folder}.csv").exists()), name
    assert found == EXPECTED[count]


@pytest.mark.parametrize(("count", "expected"), [(0, TOO_FEW), (1, TOO_FEW), (12, RESULTS)])
def test_split_of_every_table(count, expected, bulk, hibana, tmp_path) -> None:
    fill(bulk, count)
    if not count:
        bulk.submit("MgO", "bulk")
    for name, table in export_all(bulk, tmp_path).items():
        assert said(hibana("split", str(table), "--json")) == expected, name
        assert (table / "splits.json").exists() == (expected == RESULTS)


def test_one_vacancy_in_two_charge_states(vacancies, hibana, tmp_path) -> None:
    vacancies.host("MgO", "O1")
    vacancies.vacancy("MgO", "O1", 0)
    vacancies.vacancy("MgO", "O1", 2)
    vacancies.summary("MgO", *states("O1", ENERGIES))
    table = tmp_path / "oxygen_vacancy"
    export(vacancies.store, "oxygen_vacancy", table)
    fixed = (str(table), "-t", "formation_energy", "-o")
    assert said(hibana("learn", "features", str(table), "-o", "f", "-s", "composition", "--json")) == RESULTS
    assert said(hibana("learn", "regress", *fixed, "r", "--column", "charge", "-g", "group", "--json")) == TOO_FEW
    assert said(hibana("learn", "ilr", *fixed, "i", "-d", "charge", "-k", "site_symmetry", "--json")) == TOO_FEW
    assert said(hibana("split", str(table), "-k", "2", "--json")) == RESULTS
    assert said(hibana("split", str(table), "--json")) == TOO_FEW


@pytest.mark.parametrize("count", [0, 1, 12])
def test_a_dry_run_of_the_loop(count, bulk, launchpad, hibana, tmp_path) -> None:
    """Of a campaign at its very start, too: until enough is known the order is drawn, and said to be."""
    fill(bulk, count)
    for formula in ("BeO", "BeS", "PbO"):
        bulk.submit(formula, "bulk")
        about = {"material_id": material_id(formula), "formula": formula, "flow": "bulk", **SERIES}
        launchpad.add_wf(Workflow([Firework(ScriptTask.from_str("true"), name=f"{formula} relax")], metadata=about))
    answer = hibana("loop", "--table", "electronic", *GAP, "--above", "2", "--start", "4", *TREES, "--dry-run", "--json")
    assert said(answer) == RESULTS
    found = json.loads(answer[1])
    assert found["dry_run"]
    assert {change["formula"] for change in found["changes"]} == {"BeO", "BeS", "PbO"}
    assert found["model"]["phase"] == ("model" if count >= 4 else "random")
