"""hibana's LaunchPad against FireWorks' own, alone and with several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import launchpad_tasks as tasks
import pytest
from fireworks import Firework, LaunchPad, ScriptTask, Workflow
from fireworks.core.fworker import FWorker
from fireworks.core.launchpad import LockedWorkflowError
from launchpad_tasks import chain, dynamic, note, open_launchpad, run_all
from pymongo import MongoClient, ReturnDocument
from pymongo.errors import AutoReconnect

from hibana.launch import candidates
from hibana.launch.launchpad import HibanaLaunchPad
from hibana.store.launchpad_file import write_launchpad_file
from hibana.store.owner import Owner, machine_id, process_start
from hibana.store.server import down, free_port, up

TASKS = Path(tasks.__file__)


def states(launchpad):
    """Name to state of every firework; a name that occurs twice is an error here."""
    found = [(fw["name"], fw["state"]) for fw in launchpad.fireworks.find()]
    assert len(dict(found)) == len(found), found
    return dict(found)


def ran(launchpad):
    """How often each firework ran."""
    names = {fw["fw_id"]: fw["name"] for fw in launchpad.fireworks.find()}
    return Counter(names[item["fw_id"]] for item in launchpad.db["notes"].find())


def assert_consistent(launchpad):
    """What must hold between FireWorks' collections at rest."""
    fireworks = {fw["fw_id"]: fw for fw in launchpad.fireworks.find()}
    launches = {launch["launch_id"]: launch for launch in launchpad.launches.find()}
    assert len(fireworks) == launchpad.fireworks.count_documents({})
    assert len(launches) == launchpad.launches.count_documents({})
    nodes = [node for workflow in launchpad.workflows.find() for node in workflow["nodes"]]
    assert sorted(nodes) == sorted(fireworks)
    for workflow in launchpad.workflows.find():
        assert "locked" not in workflow
        assert {int(key): state for key, state in workflow["fw_states"].items()} == {
            node: fireworks[node]["state"] for node in workflow["nodes"]
        }
        assert workflow["state"] == launchpad.get_wf_by_fw_id(workflow["nodes"][0]).state
    for firework in fireworks.values():
        for launch_id in firework["launches"]:
            assert launches[launch_id]["fw_id"] == firework["fw_id"]
        if firework["state"] == "COMPLETED":
            assert [launches[launch_id]["state"] for launch_id in firework["launches"]] == ["COMPLETED"]
    assert launchpad.db["wf_journal"].count_documents({}) == 0


def fizzled():
    a = note("a", fail=True)
    return Workflow([a, note("b", [a]), note("c", [a], spec={"_allow_fizzled_parents": True})])


def defusing():
    a = note("a", defuse=True)
    b = note("b", [a])
    return Workflow([a, b, note("c", [b])])


# -- the same as FireWorks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [chain, dynamic, fizzled, defusing])
def test_workflows_end_as_with_fireworks(launchpad, launchpad_file, tmp_path, make):
    stock = open_launchpad("stock", launchpad_file)
    stock.add_wf(make())
    run_all(stock, tmp_path / "stock")
    expected, specs = states(stock), {fw["name"]: fw["spec"].get("got") for fw in stock.fireworks.find()}
    times = ran(stock)
    summary = stock.workflows.find_one()["state"]
    launchpad.reset("", require_password=False)
    launchpad.db["notes"].delete_many({})
    launchpad.add_wf(make())
    run_all(launchpad, tmp_path / "ours")
    assert states(launchpad) == expected
    assert {fw["name"]: fw["spec"].get("got") for fw in launchpad.fireworks.find()} == specs
    assert ran(launchpad) == times
    assert launchpad.workflows.find_one()["state"] == summary
    assert_consistent(launchpad)
    stock.connection.close()


def test_stock_and_ours_take_turns_on_one_workflow(launchpad, launchpad_file, tmp_path):
    stock = open_launchpad("stock", launchpad_file)
    launchpad.add_wf(chain())
    stock.add_wf(dynamic())
    for turn in range(30):
        pad = stock if turn % 2 else launchpad
        if pad.run_exists(FWorker()):
            (tmp_path / str(turn)).mkdir()
            os.chdir(tmp_path / str(turn))
            tasks.rapidfire(pad, FWorker(), nlaunches=1, strm_lvl="ERROR", sleep_time=0.01)
    assert set(Counter(fw["state"] for fw in stock.fireworks.find())) == {"COMPLETED"}
    assert stock.fireworks.count_documents({}) == 9
    assert_consistent(launchpad)
    stock.connection.close()


def test_the_file_makes_the_same_connection_as_fireworks(launchpad_file):
    stock, ours = LaunchPad.from_file(str(launchpad_file)), HibanaLaunchPad.from_file(str(launchpad_file))
    assert isinstance(ours, HibanaLaunchPad)
    ignored = {"mongoclient_kwargs"}
    assert {k: v for k, v in ours.to_dict().items() if k not in ignored} == {
        k: v for k, v in stock.to_dict().items() if k not in ignored
    }
    assert ours.connection.write_concern.document["w"] == "majority"
    again = HibanaLaunchPad.from_dict(ours.to_dict())
    assert again.to_dict() == ours.to_dict()


def test_ids_have_the_order_in_which_fireworks_were_made(launchpad):
    first = launchpad.add_wf(chain())
    launchpad.bulk_add_wfs([chain(), chain()])
    assert [first[-n] for n in sorted(-old for old in first)] == [1, 2, 3, 4]
    assert [fw["name"] for fw in launchpad.fireworks.find(sort=[("fw_id", 1)])] == list("abcd") * 3
    assert_consistent(launchpad)


def test_numbered_fireworks_keep_their_ids_where_asked(launchpad):
    workflow = Workflow([Firework([ScriptTask.from_str("true")], fw_id=7), Firework([ScriptTask.from_str("true")], fw_id=9)])
    assert launchpad.add_wf(workflow, reassign_all=False) == {}
    assert sorted(fw["fw_id"] for fw in launchpad.fireworks.find()) == [7, 9]


def test_initialise_is_repeatable_and_counts_on_from_what_is_there(launchpad):
    launchpad.add_wf(chain())
    launchpad.initialise()
    assert launchpad.fireworks.count_documents({}) == 4
    launchpad.fw_id_assigner.delete_many({})
    assert launchpad.get_new_fw_id() == 5
    assert launchpad.get_new_fw_id(3) == 6
    assert launchpad.get_new_launch_id() == 1
    assert "fw_id_1" in launchpad.fireworks.index_information()


def test_rerun_in_the_middle_runs_what_follows_again(launchpad, tmp_path):
    launchpad.add_wf(dynamic())
    run_all(launchpad, tmp_path)
    before = ran(launchpad)
    fw_id = launchpad.fireworks.find_one({"name": "detour"})["fw_id"]
    assert launchpad.rerun_fw(fw_id) == [fw_id]
    assert states(launchpad) == {"a": "COMPLETED", "b": "COMPLETED", "detour": "READY", "c": "WAITING", "addition": "WAITING"}
    assert launchpad.fireworks.find_one({"name": "c"})["launches"] == []
    assert len(launchpad.fireworks.find_one({"name": "c"})["archived_launches"]) == 1
    launchpad.pause_fw(fw_id)
    assert not launchpad.run_exists(FWorker())
    launchpad.resume_fw(fw_id)
    launchpad.fireworks.update_one({"name": "c"}, {"$set": {"spec._tasks.0.addition": []}})
    run_all(launchpad, tmp_path)
    assert ran(launchpad) - before == Counter({"detour": 1, "c": 1, "addition": 1})
    assert_consistent(launchpad)


def test_rerun_at_task_level_needs_a_checkpoint_and_finds_it(launchpad, tmp_path):
    ids = launchpad.add_wf(Workflow([note("a", fail=True)]))
    run_all(launchpad, tmp_path)
    fw_id = ids[min(ids)]
    launchpad.rerun_fw(fw_id, recover_launch="last", recover_mode="prev_dir")
    recovery = launchpad.get_fw_by_id(fw_id).spec["_recovery"]
    assert recovery["_task_n"] == 0
    assert Path(recovery["_prev_dir"]).is_dir()
    with pytest.raises(ValueError, match="no active launches"):
        launchpad.rerun_fw(fw_id, recover_launch="last")


def test_duplicates_share_a_launch(launchpad, tmp_path):
    for name in ("first", "second"):
        spec = {"_dupefinder": tasks.SameWord(), "word": "w"}
        launchpad.add_wf(Workflow([note(name, spec=spec)]))
    run_all(launchpad, tmp_path)
    assert states(launchpad) == {"first": "COMPLETED", "second": "COMPLETED"}
    assert [fw["launches"] for fw in launchpad.fireworks.find()] == [[1], [1]]
    assert launchpad.launches.count_documents({}) == 1
    assert sum(ran(launchpad).values()) == 1
    assert sorted(launchpad.rerun_fw(1)) == [1, 2]
    assert set(states(launchpad).values()) == {"READY"}


def test_append_detours_and_additions_of_a_finished_firework(launchpad, tmp_path):
    ids = launchpad.add_wf(chain())
    run_all(launchpad, tmp_path)
    launchpad.append_wf(Workflow([note("late")]), [max(ids.values())])
    assert states(launchpad)["late"] == "READY"
    run_all(launchpad, tmp_path)
    assert states(launchpad)["late"] == "COMPLETED"
    assert_consistent(launchpad)


def test_actions_beyond_mongodbs_document_limit(launchpad, tmp_path, monkeypatch):
    launchpad.add_wf(Workflow([note("a", update={"text": "x" * 200_000})]))
    monkeypatch.setattr("hibana.launch.launchpad.LARGEST_LAUNCH", 100_000)
    run_all(launchpad, tmp_path)
    launch = launchpad.launches.find_one()
    assert set(launch["action"]) == {"gridfs_id"}
    assert len(launchpad.get_launch_by_id(launch["launch_id"]).action.update_spec["text"]) == 200_000
    assert states(launchpad) == {"a": "COMPLETED"}


def test_a_firework_of_an_unknown_class_is_fizzled_and_the_next_one_runs(launchpad, tmp_path):
    launchpad.add_wf(Workflow([note("broken", spec={"_priority": 9})]))
    launchpad.fireworks.update_one({"name": "broken"}, {"$set": {"spec._tasks.0._fw_name": "{{no_such.Task}}"}})
    launchpad.add_wf(Workflow([note("fine")]))
    run_all(launchpad, tmp_path)
    assert states(launchpad) == {"broken": "FIZZLED", "fine": "COMPLETED"}
    assert "no_such" in launchpad.fireworks.find_one({"name": "broken"})["spec"]["_exception_details"]["_stacktrace"]


# -- checkout ---------------------------------------------------------------------------------------------------------


def checkout_names(launchpad, count, worker=None):
    found = []
    for _ in range(count):
        firework, _ = launchpad.checkout_fw(worker or FWorker(), "/tmp")
        found.append(firework.name if firework else None)
    return found


def test_priority_is_strict_even_for_fireworks_that_come_later(launchpad):
    for name, priority in (("low", 1), ("none", None), ("middle", 5)):
        launchpad.add_wf(Workflow([note(name, spec={} if priority is None else {"_priority": priority})]))
    assert checkout_names(launchpad, 1) == ["middle"]
    launchpad.add_wf(Workflow([note("late high", spec={"_priority": 9})]))
    launchpad.add_wf(Workflow([note("late low", spec={"_priority": 0})]))
    assert checkout_names(launchpad, 5) == ["late high", "low", "late low", "none", None]


def test_a_changed_priority_counts(launchpad):
    ids = [next(iter(launchpad.add_wf(Workflow([note(name, spec={"_priority": 5})])).values())) for name in "abc"]
    assert launchpad.run_exists(FWorker())
    launchpad.set_priority(ids[2], 7)
    assert checkout_names(launchpad, 3)[0] == "c"


@pytest.mark.parametrize(("order", "expected"), [("FIFO", "abc"), ("FILO", "cba")])
def test_order_among_equals(launchpad, monkeypatch, order, expected):
    monkeypatch.setattr(candidates, "SORT_FWS", order)
    for name in "ab":
        launchpad.add_wf(Workflow([note(name)]))
    assert launchpad.run_exists(FWorker())
    launchpad.add_wf(Workflow([note("c")]))
    assert checkout_names(launchpad, 3) == list(expected)


def test_workers_take_what_is_theirs(launchpad):
    for name, spec in (("any", {}), ("mine", {"_fworker": "w1"}), ("other", {"_fworker": "w2"}), ("big", {"_category": "big"})):
        launchpad.add_wf(Workflow([note(name, spec=spec)]))
    assert set(checkout_names(launchpad, 3, FWorker("w1", category="__none__"))) == {"any", "mine", None}
    assert checkout_names(launchpad, 2, FWorker("w3", category="big")) == ["big", None]
    assert checkout_names(launchpad, 2, FWorker("w2", query={"name": "other"})) == ["other", None]


def test_a_checkout_names_the_process_and_shows_in_the_workflow(launchpad):
    launchpad.add_wf(chain())
    firework, launch_id = launchpad.checkout_fw(FWorker(), "/tmp")
    launch = launchpad.launches.find_one({"launch_id": launch_id})
    assert Owner.from_dict(launch["state_history"][-1]["owner"]) == Owner.here(launch_id)
    workflow = launchpad.workflows.find_one()
    assert workflow["state"] == "RUNNING"
    assert workflow["fw_states"][str(firework.fw_id)] == "RUNNING"


def test_a_reservation_is_started_by_one_of_two_processes(launchpad, launchpad_file):
    launchpad.add_wf(Workflow([note("a")]))
    firework, launch_id = launchpad.reserve_fw(FWorker(), "/tmp")
    launchpad.set_reservation_id(launch_id, 4711)
    assert launchpad.fireworks.find_one()["state"] == "RESERVED"
    others = [HibanaLaunchPad.from_file(str(launchpad_file)) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda pad: pad.checkout_fw(FWorker(), "/tmp", fw_id=firework.fw_id), others))
    assert sorted(answer[1] is not None for answer in answers) == [False] * 5 + [True]
    launch = launchpad.launches.find_one()
    assert launchpad.launches.count_documents({}) == 1
    assert [entry["state"] for entry in launch["state_history"]] == ["RESERVED", "RUNNING"]
    assert launch["state_history"][0]["reservation_id"] == "4711"


def test_many_clients_never_check_out_one_firework_twice(launchpad, launchpad_file):
    launchpad.bulk_add_wfs([Workflow([note(str(n))]) for n in range(60)])
    pads = [HibanaLaunchPad.from_file(str(launchpad_file)) for _ in range(6)]

    def take(pad):
        found = []
        while (answer := pad.checkout_fw(FWorker(), "/tmp"))[0] is not None:
            found.append((answer[0].fw_id, answer[1]))
        return found

    with ThreadPoolExecutor(6) as pool:
        taken = [item for found in pool.map(take, pads) for item in found]
    assert len(taken) == 60
    assert len({fw_id for fw_id, _ in taken}) == 60
    assert len({launch_id for _, launch_id in taken}) == 60
    assert launchpad.launches.count_documents({}) == 60


# -- pings, locks, restarts -------------------------------------------------------------------------------------------


def test_a_ping_is_written_once_in_a_while_and_a_lost_connection_does_not_stop_it(launchpad, monkeypatch):
    launchpad.add_wf(Workflow([note("a")]))
    _, launch_id = launchpad.checkout_fw(FWorker(), "/tmp")

    def pinged():
        return launchpad.launches.find_one({"launch_id": launch_id})["state_history"][-1]["updated_on"]

    first = pinged()
    launchpad.ping_launch(launch_id)
    assert pinged() == first
    launchpad.ping_launch(launch_id, checkpoint={"_task_n": 1, "_all_stored_data": {"a": {1, 2}.__len__()}})
    assert pinged() > first
    assert launchpad.get_recovery(launch_id)["_task_n"] == 1
    monkeypatch.setattr("hibana.launch.launchpad.PING_EVERY", 0.0)
    second = pinged()
    launchpad.ping_launch(launch_id)
    assert pinged() > second
    with monkeypatch.context() as patch:
        patch.setattr(HibanaLaunchPad, "_ping", lambda *_: (_ for _ in ()).throw(AutoReconnect("gone")))
        launchpad.ping_launch(launch_id)


def test_trackers_are_followed(launchpad, tmp_path):
    from fireworks import Tracker

    spec = {"_trackers": [Tracker("FW.json", nlines=1)]}
    ids = launchpad.add_wf(Workflow([note("a", spec=spec)]))
    run_all(launchpad, tmp_path)
    assert launchpad.get_tracker_data(ids[min(ids)])[0]["trackers"][0].content


@pytest.fixture
def dead():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner("here", machine_id(), process.pid, process_start(process.pid) or 0)
    process.communicate(b"\n")
    return owner


def test_a_lock_is_signed_and_respected_while_its_owner_lives(launchpad):
    fw_id = min(launchpad.add_wf(chain()).values())
    with launchpad.locked(fw_id) as lock:
        locked = launchpad.workflows.find_one()["locked"]
        assert Owner.from_dict(locked["owner"]) == Owner.here()
        waiting = ThreadPoolExecutor(1).submit(launchpad.locks.take, fw_id)
        time.sleep(1.0)
        assert not waiting.done()
    taken = waiting.result(timeout=60)
    assert taken.token != lock.token
    launchpad.locks.release(taken)
    assert "locked" not in launchpad.workflows.find_one()


def test_the_lock_of_a_dead_process_is_broken_and_the_workflow_mended(launchpad, dead):
    fw_id = min(launchpad.add_wf(chain()).values())
    signature = {"token": "t", "owner": dead.as_dict(), "fw_id": fw_id}
    signature["at"] = launchpad.db.command("hello")["localTime"]
    launchpad.workflows.update_one({}, {"$set": {"locked": signature, f"fw_states.{fw_id}": "WAITING", "state": "FIZZLED"}})
    with launchpad.locked(fw_id):
        assert launchpad.workflows.find_one()["fw_states"][str(fw_id)] == "READY"
    assert_consistent(launchpad)


def test_an_unsigned_lock_is_noted_first_and_broken_when_the_note_is_old(launchpad):
    fw_id = min(launchpad.add_wf(chain()).values())
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    workflow = launchpad.workflows.find_one()
    assert launchpad.locks.take_over(workflow, fw_id) is None
    noted = launchpad.workflows.find_one()
    assert noted["locked"]["owner"] is None
    assert launchpad.locks.take_over(noted, fw_id) is None
    launchpad.locks.limit *= 0
    assert launchpad.locks.take_over(noted, fw_id) is not None


def test_stock_fireworks_respects_our_lock(launchpad, launchpad_file):
    from fireworks.core.launchpad import WFLock

    fw_id = min(launchpad.add_wf(chain()).values())
    stock = open_launchpad("stock", launchpad_file)
    with launchpad.locked(fw_id), pytest.raises(LockedWorkflowError), WFLock(stock, fw_id, expire_secs=0.5, kill=False):
        pass
    with WFLock(stock, fw_id):
        assert launchpad.workflows.find_one()["locked"] is True
    stock.connection.close()


def test_who_lost_the_lock_cannot_write_the_workflow(launchpad):
    from hibana.launch.refresh import update_workflow

    fw_id = min(launchpad.add_wf(chain()).values())
    lock = launchpad.locks.take(fw_id)
    launchpad.workflows.update_one({}, {"$set": {"locked.token": "another"}})
    before = launchpad.workflows.find_one()
    with pytest.raises(LockedWorkflowError):
        update_workflow(launchpad, lock, [fw_id], lambda workflow: workflow.refresh(fw_id))
    launchpad.locks.release(lock)
    assert launchpad.workflows.find_one() == before


def test_a_firework_changed_by_another_while_the_workflow_is_refreshed_is_read_again(launchpad, tmp_path):
    from hibana.launch.refresh import update_workflow

    ids = sorted(launchpad.add_wf(chain()).values())
    turns = []

    def compute(workflow):
        turns.append(workflow.id_fw[ids[0]].state)
        workflow.id_fw[ids[0]].spec["seen"] = turns[-1]
        if len(turns) == 1:
            launchpad.fireworks.update_one({"fw_id": ids[0]}, {"$set": {"state": "PAUSED", "updated_on": "now"}})
        return {ids[0]}

    with launchpad.locked(ids[0]) as lock:
        update_workflow(launchpad, lock, ids, compute)
    assert turns == ["READY", "PAUSED"]
    found = launchpad.fireworks.find_one({"fw_id": ids[0]})
    assert (found["state"], found["spec"]["seen"]) == ("PAUSED", "PAUSED")


def test_a_restart_of_the_server_in_the_middle_is_sat_out(tmp_path):
    directory = tmp_path / "store"
    write_launchpad_file(tmp_path / "lp.yaml", up(directory, free_port()), "restart")
    launchpad = HibanaLaunchPad.from_file(str(tmp_path / "lp.yaml"))
    tasks.quiet()
    launchpad.initialise()
    launchpad.bulk_add_wfs([chain(seconds=0.1) for _ in range(4)])
    running = threading.Thread(target=run_all, args=(launchpad, tmp_path / "runs"))
    running.start()
    for _ in range(2):
        time.sleep(1.0)
        down(directory)
        time.sleep(0.5)
        up(directory)
    running.join(timeout=120)
    assert not running.is_alive()
    assert Counter(fw["state"] for fw in launchpad.fireworks.find()) == {"COMPLETED": 16}
    assert_consistent(launchpad)
    launchpad.connection.close()
    down(directory)


# -- several processes ------------------------------------------------------------------------------------------------


def start(*arguments):
    return subprocess.Popen([sys.executable, str(TASKS), *map(str, arguments)], cwd=TASKS.parent)


def test_four_processes_add_at_once_and_nothing_is_lost(launchpad, launchpad_file):
    processes = [start("add", launchpad_file, 15) for _ in range(4)]
    assert [process.wait(timeout=180) for process in processes] == [0] * 4
    assert launchpad.workflows.count_documents({}) == 60
    assert sorted(fw["fw_id"] for fw in launchpad.fireworks.find()) == list(range(1, 241))
    assert_consistent(launchpad)


@pytest.mark.parametrize("launchers", [2, 4])
def test_several_launchers_run_every_firework_once(launchpad, launchpad_file, tmp_path, launchers):
    launchpad.bulk_add_wfs([chain() for _ in range(10)])
    processes = [start("launch", launchpad_file, tmp_path / str(n), 120) for n in range(launchers)]
    assert [process.wait(timeout=240) for process in processes] == [0] * launchers
    assert ran(launchpad) == dict.fromkeys("abcd", 10)
    assert len({item["pid"] for item in launchpad.db["notes"].find()}) == launchers
    assert sorted(launch["launch_id"] for launch in launchpad.launches.find()) == sorted(
        launch_id for fw in launchpad.fireworks.find() for launch_id in fw["launches"]
    )
    assert_consistent(launchpad)


def _count(host, port, name, numbers):
    collection = MongoClient(host, port, retryWrites=False)[name]["counter"]
    for _ in range(200):
        found = collection.find_one_and_update({}, {"$inc": {"n": 1}}, return_document=ReturnDocument.BEFORE)
        numbers.append(found["n"])


def test_the_embedded_server_still_hands_out_stale_images(server, database):
    """Tells when SecantusDB is mended: then stock FireWorks is safe on it with several clients."""
    if os.environ.get("HIBANA_TEST_MONGODB"):
        pytest.skip("this is about the embedded server")
    database["counter"].insert_one({"n": 0})
    numbers: list[int] = []
    threads = [threading.Thread(target=_count, args=(server.host, server.port, database.name, numbers)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database["counter"].find_one()["n"] == 800
    assert len(set(numbers)) < 800, "find_one_and_update has become atomic: say so in the documentation of the store"
