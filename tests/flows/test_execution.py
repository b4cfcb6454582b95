"""Asked twice, computed once; the walltime is no failure; what raises leaves nothing behind. With a real store."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from potcars import write_library

import hibana.vasp.run
from flow_documents import MATERIAL, MGO, task
from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.documents.task import is_settled
from hibana.flows import attempt as attempts
from hibana.flows.attempt import Calculation
from hibana.flows.context import RunContext, current_context, use_context
from hibana.flows.execution import carry_out
from hibana.flows.messages import Past, series_of
from hibana.flows.parts import has_moved_before, past_after
from hibana.protocol.protocol import load_protocol
from hibana.store.owner import Owner
from hibana.vasp.run import RunReport

FAKE_VASP = Path(__file__).with_name("fake_vasp.py")
BRMIX = "BRMIX: very serious problems the old and the new charge density differ"
SETTLED = 9.4 * 2
"""Volume of the cell at which the fake VASP stops relaxing, Å^3."""


def settled() -> Crystal:
    half = (4 * SETTLED) ** (1 / 3) / 2
    return MGO.model_copy(update={"lattice": ((0.0, half, half), (half, 0.0, half), (half, half, 0.0))})


def relaxation(**changes) -> Calculation:
    series = series_of("pbesol-demo", "gpaw-rehearsal")
    return replace(Calculation(MATERIAL, series, settled(), "structure_opt", "pbesol"), **changes)


@pytest.fixture
def lab(tmp_path, monkeypatch, store):
    """A store, a working directory and the fake VASP."""
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(write_library(tmp_path / "potcars")))
    monkeypatch.setenv("FAKE_VASP", str(tmp_path / "script.json"))
    monkeypatch.setenv("FAKE_VASP_LOG", str(tmp_path / "vasp.log"))
    monkeypatch.setattr(hibana.vasp.run, "POLLING_SECONDS", 0.05)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return Lab(store, tmp_path)


class Lab:
    def __init__(self, store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.context = RunContext(store=store, vasp_cmd=f"{sys.executable} {FAKE_VASP}", cores=2, poll_seconds=0.1)
        self.behave()

    def behave(self, **script) -> None:
        (self.folder / "script.json").write_text(json.dumps(script))

    def ask(self, calculation: Calculation, **changes):
        with use_context(replace(self.context, **changes)):
            return carry_out(calculation)

    def runs(self) -> int:
        log = self.folder / "vasp.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def claims(self) -> list[str]:
        return [claim["state"] for claim in self.store.query("claims", {})]


def test_threads_cost_and_do_not_change_the_inputs(lab, monkeypatch):
    processes, build = [], attempts.build_inputs

    def note(*arguments, cores, **options):
        processes.append(cores)
        return build(*arguments, cores=cores, **options)

    monkeypatch.setattr(attempts, "build_inputs", note)
    made = lab.ask(relaxation(), cores=4, threads=3).task
    hours = (made.machine.finished - made.machine.started).total_seconds() / 3600
    assert made.machine.cores == 12
    assert made.machine.core_hours == pytest.approx(12 * hours, rel=1e-3)
    assert processes == [4]


def test_asked_twice_computed_once(lab):
    first = lab.ask(relaxation()).task
    again = lab.ask(relaxation()).task
    assert lab.runs() == 1
    assert again.address == first.address == relaxation().spec(load_protocol("pbesol-demo")).address
    assert (first.status, first.n_ionic_steps) == ("converged", 1)
    assert first.machine.directory == str(Path.cwd())
    assert 0 < first.machine.core_hours < 0.1
    assert first.versions["hibana"]
    assert again.arrays == first.arrays
    eigenvalues = lab.store.array(first.arrays["eigenvalues"])
    assert eigenvalues.shape == first.arrays["eigenvalues"].shape


def test_a_second_run_in_one_folder_has_a_folder_of_its_own(lab):
    lab.ask(relaxation())
    second = lab.ask(relaxation(round=2, parents=("a",))).task
    assert Path(second.machine.directory).parent == Path.cwd()


def test_a_failed_run_is_stored_but_never_served(lab):
    lab.behave(fail={"relax": "nelm"})
    failed = lab.ask(relaxation()).task
    assert failed.status != "converged"
    assert lab.store.task(failed.address) is None
    assert lab.store.task(failed.address, any_status=True) is not None
    lab.behave()
    assert lab.ask(relaxation()).task.status == "converged"
    assert lab.runs() >= 2


def test_another_live_run_is_waited_for(lab):
    lab.behave(seconds=2)
    done = []

    def ask(folder: Path) -> None:
        done.append(lab.ask(relaxation()).task)

    threads = [threading.Thread(target=ask, args=(lab.folder / name,)) for name in "ab"]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert lab.runs() == 1
    assert done[0].address == done[1].address
    assert done[0].energy == done[1].energy


def test_a_run_that_was_taken_over_stores_nothing_and_serves_the_newer_result(lab, monkeypatch):
    address = relaxation().spec(load_protocol("pbesol-demo")).address
    real = attempts.attempt

    def slow(*arguments):
        result = real(*arguments)
        lab.store.database["claims"].update_one({"_id": address}, {"$set": {"state": "released"}})
        thief = lab.store.claim(address, owner=Owner.here())
        newer = result.task.model_copy(update={"energy": -99.0})
        assert lab.store.complete(newer, result.arrays, thief)
        return result

    monkeypatch.setattr("hibana.flows.execution.attempt", slow)
    assert lab.ask(relaxation()).task.energy == -99.0
    assert lab.store.task(address).energy == -99.0


def test_taken_over_without_a_result_is_a_numbered_error(lab, monkeypatch):
    address = relaxation().spec(load_protocol("pbesol-demo")).address
    real = attempts.attempt

    def slow(*arguments):
        result = real(*arguments)
        lab.store.database["claims"].update_one({"_id": address}, {"$inc": {"token": 1}})
        return result

    monkeypatch.setattr("hibana.flows.execution.attempt", slow)
    with pytest.raises(HibanaError, match="HIB-094"):
        lab.ask(relaxation())
    assert lab.store.task(address, any_status=True) is None


@pytest.mark.parametrize(
    ("script", "calculation", "context", "code"),
    [
        ({"fail": {"relax": "crash"}}, {}, {}, "HIB-095"),
        ({"fail": {"relax": "half"}}, {}, {}, "HIB-104"),
        ({"fail": {"relax": "disk"}}, {}, {}, "HIB-105"),
        ({}, {"series": series_of("pbesol-demo", "vasp")}, {}, "HIB-092"),
        ({}, {}, {"vasp_cmd": None}, "HIB-091"),
        ({}, {}, {"vasp_cmd": "no-such-command"}, "HIB-055"),
        ({}, {}, {"walltime": 0.0}, "HIB-097"),
        (
            {},
            {"series": series_of("pbesol-demo", "gpaw-rehearsal").model_copy(update={"protocol_digest": "0"})},
            {},
            "HIB-093",
        ),
    ],
)
def test_what_says_nothing_of_the_material_is_a_numbered_error_and_leaves_no_lease(lab, script, calculation, context, code):
    lab.behave(**script)
    with pytest.raises(HibanaError, match=code):
        lab.ask(relaxation(**calculation), **context)
    assert lab.claims() in ([], ["released"])
    assert list(lab.store.query("tasks", {})) == []
    lab.behave()
    assert lab.ask(relaxation()).task.status == "converged"


def test_missing_potentials_are_a_numbered_error(lab, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(lab.folder / "nowhere"))
    with pytest.raises(HibanaError, match="HIB-033"):
        lab.ask(relaxation())
    assert lab.claims() == []


def test_outside_of_a_worker_it_says_so():
    with pytest.raises(HibanaError, match="HIB-090"):
        current_context()


def test_a_hybrid_step_knows_the_gap_of_its_semilocal_stage(lab):
    done = lab.ask(relaxation(task="band", functional="hse06_nsc", parents=("a",))).task
    assert done.edges.band_gap == pytest.approx(6.5)
    assert done.semilocal_edges.band_gap == pytest.approx(4.5)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_walltime_ends_a_relaxation_and_it_goes_on_from_its_last_cell(lab, steps):
    """The fake VASP obeys STOPCAR after some steps, the first in the cell given; the second part starts where it stopped."""
    lab.behave(seconds=20, stop_after=steps)
    far = replace(relaxation(), crystal=MGO)
    first = lab.ask(far, walltime=4.0)
    assert first.task.status == "walltime"
    assert lab.claims() == ["released"]
    assert lab.store.task(first.task.address, any_status=True) is None
    assert first.past.parts == 1
    assert first.past.crystal is not None
    lab.behave()
    second = lab.ask(replace(far, past=first.past)).task
    assert second.address == first.task.address
    assert second.status == "converged"
    assert second.initial == first.past.crystal
    assert second.machine.core_hours > first.task.machine.core_hours > 0
    assert second.machine.started == first.task.machine.started
    assert second.has_moved_before is (steps > 1)
    assert (second.initial == MGO) is (steps == 1)


@pytest.mark.parametrize("turned", [False, True], ids=["as asked", "other order"])
@pytest.mark.parametrize(
    ("moved", "strain", "expected"),
    [(0.0, 1.0, False), (1.0, 1.0, False), (0.001, 1.0, True), (0.0, 1.001, True), (0.5, 1.0, True)],
    ids=["not", "a whole cell", "inside", "the cell", "far"],
)
def test_nothing_left_to_do_in_the_last_part_settles_no_round(moved, strain, expected, turned):
    """Also where the code's files have the elements in another order than the candidate."""
    lattice = tuple(tuple(strain * x for x in vector) for vector in MGO.lattice)
    sites = [("Mg", (0.0, 0.0, 0.0)), ("O", (0.5, 0.5, 0.5 + moved))]
    assert [element for element, _ in sites] == list(MGO.species)
    species, coords = zip(*(sites[::-1] if turned else sites), strict=True)
    begun = MGO.model_copy(update={"lattice": lattice, "species": species, "frac_coords": coords})
    run = task("structure_opt", initial=begun, n_ionic_steps=1)
    run = run.model_copy(update={"has_moved_before": has_moved_before(run, replace(relaxation(), crystal=MGO))})
    assert run.has_moved_before is expected
    assert is_settled(run) is not expected


def test_atoms_of_two_elements_that_change_places_have_moved():
    swapped = MGO.model_copy(update={"frac_coords": MGO.frac_coords[::-1]})
    assert has_moved_before(task("structure_opt", initial=swapped), replace(relaxation(), crystal=MGO))


def test_a_relaxation_that_begins_where_it_was_asked_to_has_not_moved_before(lab):
    assert not lab.ask(replace(relaxation(), crystal=MGO)).task.has_moved_before


class TestPast:
    """When parts that get nowhere are given up."""

    def after(self, past: Past, seconds: float, steps: int = 0, what: str = "structure_opt") -> Past:
        run = task(what, status="walltime", n_ionic_steps=steps)
        report = RunReport((), "walltime", None, seconds)
        return past_after(run, relaxation(task=what, past=past), report, run.machine)

    def test_equal_idle_parts_add_up(self):
        assert self.after(self.after(Past(), 3600), 3500).idle_parts == 2

    def test_the_short_end_of_an_allocation_tells_nothing(self):
        past = self.after(Past(), 3600, steps=5)
        for seconds in (270, 30, 3):
            past = self.after(past, seconds)
        assert past.idle_parts == 0
        assert past.parts == 4

    def test_a_longer_try_is_the_first_of_its_kind(self):
        past = self.after(self.after(Past(), 10), 10)
        assert past.idle_parts == 2
        assert self.after(past, 3600).idle_parts == 1

    def test_an_ionic_step_counts_for_relaxations_only(self):
        assert self.after(Past(), 3600, steps=1).crystal == MGO
        static = self.after(Past(), 3600, steps=1, what="band")
        assert (static.idle_parts, static.crystal) == (1, None)

    def test_corrections_and_place_are_kept(self):
        past = self.after(Past(core_hours=1.0), 10)
        assert past.directory == "/"
        assert past.started


def test_given_up_parts_are_a_failure_with_its_reason(lab):
    lab.behave(seconds=60, stop_first=["band"])
    band = relaxation(task="band", parents=("a",))
    first = lab.ask(band, walltime=2.0)
    assert first.task.status == "walltime"
    assert lab.store.task(first.task.address, any_status=True) is None
    done = lab.ask(replace(band, past=first.past), walltime=2.0).task
    assert (done.status, done.failure.kind) == ("failed", "walltime")
    assert "got anywhere" in done.failure.message


def test_a_code_that_dies_again_and_again_is_not_given_up(lab):
    """Its job ends with the error each time: another node may bring it to its end."""
    lab.behave(fail={"relax": "half"}, say_first={"relax": BRMIX})
    for _ in range(3):
        with pytest.raises(HibanaError, match="HIB-104"):
            lab.ask(relaxation())
    (claim,) = lab.store.query("claims", {})
    past = claim["part"]["past"]
    assert past["idle_parts"] == 0
    assert ["brmix"] in [item["errors"] for item in past["corrections"]]
    assert claim["part"]["seconds"] > 0
    assert past["core_hours"] > 0
    lab.behave()
    done = lab.ask(relaxation()).task
    assert done.status == "converged"
    assert done.machine.core_hours > past["core_hours"]


def test_a_code_that_died_once_keeps_its_corrections(lab):
    lab.behave(fail={"relax": "half"}, say_first={"relax": BRMIX})
    with pytest.raises(HibanaError, match="HIB-104"):
        lab.ask(relaxation())
    lab.behave()
    done = lab.ask(relaxation()).task
    assert (done.status, [item.errors for item in done.corrections]) == ("converged", [("brmix",)])


def test_a_full_disk_is_never_the_fault_of_a_calculation(lab):
    lab.behave(fail={"relax": "disk"})
    for _ in range(4):
        with pytest.raises(HibanaError, match="HIB-105"):
            lab.ask(relaxation())
    lab.behave()
    assert lab.ask(relaxation()).task.status == "converged"


def test_a_code_that_dies_but_gets_on_is_run_again(lab, monkeypatch):
    """Each part of the relaxation comes to another cell before it dies."""
    monkeypatch.setattr("hibana.flows.parts.last_cell_of", lambda *_: MGO)
    lab.behave(fail={"relax": "half"})
    for _ in range(4):
        with pytest.raises(HibanaError, match="HIB-104"):
            lab.ask(relaxation())
