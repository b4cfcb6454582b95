"""Everything in files, folders, archives and streams becomes a piece; nothing is left out without a word."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from hibana.core.errors import HibanaError
from hibana.structures import sources
from hibana.structures.intake import take_in
from hibana.structures.sources import check_paths, pieces, total_weight
from prototypes import make_prototypes

MGO = make_prototypes()["rock salt MgO"]
CIF = MGO.to(fmt="cif")
LINE = json.dumps({"material_id": "mp-1", "structure": MGO.as_dict()})


def taken(*paths: Path, without: Path | None = None):
    return [item for piece in pieces(paths, without) for item in take_in(piece)]


def outcome(*paths: Path) -> dict[str, str]:
    return {
        item.source + (f"#{item.place[0]}" if item.place[0] else ""): (
            item.facts.formula if item.facts else item.error.kind.code if item.error else "passed over"
        )
        for item in taken(*paths)
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "MgO.cif").write_text(CIF)
    (deep / "POSCAR").write_text(MGO.to(fmt="poscar"))
    (deep / "list.json.gz").write_bytes(gzip.compress(json.dumps([MGO.as_dict(), {"x": 1}]).encode()))
    (tmp_path / "a" / "lines.jsonl").write_text(f"{LINE}\n\nnot json\n")
    (tmp_path / "a" / "notes.txt").write_text("remember the milk")
    (tmp_path / "a" / "empty.cif").write_text("")
    return tmp_path


def test_a_folder_is_read_with_all_below(folder):
    assert outcome(folder) == {
        f"{folder}/MgO.cif": "MgO",
        f"{folder}/a/empty.cif": "HIB-010",
        f"{folder}/a/lines.jsonl#1": "MgO",
        f"{folder}/a/lines.jsonl#3": "HIB-013",
        f"{folder}/a/notes.txt": "passed over",
        f"{folder}/a/b/POSCAR": "MgO",
        f"{folder}/a/b/list.json.gz#1": "MgO",
        f"{folder}/a/b/list.json.gz#2": "HIB-010",
    }


def test_weights_add_up_to_all_bytes(folder):
    assert sum(piece.weight for piece in pieces([folder])) == pytest.approx(total_weight([folder]), abs=len("\nnot json\n"))


def test_a_folder_that_links_to_itself_ends_and_one_can_be_left_out(folder):
    (folder / "a" / "loop").symlink_to(folder)
    assert len(taken(folder)) == 8
    assert {Path(item.source).parent for item in taken(folder, without=folder / "a" / "b")} == {folder, folder / "a"}


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.xz"])
def test_archives_hold_the_same_as_their_folder(folder, tmp_path_factory, name):
    archive = tmp_path_factory.mktemp("packed") / name
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in files:
                packed.write(file, file.relative_to(folder))
    else:
        with tarfile.open(archive, f"w:{name.rpartition('.')[2].replace('tar', '').replace('tgz', 'gz')}") as packed:
            packed.add(folder, ".")
    plain = {source.removeprefix(f"{folder}/"): what for source, what in outcome(folder).items()}
    found = {source.removeprefix(f"{archive}!").removeprefix("./"): what for source, what in outcome(archive).items()}
    assert found == plain


def test_broken_archives_are_rows(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    with tarfile.open(tmp_path / "y.tar", "w") as packed:
        for name in ("1.cif", "2.cif"):
            info = tarfile.TarInfo(name)
            info.size = len(CIF)
            packed.addfile(info, io.BytesIO(CIF.encode()))
    whole = (tmp_path / "y.tar").read_bytes()
    (tmp_path / "y.tar").write_bytes(whole[:1200])
    lines = [LINE, *(json.dumps({"digest": sha256(bytes([number])).hexdigest()}) for number in range(200))]
    (tmp_path / "z.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode())[:-400])
    found = outcome(tmp_path)
    assert found[f"{tmp_path}/x.zip"] == "HIB-021"
    assert "HIB-021" in {found.get(f"{tmp_path}/y.tar"), found.get(f"{tmp_path}/y.tar!1.cif")}
    assert found[f"{tmp_path}/z.jsonl.gz"] == "HIB-013"
    assert found[f"{tmp_path}/z.jsonl.gz#1"] == "MgO"


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        (CIF, ["MgO"]),
        (f"# a comment\n{CIF}", ["MgO"]),
        (MGO.to(fmt="poscar"), ["MgO"]),
        (json.dumps(MGO.as_dict(), indent=2), ["MgO"]),
        (json.dumps([MGO.as_dict()] * 2), ["MgO", "MgO"]),
        (f"{LINE}\n{LINE}\n", ["MgO", "MgO"]),
        ("", ["HIB-010"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_standard_input_is_known_by_what_it_holds(monkeypatch, text, formulas, packed):
    raw = gzip.compress(text.encode()) if packed else text.encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    found = taken(Path("-"))
    assert [item.facts.formula if item.facts else item.error.kind.code for item in found] == formulas
    assert len({item.place for item in found}) == len(found)


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_list_is_read_entry_by_entry(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(sources, "LARGE", 1)
    monkeypatch.setattr(sources, "READ", 700)
    text = json.dumps([MGO.as_dict(), {"x": "]},["}, {"material_id": "mp-2", "structure": MGO.as_dict()}], indent=1)
    path = tmp_path / ("x.json" + ".gz" * packed)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert outcome(path) == {f"{path}#1": "MgO", f"{path}#2": "HIB-010", f"{path}#3": "MgO"}
    assert [piece.kind for piece in pieces([path])] == ["jsonl"] * 3
    path.write_bytes(gzip.compress(text[:-500].encode()) if packed else text[:-500].encode())
    assert outcome(path) == {f"{path}#1": "MgO", f"{path}#2": "HIB-010", f"{path}#3": "HIB-013"}


def test_one_bad_block_of_a_cif_does_not_take_the_others_with_it(tmp_path):
    text = CIF + CIF.replace("data_MgO", "data_bad").replace("1.0\n", "0.5\n").replace("  1\n", "  0.5\n")
    (tmp_path / "two.cif").write_text(text + "\ndata_global\n_journal_year 2020\n")
    assert list(outcome(tmp_path / "two.cif").values()) == ["MgO", "HIB-011"]


def test_a_path_that_is_not_there_is_told_at_once(tmp_path):
    (tmp_path / "x.cif").touch()
    with pytest.raises(HibanaError) as caught:
        check_paths([tmp_path, tmp_path / "nowhere", Path("-")])
    assert caught.value.kind.code == "HIB-016"
    assert total_weight([Path("-"), tmp_path]) is None


def test_a_folder_without_any_file_to_read_is_told_at_once(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "notes.txt").touch()
    with pytest.raises(HibanaError, match=rf"HIB-014.*\n.*{tmp_path}") as caught:
        check_paths([tmp_path])
    assert "POSCAR*" in str(caught.value)
    for name in ("POSCAR_1", "dump.TAR.gz", "a.zip", "x.ndjson"):
        (tmp_path / "below" / name).touch()
        check_paths([tmp_path])
        (tmp_path / "below" / name).unlink()
