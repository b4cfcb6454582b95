"""What the modules learn from: one exported table, its units, its identity and the structures beside it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq

from hibana.learn.errors import NO_COLUMN, NO_STRUCTURES, NO_TABLE

if TYPE_CHECKING:
    from pymatgen.core import Structure

ROW_ID = "row_id"
"""Name of the index: what tells the rows of a table apart, whatever their order."""

STRUCTURES = "structures.jsonl.gz"
SUFFIXES = (".parquet", ".csv", ".csv.gz")


@dataclass(frozen=True)
class Dataset:
    """A table to learn from.

    Parameters
    ----------
    name
        Name of the table.
    path
        The file it was read from.
    frame
        The rows; the index holds the row ids, unique strings: the column ``row_id`` if there is one, else ``material_id`` where
        that is unique, else the number of the row.
    units
        Unit of each column that has one.
    snapshot
        Identity of the content: that of the manifest beside the file, else the SHA-256 of the file.
    """

    name: str
    path: Path
    frame: pd.DataFrame
    units: Mapping[str, str]
    snapshot: str

    def column(self, name: str) -> pd.Series:
        """A column.

        Raises
        ------
        HibanaError
            HIB-261 if there is none of this name.
        """
        if name not in self.frame.columns:
            raise NO_COLUMN.error(f"{name!r}; there are: {', '.join(map(str, self.frame.columns))}", where=self.path)
        return self.frame[name]

    def structures(self) -> Iterator[tuple[str, Structure]]:
        """Structures beside the table in the order of their file, each with the name it goes by.

        A line has two entries, the structure and its name: ``material_id``, or another column of the table.

        Raises
        ------
        HibanaError
            HIB-263 if there are none.
        """
        from pymatgen.core import Structure

        file = self.path.parent / STRUCTURES
        if not file.is_file():
            raise NO_STRUCTURES.error(f"no {STRUCTURES}", where=self.path.parent)
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                item = json.loads(line)
                structure = Structure.from_dict(item.pop("structure"))
                yield str(*item.values()), structure


def read_dataset(path: Path) -> Dataset:
    """Read a table: a Parquet or CSV file, or the folder of an export.

    An empty cell of a CSV file is a missing value; nothing else is, so a formula that reads NaN stays one.

    Parameters
    ----------
    path
        File or folder.

    Raises
    ------
    HibanaError
        HIB-260 if there is no table, or one that cannot be read.
    """
    file = _file_of(path)
    try:
        frame, units = _read_parquet(file) if file.suffix == ".parquet" else (_read_csv(file), {})
    except (OSError, ValueError) as error:
        raise NO_TABLE.error(str(error).splitlines()[0], where=file) from error
    return Dataset(file.name.split(".")[0], file, _with_row_ids(frame), units, _snapshot(file))


def _file_of(path: Path) -> Path:
    if path.is_file() and path.name.endswith(SUFFIXES):
        return path
    if not path.is_dir():
        raise NO_TABLE.error(
            "it is no Parquet or CSV file, and no folder" if path.exists() else "there is no such file", where=path
        )
    for suffix in SUFFIXES:
        found = [file for file in sorted(path.glob(f"*{suffix}")) if file.name != "left_out.csv" and not _is_a_part(file)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NO_TABLE.error(f"several tables: {', '.join(file.name for file in found)}; name one of them", where=path)
    raise NO_TABLE.error("no Parquet or CSV file in the folder", where=path)


def _is_a_part(file: Path) -> bool:
    """Whether a file stands beside a table without being one: spectra as lines, or features."""
    return file.name.endswith("_long.csv") or file.name.startswith("features.")


def _read_parquet(file: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    table = pq.read_table(file)
    units = {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in table.schema}
    return table.to_pandas(), {name: unit for name, unit in units.items() if unit}


def _read_csv(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, keep_default_na=False, na_values=[""], low_memory=False)


def _with_row_ids(frame: pd.DataFrame) -> pd.DataFrame:
    for name in (ROW_ID, "material_id"):
        if name in frame.columns and frame[name].notna().all() and frame[name].is_unique:
            return frame.set_index(pd.Index(frame[name].astype(str), name=ROW_ID))
    return frame.set_index(pd.Index([f"row-{number:07d}" for number in range(len(frame))], name=ROW_ID))


def _snapshot(file: Path) -> str:
    manifest = file.parent / "manifest.json"
    if manifest.is_file():
        said = json.loads(manifest.read_text(encoding="utf-8")).get("snapshot")
        if isinstance(said, str):
            return said
    with file.open("rb") as content:
        digest = sha256()
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
