"""Candidates, claims, results, arrays, properties and queries on a real server."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pymongo import monitoring
from pymongo.errors import AutoReconnect

from hibana.core.errors import HibanaError
from hibana.documents.arrays import PackedArray, pack
from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.chemical_potentials import ChemicalPotentialDoc
from hibana.documents.crystal import Crystal
from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.documents.task import BandEdges, Calculator, Inputs, Machine, TaskDoc
from hibana.documents.vacancy import SupercellDoc, VacancyDoc, VacancySummaryDoc
from hibana.store import arrays as arrays_module
from hibana.store.claims import Claim, Heartbeat
from hibana.store.connection import StoreAddress, connect
from hibana.store.indexes import COLLECTIONS, DEFECT_COLLECTIONS, INDEXES, is_served
from hibana.store.owner import Owner, machine_id, process_start
from hibana.store.queries import parse_filter
from hibana.store.server import down, free_port, up
from hibana.store.store import Store

ADDRESS = "ab" * 32
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROCK_SALT = Crystal(
    lattice=((0.0, 2.1, 2.1), (2.1, 0.0, 2.1), (2.1, 2.1, 0.0)),
    species=("Mg", "O"),
    frac_coords=((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
)


def make_candidate(material_id="hib-1", sources=("a.cif",), formula="MgO") -> CandidateDoc:
    return CandidateDoc(
        material_id=material_id,
        structure_key="f" * 64,
        formula=formula,
        elements=("Mg", "O"),
        n_sites=2,
        space_group_number=225,
        space_group_symbol="Fm-3m",
        crystal=ROCK_SALT,
        sources=sources,
    )


def make_submission(protocol="pbesol", at=NOW) -> Submission:
    return Submission(flow="electronic", protocol=protocol, protocol_version=1, calculator="vasp", submitted_at=at)


def make_task(status="converged", energy=-12.0, address=ADDRESS, arrays=None) -> TaskDoc:
    return TaskDoc(
        formula="MgO",
        elements=("Mg", "O"),
        n_sites=2,
        status=status,
        calculator=Calculator(name="vasp", version="6.4.2"),
        inputs=Inputs(incar={"ENCUT": 520.0, "LWAVE": True}, kpoints={"style": "Gamma"}, potcars=("PAW_PBE Mg",)),
        initial=ROCK_SALT,
        final=ROCK_SALT,
        energy=energy,
        edges=BandEdges(gap_class="gapped", band_gap=4.7),
        arrays={name: packed.ref for name, packed in (arrays or {}).items()},
        address=address,
        material_id="hib-1",
        task="structure_opt",
        functional="pbesol",
        protocol="pbesol",
        protocol_version=1,
        machine=Machine(host="h", directory="/d", started=NOW, finished=NOW, cores=4, core_hours=0.1),
    )


def make_electronic(material_id="hib-1", protocol_version=1, calculator="vasp", gap=4.7) -> ElectronicDoc:
    return ElectronicDoc(
        material_id=material_id,
        formula="MgO",
        elements=("Mg", "O"),
        calculator=calculator,
        calculator_version="1",
        protocol="pbesol",
        protocol_version=protocol_version,
        status="complete",
        built_with="0",
        built_at=NOW,
        gap_class="gapped",
        band_gap_pbesol=gap,
    )


@pytest.fixture
def dead() -> Owner:
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner("here", machine_id(), process.pid, process_start(process.pid) or 0, 7)
    process.communicate(b"\n")
    return owner


ELSEWHERE = Owner("node17", "another boot", 4711, 99)


# -- owners -----------------------------------------------------------------------------------------------------------


def test_a_process_is_alive_then_dead(dead):
    me = Owner.here()
    assert not me.is_dead
    assert dead.is_dead
    assert not ELSEWHERE.is_dead
    assert Owner.from_dict(dead.as_dict()) == dead


def test_a_process_id_used_again_is_another_process():
    me = Owner.here()
    assert Owner(me.host, me.machine, me.pid, me.started - 1).is_dead


def test_a_zombie_is_dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 20
    while process_start(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, 0)  # it is still in the process table
    assert process_start(process.pid) is None
    process.wait()


# -- candidates -------------------------------------------------------------------------------------------------------


def test_a_candidate_is_added_once_and_sources_are_joined(store):
    assert store.add_candidate(make_candidate())
    assert not store.add_candidate(make_candidate(sources=("b.cif", "a.cif")))
    found = store.candidate("hib-1")
    assert found == make_candidate(sources=("a.cif", "b.cif"))
    assert store.candidate("hib-2") is None


def test_candidates_are_added_together(store):
    store.add_candidate(make_candidate())
    others = [make_candidate(f"hib-{number}", formula=formula) for number, formula in ((1, "ZnO"), (2, "MgO"), (3, "CaO"))]
    assert store.add_candidates(others) == 2
    assert [item.material_id for item in store.candidates_of("MgO", "CaO")] == ["hib-1", "hib-2", "hib-3"]
    assert store.add_candidates([]) == 0


def test_a_submission_is_recorded_once(store):
    store.add_candidate(make_candidate())
    store.record_submissions(["hib-1"], make_submission())
    store.record_submissions(["hib-1", "no such material"], make_submission(at=NOW + timedelta(seconds=1)))
    store.record_submissions(["hib-1"], make_submission(protocol="pbesol-demo"))
    store.add_candidate(make_candidate(sources=("c.cif",)))
    found = store.candidate("hib-1").submissions
    assert [item.protocol for item in found] == ["pbesol", "pbesol-demo"]
    assert found[0].submitted_at == NOW
    assert store.candidate("no such material") is None


def test_workflows_are_noted_at_their_submission(store):
    store.add_candidates([make_candidate(), make_candidate(material_id="hib-2")])
    store.record_submissions(["hib-1", "hib-2"], make_submission())
    store.record_submissions(["hib-1"], make_submission(protocol="pbesol-demo"))
    store.attach_workflows(make_submission(at=NOW + timedelta(hours=1)), {"hib-1": [12, 13], "hib-2": [14]})
    assert [item.fw_ids for item in store.candidate("hib-1").submissions] == [(12, 13), ()]
    assert store.candidate("hib-2").submissions[0].fw_ids == (14,)


def _submit(path, results):
    store = connect(path)
    results.put(store.add_candidate(make_candidate(sources=(str(os.getpid()),))))
    store.record_submissions(["hib-1"], make_submission())


def test_of_several_processes_one_adds_and_one_submits(store, launchpad_file):
    store.ensure_indexes()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_submit, args=(launchpad_file, results)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=120) for _ in range(4)]
    for process in processes:
        process.join()
    assert sum(answers) == 1
    candidate = store.candidate("hib-1")
    assert len(candidate.submissions) == 1
    assert len(candidate.sources) == 4


# -- claims -----------------------------------------------------------------------------------------------------------


def test_a_live_claim_is_respected_and_a_released_one_is_free(store):
    first = store.claim(ADDRESS, owner=Owner.here())
    assert first == Claim(ADDRESS, 1, Owner.here())
    assert store.claim(ADDRESS, owner=ELSEWHERE) is None
    assert store.heartbeat(first)
    store.release(first)
    assert not store.heartbeat(first)
    assert store.claim(ADDRESS, owner=ELSEWHERE).token == 2


def test_the_claim_of_a_dead_process_is_taken_over_at_once(store, dead):
    zombie = store.claim(ADDRESS, owner=dead)
    mine = store.claim(ADDRESS, owner=Owner.here())
    assert mine.token == zombie.token + 1
    assert not store.heartbeat(zombie)
    assert not store.complete(make_task(energy=-1.0), {}, zombie)
    store.release(zombie)
    assert store.heartbeat(mine)
    assert store.complete(make_task(), {}, mine)
    assert not store.complete(make_task(energy=-1.0), {}, zombie)
    assert store.task(ADDRESS).energy == -12.0


def beat_of(database):
    return database["claims"].find_one({"_id": ADDRESS})["heartbeat"]


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_a_silent_owner_elsewhere_is_taken_over_after_the_lease(database):
    patient, impatient = Store(database), Store(database, lease_seconds=0.2)
    silent = patient.claim(ADDRESS, owner=ELSEWHERE)
    begun = beat_of(database)
    assert patient.claim(ADDRESS, owner=Owner.here()) is None
    time.sleep(0.5)
    assert patient.heartbeat(silent)
    assert beat_of(database) >= begun + timedelta(seconds=0.5)
    assert patient.claim(ADDRESS, owner=Owner.here()) is None
    time.sleep(0.5)
    assert impatient.claim(ADDRESS, owner=Owner.here()).token == 2


def test_an_answer_ends_claiming(store):
    assert store.complete(make_task(), {}, store.claim(ADDRESS, owner=Owner.here()))
    assert store.claim(ADDRESS, owner=Owner.here()) is None


def test_completing_twice_is_completing_once(store):
    claim = store.claim(ADDRESS, owner=Owner.here())
    assert store.complete(make_task(), {}, claim)
    assert store.complete(make_task(), {}, claim)
    assert store.database["tasks"].count_documents({}) == 1
    assert "result" not in store.database["claims"].find_one({"_id": ADDRESS})


@pytest.mark.parametrize("status", ["failed", "walltime", "electronic_limit"])
def test_what_is_no_answer_is_never_served_and_may_be_superseded(store, status):
    assert store.complete(make_task(status=status), {}, store.claim(ADDRESS, owner=Owner.here()))
    assert store.task(ADDRESS) is None
    assert store.task(ADDRESS, any_status=True).status == status
    second = store.claim(ADDRESS, owner=Owner.here())
    assert second.token == 2
    assert store.complete(make_task(energy=-13.0), {}, second)
    assert store.task(ADDRESS).energy == -13.0
    assert store.database["tasks"].count_documents({}) == 1


def test_a_round_that_ends_at_the_ionic_limit_answers_its_spec(store):
    store.complete(make_task(status="ionic_limit"), {}, store.claim(ADDRESS, owner=Owner.here()))
    assert store.task(ADDRESS).status == "ionic_limit"
    assert store.claim(ADDRESS, owner=Owner.here()) is None


def test_a_result_committed_by_a_process_killed_before_publishing_is_published_by_the_next(store, dead):
    claim = store.claim(ADDRESS, owner=dead)
    result = make_task().model_dump(mode="python")
    committed = {"$set": {"state": "done", "status": "converged", "result": result}}
    store.database["claims"].update_one({"_id": ADDRESS, "token": claim.token}, committed)
    assert store.task("cd" * 32) is None
    assert store.task(ADDRESS) == make_task()
    assert "result" not in store.database["claims"].find_one({"_id": ADDRESS})


def test_a_late_publisher_does_not_overwrite_a_newer_result(store):
    first = store.claim(ADDRESS, owner=Owner.here())
    store.complete(make_task(status="failed"), {}, first)
    second = store.claim(ADDRESS, owner=Owner.here())
    store.complete(make_task(energy=-13.0), {}, second)
    old = {"_id": ADDRESS, "token": 1, "result": make_task(status="failed").model_dump(mode="python")}
    store.claims.publish(old)
    assert store.task(ADDRESS).energy == -13.0


def test_documents_of_another_address_or_with_unknown_arrays_are_refused(store):
    claim = store.claim(ADDRESS, owner=Owner.here())
    with pytest.raises(ValueError, match="with the claim of"):
        store.complete(make_task(address="cd" * 32), {}, claim)
    with pytest.raises(ValueError, match="dos_total"):
        store.complete(make_task(arrays={"dos_total": pack(np.ones(3))}), {}, claim)


def _race(path, results):
    store = connect(path)
    for number in range(40):
        address = f"{number:064d}"
        claim = store.claim(address, owner=Owner.here())
        if claim is not None:
            stored = store.complete(make_task(address=address, energy=float(os.getpid())), {}, claim)
            results.put((number, os.getpid(), stored))
    results.put(None)


def test_of_several_processes_each_address_is_calculated_by_one(store, launchpad_file):
    store.ensure_indexes()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_race, args=(launchpad_file, results)) for _ in range(4)]
    for process in processes:
        process.start()
    won, ended = {}, 0
    while ended < 4:
        answer = results.get(timeout=120)
        if answer is None:
            ended += 1
            continue
        number, pid, stored = answer
        assert stored
        assert number not in won
        won[number] = pid
    for process in processes:
        process.join()
    assert sorted(won) == list(range(40))
    assert {number: store.task(f"{number:064d}").energy for number in won} == {number: float(pid) for number, pid in won.items()}


def _take_over(path, results, over):
    store = connect(path)
    results.put(store.claim(ADDRESS, owner=Owner.here()) is not None)
    over.wait()  # live while the others try


def test_of_several_processes_one_takes_over(store, launchpad_file, dead):
    store.claim(ADDRESS, owner=dead)
    context = multiprocessing.get_context("spawn")
    results, over = context.Queue(), context.Event()
    processes = [context.Process(target=_take_over, args=(launchpad_file, results, over)) for _ in range(3)]
    for process in processes:
        process.start()
    try:
        assert sum(results.get(timeout=120) for _ in processes) == 1
    finally:
        over.set()
    for process in processes:
        process.join()


# -- heartbeat --------------------------------------------------------------------------------------------------------


def test_heartbeat_keeps_a_claim_and_notices_a_take_over(database):
    store = Store(database)
    claim = store.claim(ADDRESS, owner=ELSEWHERE)
    with Heartbeat(store.heartbeat, claim, interval=0.2) as heartbeat:
        for _ in range(3):
            last = beat_of(database)
            assert until(lambda last=last: beat_of(database) > last)
        assert store.claim(ADDRESS, owner=Owner.here()) is None
        assert not heartbeat.lost
        database["claims"].update_one({"_id": ADDRESS}, {"$inc": {"token": 1}})
        assert until(lambda: heartbeat.lost)


def test_heartbeat_and_completion_survive_a_restart_of_the_server(tmp_path):
    now = up(tmp_path / "store", free_port())
    address = StoreAddress(now.host, now.port, "restart", mongoclient_kwargs={"retryWrites": False})
    store = Store(address.client()["restart"], lease_seconds=30.0)
    claim = store.claim(ADDRESS, owner=ELSEWHERE)
    before = store.database["claims"].find_one({"_id": ADDRESS})["heartbeat"]
    with Heartbeat(store.heartbeat, claim, interval=0.2) as heartbeat:
        down(tmp_path / "store")
        answer = []
        completing = threading.Thread(target=lambda: answer.append(store.complete(make_task(), {}, claim)))
        time.sleep(1.0)
        up(tmp_path / "store")
        time.sleep(6.0)
        assert store.database["claims"].find_one({"_id": ADDRESS})["heartbeat"] > before
        assert not heartbeat.lost
        down(tmp_path / "store")
        completing.start()
        time.sleep(1.0)
        up(tmp_path / "store")
        completing.join(timeout=120)
    assert answer == [True]
    assert store.task(ADDRESS) == make_task()
    down(tmp_path / "store")


# -- arrays -----------------------------------------------------------------------------------------------------------


def test_arrays_come_back_and_are_stored_once(store):
    packed = {"dos_total": pack(np.linspace(0, 1, 50).reshape(2, 25)), "dos_energies": pack(np.linspace(0, 1, 50).reshape(2, 25))}
    task = make_task(arrays=packed)
    assert store.complete(task, packed, store.claim(ADDRESS, owner=Owner.here()))
    found = store.task(ADDRESS)
    np.testing.assert_array_equal(store.array(found.arrays["dos_total"]), np.linspace(0, 1, 50, dtype="f4").reshape(2, 25))
    assert store.database["arrays"].count_documents({}) == 1


def test_large_arrays_go_to_gridfs(store, monkeypatch):
    monkeypatch.setattr(arrays_module, "LARGEST_DOCUMENT", 1000)
    packed = pack(np.random.default_rng(1).random((40, 50)))
    store.arrays.put([packed])
    store.arrays.put([packed])
    assert "data" not in store.database["arrays"].find_one({})
    assert store.database["arrays.files"].count_documents({}) == 1
    np.testing.assert_array_equal(store.array(packed.ref), np.random.default_rng(1).random((40, 50)).astype("f4"))


def test_what_a_killed_writer_left_of_a_large_array_is_not_taken_for_it(store, monkeypatch):
    monkeypatch.setattr(arrays_module, "LARGEST_DOCUMENT", 1000)
    packed = pack(np.random.default_rng(1).random((40, 50)))
    with monkeypatch.context() as patch:
        patch.setattr(type(store.database["arrays.files"]), "insert_one", interrupted)
        with pytest.raises(AutoReconnect):
            store.arrays.put([packed])
    assert store.database["arrays.chunks"].count_documents({}) > 0
    store.arrays.put([packed])
    np.testing.assert_array_equal(store.array(packed.ref), np.random.default_rng(1).random((40, 50)).astype("f4"))


def interrupted(self, *_args, **_options):
    raise AutoReconnect("killed between the chunks and the file")


def test_an_array_beyond_mongodbs_document_limit(store):
    packed = pack(np.random.default_rng(2).random(5_000_000))
    assert len(packed.data) > 16 * 2**20
    store.arrays.put([packed])
    assert store.array(packed.ref).shape == (5_000_000,)


def test_missing_and_damaged_arrays_are_errors(store):
    packed = pack(np.ones(4))
    with pytest.raises(HibanaError, match="HIB-080"):
        store.array(packed.ref)
    store.arrays.put([PackedArray(packed.ref, pack(np.zeros(4)).data)])
    with pytest.raises(ValueError, match="damaged"):
        store.array(packed.ref)


# -- properties, outcomes, queries ------------------------------------------------------------------------------------


def test_a_property_document_replaces_the_earlier_one_of_its_key_only(store):
    store.put_property(make_electronic(gap=4.0))
    store.put_property(make_electronic(gap=4.7))
    store.put_property(make_electronic(calculator="gpaw-rehearsal"))
    store.put_property(make_electronic(protocol_version=2))
    found = list(store.properties(ElectronicDoc, {"material_id": "hib-1"}))
    assert len(found) == 3
    assert make_electronic(gap=4.7) in found
    assert make_electronic(gap=4.0) not in found
    assert list(store.properties(RelaxationDoc)) == []


def test_parts_of_a_material_are_kept_apart(store):
    for part, gap in (("", 1.0), ("Va_O1_0", 2.0), ("Va_O1_2", 3.0), ("Va_O1_2", 4.0)):
        store.put_property(make_electronic(gap=gap).model_copy(update={"part": part}))
    found = {doc.part: doc.band_gap_pbesol for doc in store.properties(ElectronicDoc)}
    assert found == {"": 1.0, "Va_O1_0": 2.0, "Va_O1_2": 4.0}
    keys = [item["_id"] for item in store.database["electronic"].find()]
    assert sorted(keys) == ["hib-1|pbesol@1|vasp", "hib-1|pbesol@1|vasp|Va_O1_0", "hib-1|pbesol@1|vasp|Va_O1_2"]


def test_the_collections_of_defects_have_indexes(store):
    kinds = (SupercellDoc, VacancyDoc, VacancySummaryDoc, ChemicalPotentialDoc)
    assert {kind.collection for kind in kinds} == set(DEFECT_COLLECTIONS)
    assert all(is_served(kind.collection, {"material_id": "hib-1"}) for kind in kinds)
    assert list(store.properties(VacancyDoc)) == []


def test_outcomes_are_kept_by_key(store):
    store.record_outcome("hib-1", "electronic", "pbesol", "vasp", "failed", "failed at band", protocol_version=1)
    store.record_outcome("hib-1", "electronic", "pbesol", "vasp", "done", protocol_version=1)
    store.record_outcome("hib-1", "electronic", "pbesol", "vasp", "done", protocol_version=2)
    assert [(o["state"], o["reason"], o["protocol_version"]) for o in store.outcomes("hib-1")] == [
        ("done", None, 1),
        ("done", None, 2),
    ]


def test_queries_of_users(store):
    for number, gap in enumerate((1.0, 2.0, 3.0)):
        store.put_property(make_electronic(f"hib-{number}", gap=gap))
    wide = store.query("electronic", {"band_gap_pbesol": {"$gt": 1.5}}, ["material_id", "band_gap_pbesol"], by_key=True)
    assert list(wide) == [{"material_id": "hib-1", "band_gap_pbesol": 2.0}, {"material_id": "hib-2", "band_gap_pbesol": 3.0}]
    assert len(list(store.query("electronic", {"formula": "MgO"}, limit=2))) == 2
    assert "_id" not in next(store.query("electronic"))


@pytest.mark.parametrize(
    ("collection", "filter", "limit"),
    [("fireworks", {}, 0), ("electronic", {"$nonsense": 1}, 0), ("electronic", {"a": {"$gtt": 1}}, 0), ("electronic", {}, -1)],
)
def test_queries_that_cannot_be_answered(store, collection, filter, limit):
    store.put_property(make_electronic())
    with pytest.raises(HibanaError, match="HIB-078"):
        list(store.query(collection, filter, limit=limit))


@pytest.mark.parametrize("text", ["{", "[1]", "formula=MgO"])
def test_filters_that_are_no_json_objects(text):
    with pytest.raises(HibanaError, match="HIB-078"):
        parse_filter(text)


class _Recorder(monitoring.CommandListener):
    def __init__(self):
        self.filters = []

    def started(self, event):
        command = event.command
        if event.command_name == "find":
            self.filters.append((command["find"], command["filter"]))
        for update in command.get("updates", []):
            self.filters.append((command["update"], update["q"]))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def test_every_query_is_served_by_an_index(store, launchpad_file):
    recorder = _Recorder()
    address = StoreAddress.from_launchpad_file(launchpad_file)
    client = StoreAddress(
        address.host, address.port, address.name, mongoclient_kwargs={"event_listeners": [recorder], "retryWrites": False}
    ).client()
    watched = Store(client[address.name])
    watched.add_candidate(make_candidate())
    watched.record_submissions(["hib-1"], make_submission())
    watched.attach_workflows(make_submission(), {"hib-1": [1]})
    watched.candidate("hib-1")
    claim = watched.claim(ADDRESS, owner=Owner.here())
    watched.heartbeat(claim)
    packed = {"dos_total": pack(np.ones(3))}
    watched.complete(make_task(arrays=packed), packed, claim)
    watched.claim(ADDRESS, owner=Owner.here())
    watched.release(claim)
    watched.task(ADDRESS)
    watched.task("cd" * 32, any_status=True)
    watched.array(packed["dos_total"].ref)
    watched.put_property(make_electronic())
    list(watched.properties(ElectronicDoc, {"material_id": "hib-1"}))
    watched.record_outcome("hib-1", "electronic", "pbesol", "vasp", "done", protocol_version=1)
    watched.outcomes("hib-1")
    asked = [(collection, filter) for collection, filter in recorder.filters if collection in COLLECTIONS]
    assert len(asked) > 15
    assert [(collection, filter) for collection, filter in asked if not is_served(collection, dict(filter))] == []
    for collection, indexes in INDEXES.items():
        there = watched.database[collection].index_information() if indexes else {}
        keys = [tuple(field for field, _ in index["key"]) for index in there.values()]
        assert all(index in keys for index in indexes)
    client.close()
