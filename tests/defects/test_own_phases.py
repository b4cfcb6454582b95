"""Competing phases among hibana's own runs: diagrams by both references, and a kind and a reason for what cannot be used."""

from __future__ import annotations

import pytest

from flow_documents import MATERIAL, MGO, NOW, task
from hibana.defects.competing import diagram_flags, own_phases, own_potentials
from hibana.defects.curate import build_chemical_potentials
from hibana.defects.oxygen import MEASURED_BINDING
from hibana.documents.chemical_potentials import COMPETING_OXYGEN, ChemicalPotentialDoc
from hibana.documents.crystal import Crystal
from hibana.documents.task import Failure, Inputs
from hibana.properties.evidence import Evidence
from hibana.protocol.protocol import load_protocol

COMMON, SUPERCELL = 520.0, 400.0
MAGNESIUM, MOLECULE, ATOM, HOST = -1.6, -5.0, -1.6, -6.3
"""eV/atom; 3 eV/atom of formation energy of MgO by the molecule."""

PROTOCOL = load_protocol("pbesol-demo")
USED = PROTOCOL.defects.oxygen_reference
CUBE = ((9.0, 0.0, 0.0), (0.0, 9.0, 0.0), (0.0, 0.0, 9.0))
FAILED = {"status": "failed", "failure": Failure(kind="zpotrf", message="LAPACK failed")}


def at(cutoff: float | None) -> Inputs:
    return Inputs(incar={}, kpoints={}, potcars=(), encut=cutoff)


def phase(formula: str, energy: float, species: tuple[str, ...], cutoff: float = COMMON, **changes):
    places = tuple((0.1 * number, 0.0, 0.0) for number in range(len(species)))
    crystal = Crystal(lattice=CUBE, species=species, frac_coords=places)
    about = {"formula": formula, "elements": tuple(sorted(set(species))), "n_sites": len(species), "initial": crystal}
    about |= {"final": crystal, "energy": energy * len(species), "energy_per_atom": energy, "inputs": at(cutoff)}
    return task("structure_opt", **about | {"address": f"address of {formula}"} | changes)


def oxygen(cutoff: float = COMMON, **changes):
    triplet = {"task": "cluster_opt", "magnetization": 2.0}
    return {
        COMPETING_OXYGEN["molecule"]: phase("O2", MOLECULE, ("O", "O"), cutoff, **triplet | changes),
        COMPETING_OXYGEN["atom"]: phase("O", ATOM, ("O",), cutoff, **triplet | changes),
    }


def evidence(reasons=None, host=HOST, **phases) -> Evidence:
    """A host with runs under ``competing-…``; by default all of Mg-O there are."""
    tasks = {"structure_opt": task("structure_opt", final=MGO, energy=2 * host, energy_per_atom=host, inputs=at(COMMON))}
    known = {"competing-Mg-1": phase("Mg", MAGNESIUM, ("Mg",)), **oxygen()}
    known |= {name.replace("_", "-", 2) if name.startswith("competing_") else name: run for name, run in phases.items()}
    return Evidence(MATERIAL, PROTOCOL, tasks | {step: run for step, run in known.items() if run}, NOW, reasons=reasons or {})


def document(found: Evidence) -> ChemicalPotentialDoc:
    return build_chemical_potentials(found).document


def test_both_references_have_their_diagram_from_our_own_runs():
    made = document(evidence())
    by = {item.oxygen_reference: item for item in made.chemical_potentials.diagrams}
    depth = {which: item.limit("O-poor").chemical_potentials["O"] for which, item in by.items()}
    assert depth["molecule"] == pytest.approx(2 * HOST - MAGNESIUM - MOLECULE)
    assert depth["atom"] == pytest.approx(2 * HOST - MAGNESIUM - (ATOM - MEASURED_BINDING))
    assert {which: item.standard_energies["O"] for which, item in by.items()} == pytest.approx(
        {"molecule": MOLECULE, "atom": ATOM - MEASURED_BINDING}
    )
    assert (made.status, made.reason, made.flags) == ("complete", None, ())
    assert (made.energy_above_hull, made.chemical_potential_o_rich) == (0, pytest.approx(0))
    assert made.chemical_potential_o_poor == pytest.approx(depth[USED])
    assert (made.source, made.given, made.cutoff) == (None, None, COMMON)
    runs = {step: address for step, address in made.addresses.items() if step.startswith("competing-")}
    assert runs == {"competing-Mg-1": "address of Mg"} | {
        COMPETING_OXYGEN["molecule"]: "address of O2",
        COMPETING_OXYGEN["atom"]: "address of O",
    }
    sources = {item.formula: item.source for item in by[USED].phases}
    assert sources["Mg"] == "address of Mg"


def test_the_diagram_does_not_depend_on_the_zero_of_energies():
    shift = 3.7
    moved = {step: run.model_copy(update={"energy_per_atom": run.energy_per_atom + shift}) for step, run in oxygen().items()}
    moved["competing-Mg-1"] = phase("Mg", MAGNESIUM + shift, ("Mg",))
    one, two = document(evidence()), document(evidence(host=HOST + shift, **moved))
    assert two.chemical_potential_o_poor == pytest.approx(one.chemical_potential_o_poor)


def test_without_the_phases_nothing_is_drawn_and_it_is_said_what_is_missing():
    made = document(evidence(competing_Mg_1=None))
    assert (made.status, made.chemical_potentials.diagrams, made.flags) == ("unavailable", (), ())
    assert "no table" in made.reason
    assert "of Mg none at 520 eV" in made.reason


def test_a_phase_that_happens_to_be_there_at_another_cutoff_is_named_and_asks_for_nothing():
    made = document(evidence(competing_Mg_1=phase("Mg", MAGNESIUM, ("Mg",), 260.0)))
    assert (made.status, made.chemical_potentials.diagrams, made.flags) == ("unavailable", (), ())
    (left,) = made.chemical_potentials.left_out
    assert (left.formula, left.kind, left.asked) == ("Mg", "different_cutoffs", False)
    assert "relaxed at 260 eV, the host at 520 eV" in made.reason


@pytest.mark.parametrize(
    ("run", "kind", "status", "said"),
    [
        (phase("Mg", MAGNESIUM, ("Mg",), **FAILED), "failed", "missing_element", "zpotrf: LAPACK failed"),
        (phase("Mg", MAGNESIUM, ("Mg",), n_ionic_steps=4), "not_settled", "missing_element", "first ionic step"),
        (phase("Mg", MAGNESIUM, ("Mg",), 260.0), "different_cutoffs", "different_cutoffs", "260 eV, the host at 520 eV"),
        (phase("Mg", MAGNESIUM, ("Mg",), energy_per_atom=None), "failed", "missing_element", "no energy"),
        (None, "not_calculated", "missing_element", "not calculated yet"),
    ],
)
def test_a_phase_asked_for_without_an_energy_is_an_outcome_of_its_kind(run, kind, status, said):
    found = evidence(reasons={"competing-Mg-1": "submitted, not calculated yet"}, competing_Mg_1=run)
    made = document(found)
    potentials = made.chemical_potentials
    (left,) = potentials.left_out
    assert (left.formula, left.kind, left.asked) == ("Mg", kind, True)
    assert said in left.reason
    assert {item.status for item in potentials.diagrams} == {status}
    assert all(said in item.reason for item in potentials.diagrams)
    assert (made.status, made.energy_above_hull, made.chemical_potential_o_poor) == ("unavailable", None, None)
    assert made.reason.startswith(status.replace("_", " "))
    assert "competing-Mg-1" not in made.addresses
    assert any(said in flag for flag in diagram_flags(potentials))


def test_a_compound_asked_for_without_an_energy_leaves_the_diagram_and_flags_it():
    failed = phase("MgO2", -5.0, ("Mg", "O", "O"), **FAILED)
    made = document(evidence(reasons={"competing-MgO2-2": "x"}, competing_MgO2_2=failed))
    assert (made.status, made.chemical_potential_o_rich) == ("partial", pytest.approx(0))
    assert made.reason == "without MgO2: zpotrf: LAPACK failed"
    assert made.flags == ("competing phase MgO2: zpotrf: LAPACK failed",)
    unasked = document(evidence(competing_MgO2_2=failed))
    assert (unasked.status, unasked.flags) == ("complete", ())
    assert [item.formula for item in unasked.chemical_potentials.left_out] == ["MgO2"]


def test_an_unstable_host_is_an_answer_with_its_energy_above_the_hull():
    above = 0.05
    rival = phase("MgO", HOST - above, ("Mg", "O"), address="address of a better polymorph")
    made = document(evidence(competing_MgO_2=rival))
    assert (made.status, made.energy_above_hull) == ("partial", pytest.approx(above))
    assert made.chemical_potential_o_rich is None
    assert made.flags == (f"chemical potentials: {made.reason}",)
    assert "unstable" in made.reason


def test_a_host_that_falls_apart_into_others_is_unstable_too():
    hull = (MAGNESIUM + MOLECULE) / 2 - 0.1
    made = document(evidence(host=hull + 0.3))
    molecule = made.chemical_potentials.diagram("molecule")
    assert molecule.status == "unstable"
    assert molecule.energy_above_hull == pytest.approx(0.2)
    assert set(molecule.decomposition) == {"Mg", "O"}


def test_a_compound_within_the_system_narrows_the_limits():
    shallow = document(evidence()).chemical_potentials.diagram("molecule")
    peroxide = phase("MgO2", (2 * HOST + MOLECULE - 0.2) / 3, ("Mg", "O", "O"))
    made = document(evidence(competing_MgO2_2=peroxide)).chemical_potentials.diagram("molecule")
    assert made.limit("O-rich").chemical_potentials["O"] == pytest.approx(-0.2)
    assert made.limit("O-rich").competing_phases == ("MgO2",)
    assert made.limit("O-poor").chemical_potentials == pytest.approx(shallow.limit("O-poor").chemical_potentials)


@pytest.mark.parametrize("change", [FAILED, {"magnetization": 0.0}])
def test_oxygen_that_cannot_be_used_leaves_the_other_reference(change):
    runs = oxygen()
    step = COMPETING_OXYGEN["molecule"]
    runs[step] = phase("O2", MOLECULE, ("O", "O"), **{"task": "cluster_opt", "magnetization": 2.0} | change)
    made = document(evidence(reasons={step: "not calculated"}, **runs)).chemical_potentials
    assert made.diagram("molecule").status == "missing_element"
    assert made.diagram("atom").status == "stable"
    (left,) = made.left_out
    assert (left.formula, left.kind) == ("O2", "failed")


def test_oxygen_at_the_cutoff_of_the_supercells_is_not_taken():
    asked = dict.fromkeys(COMPETING_OXYGEN.values(), "not calculated")
    found = own_phases(evidence(reasons=asked, **oxygen(SUPERCELL)))
    assert (found.oxygen.molecule, found.oxygen.atom) == (None, None)
    assert found.lacking == ("O",)
    assert [(item.formula, item.kind) for item in found.left_out] == [("O2", "different_cutoffs"), ("O", "different_cutoffs")]
    potentials = own_potentials(found, found.oxygen)
    assert len(potentials.diagrams) == 2
    assert all("cutoff 400.0 and 520.0" in item.reason for item in potentials.diagrams)


def test_a_host_without_an_energy_has_nothing_to_compare():
    bare = evidence()
    tasks = {**bare.tasks, "structure_opt": task("structure_opt", **FAILED)}
    assert own_phases(Evidence(MATERIAL, PROTOCOL, tasks, NOW)) is None
