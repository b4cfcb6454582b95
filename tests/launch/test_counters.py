"""Counters against what they count: whoever folds when, and whoever is killed at which operation."""

from __future__ import annotations

import multiprocessing
import random
import uuid
from datetime import timedelta

import pytest
from counted import (
    COUNTED,
    STATES,
    STATUSES,
    Interrupted,
    KilledError,
    amounts,
    counted,
    counters_of,
    firework,
    launch,
    outcome,
    run,
    soon,
    truth,
    workflow,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hibana.core.errors import HibanaError
from hibana.launch import counters as counters_module
from hibana.launch.cells import Amount, Cell, added, pruned, slot_of
from hibana.launch.counters import Counters
from hibana.launch.material_class import class_of
from hibana.launch.sources import JOBS, LAYOUT, OUTCOMES, RUNS
from hibana.launch.stages import stage_of_job, stage_of_run
from hibana.store.connection import connect
from size import FULL

NAMES = [source.name for source in COUNTED]


def put_job(database, number, state, at, told=True, error="ValueError: no"):
    database["fireworks"].replace_one({"fw_id": number}, firework(number, state, at, told=told), upsert=True)
    if not told and database["workflows"].find_one({"nodes": number}) is None:
        database["workflows"].insert_one(workflow(number))
    if state == "FIZZLED":
        database["launches"].replace_one({"launch_id": number}, launch(number, error), upsert=True)


def put_run(database, number, status, at, hours=0.5):
    document = run(number, status, at, hours=hours)
    database["tasks"].replace_one({"_id": document["_id"]}, document, upsert=True)


def put_outcome(database, number, state, at):
    document = outcome(number, state, at)
    database["outcomes"].replace_one({"_id": document["_id"]}, document, upsert=True)


def assert_right(database):
    """The counters are what a count of everything gives."""
    counters = counters_of(database)
    for source in COUNTED:
        assert amounts(counted(counters, source)) == amounts(truth(database, source)), source.name


def test_everything_is_counted_at_first_and_changes_later(database):
    for number in range(30):
        put_job(database, number, "READY", soon(-1), told=bool(number % 2))
        put_run(database, number, STATUSES[number % 3], soon(-1), hours=number)
        put_outcome(database, number, "done", soon(-1))
    counters = counters_of(database)
    counters.fold(NAMES)
    assert_right(database)
    cells = counted(counters, JOBS)
    assert sum(amount.n for amount in cells.values()) == 30
    assert {Cell.of_key(key).material for key in cells} == {"oxide", "nitride", "oxychalcogenide", "metallic"}
    assert {Cell.of_key(key).stage for key in cells} == {"relax"}
    assert sum(a.seconds for key, a in counted(counters, RUNS).items() if key.startswith("run|")) == 3600 * sum(range(30))
    for number in range(0, 30, 3):
        put_job(database, number, "COMPLETED", soon(0))
        put_run(database, number, "converged", soon(0), hours=1.0)
        put_outcome(database, number, "metal", soon(0))
    counters.fold(NAMES)
    assert_right(database)
    assert counters.cells("fireworks") != cells


def test_nothing_is_counted_twice(database):
    put_job(database, 1, "READY", soon(0))
    counters = counters_of(database)
    for _ in range(3):
        counters.fold(NAMES)
    assert [amount.n for amount in counters.cells("fireworks").values()] == [1]


def test_causes_of_errors_with_examples(database):
    errors = ["hibana.core.errors.HibanaError: HIB-095 x: y\n  mend: z", "ValueError: no", None]
    for number, error in enumerate(errors):
        put_job(database, number, "FIZZLED", soon(0), error=error)
    counters = counters_of(database)
    counters.fold(NAMES)
    cells = [Cell.of_key(key) for key in counters.cells("fireworks")]
    assert {cell.cause for cell in cells} == {"HIB-095", "ValueError", "lost"}
    lost = [cell for cell in cells if cell.cause == "lost"]
    assert counters.examples("fireworks", lost) == [2]


def go_round(counters):
    """Fold each source until its sweep, begun or not, has come to an end and gone round once more."""
    for name in NAMES:
        for _ in range(2):
            counters.fold([name])
            while counters.totals.find_one({"_id": name})["sweep_at"] is not None:
                counters.fold([name])


def test_what_comes_late_is_changed_without_a_stamp_or_deleted_is_found_by_the_sweep(database):
    for number in range(20):
        put_job(database, number, "READY", soon(-5000 + 100 * number))
    counters = counters_of(database)
    counters.fold(NAMES)
    put_job(database, 99, "READY", soon(-90000))
    put_job(database, 98, "READY", soon(-2000))
    database["fireworks"].update_one({"fw_id": 3}, {"$set": {"state": "COMPLETED"}})
    database["fireworks"].delete_one({"fw_id": 4})
    go_round(counters)
    assert_right(database)
    assert counters.examples("fireworks", []) == []


def test_folds_alone_go_round_all_documents(database):
    for number in range(20):
        put_job(database, number, "READY", soon(-5000 + 100 * number))
    counters = counters_of(database)
    counters.fold(["fireworks"])
    database["fireworks"].update_one({"fw_id": 3}, {"$set": {"state": "COMPLETED"}})
    for _ in range(40):
        counters.fold(["fireworks"])
    assert amounts(counted(counters, JOBS)) == amounts(truth(database, JOBS))


def test_counting_anew_and_counters_that_were_dropped(database):
    for number in range(20):
        put_job(database, number, STATES[number % len(STATES)], soon(0))
    counters = counters_of(database)
    counters.fold(NAMES)
    right = counters.cells("fireworks")
    database["counters"].update_one({"_id": "fireworks"}, {"$set": {"cells": [["nonsense||||||", 5, 0]]}})
    counters.recount()
    assert counters.cells("fireworks") == {}
    counters.fold(NAMES)
    assert counters.cells("fireworks") == right
    database["counters"].drop()
    counters_of(database).fold(NAMES)
    assert_right(database)


def test_counters_of_another_layout(database):
    put_job(database, 1, "READY", soon(0))
    counters = counters_of(database)
    counters.fold(NAMES)
    database["counters"].update_one({"_id": "fireworks"}, {"$set": {"layout": LAYOUT - 1, "cells": []}})
    counters.fold(NAMES)
    assert_right(database)
    database["counters"].update_one({"_id": "fireworks"}, {"$set": {"layout": LAYOUT + 1}})
    with pytest.raises(HibanaError, match="HIB-122"):
        counters.fold(NAMES)
    counters.recount()
    counters.fold(NAMES)
    assert_right(database)


def test_who_is_left_behind_leaves_the_counting_to_the_other(database, monkeypatch):
    monkeypatch.setattr(counters_module.time, "sleep", lambda _: None)
    for number in range(5):
        put_job(database, number, "READY", soon(0))

    def another(operation):
        if operation == "replace_one":
            database["counters"].update_one({"_id": "fireworks"}, {"$inc": {"version": 1}})

    (standing,) = Counters(Interrupted(database, another), [JOBS]).fold()
    assert not standing.complete
    (standing,) = counters_of(database).fold(["fireworks"])
    assert standing.complete
    assert amounts(counters_of(database).cells("fireworks")) == amounts(truth(database, JOBS))


def test_a_process_killed_at_any_operation_leaves_nothing_uncounted_and_nothing_twice(database):
    trial = _Trial(database)
    for number in range(4):
        put_job(database, number, "READY", trial.now())
        put_run(database, number, "failed", trial.now())
    counters_of(database).fold(NAMES)
    operation = 0
    while True:
        state = STATES[operation % len(STATES)]
        for number in (0, 1, 10 + operation, 200 + operation):
            put_job(database, number, state, trial.now())
            put_run(database, number, STATUSES[operation % len(STATUSES)], trial.now(), hours=operation)
        killed = trial.killed_at(operation)
        counters_of(database).fold((JOBS.name, RUNS.name))
        for source in (JOBS, RUNS):
            assert amounts(counters_of(database).cells(source.name)) == amounts(truth(database, source)), operation
        if not killed:
            break
        operation += 1
    assert operation > 15


def _folder(path, number, rounds):
    store = connect(path)
    counters = counters_of(store.database)
    rng = random.Random(number)
    for turn in range(rounds):
        for _ in range(3):
            key = number * 1000 + rng.randrange(20)
            put_job(store.database, key, rng.choice(STATES), soon(0))
            put_run(store.database, key, rng.choice(STATUSES), soon(0), hours=turn)
        counters.fold(NAMES)


def test_several_processes_fold_at_once(database, launchpad_file):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_folder, args=(launchpad_file, number, 6)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=200)
        assert process.exitcode == 0
    counters_of(database).fold(NAMES)
    assert_right(database)


EVENTS = st.one_of(
    st.tuples(st.just("job"), st.integers(0, 7), st.sampled_from(STATES), st.booleans()),
    st.tuples(st.just("run"), st.integers(0, 7), st.sampled_from(STATUSES), st.integers(0, 9)),
    st.tuples(st.just("outcome"), st.integers(0, 7), st.sampled_from(("done", "metal", "failed")), st.none()),
    st.tuples(st.just("fold"), st.none(), st.none(), st.none()),
    st.tuples(st.just("kill"), st.integers(0, 25), st.none(), st.none()),
    st.tuples(st.just("meet"), st.integers(0, 25), st.integers(0, 7), st.sampled_from(STATES)),
    st.tuples(st.just("delete"), st.integers(0, 7), st.none(), st.none()),
    st.tuples(st.just("recount"), st.booleans(), st.none(), st.none()),
)


class _Trial:
    """Events and folds on one database; every time stamp is later than the one before."""

    def __init__(self, database):
        self.database = database
        self.clock = soon(-1)

    def now(self):
        self.clock += timedelta(milliseconds=1)
        return self.clock

    def do(self, event):
        kind, first, second, third = event
        if kind == "job":
            put_job(self.database, first, second, self.now(), told=third)
        elif kind == "run":
            put_run(self.database, first, second, self.now(), hours=third)
        elif kind == "outcome":
            put_outcome(self.database, first, second, self.now())
        elif kind == "fold":
            counters_of(self.database).fold(NAMES)
        elif kind == "kill":
            self.killed_at(first)
        elif kind == "meet":
            self.met_at(first, lambda: put_job(self.database, second, third, self.now()))
        elif kind == "delete":
            self.database["fireworks"].delete_one({"fw_id": first})
        elif first:
            self.database["counters"].drop()
        else:
            counters_of(self.database).recount(NAMES)

    def killed_at(self, operation):
        """A fold whose process is killed before an operation on the database; whether it came to that."""
        left = iter(range(operation))

        def before(_):
            if next(left, None) is None:
                raise KilledError

        try:
            Counters(Interrupted(self.database, before), (JOBS, RUNS)).fold()
        except KilledError:
            return True
        return False

    def met_at(self, operation, change):
        """A fold in the middle of which something changes and another process folds."""
        left, met = iter(range(operation)), []

        def before(_):
            if next(left, None) is None and not met:
                met.append(True)
                change()
                counters_of(self.database).fold(NAMES)

        Counters(Interrupted(self.database, before), COUNTED).fold()


@settings(max_examples=150 if FULL else 10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(events=st.lists(EVENTS, min_size=3, max_size=14))
def test_any_interleaving_of_changes_folds_and_kills_counts_right(server, store, events):
    database = store.database.client.get_database(f"test_{uuid.uuid4().hex[:10]}", codec_options=store.database.codec_options)
    counters_module_sleep = counters_module.time.sleep
    counters_module.time.sleep = lambda _: None
    try:
        trial = _Trial(database)
        for event in events:
            trial.do(event)
        counters = counters_of(database)
        counters.fold(NAMES)
        if any(event[0] == "delete" for event in events):
            go_round(counters)
        assert_right(database)
        counters.recount(NAMES)
        counters.fold(NAMES)
        assert_right(database)
    finally:
        counters_module.time.sleep = counters_module_sleep
        database.client.drop_database(database.name)


# -- cells, classes, stages -------------------------------------------------------------------------------------------


def test_old_slots_are_not_kept_and_a_late_change_of_one_does_no_harm():
    new, old = slot_of(soon(0)), slot_of(soon(-40 * 3600))
    cells = pruned({f"slot||||relax||{new}": Amount(1), f"slot||||relax||{old}": Amount(1), "run|x": Amount(2)})
    assert set(cells) == {f"slot||||relax||{new}", "run|x"}
    assert pruned(added(dict(cells), {}, {f"slot||||relax||{old}": Amount(1)})) == cells


@given(
    before=st.dictionaries(st.sampled_from("abcd"), st.builds(Amount, st.integers(1, 5), st.integers(0, 5))),
    more=st.dictionaries(st.sampled_from("abcd"), st.builds(Amount, st.integers(1, 5), st.integers(0, 5))),
)
def test_what_is_added_can_be_taken_away(before, more):
    assert added(added(dict(before), more, {}), {}, more) == before


def test_a_cell_is_the_same_after_being_text():
    cell = Cell("flag", series="vasp pbesol@1", stage="electronic", cause="a|b")
    assert Cell.of_key(cell.key) == Cell("flag", series="vasp pbesol@1", stage="electronic", cause="a/b")


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("MgO", "oxide"),
        ("Ca(OH)2", "hydroxide"),
        ("CaSO4", "oxide"),
        ("KNO3", "oxide"),
        ("La2O2S", "oxychalcogenide"),
        ("BiOI", "oxyhalide"),
        ("Ca5P3O12F", "oxyhalide"),
        ("TaON", "oxynitride"),
        ("GaN", "nitride"),
        ("CsPbBr3", "halide"),
        ("Hg3S2Cl2", "mixed anion"),
        ("TiAl", "metallic"),
        ("Si", "element"),
        ("hib-12", "other"),
        ("Ca(OH", "other"),
        ("", "other"),
    ],
)
def test_classes_of_materials(formula, expected):
    assert class_of(formula) == expected


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("MgO relax 2 part 3", "relax"),
        ("MgO hse06", "hse06"),
        ("MgO decide ddh", "decisions"),
        ("MgO host", "decisions"),
        ("MgO phonon", "decisions"),
        ("MgO phonon forces", "decisions"),
        ("MgO phonon 001", "phonon"),
        ("MgO supercell perfect", "supercell"),
        ("MgO supercell Va_O1_0 2", "vacancy"),
        ("MgO vacancy Va_O1_0 part 2", "vacancy"),
        ("MgO supercells", "decisions"),
        ("oxygen molecule", "oxygen"),
        ("MgO collect", "collect"),
        ("MgO record", "collect"),
        ("hibana campaign", "other"),
        ("", "other"),
    ],
)
def test_stages_of_jobs(name, stage):
    assert stage_of_job(name, "MgO") == stage


@pytest.mark.parametrize(
    ("question", "stage"),
    [
        (("structure_opt", "pbesol"), "relax"),
        (("band", "hse06_nsc"), "hse06"),
        (("dielectric_dfpt", "pbesol"), "dielectric"),
        (("dielectric_function", "pbesol"), "optics"),
        (("phonon_force", "pbesol", "001"), "phonon"),
        (("defect", "pbesol", "perfect"), "supercell"),
        (("defect", "pbesol", "Va_O1_2"), "vacancy"),
    ],
)
def test_stages_of_runs(question, stage):
    assert stage_of_run(*question) == stage


def test_outcomes_without_a_candidate_are_counted(database):
    put_outcome(database, 1, "done", soon(0))
    counters = counters_of(database)
    counters.fold(NAMES)
    assert [Cell.of_key(key).material for key in counted(counters, OUTCOMES)] == ["other"]
