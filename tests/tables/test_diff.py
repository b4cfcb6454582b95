"""What changed from one export to another, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hibana.core.errors import HibanaError
from hibana.tables.diff import diff
from hibana.tables.export import export
from results import material_id


@pytest.fixture
def two(campaign, tmp_path):
    """Exports the table ``electronic`` before and after a change, and compares."""
    campaign.complete("MgO")
    campaign.complete("ZnO")

    def compare(change, limit=None, **options):
        export(campaign.store, "electronic", tmp_path / "a")
        change()
        export(campaign.store, "electronic", tmp_path / "b", **options)
        return diff(tmp_path / "a", tmp_path / "b", limit=limit)

    return compare


def cells(found) -> dict[tuple[str, str], tuple]:
    return {(item.formula, item.column): (item.before, item.after, item.why) for item in found.cells_changed}


def test_nothing_changed(two) -> None:
    found = two(lambda: None)
    assert found.is_empty
    assert (found.n_rows_added, found.n_rows_removed, found.n_cells_changed) == (0, 0, 0)
    assert json.loads(json.dumps(found.as_dict()))["is_empty"] is True


def test_a_number_from_another_run_names_both_runs(two, campaign) -> None:
    addresses = {"band": "c" * 64, "dos": "d" * 64, "hse06_nsc": "e" * 64}
    found = two(lambda: campaign.electronic("MgO", vbm=3.5, band_gap_hse06_nsc=6.0, addresses=addresses))
    assert (found.n_rows_changed, found.n_cells_changed) == (1, 3)
    assert cells(found) == {
        ("MgO", "vbm"): (3.07, 3.5, f"band: {'b' * 12} -> {'c' * 12}"),
        ("MgO", "address_band"): ("b" * 64, "c" * 64, f"band: {'b' * 12} -> {'c' * 12}"),
        ("MgO", "band_gap_hse06_nsc"): (6.57, 6.0, "the same runs; the document was built again"),
    }
    assert found.reasons == {"other run": 2, "built again": 1}
    assert {item.row for item in found.cells_changed} == {material_id("MgO")}


def test_a_number_that_went_missing_has_its_code(two, campaign) -> None:
    campaign.electronic("ZnO", cbm=None)
    found = two(lambda: (campaign.electronic("MgO", vbm=None), campaign.electronic("ZnO")))
    assert cells(found) == {
        ("MgO", "vbm"): (3.07, None, "is missing now: not_given"),
        ("ZnO", "cbm"): (None, 7.73, "was missing: not_given"),
    }


def test_another_version_of_the_code_is_a_reason(two, campaign) -> None:
    found = two(lambda: campaign.electronic("MgO", vbm=3.071, calculator_version="6.5.0"))
    assert cells(found)["MgO", "vbm"] == (3.07, 3.071, "6.4.2 -> 6.5.0")


def test_rows_come_and_go_with_the_reason(two, campaign) -> None:
    campaign.candidate("CaO")
    campaign.candidate("SrO", submit=False)

    def change() -> None:
        campaign.complete("CaO")
        campaign.complete("BaO")
        campaign.electronic("ZnO", flags=("dos: VBM above CBM",))
        campaign.candidate("SrO")

    found = two(change)
    assert {item.formula: item.why for item in found.rows_added} == {
        "CaO": "was left out: unfinished (no relaxation and no electronic document yet)",
        "BaO": "the candidate is new",
    }
    assert {item.formula: item.why for item in found.rows_removed} == {"ZnO": "is left out: flagged (dos: VBM above CBM)"}
    assert (found.n_rows_added, found.n_rows_removed, found.n_cells_changed) == (2, 1, 0)


def test_candidates_that_stay_outside_are_counted_by_their_reasons(two, campaign) -> None:
    campaign.candidate("CaO")
    found = two(lambda: campaign.outcome("CaO", "failed", "band: killed"))
    assert found.left_out_moves == {"unfinished -> no_result": 1}
    assert found.is_empty, "no row changed"


def test_another_filter_is_said_to_be_one(two, campaign) -> None:
    campaign.electronic("ZnO", flags=("odd",))
    found = two(lambda: None, include_flagged=True)
    (added,) = found.rows_added
    assert added.why == "was left out: flagged (odd); the exports have different filters"


def test_two_series_are_compared_by_material(campaign, tmp_path) -> None:
    for version, gap in ((1, 4.66), (2, 4.7)):
        campaign.complete("MgO", protocol_version=version, band_gap_pbesol=gap)
        export(campaign.store, "electronic", tmp_path / str(version), protocol_version=version)
    found = diff(tmp_path / "1", tmp_path / "2")
    assert (found.n_rows_added, found.n_rows_removed, found.n_rows_changed) == (0, 0, 1)
    (change,) = found.cells_changed
    assert (change.column, change.before, change.after) == ("band_gap_pbesol", 4.66, 4.7)
    assert change.why == "vasp, protocol pbesol version 1 -> vasp, protocol pbesol version 2"


def test_vacancies_are_compared_one_by_one(vacancies, tmp_path) -> None:
    vacancies.host("MgO")
    for charge in (0, 1, 2):
        vacancies.vacancy("MgO", "O1", charge)
    export(vacancies.store, "oxygen_vacancy", tmp_path / "a")
    vacancies.vacancy("MgO", "O1", 1, left_out="perturbed_host", edge_state="shallow_electron")
    vacancies.vacancy("MgO", "O1", 2, correction=0.5, addresses={"vacancy-Va_O1_2": "8" * 64, "supercell": "5" * 64})
    export(vacancies.store, "oxygen_vacancy", tmp_path / "b")
    found = diff(tmp_path / "a", tmp_path / "b")
    (removed,) = found.rows_removed
    assert removed.row == f"{material_id('MgO')}:Va_O1_1"
    assert removed.why == "is left out: flagged (perturbed_host: no reason given)"
    changed = cells(found)
    assert changed["MgO", "correction"][2] == f"vacancy: {'7' * 12} -> {'8' * 12}"


def test_the_count_is_of_all_changes_and_the_list_as_long_as_wanted(two, campaign) -> None:
    def change() -> None:
        for formula in ("MgO", "ZnO"):
            campaign.electronic(formula, vbm=1.0, cbm=2.0)

    found = two(change, limit=3)
    assert (found.n_cells_changed, len(found.cells_changed)) == (4, 3)


def test_an_edited_export_and_another_table_are_refused(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    for table in ("electronic", "structures"):
        export(campaign.store, table, tmp_path / table)
    with pytest.raises(HibanaError, match=r"HIB-141.*electronic and structures"):
        diff(tmp_path / "electronic", tmp_path / "structures")
    with pytest.raises(HibanaError, match="HIB-139"):
        diff(tmp_path / "electronic", tmp_path / "nowhere")
    (tmp_path / "electronic" / "left_out.csv").write_text("material_id\n")
    with pytest.raises(HibanaError, match=r"HIB-140.*left_out.csv"):
        diff(tmp_path / "electronic", tmp_path / "electronic")


def test_a_diff_forwards_is_a_diff_backwards_turned_round(two, campaign, tmp_path: Path) -> None:
    """The same rows and cells, before and after exchanged."""
    formulas = ("BaO", "CaO", "CdO", "SrO")

    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(formulas), st.tuples(st.booleans(), st.floats(0.0, 30.0)), max_size=4))
    def check(values: dict[str, tuple[bool, float]]) -> None:
        def change() -> None:
            for formula, (is_flagged, gap) in values.items():
                campaign.complete(formula, band_gap_pbesol=gap, flags=("odd",) if is_flagged else ())

        forwards = two(change)
        backwards = diff(tmp_path / "b", tmp_path / "a")
        assert {item.row for item in forwards.rows_added} == {item.row for item in backwards.rows_removed}
        assert {item.row for item in forwards.rows_removed} == {item.row for item in backwards.rows_added}
        assert sorted((item.row, item.column, str(item.before), str(item.after)) for item in forwards.cells_changed) == sorted(
            (item.row, item.column, str(item.after), str(item.before)) for item in backwards.cells_changed
        )

    check()
