"""Competing phases found in a real store for a host: which runs are taken, what was asked for, and hosts built again later."""

from __future__ import annotations

import hashlib

import pytest

from flow_documents import CANDIDATE, MATERIAL, NOW, task
from hibana.defects.competing import own_phases
from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.chemical_potentials import ChemicalPotentialDoc, EnergyTable, GivenEnergy
from hibana.documents.crystal import Crystal
from hibana.documents.task import Failure, Inputs
from hibana.documents.vacancy import VacancyDoc, VacancySummaryDoc
from hibana.flows.evidence import gather
from hibana.flows.oxygen import oxygen_cell
from hibana.flows.phases import with_competing_phases
from hibana.flows.rebuild import Target, rebuild
from hibana.properties.evidence import Evidence
from hibana.protocol.protocol import load_protocol
from hibana.store.owner import Owner

PROTOCOL = load_protocol("pbesol-demo")
CALCULATOR = "gpaw-rehearsal"
SERIES = {"protocol": PROTOCOL.name, "protocol_version": PROTOCOL.version, "calculator": CALCULATOR}
COMMON, SUPERCELL = 520.0, 400.0
MOLECULE, ATOM = -5.0, -1.6
HOST = "h" * 64
FAILED = {"status": "failed", "failure": Failure(kind="zpotrf", message="LAPACK failed")}
SYSTEM = "competing:Mg+O"


class Shelf:
    """Fills a store with crystals and their relaxations."""

    def __init__(self, store) -> None:
        self.store = store

    def candidate(self, formula: str, species: tuple[str, ...], flow: str | None = SYSTEM, space_group: int = 1, **series) -> str:
        name = f"hib-{hashlib.sha256(formula.encode()).hexdigest()[:16]}"
        places = tuple((0.1 * number, 0.0, 0.0) for number in range(len(species)))
        crystal = Crystal(lattice=((9, 0, 0), (0, 9, 0), (0, 0, 9)), species=species, frac_coords=places)
        about = {"formula": formula, "elements": tuple(sorted(set(species))), "n_sites": len(species), "crystal": crystal}
        more = {"material_id": name, "structure_key": name * 2, "space_group_number": space_group, "space_group_symbol": "P1"}
        self.store.add_candidate(CandidateDoc(**about, **more, sources=(f"{formula}.cif",)))
        if flow is not None:
            self.store.record_submissions([name], Submission(flow=flow, submitted_at=NOW, **SERIES | series))
        return name

    def put(self, step: str, address: str, **changes) -> None:
        made = task(step, address=address, **changes)
        assert self.store.complete(made, {}, self.store.claim(address, owner=Owner.here()))

    def relaxation(self, formula: str, species: tuple[str, ...], energy: float, cutoff: float = COMMON, **changes) -> None:
        candidate = self.store.candidate(f"hib-{hashlib.sha256(formula.encode()).hexdigest()[:16]}")
        about = {"formula": formula, "elements": candidate.elements, "n_sites": len(species), "energy_per_atom": energy}
        about |= {"initial": candidate.crystal, "final": candidate.crystal, "inputs": at(cutoff)}
        address = changes.pop("address", hashlib.sha256(f"{formula} {cutoff}".encode()).hexdigest())
        self.put("structure_opt", address, material_id=candidate.material_id, **about | changes)

    def magnesium(self, cutoff: float = COMMON, flow: str | None = SYSTEM, energy: float = -1.6, **changes) -> None:
        self.candidate("Mg", ("Mg",), flow)
        self.relaxation("Mg", ("Mg",), energy, cutoff, **changes)

    def oxygen(self, cutoff: float = COMMON) -> None:
        for which, energy in (("molecule", MOLECULE), ("atom", ATOM)):
            cell = oxygen_cell(which, PROTOCOL)
            about = {"material_id": cell.material.material_id, "formula": cell.material.formula, "elements": ("O",)}
            about |= {"task": "cluster_opt", "variant": f"encut{cutoff:g}", "magnetization": 2.0, "inputs": at(cutoff)}
            about |= {"n_sites": len(cell.crystal.species), "initial": cell.crystal, "final": cell.crystal}
            self.put("structure_opt", f"{which}{cutoff:g}".ljust(64, "0"), **about, energy_per_atom=energy)

    def host(self, asked: bool = False) -> None:
        self.store.add_candidate(CANDIDATE)
        for flow in ("bulk:vacancy", *((SYSTEM,) if asked else ())):
            self.store.record_submissions([MATERIAL.material_id], Submission(flow=flow, submitted_at=NOW, **SERIES))
        self.put("structure_opt", HOST, energy_per_atom=-6.3, inputs=at(COMMON))

    def around(self):
        """What the store has around the host."""
        host = self.store.task(HOST)
        return own_phases(with_competing_phases(self.store, Evidence(MATERIAL, PROTOCOL, {"structure_opt": host}, NOW)))


def at(cutoff: float) -> Inputs:
    return Inputs(incar={}, kpoints={}, potcars=(), encut=cutoff)


@pytest.fixture
def shelf(store) -> Shelf:
    return Shelf(store)


def test_every_crystal_of_the_elements_is_found_whoever_asked_for_it(shelf):
    shelf.host()
    shelf.magnesium(flow="bulk")
    shelf.oxygen()
    shelf.candidate("MgO2", ("Mg", "O", "O"), None)
    shelf.relaxation("MgO2", ("Mg", "O", "O"), -5.5)
    shelf.candidate("ZnO", ("Zn", "O"), None)
    shelf.relaxation("ZnO", ("Zn", "O"), -5.5)
    found = shelf.around()
    assert [phase.formula for phase in found.phases] == ["Mg", "MgO2"]
    assert (found.oxygen.molecule, found.oxygen.atom_energy) == (MOLECULE, ATOM)
    assert (found.lacking, found.left_out, found.is_asked) == ((), (), True)


def test_of_another_series_nothing_is_taken(shelf):
    shelf.host()
    shelf.magnesium(protocol="pbesol")
    shelf.oxygen()
    found = shelf.around()
    assert (found.phases, found.lacking) == ((), ("Mg",))


def test_the_run_at_the_common_cutoff_counts_and_of_those_the_settled_one(shelf):
    shelf.host()
    shelf.magnesium(cutoff=260.0, energy=-9.0)
    shelf.relaxation("Mg", ("Mg",), -9.0, address="a" * 64, n_ionic_steps=5)
    shelf.relaxation("Mg", ("Mg",), -1.6, address="b" * 64)
    (phase,) = shelf.around().phases
    assert (phase.energy, phase.source) == (-1.6, "b" * 64)


@pytest.mark.parametrize("asked", [True, False])
def test_only_where_phases_were_asked_for_there_is_to_be_a_diagram(shelf, asked):
    shelf.host(asked=asked)
    shelf.magnesium(cutoff=260.0, flow="bulk")
    shelf.oxygen()
    found = shelf.around()
    assert found.is_asked == asked
    assert [(item.formula, item.kind, item.asked) for item in found.left_out] == [("Mg", "different_cutoffs", asked)]


def test_a_system_that_lacks_an_element_of_the_host_asks_for_nothing(shelf):
    shelf.host()
    shelf.magnesium(cutoff=390.0, flow="competing:Mg+Zn")
    assert not shelf.around().is_asked


def test_an_element_that_nobody_has_submitted_and_oxygen_are_named(shelf):
    shelf.host(asked=True)
    found = shelf.around()
    assert [(item.formula, item.kind) for item in found.left_out] == [
        *(("Mg", "not_calculated"), ("O2", "not_calculated"), ("O", "not_calculated")),
    ]
    assert "no crystal of it was submitted" in found.left_out[0].reason


def test_a_phase_that_waits_or_failed_is_left_out_with_its_reason(shelf):
    shelf.host()
    shelf.magnesium()
    shelf.oxygen()
    shelf.candidate("MgO2", ("Mg", "O", "O"))
    assert [(item.formula, item.reason) for item in shelf.around().left_out] == [("MgO2", "submitted, not calculated yet")]
    shelf.relaxation("MgO2", ("Mg", "O", "O"), -5.5, **FAILED)
    assert [(item.kind, item.reason) for item in shelf.around().left_out] == [("failed", "zpotrf: LAPACK failed")]


class TestGather:
    """The evidence and the documents of a host whose vacancies were asked for."""

    def vacancies(self, shelf) -> None:
        shelf.host(asked=True)
        for step in ("band", "dos"):
            shelf.put(step, step.ljust(64, "0"), parents=(HOST,), magnetization=0.0, inputs=at(SUPERCELL))
        shelf.put("supercell", "s" * 64, task="defect", variant="perfect", parents=(HOST,), inputs=at(SUPERCELL), **FAILED)
        shelf.oxygen(SUPERCELL)

    def test_a_host_without_vacancies_needs_no_phases(self, shelf):
        shelf.host()
        shelf.magnesium()
        assert set(gather(shelf.store, MATERIAL, PROTOCOL, CALCULATOR).tasks) == {"structure_opt"}

    @pytest.mark.parametrize(("space_group", "is_there"), [(186, True), (216, False)])
    def test_wurtzite_zno_of_the_series_is_the_common_reference(self, shelf, space_group, is_there):
        self.vacancies(shelf)
        zno = shelf.candidate("ZnO", ("Zn", "O"), "bulk", space_group)
        shelf.relaxation("ZnO", ("Zn", "O"), -5.5, address="z" * 64)
        about = {"material_id": zno, "formula": "ZnO", "parents": ("z" * 64,)}
        shelf.put("dos", "d" * 63 + "z", **about)
        shelf.put("supercell", "s" * 63 + "z", task="defect", variant="perfect", **about)
        found = gather(shelf.store, MATERIAL, PROTOCOL, CALCULATOR)
        of_zno = {step: run.address for step, run in found.tasks.items() if step.startswith("reference-")}
        assert of_zno == ({"reference-structure_opt": "z" * 64, "reference-dos": "d" * 63 + "z"} if is_there else {})
        assert ("reference" in found.reasons) is not is_there

    def test_a_reference_that_comes_later_takes_the_reason_away(self, shelf):
        self.vacancies(shelf)
        target = Target(MATERIAL.material_id, PROTOCOL.name, PROTOCOL.version, CALCULATOR)
        rebuild(shelf.store, target, PROTOCOL)
        for document in shelf.store.properties(VacancyDoc):
            assert document.reasons["reference"] == "no ZnO of space group 186 is relaxed by this protocol and code"
        shelf.candidate("ZnO", ("Zn", "O"), "bulk", 186)
        shelf.relaxation("ZnO", ("Zn", "O"), -5.5)
        rebuild(shelf.store, target, PROTOCOL)
        for document in shelf.store.properties(VacancyDoc):
            assert "no ZnO" not in document.reasons["reference"]

    def test_a_user_s_table_goes_before_our_own(self, shelf):
        self.vacancies(shelf)
        shelf.magnesium()
        table = EnergyTable(source="t.csv", phases=(GivenEnergy(formula="Mg", energy=-1.6, kind="total", source="t"),))
        found = gather(shelf.store, MATERIAL, PROTOCOL, CALCULATOR, energies=table)
        assert not [step for step in found.tasks if step.startswith("competing-")]

    def test_phases_that_come_later_are_taken_when_the_host_is_built_again(self, shelf):
        self.vacancies(shelf)
        target = Target(MATERIAL.material_id, PROTOCOL.name, PROTOCOL.version, CALCULATOR)
        rebuild(shelf.store, target, PROTOCOL)
        (before,) = shelf.store.properties(ChemicalPotentialDoc)
        assert (before.status, before.energy_above_hull) == ("unavailable", None)
        assert {item.status for item in before.chemical_potentials.diagrams} == {"missing_element"}
        (summary,) = shelf.store.properties(VacancySummaryDoc)
        assert any("no energy of Mg is known" in flag or "oxygen: not calculated" in flag for flag in summary.flags)

        shelf.magnesium()
        shelf.oxygen(COMMON)
        again = rebuild(shelf.store, target, PROTOCOL)
        assert "chemical_potentials" in again.changed
        (after,) = shelf.store.properties(ChemicalPotentialDoc)
        assert (after.status, after.reason, after.flags, after.cutoff) == ("complete", None, (), COMMON)
        assert after.chemical_potentials.diagram("molecule").limit("O-poor").chemical_potentials["O"] == pytest.approx(-6.0)
        assert after.chemical_potentials.oxygen.molecule == MOLECULE
        assert len([step for step in after.addresses if step.startswith("competing-")]) == 3
        (summary,) = shelf.store.properties(VacancySummaryDoc)
        assert summary.flags == ()
        assert all(not step.startswith("competing") for doc in shelf.store.properties(VacancyDoc) for step in doc.reasons)
        assert rebuild(shelf.store, target, PROTOCOL).changed == ()
