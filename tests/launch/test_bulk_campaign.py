"""The flow ``bulk`` as FireWorks runs it, with the fake VASP as the code; and its documents rebuilt."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stdout

import pytest
from farm import MGO, REPOSITORY, SCRIPTS, STEPS_OF_MGO

from hibana.cli.main import main
from hibana.core.errors import HibanaError
from hibana.documents.material import PARTS, MaterialDoc
from hibana.launch.submit import submit
from hibana.launch.why import why

pytestmark = pytest.mark.timeout(600)

STEPS_OF_BULK = sorted([*STEPS_OF_MGO, "hse06 semilocal", "ddh", "dielectric", "optics"])
SERIES = ("pbesol-demo", "gpaw-rehearsal")


def material(farm) -> MaterialDoc:
    (doc,) = farm.store.properties(MaterialDoc)
    return doc


def documents(farm) -> dict[str, dict]:
    """Every property document as stored, without what a rebuild changes."""
    kinds = {**PARTS, "materials": MaterialDoc}
    found = {name: [doc.model_dump(mode="json") for doc in farm.store.properties(kind)] for name, kind in kinds.items()}
    return json.loads(json.dumps(found), object_hook=lambda item: {k: v for k, v in item.items() if k != "built_at"})


@pytest.fixture
def rebuilt(farm, monkeypatch):
    """Runs ``hibana rebuild --json`` in this process."""

    def run(*words: str, code: int = 0) -> dict:
        monkeypatch.setenv("HIBANA_LAUNCHPAD", str(farm.launchpad_file))
        printed = io.StringIO()
        with redirect_stdout(printed), pytest.raises(SystemExit) as stop:
            main(["rebuild", "--json", *words])
        assert int(stop.value.code or 0) == code
        return json.loads(printed.getvalue())

    return run


def test_lpad_add_and_rlaunch_take_the_bulk_campaign_as_it_is(farm):
    project = farm.folder / "project"
    shutil.copytree(REPOSITORY / "workflows", project / "workflows", ignore=shutil.ignore_patterns("ZnO.cif"))
    farm.folder, farm.env = project, {**farm.env, "PWD": str(project)}
    farm.lpad("add", "workflows/bulk.yaml")
    farm.call(SCRIPTS / "rlaunch", "-l", farm.launchpad_file, "-w", farm.fworker, "rapidfire", "--nlaunches", "1")
    names = {name.removeprefix("MgO ") for name in farm.states() if name.startswith("MgO")}
    assert names == {"relax 1", "band", "dos", "dielectric", "decide hse06", "decide ddh", "decide optics", "collect"}
    farm.call(SCRIPTS / "rlaunch", "-l", farm.launchpad_file, "-w", farm.fworker, "rapidfire")
    assert set(farm.states().values()) == {"COMPLETED"}
    assert {"MgO hse06", "MgO ddh", "MgO optics"} <= set(farm.states())
    assert farm.outcome() == ("done", "every step has its answer")
    assert material(farm).status == "complete"


def test_everything_is_in_one_document_which_needs_nothing_but_the_runs(farm, rebuilt):
    farm.submit(flow="bulk")
    farm.work()
    assert farm.ran() == STEPS_OF_BULK
    doc = material(farm)
    assert (doc.status, farm.outcome()) == ("complete", ("done", "every step has its answer"))
    assert set(doc.parts) == set(PARTS) - {"dispersion"}
    assert doc.electronic.band_gap_hse06_nsc == pytest.approx(6.5)
    assert doc.electronic.band_gap_ddh_nsc == pytest.approx(4.5 + 8 / 3.2, abs=1e-3)
    assert doc.electronic.exchange_ratio_ddh == pytest.approx(1 / 3.2, abs=1e-3)
    assert doc.dielectric.epsilon_electronic_average == pytest.approx(3.2)
    assert doc.phonon.status == "complete"
    assert doc.optics.gap_source == "ddh_nsc"
    assert doc.electronic.recipe_ddh_nsc == "subrot"
    for part, fields in doc.sources.items():
        for field, addresses in fields.items():
            assert addresses, f"{part}.{field}"
            assert all(farm.store.task(address) is not None for address in addresses)
    assert doc.sources["electronic"]["band_gap_ddh_nsc"] == (doc.addresses["ddh_nsc"],)
    assert doc.sources["dielectric"]["epsilon_electronic"] == (doc.addresses["dielectric"],)
    assert farm.store.array(doc.optics.arrays["log10_absorption"]).shape == (1501,)

    before = documents(farm)
    for name in (*PARTS, "materials"):
        farm.store.database[name].delete_many({})
    report = rebuilt()
    assert set(report["changed"][0]["collections"]) == {name for name, found in before.items() if found}
    assert documents(farm) == before


def test_why_tells_what_is_missing_by_part(farm):
    farm.behave(fail={"dielectric": "nelm"})
    farm.submit(flow="bulk")
    farm.work()
    (explanation,) = why(farm.store, farm.launchpad, "MgO")
    (entry,) = explanation.entries
    assert entry.outcome == "partial"
    states = {part.name: part.status for part in entry.properties}
    assert states["dielectric"] == states["phonon"] == "unavailable"
    assert states["electronic"] == "partial"
    assert [failure.task for failure in entry.failures] == ["dielectric"]
    printed = farm.hibana("why", "MgO")
    assert "dielectric: unavailable: " in printed
    summary = json.loads(farm.hibana("summary", "--json"))
    assert summary["materials"][0]["band_gap_hse06_nsc"] == pytest.approx(6.5)


def test_a_later_campaign_with_more_branches_adds_what_is_missing(farm):
    farm.submit()
    farm.work()
    report = json.loads(
        farm.hibana(
            *("submit", MGO, "--flow", "bulk", "--branch", "ddh", "-p", SERIES[0], "-c", SERIES[1], "--json"),
        )
    )
    assert len(report["added"]) == 1
    workflow = farm.launchpad.workflows.find_one({"metadata.flow": {"$ne": "electronic"}})
    assert workflow["metadata"]["flow"] == "bulk:band+dielectric+ddh"
    farm.work()
    assert farm.ran() == sorted([*STEPS_OF_MGO, "dielectric", "ddh", "hse06 semilocal"])
    doc = material(farm)
    assert (doc.electronic.band_gap_hse06_nsc, doc.electronic.band_gap_ddh_nsc) == (
        pytest.approx(6.5),
        pytest.approx(7.0, abs=1e-3),
    )
    assert [entry.flow for entry in why(farm.store, farm.launchpad, "MgO")[0].entries] == [
        "electronic",
        "bulk:band+dielectric+ddh",
    ]
    assert farm.submit(flow="bulk:ddh+dielectric")["added"] == []


def test_a_metal_of_the_relaxation_gets_neither_tensors_nor_hybrids(farm):
    farm.behave(gap=-1.0)
    farm.submit(flow="bulk")
    farm.work()
    assert farm.ran() == ["band", "dos", "relax", "relax"]
    assert farm.outcome() == ("metal", "no gap")
    assert material(farm).status == "complete"


def test_a_rebuild_changes_nothing_but_the_time(farm, rebuilt):
    farm.behave(fail={"optics": "nelm"})
    farm.submit(flow="bulk")
    farm.work()
    before, times = documents(farm), material(farm).built_at
    dry = rebuilt("--dry-run")
    assert (dry["rebuilt"], dry["changed"], dry["left_as_is"]) == (1, [], [])
    assert material(farm).built_at == times
    assert rebuilt()["changed"] == []
    assert documents(farm) == before
    assert material(farm).built_at > times


def test_a_rebuild_is_of_what_was_asked_for(farm, rebuilt):
    farm.submit(flow="bulk:dielectric")
    farm.work()
    farm.store.database["dielectric"].update_one({}, {"$set": {"epsilon_electronic_average": 1.0, "built_with": "0.0.1"}})
    assert rebuilt("--older-than", "0.0.1")["current"] == 1
    assert rebuilt("--material", "MgO", "--older-than", "0.0.2", "--dry-run")["changed"][0]["collections"] == ["dielectric"]
    assert rebuilt("--calculator", "vasp")["rebuilt"] == 0
    assert rebuilt("--protocol", "pbesol")["rebuilt"] == 0
    assert "1 rebuilt, 1 of them changed" in farm.hibana("rebuild", "--protocol", "pbesol-demo")
    assert rebuilt("--material", "ZnO", code=2)["error"]["code"] == "HIB-114"
    assert rebuilt("--older-than", "new", code=2)["error"]["code"] == "HIB-166"


def test_what_cannot_be_rebuilt_here_is_left_with_its_reason(farm, rebuilt):
    farm.submit()
    farm.work()
    before = documents(farm)
    for collection in (*PARTS, "materials", "outcomes", "tasks"):
        farm.store.database[collection].update_many({}, {"$set": {"protocol": "mine"}})
    assert "mine" in rebuilt()["left_as_is"][0]["reason"]
    for collection in (*PARTS, "materials", "outcomes", "tasks"):
        farm.store.database[collection].update_many({}, {"$set": {"protocol": "pbesol-demo", "protocol_version": 1}})
    assert "version" in rebuilt()["left_as_is"][0]["reason"]
    assert documents(farm).keys() == before.keys()


@pytest.mark.parametrize(("flow", "branches", "code"), [("bulk", ["nope"], "HIB-099"), ("electronic", ["ddh"], "HIB-100")])
def test_impossible_branches_are_numbered_errors_and_nothing_is_written(farm, flow, branches, code):
    with pytest.raises(HibanaError, match=code):
        submit([MGO], flow, *SERIES, farm.launchpad, branches=branches)
    assert farm.launchpad.workflows.count_documents({}) == 0
    assert farm.store.count("candidates") == 0


def test_supercell_phonons_are_one_job_a_displacement(farm):
    farm.submit(flow="bulk:phonon")
    farm.work()
    assert farm.ran() == ["phonon", "phonon", "relax", "relax"]
    assert {"MgO phonon 001", "MgO phonon 002", "MgO phonon forces"} <= set(farm.states())
    assert set(farm.states().values()) == {"COMPLETED"}
    doc = material(farm)
    assert set(doc.addresses) == {"structure_opt", "phonon_force-001", "phonon_force-002"}
    assert (doc.dispersion.status, doc.dispersion.n_displacements) == ("complete", 2)
