"""``hibana export`` and ``hibana diff`` as a user types them, on a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hibana.cli.export import TABLES as LISTED
from hibana.cli.main import main
from hibana.tables.registry import TABLES


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


def test_help_lists_the_tables_there_are() -> None:
    assert set(LISTED) == set(TABLES)


def test_formats_licence_and_citation_arrive(campaign, hibana, tmp_path) -> None:
    campaign.complete("MgO")
    folder = tmp_path / "t"
    more = ("--format", "jsonl", "--format", "hdf5", "--licence", "CC-BY-4.0", "--citation", "A. Author (2026)")
    code, out, err = hibana("export", "electronic", "-o", str(folder), *more)
    assert (code, err) == (0, "")
    said = json.loads((folder / "manifest.json").read_text())
    assert f"snapshot: {said['snapshot']}" in out
    assert (said["licence"], said["citation"]) == ("CC-BY-4.0", ["A. Author (2026)"])
    assert {"electronic.jsonl", "electronic.h5"} <= set(said["files"])
    code, out, _ = hibana("export", "electronic", "-o", str(folder), "--format", "xlsx", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "HIB-142")


def test_diff_says_what_changed_and_why(campaign, hibana, tmp_path) -> None:
    campaign.complete("MgO")
    campaign.complete("ZnO")
    campaign.candidate("CaO")

    def keep() -> Path:
        code, out, _ = hibana("export", "electronic", "-o", str(tmp_path / "tables"), "--keep", "--json")
        assert code == 0
        return Path(json.loads(out)["directory"])

    before = keep()
    assert hibana("diff", str(before), str(before))[1].startswith("electronic: both contain the same (snapshot ")
    addresses = {"band": "c" * 64, "dos": "d" * 64, "hse06_nsc": "e" * 64}
    campaign.electronic("MgO", vbm=3.5, cbm=None, addresses=addresses)
    campaign.electronic("ZnO", flags=("dos: VBM above CBM",))
    campaign.complete("CaO")
    after = keep()
    code, out, err = hibana("diff", str(before), str(after))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "rows: 1 added, 1 removed, 1 changed in 3 cells" in lines
    assert any(line.endswith("CaO: was left out: unfinished (no relaxation and no electronic document yet)") for line in lines)
    assert any(line.startswith("- ") and line.endswith("ZnO: is left out: flagged (dos: VBM above CBM)") for line in lines)
    assert any(line.endswith(f"MgO vbm: 3.07 -> 3.5 (band: {'b' * 12} -> {'c' * 12})") for line in lines)
    assert any("MgO cbm: 7.73 -> missing" in line for line in lines)
    code, out, _ = hibana("diff", str(before), str(after), "--json", "--limit", "0")
    assert code == 0
    said = json.loads(out)
    assert (said["n_cells_changed"], len(said["cells_changed"])) == (3, 3)
    assert said["reasons"] == {"other run": 3}
    _, out, _ = hibana("diff", str(before), str(after), "--limit", "1")
    assert "  … and 2 more changed cells (--limit 0 names all)" in out


def test_a_folder_that_is_no_export_is_a_message(hibana, tmp_path) -> None:
    code, out, err = hibana("diff", str(tmp_path), str(tmp_path))
    assert (code, out) == (2, "")
    assert "HIB-139" in err


def test_the_page_of_the_tables_is_printed_without_a_table(hibana) -> None:
    code, out, _ = hibana("export", "--docs")
    assert code == 0
    assert out.startswith("# Tables\n")
