"""Features as files: ``features.parquet`` with one row a row of the table, and its dictionary ``features.json``."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hibana.learn.dataset import ROW_ID
from hibana.learn.errors import UNREADABLE_FEATURES
from hibana.learn.features.feature import Feature
from hibana.learn.features.table import FeatureTable

TABLE_FILE = "features.parquet"
DICTIONARY_FILE = "features.json"
FAILURE = "failure"
"""Column with the reason why all features of a set are missing in a row; empty where none are."""


def write_features(table: FeatureTable, folder: Path) -> tuple[Path, Path]:
    """Write features and their dictionary; the same features give the same bytes.

    Parameters
    ----------
    table
        The features.
    folder
        Made where it is missing; that of the table itself is fine.

    Returns
    -------
    tuple of Path
        The Parquet file and the dictionary.
    """
    fields = [pa.field(ROW_ID, pa.string(), nullable=False)]
    fields += [
        pa.field(entry.name, pa.float64(), metadata={"unit": entry.unit, "meaning": entry.meaning}) for entry in table.features
    ]
    fields.append(pa.field(FAILURE, pa.string(), metadata={"meaning": "Why features of a set are missing."}))
    columns = [
        pa.array(table.frame.index.astype(str), pa.string()),
        *(pa.array(table.frame[entry.name].to_numpy(), pa.float64(), from_pandas=True) for entry in table.features),
        pa.array([table.failures.get(row) for row in table.frame.index], pa.string()),
    ]
    said = {
        "table": table.name,
        "snapshot": table.snapshot,
        "rows": len(table.frame),
        "failed": len(table.failures),
        "sets": {name: dict(versions) for name, versions in table.sets.items()},
        "features": [entry.as_dict() for entry in table.features],
    }
    files = folder / TABLE_FILE, folder / DICTIONARY_FILE
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=pa.schema(fields)), files[0], compression="zstd")
    files[1].write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return files


def read_features(folder: Path) -> FeatureTable:
    """Read what :func:`write_features` wrote.

    Raises
    ------
    HibanaError
        HIB-265 if the files are not there, cannot be read, or do not belong together.
    """
    try:
        said = json.loads((folder / DICTIONARY_FILE).read_text(encoding="utf-8"))
        frame = pq.read_table(folder / TABLE_FILE).to_pandas().set_index(ROW_ID)
        features = tuple(Feature(**entry) for entry in said["features"])
        failures = frame.pop(FAILURE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UNREADABLE_FEATURES.error(str(error).splitlines()[0], where=folder) from error
    if list(frame.columns) != [entry.name for entry in features] or len(frame) != said["rows"]:
        raise UNREADABLE_FEATURES.error(f"{DICTIONARY_FILE} is not that of {TABLE_FILE}", where=folder)
    return FeatureTable(
        name=said["table"],
        snapshot=said["snapshot"],
        frame=frame.astype(float),
        failures=failures.dropna().to_dict(),
        features=features,
        sets=said["sets"],
    )
