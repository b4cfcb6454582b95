"""Competing phases as FireWorks runs them, with the fake VASP as the code, and their energies found in the store."""

from __future__ import annotations

import shutil

import pytest
from farm import MGO, REPOSITORY, SCRIPTS, Farm
from potcars import TEXT

from flow_documents import NOW
from hibana.core.errors import HibanaError
from hibana.defects.competing import OwnPhases, own_phases, own_potentials
from hibana.documents.candidate import Material
from hibana.documents.task import is_settled
from hibana.flows.branches import branches_of, flow_label, system_of
from hibana.flows.evidence import chain
from hibana.flows.oxygen import oxygen_cell, oxygen_runs
from hibana.flows.phases import with_competing_phases
from hibana.flows.registry import find_flow
from hibana.launch.submit import submit
from hibana.launch.why import why
from hibana.properties.evidence import Evidence
from hibana.protocol.cutoff import cutoff_of
from hibana.protocol.inputs import build_inputs
from hibana.protocol.protocol import load_protocol

pytestmark = pytest.mark.timeout(600)

MG = REPOSITORY / "workflows" / "demo_competing" / "Mg.vasp"
SERIES = ("pbesol-demo", "gpaw-rehearsal")
DEMO = load_protocol("pbesol-demo")
ENMAX = {"Mg": ("2.000", "200"), "O": ("6.000", "400"), "Zn": ("12.000", "300")}
COMMON = 520.0


@pytest.fixture(scope="session")
def uneven_potcars(tmp_path_factory):
    """Potentials of different cutoffs."""
    folder = tmp_path_factory.mktemp("uneven")
    for element, (zval, enmax) in ENMAX.items():
        place = folder / "POT_GGA_PAW_PBE_54" / element
        place.mkdir(parents=True)
        text = TEXT.format(label=element, element=element, zval=float(zval)).replace("200.000;", f"{enmax}.000;")
        (place / "POTCAR").write_text(text)
    return folder


@pytest.fixture
def farm(tmp_path, launchpad_file, launchpad, store, uneven_potcars, monkeypatch) -> Farm:
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(uneven_potcars))
    return Farm(tmp_path, launchpad_file, launchpad, store, uneven_potcars)


def add(farm, *files, elements=("Mg", "O")):
    return submit(files, "competing", *SERIES, farm.launchpad, branches=elements)


def tasks(farm, **query):
    return [farm.store.task(item["address"], any_status=True) for item in farm.store.query("tasks", query, ("address",))]


def phases_around(farm, formula="MgO", cutoff=COMMON) -> OwnPhases:
    """What the store has of the competing phases of a relaxed crystal."""
    (relaxation,) = (
        task for task in tasks(farm, task="structure_opt", formula=formula) if is_settled(task) and task.inputs.encut == cutoff
    )
    material = Material.of(farm.store.candidate(relaxation.material_id))
    evidence = Evidence(material, load_protocol(relaxation.protocol), {"structure_opt": relaxation}, NOW)
    return own_phases(with_competing_phases(farm.store, evidence))


class TestLabels:
    """The chemical system in the name of the flow."""

    def test_one_name_for_every_way_to_say_it(self):
        assert flow_label("competing", ["O", "Mg", "O"]) == flow_label("competing:O+Mg") == "competing:Mg+O"
        assert system_of("competing:O+Mg") == ("Mg", "O")
        assert branches_of("competing:Mg+O") == ()

    @pytest.mark.parametrize(
        ("flow", "elements"), [("competing", None), ("competing", []), ("competing:", None), ("competing:Mg+Xx", None)]
    )
    def test_what_is_no_system_is_a_numbered_error(self, flow, elements):
        with pytest.raises(HibanaError, match="HIB-101"):
            find_flow(flow, elements)


class TestInputs:
    """What the code is given."""

    @pytest.mark.parametrize(("task", "relaxes"), [("structure_opt", True), ("defect", False), ("band", False)])
    @pytest.mark.parametrize("elements", [("Mg",), ("Mg", "O"), ("Mg", "Zn")])
    def test_the_cutoff_is_the_one_of_the_inputs(self, farm, task, relaxes, elements):
        crystal = oxygen_cell("molecule", DEMO).crystal.model_copy(
            update={"species": (elements[0], elements[-1]), "magmoms": None}
        )
        made = build_inputs(crystal, task, "pbesol", DEMO)
        assert made.stages[0].incar["ENCUT"] == cutoff_of(elements, DEMO, relaxes_lattice=relaxes)

    @pytest.mark.parametrize("which", ["molecule", "atom"])
    def test_oxygen_is_a_triplet_at_gamma_in_a_box_of_three_lengths(self, farm, which):
        cell = oxygen_cell(which, DEMO)
        made = build_inputs(
            cell.crystal, "cluster_opt", "pbesol", DEMO, options={"cutoff_energy": 520.0, "incar": {"NUPDOWN": 2.0}}
        )
        (stage,) = made.stages
        tags = {name: stage.incar[name] for name in ("ENCUT", "ISPIN", "NUPDOWN", "ISIF", "ISMEAR", "SIGMA")}
        assert tags == {"ENCUT": 520.0, "ISPIN": 2, "NUPDOWN": 2, "ISIF": 2, "ISMEAR": 0, "SIGMA": 0.01}
        assert sum(stage.incar["MAGMOM"]) == 2
        assert tuple(stage.kpoints.kpts[0]) == (1, 1, 1)
        assert made.structure.lattice.abc == DEMO.defects.oxygen_box
        assert len(set(DEMO.defects.oxygen_box)) == 3

    def test_molecule_atom_and_protocols_do_not_share_a_run(self):
        cells = [oxygen_cell(which, load_protocol(name)) for which in ("molecule", "atom") for name in ("pbesol", "pbesol-demo")]
        assert len({cell.material.material_id for cell in cells}) == 4
        assert cells[0] == oxygen_cell("molecule", load_protocol("pbesol"))


def test_all_phases_are_relaxed_at_one_cutoff_and_oxygen_is_calculated_once(farm):
    assert len(add(farm, MGO, MG).added) == 2
    farm.work()
    assert set(farm.states().values()) == {"COMPLETED"}
    assert farm.ran() == ["oxygen", "oxygen", "relax", "relax", "relax", "relax"]
    assert {found["state"] for found in farm.store.query("outcomes", {})} == {"done"}
    assert {task.inputs.encut for task in tasks(farm)} == {COMMON}
    assert {task.formula: task.variant for task in tasks(farm, task="structure_opt")} == {"Mg": "encut520", "MgO": ""}

    around = phases_around(farm)
    assert [phase.formula for phase in around.phases] == ["Mg"]
    assert {phase.conditions.cutoff for phase in (*around.phases, around.host)} == {COMMON}
    assert (around.lacking, around.left_out) == ((), ())
    oxygen = around.oxygen
    assert (oxygen.molecule, oxygen.atom_energy, oxygen.reasons) == (-6.0, -6.0, {})
    assert oxygen.used == DEMO.defects.oxygen_reference
    found = own_potentials(around, oxygen)
    assert [diagram.status for diagram in found.diagrams] == ["unstable", "unstable"]  # all energies of the fake are alike
    formation = {diagram.oxygen_reference: diagram.formation_energy_per_atom for diagram in found.diagrams}
    assert formation == {"molecule": pytest.approx(0), "atom": pytest.approx(oxygen.measured_binding / 2)}


def test_what_is_in_the_store_is_not_calculated_again(farm):
    farm.submit()
    farm.work()
    before = farm.ran()
    add(farm, MGO)
    farm.work()
    assert farm.ran() == sorted([*before, "oxygen", "oxygen"])  # its ordinary relaxation is at the common cutoff
    add(farm, MGO, MG)
    farm.work()
    assert farm.ran() == sorted([*before, "oxygen", "oxygen", "relax", "relax"])
    add(farm, MGO, MG, elements=("Mg", "O", "Zn"))
    farm.work()
    assert farm.ran() == sorted([*before, "oxygen", "oxygen", "relax", "relax"])  # oxygen has the largest cutoff of all three


def test_a_relaxation_at_another_cutoff_is_not_the_material_s_own(farm):
    farm.submit(MG)
    farm.work()
    add(farm, MG)
    farm.work()
    relaxations = tasks(farm, task="structure_opt")
    assert {task.inputs.encut for task in relaxations} == {260.0, COMMON}
    assert chain(relaxations)["structure_opt"].inputs.encut == 260.0
    farm.submit()
    farm.work()
    assert [phase.conditions.cutoff for phase in phases_around(farm).phases] == [COMMON]


def test_a_system_without_oxygen_needs_no_molecule(farm):
    add(farm, MG, elements=("Mg", "Zn"))
    farm.work()
    assert farm.ran() == ["relax", "relax"]
    assert {task.inputs.encut for task in tasks(farm)} == {390.0}


def test_a_structure_of_another_system_is_refused_and_the_others_are_added(farm):
    report = add(farm, MGO, MG, elements=("Mg", "Zn"))
    assert [item.formula for item in report.added] == ["Mg"]
    assert [(item.error.kind.code, item.source) for item in report.refused] == [("HIB-102", str(MGO))]
    with pytest.raises(HibanaError, match="HIB-102"):
        add(farm, MGO, elements=("Zn",))


def test_a_missing_element_is_an_answer(farm):
    add(farm, MGO)
    farm.work()
    around = phases_around(farm)
    assert [(item.formula, item.kind, item.asked) for item in around.left_out] == [("Mg", "not_calculated", True)]
    found = own_potentials(around, around.oxygen)
    assert [(diagram.status, diagram.reason) for diagram in found.diagrams] == [
        ("missing_element", "no energy of Mg is known; Mg: no crystal of it was submitted")
    ] * 2


def test_oxygen_that_fails_is_told_and_leaves_the_phase(farm):
    farm.behave(fail={"oxygen": "nelm"})
    add(farm, MG, MGO)
    farm.work()
    outcomes = list(farm.store.query("outcomes", {}))
    assert {item["state"] for item in outcomes} == {"partial"}
    assert all("oxygen molecule: " in item["reason"] for item in outcomes)
    around = phases_around(farm)
    assert [phase.formula for phase in around.phases] == ["Mg"]
    assert around.oxygen.value is None
    assert set(around.oxygen.reasons) == {"molecule", "atom"}
    assert all("not calculated" not in why_not for why_not in around.oxygen.reasons.values())
    assert [(item.formula, item.kind) for item in around.left_out] == [("O2", "failed"), ("O", "failed")]
    assert set(oxygen_runs(farm.store, DEMO, SERIES[1], COMMON)) == {"molecule", "atom"}


def test_a_relaxation_that_does_not_settle_is_no_phase(farm):
    farm.behave(moves=True)
    add(farm, MG)
    farm.work()
    assert farm.outcome()[0] == "failed"
    (explanation,) = why(farm.store, farm.launchpad, "Mg")
    assert explanation.entries[0].outcome == "failed"


def test_lpad_add_takes_the_campaign_as_it_is(farm):
    project = farm.folder / "project"
    shutil.copytree(REPOSITORY / "workflows", project / "workflows")
    farm.folder, farm.env = project, {**farm.env, "PWD": str(project)}
    farm.lpad("add", "workflows/competing_phases.yaml")
    farm.call(SCRIPTS / "rlaunch", "-l", farm.launchpad_file, "-w", farm.fworker, "rapidfire", "--nlaunches", "1")
    names = set(farm.states()) - {"competing phases campaign"}
    assert names == {
        *("MgO relax 1", "MgO record", "Mg relax 1", "Mg record"),
        *("oxygen molecule", "oxygen atom"),
    }
