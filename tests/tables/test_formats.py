"""Other files of a table: JSON lines, HDF5, Croissant, and the page of the documentation."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from bulk_results import site, spectra
from hibana.core.errors import HibanaError
from hibana.tables.documentation import as_markdown
from hibana.tables.export import export
from hibana.tables.other_formats import NO_BOOLEAN, NO_INTEGER
from hibana.tables.registry import TABLES

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def full(bulk):
    """Two materials, one of them with much missing, and one whose formula is spelled NaN."""
    for formula in ("MgO", "NaN"):
        bulk.submit(formula, "bulk")
        bulk.relaxation(formula)
        bulk.electronic(formula, **({"vbm": None, "is_gap_direct": None} if formula == "NaN" else {}))
        bulk.optics(formula, spectra(end=12.0) if formula == "MgO" else {})
        bulk.phonon(formula, **({"n_imaginary": None, "frequencies_raw": None} if formula == "NaN" else {}))
        bulk.sites(formula, site(0, "Mg"), site(1, "O"))
    return bulk


@pytest.mark.parametrize("table", ["electronic", "optical_absorption", "phonon_gamma", "sites", "materials"])
def test_all_formats_say_the_same(table: str, full, tmp_path) -> None:
    export(full.store, table, tmp_path, formats=("hdf5", "jsonl"))
    rows = pq.read_table(tmp_path / f"{table}.parquet").to_pylist()
    columns = TABLES[table].columns
    maps = [column.name for column in columns if column.dtype.startswith("map")]
    lines = [json.loads(line) for line in (tmp_path / f"{table}.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row |= {name: dict(row[name]) for name in maps if row[name] is not None}
    for line, row in zip(lines, rows, strict=True):
        for column in columns:
            if column.grid is None or row[column.name] is None:
                assert line[column.name] == row[column.name]
            else:
                wanted = np.array(row[column.name], dtype=np.float32)
                assert np.array_equal(np.array(line[column.name], dtype=np.float32), wanted, equal_nan=True)
    with h5py.File(tmp_path / f"{table}.h5") as file:
        assert file.attrs["calculator"] == "vasp"
        for column in columns:
            there = file[column.name]
            assert there.attrs["meaning"] == column.meaning
            assert there.attrs.get("unit") == column.unit
            for cell, row in zip(there, rows, strict=True):
                assert in_hdf5(cell, column) == row[column.name] or column.grid is not None
                if column.grid is not None:
                    wanted = np.full(column.grid.count, np.nan) if row[column.name] is None else row[column.name]
                    assert np.array_equal(cell, np.array(wanted, dtype=np.float32), equal_nan=True)


def in_hdf5(cell, column):
    """A cell as it is in Parquet."""
    if column.grid is not None:
        return None
    if column.dtype == "number":
        return None if np.isnan(cell) else float(cell)
    if column.dtype == "integer":
        return None if cell == NO_INTEGER else int(cell)
    if column.dtype == "boolean":
        return None if cell == NO_BOOLEAN else bool(cell)
    text = cell.decode()
    return None if text == "" else text if column.dtype == "string" else json.loads(text)


def test_hdf5_is_the_same_bytes_again(full, tmp_path) -> None:
    for name in ("a", "b"):
        export(full.store, "optical_absorption", tmp_path / name, formats=("hdf5",))
    assert (tmp_path / "a" / "optical_absorption.h5").read_bytes() == (tmp_path / "b" / "optical_absorption.h5").read_bytes()


def test_an_unknown_format_is_refused_before_anything_is_written(full, tmp_path) -> None:
    with pytest.raises(HibanaError, match=r"HIB-142.*'xlsx'; there are: jsonl, hdf5"):
        export(full.store, "electronic", tmp_path / "t", formats=("xlsx",))
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("table", ["electronic", "optical_absorption", "sites"])
def test_croissant_has_the_shape_of_the_specification(table: str, full, tmp_path) -> None:
    """What a Croissant 1.0 file must have, and references that lead somewhere."""
    export(full.store, table, tmp_path, licence="CC-BY-4.0", citation=("A. Author (2026)",), formats=("jsonl", "hdf5"))
    said = json.loads((tmp_path / "croissant.json").read_text(encoding="utf-8"))
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert (said["@type"], said["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.0")
    assert said["@context"]["@vocab"] == "https://schema.org/"
    assert (said["license"], said["citeAs"]) == ("CC-BY-4.0", "A. Author (2026)")
    assert said["identifier"] == f"sha256:{manifest['snapshot']}"
    files = {item["@id"]: item for item in said["distribution"]}
    for name, item in files.items():
        assert item["@type"] == "cr:FileObject"
        assert item["sha256"] == manifest["files"][name]["sha256"]
        assert item["encodingFormat"]
        assert (tmp_path / item["contentUrl"]).is_file()
    assert {f"{table}.parquet", f"{table}.csv", f"{table}.h5", f"{table}.jsonl", "structures.jsonl.gz"} <= set(files)
    names = pq.read_schema(tmp_path / f"{table}.parquet").names
    assert {item["name"] for records in said["recordSet"] for item in records["field"]} == set(names)
    fields = [item for records in said["recordSet"] for item in records["field"]]
    assert len({item["@id"] for item in fields}) == len(fields)
    for records in said["recordSet"]:
        assert records["key"]["@id"] in {item["@id"] for item in records["field"]}
        for item in records["field"]:
            file = item["source"]["fileObject"]["@id"]
            header = names if file.endswith(".parquet") else (tmp_path / file).read_text().splitlines()[0].split(",")
            assert item["source"]["extract"]["column"] in header
            assert item["dataType"] in ("sc:Text", "sc:Integer", "sc:Float", "sc:Boolean")
    used = {key for item in (said, *said["distribution"], *said["recordSet"], *fields) for key in item}
    of_schema_org = {"name", "description", "version", "identifier", "license", "keywords", "distribution"}
    of_schema_org |= {"contentUrl", "contentSize", "encodingFormat", "sha256"}
    assert {key for key in used if not key.startswith("@")} - of_schema_org <= set(said["@context"])


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == as_markdown(), "write it again: hibana export --docs"
