"""Features of tables: rows, reasons, cache, files, and the verb."""

from __future__ import annotations

import dataclasses
import gzip
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from hibana.cli.main import app
from hibana.core.errors import HibanaError
from hibana.learn.dataset import read_dataset
from hibana.learn.features import crystals
from hibana.learn.features.composition import composition_features
from hibana.learn.features.files import read_features, write_features
from hibana.learn.features.parallel import DIED, Outcomes
from hibana.learn.features.sites import site_features
from hibana.learn.features.structure import structure_features
from hibana.learn.features.table import features_of, featurise
from hibana.learn.spectra.graphs import graphs_of

ROCKSALT = [[0, 0, 0], [0.5, 0.5, 0.5]]


def rocksalt(metal):
    return Structure(2.1 * (np.ones((3, 3)) - np.eye(3)), [metal, "O"], ROCKSALT)


def write_table(folder, rows, structures, name="material_id"):
    pd.DataFrame(rows).to_csv(folder / "oxides.csv", index=False)
    lines = (json.dumps({name: key, "structure": structure.as_dict()}) + "\n" for key, structure in structures.items())
    with gzip.open(folder / "structures.jsonl.gz", "wt") as file:
        file.writelines(lines)
    return read_dataset(folder)


@pytest.fixture
def oxides(tmp_path):
    """Three rows that are fine in another order than their structures, one disordered, one without structure or formula."""
    rows = [
        {"material_id": key, "formula": formula}
        for key, formula in (("b", "CaO"), ("a", "MgO"), ("d", "Mg2O2"), ("c", "SrO"), ("e", ""))
    ]
    disordered = Structure(Lattice.cubic(4), [{"Sr": 0.5}, "O"], ROCKSALT)
    structures = {"a": rocksalt("Mg"), "b": rocksalt("Ca"), "c": disordered, "d": rocksalt("Mg") * [2, 1, 1], "x": rocksalt("Ba")}
    return write_table(tmp_path, rows, structures)


def test_features_come_to_their_rows(oxides):
    table = featurise(oxides)
    assert table.frame.index.tolist() == ["b", "a", "d", "c", "e"]
    expected = structure_features([rocksalt("Ca"), rocksalt("Mg")])
    np.testing.assert_array_equal(table.frame.loc[["b", "a"], expected.columns], expected)
    formulas = composition_features(["CaO", "MgO", "MgO", "SrO"])
    np.testing.assert_allclose(table.frame[formulas.columns].iloc[:4], formulas)
    assert table.frame.loc["e"].isna().all()
    assert list(table.failures) == ["c", "e"]
    assert table.failures["c"].startswith("structure: HIB-011")
    assert table.failures["e"] == "structure: no structure; composition: formula holds no formula of elements up to Lr"
    assert table.frame.columns.tolist() == [entry.name for entry in table.features]
    assert table.units["density"] == "g/cm^3"


def test_processes_give_the_same_as_one(oxides):
    pd.testing.assert_frame_equal(features_of(oxides, ("structure",), workers=2), features_of(oxides, ("structure",)))


def test_cache_spares_the_work_and_changes_nothing(oxides, tmp_path, monkeypatch):
    steps = []
    fresh = featurise(oxides, cache=tmp_path / "cache", progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5)]

    def nothing_to_do(tasks, workers):
        assert list(tasks) == []
        return iter(())

    monkeypatch.setattr(crystals, "work_on", nothing_to_do)
    again = featurise(oxides, cache=tmp_path / "cache")
    pd.testing.assert_frame_equal(again.frame, fresh.frame)
    assert again.failures == fresh.failures


def test_crystal_that_took_its_process_with_it_is_tried_again(oxides, tmp_path, monkeypatch):
    work_on = crystals.work_on
    monkeypatch.setattr(crystals, "work_on", lambda tasks, workers: ((task, Outcomes(DIED, {})) for task in tasks))
    assert featurise(oxides, cache=tmp_path / "cache").failures["a"] == f"structure: {DIED}"
    monkeypatch.setattr(crystals, "work_on", work_on)
    assert "a" not in featurise(oxides, cache=tmp_path / "cache").failures


@pytest.mark.parametrize(("error", "kept"), [(ValueError("no neighbours"), True), (TypeError("a slip"), False)])
def test_only_what_a_crystal_is_to_blame_for_is_kept(oxides, tmp_path, monkeypatch, error, kept):
    def fail(*_):
        raise error

    def both():
        graphs = graphs_of(oxides, 8, cache=tmp_path / "graphs")
        return featurise(oxides, ("structure",), cache=tmp_path / "cache").failures.get("a", ""), graphs.left_out.get(1, "")

    said = f"{type(error).__name__}: {error}"
    with monkeypatch.context() as patch:
        patch.setattr("hibana.learn.features.structure.values_of", fail)
        patch.setattr("hibana.learn.spectra.graphs.crystal_graph", fail)
        assert both() == (f"structure: {said}", said)
    assert both() == ((f"structure: {said}", said) if kept else ("", ""))


def test_sites_of_hosts(tmp_path):
    rows = [
        {"host_formula": host, "site_index": site, "charge": 0}
        for host, site in (("MgO", 1), ("CaO", 0), ("MgO", 0), ("MgO", 7), ("MgO", ""))
    ]
    dataset = write_table(tmp_path, rows, {"MgO": rocksalt("Mg"), "CaO": rocksalt("Ca")}, name="host_formula")
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        table = featurise(dataset, ("site", "structure"), cache=cache)
        for row, (host, site) in enumerate((("Mg", 1), ("Ca", 0), ("Mg", 0))):
            expected = site_features(rocksalt(host), site)
            np.testing.assert_array_equal(table.frame.iloc[row][list(expected)].to_numpy(), list(expected.values()))
        assert list(table.failures.values()) == ["site: IndexError: there is no site 7 among 2", "site: no site index"]
        assert table.frame["density"].notna().all()


def test_published_vacancies(recorded, tmp_path):
    dataset = read_dataset(recorded / "ml_data/oxygen_vacancy_formation")
    dataset = dataclasses.replace(dataset, frame=dataset.frame.iloc[:7])
    table = featurise(dataset, ("site",))
    assert not table.failures
    assert (table.frame["site Number"] == 8).all()
    assert table.frame["coordination number"].between(1, 8).all()


def test_files_hold_all_that_was_found(oxides, tmp_path):
    table = featurise(oxides, ("composition", "elements", "structure"))
    write_features(table, tmp_path / "one")
    write_features(table, tmp_path / "two")
    for name in ("features.parquet", "features.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    again = read_features(tmp_path / "one")
    pd.testing.assert_frame_equal(again.frame, table.frame)
    assert dataclasses.replace(again, frame=None) == dataclasses.replace(table, frame=None, sets=again.sets)
    assert again.sets == {name: dict(versions) for name, versions in table.sets.items()}
    field = pq.read_schema(tmp_path / "one/features.parquet").field("density")
    assert field.metadata == {b"unit": b"g/cm^3", b"meaning": b"mass density"}
    assert (
        pd.read_parquet(tmp_path / "one/features.parquet")
        .set_index("row_id")
        .loc["c", "failure"]
        .startswith("structure: HIB-011")
    )


def test_files_that_do_not_belong_together(oxides, tmp_path):
    write_features(featurise(oxides, ("composition",)), tmp_path / "one")
    write_features(featurise(oxides, ("elements",)), tmp_path / "two")
    (tmp_path / "one/features.json").write_bytes((tmp_path / "two/features.json").read_bytes())
    for folder in ("one", "three"):
        with pytest.raises(HibanaError, match="HIB-265"):
            read_features(tmp_path / folder)


@pytest.mark.parametrize(
    ("sets", "says"),
    [(("soap",), "no set 'soap'"), ((), "at least one"), (("site",), "no column site_index"), (("elements",) * 2, "once")],
)
def test_sets_that_cannot_be_made(oxides, sets, says):
    with pytest.raises(HibanaError, match=says):
        featurise(oxides, sets)


def test_structures_that_do_not_fit_the_table(tmp_path):
    dataset = write_table(tmp_path, [{"material_id": "a"}], {"z": rocksalt("Mg")})
    with pytest.raises(HibanaError, match="the structure's name 'z'"):
        featurise(dataset, ("structure",))
    with pytest.raises(HibanaError, match="no column with formulas"):
        featurise(dataset, ("composition",))
    line = json.dumps({"material_id": "a", "structure": rocksalt("Mg").as_dict()}) + "\n"
    with gzip.open(tmp_path / "structures.jsonl.gz", "wt") as file:
        file.write(line * 2)
    with pytest.raises(HibanaError, match="two structures have the name 'a'"):
        featurise(dataset, ("structure",))


def test_verb(oxides, tmp_path):
    words = ["learn", "features", str(tmp_path), "-o", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "5 rows" in result.stdout
    assert "2 failed" in result.stdout
    report = json.loads(CliRunner().invoke(app, [*words, "--set", "composition", "--json"]).stdout)
    assert report["failed"] == 1
    assert read_features(tmp_path / "out").snapshot == oxides.snapshot
