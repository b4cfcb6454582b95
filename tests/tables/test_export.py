from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from hibana.core.errors import HibanaError
from hibana.core.units import unit_of
from hibana.documents.properties import ElectronicDoc
from hibana.tables.export import export

FILES = {
    *("electronic.parquet", "electronic.csv", "structures.jsonl.gz", "left_out.csv"),
    *("dictionary.json", "manifest.json", "croissant.json", "README.md"),
}


def left_out(folder: Path) -> dict[str, tuple[str, str]]:
    """Formula to (code, reason) of ``left_out.csv``."""
    with (folder / "left_out.csv").open(newline="") as file:
        return {line["formula"]: (line["code"], line["reason"]) for line in csv.DictReader(file)}


def test_a_row_holds_what_both_documents_say(campaign, names, tmp_path) -> None:
    campaign.complete("MgO")
    folder = tmp_path / "a" / "new" / "folder"
    report = export(campaign.store, "electronic", folder)
    assert (report.n_rows, report.left_out) == (1, {})
    assert {path.name for path in report.files} == FILES == {path.name for path in folder.iterdir()}
    (row,) = pq.read_table(folder / "electronic.parquet").to_pylist()
    assert row["material_id"] == names("MgO")
    assert (row["a"], row["space_group_symbol"], row["energy_per_atom"]) == (4.21, "Fm-3m", -6.25)
    assert (row["band_gap_pbesol"], row["band_gap_hse06_nsc"], row["is_gap_direct"]) == (4.66, 6.57, True)
    assert (row["calculator"], row["protocol"], row["protocol_version"]) == ("vasp", "pbesol", 1)
    assert [row[f"address_{task}"][0] for task in ("structure_opt", "band", "dos", "hse06_nsc")] == ["a", "b", "d", "e"]
    assert row["flags"] == []


def test_parquet_and_csv_say_the_same_and_missing_is_never_zero(campaign, tmp_path) -> None:
    campaign.complete("MgO", band_gap_hse06_nsc=None, status="partial", reason="hse06_nsc: killed")
    campaign.complete("ZnO", band_gap_pbesol=1 / 3, vbm=float("nan"), is_gap_direct=None)
    campaign.complete("Al", gap_class="metal", band_gap_pbesol=0.0, band_gap_hse06_nsc=None, is_gap_direct=None)
    export(campaign.store, "electronic", tmp_path)
    parquet = pd.read_parquet(tmp_path / "electronic.parquet").set_index("formula")
    text = pd.read_csv(tmp_path / "electronic.csv", keep_default_na=False, na_values=[""]).set_index("formula")
    assert list(parquet.columns) == list(text.columns)
    assert sorted(parquet.index) == sorted(text.index) == ["Al", "MgO", "ZnO"]
    numbers = parquet.select_dtypes("number").columns
    pd.testing.assert_frame_equal(parquet[numbers], text[numbers], check_dtype=False, check_exact=True)
    for table in (parquet, text):
        assert pd.isna(table.loc["MgO", "band_gap_hse06_nsc"])
        assert pd.isna(table.loc["ZnO", "vbm"])
        assert pd.isna(table.loc["Al", "band_gap_hse06_nsc"])
        assert table.loc["Al", "band_gap_pbesol"] == 0.0
        assert table.loc["ZnO", "band_gap_pbesol"] == 1 / 3
        assert table.loc["MgO", "reason"] == "hse06_nsc: killed"


def test_a_formula_spelled_nan_survives(campaign, tmp_path) -> None:
    campaign.complete("NaN")
    export(campaign.store, "electronic", tmp_path)
    assert pd.read_parquet(tmp_path / "electronic.parquet")["formula"].tolist() == ["NaN"]
    text = pd.read_csv(tmp_path / "electronic.csv", keep_default_na=False, na_values=[""])
    assert text["formula"].tolist() == ["NaN"]


def test_units_and_meanings_travel_with_the_columns(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    export(campaign.store, "electronic", tmp_path)
    schema = pq.read_schema(tmp_path / "electronic.parquet")
    dictionary = json.loads((tmp_path / "dictionary.json").read_text())
    columns = {column["name"]: column for column in dictionary["columns"]}
    assert list(columns) == schema.names
    assert columns["vbm"]["unit"] == unit_of(ElectronicDoc, "vbm") == "eV"
    for name, column in columns.items():
        assert set(column) == {"name", "type", "unit", "meaning", "source", "steps", "allowed"}
        metadata = {key.decode(): value.decode() for key, value in schema.field(name).metadata.items()}
        metadata.pop("PARQUET:field_id", None)
        steps = {"steps": ",".join(column["steps"])} if column["steps"] else {}
        assert (metadata.pop("allowed", None) is None) == (column["allowed"] is None)
        assert metadata == {key: column[key] for key in ("unit", "meaning", "source") if column[key] is not None} | steps
    assert columns["gap_class"]["steps"] == ["band", "dos"]
    assert schema.metadata[b"calculator"] == b"vasp"


def test_two_exports_of_one_state_are_the_same_bytes(campaign, tmp_path) -> None:
    for formula in ("ZnO", "MgO", "Al", "SnO2"):
        campaign.complete(formula)
    campaign.candidate("CaO", submit=False)
    contents = []
    for name in ("first", "second"):
        export(campaign.store, "electronic", tmp_path / name)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
    rows = pd.read_parquet(tmp_path / "first" / "electronic.parquet")["material_id"].tolist()
    assert rows == sorted(rows)
    assert len(rows) == 4


def test_pages_of_documents_join_without_a_seam(campaign, tmp_path, monkeypatch) -> None:
    """Pages of two documents, with as many rows, one more, and one less; and a collection much shorter than the others."""
    for number, formula in enumerate(("ZnO", "MgO", "Al", "SnO2", "CaO", "SrO", "BaO")):
        campaign.complete(formula) if number != 3 else campaign.candidate(formula)
        campaign.outcome(formula, "failed", "killed") if number == 3 else None
    export(campaign.store, "electronic", tmp_path / "one")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    for size in (1, 2, 6, 7, 8):
        monkeypatch.setattr("hibana.tables.reading.PAGE", size)
        export(campaign.store, "electronic", tmp_path / str(size))
        assert {path.name: path.read_bytes() for path in (tmp_path / str(size)).iterdir()} == whole
    assert left_out(tmp_path / "one") == {"SnO2": ("no_result", "killed")}


def test_every_candidate_without_a_row_is_listed_with_its_reason(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("ZnO", flags=("dos: VBM above CBM",))
    campaign.candidate("CaO", submit=False)
    campaign.candidate("SrO")
    campaign.candidate("BaO")
    campaign.outcome("BaO", "failed", "band: killed by the queue")
    campaign.candidate("NiO")
    campaign.relaxation("NiO", status="unavailable", reason="structure_opt: 10 rounds")
    campaign.electronic("NiO", status="unavailable", reason="structure_opt: 10 rounds", gap_class="unknown")
    campaign.outcome("NiO", "failed", "structure_opt: 10 rounds")
    campaign.candidate("CdO")
    campaign.relaxation("CdO")
    report = export(campaign.store, "electronic", tmp_path)
    assert report.n_rows == 1
    assert left_out(tmp_path) == {
        "ZnO": ("flagged", "dos: VBM above CBM"),
        "CaO": ("not_submitted", "was not submitted with this calculator and protocol"),
        "SrO": ("unfinished", "no relaxation and no electronic document yet"),
        "BaO": ("no_result", "band: killed by the queue"),
        "NiO": ("unavailable", "relaxation: structure_opt: 10 rounds"),
        "CdO": ("unfinished", "no electronic document yet"),
    }
    assert report.left_out == {"flagged": 1, "not_submitted": 1, "unfinished": 2, "no_result": 1, "unavailable": 1}
    card = (tmp_path / "README.md").read_text()
    assert "- **Rows**: 1," in card
    for formula, (_, reason) in left_out(tmp_path).items():
        assert any(f"| {formula} |" in line and reason in line for line in card.splitlines())


def test_flagged_rows_can_be_kept_and_say_so(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("ZnO", flags=("dos: VBM above CBM", "band: algo changed"))
    report = export(campaign.store, "electronic", tmp_path, include_flagged=True)
    assert (report.n_rows, report.left_out) == (2, {})
    rows = pd.read_parquet(tmp_path / "electronic.parquet").set_index("formula")
    assert rows.loc["ZnO", "flags"].tolist() == ["dos: VBM above CBM", "band: algo changed"]
    text = pd.read_csv(tmp_path / "electronic.csv").set_index("formula")
    assert text.loc["ZnO", "flags"] == "dos: VBM above CBM;band: algo changed"
    assert "kept, 1 of the rows" in (tmp_path / "README.md").read_text()


def test_calculators_protocols_and_versions_are_not_mixed(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("MgO", calculator="gpaw-rehearsal", protocol="pbesol-demo", band_gap_pbesol=4.5)
    with pytest.raises(HibanaError, match="HIB-131") as caught:
        export(campaign.store, "electronic", tmp_path / "mixed")
    assert "gpaw-rehearsal" in str(caught.value)
    assert "--calculator" in caught.value.fix
    assert not (tmp_path / "mixed").exists()
    for calculator, gap in (("vasp", 4.66), ("gpaw-rehearsal", 4.5)):
        report = export(campaign.store, "electronic", tmp_path / calculator, calculator=calculator)
        assert report.series.calculator == calculator
        rows = pd.read_parquet(tmp_path / calculator / "electronic.parquet")
        assert rows["band_gap_pbesol"].tolist() == [gap]
        assert set(rows["calculator"]) == {calculator}
    assert "Rehearsal" in (tmp_path / "gpaw-rehearsal" / "README.md").read_text()
    assert "Rehearsal" not in (tmp_path / "vasp" / "README.md").read_text()
    campaign.complete("MgO", protocol_version=2)
    with pytest.raises(HibanaError, match="HIB-131"):
        export(campaign.store, "electronic", tmp_path / "mixed", calculator="vasp")
    report = export(campaign.store, "electronic", tmp_path / "new", calculator="vasp", protocol_version=2)
    assert report.series.protocol_version == 2


def test_a_campaign_without_results_gives_an_honest_empty_table(campaign, tmp_path) -> None:
    campaign.candidate("MgO")
    report = export(campaign.store, "electronic", tmp_path)
    assert report.n_rows == 0
    table = pq.read_table(tmp_path / "electronic.parquet")
    assert table.num_rows == 0
    assert "band_gap_pbesol" in table.column_names
    assert len((tmp_path / "electronic.csv").read_text().splitlines()) == 1
    assert "The table has no rows" in (tmp_path / "README.md").read_text()
    assert left_out(tmp_path)["MgO"][0] == "unfinished"


def test_an_empty_store_an_unknown_series_and_an_unknown_table_are_errors(campaign, tmp_path) -> None:
    with pytest.raises(HibanaError, match="HIB-133"):
        export(campaign.store, "electronic", tmp_path / "out")
    campaign.complete("MgO")
    with pytest.raises(HibanaError, match="HIB-132"):
        export(campaign.store, "electronic", tmp_path / "out", protocol="scan")
    with pytest.raises(HibanaError, match=r"HIB-130.*'electronics'; there are: electronic"):
        export(campaign.store, "electronics", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_an_error(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HibanaError, match="HIB-134"):
        export(campaign.store, "electronic", tmp_path / "file")
    with pytest.raises(HibanaError, match="HIB-134"):
        export(campaign.store, "electronic", tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_folder_nobody_may_write_is_an_error(campaign) -> None:
    """Not even root makes a folder in /proc."""
    campaign.complete("MgO")
    with pytest.raises(HibanaError, match=r"HIB-134.*\n.*where: /proc/tables"):
        export(campaign.store, "electronic", Path("/proc/tables"))


def test_an_export_that_fails_leaves_the_last_one_as_it_was(campaign, tmp_path, monkeypatch) -> None:
    campaign.complete("MgO")
    export(campaign.store, "electronic", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    campaign.complete("ZnO")

    def full_disk(*_args: object, **_kwargs: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hibana.tables.export.card", full_disk)
    with pytest.raises(HibanaError, match=r"HIB-134.*No space left"):
        export(campaign.store, "electronic", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_readme_that_is_no_card_is_not_overwritten(campaign, tmp_path) -> None:
    campaign.complete("MgO")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "README.md").write_text("# my project\n")
    with pytest.raises(HibanaError, match="HIB-135"):
        export(campaign.store, "electronic", folder)
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    (folder / "README.md").unlink()
    export(campaign.store, "electronic", folder)
    export(campaign.store, "electronic", folder)
