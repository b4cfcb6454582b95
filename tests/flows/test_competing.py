"""The flow of a competing phase: what is asked of the code, and what goes on after the walltime."""

from __future__ import annotations

from dataclasses import replace

import pytest
from jobflow import JobStore, run_locally
from laboratory import InfrastructureError, Laboratory, failed
from maggma.stores import MemoryStore
from potcars import write_library

from flow_documents import CANDIDATE, METAL
from hibana.core.errors import HibanaError
from hibana.flows import oxygen, relax
from hibana.flows.branches import short_name, step_of
from hibana.flows.competing import competing_flow
from hibana.flows.context import RunContext, use_context
from hibana.protocol.protocol import load_protocol

LABEL = "competing:Mg+O"
DEMO = load_protocol("pbesol-demo")


class OxygenLaboratory(Laboratory):
    """A laboratory in which the molecule and the atom are told apart."""

    def carry_out(self, asked):
        if asked.task != oxygen.CLUSTER:
            return super().carry_out(asked)
        return super().carry_out(replace(asked, variant=f"{asked.variant} {asked.material.formula}"))


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(write_library(tmp_path / "potcars")))

    def run_flow(label=LABEL, moving=0, **answers) -> Laboratory:
        laboratory = OxygenLaboratory(answers={name.replace("_opt_", "_opt-"): item for name, item in answers.items()})
        laboratory.moving = moving
        monkeypatch.setattr(relax, "carry_out", laboratory.carry_out)
        monkeypatch.setattr(oxygen, "carry_out", laboratory.carry_out)
        flow = competing_flow(CANDIDATE, "pbesol-demo", "gpaw-rehearsal", label)
        with use_context(RunContext(store=laboratory)):
            run_locally(flow, store=JobStore(MemoryStore()), log=False, root_dir=tmp_path)
        return laboratory

    return run_flow


def of_task(done: Laboratory, task: str):
    return [asked for asked in done.asked if asked.task == task]


def test_a_phase_is_relaxed_to_the_end_and_oxygen_calculated_at_the_same_cutoff(run):
    done = run(moving=1)
    assert [asked.round for asked in of_task(done, "structure_opt")] == [1, 2]
    clusters = of_task(done, "cluster_opt")
    assert [asked.material.formula for asked in clusters] == ["O2", "O"]
    for asked in clusters:
        assert asked.options == {"cutoff_energy": 260.0, "incar": {"NUPDOWN": 2.0}}
        assert asked.variant.startswith("encut260")
        assert sum(asked.crystal.magmoms) == 2
        assert asked.parents == ()
        assert asked.crystal.lattice[2][2] == DEMO.defects.oxygen_box[2]
    assert done.outcome == ("done", "every step has its answer")


def test_its_own_cutoff_makes_it_the_ordinary_relaxation(run):
    (asked,) = of_task(run(), "structure_opt")
    assert (asked.variant, asked.options) == ("", {})


def test_every_round_is_at_the_common_cutoff(run, monkeypatch, tmp_path):
    place = tmp_path / "potcars" / "POT_GGA_PAW_PBE_54" / "Zn" / "POTCAR"
    place.write_text(place.read_text().replace("200.000;", "300.000;"))
    done = run("competing:Mg+O+Zn", structure_opt_encut390=lambda asked: {"n_ionic_steps": 1 if asked.round == 2 else 4})
    assert [(asked.round, asked.variant, asked.options) for asked in of_task(done, "structure_opt")] == [
        (number, "encut390", {"cutoff_energy": 390.0}) for number in (1, 2)
    ]
    assert {asked.options["cutoff_energy"] for asked in of_task(done, "cluster_opt")} == {390.0}
    (last,) = [task for task in done.tasks.values() if task.task == "structure_opt" and task.round == 2]
    assert step_of(last.task, last.functional, last.variant) == "structure_opt-encut390"
    assert short_name(last) == "relax 2 encut390"


def test_a_metal_is_a_phase_like_any_other(run):
    assert run(structure_opt={"edges": METAL}).outcome[0] == "done"


def test_oxygen_goes_on_after_the_walltime(run):
    def once(asked):
        return {"status": "walltime", "electronic_converged": False} if asked.past.parts == 0 else {}

    done = run(**{"cluster_opt-encut260 O2": once})
    molecules = [asked for asked in of_task(done, "cluster_opt") if asked.material.formula == "O2"]
    assert [asked.past.parts for asked in molecules] == [0, 1]
    assert done.outcome[0] == "done"


@pytest.mark.parametrize(
    ("answers", "state", "reason"),
    [
        ({"structure_opt": failed()}, "failed", "relaxation: "),
        ({"structure_opt": InfrastructureError("no disk")}, "failed", "relaxation: "),
        ({"cluster_opt-encut260 O": failed()}, "partial", "oxygen atom: "),
        ({"cluster_opt-encut260 O2": InfrastructureError("no disk")}, "partial", "oxygen molecule: "),
    ],
)
def test_what_fails_is_told_and_the_rest_is_done(run, answers, state, reason):
    done = run(**answers)
    assert done.outcome[0] == state
    assert done.outcome[1].startswith(reason)
    assert len(done.asked) == 3


def test_a_phase_outside_the_system_is_refused():
    with pytest.raises(HibanaError, match="HIB-102"):
        competing_flow(CANDIDATE, "pbesol-demo", "gpaw-rehearsal", "competing:O+Zn")
