"""``hibana screen`` as a user types it."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from hibana.cli.main import main
from hibana.structures.identity import make_candidate
from hibana.structures.matching import FAMILY_RULE
from hibana.structures.reading import ReadStructure
from prototypes import make_prototypes

PROTOTYPES = make_prototypes()
MGO, ZNO = PROTOTYPES["rock salt MgO"], PROTOTYPES["wurtzite ZnO"]


@pytest.fixture
def hibana(monkeypatch, capsys, tmp_path):
    """Runs one command line in a folder of its own; gives exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIBANA_LAUNCHPAD", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "MgO.cif").write_text(MGO.to(fmt="cif"))
    (folder / "copy.vasp").write_text(MGO.get_primitive_structure().to(fmt="poscar"))
    (folder / "ZnO.json").write_text(json.dumps(ZNO.as_dict()))
    (folder / "ZnS.json").write_text(json.dumps(PROTOTYPES["zinc blende ZnS"].as_dict()))
    (folder / "broken.cif").write_text("data_x\n")
    (folder / "README").write_text("")
    return folder


def test_one_command_from_files_to_candidates(hibana, inputs, tmp_path):
    code, out, err = hibana("screen", str(inputs), "--rules", "oxides", "-o", "out", "-j", "1")
    assert (code, err) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("candidates.jsonl.gz", "report.csv", "summary.json", "funnel.png")
    }
    assert "inputs                      5" in out
    assert "families: 3 of 3 different crystals" in out
    assert "unreadable: 1, see out/report.csv" in out
    assert (tmp_path / "out" / "funnel.png").stat().st_size > 10_000


def test_for_scripts(hibana, inputs):
    _, out, _ = hibana("screen", str(inputs), "--rules", "oxides", "-o", "out", "-j", "1", "--json")
    summary = json.loads(out)
    assert summary["fates"] == {
        **{"candidate": 2, "in_store": 0, "duplicate": 1},
        **{"refused": 1, "unreadable": 1, "passed_over": 1},
    }
    assert summary["files"]["candidates"] == "out/candidates.jsonl.gz"
    assert summary["funnel"][-1] == {"step": "duplicates", "left": 2}


def test_the_folder_of_results_is_not_read_again(hibana, inputs):
    words = ("screen", "in", "-o", "in/out", "-j", "1", "--json")
    assert json.loads(hibana(*words)[1]) == json.loads(hibana(*words)[1])


def test_the_standard_input(hibana, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(MGO.as_dict()).encode())))
    _, out, _ = hibana("screen", "-", "--json", "-j", "1")
    assert json.loads(out)["fates"]["candidate"] == 1


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("nowhere",), "HIB-016"),
        (("empty",), "HIB-014"),
        (("in", "--rules", "nothing"), "HIB-023"),
        (("in", "--values", "in/README"), "HIB-025"),
        (("in", "-o", "in/README/x"), "HIB-168"),
        (("in", "--not-in-store", "tasks"), "HIB-169"),
        (("in", "--not-in-store", "electronic"), "HIB-07"),
    ],
)
def test_mistakes_have_numbers_and_leave_no_candidates(hibana, inputs, tmp_path, words, number):
    (tmp_path / "empty").mkdir()
    code, _, err = hibana("screen", *words)
    assert code == 2
    assert err.startswith(number)
    assert not list(tmp_path.rglob("candidates*"))


def test_what_the_store_has_is_left_out(hibana, inputs, campaign, launchpad_file):
    candidate = make_candidate(ReadStructure(ZNO, "x"))
    campaign.store.add_candidate(candidate)
    words = ("screen", str(inputs), "-l", str(launchpad_file), "-j", "1", "--json", "-o", "out")
    fates = [json.loads(hibana(*words, "--not-in-store", name)[1])["fates"] for name in ("candidates", "electronic")]
    assert [item["in_store"] for item in fates] == [1, 0]
    assert [item["candidate"] for item in fates] == [2, 3]


def test_the_candidates_are_submitted(hibana, inputs, launchpad, launchpad_file):
    hibana("screen", str(inputs), "--rules", "oxides", "-o", "out", "-j", "1")
    words = ("submit", "out", "--flow", "electronic", "--protocol", "pbesol-demo", "-c", "gpaw-rehearsal")
    code, out, _ = hibana(*words, "-l", str(launchpad_file), "--json")
    assert code == 0, out
    assert launchpad.workflows.count_documents({}) == 2
    with gzip.open("out/candidates.jsonl.gz", "rt") as file:
        lines = [json.loads(line) for line in file]
    stored = {doc["_id"]: doc["families"] for doc in launchpad.db["candidates"].find()}
    assert stored == {line["material_id"]: [{"label": line["family"], "rule": FAMILY_RULE}] for line in lines}
    assert set(stored) == {make_candidate(ReadStructure(structure, "x")).material_id for structure in (MGO, ZNO)}
