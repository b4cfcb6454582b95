"""The verbs that show results, as a user types them, on a real server."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from hibana.cli.main import main


@pytest.fixture
def hibana(launchpad_file, monkeypatch, capsys):
    """Runs one command line; gives exit code, standard output, standard error."""
    monkeypatch.setenv("HIBANA_LAUNCHPAD", str(launchpad_file))
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def test_export_writes_the_table_and_says_where(campaign, hibana, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.candidate("CaO", submit=False)
    code, out, err = hibana("export", "electronic", "-o", str(tmp_path / "tables"))
    assert (code, err) == (0, "")
    assert "electronic: 1 rows (vasp, protocol pbesol version 1)" in out
    assert "left out: 1 not_submitted" in out
    assert str(tmp_path / "tables" / "electronic.parquet") in out
    assert len(pd.read_parquet(tmp_path / "tables" / "electronic.parquet")) == 1


def test_export_for_scripts(campaign, hibana, tmp_path) -> None:
    campaign.complete("MgO", flags=("dos: a flag",))
    campaign.complete("MgO", calculator="gpaw-rehearsal")
    code, out, _ = hibana("export", "electronic", "--output", str(tmp_path / "t"), "--json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "HIB-131"
    words = ("--calculator", "vasp", "--include-flagged", "--json")
    code, out, _ = hibana("export", "electronic", "--output", str(tmp_path / "t"), *words)
    assert code == 0
    report = json.loads(out)
    assert (report["n_rows"], report["calculator"], report["left_out"]) == (1, "vasp", {})
    assert all(path.startswith(str(tmp_path / "t")) for path in report["files"])


def test_summary_prints_a_line_a_material(campaign, hibana, names, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("Al", gap_class="metal", band_gap_pbesol=0.0, is_gap_direct=None, band_gap_hse06_nsc=None)
    campaign.complete(
        "ZnO", calculator="gpaw-rehearsal", is_gap_direct=False, flags=("band: [odd] flag",), band_gap_hse06_nsc=None
    )
    campaign.relaxation("ZnO", calculator="gpaw-rehearsal", a=3.24, b=3.24, c=5.24, gamma=120.0)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "MgO.png").touch()
    code, out, err = hibana("summary", "--files", str(tmp_path / "figures"))
    assert (code, err) == (0, "")
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.strip()}
    assert lines["MgO"] == f"MgO Fm-3m (225) a 4.210 4.66 direct 6.57 {names('MgO')}"
    assert lines["Al"] == f"Al Fm-3m (225) a 4.210 metal – {names('Al')}"
    assert f"ZnO Fm-3m (225) a 3.240 c 5.240 4.66 indirect – {names('ZnO')}" in " ".join(out.split())
    assert f"ZnO {names('ZnO')}: band: [odd] flag" in out
    assert out.index("gpaw-rehearsal, protocol pbesol version 1") < out.index("vasp, protocol pbesol version 1")
    assert str(tmp_path / "figures" / "MgO.png") in out


def test_summary_for_scripts_and_of_one_series(campaign, hibana) -> None:
    campaign.complete("MgO")
    campaign.complete("MgO", calculator="gpaw-rehearsal", band_gap_pbesol=4.5)
    _, out, _ = hibana("summary", "--json", "--calculator", "gpaw-rehearsal")
    (line,) = json.loads(out)["materials"]
    assert (line["formula"], line["band_gap_pbesol"], line["space_group_number"]) == ("MgO", 4.5, 225)
    assert line["lattice"] == [4.21, 4.21, 4.21, 90, 90, 90]
    assert set(line["addresses"]) == {"structure_opt", "band", "dos", "hse06_nsc"}
    _, out, _ = hibana("summary", "--json")
    assert len(json.loads(out)["materials"]) == 2


def test_summary_of_an_empty_store(hibana) -> None:
    code, out, _ = hibana("summary")
    assert code == 0
    assert "no results yet" in out


def test_figures_say_why_there_is_none(campaign, hibana, names, tmp_path) -> None:
    campaign.candidate("MgO")
    assert "no result yet" in hibana("figures", "-o", str(tmp_path / "figures"))[2]
    campaign.complete("MgO", addresses={}, status="unavailable", reason="band: killed", gap_class="unknown")
    code, out, err = hibana("figures", "-o", str(tmp_path / "figures"))
    assert (code, out) == (0, "")
    assert f"no figure of MgO {names('MgO')}: no band run; band: killed" in err
    assert hibana("figures", "-o", str(tmp_path), "--material", "ZnO")[2].startswith("HIB-153")
    assert hibana("figures", "-o", str(tmp_path), "--format", "bmp")[2].startswith("HIB-154")


def test_a_wrong_launchpad_file_is_a_message(hibana, tmp_path) -> None:
    code, _, err = hibana("summary", "--launchpad", str(tmp_path / "missing.yaml"))
    assert code == 2
    assert err.startswith("HIB-072")
