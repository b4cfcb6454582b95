"""Reading the tables that are learned from."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hibana.core.errors import HibanaError
from hibana.learn.dataset import read_dataset


def test_formula_nan_is_no_missing_value(tmp_path):
    (tmp_path / "salts.csv").write_text("formula,gap\nNaN,1.5\nNaCl,\n,0\n")
    frame = read_dataset(tmp_path).frame
    assert frame["formula"].tolist()[:2] == ["NaN", "NaCl"]
    assert frame["formula"].isna().tolist() == [False, False, True]
    assert frame["gap"].isna().tolist() == [False, True, False]


def test_units_come_with_the_parquet_file(tmp_path):
    fields = [pa.field("material_id", pa.string()), pa.field("gap", pa.float64(), metadata={"unit": "eV"})]
    pq.write_table(pa.table({"material_id": ["b", "a"], "gap": [1.0, None]}, schema=pa.schema(fields)), tmp_path / "t.parquet")
    dataset = read_dataset(tmp_path / "t.parquet")
    assert dataset.units == {"gap": "eV"}
    assert dataset.frame.index.tolist() == ["b", "a"]


def test_rows_that_share_a_material_are_numbered(tmp_path):
    (tmp_path / "vacancies.csv").write_text("material_id,charge\nm1,0\nm1,1\n")
    assert read_dataset(tmp_path).frame.index.tolist() == ["row-0000000", "row-0000001"]


def test_snapshot_is_that_of_the_content(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("a\n1\n")
    first = read_dataset(file).snapshot
    file.write_text("a\n2\n")
    assert read_dataset(file).snapshot != first
    (tmp_path / "manifest.json").write_text(json.dumps({"snapshot": "abc"}))
    assert read_dataset(file).snapshot == "abc"


def test_structures_beside_the_table(tmp_path, recorded):
    dataset = read_dataset(recorded / "ml_data/oxide_dielectric_pbesol")
    name, structure = next(dataset.structures())
    assert name == dataset.frame["material_id"].iloc[0]
    assert structure.composition.reduced_formula == dataset.frame["reduced_formula"].iloc[0]
    assert isinstance(dataset.column("eps_electronic_avg"), pd.Series)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no Parquet or CSV file"),
        ({"a.csv": "x\n1\n", "b.csv": "x\n1\n"}, "several tables"),
        ({"a.parquet": "nonsense"}, "Parquet"),
        ({"a.csv": ""}, "No columns"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, files, says):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(HibanaError, match=says) as caught:
        read_dataset(tmp_path)
    assert caught.value.kind.code == "HIB-260"


def test_missing_column_and_structures(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"gap\n1\n"))
    dataset = read_dataset(tmp_path)
    with pytest.raises(HibanaError, match="band_gap"):
        dataset.column("band_gap")
    with pytest.raises(HibanaError, match="HIB-263"):
        next(dataset.structures())
