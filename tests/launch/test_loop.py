"""The autonomous loop on a real server: what it would set, what it sets, and what a kill leaves."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from farm import wait_until
from fireworks import FWorker, Workflow
from launchpad_tasks import note

from hibana.cli.main import main
from hibana.launch.loop import Ranked, Ranking, look, plan, waiting_materials
from results import SERIES, Campaign, material_id

pytestmark = pytest.mark.timeout(600)

GAPS = {"F": 8.0, "O": 6.0, "Cl": 5.0, "S": 3.0, "Se": 2.2, "Te": 1.2}
KNOWN = ("Be", "Mg", "Ca", "Zn", "Cd")
WAITING = ("Sr", "Ba")
WORDS = ["loop", "--table", "electronic", "--target", "band_gap_hse06_nsc", "--between", "0.9", "1.6"]


def formula_of(metal: str, anion: str) -> str:
    return f"{metal}{anion}{'2' if anion in ('F', 'Cl') else ''}"


class Loop:
    """A campaign of thirty known materials and twelve that wait, and the verb."""

    def __init__(self, folder: Path, file: Path, launchpad: Any, store: Any) -> None:
        self.folder, self.file, self.launchpad = folder, file, launchpad
        self.campaign = Campaign(store)
        for number, metal in enumerate(KNOWN):
            for anion, gap in GAPS.items():
                value = gap + 0.1 * number
                self.campaign.complete(formula_of(metal, anion), band_gap_pbesol=value - 0.3, band_gap_hse06_nsc=value)
        self.waiting = [formula_of(metal, anion) for metal in WAITING for anion in GAPS]
        for formula in self.waiting:
            self.wait(formula)

    def wait(self, formula: str, **fields: Any) -> None:
        """A candidate with a workflow of two jobs."""
        if self.campaign.store.candidate(material_id(formula)) is None:
            self.campaign.candidate(formula)
        about = {"material_id": material_id(formula), "formula": formula, "flow": "electronic", **SERIES, **fields}
        relax = note(f"{formula} relax")
        self.launchpad.add_wf(Workflow([relax, note(f"{formula} band", [relax])], metadata=about))

    def priorities(self) -> dict[str, int | None]:
        """Of the jobs that wait, by formula."""
        jobs = self.launchpad.fireworks.find({"state": {"$in": ["READY", "WAITING"]}}, {"name": 1, "spec._priority": 1})
        return {job["name"].split()[0]: job["spec"].get("_priority") for job in jobs}

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Every document of the database."""
        database = self.launchpad.db
        return {name: list(database[name].find().sort("_id")) for name in sorted(database.list_collection_names())}

    def call(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run the verb in this process."""
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(io.StringIO()), pytest.raises(SystemExit) as stop:
            main([*WORDS, "--trees", "30", "-o", str(self.folder / "log"), *words, "--json"])
        assert int(stop.value.code or 0) == code, printed.getvalue()
        return json.loads(printed.getvalue())

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log/decisions.jsonl").read_text().splitlines()]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it as a daemon."""
        command = [sys.executable, "-m", "hibana.cli", *WORDS, "--trees", "30", "-o", str(self.folder / "log"), *words]
        return subprocess.Popen(
            [*command, "-l", str(self.file)], cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )


@pytest.fixture
def loop(tmp_path, launchpad_file, launchpad, store, monkeypatch) -> Loop:
    monkeypatch.setenv("HIBANA_LAUNCHPAD", str(launchpad_file))
    monkeypatch.chdir(tmp_path)
    return Loop(tmp_path, launchpad_file, launchpad, store)


def first(found: dict[str, Any], n: int = 2) -> set[str]:
    return {change["formula"] for change in found["changes"][:n]}


def test_a_dry_run_says_what_and_why_and_writes_nothing(loop):
    before, files = loop.everything(), sorted(loop.folder.rglob("*"))
    found = loop.call("--dry-run")
    assert loop.everything() == before
    assert sorted(loop.folder.rglob("*")) == files
    assert (found["dry_run"], found["jobs"], found["n_waiting"]) == (True, None, 12)
    assert (found["model"]["phase"], found["model"]["n_known"]) == ("model", {"band_gap_hse06_nsc": 30})
    assert len(found["changes"]) == 12
    assert first(found) == {"SrTe", "BaTe"}
    best = found["changes"][0]
    assert (best["before"], best["priority"], best["rank"]) == (None, 1000, 1)
    assert 0.9 < best["prediction"]["band_gap_hse06_nsc"] < 2.2
    assert best["why"].startswith("probability of 0.9 < band_gap_hse06_nsc < 1.6: ")
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit):
        main([*WORDS, "--dry-run", "--show", "1"])
    assert "12 priorities would change" in printed.getvalue()
    assert "none -> 1000: probability of" in printed.getvalue()
    assert loop.everything() == before


def test_a_round_sets_logs_and_then_rests(loop):
    said = loop.call("--dry-run")
    found = loop.call("--once")
    assert [change["material_id"] for change in found["changes"]] == [change["material_id"] for change in said["changes"]]
    priorities = loop.priorities()
    assert {formula for formula, value in priorities.items() if value >= 999} == {"SrTe", "BaTe"}
    assert sorted(priorities.values()) == list(range(989, 1001))
    assert found["jobs"]["changed"] == {"READY": 12, "WAITING": 12}
    log = loop.log()
    assert {item["material_id"]: item["priority"] for item in log} == {material_id(name): n for name, n in priorities.items()}
    manifest = json.loads((loop.folder / "log/electronic/manifest.json").read_text())
    for item in log:
        assert (item["snapshot"], item["seed"], item["table"]) == (manifest["snapshot"], 0, "electronic")
        assert (item["rule"]["trees"], item["model"]["n_known"]) == (30, {"band_gap_hse06_nsc": 30})
        assert item["why"]
    taken, _ = loop.launchpad.checkout_fw(FWorker(), "/tmp")
    assert taken.name in ("SrTe relax", "BaTe relax")
    loop.launchpad.rerun_fw(taken.fw_id)
    loop.launchpad.fireworks.update_one({"fw_id": taken.fw_id}, {"$set": {"state": "READY"}})
    again = loop.call()
    assert (again["changes"], again["jobs"]["changed"], len(loop.log())) == ([], {}, 12)


def test_new_results_change_the_order(loop):
    assert first(loop.call()) == {"SrTe", "BaTe"}
    for name in ("SrTe", "SrSe", "BaSe", "SrS"):  # what was predicted turns out to be wrong
        loop.campaign.complete(name, band_gap_pbesol=4.0, band_gap_hse06_nsc=9.0)
    for metal in ("Pb", "Hg"):
        for anion in ("F", "Cl"):
            loop.campaign.complete(formula_of(metal, anion), band_gap_pbesol=1.0, band_gap_hse06_nsc=1.3)
    found = loop.call()
    assert found["n_waiting"] == 8
    assert found["model"]["n_known"] == {"band_gap_hse06_nsc": 38}
    assert found["changes"]
    assert loop.priorities()["SrTe"] in (999, 1000)  # done: it is left as it was


def test_what_has_begun_is_finished_first_and_what_cannot_run_is_left(loop):
    for name in ("SrF2", "BaF2", "SrO"):
        relax = {"name": f"{name} relax"}
        states = {"SrF2": "COMPLETED", "BaF2": "RUNNING", "SrO": "FIZZLED"}
        loop.launchpad.fireworks.update_one(relax, {"$set": {"state": states[name]}})
    loop.launchpad.fireworks.update_one({"name": "SrF2 band"}, {"$set": {"state": "READY"}})
    loop.wait("CdTe")  # known
    loop.wait("HgTe", calculator="gpaw-rehearsal")
    loop.wait("PbTe", flow="relax")
    found = loop.call("--first", "3")
    begun = [change for change in found["changes"] if change["priority"] == 4]
    assert {change["formula"] for change in begun} == {"SrF2", "BaF2"}
    assert all(change["why"].startswith("has begun and is finished first") for change in begun)
    priorities = loop.priorities()
    assert {priorities[name] for name in ("SrO", "CdTe", "HgTe", "PbTe")} == {None}
    assert sorted(value for value in priorities.values() if value is not None) == [0] * 6 + [1, 2, 3, 4, 4]
    assert {name for name, value in priorities.items() if value in (2, 3)} == {"SrTe", "BaTe"}


def test_few_results_give_a_random_order_that_says_so(loop):
    found = loop.call("--start", "31")
    assert found["model"]["phase"] == "random"
    assert "30 values of band_gap_hse06_nsc are known, 31 are needed" in found["changes"][0]["why"]
    assert loop.call("--start", "31")["changes"] == []


def test_a_kill_between_log_and_priorities_is_made_good(loop, monkeypatch):
    def killed(*_words, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hibana.launch.loop.set_priorities", killed)
        printed = io.StringIO()
        with redirect_stdout(printed), pytest.raises(SystemExit):
            main([*WORDS, "--trees", "30", "-o", str(loop.folder / "log")])
    assert len(loop.log()) == 12
    assert set(loop.priorities().values()) == {None}
    with (loop.folder / "log/decisions.jsonl").open("a") as file:
        file.write('{"material_id": "cut')
    loop.call()
    assert sorted(loop.priorities().values()) == list(range(989, 1001))
    assert {item["material_id"]: item["priority"] for item in loop.log()} == {
        material_id(name): value for name, value in loop.priorities().items()
    }


@pytest.mark.slow
def test_a_daemon_follows_the_campaign_and_may_be_killed(loop):
    daemon = loop.start("--every", "1")
    try:
        wait_until(lambda: loop.priorities()["SrTe"], 120, "the first round")
        loop.wait("HgTe")
        wait_until(lambda: loop.priorities()["HgTe"], 120, "a later round")
        assert "HIB-288" in str(loop.call(code=2)["error"])
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.communicate(timeout=120)
    assert loop.call()["changes"] == []
    daemon = loop.start("--every", "1")
    try:
        loop.wait("PbTe")
        wait_until(lambda: loop.priorities()["PbTe"], 120, "a round after the restart")
        daemon.send_signal(signal.SIGINT)
        said, _ = daemon.communicate(timeout=120)
    finally:
        daemon.kill()
    assert daemon.returncode == 0, said


def test_an_exported_table_can_be_given_and_structures_can_be_features(loop):
    with redirect_stdout(io.StringIO()), pytest.raises(SystemExit):
        main(["export", "electronic", "-o", str(loop.folder / "kept")])
    found = loop.call("--snapshot", str(loop.folder / "kept"), "-f", "composition", "-f", "structure", "--dry-run")
    assert first(found) == {"SrTe", "BaTe"}
    assert found["model"]["n_features"] > 300
    strange = loop.folder / "strange.csv"
    strange.write_text("material_id,reduced_formula,band_gap_hse06_nsc\nmp-1,MgTe,1.0\nmp-1,MgTe,2.0\n")
    assert "HIB-289" in str(loop.call("--snapshot", str(strange), code=2)["error"])
    rows = [f"mp-{n},{formula_of(metal, anion)},{gap}" for n, metal in enumerate(KNOWN) for anion, gap in GAPS.items()]
    rows = [f"x{number}{row}" for number, row in enumerate(rows)]
    strange.write_text("\n".join(["material_id,reduced_formula,band_gap_hse06_nsc", *rows]) + "\n")
    assert first(loop.call("--snapshot", str(strange), "--dry-run")) == {"SrTe", "BaTe"}


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (["--target", "gap"], "HIB-261"),
        (["--and", "x"], "HIB-285"),
        (["--rule", "improvement"], "HIB-286"),
        (["--table", "nothing"], "HIB-"),
        (["--snapshot", "nowhere"], "HIB-260"),
    ],
)
def test_mistakes_have_a_number(loop, words, number):
    assert loop.call(*words, code=2)["error"]["code"].startswith(number)
    assert set(loop.priorities().values()) == {None}


def test_the_loops_of_two_series_leave_each_other_alone(launchpad):
    for protocol in ("one", "other"):
        about = {"material_id": "a", "formula": "MgO", "flow": "electronic", "protocol": protocol}
        launchpad.add_wf(Workflow([note(protocol)], metadata=about))
    ranking = Ranking({}, [Ranked("a", {})])
    look(launchpad, lambda _m: ranking, series={"protocol": "one"}, makes=lambda _flow: True, known=(), first=7)
    found = launchpad.fireworks.find({}, {"name": 1, "spec._priority": 1})
    assert {job["name"]: job["spec"].get("_priority") for job in found} == {"one": 7, "other": None}


def test_the_plan_needs_no_database(launchpad):
    assert waiting_materials(launchpad, {}, lambda _flow: True, ()) == []
    found = look(launchpad, lambda _m: Ranking({}, []), series={}, makes=lambda _flow: True, known=())
    assert (found.n_waiting, found.report) == (0, None)
    ranking = Ranking({}, [Ranked(name, {}) for name in "abcd"])
    assert plan([], ranking, 2) == {"a": 2, "b": 1, "c": 0, "d": 0}


def test_a_campaign_that_has_no_result_or_nothing_waiting_is_no_error(tmp_path, launchpad_file, launchpad, store, monkeypatch):
    monkeypatch.setenv("HIBANA_LAUNCHPAD", str(launchpad_file))
    empty = object.__new__(Loop)
    empty.folder, empty.file, empty.launchpad, empty.campaign = tmp_path, launchpad_file, launchpad, Campaign(store)
    assert empty.call(code=2)["error"]["code"].startswith("HIB-")
    empty.wait("SrTe")
    empty.wait("SrO")
    found = empty.call()
    assert (found["model"]["phase"], found["model"]["n_known"], len(found["changes"])) == ("random", {"band_gap_hse06_nsc": 0}, 2)
    launchpad.fireworks.update_many({}, {"$set": {"state": "COMPLETED"}})
    launchpad.workflows.update_many({}, {"$set": {"state": "COMPLETED"}})
    found = empty.call()
    assert (found["n_waiting"], found["changes"], found["jobs"]) == (0, [], None)
