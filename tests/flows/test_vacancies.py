"""The branch of vacancies: the gate, what runs with which charge, what goes on, and what becomes of those that fail."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from laboratory import InfrastructureError, Laboratory, failed
from potcars import write_library
from pymatgen.core import SETTINGS

from flow_documents import CANDIDATE, METAL, NOW, UNKNOWN, task
from hibana.defects.oxygen import MEASURED_BINDING
from hibana.documents.candidate import Submission
from hibana.documents.chemical_potentials import ChemicalPotentialDoc, EnergyTable, GivenEnergy
from hibana.documents.material import MaterialDoc
from hibana.documents.task import Inputs
from hibana.documents.vacancy import SupercellDoc, VacancyDoc, VacancySummaryDoc
from hibana.flows import collect, vacancies
from hibana.flows.branches import branches_of, short_name, step_of
from hibana.flows.bulk import bulk_flow
from hibana.flows.evidence import recorded
from hibana.flows.execution import protocol_of
from hibana.flows.messages import Past
from hibana.flows.parts import past_after
from hibana.protocol.protocol import load_protocol
from hibana.tables.left_out import LeftOut
from hibana.tables.registry import TABLES
from hibana.tables.rows import rows
from hibana.tables.series import Series
from vacancy_runs import DIELECTRIC, OXYGEN, Shelf, perfect_run, vacancy_run

LABEL = "bulk:band+dos+dielectric+ddh+vacancy"
ATOM = -1.6
FREQUENCIES = np.array([0.0, 0.0, 0.0, 12.0, 12.0, 12.0])
NAMES = ("Va_O1_0", "Va_O1_1", "Va_O1_2")
STEPS = ("supercell", *(f"vacancy-{name}" for name in NAMES))
ENERGIES = EnergyTable(
    source="energies.csv",
    phases=tuple(
        GivenEnergy(formula=formula, energy=energy, kind="total", source="test")
        for formula, energy in (("Mg", -1.6), ("O", OXYGEN), ("MgO", -6.3))
    ),
)


class VacancyLaboratory(Laboratory):
    """Answers supercells by simple laws, each relaxed to where its start has it."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.changes: dict = {}
        self.is_metal = False
        self.unlike: tuple[str, ...] = ()

    def array(self, ref):
        return self.shelf.get(ref)

    def dielectric(self):
        unit = 2 * np.eye(3)
        return DIELECTRIC | {"arrays": self.shelf.put(born_charges=np.array([unit, -unit]), gamma_frequencies=FREQUENCIES)}

    def vacancy(self, step):
        def answer(asked):
            if step == "supercell":
                made = perfect_run(self.shelf, asked.crystal, metal=self.is_metal)
            else:
                (hole,) = (run.final for run in self.tasks.values() if run.variant == "perfect")
                made = vacancy_run(self.shelf, asked.crystal, charge_of(asked), hole, unlike=asked.variant in self.unlike)
            change = self.changes.get(step, {})
            if isinstance(change, Exception):
                raise change
            return made | {"variant": asked.variant} | (change(asked) if callable(change) else change)

        return answer

    @property
    def vacancies(self) -> dict[str, VacancyDoc]:
        return {key[1]: document for key, document in self.documents.items() if isinstance(key, tuple)}


def oxygen(asked):
    """The molecule without an answer and the atom with one, at the cutoff of the supercells."""
    about = {"material_id": asked.material.material_id, "task": "cluster_opt", "variant": asked.variant, "magnetization": 2.0}
    about |= {"inputs": Inputs(incar={}, kpoints={}, potcars=(), encut=400.0), "n_sites": len(asked.crystal.species)}
    about |= {"energy": ATOM, "energy_per_atom": ATOM}
    return about | (failed() if len(asked.crystal.species) == 2 else {})


@pytest.fixture
def run(monkeypatch, tmp_path):
    def run_flow(before=None, energies=ENERGIES, host=None, label=LABEL, answers=None, **changes) -> VacancyLaboratory:
        laboratory = before or VacancyLaboratory()
        monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(write_library(tmp_path / "potcars")))
        laboratory.answers = {
            "cluster_opt-encut200": oxygen,
            "dielectric": laboratory.dielectric(),
            **{step: laboratory.vacancy(step) for step in STEPS},
            **(answers or {}),
        }
        laboratory.changes = {name.replace("_Va", "-Va"): change for name, change in changes.items()}
        laboratory.asked = []

        def protocol(series):
            loaded = protocol_of(series)
            rule = loaded.defects.model_copy(update={"oxygen_reference": "molecule"})
            return loaded.model_copy(
                update={"defects": rule.model_copy(update={"host": rule.host.model_copy(update=host or {})})}
            )

        for module in (vacancies, collect):
            monkeypatch.setattr(module, "protocol_of", protocol)
        return laboratory.run(monkeypatch, tmp_path, label, energies)

    return run_flow


def charge_of(asked) -> int:
    return int(asked.options.get("charge", 0))


def supercells(done: VacancyLaboratory):
    return [asked for asked in done.asked if asked.task == "defect"]


def test_the_branch_is_chosen_and_brings_what_it_needs():
    assert branches_of("bulk:vacancy") == branches_of(LABEL)
    assert "vacancy" not in branches_of("bulk")


def test_steps_of_supercells_have_their_names():
    assert step_of("defect", "pbesol", "perfect") == "supercell"
    assert step_of("defect", "pbesol", "Va_O1_2") == "vacancy-Va_O1_2"
    vacancy = task("vacancy-Va_O1_2", task="defect")
    assert short_name(vacancy) == "vacancy Va_O1_2"
    assert short_name(vacancy.model_copy(update={"round": 3})) == "vacancy Va_O1_2 3"
    assert short_name(task("supercell", task="defect", variant="perfect")) == "supercell"


def test_the_gate_waits_for_the_semilocal_gap_only():
    flow = bulk_flow(CANDIDATE, "pbesol-demo", "gpaw-rehearsal", LABEL)
    names = {job.uuid: job.name.removeprefix("MgO ") for job in flow.jobs}
    waits = {names[job.uuid]: {names[uuid] for uuid in parents} for job, parents in flow.iterflow()}
    assert waits["host"] == {"relax 1", "band", "dos"}
    assert waits["collect"] == set(names.values()) - {"collect"}
    assert "decide" in names.values()


def test_a_host_gets_its_supercell_and_every_vacancy_in_it(run):
    done = run()
    asked = supercells(done)
    assert [item.variant for item in asked] == ["perfect", *NAMES]
    assert [item.options for item in asked] == [{}, {}, {"charge": 1.0}, {"charge": 2.0}]
    relaxation = done.documents[MaterialDoc].addresses["structure_opt"]
    assert {item.parents for item in asked} == {(relaxation,)}
    assert {len(item.crystal.species) for item in asked} == {64, 63}
    assert len({item.crystal.frac_coords for item in asked}) == 4
    assert {item.prior.band_gap for item in asked} == {4.6}
    assert done.outcome == ("done", "every step has its answer")
    assert tuple(done.vacancies) == NAMES
    for name, document in done.vacancies.items():
        assert (document.status, document.edges, document.left_out) == ("complete", "ddh_nsc", None)
        (start,) = (item.crystal for item in asked if item.variant == name)
        assert document.initial == start
    assert done.documents[VacancySummaryDoc].status == "complete"
    assert done.documents[VacancySummaryDoc].oxygen_difference == pytest.approx(ATOM - MEASURED_BINDING - OXYGEN)
    cutoffs = {item.options["cutoff_energy"] for item in done.asked if item.task == "cluster_opt"}
    assert cutoffs == {200.0}
    assert done.documents[ChemicalPotentialDoc].chemical_potential_o_poor == pytest.approx(-6)


def test_a_rerun_adds_nothing_and_asks_the_same(run):
    protocol = load_protocol("pbesol-demo")
    answered = {"cluster_opt-encut200": lambda asked: oxygen(asked) | {"status": "converged", "failure": None}}
    first = run(answers=answered)
    before, documents = list(first.asked), dict(first.documents)
    again = run(before=first, answers=answered)
    assert again.asked == []
    times = {"built_at"}
    del documents[MaterialDoc]
    for key, document in documents.items():
        assert again.documents[key].model_dump(exclude=times) == document.model_dump(exclude=times)
    elsewhere = run()
    specs = [[item.spec(protocol) for item in asked if item.task == "defect"] for asked in (before, elsewhere.asked)]
    assert [spec.address for spec in specs[0]] == [spec.address for spec in specs[1]]
    assert len({spec.address for spec in specs[0]}) == 4
    assert [spec.crystal for spec in specs[0]] == [spec.crystal for spec in specs[1]]


def test_a_metal_is_no_host_and_no_worse_for_it(run):
    done = run(answers={step: {"edges": METAL} for step in ("structure_opt", "band", "dos")})
    assert supercells(done) == []
    assert done.outcome[0] == "metal"
    assert "no host of vacancies: min_gap: gap of 0 eV" in done.outcome[1]
    assert [verdict.rule for verdict in done.documents[SupercellDoc].refusals] == ["min_gap"]
    assert VacancySummaryDoc not in done.documents
    assert done.vacancies == {}


@pytest.mark.parametrize(
    ("host", "rules"),
    [
        ({"anions": ("S",)}, ["anions"]),
        ({"excluded_elements": ("Mg",)}, ["excluded_elements"]),
        ({"excluded_space_groups": (225,)}, ["excluded_space_groups"]),
        ({"max_atoms": 1}, ["max_atoms"]),
        ({"max_anion_sites": 0}, ["max_anion_sites"]),
        ({"min_gap": 5.0}, ["min_gap"]),
        ({"max_atoms": 1, "min_gap": 5.0}, ["max_atoms", "min_gap"]),
    ],
)
def test_a_refused_host_names_every_rule_and_is_done(run, host, rules):
    done = run(host=host)
    assert supercells(done) == []
    assert [verdict.rule for verdict in done.documents[SupercellDoc].refusals] == rules
    assert done.outcome[0] == "done"
    assert all(f"{rule}: " in done.outcome[1] for rule in rules)
    assert all(f"{rule}: " in done.documents[SupercellDoc].reasons["vacancy"] for rule in rules)


def test_a_magnet_is_refused(run):
    done = run(answers={"band": {"magnetization": 1.0}})
    assert [verdict.rule for verdict in done.documents[SupercellDoc].refusals] == ["magnetization"]


def test_a_gap_that_is_unknown_is_refused_and_a_later_run_mends_it(run):
    done = run(answers={"band": failed()})
    assert supercells(done) == []
    assert "the gap is unknown" in done.documents[SupercellDoc].reason
    assert done.outcome[0] == "partial"
    mended = run(before=done)
    assert tuple(mended.vacancies) == NAMES
    assert mended.documents[SupercellDoc].reasons == {}
    assert mended.outcome[0] == "done"


def test_without_a_relaxed_cell_there_is_no_supercell(run):
    done = run(answers={"structure_opt": failed()})
    assert supercells(done) == []
    assert done.outcome[0] == "failed"
    assert done.documents[SupercellDoc].reason.startswith("structure_opt: zpotrf")


@pytest.mark.parametrize("how", [{**failed(), "edges": UNKNOWN}, InfrastructureError("disk full")])
def test_a_charge_state_that_fails_is_a_reason_and_the_others_are_there(run, how):
    done = run(vacancy_Va_O1_1=how)
    assert len(supercells(done)) == 4
    lost = done.vacancies["Va_O1_1"]
    assert (lost.status, lost.left_out) == ("unavailable", "failed")
    assert ("LAPACK" if isinstance(how, dict) else "ended with an error") in lost.reason
    assert {done.vacancies[name].status for name in ("Va_O1_0", "Va_O1_2")} == {"complete"}
    assert done.outcome[0] == "partial"
    assert done.outcome[1].startswith("Va_O1_1: vacancy-Va_O1_1: ")
    mended = run(before=done)
    assert [item.variant for item in supercells(mended)] == ["Va_O1_1"]
    assert mended.outcome == ("done", "every step has its answer")
    assert "vacancy-Va_O1_1" not in mended.vacancies["Va_O1_1"].reasons


def test_without_the_perfect_supercell_every_vacancy_says_so(run):
    done = run()
    (perfect,) = (address for address, made in done.tasks.items() if made.variant == "perfect")
    done.tasks[perfect] = done.tasks[perfect].model_copy(update=failed())
    again = run(before=done, supercell=failed())
    assert [item.variant for item in supercells(again)] == ["perfect"]
    assert all(document.reason == "supercell: zpotrf: LAPACK failed" for document in again.vacancies.values())
    assert again.outcome[0] == "partial"


def test_band_edges_that_cannot_be_matched_are_a_reason(run):
    done = run(vacancy_Va_O1_2=lambda asked: {"arrays": {}})
    document = done.vacancies["Va_O1_2"]
    assert document.edge_state == "undetermined"
    assert "no eigenvalues" in document.edge_reason
    assert document.left_out is not None


def test_lattices_that_are_not_identical_are_a_reason(run):
    def stretched(asked):
        lattice = tuple(tuple(1.02 * x for x in row) for row in asked.crystal.lattice)
        return {"final": asked.crystal.model_copy(update={"lattice": lattice})}

    done = run(vacancy_Va_O1_0=stretched)
    assert done.vacancies["Va_O1_0"].left_out == "no_correction"
    assert "different lattice vectors" in done.vacancies["Va_O1_0"].reason
    assert done.outcome[0] == "partial"


def test_nsw_reached_is_another_round_from_the_last_cell(run):
    def moved(asked):
        ended = asked.round == 3
        shift = asked.crystal.frac_coords[0][0] + 0.001
        places = ((shift, *asked.crystal.frac_coords[0][1:]), *asked.crystal.frac_coords[1:])
        return {"final": asked.crystal.model_copy(update={"frac_coords": places})} | ({} if ended else {"status": "ionic_limit"})

    done = run(vacancy_Va_O1_1=moved)
    rounds = [item for item in supercells(done) if item.variant == "Va_O1_1"]
    assert [item.round for item in rounds] == [1, 2, 3]
    addresses = [address for address, made in done.tasks.items() if made.variant == "Va_O1_1"]
    assert [item.parents for item in rounds[1:]] == [(address,) for address in addresses[:2]]
    assert rounds[1].crystal == done.tasks[addresses[0]].final
    assert {charge_of(item) for item in rounds} == {1}
    assert {item.prior for item in rounds} == {rounds[0].prior}
    document = done.vacancies["Va_O1_1"]
    assert document.addresses["vacancy-Va_O1_1"] == addresses[2]
    assert document.initial == rounds[0].crystal
    assert document.status == "complete"


def test_rounds_without_end_are_given_up(run):
    done = run(vacancy_Va_O1_0=lambda asked: {"status": "ionic_limit"})
    limit = load_protocol("pbesol-demo").relaxation.max_rounds
    assert len([item for item in supercells(done) if item.variant == "Va_O1_0"]) == limit
    assert done.vacancies["Va_O1_0"].reason.endswith("the ionic steps reached NSW")


def test_the_walltime_is_no_failure(run):
    done = run(vacancy_Va_O1_2=lambda asked: {"status": "walltime"} if asked.past.parts < 2 else {})
    parts = [item for item in supercells(done) if item.variant == "Va_O1_2"]
    assert [item.past.parts for item in parts] == [0, 1, 2]
    assert {(charge_of(item), item.round, item.parents) for item in parts} == {(2, 1, parts[0].parents)}
    assert parts[1].past.crystal is not None
    assert done.vacancies["Va_O1_2"].status == "complete"


def test_a_part_of_a_supercell_s_relaxation_goes_on_from_its_last_cell(run):
    (asked, *_) = (item for item in supercells(run()) if item.variant == "Va_O1_2")
    ended = task("vacancy-Va_O1_2", status="walltime", n_ionic_steps=3)
    report = SimpleNamespace(seconds=60.0, corrections=())
    past = past_after(ended, asked, report, ended.machine)
    assert (past.crystal, past.idle_parts) == (ended.final, 0)
    assert asked.past == Past()


def test_without_a_table_of_energies_all_else_is_there(run):
    done = run(energies=None)
    for document in done.vacancies.values():
        assert (document.left_out, document.edge_state) == ("no_reference", "localised")
        assert document.correction is not None
    assert done.outcome[0] == "partial"
    assert "no energy of O in the standard state" in done.outcome[1]


def test_a_flow_without_the_branch_keeps_vacancies_and_the_table(run):
    before = run()
    documents = dict(before.documents)
    done = run(before=before, energies=None, label="bulk:band+dos")
    assert done.asked == []
    times = {"built_at"}
    for key in (*((VacancyDoc, name) for name in NAMES), SupercellDoc, ChemicalPotentialDoc, VacancySummaryDoc):
        assert done.documents[key].model_dump(exclude=times) == documents[key].model_dump(exclude=times)
    document = documents[SupercellDoc]
    known = recorded(done, document.material_id, document.protocol, document.protocol_version, document.calculator)
    assert known.energies == ENERGIES


class TestLeftOut:
    """What goes wrong ends in a document with a status, and in the list of what the table leaves out, with its reason."""

    @pytest.fixture
    def told(self, store):
        """Gives the left-out list of the documents of a flow, by part; the empty one is for the whole crystal."""

        def left_out(done: VacancyLaboratory) -> dict[str, LeftOut]:
            store.add_candidate(CANDIDATE)
            series = Series("pbesol-demo", load_protocol("pbesol-demo").version, "gpaw-rehearsal")
            store.record_submissions([CANDIDATE.material_id], Submission(flow=LABEL, submitted_at=NOW, **series.as_dict()))
            for key, document in done.documents.items():
                store.put_property(document, done.packed[key])
            found = rows(store, TABLES["oxygen_vacancy"], series)
            return {item.part: item for item in found if isinstance(item, LeftOut)}

        return left_out

    def test_nothing_is_left_out_where_all_is_well(self, run, told):
        assert told(run()) == {}

    def test_a_host_that_is_a_metal(self, run, told):
        done = run(answers={step: {"edges": METAL} for step in ("structure_opt", "band", "dos")})
        assert done.documents[SupercellDoc].status == "unavailable"
        (found,) = told(done).values()
        assert (found.part, found.code) == ("", "refused")
        assert "min_gap: gap of 0 eV" in found.reason

    def test_a_host_that_turns_metallic_in_its_supercell(self, run, told):
        laboratory = VacancyLaboratory()
        laboratory.is_metal = True
        done = run(before=laboratory)
        assert "the host is a metal in its supercell" in done.documents[SupercellDoc].flags
        assert {document.edge_state for document in done.vacancies.values()} == {"undetermined"}
        found = told(done)
        assert set(found) == set(NAMES)
        for item in found.values():
            assert item.code == "flagged"
            assert item.reason.startswith("undetermined: ")
            assert "the host is a metal in its supercell" in item.reason

    def test_band_edges_that_cannot_be_matched(self, run, told):
        laboratory = VacancyLaboratory()
        laboratory.unlike = ("Va_O1_1",)
        done = run(before=laboratory)
        document = done.vacancies["Va_O1_1"]
        assert (document.status, document.left_out) == ("partial", "undetermined")
        found = told(done)
        assert [(name, item.code) for name, item in found.items()] == [("Va_O1_1", "flagged")]
        assert found["Va_O1_1"].reason == f"undetermined: {document.edge_reason}"

    def test_a_charge_state_that_failed(self, run, told):
        done = run(vacancy_Va_O1_1=failed())
        assert done.vacancies["Va_O1_1"].status == "unavailable"
        found = told(done)
        assert [(name, item.code) for name, item in found.items()] == [("Va_O1_1", "unavailable")]
        assert found["Va_O1_1"].reason == "failed: vacancy-Va_O1_1: zpotrf: LAPACK failed"

    def test_lattices_that_are_not_identical(self, run, told):
        def stretched(asked):
            lattice = tuple(tuple(1.02 * x for x in row) for row in asked.crystal.lattice)
            return {"final": asked.crystal.model_copy(update={"lattice": lattice})}

        found = told(run(vacancy_Va_O1_2=stretched))
        assert [(name, item.code) for name, item in found.items()] == [("Va_O1_2", "unavailable")]
        assert found["Va_O1_2"].reason.startswith("no_correction: ")
        assert "different lattice vectors" in found["Va_O1_2"].reason

    def test_a_competing_phase_that_is_missing(self, run, told):
        without = ENERGIES.model_copy(update={"phases": tuple(item for item in ENERGIES.phases if item.formula != "Mg")})
        done = run(energies=without)
        document = done.documents[ChemicalPotentialDoc]
        assert (document.status, document.energy_above_hull) == ("unavailable", None)
        assert {item.status for item in document.chemical_potentials.diagrams} >= {"missing_element"}
        found = told(done)
        assert {item.code for item in found.values()} == {"flagged"}
        assert {item.reason for item in found.values()} == {"chemical potentials: missing element: no energy of Mg is known"}

    def test_a_host_that_is_not_stable(self, run, told):
        peroxide = GivenEnergy(formula="MgO2", energy=-8.0, kind="total", source="a peroxide")
        done = run(energies=ENERGIES.model_copy(update={"phases": (*ENERGIES.phases, peroxide)}))
        document = done.documents[ChemicalPotentialDoc]
        assert (document.status, document.chemical_potential_o_poor) == ("partial", None)
        assert document.energy_above_hull == pytest.approx(3.1 - 3.0)
        found = told(done)
        assert set(found) == set(NAMES)
        assert all(item.reason.startswith("chemical potentials: unstable: ") for item in found.values())
