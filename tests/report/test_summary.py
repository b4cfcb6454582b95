from __future__ import annotations

import pytest

from hibana.report.summary import HEADINGS, lattice_text, shown_headings, summarise


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ((4.21, 4.21, 4.21, 90, 90, 90), "a 4.210"),
        ((3.24, 3.24, 5.24, 90, 90, 120), "a 3.240 c 5.240"),
        ((5.15, 5.21, 5.32, 90, 99.2, 90), "a 5.150 b 5.210 c 5.320 β 99.20"),
        ((4.0, 4.1, 4.2, 80, 81, 82), "a 4.000 b 4.100 c 4.200 α 80.00 β 81.00 γ 82.00"),
    ],
)
def test_only_free_lattice_parameters_are_written(parameters: tuple[float, ...], text: str) -> None:
    assert lattice_text(*parameters) == text


def test_a_material_without_a_relaxed_crystal_has_a_line(campaign) -> None:
    campaign.electronic("MgO", band_gap_pbesol=None, status="unavailable", reason="structure_opt: killed", gap_class="unknown")
    (line,) = summarise(campaign.store)
    assert line.lattice is None
    assert line.cells()[:4] == ("MgO", "–", "–", "–")
    assert line.remarks == ("structure_opt: killed",)


def test_lines_never_join_two_series(campaign) -> None:
    campaign.complete("MgO")
    campaign.complete("MgO", calculator="gpaw-rehearsal")
    campaign.relaxation("MgO", calculator="gpaw-rehearsal", a=4.25, b=4.25, c=4.25)
    campaign.complete("MgO", protocol_version=2)
    lines = summarise(campaign.store)
    found = {(line.calculator, line.protocol_version): line.lattice[0] for line in lines}
    assert found == {("gpaw-rehearsal", 1): 4.25, ("vasp", 1): 4.21, ("vasp", 2): 4.21}
    assert [line.protocol_version for line in summarise(campaign.store, protocol_version=2)] == [2]


def test_columns_of_the_bulk_branches_are_shown_where_there_is_something_in_them(bulk) -> None:
    bulk.complete("MgO", band_gap_ddh_nsc=7.9)
    bulk.complete("CaO")
    plain = [line for line in summarise(bulk.store) if line.formula == "CaO"]
    assert [HEADINGS[place] for place in shown_headings(plain)] == [
        *("formula", "space group", "lattice", "PBEsol gap", "HSE06 gap", "material_id")
    ]
    bulk.dielectric("MgO", flags=("Born charges do not add up",))
    lines = summarise(bulk.store)
    magnesia = next(line for line in lines if line.formula == "MgO")
    assert dict(zip(HEADINGS, magnesia.cells(), strict=True)) | {"material_id": ""} == {
        "formula": "MgO",
        "space group": "Fm-3m (225)",
        "lattice": "a 4.210",
        "PBEsol gap": "4.66 direct",
        "HSE06 gap": "6.57",
        "dd-hybrid gap": "7.90",
        "ε∞": "3.20",
        "ε0": "11.20",
        "material_id": "",
    }
    assert shown_headings(lines) == list(range(len(HEADINGS)))
    assert magnesia.flags == ("Born charges do not add up",)
    assert magnesia.addresses["dielectric"] == "9" * 64
