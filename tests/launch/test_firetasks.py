"""One job after another by FireWorks: what goes wrong, and what is left when it did."""

from __future__ import annotations

import time

import pytest
from farm import MGO, STEPS_OF_MGO
from fireworks import FWorker
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

import hibana.vasp.run
from hibana.core.errors import HibanaError
from hibana.flows.bulk import bulk_flow
from hibana.flows.context import RunContext, use_context
from hibana.launch.firetasks import process_age, remaining_walltime, run_context
from hibana.launch.submit import submit
from hibana.store.store import Store
from hibana.structures.identity import make_candidate
from hibana.structures.reading import read_structures

pytestmark = pytest.mark.timeout(600)


def error_of(farm, name: str) -> str:
    firework = farm.launchpad.fireworks.find_one({"name": name})
    launch = farm.launchpad.launches.find_one({"launch_id": firework["launches"][-1]})
    return launch["action"]["stored_data"]["_exception"]["_stacktrace"]


def test_a_metal_stops_with_that_answer(farm):
    farm.behave(gap=-1.0)
    farm.submit()
    farm.work()
    assert farm.ran() == ["band", "dos", "relax", "relax"]
    assert farm.outcome() == ("metal", "no gap")
    doc = farm.electronic()
    assert (doc.gap_class, doc.band_gap_pbesol, doc.status, doc.flags) == ("metal", 0.0, "complete", ())


def test_a_calculation_without_answer_is_a_status_and_the_collector_runs(farm):
    farm.behave(fail={"band": "nelm"})
    farm.submit()
    farm.work()
    assert set(farm.states().values()) == {"COMPLETED"}
    assert farm.outcome()[0] == "failed"
    assert farm.outcome()[1].startswith("band: ")
    doc = farm.electronic()
    assert (doc.gap_class, doc.status, doc.band_gap_dos) == ("unknown", "unavailable", pytest.approx(4.5))
    assert "band" in doc.reason


def test_a_job_that_ends_with_an_error_does_not_stop_the_collector_and_can_be_rerun(farm):
    farm.behave(fail={"band": "crash"})
    farm.submit()
    farm.work()
    states = farm.states()
    assert states.pop("MgO band") == "FIZZLED"
    assert set(states.values()) == {"COMPLETED"}
    assert "HIB-095" in error_of(farm, "MgO band")
    assert farm.outcome()[0] == "failed"
    assert "band" in farm.outcome()[1]

    farm.behave()
    farm.launchpad.rerun_fw(farm.launchpad.get_fw_ids({"state": "FIZZLED"})[0])
    farm.work()
    assert set(farm.states().values()) == {"COMPLETED"}
    assert farm.outcome()[0] == "done"
    assert farm.electronic().band_gap_hse06_nsc == pytest.approx(6.5)
    assert farm.ran().count("dos") == 1


def test_a_failed_relaxation_leaves_a_reason(farm):
    farm.behave(fail={"relax": "crash"})
    farm.submit()
    farm.work()
    assert farm.outcome()[0] == "failed"
    assert farm.outcome()[1].startswith("relaxation: ")
    assert farm.results() == []
    assert set(farm.ran()) == {"relax"}
    assert farm.states()["MgO collect"] == "COMPLETED"


def test_rerunning_the_first_job_runs_all_again_but_computes_nothing(farm):
    farm.submit()
    farm.work()
    before, results = farm.states(), farm.results()
    farm.lpad("rerun_fws", "-q", '{"name": "MgO relax 1"}')
    assert farm.states()["MgO collect"] == "WAITING"
    farm.work()
    assert farm.states() == before
    assert farm.launchpad.fireworks.count_documents({}) == len(before)
    assert farm.ran() == STEPS_OF_MGO
    assert farm.results() == results


def test_asked_again_after_its_workflow_is_gone_nothing_is_computed(farm):
    farm.submit()
    farm.work()
    results = farm.results()
    farm.launchpad.delete_wf(farm.launchpad.workflows.find_one()["nodes"][0])
    assert len(farm.submit()["added"]) == 1
    farm.work()
    assert farm.ran() == STEPS_OF_MGO
    assert farm.results() == results


def test_the_wrong_code_stores_nothing(farm):
    submit([MGO], "electronic", "pbesol-demo", "vasp", farm.launchpad)
    farm.work()
    assert "HIB-092" in error_of(farm, "MgO relax 1")
    assert "vasp was asked for, gpaw-rehearsal" in error_of(farm, "MgO relax 1")
    assert list(farm.store.query("tasks", {})) == []
    assert farm.outcome()[0] == "failed"


def test_without_vasp_cmd_it_says_so(farm, monkeypatch):
    farm.submit()
    farm.fworker.write_text("name: test\ncategory: ''\nquery: '{}'\n")
    monkeypatch.delenv("HIBANA_VASP_CMD", raising=False)
    farm.work()
    assert "HIB-091" in error_of(farm, "MgO relax 1")
    assert [claim["state"] for claim in farm.store.query("claims", {})] == ["released"]


def test_two_of_the_same_calculate_once(farm):
    """The same workflow twice under two names; the second waits for the first, or finds its answer."""
    farm.behave(seconds=1)
    farm.submit()
    workflow = farm.launchpad.get_wf_by_fw_id(farm.launchpad.get_fw_ids()[0])
    for firework in workflow.fws:
        firework.spec.pop("submission")
    workflow.metadata.pop("submission")
    farm.launchpad.add_wf(workflow)
    assert farm.launchpad.fireworks.count_documents({"state": "READY"}) == 2
    farm.run("--workers", "2")
    assert set(farm.states().values()) == {"COMPLETED"}
    assert farm.ran() == STEPS_OF_MGO


def test_passwords_stand_in_no_spec(farm):
    farm.submit()
    assert not any("password" in str(firework) for firework in farm.launchpad.fireworks.find())


def test_local_manager_and_fireworks_agree(farm, tmp_path, monkeypatch):
    farm.submit()
    farm.work()
    for name in ("PMG_VASP_PSP_DIR", "FAKE_VASP", "FAKE_VASP_LOG"):
        monkeypatch.setenv(name, farm.env[name])
    (read,) = read_structures(MGO)
    flow = bulk_flow(make_candidate(read), "pbesol-demo", "gpaw-rehearsal", "electronic")
    database = farm.store.database.client[farm.store.database.name + "_local"]
    command = FWorker.from_file(str(farm.fworker)).env["vasp_cmd"]
    context = RunContext(store=Store(database), vasp_cmd=command)
    monkeypatch.setattr(hibana.vasp.run, "POLLING_SECONDS", 0.05)
    with use_context(context):
        run_locally(flow, store=JobStore(MemoryStore()), create_folders=True, root_dir=tmp_path / "local", log=False)
    remote, farm.store = farm.results(), Store(database)
    local = farm.results()
    database.client.drop_database(database.name)
    assert local == remote
    assert farm.ran() == sorted(2 * STEPS_OF_MGO)


class TestRunContext:
    """What the fworker file and the environment say."""

    def context(self, launchpad, env, monkeypatch, command=None):
        monkeypatch.delenv("HIBANA_VASP_CMD", raising=False)
        if command:
            monkeypatch.setenv("HIBANA_VASP_CMD", command)
        return run_context(launchpad, {"_fw_env": env}, 1)

    def test_the_fworker_file_wins_over_the_environment(self, launchpad, monkeypatch):
        context = self.context(launchpad, {"vasp_cmd": "srun vasp_std", "cores": 32}, monkeypatch, "vasp")
        assert (context.vasp_cmd, context.cores, context.walltime) == ("srun vasp_std", 32, None)

    def test_threads_are_the_workers(self, launchpad, monkeypatch):
        context = self.context(
            launchpad, {"vasp_cmd": "srun -c {threads} -n {cores} vasp_std", "cores": 8, "threads": 4}, monkeypatch
        )
        assert (context.vasp_cmd, context.cores, context.threads) == ("srun -c 4 -n 8 vasp_std", 8, 4)
        assert self.context(launchpad, {}, monkeypatch, "vasp").threads == 1

    def test_the_environment_stands_in(self, launchpad, monkeypatch):
        assert self.context(launchpad, {}, monkeypatch, "vasp").vasp_cmd == "vasp"
        assert self.context(launchpad, None, monkeypatch).vasp_cmd is None

    @pytest.mark.parametrize("env", [{"cores": "many"}, {"cores": 0}, {"threads": 0}, {"walltime": -1}])
    def test_nonsense_is_a_numbered_error(self, launchpad, monkeypatch, env):
        with pytest.raises(HibanaError, match="HIB-113"):
            self.context(launchpad, env, monkeypatch)

    def test_the_walltime_counts_from_the_start_of_the_launcher(self, launchpad, monkeypatch):
        context = self.context(launchpad, {"walltime": 1e5}, monkeypatch)
        assert context.walltime == pytest.approx(1e5 - process_age(), abs=1.0)
        assert 0 < process_age() < 1e5

    def test_the_nearer_limit_counts(self):
        assert remaining_walltime(None, None) is None
        assert remaining_walltime(1e6, time.time() + 100) == pytest.approx(100, abs=1)
        assert remaining_walltime(None, time.time() - 5) == 0.0
