from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest

from hibana.documents.properties import ElectronicDoc
from hibana.tables.columns import Column, projection
from hibana.tables.grids import Grid
from hibana.tables.writers import NUMBERS_A_GROUP, ROWS_A_GROUP, CsvWriter, LongWriter, ParquetWriter

COLUMNS = tuple(projection(ElectronicDoc, name) for name in ("material_id", "band_gap_pbesol", "is_gap_direct", "flags"))


def rows(count: int):
    """Rows with a missing gap in every third one."""
    for number in range(count):
        yield f"hib-{number:016x}", None if number % 3 == 0 else number / 7, number % 2 == 0, ["a"] * (number % 3)


def test_rows_come_back_across_row_groups(tmp_path) -> None:
    count = 2 * ROWS_A_GROUP + 7
    path = tmp_path / "table.parquet"
    with ParquetWriter(path, COLUMNS, {"table": "electronic"}) as writer:
        for row in rows(count):
            writer.write(row)
    assert pq.ParquetFile(path).num_row_groups == 3
    read = pq.read_table(path).to_pylist()
    assert [tuple(row.values()) for row in read] == list(rows(count))


def test_memory_does_not_grow_with_the_table(tmp_path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        with ParquetWriter(tmp_path / "t.parquet", COLUMNS, {}) as parquet, CsvWriter(tmp_path / "t.csv", ["x"]) as text:
            for row in rows(count):
                parquet.write(row)
                text.write(row)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(8 * ROWS_A_GROUP) < 1.5 * peak(2 * ROWS_A_GROUP)


GRID = Grid("energy", "eV", 0.0, 0.01, 1501)
SPECTRA = (COLUMNS[0], Column("s", "spectrum", "1", "Spectrum.", "made.up", lambda _: None, GRID))


def test_spectra_are_streamed(tmp_path) -> None:
    """A row group ends after 8 MB of spectra; with 10 times the rows memory stays what it is."""

    def peak(count: int) -> int:
        tracemalloc.start()
        with ParquetWriter(tmp_path / "s.parquet", SPECTRA, {}) as parquet, LongWriter(tmp_path / "l.csv", GRID, ["s"]) as long:
            for number in range(count):
                spectrum = np.full(1501, number, dtype=np.float32)
                parquet.write((f"hib-{number:016x}", spectrum))
                if number % 50 == 0:
                    long.write_spectra(f"hib-{number:016x}", [spectrum])
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    few = peak(NUMBERS_A_GROUP // 1501)
    assert peak(3 * (NUMBERS_A_GROUP // 1501) + 5) < 1.5 * few
    file = pq.ParquetFile(tmp_path / "s.parquet")
    assert file.num_row_groups == 4
    assert file.read_row_group(3)["s"].to_pylist()[-1] == [float(file.metadata.num_rows - 1)] * 1501


def test_spectra_and_maps_keep_what_is_missing(tmp_path) -> None:
    columns = (*SPECTRA, Column("m", "map of numbers", "1", "Map.", "made.up", lambda _: None))
    path = tmp_path / "t.parquet"
    broken = np.linspace(0, 1, 1501, dtype=np.float32)
    broken[[3, 7]] = np.nan, -np.inf
    with ParquetWriter(path, columns, {}) as writer:
        writer.write(("a", None, None))
        writer.write(("b", broken, {"O": None, "Zn": 0.1}))
    first, second = pq.read_table(path).to_pylist()
    assert (first["s"], first["m"]) == (None, None)
    assert [index for index, number in enumerate(second["s"]) if number is None] == [3, 7]
    assert second["s"][8] == broken[8]
    assert second["m"] == [("O", None), ("Zn", 0.1)]
    long = tmp_path / "l.csv"
    with LongWriter(long, GRID, ["s"]) as writer:
        writer.write_spectra("a", [None])
        writer.write_spectra("b", [broken])
    lines = long.read_text().splitlines()
    assert lines[:2] == ["material_id,energy,s", "b,0.0,0.0"]
    assert lines[4] == "b,0.03,"
    assert len(lines) == 1502


def test_cells_of_csv(tmp_path) -> None:
    path = tmp_path / "t.csv"
    with CsvWriter(path, ["a", "b", "c", "d", "e"]) as writer:
        writer.write((None, 0.1 + 0.2, True, ["x", "y"], "with, comma"))
    assert path.read_bytes() == b'a,b,c,d,e\n,0.30000000000000004,true,x;y,"with, comma"\n'


def test_a_value_of_the_wrong_type_is_no_silent_null(tmp_path) -> None:
    with pytest.raises(Exception, match=r"string|double|float"), ParquetWriter(tmp_path / "t.parquet", COLUMNS, {}) as writer:
        writer.write(("hib-0", "4.66", True, []))
