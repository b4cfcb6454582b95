"""Taking submissions back: only what has not begun, all of it, whoever is killed when."""

from __future__ import annotations

import json

import pytest
from farm import MGO, REPOSITORY
from fireworks import FWorker

from hibana.launch.adding import find_submitted
from hibana.launch.recover import recover
from hibana.launch.submit import submit
from hibana.launch.why import why
from hibana.launch.withdraw import Choice, withdraw

ZNO = REPOSITORY / "workflows" / "demo" / "ZnO.cif"
ALL = Choice()


def material(store, formula: str) -> str:
    (found,) = store.query("candidates", {"formula": formula}, ("material_id",))
    return found["material_id"]


def counts(farm) -> tuple[int, int]:
    return farm.launchpad.workflows.count_documents({}), farm.launchpad.fireworks.count_documents({})


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


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@pytest.mark.parametrize("after", range(6))
def test_killed_between_any_two_writes_nothing_runs_and_a_rerun_finishes(farm, after, monkeypatch):
    farm.submit()
    mgo = material(farm.store, "MgO")
    collection = type(farm.launchpad.fireworks)
    count = 0

    def dying(name):
        real = getattr(collection, name)

        def call(self, *args, **kwargs):
            nonlocal count
            count += 1
            if count > after:
                raise Killed
            return real(self, *args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("update_many", "update_one", "delete_many"):
            patch.setattr(collection, name, dying(name))
        with pytest.raises(Killed):
            withdraw(farm.store, farm.launchpad, [mgo], ALL)
    if after:
        recover(farm.launchpad)
        assert farm.launchpad.fireworks.count_documents({"state": "READY"}) == 0
        assert farm.launchpad.checkout_fw(FWorker(), "/tmp")[0] is None
    assert all(farm.launchpad.get_wf_by_fw_id(workflow["nodes"][0]) for workflow in farm.launchpad.workflows.find())
    assert fates(withdraw(farm.store, farm.launchpad, [mgo], ALL)) == ["withdrawn"]
    assert counts(farm) == (0, 0)
    assert farm.store.candidate(mgo).submissions == ()
    assert len(farm.submit()["added"]) == 1
    assert farm.launchpad.fireworks.count_documents({"state": "READY"}) == 1


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
