from __future__ import annotations

import tracemalloc

import pyarrow.parquet as pq
import pytest

from hibana.documents.properties import ElectronicDoc
from hibana.tables.columns import projection
from hibana.tables.writers import ROWS_A_GROUP, CsvWriter, ParquetWriter

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


def test_cells_of_csv(tmp_path) -> None:
    path = tmp_path / "t.csv"
    with CsvWriter(path, ["a", "b", "c", "d", "e"]) as writer:
        writer.write((None, 0.1 + 0.2, True, ["x", "y"], "with, comma"))
    assert path.read_bytes() == b'a,b,c,d,e\n,0.30000000000000004,true,x;y,"with, comma"\n'


def test_a_value_of_the_wrong_type_is_no_silent_null(tmp_path) -> None:
    with pytest.raises(Exception, match=r"string|double|float"), ParquetWriter(tmp_path / "t.parquet", COLUMNS, {}) as writer:
        writer.write(("hib-0", "4.66", True, []))
