"""Rehearsals: the forecast adds up, and its rule is the one it names."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from farm import MGO, REPOSITORY

from hibana.core.errors import HibanaError
from hibana.launch.effort import FACTOR, core_hours
from hibana.launch.forecast import makespan, read_faults, step_of
from hibana.launch.launcher import read_fworker
from hibana.launch.made_crystals import made_crystals, write_crystals
from hibana.launch.plan import read_campaign
from hibana.launch.rehearse import Stage, rehearse
from hibana.structures.identity import make_candidate
from hibana.structures.reading import ReadStructure


@pytest.mark.parametrize("name", ["plain", "a: b # c", 'it\'s "so" {1}', "火花 \\n"])
def test_the_worker_file_holds_any_path(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (tmp_path / name / "rates.json").write_text("{}")
    path = Stage(folder).write_worker(seed=3, rates=folder / "rates.json", recordings=None, cores=2)
    env = read_fworker(str(path)).env
    words = shlex.split(env["vasp_cmd"])
    assert words[words.index("--attempts") + 1] == str(folder / "attempts")
    assert words[words.index("--chaos") + 1] == str(folder / "rates.json")
    assert env["cores"] == 2


def task(points: int, electrons: float, hybrid: bool, steps: int) -> dict:
    incar = {"LHFCALC": True} if hybrid else {}
    arrays = {"kpoint_weights": {"shape": [points]}}
    return {
        "inputs": {"incar": incar, "nelect": electrons},
        "arrays": arrays,
        "n_ionic_steps": 1,
        "n_electronic_steps": steps,
        "n_sites": 2,
    }


def recorded_efforts(folder: Path) -> list[tuple[float, float]]:
    """Core-seconds that recorded runs took, and those of the rule."""
    found = []
    for path in sorted(folder.rglob("*OUTCAR*")):
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode(errors="replace")
        words = {
            "seconds": r"Elapsed time \(sec\):\s*([\d.]+)",
            "cores": r"(?:running on|running)\s+(\d+) (?:total cores|nodes|mpi-ranks)",
            "points": r"NKPTS =\s*(\d+)",
            "electrons": r"NELECT =\s*([\d.]+)",
            "spins": r"ISPIN  =\s*(\d)",
        }
        numbers = {name: match[1] for name, pattern in words.items() if (match := re.search(pattern, text))}
        steps = text.count("LOOP:")
        if len(numbers) < len(words) or not steps:
            continue
        hybrid = re.search(r"LHFCALC =\s+T", text) is not None
        sampled = int(numbers["points"]) * int(numbers["spins"])
        rule = core_hours(task(sampled, float(numbers["electrons"]), hybrid, steps)) * 3600
        found.append((float(numbers["seconds"]) * int(numbers["cores"]), rule))
    return found


def test_the_rule_of_effort_is_right_within_the_factor_it_gives(recorded):
    efforts = recorded_efforts(recorded / "vasp_runs")
    assert len(efforts) > 30
    off = np.log([took / rule for took, rule in efforts])
    assert np.mean(np.abs(off) < np.log(FACTOR)) >= 2 / 3
    assert np.std(off, ddof=5) == pytest.approx(np.log(FACTOR), rel=0.15)
    assert abs(off.mean()) < 0.2


def test_the_effort_grows_with_everything():
    small = core_hours(task(10, 8.0, False, 10))
    for larger in (task(20, 8.0, False, 10), task(10, 80.0, False, 10), task(10, 8.0, True, 10), task(10, 8.0, False, 20)):
        assert core_hours(larger) > small
    polarised = task(10, 8.0, False, 10)
    polarised["inputs"]["incar"] = {"ISPIN": 2}
    assert core_hours(polarised) == pytest.approx(core_hours(task(20, 8.0, False, 10)))


def test_the_time_to_finish_is_bounded_by_work_and_by_the_longest_chain():
    chains = [5.0, 4.0, 3.0, 3.0, 3.0]
    assert makespan(chains, 1) == sum(chains)
    assert makespan(chains, 2) == 9.0 or sum(chains) / 2 <= makespan(chains, 2) <= 4 / 3 * sum(chains) / 2
    assert makespan(chains, 50) == 5.0


def test_steps_and_faults_are_told_apart(tmp_path):
    assert step_of({"task": "band", "functional": "hse06_nsc"}) == "band hse06_nsc"
    assert step_of({"task": "band", "functional": "pbesol"}) == "band"
    (tmp_path / "faults.tsv").write_text("aa\t0\terror\tbrmix\nab\t0\tslow\t\nac\t1\terror\tbrmix\n")
    assert read_faults(tmp_path) == {"error brmix": 2, "slow": 1}
    assert not read_faults(tmp_path / "nowhere")


def test_made_up_crystals_are_many_and_all_different(tmp_path):
    crystals = dict(made_crystals())
    assert len(crystals) > 2000
    assert (
        min(
            structure.distance_matrix[structure.distance_matrix > 1e-3].min()
            for structure in list(crystals.values())[::40]
            if len(structure) > 2
        )
        > 1.2
    )
    some = list(crystals.values())[:40]
    assert len({make_candidate(ReadStructure(structure, "made up")).material_id for structure in some}) == len(some)
    assert [path.name for path in write_crystals(tmp_path, 2)] == ["MgO-rock-salt.vasp", "CaO-rock-salt.vasp"]


@pytest.mark.parametrize("name", ["demo", "bulk"])
def test_the_campaigns_of_the_project_can_be_read(name):
    campaign = read_campaign(REPOSITORY / "workflows" / f"{name}.yaml")
    assert campaign.structures == ("demo",)
    assert campaign.protocol == "pbesol-demo"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("fws: []", 127),
        ("[", 127),
        ("- 1", 127),
        ("fws: [{spec: {_tasks: [{_fw_name: ScriptTask}]}}]", 127),
        ("fws:\n- spec: {_tasks: [{_fw_name: CampaignTask}]}", 112),
        ("fws:\n- spec: {_tasks: [{_fw_name: CampaignTask, structures: 1, flow: a, protocol: b, calculator: c}]}", 112),
    ],
)
def test_what_is_no_campaign_is_refused(tmp_path, text, number):
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    with pytest.raises(HibanaError, match=f"HIB-{number}"):
        read_campaign(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": "rates: {errr: 0.1}"}, r"HIB-200.*errr \(is error meant\?\)"),
        ({"rates": "ratse: {error: 0.1}"}, r"HIB-200.*ratse \(is rates meant\?\)"),
        ({"rates": "rates: {error: often}"}, "HIB-200.*rates.error is 'often'"),
        ({"rates": None}, "HIB-200.*No such file"),
        ({"rates": "{}", "seed": None}, "HIB-119.*--chaos"),
        ({"structures": 0}, "HIB-119"),
        ({"structures": ["nowhere.cif"]}, "HIB-016.*nowhere.cif"),
        ({"structures": ["notes.txt"]}, "HIB-013.*notes.txt"),
        ({"structures": ["empty"]}, "HIB-014.*empty"),
        ({"recordings": "nowhere"}, "HIB-016.*nowhere"),
        ({"workflow": ("protocol: pbesol-demo", "protocl: pbesol-demo")}, r"HIB-112.*protocl \(is protocol meant\?\)"),
        ({"workflow": ("protocol: pbesol-demo", "protocol: nowhere")}, "HIB-030"),
        ({"workflow": ("flow: electronic", "flow: electric")}, "HIB-096"),
        ({"folder": "notes.txt"}, "HIB-118.*notes.txt"),
    ],
)
def test_everything_is_checked_before_anything_is_started(tmp_path, monkeypatch, changes, message):
    def started(*_args, **_kwargs):
        pytest.fail("something was started")

    monkeypatch.setattr("hibana.store.server.up", started)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("milk")
    (tmp_path / "empty").mkdir()
    workflow, rates, folder = tmp_path / "demo.yaml", tmp_path / "rates.yaml", changes.get("folder")
    text = (REPOSITORY / "workflows" / "demo.yaml").read_text()
    old, new = changes.get("workflow", ("", ""))
    assert old in text
    workflow.write_text(text.replace(old, new))
    if changes.get("rates"):
        rates.write_text(changes["rates"])
    structures = changes.get("structures", [MGO])
    with pytest.raises(HibanaError, match=re.compile(message, re.DOTALL)):
        rehearse(
            workflow,
            structures=structures if isinstance(structures, int) else [Path(name) for name in structures],
            seed=changes.get("seed", 1),
            rates=rates if "rates" in changes else None,
            recordings=Path(changes["recordings"]) if "recordings" in changes else None,
            folder=None if folder is None else Path(folder),
        )
    assert not list(tmp_path.glob("*/store"))


@pytest.mark.slow
def test_a_rehearsal_prints_a_forecast_that_adds_up(tmp_path):
    rates = tmp_path / "rates.yaml"
    rates.write_text("attempts: 1\nrates: {signal: 0.4}\n")
    words = ["rehearse", REPOSITORY / "workflows" / "demo.yaml", "-s", MGO, "--chaos", 1, "--rates", rates, "--cores", 96]
    words += ["--cores-per-run", 48, "--json", "--workers", 1]
    command = [sys.executable, "-m", "hibana.cli", *map(str, words)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert told["outcomes"] == {"done": 1}
    assert sum(told["runs"].values()) == 5
    assert told["failures"] == {"HIB-104": told["repeated"]}
    assert told["repeated"] == sum(told["faults"].values()) > 0
    stages = sum(told["runs"].values()) + 1
    assert told["starts"] - told["repeated"] in (stages, stages + 1)  # a hybrid that dies in its second stage repeats the first
    assert told["hours"] == pytest.approx(told["core_hours"] / 48)
    assert told["core_hours"] > 0
