"""Documents of vacancies from runs of simple laws: every number known, everything that can be missing a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flow_documents import MATERIAL, METAL, MGO, NOW, gapped, task
from hibana.defects.analysis import NoHost, entries_of, host_supercell, static_tensor
from hibana.defects.curate import build_chemical_potentials, build_supercell, build_vacancy_documents
from hibana.defects.host_energies import given_energies, oxygen_energies
from hibana.defects.oxygen import MEASURED_BINDING
from hibana.documents.arrays import unpack
from hibana.documents.chemical_potentials import ChemicalPotentialDoc, EnergyTable, GivenEnergy
from hibana.documents.crystal import Crystal
from hibana.documents.properties import sources_of
from hibana.documents.task import Failure, Inputs
from hibana.documents.vacancy import SupercellDoc, VacancyDoc, VacancySummaryDoc
from hibana.properties.evidence import Built, Evidence
from hibana.protocol.protocol import Protocol, load_protocol
from vacancy_runs import DIELECTRIC, EPSILON, OXYGEN, UNCORRECTED, VBM, Shelf, correction, perfect_run, vacancy_run

DDH_VBM = -0.5
FAILED = {"status": "failed", "failure": Failure(kind="zpotrf", message="LAPACK failed")}
NAMES = ("Va_O1_0", "Va_O1_1", "Va_O1_2")


def protocol(**changes) -> Protocol:
    loaded = load_protocol("pbesol-demo")
    rule = loaded.defects.model_copy(update={"oxygen_reference": "molecule", **changes})
    return loaded.model_copy(update={"defects": rule})


def table(*phases: tuple[str, float], kind: str = "total", cutoff: float | None = None) -> EnergyTable:
    rows = [GivenEnergy(formula=formula, energy=energy, kind=kind, source="test", cutoff=cutoff) for formula, energy in phases]
    return EnergyTable(source="energies.csv", phases=tuple(rows))


MAGNESIA = table(("Mg", -1.6), ("O", OXYGEN), ("MgO", (-1.6 + OXYGEN) / 2 - 3.0))


def evidence(
    shelf: Shelf | None = None, energies: EnergyTable | None = MAGNESIA, rule: Protocol | None = None, **changes
) -> Evidence:
    """All runs of a host with its vacancies; `changes` of runs by step with _ for -, None for a step that was not done."""
    shelf = shelf or Shelf()
    steps = {
        "structure_opt": {},
        "band": {"edges": gapped(4.6, VBM), "magnetization": 0.0},
        "dos": {},
        "dielectric": DIELECTRIC,
        "ddh_nsc": {"edges": gapped(7.9, DDH_VBM)},
    }
    bulk = {
        name: task(name, **{**values, **(changes.pop(name, None) or {})})
        for name, values in steps.items()
        if name not in changes or changes[name] is not None
    }
    found = Evidence(MATERIAL, rule or protocol(), bulk, NOW, array=shelf.get, energies=energies)
    supercell = host_supercell(found)
    if isinstance(supercell, NoHost):
        return found
    runs = {"supercell": perfect_run(shelf, supercell.crystal)}
    for entry in entries_of(supercell, found):
        runs[f"vacancy-{entry.full_name}"] = vacancy_run(shelf, entry.unperturbed, entry.charge, supercell.crystal)
    made = {}
    for step, values in runs.items():
        change = changes.pop(step.replace("-", "_"), {})
        if change is not None:
            change = change(shelf, supercell, values) if callable(change) else change
            made[step] = task(step, **{**values, **change})
    assert not changes
    return replace(found, tasks={**bulk, **made})


def vacancies(found: Evidence) -> list[Built]:
    return [built for built in build_vacancy_documents(found) if isinstance(built.document, VacancyDoc)]


def documents(found: Evidence) -> dict[str, VacancyDoc]:
    return {built.document.part: built.document for built in vacancies(found)}


def summary(found: Evidence) -> VacancySummaryDoc:
    return build_vacancy_documents(found)[-1].document


def test_every_term_of_the_formation_energy_is_there_and_they_add_up():
    found = evidence()
    supercell = build_supercell(found).document
    lattice = supercell.crystal.lattice
    assert tuple(documents(found)) == NAMES
    for charge, document in enumerate(documents(found).values()):
        assert (document.charge, document.site, document.name, document.left_out) == (charge, "O1", "Va_O1", None)
        assert (document.status, document.reason, document.edges) == ("complete", None, "ddh_nsc")
        assert document.alignment_correction == pytest.approx(0, abs=1e-4)
        assert document.point_charge_correction == pytest.approx(correction(charge, lattice), abs=1e-6)
        expected = UNCORRECTED[charge] + charge * (DDH_VBM - VBM) + correction(charge, lattice)
        assert document.formation_energy == pytest.approx(expected, abs=1e-4)
        terms = (document.defect_energy, -document.perfect_energy, document.reservoir_energy)
        assert sum(terms) + document.band_edge_energy + document.correction == pytest.approx(document.formation_energy)
        assert document.removed == {"O": 1}
        assert document.formation_energy_other_oxygen is None
        assert (document.edge_state, document.localised_levels) == ("localised", (pytest.approx(2.5),))
        assert (document.structure_class, document.symmetry_relation) == ("simple", "same")
        assert document.max_displacement == pytest.approx(0, abs=1e-9)
        assert document.vbm_from_o_core is document.formation_energy_core_reference is None
    assert supercell.status == "complete"
    assert (supercell.energy, supercell.n_atoms) == (-6.0 * supercell.n_atoms, 64)


def test_the_perturbed_start_is_stored_and_always_the_same():
    first, again = documents(evidence()), documents(evidence())
    starts = [document.initial for document in first.values()]
    assert [document.initial for document in again.values()] == starts
    assert len({start.frac_coords for start in starts}) == 3
    assert all(start != document.crystal for start, document in zip(starts, first.values(), strict=True))


def test_the_sheet_of_the_correction_is_kept():
    built = vacancies(evidence())[2]
    sheet = {name: unpack(packed) for name, packed in built.arrays.items()}
    assert set(sheet) == set(built.document.arrays)
    assert len(sheet["sheet_sites"]) == len(built.document.sheet_elements) == 63
    assert sheet["sheet_differences"] == pytest.approx(sheet["sheet_point_charge"], abs=1e-4)
    assert 0 < sheet["sheet_outside"].sum() < 63
    assert sheet["sheet_distances"][sheet["sheet_outside"] == 1].min() >= built.document.sphere_radius - 1e-4


def test_the_summary_has_levels_limits_and_both_scales():
    found = evidence()
    document = summary(found)
    energies = {doc.charge: doc.formation_energy for doc in documents(found).values()}
    (site,) = document.sites
    assert {line.charge: line.energy for line in site.lines} == energies
    by_pair = {level.charges: level.level for level in site.pair_levels}
    assert by_pair[2, 0] == pytest.approx((energies[0] - energies[2]) / 2)
    assert (document.edges, document.vbm, document.band_gap) == ("ddh_nsc", DDH_VBM, pytest.approx(7.9))
    assert document.supercell_vbm == pytest.approx(VBM - DDH_VBM)
    assert document.supercell_cbm - document.supercell_vbm == pytest.approx(4.6)
    by_limit = {item.limit: item for item in document.energies}
    assert by_limit["O-rich"].chemical_potential == pytest.approx(0)
    assert by_limit["O-poor"].chemical_potential == pytest.approx(-6)
    neutral = {limit: item.lines[0].energy for limit, item in by_limit.items()}
    assert neutral["standard"] - neutral["O-poor"] == pytest.approx(6)
    assert document.status == "complete"


def test_each_document_names_its_runs():
    found = evidence()
    documents_ = build_vacancy_documents(found)
    kinds = [type(built.document) for built in documents_]
    assert kinds == [SupercellDoc, ChemicalPotentialDoc, VacancyDoc, VacancyDoc, VacancyDoc, VacancySummaryDoc]
    charged = documents_[4].document
    assert sources_of(charged)["formation_energy"] == tuple(
        f"address of {step}" for step in ("vacancy-Va_O1_2", "supercell", "ddh_nsc", "dielectric")
    )
    assert sources_of(charged)["defect_energy"] == ("address of vacancy-Va_O1_2",)
    assert {f"vacancy-{name}" for name in NAMES} < set(documents_[-1].document.addresses)


def test_nothing_is_built_where_nothing_was_asked():
    found = evidence()
    tasks = {step: run for step, run in found.tasks.items() if step.partition("-")[0] not in ("supercell", "vacancy")}
    assert build_vacancy_documents(replace(found, tasks=tasks)) == ()


@pytest.mark.parametrize(
    ("host", "rule", "said"),
    [
        ({"anions": ("S",)}, "anions", "no S among"),
        ({"excluded_elements": ("Mg",)}, "excluded_elements", "has Mg"),
        ({"excluded_space_groups": (225,)}, "excluded_space_groups", "space group 225"),
        ({"max_atoms": 1}, "max_atoms", "2 atoms"),
        ({"max_anion_sites": 0}, "max_anion_sites", "1 inequivalent"),
        ({"min_gap": 5.0}, "min_gap", "gap of 4.6 eV"),
    ],
)
def test_a_refused_host_is_a_document_with_the_rule(host, rule, said):
    rules = protocol(host=protocol().defects.host.model_copy(update=host))
    found = replace(evidence(rule=rules), reasons={"vacancy": "no host"})
    (built,) = build_vacancy_documents(found)
    assert (built.document.status, built.document.crystal) == ("unavailable", None)
    assert [verdict.rule for verdict in built.document.refusals] == [rule]
    assert said in built.document.refusals[0].what
    assert f"{rule}: " in built.document.reason


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"band": {"magnetization": 1.0}}, "magnetization"),
        ({"band": {"edges": METAL}, "dos": {"edges": METAL}}, "min_gap"),
        ({"band": FAILED}, "min_gap"),
        ({"rule": protocol(min_atoms=65, max_atoms=66)}, "supercell_size"),
    ],
)
def test_so_is_a_magnet_a_metal_an_unknown_gap_and_a_cell_that_cannot_be_had(changes, rule):
    (built,) = build_vacancy_documents(replace(evidence(**changes), reasons={"vacancy": "no host"}))
    assert rule in [verdict.rule for verdict in built.document.refusals]


def test_without_a_relaxation_there_is_a_reason():
    found = replace(evidence(structure_opt=FAILED), reasons={"vacancy": "relaxation failed"})
    (built,) = build_vacancy_documents(found)
    assert (built.document.status, built.document.refusals) == ("unavailable", ())
    assert "LAPACK" in built.document.reason


def test_a_charge_state_that_failed_is_a_reason_and_the_others_stay():
    found = evidence(vacancy_Va_O1_1=FAILED)
    neutral, failed, double = documents(found).values()
    assert (failed.status, failed.left_out, failed.formation_energy) == ("unavailable", "failed", None)
    assert failed.reason == "vacancy-Va_O1_1: zpotrf: LAPACK failed"
    assert failed.initial is not None
    assert (neutral.status, double.status) == ("complete", "complete")
    document = summary(found)
    assert (document.status, document.reason) == ("partial", "Va_O1_1: vacancy-Va_O1_1: zpotrf: LAPACK failed")
    assert [(state.name, state.kind) for state in document.sites[0].left_out] == [("Va_O1_1", "failed")]
    assert [line.charge for line in document.sites[0].lines] == [0, 2]


def test_one_that_was_not_calculated_is_another():
    found = evidence(vacancy_Va_O1_1=None)
    assert documents(found)["Va_O1_1"].left_out == "not_calculated"
    reason = "host ended with an error"
    told = documents(replace(found, reasons={"vacancy": reason}))["Va_O1_1"]
    assert (told.reason, told.reasons) == (f"vacancy-Va_O1_1: {reason}", {"vacancy": reason})


def test_nsw_reached_is_no_answer():
    document = documents(evidence(vacancy_Va_O1_0={"status": "ionic_limit"}))["Va_O1_0"]
    assert (document.left_out, document.reason) == ("failed", "vacancy-Va_O1_0: the ionic steps reached NSW")


def test_without_the_perfect_supercell_no_vacancy_has_an_energy():
    found = evidence(supercell=FAILED)
    assert build_supercell(found).document.status == "partial"
    for document in documents(found).values():
        assert (document.status, document.left_out) == ("unavailable", "failed")
        assert document.reason == "supercell: zpotrf: LAPACK failed"
        assert document.defect_energy is not None
    assert summary(found).status == "unavailable"


def test_band_edges_that_are_not_found_again_leave_the_state_out():
    def unlike(shelf, supercell, values):
        return vacancy_run(shelf, values["final"], 1, supercell.crystal, unlike=True)

    document = documents(evidence(vacancy_Va_O1_1=unlike))["Va_O1_1"]
    assert (document.edge_state, document.left_out, document.status) == ("undetermined", "undetermined", "partial")
    assert "is like the VBM of the perfect supercell" in document.edge_reason
    assert document.edge_reason in document.reason
    assert document.formation_energy is not None


def test_electrons_in_the_conduction_band_leave_the_state_out():
    def shallow(shelf, supercell, values):
        return vacancy_run(shelf, values["final"], 0, supercell.crystal, shallow=True)

    found = evidence(vacancy_Va_O1_0=shallow)
    document = documents(found)["Va_O1_0"]
    assert (document.edge_state, document.left_out, document.status) == ("shallow_electron", "perturbed_host", "complete")
    assert "electrons in the conduction bands" in document.edge_reason
    assert 0 not in [line.charge for line in summary(found).sites[0].lines]


def test_a_host_that_is_a_metal_in_its_supercell_is_told():
    found = evidence(supercell=lambda shelf, supercell, values: perfect_run(shelf, supercell.crystal, metal=True))
    assert "the host is a metal in its supercell" in build_supercell(found).document.flags
    for document in documents(found).values():
        assert (document.edge_state, document.left_out) == ("undetermined", "undetermined")
        assert "perfect supercell: it has no band" in document.edge_reason


def test_lattices_that_differ_are_refused_also_for_the_neutral_state():
    def stretched(shelf, supercell, values):
        cell = values["final"]
        return {"final": cell.model_copy(update={"lattice": tuple(tuple(1.01 * x for x in row) for row in cell.lattice)})}

    found = evidence(vacancy_Va_O1_0=stretched, vacancy_Va_O1_2=stretched)
    for name in ("Va_O1_0", "Va_O1_2"):
        document = documents(found)[name]
        assert (document.status, document.left_out, document.structure_class) == ("unavailable", "no_correction", "unknown")
        assert "different lattice vectors" in document.reason
        assert document.correction is None


def test_a_run_of_another_charge_is_refused():
    wrong = {"inputs": Inputs(incar={}, kpoints={}, potcars=(), encut=400.0, valence=506.0, nelect=506.0)}
    assert documents(evidence(vacancy_Va_O1_2=wrong))["Va_O1_2"].left_out == "charge"


def test_without_a_dielectric_tensor_only_the_neutral_state_has_an_energy():
    states = {name: document.left_out for name, document in documents(evidence(dielectric=FAILED)).items()}
    assert states == {"Va_O1_0": None, "Va_O1_1": "no_correction", "Va_O1_2": "no_correction"}


def test_band_edges_are_the_first_there_are():
    found = evidence(ddh_nsc=FAILED)
    assert {document.edges for document in documents(found).values()} == {"pbesol"}
    assert {document.vbm for document in documents(found).values()} == {VBM}
    assert "band" in summary(found).addresses


def test_without_energies_there_is_no_formation_energy_but_all_else():
    found = evidence(energies=None)
    for document in documents(found).values():
        assert (document.status, document.left_out) == ("unavailable", "no_reference")
        assert document.correction is not None
        assert document.edge_state == "localised"
    assert summary(found).status == "unavailable"
    document = build_chemical_potentials(found).document
    assert (document.status, document.chemical_potentials.diagrams) == ("unavailable", ())
    assert "no table" in document.reason


def test_the_reference_that_is_not_used_still_gives_its_energy():
    found = evidence(rule=protocol(oxygen_reference="atom"))
    neutral = documents(found)["Va_O1_0"]
    assert (neutral.left_out, neutral.formation_energy) == ("no_reference", None)
    assert neutral.formation_energy_other_oxygen == pytest.approx(UNCORRECTED[0], abs=1e-4)


def test_runs_of_oxygen_go_before_the_table():
    crystal = Crystal(lattice=((9.0, 0, 0), (0, 9.0, 0), (0, 0, 9.0)), species=("O",), frac_coords=((0, 0, 0),))
    inputs = Inputs(incar={}, kpoints={}, potcars=(), encut=400.0)
    about = {"formula": "O", "elements": ("O",), "final": crystal, "n_sites": 1, "inputs": inputs, "magnetization": 2.0}
    found = evidence()
    runs = {**found.tasks, "oxygen_atom": task("oxygen_atom", **about, energy=-1.6, energy_per_atom=-1.6)}
    found = replace(found, tasks=runs)
    oxygen = oxygen_energies(found)
    assert (oxygen.molecule, oxygen.atom) == (OXYGEN, pytest.approx(-1.6 - MEASURED_BINDING))
    neutral = documents(found)["Va_O1_0"]
    assert neutral.formation_energy_other_oxygen - neutral.formation_energy == pytest.approx(-1.6 - MEASURED_BINDING - OXYGEN)
    assert neutral.addresses["oxygen_atom"] == "address of oxygen_atom"
    assert summary(found).oxygen_difference == pytest.approx(-1.6 - MEASURED_BINDING - OXYGEN)


def test_oxygen_at_another_cutoff_is_refused():
    energies = table(*((item.formula, item.energy) for item in MAGNESIA.phases), cutoff=520.0)
    found = evidence(energies=energies)
    assert "cutoff 520.0 and 400.0" in oxygen_energies(found).reasons["molecule"]
    assert documents(found)["Va_O1_0"].left_out == "no_reference"
    document = build_chemical_potentials(found).document
    assert (document.status, document.chemical_potential_o_poor, document.cutoff) == ("complete", pytest.approx(-6), 520.0)


def test_an_unstable_host_is_an_answer():
    document = build_chemical_potentials(evidence(energies=table(("Mg", -1.6), ("O", OXYGEN), ("MgO", -3.2)))).document
    assert document.status == "partial"
    assert document.energy_above_hull == pytest.approx(0.1)
    assert "unstable" in document.reason
    assert document.chemical_potential_o_rich is None


def test_a_missing_element_is_a_reason():
    document = build_chemical_potentials(evidence(energies=table(("O", OXYGEN), ("MgO", -6.3)))).document
    assert document.status == "unavailable"
    assert "no energy of Mg is known" in document.reason


def test_formation_energies_of_the_table_give_limits_without_a_reference_of_oxygen():
    energies = table(("MgO", -3.0), kind="formation")
    document = build_chemical_potentials(evidence(energies=energies)).document
    assert (document.chemical_potential_o_rich, document.chemical_potential_o_poor) == (0, pytest.approx(-6))
    assert documents(evidence(energies=energies))["Va_O1_0"].left_out == "no_reference"


def test_the_host_s_own_energy_stands_in_for_one_that_the_table_lacks():
    document = build_chemical_potentials(evidence(energies=table(("Mg", -1.6), ("O", OXYGEN)))).document
    assert document.chemical_potential_o_poor == pytest.approx(2 * (-6.0 - (-1.6 + OXYGEN) / 2))
    other = table(("Mg", -1.6), ("O", OXYGEN), cutoff=520.0)
    relaxation = {"inputs": Inputs(incar={}, kpoints={}, potcars=(), encut=676.0)}
    missing = build_chemical_potentials(evidence(energies=other, structure_opt=relaxation)).document
    assert "missing target" in missing.reason


def test_a_table_is_read_into_plain_data(tmp_path):
    path = tmp_path / "energies.csv"
    path.write_text("formula,energy_per_atom,source,cutoff\nMg,-1.6,own,400\nO2,-5.0,own,400\nMgO,-6.3,own,400\n")
    energies = given_energies(path, "vasp", "pbesol@2")
    assert [(item.formula, item.energy, item.cutoff) for item in energies.phases][1] == ("O", -5.0, 400.0)
    assert EnergyTable.model_validate(energies.model_dump(mode="json")) == energies


def test_the_dielectric_tensor_is_turned_to_the_axes_of_the_supercell():
    wurtzite = ((3.25, 0.0, 0.0), (-1.625, 2.8145825, 0.0), (0.0, 0.0, 5.2))
    places = ((1 / 3, 2 / 3, 0.0), (2 / 3, 1 / 3, 0.5), (1 / 3, 2 / 3, 0.382), (2 / 3, 1 / 3, 0.882))
    crystal = Crystal(lattice=wurtzite, species=("Zn", "Zn", "O", "O"), frac_coords=places)
    tilted = tuple(tuple(np.roll(row, 1).tolist()) for row in wurtzite)
    tensor = ((3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 4.0))
    rolled = ((4.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0))
    run = {"final": crystal.model_copy(update={"lattice": tilted}), "epsilon_electronic": rolled, "epsilon_ionic": rolled}
    run["initial"] = run["final"]
    found = Evidence(MATERIAL, protocol(), {"dielectric": task("dielectric", **run)}, NOW)
    assert static_tensor(found, crystal) == pytest.approx(2 * np.array(tensor), abs=1e-6)
    assert static_tensor(evidence(), MGO) == pytest.approx(EPSILON * np.eye(3), abs=1e-9)
