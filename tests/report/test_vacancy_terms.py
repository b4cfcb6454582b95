"""Formation energies term by term: sums, other band edges and oxygen references, levels, what is left out."""

from __future__ import annotations

import json

import pytest

from hibana.defects.formation import NoEnergy
from hibana.documents.vacancy import GateVerdict
from hibana.report.vacancy_terms import vacancy_terms
from results import material_id
from vacancy_results import ATOM, ENERGIES, LEVEL_10, LEVEL_21, MOLECULE, states

VBM, PBESOL_VBM = 3.0, 4.2
"""Valence-band maxima by the hybrid, which is used, and by PBEsol."""

PERFECT = -400.0


def fill(vacancies, charges=(0, 2), **fields) -> None:
    """MgO with vacancies whose energies are sums of their terms."""
    vacancies.host("MgO")
    vacancies.electronic("MgO", vbm=PBESOL_VBM, cbm=8.9, vbm_ddh_nsc=VBM, cbm_ddh_nsc=9.0)
    for charge in charges:
        correction = 0.2 * charge**2 - 0.1 * charge
        defect = ENERGIES[charge] + PERFECT - MOLECULE - charge * VBM - correction
        terms = {"defect_energy": defect, "perfect_energy": PERFECT, "reservoir_energy": MOLECULE, "removed": {"O": 1}}
        vacancies.vacancy("MgO", charge=charge, band_edge_energy=charge * VBM, **terms | fields)
    vacancies.summary("MgO", *states("O1", ENERGIES))


def test_the_terms_add_up_to_the_formation_energy(vacancies) -> None:
    fill(vacancies)
    (host,) = vacancy_terms(vacancies.store, "MgO")
    assert [(state.name, state.charge) for state in host.states] == [("Va_O1_0", 0), ("Va_O1_2", 2)]
    for state in host.states:
        terms = (state.defect, -state.perfect, state.removed, state.band_edge, state.point_charge, state.alignment)
        assert sum(terms) == pytest.approx(state.formation_energy) == pytest.approx(ENERGIES[state.charge])


def test_another_band_edge_moves_a_charge_and_another_oxygen_all_alike(vacancies) -> None:
    fill(vacancies)
    (host,) = vacancy_terms(vacancies.store, "MgO")
    assert host.edges == "ddh_nsc"
    assert host.band_edges == {"ddh_nsc": (VBM, 9.0), "pbesol": (PBESOL_VBM, 8.9)}
    for state in host.states:
        assert state.energy("ddh_nsc", "molecule") == pytest.approx(state.formation_energy)
        moved = state.energy("pbesol", "molecule") - state.formation_energy
        assert moved == pytest.approx(state.charge * (PBESOL_VBM - VBM))
        for edges in ("ddh_nsc", "pbesol"):
            assert state.energy(edges, "atom") - state.energy(edges, "molecule") == pytest.approx(ATOM - MOLECULE)


def test_levels_are_where_the_energies_cross_by_every_band_edge(vacancies) -> None:
    fill(vacancies, charges=(0, 1, 2))
    (host,) = vacancy_terms(vacancies.store, "MgO")
    levels = {level.charges: level for level in host.levels}
    assert set(levels) == {(2, 1), (2, 0), (1, 0)}
    assert levels[2, 1].above["ddh_nsc"] == pytest.approx(LEVEL_21)
    assert levels[1, 0].above["ddh_nsc"] == pytest.approx(LEVEL_10)
    assert levels[2, 0].above["ddh_nsc"] == pytest.approx((LEVEL_10 + LEVEL_21) / 2)
    for level in levels.values():
        assert level.above["ddh_nsc"] - level.above["pbesol"] == pytest.approx(PBESOL_VBM - VBM)
        assert level.left_out == ()


def test_states_that_are_left_out_have_energies_and_levels_and_are_named(vacancies) -> None:
    fill(vacancies, edge_state="undetermined", left_out="undetermined", edge_reason="no state is like the CBM")
    (host,) = vacancy_terms(vacancies.store, "MgO")
    assert [(state.left_out, state.reason) for state in host.states] == [("undetermined", "no state is like the CBM")] * 2
    (level,) = host.levels
    assert level.left_out == ("Va_O1_2", "Va_O1_0")
    assert level.above["ddh_nsc"] == pytest.approx((ENERGIES[0] - ENERGIES[2]) / 2)


def test_a_state_without_energy_has_its_reason_and_no_level(vacancies) -> None:
    fill(vacancies, charges=(0,))
    why = NoEnergy("failed", "vacancy: the run ended as failed")
    gone = {"formation_energy": None, "defect_energy": None, "status": "unavailable", "left_out": "failed"}
    vacancies.vacancy("MgO", charge=2, reason=why.reason, **gone)
    (host,) = vacancy_terms(vacancies.store, material_id("MgO"))
    assert host.states[1].energies == ()
    assert (host.states[1].left_out, host.states[1].reason) == ("failed", why.reason)
    assert host.levels == ()


def test_a_crystal_that_is_no_host_says_by_which_rule(vacancies) -> None:
    vacancies.supercell("Al2O3", n_atoms=None, status="unavailable", refusals=(GateVerdict(rule="min_gap", what="gap of 0 eV"),))
    (host,) = vacancy_terms(vacancies.store, "Al2O3")
    assert host.refusals == ("min_gap: gap of 0 eV",)
    assert host.states == ()


def test_series_are_never_joined(vacancies) -> None:
    fill(vacancies)
    vacancies.vacancy("MgO", calculator="gpaw-rehearsal")
    found = vacancy_terms(vacancies.store, "MgO")
    assert sorted(len(host.states) for host in found) == [1, 2]
    (one,) = vacancy_terms(vacancies.store, "MgO", calculator="gpaw-rehearsal")
    assert one.series == "gpaw-rehearsal, protocol pbesol version 1"
    assert one.band_edges == {}


def test_a_material_without_vacancies_has_none(vacancies) -> None:
    vacancies.electronic("MgO")
    assert vacancy_terms(vacancies.store, "MgO") == []
    assert vacancy_terms(vacancies.store, "CaO") == []


def test_it_is_plain_data_for_scripts(vacancies) -> None:
    fill(vacancies)
    (host,) = vacancy_terms(vacancies.store, "MgO")
    plain = json.loads(json.dumps(host.as_dict()))
    assert plain["units"] == {"energies": "eV", "charge": "e"}
    assert plain["band_edges"]["pbesol"] == {"vbm": PBESOL_VBM, "cbm": 8.9}
    assert (plain["oxygen"]["atom"], plain["oxygen"]["molecule"]) == (ATOM, MOLECULE)
    assert plain["states"][1]["charge"] == 2
