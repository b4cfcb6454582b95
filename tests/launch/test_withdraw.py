"""Taking submissions back: only what has not begun, all of it, whoever is killed when."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest
from farm import MGO, REPOSITORY
from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire
from killed import FORK, crystals, is_killed_at, make_small

from hibana.launch.adding import find_submitted
from hibana.launch.launchpad import HibanaLaunchPad
from hibana.launch.reconcile import reconcile
from hibana.launch.recover import recover
from hibana.launch.submit import submit
from hibana.launch.why import why
from hibana.launch.withdraw import Choice, withdraw
from hibana.launch.withdrawal import roots_of
from hibana.store.store import Store
from size import FULL

ZNO = REPOSITORY / "workflows" / "demo" / "ZnO.cif"
ALL = Choice()


def material(store, formula: str) -> str:
    (found,) = store.query("candidates", {"formula": formula}, ("material_id",))
    return found["material_id"]


def counts_of(launchpad) -> tuple[int, int]:
    return launchpad.workflows.count_documents({}), launchpad.fireworks.count_documents({})


def counts(farm) -> tuple[int, int]:
    return counts_of(farm.launchpad)


def fates(report) -> list[str]:
    return [item.fate for item in report.submissions]


def test_nothing_is_left_and_submitting_again_works(farm):
    farm.submit(MGO, ZNO)
    before = counts(farm)
    mgo, zno = material(farm.store, "MgO"), material(farm.store, "ZnO")
    dry = withdraw(farm.store, farm.launchpad, [mgo], ALL, dry_run=True)
    assert (fates(dry), counts(farm)) == (["withdrawn"], before)
    report = withdraw(farm.store, farm.launchpad, [mgo, mgo], ALL)
    assert [item.states for item in report.submissions] == [{"READY": 1, "WAITING": 4}]
    assert counts(farm) == (before[0] / 2, before[1] / 2)
    assert farm.store.candidate(mgo).submissions == ()
    assert len(farm.store.candidate(zno).submissions) == 1
    assert withdraw(farm.store, farm.launchpad, [mgo], ALL).unsubmitted == [mgo]
    assert [item["formula"] for item in farm.submit(MGO)["added"]] == ["MgO"]
    assert counts(farm) == before
    (explained,) = why(farm.store, farm.launchpad, "MgO")
    assert [entry.place for entry in explained.entries] == ["waiting"]


def test_only_what_is_meant(farm):
    farm.submit(MGO)
    submit([MGO], "bulk", "pbesol-demo", "synthetic", farm.launchpad, branches=["band"])
    mgo = material(farm.store, "MgO")
    for choice in (Choice(flow="bulk:dos"), Choice(calculator="vasp"), Choice(protocol="pbesol"), Choice(protocol_version=99)):
        assert withdraw(farm.store, farm.launchpad, [mgo], choice).unsubmitted == [mgo]
    assert counts(farm)[0] == 2
    assert fates(withdraw(farm.store, farm.launchpad, [mgo], Choice(flow="bulk", calculator="synthetic"))) == ["withdrawn"]
    assert [item.flow for item in farm.store.candidate(mgo).submissions] == ["electronic"]
    assert counts(farm)[0] == 1


@pytest.mark.parametrize("reserve", [False, True])
def test_what_has_begun_is_left_as_it_is(farm, reserve):
    farm.submit()
    mgo = material(farm.store, "MgO")
    if reserve:
        farm.launchpad.reserve_fw(FWorker(), "/tmp")
    else:
        farm.launchpad.checkout_fw(FWorker(), "/tmp")
    before, states = counts(farm), farm.states()
    assert fates(withdraw(farm.store, farm.launchpad, [mgo], ALL)) == ["begun"]
    assert (counts(farm), farm.states()) == (before, states)
    assert len(farm.store.candidate(mgo).submissions) == 1


def test_a_launcher_that_is_faster_keeps_its_job(farm, monkeypatch):
    farm.submit()
    mgo = material(farm.store, "MgO")
    collection = type(farm.launchpad.fireworks)
    real = collection.update_many

    def overtaken(self, *args, **kwargs):
        monkeypatch.setattr(collection, "update_many", real)
        assert farm.launchpad.checkout_fw(FWorker(), "/tmp")[0] is not None
        return real(self, *args, **kwargs)

    monkeypatch.setattr(collection, "update_many", overtaken)
    assert fates(withdraw(farm.store, farm.launchpad, [mgo], ALL)) == ["begun"]
    assert sorted(set(farm.states().values())) == ["RUNNING", "WAITING"]


def test_a_submission_under_way_does_not_start_what_is_withdrawn(farm, monkeypatch):
    farm.submit()
    farm.launchpad.fireworks.update_many({"state": "READY"}, {"$set": {"state": "WAITING"}})  # as before the last step of adding
    key = farm.launchpad.workflows.find_one()["metadata"]["submission"]
    collection = type(farm.launchpad.fireworks)
    real, taken = collection.delete_many, []

    def late(self, *args, **kwargs):
        monkeypatch.setattr(collection, "delete_many", real)
        find_submitted(farm.launchpad, [key])
        taken.append(farm.launchpad.checkout_fw(FWorker(), "/tmp")[0])
        return real(self, *args, **kwargs)

    monkeypatch.setattr(collection, "delete_many", late)
    assert fates(withdraw(farm.store, farm.launchpad, [material(farm.store, "MgO")], ALL)) == ["withdrawn"]
    assert taken == [None]
    assert counts(farm) == (0, 0)


def test_a_workflow_with_a_table_of_energies_goes_too(farm):
    farm.submit(MGO, ZNO)
    before = counts(farm)
    workflow = farm.launchpad.workflows.find_one({"metadata.formula": "MgO"})
    key = f"{workflow['metadata']['submission']}|energies:0123456789ab"
    farm.launchpad.workflows.update_one({"_id": workflow["_id"]}, {"$set": {"metadata.submission": key}})
    farm.launchpad.fireworks.update_many({"fw_id": {"$in": workflow["nodes"]}}, {"$set": {"spec.submission": key}})
    (withdrawn,) = withdraw(farm.store, farm.launchpad, [material(farm.store, "MgO")], ALL).submissions
    assert (withdrawn.fate, withdrawn.jobs) == ("withdrawn", len(workflow["nodes"]))
    assert counts(farm) == (before[0] / 2, before[1] / 2)


def test_what_has_ended_is_left_as_it_is(farm):
    farm.submit()
    farm.work()
    mgo = material(farm.store, "MgO")
    assert fates(withdraw(farm.store, farm.launchpad, [mgo], ALL)) == ["begun"]
    farm.lpad("delete_wflows", "-i", str(farm.launchpad.fireworks.find_one()["fw_id"]))
    assert fates(withdraw(farm.store, farm.launchpad, [mgo], ALL)) == ["ended"]
    assert len(farm.store.candidate(mgo).submissions) == 1


def ask(launchpad, files):
    return submit(files, "electronic", "pbesol-demo", "gpaw-rehearsal", launchpad)


def take_back(launchpad, formulas=("MgO",)):
    store = Store(launchpad.db)
    names = [item["material_id"] for item in store.query("candidates", {"formula": {"$in": list(formulas)}}, ("material_id",))]
    return withdraw(store, launchpad, names, ALL)


def troubles(launchpad) -> list[str]:
    """What must never be: half a workflow, one twice, a job that can be taken and belongs to none."""
    workflows = list(launchpad.workflows.find())
    nodes = [node for workflow in workflows for node in workflow["nodes"]]
    states = {firework["fw_id"]: firework["state"] for firework in launchpad.fireworks.find({}, {"fw_id": 1, "state": 1})}
    keys = [workflow["metadata"]["submission"] for workflow in workflows]
    found = [f"{node} is missing" for node in nodes if node not in states]
    found += [f"{fw_id} belongs to none" for fw_id, state in states.items() if fw_id not in nodes and state == "READY"]
    return found + [f"{key} is there {keys.count(key)} times" for key in set(keys) if keys.count(key) > 1]


def disagreements(launchpad) -> list[str]:
    """Candidates whose note of submission is not that of their workflow."""
    roots = {}
    for workflow in launchpad.workflows.find():
        roots[workflow["metadata"]["material_id"]] = [list(roots_of(workflow))]
    found = []
    for candidate in launchpad.db["candidates"].find():
        noted = [submission["fw_ids"] for submission in candidate["submissions"]]
        if noted != roots.get(candidate["_id"], []):
            found.append(f"{candidate['_id']}: {noted} noted, {roots.get(candidate['_id'])} there")
    return found


def run_all(launchpad, folder) -> None:
    """Run what is there; every job once, and nothing is left."""
    launchpad.db["notes"].delete_many({})
    here = Path.cwd()
    rapidfire(launchpad, FWorker(), m_dir=str(folder), strm_lvl="CRITICAL")
    os.chdir(here)
    ran = sorted(note["fw_id"] for note in launchpad.db["notes"].find())
    assert ran == sorted(doc["fw_id"] for doc in launchpad.fireworks.find({}, {"fw_id": 1}))
    assert launchpad.fireworks.count_documents({"state": {"$ne": "COMPLETED"}}) == 0


def clear(launchpad) -> None:
    for name in ("fireworks", "workflows", "launches", "candidates", "notes"):
        launchpad.db[name].delete_many({})


@pytest.fixture
def small(launchpad, tmp_path, monkeypatch):
    """Submissions of workflows that run in no time: files of materials and jobs a workflow, by the number of roots."""

    def make(roots: int, count: int = 1):
        return crystals(tmp_path, count), make_small(monkeypatch, roots)

    return make


@pytest.mark.parametrize("roots", [1, 3])
def test_killed_at_any_command_the_next_submission_has_all_run_once(launchpad, launchpad_file, small, roots, tmp_path):
    files, jobs = small(roots)
    nth, killed, paused = 0, True, 0
    while killed:
        nth += 1
        clear(launchpad)
        ask(launchpad, files)
        killed = is_killed_at(nth, launchpad_file, take_back)
        paused += launchpad.fireworks.count_documents({"state": "PAUSED"}) > 0
        assert troubles(launchpad) == []
        ask(launchpad, files)
        assert (troubles(launchpad), disagreements(launchpad), counts_of(launchpad)) == ([], [], (1, jobs))
        run_all(launchpad, tmp_path)
        assert fates(take_back(launchpad)) == ["begun"]
    assert nth > 10
    assert paused > 2  # it was killed in the middle, too


def test_killed_at_any_command_the_launchers_look_finishes_it(launchpad, launchpad_file, small):
    files, _ = small(2)
    nth, killed, mended = 0, True, 0
    while killed:
        nth += 1
        clear(launchpad)
        ask(launchpad, files)
        killed = is_killed_at(nth, launchpad_file, take_back)
        paused = launchpad.fireworks.count_documents({"state": "PAUSED"})
        there = launchpad.workflows.count_documents({})
        found = reconcile(launchpad, dry_run=True).mendings
        assert [item.case for item in found] == (["withdrawal"] if paused and there else [])
        assert len(recover(launchpad).withdrawn) == len(found)
        mended += len(found)
        assert launchpad.workflows.count_documents({}) == (0 if paused else there)
        assert recover(launchpad).withdrawn == []
        take_back(launchpad)
        assert (counts_of(launchpad), disagreements(launchpad)) == ((0, 0), [])
    assert mended > 1


@pytest.mark.parametrize("who", ["submission", "withdrawal", "launchers"])
def test_what_has_begun_in_spite_of_a_withdrawal_that_was_killed_goes_on(launchpad, small, who):
    files, jobs = small(2)
    ask(launchpad, files)
    before = launchpad.workflows.find_one()["_id"]
    launchpad.fireworks.update_one({"name": "root 0"}, {"$set": {"state": "PAUSED", "withdrawing": True}})
    assert launchpad.checkout_fw(FWorker(), "/tmp")[0].name == "root 1"
    if who == "submission":
        assert len(ask(launchpad, files).already_there) == 1
    elif who == "withdrawal":
        assert fates(take_back(launchpad)) == ["begun"]
    else:
        assert len(recover(launchpad).withdrawn) == 1
    root = launchpad.fireworks.find_one({"name": "root 0"})
    assert (root["state"], "withdrawing" in root) == ("READY", False)
    assert (launchpad.workflows.find_one()["_id"], counts_of(launchpad)) == (before, (1, jobs))
    assert (troubles(launchpad), disagreements(launchpad)) == ([], [])


def test_jobs_that_a_withdrawal_takes_for_left_ones_while_they_are_added_are_added_again(launchpad, small, monkeypatch):
    """The jobs of a submission under way are of no workflow yet."""
    files, jobs = small(2)
    collection = type(launchpad.workflows)
    real, came_between = collection.insert_many, []

    def late(self, *args, **kwargs):
        if self.name == "workflows" and not came_between:
            came_between.append(counts_of(launchpad))
            take_back(launchpad)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(collection, "insert_many", late)
    assert len(ask(launchpad, files).added) == 1
    assert came_between == [(0, jobs)]
    assert (counts_of(launchpad), troubles(launchpad), disagreements(launchpad)) == ((1, jobs), [], [])
    assert launchpad.fireworks.count_documents({"state": "READY"}) == 2


def test_jobs_that_are_about_to_be_removed_when_their_workflow_comes_are_kept(launchpad, small, monkeypatch):
    """The withdrawal has looked for a workflow in vain and is slow to delete what seems left."""
    files, jobs = small(2)
    collection = type(launchpad.fireworks)
    real, came_between = collection.delete_many, []

    def slow(self, query, *args, **kwargs):
        if "condemned" in query and not came_between:
            came_between.append(counts_of(launchpad))
            launchpad.workflows.insert_one(workflow)
            ask(launchpad, files)
        return real(self, query, *args, **kwargs)

    ask(launchpad, files)
    workflow = launchpad.workflows.find_one()
    launchpad.fireworks.update_many({"state": "READY"}, {"$set": {"state": "WAITING"}})
    launchpad.workflows.delete_one({})  # as in the midst of the submission
    monkeypatch.setattr(collection, "delete_many", slow)
    take_back(launchpad)
    assert came_between == [(0, jobs)]
    assert (counts_of(launchpad), troubles(launchpad), disagreements(launchpad)) == ((1, jobs), [], [])


def test_a_note_that_is_renewed_while_the_old_one_is_taken_back_stays(launchpad, small, monkeypatch):
    """The withdrawal has looked for a workflow in vain; one is added before it removes the note that it has read."""
    files, _ = small(2)
    ask(launchpad, files)
    real, came_between = Store.forget_submission, []

    def slow(self, *args):
        if not came_between:
            came_between.append(counts_of(launchpad))
            ask(launchpad, files)
        real(self, *args)

    monkeypatch.setattr(Store, "forget_submission", slow)
    take_back(launchpad)
    assert came_between == [(0, 0)]
    assert launchpad.workflows.count_documents({}) == 1
    assert (troubles(launchpad), disagreements(launchpad)) == ([], [])


def test_a_submission_whose_workflow_is_taken_back_before_it_is_noted_leaves_no_note(launchpad, small, monkeypatch):
    files, _ = small(2)
    real = Store.attach_workflows

    def late(self, *args):
        take_back(launchpad)
        real(self, *args)

    monkeypatch.setattr(Store, "attach_workflows", late)
    ask(launchpad, files)
    assert (counts_of(launchpad), disagreements(launchpad)) == ((0, 0), [])


def test_roots_that_a_submission_makes_ready_between_two_looks_are_paused(launchpad, small, monkeypatch):
    files, _ = small(2)
    ask(launchpad, files)
    launchpad.fireworks.update_many({"state": "READY"}, {"$set": {"state": "WAITING"}})  # as before the last step of adding
    key = launchpad.workflows.find_one()["metadata"]["submission"]
    collection = type(launchpad.fireworks)
    real, deleted = (collection.update_many, collection.delete_many), []

    def between(self, query, *args, **kwargs):
        done = real[0](self, query, *args, **kwargs)
        if query.get("state") in ("READY", "WAITING") and "withdrawing" in str(args):
            roots = list(launchpad.workflows.find_one({"metadata.submission": key})["nodes"])[:2]
            real[0](self, {"fw_id": {"$in": roots}, "state": "WAITING"}, {"$set": {"state": "READY"}})
        return done

    def looked_at(self, *args, **kwargs):
        deleted.append(launchpad.fireworks.count_documents({"state": "READY"}))
        return real[1](self, *args, **kwargs)

    monkeypatch.setattr(collection, "update_many", between)
    monkeypatch.setattr(collection, "delete_many", looked_at)
    assert fates(take_back(launchpad)) == ["withdrawn"]
    assert deleted[0] == 0


def churn(seconds, turn):
    """Work in a process that goes on for a while, or until it is killed."""

    def child(launchpad_file) -> None:
        launchpad, end, luck = (
            HibanaLaunchPad.from_file(str(launchpad_file)),
            time.monotonic() + seconds,
            random.Random(os.getpid()),
        )
        while time.monotonic() < end:
            turn(launchpad, luck)

    return child


@pytest.mark.slow
def test_submitted_and_withdrawn_and_run_at_the_same_time_by_processes_that_are_killed(
    launchpad, launchpad_file, small, tmp_path
):
    files, jobs = small(2, 6)
    seconds = 60 if FULL else 15
    formulas = ["MgO"]

    def submits(child, luck) -> None:
        ask(child, luck.sample(files, 3))

    def withdraws(child, luck) -> None:
        take_back(child, formulas)

    def launches(child, luck) -> None:
        time.sleep(0.5)
        run = child.checkout_fw(FWorker(), "/tmp")
        if run[0] is not None:
            child.db["notes"].insert_one({"fw_id": run[0].fw_id})

    luck, turns = random.Random(1), [submits, submits, withdraws, withdraws, launches]
    living = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for number, turn in enumerate(turns):
            if number not in living or not living[number].is_alive():
                living[number] = FORK.Process(target=churn(max(0.0, end - time.monotonic()), turn), args=(launchpad_file,))
                living[number].start()
        time.sleep(luck.uniform(0.3, 1.0))
        living[luck.randrange(4)].kill()
    for process in living.values():
        process.join(120)
        assert not process.is_alive()
    taken = [note["fw_id"] for note in launchpad.db["notes"].find()]
    assert len(taken) == len(set(taken)) > 0
    assert launchpad.fireworks.count_documents({"fw_id": {"$in": taken}}) == len(taken)
    ask(launchpad, files)
    assert (troubles(launchpad), disagreements(launchpad)) == ([], [])
    assert launchpad.workflows.count_documents({}) == len(files)
    take_back(launchpad)
    begun = {launchpad.workflows.find_one({"nodes": fw_id})["_id"] for fw_id in taken}
    assert {workflow["_id"] for workflow in launchpad.workflows.find()} == begun
    ask(launchpad, files)
    assert (troubles(launchpad), disagreements(launchpad)) == ([], [])
    assert counts_of(launchpad) == (len(files), len(files) * jobs)
    assert launchpad.fireworks.count_documents({"state": "READY"}) == 2 * len(files) - len(taken)


def test_the_command(farm):
    farm.submit()
    assert "1 would be withdrawn, 0 left" in farm.hibana("withdraw", "MgO", "--dry-run")
    assert json.loads(farm.hibana("withdraw", "MgO", "--json", code=2))["error"]["code"] == "HIB-179"
    assert json.loads(farm.hibana("withdraw", "--json", code=2))["error"]["code"] == "HIB-178"
    assert json.loads(farm.hibana("status", "--json"))["total"]["jobs"] == {"READY": 1, "WAITING": 4}
    told = json.loads(farm.hibana("withdraw", "--where", '{"formula": "MgO"}', "--yes", "--json"))
    assert [item["fate"] for item in told["submissions"]] == ["withdrawn"]
    assert counts(farm) == (0, 0)
    assert json.loads(farm.hibana("status", "--json"))["total"]["jobs"] == {}
    assert "never submitted" in farm.hibana("why", str(MGO))
    assert "never submitted" in farm.hibana("why", "MgO.cif")
