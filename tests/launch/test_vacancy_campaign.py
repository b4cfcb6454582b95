"""The branch of vacancies as FireWorks runs it, with the fake VASP as the code; its table of energies, and its rebuilding."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from farm import MGO, REPOSITORY, SCRIPTS

from hibana.core.errors import HibanaError
from hibana.documents.candidate import Material
from hibana.documents.chemical_potentials import ChemicalPotentialDoc
from hibana.documents.vacancy import SupercellDoc, VacancyDoc, VacancySummaryDoc
from hibana.flows.rebuild import rebuild, targets
from hibana.launch.campaign import find_table
from hibana.launch.submit import submit
from hibana.launch.why import why
from hibana.protocol.protocol import load_protocol
from hibana.tables.left_out import LeftOut
from hibana.tables.registry import TABLES
from hibana.tables.rows import rows
from hibana.tables.series import Series

pytestmark = pytest.mark.timeout(600)

SERIES = ("pbesol-demo", "gpaw-rehearsal")
DEMO = load_protocol(SERIES[0])
MG = REPOSITORY / "workflows" / "demo_competing" / "Mg.vasp"
KINDS = (SupercellDoc, ChemicalPotentialDoc, VacancyDoc, VacancySummaryDoc)
TABLE = "formula,energy_per_atom,source\nMg,-1.6,own\nO2,-5.0,own\nMgO,-6.3,own\n"


def vacancies(farm) -> dict[str, VacancyDoc]:
    return {document.part: document for document in farm.store.properties(VacancyDoc)}


def stored(farm) -> list[dict]:
    return [document.model_dump(exclude={"built_at"}) for kind in KINDS for document in farm.store.properties(kind)]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "energies.csv"
    path.write_text(TABLE)
    return path


def test_lpad_add_takes_the_campaign_of_vacancies_as_it_is(farm):
    project = farm.folder / "project"
    shutil.copytree(REPOSITORY / "workflows", project / "workflows", ignore=shutil.ignore_patterns("ZnO.cif"))
    farm.folder, farm.env = project, {**farm.env, "PWD": str(project)}
    farm.lpad("add", "workflows/oxygen_vacancies.yaml")
    farm.call(SCRIPTS / "rlaunch", "-l", farm.launchpad_file, "-w", farm.fworker, "rapidfire", "--nlaunches", "1")
    names = {name.removeprefix("MgO ") for name in farm.states() if name.startswith("MgO")}
    assert names == {"relax 1", "band", "dos", "dielectric", "decide", "host", "collect"}


def queues(farm) -> dict[str, int | None]:
    """Nodes that each Firework asks the queue for, by its name without the formula."""
    found = farm.launchpad.fireworks.find({}, {"name": 1, "spec._queueadapter": 1})
    return {item["name"].removeprefix("MgO "): item["spec"].get("_queueadapter", {}).get("nodes") for item in found}


def test_vacancies_from_submission_to_documents_once(farm, table):
    fields = {"resources": [{"max_atoms": 1, "nodes": 1}, {"max_atoms": 8, "nodes": 2}, {"nodes": 5, "walltime": "02:00:00"}]}
    submit([MGO], "bulk", *SERIES, farm.launchpad, branches=["vacancy"], energies=table, fields=fields)
    farm.work()
    assert queues(farm) == {
        **dict.fromkeys(("relax 1", "relax 2", "band", "dos", "dielectric", "ddh"), 2),
        **dict.fromkeys(("oxygen atom",), 1) | dict.fromkeys(("oxygen molecule",), 2),
        **dict.fromkeys((f"supercell {name}" for name in ("perfect", "Va_O1_0", "Va_O1_1", "Va_O1_2")), 5),
        **dict.fromkeys(("decide", "host", "supercells", "collect")),
    }
    assert (farm.ran().count("supercell"), farm.ran().count("oxygen")) == (4, 2)
    assert set(farm.states().values()) == {"COMPLETED"}
    assert {"MgO supercell perfect", "MgO supercell Va_O1_0", "MgO supercells"} <= set(farm.states())
    (supercell,) = farm.store.properties(SupercellDoc)
    assert (supercell.status, supercell.n_atoms) == ("complete", 64)
    documents = vacancies(farm)
    assert list(documents) == ["Va_O1_0", "Va_O1_1", "Va_O1_2"]
    candidate = farm.store.candidate(supercell.material_id)
    for charge, (name, document) in enumerate(documents.items()):
        run = farm.store.task(document.addresses[f"vacancy-{name}"])
        assert (run.task, run.variant, run.material_id) == ("defect", name, Material.of(candidate).material_id)
        assert run.inputs.valence - run.inputs.nelect == pytest.approx(charge)
        assert (run.inputs.incar["ISPIN"], run.inputs.incar["ISIF"]) == (2, 2)
        steps = np.array(run.initial.frac_coords) - document.initial.frac_coords
        assert np.abs(steps - np.round(steps)).max() < 1e-8
        assert document.left_out != "charge"
        assert document.oxygen_reference == "atom"
    (potentials,) = farm.store.properties(ChemicalPotentialDoc)
    oxygen = potentials.chemical_potentials.oxygen
    assert (oxygen.molecule, oxygen.atom_energy) == (-6.0, -6.0)
    neutral = documents["Va_O1_0"]
    assert neutral.formation_energy == pytest.approx(6.0 + oxygen.atom, abs=1e-3)
    assert neutral.formation_energy_other_oxygen == pytest.approx(0, abs=1e-3)
    assert {"oxygen_molecule", "oxygen_atom"} < set(neutral.addresses)
    assert (potentials.source, potentials.given.source) == ("energies.csv", "energies.csv")
    assert potentials.chemical_potentials.diagram("molecule").status == "stable"
    depth = potentials.chemical_potentials.diagram("molecule").limit("O-poor").chemical_potentials["O"]

    before = stored(farm)
    again = submit([MGO], "bulk", *SERIES, farm.launchpad, branches=["vacancy"], energies=table)
    assert (len(again.added), len(again.already_there)) == (0, 1)
    table.write_text(TABLE.replace("-5.0", "-5.5"))
    other = submit([MGO], "bulk", *SERIES, farm.launchpad, branches=["vacancy"], energies=table)
    assert len(other.added) == 1
    farm.work()
    assert (farm.ran().count("supercell"), farm.ran().count("oxygen")) == (4, 2)
    (potentials,) = farm.store.properties(ChemicalPotentialDoc)
    shallower = potentials.chemical_potentials.diagram("molecule").limit("O-poor").chemical_potentials["O"]
    assert shallower == pytest.approx(depth + 0.5)
    assert stored(farm) != before

    before = stored(farm)
    (target,) = targets(farm.store, {})
    assert rebuild(farm.store, target, load_protocol(SERIES[0])).changed == ()
    assert stored(farm) == before
    (found,) = why(farm.store, farm.launchpad, "MgO")
    assert all(entry.jobs for entry in found.entries)


def left_out(farm) -> dict[str, LeftOut]:
    """What the table of vacancies leaves out, by part."""
    series = Series(SERIES[0], DEMO.version, SERIES[1])
    found = rows(farm.store, TABLES["oxygen_vacancy"], series)
    return {item.part: item for item in found if isinstance(item, LeftOut) and item.part}


def test_a_run_of_a_vacancy_that_fails_leaves_the_others_and_is_told_in_the_table(farm, table):
    farm.behave(fail={"supercell +1": "crash", "supercell +2": "nelm"})
    submit([MGO], "bulk", *SERIES, farm.launchpad, branches=["vacancy"], energies=table)
    farm.work()
    states = farm.states()
    assert [name for name, state in states.items() if state != "COMPLETED"] == ["MgO supercell Va_O1_1"]
    assert states["MgO supercell Va_O1_1"] == "FIZZLED"
    documents = vacancies(farm)
    assert {name: document.status == "unavailable" for name, document in documents.items()} == {
        **{"Va_O1_0": False, "Va_O1_1": True, "Va_O1_2": True}
    }
    assert "ended with an error" in documents["Va_O1_1"].reason
    assert "Unconverged" in documents["Va_O1_2"].reason
    (outcome,) = farm.store.query("outcomes", {})
    assert outcome["state"] == "partial"
    told = left_out(farm)
    for name in ("Va_O1_1", "Va_O1_2"):
        assert told[name].code == "unavailable"
        assert told[name].reason.startswith("failed: ")
    assert "failed" not in told.get("Va_O1_0", LeftOut("", "", "flagged", "")).reason

    before = farm.ran().count("supercell")
    farm.behave()
    (fizzled,) = farm.launchpad.get_fw_ids({"state": "FIZZLED"})
    farm.launchpad.rerun_fw(fizzled)
    submit([MGO], "bulk", *SERIES, farm.launchpad, branches=["vacancy"])
    farm.work()
    assert set(farm.states().values()) == {"COMPLETED"}
    assert farm.ran().count("supercell") == before + 2
    assert {document.formation_energy is not None for document in vacancies(farm).values()} == {True}


def test_competing_phases_in_the_store_enter_the_diagram_when_the_host_is_built_again(farm):
    submit([MGO], "bulk", *SERIES, farm.launchpad, branches=["vacancy"])
    farm.work()
    (alone,) = farm.store.properties(ChemicalPotentialDoc)
    assert (alone.status, alone.chemical_potentials.diagrams, alone.flags) == ("unavailable", (), ())
    assert "no table" in alone.reason
    assert not any("chemical potentials" in item.reason for item in left_out(farm).values())

    submit([MGO, MG], "competing", *SERIES, farm.launchpad, branches=["Mg", "O"])
    farm.work()
    (target,) = [item for item in targets(farm.store, {}) if item.material_id == alone.material_id]
    assert "chemical_potentials" in rebuild(farm.store, target, DEMO).changed
    (found,) = farm.store.properties(ChemicalPotentialDoc, {"material_id": alone.material_id})
    assert [diagram.oxygen_reference for diagram in found.chemical_potentials.diagrams] == ["atom", "molecule"]
    assert {diagram.status for diagram in found.chemical_potentials.diagrams} == {"unstable"}  # the fake's energies are alike
    assert (found.status, found.source, found.cutoff) == ("partial", None, 260.0)
    assert found.energy_above_hull is not None
    assert len([step for step in found.addresses if step.startswith("competing-")]) == 3
    told = left_out(farm)
    assert set(told) == {"Va_O1_0", "Va_O1_1", "Va_O1_2"}
    assert all("chemical potentials: unstable: " in item.reason for item in told.values())


def test_a_table_without_the_branch_is_refused_and_nothing_is_written(farm, table):
    with pytest.raises(HibanaError, match="HIB-100"):
        submit([MGO], "bulk", *SERIES, farm.launchpad, energies=table)
    assert farm.states() == {}


def test_a_bad_table_is_refused_before_anything_is_written(farm, table):
    table.write_text("formula,energy_per_atom\nMgO,many\n")
    with pytest.raises(HibanaError, match="HIB-231"):
        submit([MGO], "bulk", *SERIES, farm.launchpad, branches=["vacancy"], energies=table)
    assert farm.states() == {}


def test_a_table_is_found_where_structures_are(tmp_path, table):
    (tmp_path / "workflows").mkdir()
    inner = shutil.copy(table, tmp_path / "workflows" / "mine.csv")
    assert find_table("mine.csv", "energies", [tmp_path]) == inner
    assert find_table("energies.csv", "energies", [tmp_path / "workflows", tmp_path]) == table
    with pytest.raises(HibanaError, match="HIB-111"):
        find_table("nothing.csv", "energies", [tmp_path])
