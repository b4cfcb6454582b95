"""What a person who knows pandas, and not hibana, finds with the card and the files alone."""

from __future__ import annotations

import re

import h5py
import pandas as pd
import pytest
from test_bulk_tables import run_example

from hibana.protocol.protocol import load_protocol
from hibana.tables.export import export

VERSION = load_protocol("pbesol").version
KILLED = {
    "status": "partial",
    "reason": "hse06_nsc: killed",
    "reasons": {"hse06_nsc": "killed"},
    "addresses": {"band": "b" * 64, "dos": "d" * 64},
}


@pytest.fixture
def folder(campaign, tmp_path, monkeypatch):
    """An export of two materials and two that were left out; the only row of a flagged kind is called NaN as well."""
    campaign.complete("NaN", protocol_version=VERSION)
    campaign.complete("MgO", protocol_version=VERSION, band_gap_hse06_nsc=None, **KILLED)
    campaign.complete("ZnO", protocol_version=VERSION, flags=("dos: VBM above CBM",))
    campaign.candidate("BaO", protocol_version=VERSION)
    campaign.outcome("BaO", "failed", "band: killed by the queue", protocol_version=VERSION)
    export(campaign.store, "electronic", tmp_path / "t", formats=("jsonl", "hdf5"))
    monkeypatch.chdir(tmp_path / "t")
    return tmp_path / "t"


@pytest.fixture
def there(folder):
    """What the example of the card defines."""
    return run_example((folder / "README.md").read_text(encoding="utf-8"))


def test_which_functional(folder, there) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "- **Functional**: PBEsol without Hubbard U" in card
    assert there["columns"].loc["band_gap_hse06_nsc", "meaning"].startswith("HSE06 gap")
    assert f"- **Protocol**: pbesol, version {VERSION}" in card


def test_a_protocol_of_another_version_is_not_described(campaign, tmp_path) -> None:
    campaign.complete("MgO", protocol_version=VERSION + 1)
    export(campaign.store, "electronic", tmp_path)
    assert "**Functional**" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_which_unit(there) -> None:
    assert there["columns"].loc[["band_gap_pbesol", "a", "is_gap_direct"], "unit"].tolist() == ["eV", "Å", None]


def test_how_many_were_left_out_and_why(folder, there) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert re.search(r"Candidates considered\*\*: 4\n- \*\*Candidates left out\*\*: 2\n", card)
    reasons = there["left_out"].set_index("formula")["reason"]
    assert reasons.to_dict() == {"ZnO": "dos: VBM above CBM", "BaO": "band: killed by the queue"}
    row = there["table"].set_index("formula").loc["MgO"]
    assert dict(row["missing"])["band_gap_hse06_nsc"] == "failed"
    assert row["reason"] == "hse06_nsc: killed"


def test_which_run_a_number_comes_from(campaign, there) -> None:
    row = there["table"].set_index("formula").loc["NaN"]
    (step,) = there["columns"].loc["energy_per_atom", "steps"]
    assert row[f"address_{step}"] == "a" * 64
    addresses = {row[f"address_{step}"] for step in there["columns"].loc["band_gap_hse06_nsc", "steps"]}
    assert "e" * 64 in addresses


def test_the_formula_nan_survives_every_format_read_as_the_card_says(folder, there) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"`(pd\.read_json\(.*?\))`", card)
    for frame in (there["table"], there["same"], eval(lines, {"pd": pd})):
        assert set(frame["formula"]) == {"NaN", "MgO"}
        assert frame["formula"].notna().all()
        row = frame.set_index("formula").loc["MgO"]
        assert pd.isna(row["band_gap_hse06_nsc"])
    with h5py.File(folder / "electronic.h5") as file:
        assert {name.decode() for name in file["formula"]} == {"NaN", "MgO"}


def test_a_table_of_nothing_but_nan(campaign, tmp_path, monkeypatch) -> None:
    """With no other text beside it, pandas would make a number of it."""
    campaign.complete("NaN", flags=("dos: VBM above CBM",))
    monkeypatch.chdir(tmp_path)
    for name, flagged in (("in", True), ("out", False)):
        export(campaign.store, "electronic", tmp_path / name, include_flagged=flagged, formats=("jsonl",))
        monkeypatch.chdir(tmp_path / name)
        found = run_example((tmp_path / name / "README.md").read_text(encoding="utf-8"))
        if flagged:
            assert found["same"]["formula"].tolist() == found["table"]["formula"].tolist() == ["NaN"]
            assert pd.read_json("electronic.jsonl", lines=True, dtype=False)["formula"].tolist() == ["NaN"]
        else:
            assert found["left_out"]["formula"].tolist() == ["NaN"]
