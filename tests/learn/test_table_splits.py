"""``splits.json``: what is written beside a table."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from hibana.cli.main import app
from hibana.core.errors import HibanaError
from hibana.learn.dataset import read_dataset
from hibana.learn.splits import splits_of
from hibana.tables.families import duplicate_families
from hibana.tables.splits_file import write_splits


def folds_by_name(path):
    said = json.loads(path.read_text(encoding="utf-8"))
    return said, {split["name"]: pd.Series(split["fold"], index=said["row_ids"]) for split in said["splits"]}


def test_published_table_is_split_without_leaks(recorded, tmp_path):
    dataset = read_dataset(recorded / "ml_data/oxide_dielectric_pbesol")
    write_splits(splits_of(dataset, 5, 0, ["eps_electronic_avg"]), tmp_path / "splits.json")
    said, folds = folds_by_name(tmp_path / "splits.json")
    names = ["random", "reduced_formula", "chemical_system", "prototype", "duplicate_family", "cluster", "size"]
    assert list(folds) == [*names, "eps_electronic_avg_top", "eps_electronic_avg_bottom"]
    frame = dataset.frame
    for split in said["splits"]:
        if split["name"] in ("reduced_formula", "chemical_system", "prototype", "duplicate_family"):
            leak = split["leakage"][split["name"]]
            assert (leak["shared"], leak["test_rows"]) == (0, 0)
            assert max(split["test_rows"]) - min(split["test_rows"]) <= 5
    together = pd.DataFrame({"fold": folds["reduced_formula"], "formula": frame["reduced_formula"]})
    assert (together.groupby("formula")["fold"].nunique() == 1).all()
    random = next(split for split in said["splits"] if split["name"] == "random")
    assert random["leakage"]["prototype"]["share_of_test_rows"] > 0.5
    assert random["leakage"]["duplicate_family"]["test_rows"] > 0
    top = folds["eps_electronic_avg_top"]
    assert (
        frame.loc[top[top == 0].index, "eps_electronic_avg"].min() > frame.loc[top[top == -1].index, "eps_electronic_avg"].max()
    )


def test_order_of_rows_plays_no_part(recorded, tmp_path):
    whole = pd.read_csv(recorded / "ml_data/oxide_dielectric_pbesol/table.csv").head(150)
    written = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        whole.sample(frac=1, random_state=seed).to_csv(folder / "table.csv", index=False)
        table = splits_of(read_dataset(folder), 4, 3, ["band_gap_pbesol_eV"])
        write_splits(table, folder / "splits.json")
        said = json.loads((folder / "splits.json").read_text())
        said.pop("snapshot")
        written.append(said)
    assert written[0] == written[1]


def test_vacancies_of_a_host_stay_together(recorded):
    dataset = read_dataset(recorded / "ml_data/oxygen_vacancy_formation")
    table = splits_of(dataset)
    host = next(split for split in table.splits if split.name == "host")
    hosts = dataset.frame["host_formula"].to_numpy()
    for training, test in host.folds:
        assert not set(hosts[training]) & set(hosts[test])
    assert table.leaks["random"]["host"]["share_of_test_rows"] > 0.9
    assert "space group" in table.left_out["prototype"]


def test_duplicate_families_are_crystals_that_are_alike():
    rocksalt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    strained = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.25), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    zincblende = Structure.from_spacegroup("F-43m", Lattice.cubic(4.6), ["Mg", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    structures = {"a": rocksalt, "b": strained * [1, 1, 2], "c": zincblende}
    families = duplicate_families(dict.fromkeys(structures, "MgO") | {"d": "CaO"}, structures.items())
    assert families["a"] == families["b"] != families["c"]
    assert families["d"] == "CaO"


def test_few_rows_are_a_clear_message(tmp_path):
    (tmp_path / "t.csv").write_text("material_id,formula\na,MgO\nb,CaO\n")
    with pytest.raises(HibanaError, match="2 rows for 5 folds"):
        splits_of(read_dataset(tmp_path))


def test_verb_writes_beside_the_table_and_says_what_leaks(tmp_path):
    rows = [f"m{number},{formula},{number}" for number, formula in enumerate(["MgO", "CaO", "SrO", "BaO", "MgO", ""])]
    (tmp_path / "t.csv").write_text("material_id,formula,gap\n" + "\n".join(rows) + "\n")
    result = CliRunner().invoke(app, ["split", str(tmp_path), "-k", "2", "-t", "gap", "--json"])
    assert result.exit_code == 0, result.output
    said, folds = folds_by_name(tmp_path / "splits.json")
    assert json.loads(result.stdout)["rows"] == 6
    assert folds["reduced_formula"]["m0"] == folds["reduced_formula"]["m4"]
    assert folds["cluster"]["m5"] == -2
    assert said["left_out"]["duplicate_family"] == "no structures.jsonl.gz"
    assert np.isin(folds["gap_top"].to_numpy(), (0, -1)).all()
    text = CliRunner().invoke(app, ["split", str(tmp_path), "-k", "2"])
    assert "no split by prototype" in text.stdout


def test_table_with_structures_of_one_formula(tmp_path):
    cubic = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
    lines = [json.dumps({"material_id": name, "structure": (cubic * cell).as_dict()}) for name, cell in (("a", 1), ("b", 2))]
    with gzip.open(tmp_path / "structures.jsonl.gz", "wt") as file:
        file.write("\n".join(lines))
    (tmp_path / "t.csv").write_text("material_id,formula\na,Po\nb,Po\n")
    one, other = splits_of(read_dataset(tmp_path), 2).groups["duplicate_family"]
    assert one == other != "Po"
    (tmp_path / "t.csv").write_text("material_id,formula\na,Po\nb,Po\nc,Po\n")
    assert splits_of(read_dataset(tmp_path), 2).groups["duplicate_family"] == ["Po", "Po", "Po"]


def test_splits_need_no_package_of_the_extra(tmp_path):
    (tmp_path / "t.csv").write_text("material_id,formula\na,MgO\nb,CaO\nc,SrO\n")
    blocked = "import sys; sys.modules.update(dict.fromkeys(('matminer', 'sklearn', 'skops', 'torch')))"
    verb = f"from hibana.cli.main import main; main(['split', {str(tmp_path)!r}, '-k', '2'])"
    subprocess.run([sys.executable, "-c", f"{blocked}; {verb}"], check=True, capture_output=True)
    features = f"from hibana.cli.main import main; main(['learn', 'features', {str(tmp_path)!r}, '-o', {str(tmp_path)!r}])"
    result = subprocess.run([sys.executable, "-c", f"{blocked}; {features}"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "HIB-264" in result.stderr
    assert "Traceback" not in result.stderr
