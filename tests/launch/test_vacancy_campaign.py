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
from hibana.launch.campaign import find_energies
from hibana.launch.submit import submit
from hibana.launch.why import why
from hibana.protocol.protocol import load_protocol

pytestmark = pytest.mark.timeout(600)

SERIES = ("pbesol-demo", "gpaw-rehearsal")
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


def test_vacancies_from_submission_to_documents_once(farm, table):
    submit([MGO], "bulk", *SERIES, farm.launchpad, branches=["vacancy"], energies=table)
    farm.work()
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
    assert find_energies("mine.csv", [tmp_path]) == inner
    assert find_energies("energies.csv", [tmp_path / "workflows", tmp_path]) == table
    with pytest.raises(HibanaError, match="HIB-111"):
        find_energies("nothing.csv", [tmp_path])
