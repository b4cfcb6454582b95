"""Submission: once each, never half, whoever is killed when."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymongo.errors import DuplicateKeyError

from hibana.core.errors import HibanaError
from hibana.launch.adding import prepare
from hibana.launch.submit import submit
from hibana.structures.convert import to_pymatgen
from hibana.structures.identity import make_candidate
from hibana.structures.reading import read_structures

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "workflows" / "demo"
N_JOBS = 5
TRICLINIC = Lattice.from_parameters(5.1, 6.2, 7.3, 82.0, 97.0, 103.0)


def ask(files, launchpad, **changes):
    asked = {"flow": "electronic", "protocol": "pbesol-demo", "calculator": "gpaw-rehearsal", **changes}
    return submit(files, asked["flow"], asked["protocol"], asked["calculator"], launchpad)


def counted(launchpad) -> tuple[int, int]:
    return launchpad.workflows.count_documents({}), launchpad.fireworks.count_documents({})


def whole_and_ready(launchpad) -> bool:
    """Every workflow has all its Fireworks, every Firework a workflow, and every root is READY."""
    nodes = [node for workflow in launchpad.workflows.find() for node in workflow["nodes"]]
    fireworks = {fw["fw_id"]: fw["state"] for fw in launchpad.fireworks.find({}, {"fw_id": 1, "state": 1})}
    roots = [
        node for workflow in launchpad.workflows.find() for node in launchpad.get_wf_by_fw_id(workflow["nodes"][0]).root_fw_ids
    ]
    return sorted(nodes) == sorted(fireworks) and all(fireworks[root] == "READY" for root in set(roots))


def test_a_folder_becomes_one_workflow_a_material(launchpad, store):
    report = ask([DEMO], launchpad)
    assert sorted(item.formula for item in report.added) == ["MgO", "ZnO"]
    assert report.refused == []
    assert counted(launchpad) == (2, 2 * N_JOBS)
    assert whole_and_ready(launchpad)
    names = {fw["name"] for fw in launchpad.fireworks.find({"spec.formula": "MgO"}, {"name": 1})}
    assert names == {"MgO relax 1", "MgO band", "MgO dos", "MgO decide", "MgO collect"}
    workflow = launchpad.workflows.find_one({"metadata.formula": "MgO"})
    material = workflow["metadata"]["material_id"]
    assert workflow["name"] == f"MgO electronic pbesol-demo {material}"
    (submission,) = store.candidate(material).submissions
    assert [launchpad.get_fw_dict_by_id(fw_id)["name"] for fw_id in submission.fw_ids] == ["MgO relax 1"]


def test_every_job_runs_whatever_becomes_of_its_parents(launchpad):
    ask([DEMO / "MgO.cif"], launchpad)
    assert launchpad.fireworks.count_documents({"spec._allow_fizzled_parents": True}) == N_JOBS


def test_submitting_again_adds_nothing_nor_does_a_copy(launchpad, store, tmp_path):
    first = ask([DEMO / "MgO.cif"], launchpad)
    before = counted(launchpad)
    copy = tmp_path / "POSCAR_of_the_same_crystal"
    primitive = to_pymatgen(store.candidate(first.added[0].material_id).crystal)
    primitive.make_supercell([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    primitive.to(str(copy), fmt="poscar")
    again = ask([DEMO / "MgO.cif", copy], launchpad)
    assert again.added == []
    assert [item.material_id for item in again.already_there] == [first.added[0].material_id]
    assert counted(launchpad) == before
    assert len(store.candidate(first.added[0].material_id).sources) == 2


def test_another_question_is_another_workflow(launchpad):
    ask([DEMO / "MgO.cif"], launchpad)
    assert len(ask([DEMO / "MgO.cif"], launchpad, calculator="vasp").added) == 1
    assert len(ask([DEMO / "MgO.cif"], launchpad, protocol="pbesol").added) == 1
    assert counted(launchpad) == (3, 3 * N_JOBS)


def test_a_broken_file_is_reported_and_stops_nothing(launchpad, tmp_path):
    shutil.copy(DEMO / "MgO.cif", tmp_path / "b.cif")
    (tmp_path / "a.cif").write_text("")
    (tmp_path / "c.vasp").write_text("nonsense")
    report = ask([tmp_path], launchpad)
    assert [item.formula for item in report.added] == ["MgO"]
    assert {Path(item.source).name: item.error.kind.code for item in report.refused} == {"a.cif": "HIB-010", "c.vasp": "HIB-013"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"protocol": "nope"}, "HIB-030"), ({"flow": "nope"}, "HIB-096"), ({"calculator": "nope"}, "HIB-116")],
)
def test_unknown_words_are_numbered_errors_and_nothing_is_written(launchpad, changes, code):
    with pytest.raises(HibanaError, match=code):
        ask([DEMO], launchpad, **changes)
    assert counted(launchpad) == (0, 0)
    assert launchpad.db["candidates"].count_documents({}) == 0


def test_only_bad_files_is_an_error_and_nothing_is_written(launchpad, tmp_path):
    (tmp_path / "a.cif").write_text("")
    with pytest.raises(HibanaError, match="HIB-010"):
        ask([tmp_path / "a.cif"], launchpad)
    (tmp_path / "b.cif").write_text("")
    with pytest.raises(HibanaError, match=r"HIB-115.*a.cif.*b.cif"):
        ask([tmp_path], launchpad)
    assert counted(launchpad) == (0, 0)
    assert launchpad.db["candidates"].count_documents({}) == 0


@pytest.mark.parametrize("file", [None, "notes.txt", "table.json"])
def test_a_folder_without_structures_is_named_with_what_is_read(launchpad, tmp_path, file):
    folder = tmp_path / "results"
    folder.mkdir()
    if file is not None:
        (folder / file).write_text('{"a": 1}')
    with pytest.raises(HibanaError, match=f"HIB-014.*\n.*{folder}") as caught:
        ask([folder], launchpad)
    assert all(name in str(caught.value) for name in ("*.cif", "POSCAR*", "*.jsonl"))
    report = ask([folder, DEMO / "MgO.cif"], launchpad)
    assert ([item.formula for item in report.added], [item.source for item in report.refused]) == (["MgO"], [str(folder)])


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@pytest.mark.parametrize("collection", ["fireworks", "workflows"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_killed_between_any_two_writes_it_goes_on(launchpad, collection, after, monkeypatch):
    """The nth write to a collection does not happen, nor anything later."""
    target = getattr(launchpad, collection)
    count = 0

    def dying(name):
        real = getattr(type(target), name)

        def call(self, *args, **kwargs):
            nonlocal count
            if self.name == collection:
                count += 1
                if count > after:
                    raise Killed
            return real(self, *args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("insert_many", "update_many", "delete_many", "insert_one", "update_one"):
            patch.setattr(type(target), name, dying(name))
        try:
            ask([DEMO], launchpad)
            killed = False
        except Killed:
            killed = True
    assert killed or after > 0
    assert all(launchpad.get_wf_by_fw_id(workflow["nodes"][0]) for workflow in launchpad.workflows.find())
    runnable = [fw["fw_id"] for fw in launchpad.fireworks.find({"state": "READY"})]
    assert all(launchpad.workflows.find_one({"nodes": fw_id}) for fw_id in runnable)
    ask([DEMO], launchpad)
    assert counted(launchpad) == (2, 2 * N_JOBS)
    assert whole_and_ready(launchpad)


def test_several_submitters_at_once_add_each_workflow_once(launchpad_file):
    from hibana.launch.launchpad import HibanaLaunchPad

    launchpads = [HibanaLaunchPad.connect(launchpad_file) for _ in range(4)]
    faults: list[BaseException] = []

    def run(launchpad) -> None:
        try:
            ask([DEMO], launchpad)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(launchpad,)) for launchpad in launchpads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert counted(launchpads[0]) == (2, 2 * N_JOBS)
    assert whole_and_ready(launchpads[0])


def test_a_workflow_that_was_deleted_is_added_again(launchpad):
    ask([DEMO / "MgO.cif"], launchpad)
    launchpad.delete_wf(launchpad.workflows.find_one()["nodes"][0])
    assert len(ask([DEMO / "MgO.cif"], launchpad).added) == 1
    assert whole_and_ready(launchpad)


def test_a_copy_rounded_across_the_grid_of_the_key_adds_nothing(launchpad, store, tmp_path):
    """Numbers on a grid have boundaries; a copy that falls on the other side is still the same crystal."""
    crystal = Structure(TRICLINIC, ["Zn", "O"], [[0.1, 0.2, 0.3], [0.4, 0.7, 0.6]])
    files = []
    for number, shift in enumerate(np.linspace(0, 5e-4, 6)):
        files.append(tmp_path / f"POSCAR_{number}")
        Structure(crystal.lattice, crystal.species, np.add(crystal.frac_coords, [[0, 0, 0], [shift, 0, 0]])).to(
            str(files[-1]), "poscar"
        )
    keys = {make_candidate(read).structure_key for file in files for read in read_structures(file)}
    assert len(keys) > 1
    first = ask(files[:1], launchpad)
    again = ask(files, launchpad)
    assert again.added == []
    assert {item.material_id for item in again.already_there} == {first.added[0].material_id}
    assert counted(launchpad) == (1, N_JOBS)


def test_another_volume_is_another_material(launchpad, tmp_path):
    crystal = Structure(TRICLINIC, ["Zn", "O"], [[0.1, 0.2, 0.3], [0.4, 0.7, 0.6]])
    for number, strain in enumerate((1.0, 1.002)):
        strained = Structure(crystal.lattice.matrix * strain, crystal.species, crystal.frac_coords)
        strained.to(str(tmp_path / f"POSCAR_{number}"), "poscar")
    assert len(ask([tmp_path], launchpad).added) == 2


def test_a_workflow_is_found_by_its_key_without_reading_the_others(launchpad):
    ask([DEMO], launchpad)
    key = launchpad.workflows.find_one({"metadata.formula": "MgO"})["metadata"]["submission"]
    done = launchpad.workflows.find({"metadata.submission": {"$in": [key]}}).explain()["executionStats"]
    assert (done["nReturned"], done["totalDocsExamined"]) == (1, 1)


def test_the_partial_index_of_former_versions_is_dropped(launchpad):
    field = "metadata.submission"
    ask([DEMO / "MgO.cif"], launchpad)
    launchpad.workflows.drop_index("hibana_submission_once")
    launchpad.workflows.create_index(
        field, unique=True, partialFilterExpression={field: {"$exists": True}}, name="hibana_submission"
    )
    for _ in range(2):
        assert len(ask([DEMO / "MgO.cif"], launchpad).already_there) == 1
        indexes = launchpad.workflows.index_information()
        assert {name: dict(index).get("sparse") for name, index in indexes.items() if name.startswith("hibana")} == {
            "hibana_submission_once": True
        }
    prepare(launchpad)
    found = launchpad.workflows.find({field: {"$exists": True}}, {field: 1}).next()
    with pytest.raises(DuplicateKeyError):
        launchpad.workflows.insert_one({"metadata": found["metadata"]})


def test_an_index_that_another_process_drops_first_is_no_error(launchpad, monkeypatch):
    named = dict.fromkeys(["_id_", "hibana_submission"])
    monkeypatch.setattr(type(launchpad.workflows), "index_information", lambda _: named)
    prepare(launchpad)


def test_the_embedded_server_finds_nothing_by_a_partial_index(database):
    """The reason for a sparse index in :func:`hibana.launch.adding.prepare`; if this fails, a partial one would do."""
    numbers = database["numbers"]
    numbers.create_index("a.b", unique=True, partialFilterExpression={"a.b": {"$exists": True}})
    numbers.insert_many([{"a": {"b": number}} for number in range(10)])
    assert numbers.find({"a.b": 3}).explain()["executionStats"]["totalDocsExamined"] == 10
