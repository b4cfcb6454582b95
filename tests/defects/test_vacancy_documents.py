"""Documents of vacancies: units, and the runs each value is from."""

from __future__ import annotations

import pytest

from flow_documents import NOW
from hibana.core.units import unit_of
from hibana.documents.chemical_potentials import ChemicalPotentialDoc
from hibana.documents.properties import From, sources_of
from hibana.documents.vacancy import SupercellDoc, VacancyDoc, VacancySummaryDoc

HEAD = {
    "material_id": "hib-1",
    "formula": "MgO",
    "elements": ("Mg", "O"),
    "calculator": "vasp",
    "calculator_version": "6",
    "protocol": "pbesol",
    "protocol_version": 1,
    "status": "complete",
    "built_with": "0",
    "built_at": NOW,
}
NOT_CALCULATED = {"charge", "cutoff"}
"""Fields with a unit that no run gives."""


@pytest.mark.parametrize("kind", [SupercellDoc, VacancyDoc, VacancySummaryDoc, ChemicalPotentialDoc])
def test_every_value_with_a_unit_says_where_it_is_from(kind):
    with_unit = [name for name in kind.model_fields if unit_of(kind, name) is not None and name not in NOT_CALCULATED]
    assert with_unit
    for name in with_unit:
        assert any(isinstance(item, From) for item in kind.model_fields[name].metadata), name
    assert all(info.description for info in kind.model_fields.values())


def test_a_vacancy_names_its_own_run_and_the_supercells():
    runs = {"supercell": "a0", "vacancy-Va_O1_2": "a1", "dielectric": "a2", "ddh_nsc": "a3", "oxygen_atom": "a4"}
    doc = VacancyDoc(
        **HEAD,
        part="Va_O1_2",
        addresses=runs,
        name="Va_O1",
        site="O1",
        charge=2,
        defect_energy=-20.0,
        perfect_energy=-24.0,
        correction=0.5,
        reservoir_energy=-5.0,
    )
    found = sources_of(doc)
    assert found["defect_energy"] == ("a1",)
    assert found["perfect_energy"] == ("a0",)
    assert found["correction"] == ("a1", "a0", "a2")
    assert found["reservoir_energy"] == ("a4",)
    assert "formation_energy" not in found


def test_a_summary_names_the_runs_of_all_vacancies():
    runs = {"supercell": "a0", "vacancy-Va_O1_0": "a1", "vacancy-Va_O1_2": "a2", "vacancy": "a3", "vacancyx-1": "a4"}
    assert sources_of(VacancySummaryDoc(**HEAD, addresses=runs))["sites"] == ("a1", "a2", "a3", "a0")
