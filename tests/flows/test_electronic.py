"""The flow's decisions: jobs run by jobflow's local manager, calculations answered from a script."""

from __future__ import annotations

import pytest
from laboratory import InfrastructureError, Laboratory, failed

from flow_documents import CANDIDATE, METAL, MGO, UNKNOWN, gapped, task
from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.documents.spec import Prior
from hibana.flows.bulk import bulk_flow


@pytest.fixture
def run(monkeypatch, tmp_path):
    return lambda **script: Laboratory(**script).run(monkeypatch, tmp_path, "electronic")


def test_names_are_those_of_the_listings():
    flow = bulk_flow(CANDIDATE, "pbesol-demo", "gpaw-rehearsal", "electronic")
    assert [job.name for job in flow.jobs] == ["MgO relax 1", "MgO band", "MgO dos", "MgO decide", "MgO collect"]
    assert flow.name == f"MgO electronic pbesol-demo {CANDIDATE.material_id}"


def test_gapped_goes_the_whole_way(run):
    done = run(moving=2, answers={"hse06_nsc": {"edges": gapped(6.6)}})
    assert done.steps() == [
        "structure_opt pbesol 1",
        "structure_opt pbesol 2",
        "structure_opt pbesol 3",
        "band pbesol 1",
        "dos pbesol 1",
        "band hse06_nsc 1",
    ]
    assert done.outcome == ("done", "every step has its answer")
    assert done.documents[RelaxationDoc].n_rounds == 3
    assert done.documents[ElectronicDoc].band_gap_hse06_nsc == 6.6


def test_prior_knowledge_and_parents_travel_as_arguments(run):
    done = run(moving=1)
    first, second, band, dos, hybrid = done.asked
    assert (first.prior, first.parents) == (Prior(), ())
    assert second.prior == Prior(band_gap=4.6, vbm=1.0, cbm=5.6)
    assert second.parents == ("structure_opt 1 after ",)
    relaxed = ("structure_opt 2 after structure_opt 1 after ",)
    assert band.parents == dos.parents == relaxed
    assert band.prior == dos.prior == hybrid.prior == second.prior
    assert hybrid.parents == (f"band 1 after {relaxed[0]}",)


def test_each_round_starts_from_the_cell_before(run):
    cells = [MGO.model_copy(update={"lattice": ((0.0, a, a), (a, 0.0, a), (a, a, 0.0))}) for a in (2.0, 2.1)]
    done = run(moving=1, answers={"structure_opt": lambda asked: {"final": cells[asked.round - 1]}})
    assert done.asked[1].crystal == cells[0]
    assert done.asked[2].crystal == done.asked[3].crystal == done.asked[4].crystal == cells[1]


def test_nsw_reached_is_another_round(run):
    done = run(answers={"structure_opt": lambda asked: {"status": "ionic_limit", "n_ionic_steps": 20} if asked.round < 3 else {}})
    assert done.steps().count("structure_opt pbesol 3") == 1
    assert done.outcome[0] == "done"


def test_metal_stops_with_that_answer(run):
    done = run(answers={"band": {"edges": METAL}, "dos": {"edges": METAL}})
    assert "band hse06_nsc 1" not in done.steps()
    assert done.outcome == ("metal", "no gap")
    assert done.documents[ElectronicDoc].gap_class == "metal"


@pytest.mark.parametrize("band", [failed(), {"edges": UNKNOWN}, {"status": "electronic_limit"}, InfrastructureError("disk full")])
def test_unknown_is_no_metal_and_gets_no_hybrid(run, band):
    done = run(answers={"band": band})
    assert "band hse06_nsc 1" not in done.steps()
    assert done.outcome[0] == "failed"
    assert "band" in done.outcome[1]
    assert done.documents[ElectronicDoc].gap_class == "unknown"
    assert done.documents[ElectronicDoc].band_gap_pbesol is None
    assert done.documents[RelaxationDoc].status == "complete"


@pytest.mark.parametrize(
    ("relaxation", "said"),
    [(failed(), "zpotrf: LAPACK failed"), ({"status": "electronic_limit"}, "NELM"), (InfrastructureError("disk full"), "error")],
)
def test_a_failed_relaxation_ends_in_a_reason_and_nothing_else_is_run(run, relaxation, said):
    done = run(answers={"structure_opt": relaxation})
    assert done.steps() == ["structure_opt pbesol 1"]
    assert done.outcome[0] == "failed"
    assert said in done.outcome[1]
    assert done.outcome[1].startswith("relaxation: ")


def test_a_relaxation_that_never_settles_is_given_up_after_the_protocol_s_rounds(run):
    done = run(moving=1000)
    assert len(done.asked) == 10
    assert done.documents[RelaxationDoc].status == "unavailable"
    assert done.documents[ElectronicDoc].status == "unavailable"
    assert "first ionic step" in done.outcome[1]


@pytest.mark.parametrize("hybrid", [failed(), InfrastructureError("disk full")])
def test_a_failed_hybrid_leaves_the_semilocal_answer(run, hybrid):
    done = run(answers={"hse06_nsc": hybrid})
    assert done.outcome[0] == "partial"
    assert "hse06_nsc" in done.outcome[1]
    assert done.documents[ElectronicDoc].band_gap_pbesol == 4.6
    assert done.documents[ElectronicDoc].band_gap_hse06_nsc is None


@pytest.mark.parametrize("step", ["structure_opt", "band", "hse06_nsc"])
def test_the_walltime_is_no_failure(run, step):
    """Two parts end at the walltime; the third goes on from there, and cost and corrections are summed."""

    def answer(asked):
        machine = task(step).machine.model_copy(update={"core_hours": asked.past.core_hours + 0.5, "directory": "/part"})
        if asked.past.parts < 2:
            return {"status": "walltime", "machine": machine, "n_ionic_steps": 2}
        return {"machine": machine}

    done = run(answers={step: answer})
    parts = [asked for asked in done.asked if (asked.functional if step == "hse06_nsc" else asked.task) == step]
    parts = [part for part in parts if (part.functional == "hse06_nsc") == (step == "hse06_nsc")]
    assert [part.past.parts for part in parts] == [0, 1, 2]
    assert len({(part.round, part.parents, part.crystal) for part in parts}) == 1
    assert parts[2].past.directory == "/part"
    assert parts[2].past.core_hours == pytest.approx(1.0)
    assert done.outcome[0] == "done"
    finished = [item for item in done.tasks.values() if item.machine.directory == "/part"]
    assert [item.machine.core_hours for item in finished] == [pytest.approx(1.5)]


def test_a_relaxation_goes_on_from_the_last_cell(run):
    cell = MGO.model_copy(update={"lattice": ((0.0, 2.0, 2.0), (2.0, 0.0, 2.0), (2.0, 2.0, 0.0))})

    def answer(asked):
        return {"status": "walltime", "final": cell, "n_ionic_steps": 3} if asked.past.parts == 0 else {}

    done = run(answers={"structure_opt": answer})
    assert done.asked[1].past.crystal == cell
    assert done.asked[1].crystal == MGO
