"""The bulk flow's branches: what runs after what, what is skipped and why, and what a later flow adds or keeps."""

from __future__ import annotations

import pytest
from laboratory import InfrastructureError, Laboratory, failed

from flow_documents import CANDIDATE, METAL, UNKNOWN, gapped
from hibana.core.errors import HibanaError
from hibana.documents.dielectric import DielectricDoc
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.material import MaterialDoc
from hibana.documents.optics import OpticsDoc
from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.flows.branches import BRANCHES, branches_of, flow_label, question_of, short_name, step_of
from hibana.flows.bulk import bulk_flow, decide
from hibana.flows.exchange import exchange_ratio
from hibana.flows.messages import Answer
from hibana.protocol.protocol import load_protocol

EPSILON = 3.2
TENSOR = tuple(tuple(EPSILON if row == column else 0.0 for column in range(3)) for row in range(3))
NO_GAP = {"edges": METAL}
DIELECTRIC = {"epsilon_electronic": TENSOR, "epsilon_ionic": TENSOR}


@pytest.fixture
def run(monkeypatch, tmp_path):
    def run_flow(label="bulk", before=None, **script) -> Laboratory:
        answers = {"dielectric": DIELECTRIC, **script.pop("answers", {})}
        laboratory = before or Laboratory()
        laboratory.answers, laboratory.asked = answers, []
        laboratory.moving = script.get("moving", 0)
        return laboratory.run(monkeypatch, tmp_path, label)

    return run_flow


def named(done: Laboratory) -> list[str]:
    return [step_of(a.task, a.functional, a.variant) for a in done.asked]


def asked(done: Laboratory, step: str):
    (found,) = [a for a in done.asked if step_of(a.task, a.functional) == step]
    return found


class TestLabels:
    """Names that a flow is submitted under."""

    def test_the_default_branches_have_the_plain_name(self):
        assert flow_label("bulk", ["optics", "ddh", "dielectric", "hse06", "dos", "band"]) == "bulk"
        assert flow_label("electronic") == "electronic"

    def test_what_a_branch_needs_is_added_in_one_order(self):
        assert flow_label("bulk", ["ddh"]) == flow_label("bulk", ["dielectric", "ddh", "band"]) == "bulk:band+dielectric+ddh"
        assert branches_of("bulk:band+dielectric+ddh") == ("band", "dielectric", "ddh")
        assert flow_label("bulk:ddh") == "bulk:band+dielectric+ddh"

    @pytest.mark.parametrize(
        ("flow", "branches", "code"),
        [
            ("nope", None, "HIB-096"),
            ("bulk", ["nope"], "HIB-099"),
            ("bulk:nope", None, "HIB-099"),
            ("bulk", [], "HIB-100"),
            ("electronic", ["optics"], "HIB-100"),
            ("electronic:band", None, "HIB-100"),
            ("bulk:band", ["dos"], "HIB-100"),
        ],
    )
    def test_what_cannot_be_is_a_numbered_error(self, flow, branches, code):
        with pytest.raises(HibanaError, match=code):
            flow_label(flow, branches)

    def test_steps_and_questions_are_each_other_s_inverse(self):
        for protocol in (load_protocol("pbesol"), load_protocol("pbesol-demo")):
            for step in ("structure_opt", *(branch.step for branch in BRANCHES.values())):
                assert step_of(*question_of(step, protocol)) == step

    def test_a_protocol_without_perturbation_theory_uses_finite_fields(self):
        protocol = load_protocol("pbesol")
        rule = protocol.dielectric.model_copy(update={"method": "finite_field"})
        protocol = protocol.model_copy(update={"dielectric": rule})
        assert question_of("dielectric", protocol) == ("dielectric_finite_field", "pbesol")


def test_jobs_are_named_after_their_branches():
    flow = bulk_flow(CANDIDATE, "pbesol-demo", "gpaw-rehearsal")
    names = [job.name.removeprefix("MgO ") for job in flow.jobs]
    assert names == ["relax 1", "band", "dos", "dielectric", "decide hse06", "decide ddh", "decide optics", "collect"]
    assert flow.name == f"MgO bulk pbesol-demo {CANDIDATE.material_id}"


def test_only_the_dielectric_dependent_hybrid_waits_for_the_dielectric_run():
    flow = bulk_flow(CANDIDATE, "pbesol-demo", "gpaw-rehearsal")
    names = {job.uuid: job.name.removeprefix("MgO ") for job in flow.jobs}
    waits = {names[job.uuid]: {names[uuid] for uuid in parents} for job, parents in flow.iterflow()}
    assert waits["dielectric"] == {"relax 1"}
    assert waits["decide ddh"] == {"relax 1", "band", "dos", "dielectric"}
    assert waits["decide hse06"] == waits["decide optics"] == {"relax 1", "band", "dos"}
    assert waits["collect"] == set(names.values()) - {"collect"}


def test_gapped_goes_the_whole_way(run):
    hybrid = {"edges": gapped(7.9)}
    done = run(moving=1, answers={"ddh_nsc": hybrid, "hse06_nsc": {"edges": gapped(6.6)}})
    assert sorted(named(done)[2:]) == sorted(["band", "dos", "dielectric", "hse06_nsc", "ddh_nsc", "dielectric_function"])
    hybrid = asked(done, "ddh_nsc")
    assert hybrid.options == {"exchange_ratio": pytest.approx(1 / EPSILON)}
    addresses = done.documents[MaterialDoc].addresses
    assert hybrid.parents == (addresses["band"], addresses["dielectric"])
    assert asked(done, "dielectric").parents == asked(done, "band").parents == (addresses["structure_opt"],)
    assert asked(done, "dielectric").prior == asked(done, "dielectric_function").prior == asked(done, "band").prior
    assert done.documents[ElectronicDoc].band_gap_ddh_nsc == 7.9
    assert done.documents[ElectronicDoc].addresses["dielectric"] == addresses["dielectric"]
    assert done.documents[DielectricDoc].epsilon_electronic_average == pytest.approx(EPSILON)


def test_a_metal_of_the_relaxation_gets_no_perturbation_theory(run):
    done = run(answers=dict.fromkeys(("structure_opt", "band", "dos"), NO_GAP))
    assert named(done) == ["structure_opt", "band", "dos"]
    assert done.outcome == ("metal", "no gap")
    assert done.documents[DielectricDoc].status == "unavailable"
    assert "metal" in done.documents[DielectricDoc].reason
    assert done.documents[MaterialDoc].status == "complete"


def test_a_gap_that_is_unknown_to_the_relaxation_is_no_reason_to_skip(run):
    assert "dielectric" in named(run(answers={"structure_opt": {"edges": UNKNOWN}}))


def test_a_material_that_leaves_the_gapped_class_keeps_what_it_has(run):
    done = run(answers=dict.fromkeys(("band", "dos"), NO_GAP))
    assert named(done) == ["structure_opt", "band", "dos", "dielectric"]
    assert done.outcome == ("metal", "no gap; kept from before this was known: dielectric")
    document = done.documents[DielectricDoc]
    assert document.epsilon_electronic_average == pytest.approx(EPSILON)
    assert any("4.600 eV, but the band or dos run finds a metal" in flag for flag in document.flags)
    assert done.documents[MaterialDoc].reasons["ddh_nsc"] == "the band run and the dos run find a metal"
    assert done.documents[OpticsDoc].reason == "dielectric_function: the band run and the dos run find a metal"


@pytest.mark.parametrize(
    ("dielectric", "said"),
    [
        (failed(), "dielectric run: zpotrf: LAPACK failed"),
        (InfrastructureError("disk full"), "dielectric run: the dielectric run ended with an error"),
        ({"epsilon_electronic": None}, "no electronic tensor"),
        ({"epsilon_electronic": ((0.9, 0, 0), (0, 4.0, 0), (0, 0, 4.0))}, "an eigenvalue is 0.900, below 1"),
        ({"epsilon_electronic": ((-3.0, 0, 0), (0, -3.0, 0), (0, 0, -3.0))}, "below 1"),
    ],
)
def test_without_a_dielectric_constant_there_is_no_dielectric_dependent_hybrid(run, dielectric, said):
    done = run(answers={"dielectric": dielectric})
    assert "ddh_nsc" not in named(done)
    assert {"hse06_nsc", "dielectric_function"} <= set(named(done))
    document = done.documents[ElectronicDoc]
    assert document.status == "partial"
    assert said in document.reasons["ddh_nsc"]
    assert (document.band_gap_hse06_nsc, document.band_gap_ddh_nsc) == (4.6, None)
    assert done.outcome[0] == "partial"
    assert said in done.outcome[1]


def test_the_share_of_exact_exchange_is_three_over_the_trace():
    assert exchange_ratio(((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))) == 1.0
    assert exchange_ratio(((2.0, 0.5, 0), (0.5, 3.0, 0), (0, 0, 4.0))) == pytest.approx(1 / 3)
    for wrong in (float("nan"), float("inf"), 0.999, -3.0):
        with pytest.raises(ValueError, match=r"not finite|below 1"):
            exchange_ratio(((wrong, 0, 0), (0, 3.0, 0), (0, 0, 3.0)))


def test_branches_are_those_that_were_chosen(run):
    done = run("bulk:band+dielectric")
    assert named(done) == ["structure_opt", "band", "dielectric"]
    assert not isinstance(done.documents.get(OpticsDoc), OpticsDoc)
    assert done.documents[ElectronicDoc].status == "complete"


def test_a_flow_with_more_branches_adds_what_is_missing(run):
    before = run("electronic")
    first = set(before.tasks)
    done = run("bulk", before=before)
    assert sorted(named(done)) == ["ddh_nsc", "dielectric", "dielectric_function"]
    assert first < set(done.tasks)


def test_a_flow_with_fewer_branches_takes_nothing_away(run):
    before = run("bulk")
    documents = dict(before.documents)
    done = run("electronic", before=before)
    assert named(done) == []
    times = {"built_at"}
    for kind in (ElectronicDoc, RelaxationDoc, DielectricDoc, OpticsDoc):
        assert done.documents[kind].model_dump(exclude=times) == documents[kind].model_dump(exclude=times)
    assert done.documents[MaterialDoc].sources == documents[MaterialDoc].sources


def test_reasons_of_an_earlier_flow_stay_until_there_is_an_answer(run):
    before = run("bulk", answers={"dielectric": failed()})
    assert "ddh_nsc" in before.documents[ElectronicDoc].reasons
    kept = run("electronic", before=before)
    assert "LAPACK" in kept.documents[ElectronicDoc].reasons["ddh_nsc"]
    mended = run("bulk", before=kept)
    assert mended.documents[ElectronicDoc].reasons == {}
    assert mended.documents[ElectronicDoc].band_gap_ddh_nsc == 4.6


def test_a_job_that_ends_with_an_error_hides_no_earlier_answer(run):
    before = run("electronic")
    del before.tasks[before.documents[ElectronicDoc].addresses["dos"]]
    done = run("electronic", before=before, answers={"dos": InfrastructureError("disk full")})
    assert done.documents[ElectronicDoc].band_gap_pbesol == 4.6
    assert "dos" in done.documents[ElectronicDoc].reasons


def test_names_in_listings(run):
    done = run()
    names = sorted(short_name(task) for task in done.tasks.values())
    assert names == sorted(["relax 1", "band", "dos", "dielectric", "hse06", "ddh", "optics"])


@pytest.mark.parametrize("step", ["dielectric", "ddh_nsc", "dielectric_function"])
def test_the_walltime_is_no_failure(run, step):
    def answer(asked):
        ended = {"status": "walltime"} if asked.past.parts < 2 else {}
        return {**(DIELECTRIC if step == "dielectric" else {}), **ended}

    done = run(answers={step: answer})
    parts = [a for a in done.asked if step_of(a.task, a.functional) == step]
    assert [part.past.parts for part in parts] == [0, 1, 2]
    assert len({(part.parents, tuple(part.options.items()), part.variant) for part in parts}) == 1


def test_each_displacement_is_a_calculation_of_its_own(run):
    done = run("bulk:phonon")
    runs = [a for a in done.asked if a.task == "phonon_force"]
    assert [a.variant for a in runs] == ["001", "002"]
    assert {a.parents for a in runs} == {(done.documents[MaterialDoc].addresses["structure_opt"],)}
    assert all(len(a.crystal.species) == 8 and a.prior.band_gap == 4.6 for a in runs)
    assert runs[0].crystal != runs[1].crystal
    assert done.outcome[0] == "failed"
    assert done.outcome[1].startswith("phonon_force-001: the run has no forces; phonon_force-002: the run has no forces")


@pytest.mark.parametrize("forces", [failed(), InfrastructureError("disk full")])
def test_a_displacement_without_forces_is_a_reason_and_the_collector_runs(run, forces):
    done = run("bulk:phonon", answers={"phonon_force-002": forces})
    assert done.documents[DispersionDoc].status == "unavailable"
    assert "phonon_force-002: " in done.documents[DispersionDoc].reason
    assert set(done.documents[MaterialDoc].addresses) >= {"structure_opt", "phonon_force-001"}


def test_without_a_relaxed_cell_there_are_no_displacements(run):
    done = run("bulk:phonon", answers={"structure_opt": failed()})
    assert named(done) == ["structure_opt"]
    assert done.documents[DispersionDoc].reason.startswith("structure_opt: zpotrf")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"gap_class": "metal"}, "a metal on its mesh"),
        ({"epsilon_electronic": None}, "no electronic tensor"),
        ({"status": "failed", "reason": "LAPACK failed"}, "LAPACK failed"),
    ],
)
def test_no_dielectric_dependent_hybrid_without_a_sound_dielectric_run(change, why):
    band = Answer(status="converged", address="b", gap_class="gapped")
    sound = Answer(status="converged", address="d", gap_class="gapped", epsilon_electronic=TENSOR)
    runs = {"band": band.plain(), "dielectric": sound.model_copy(update=change).plain()}
    answer = decide.original({}, {}, "ddh", None, runs)
    assert answer["status"] == "skipped"
    assert why in answer["reason"]
