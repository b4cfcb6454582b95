"""``hibana vacancies`` as a user types it, on a real server."""

from __future__ import annotations

import json

import pytest

from hibana.cli.main import main
from vacancy_results import ATOM, ENERGIES, MOLECULE, states, vacancies

__all__ = ["vacancies"]

TERMS = {"defect_energy": -388.0, "perfect_energy": -390.6, "reservoir_energy": MOLECULE, "removed": {"O": 1}}


@pytest.fixture
def hibana(launchpad_file, monkeypatch, capsys):
    """Runs one command line; gives exit code, standard output, standard error."""
    monkeypatch.setenv("HIBANA_LAUNCHPAD", str(launchpad_file))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture
def filled(vacancies):
    """MgO with the charges 0, used, and +2, left out."""
    vacancies.host("MgO")
    vacancies.electronic("MgO", vbm=4.0, cbm=8.7, vbm_ddh_nsc=3.0, cbm_ddh_nsc=9.0)
    vacancies.vacancy("MgO", charge=0, band_edge_energy=0.0, flags=("a [flag] of its own",), **TERMS)
    out = {"left_out": "undetermined", "edge_state": "undetermined", "edge_reason": "no state is like the CBM"}
    vacancies.vacancy("MgO", charge=2, band_edge_energy=6.0, **TERMS | out)
    vacancies.summary("MgO", *states("O1", ENERGIES))
    return vacancies


def rows(out: str) -> dict[str, list[str]]:
    """Lines of the table by their titles."""
    found = [line.rsplit(maxsplit=2) for line in out.splitlines() if len(line.split()) > 2]
    return {title.strip(): [first, second] for title, first, second in found}


def test_every_term_has_a_line(filled, hibana) -> None:
    code, out, err = hibana("vacancies", "MgO")
    assert (code, err) == (0, "")
    found = rows(out)
    assert f"  μ(O) by half of the calculated O2: {MOLECULE:.3f} eV, used\n" in out
    assert f"  μ(O) by atom and measured binding: {ATOM:.3f} eV\n" in out
    assert "  band edges PBEsol: 4.000 and 8.700 eV, gap 4.700 eV\n" in out
    assert found["E[vacancy]"] == ["-388.000"] * 2
    assert found["-E[perfect]"] == ["390.600"] * 2
    assert found["μ(O), half of the calculated O2"] == [f"{MOLECULE:.3f}"] * 2
    assert found["q VBM, dd-hybrid"] == ["0.000", "6.000"]
    assert found["correction: point charge"] == ["0.000", "0.800"]
    assert found["correction: alignment"] == ["0.000", "-0.200"]
    assert found["formation energy (sum)"] == [f"{ENERGIES[0]:.3f}", f"{ENERGIES[2]:.3f}"]
    other = ATOM - MOLECULE
    assert found["at VBM of dd-hybrid, O: atom and measured binding"] == [f"{ENERGIES[q] + other:.3f}" for q in (0, 2)]
    assert found["at VBM of PBEsol, O: half of the calculated O2"] == [f"{ENERGIES[q] + q * 1.0:.3f}" for q in (0, 2)]
    assert found["electrons"] == ["localised", "undetermined"]
    assert found["used for levels"] == ["yes", "no"]


def test_levels_what_is_left_out_and_flags_are_said(filled, hibana) -> None:
    _, out, _ = hibana("vacancies", "MgO")
    level = (ENERGIES[0] - ENERGIES[2]) / 2
    assert (
        f"level (2+/0): {level:.3f} eV above the VBM of dd-hybrid, {level - 1.0:.3f} eV above the VBM of PBEsol "
        "(left out: Va_O1_2)"
    ) in out
    assert "Va_O1_2: left out of levels and of the default table, undetermined: no state is like the CBM" in out
    assert "Va_O1_0: a [flag] of its own" in out


def test_the_same_for_scripts(filled, hibana) -> None:
    code, out, _ = hibana("vacancies", "MgO", "--json")
    assert code == 0
    (host,) = json.loads(out)
    assert [state["formation_energy"] for state in host["states"]] == [ENERGIES[0], ENERGIES[2]]
    assert host["levels"][0]["charges"] == [2, 0]


def test_a_material_without_vacancies_is_an_error_that_says_what_to_do(filled, hibana) -> None:
    filled.candidate("CaO")
    code, out, _ = hibana("vacancies", "CaO", "--json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "HIB-167"
