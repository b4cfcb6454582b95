"""What goes into a regression: sets of features, files of features, and columns of the table itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hibana.learn.dataset import Dataset, read_dataset
from hibana.learn.errors import FEATURES_DIFFER, NO_FEATURES


@dataclass(frozen=True)
class Inputs:
    """Features of the rows of a table.

    Parameters
    ----------
    values
        (n_rows, n_features), the index that of the table; NaN where a feature is missing.
    versions
        By set: what its numbers depend on. Columns of the table, and files that do not say, have no version.
    """

    values: pd.DataFrame
    versions: Mapping[str, str]


def gather(
    dataset: Dataset,
    sources: Sequence[str | Path],
    columns: Sequence[str] = (),
    *,
    cache: Path | None = None,
    workers: int = 1,
) -> Inputs:
    """Features of every row of a table.

    Parameters
    ----------
    dataset
        The table.
    sources
        Names of sets (:data:`hibana.learn.features.table.SETS`), or files or folders of features that hold the table's row ids.
    columns
        Columns of the table that are features as well; true and false count as 1 and 0.
    cache
        Folder to keep features of structures in.
    workers
        Processes that compute them.

    Raises
    ------
    HibanaError
        HIB-260 if a file cannot be read; HIB-261 if there is no such column; HIB-268 if features were made from another snapshot
        of the table; HIB-272 if a file knows no row of the table, a column holds no numbers, two sources have a feature of the
        same name, or there is nothing at all; those of ``featurise``.
    """
    from hibana.learn.features.table import SETS, featurise

    files = [Path(source) for source in sources if str(source) not in SETS]
    sets = [str(source) for source in sources if str(source) in SETS]
    blocks: list[pd.DataFrame] = []
    versions: dict[str, str] = {}
    if sets:
        made = featurise(dataset, sets, cache, workers)
        blocks.append(made.frame)
        versions |= {name: _words(version) for name, version in made.sets.items()}
    for file in files:
        values, version = _from_file(dataset, file)
        blocks.append(values)
        versions |= version
    if columns:
        blocks.append(_own_columns(dataset, columns))
    if not blocks:
        raise NO_FEATURES.error("neither features nor columns are named", where=dataset.path)
    values = pd.concat(blocks, axis=1)
    twice = values.columns[values.columns.duplicated()]
    if len(twice):
        raise NO_FEATURES.error(f"{len(twice)} features are there twice, {twice[0]!r} among them", where=dataset.path)
    return Inputs(values, versions)


def _from_file(dataset: Dataset, file: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Features of a file in the order of the table's rows, and versions of the sets it says it holds."""
    from hibana.learn.features.files import DICTIONARY_FILE, TABLE_FILE, read_features

    folder = file if file.is_dir() else file.parent
    versions = {}
    if (file.is_dir() or file.name == TABLE_FILE) and (folder / DICTIONARY_FILE).is_file():
        made = read_features(folder)
        if made.snapshot != dataset.snapshot:
            raise FEATURES_DIFFER.error(f"they were made from the table {made.name} as it was in another snapshot", where=file)
        frame = made.frame
        versions = {name: _words(version) for name, version in made.sets.items()}
    else:
        frame = read_dataset(file).frame.select_dtypes(["number", "bool"])
    values = frame.reindex(dataset.frame.index)
    if values.isna().all(axis=None):
        raise NO_FEATURES.error(f"it holds no numbers for the rows of {dataset.path}", where=file)
    return values, versions


def _own_columns(dataset: Dataset, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of the table as numbers."""
    found = {}
    for name in columns:
        try:
            found[name] = pd.to_numeric(dataset.column(name)).astype(float)
        except (ValueError, TypeError) as error:
            raise NO_FEATURES.error(f"{name!r} holds no numbers", where=dataset.path) from error
    return pd.DataFrame(found, index=dataset.frame.index)


def _words(version: Mapping[str, str]) -> str:
    """What a set depends on, in one line."""
    return ", ".join(f"{name} {value}" for name, value in sorted(version.items()))
