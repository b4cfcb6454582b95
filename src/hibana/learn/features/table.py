"""Features of every row of a table, computed in parallel, kept in a cache, with the reason where there are none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hibana.learn.errors import UNKNOWN_FEATURES
from hibana.learn.features.address import set_version
from hibana.learn.features.cache import FeatureCache
from hibana.learn.features.crystals import SITE, SITE_COLUMN, STRUCTURE, CrystalFeatures, Progress
from hibana.learn.features.feature import Feature

if TYPE_CHECKING:
    from hibana.learn.dataset import Dataset

COMPOSITION, ELEMENTS = "composition", "elements"
SETS = (COMPOSITION, ELEMENTS, STRUCTURE, SITE)

FORMULA_COLUMNS = ("reduced_formula", "formula", "host_formula")
"""Columns that hold the formula; the first of them that there is counts."""


@dataclass(frozen=True)
class FeatureTable:
    """Features of the rows of a table.

    Parameters
    ----------
    name, snapshot
        Of the table they were made from.
    frame
        One row a row of the table, the index its row ids; NaN where there is no value.
    failures
        By row id: why all features of a set are missing.
    features
        Entry of the dictionary for each column.
    sets
        By set: what its numbers depend on besides the table, versions of definitions and packages.
    """

    name: str
    snapshot: str
    frame: pd.DataFrame
    failures: Mapping[str, str]
    features: tuple[Feature, ...]
    sets: Mapping[str, Mapping[str, str]]

    @property
    def units(self) -> dict[str, str]:
        """Unit of each column."""
        return {entry.name: entry.unit for entry in self.features}


def features_of(
    dataset: Dataset,
    sets: Sequence[str] = (COMPOSITION, STRUCTURE),
    cache: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Features of every row of a table; see :func:`featurise`, which gives the reasons for missing ones as well.

    Returns
    -------
    DataFrame
        (n_rows, n_features), the index that of the table.
    """
    return featurise(dataset, sets, cache, workers, progress).frame


def featurise(
    dataset: Dataset,
    sets: Sequence[str] = (COMPOSITION, STRUCTURE),
    cache: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> FeatureTable:
    """Features of every row of a table.

    Parameters
    ----------
    dataset
        The table; for the sets ``structure`` and ``site`` with its structures.
    sets
        Which features: ``composition`` (Magpie's and more), ``elements`` (atomic fractions), ``structure``, and ``site``, those
        of the site ``site_index`` of the row's structure.
    cache
        Folder to keep features of structures and sites in; without one they are computed anew.
    workers
        Processes.
    progress
        Told how it gets on.

    Raises
    ------
    HibanaError
        HIB-267 for a set that there is not or that the table has no column for, HIB-263 if it has no structures or none of its
        columns has their names, HIB-264 if matminer is not installed, HIB-266 if the cache cannot be used.
    """
    _check(dataset, sets)
    blocks: dict[str, pd.DataFrame] = {}
    failures: dict[str, list[str]] = defaultdict(list)
    if any(name in (STRUCTURE, SITE) for name in sets):
        blocks |= _of_crystals(dataset, sets, cache, workers, progress, failures)
    if any(name in (COMPOSITION, ELEMENTS) for name in sets):
        blocks |= _of_compositions(dataset, sets, failures)
    return FeatureTable(
        name=dataset.name,
        snapshot=dataset.snapshot,
        frame=pd.concat([blocks[name] for name in sets], axis=1),
        failures={row: "; ".join(failures[row]) for row in dataset.frame.index if row in failures},
        features=tuple(entry for name in sets for entry in dictionary_of(name)),
        sets={name: set_version(name) for name in sets},
    )


def dictionary_of(name: str) -> tuple[Feature, ...]:
    """Entries of a set of features, in the order of its columns.

    Raises
    ------
    HibanaError
        HIB-267 if there is no such set, HIB-264 if matminer is not installed.
    """
    from hibana.learn.features.composition import composition_dictionary, element_dictionary
    from hibana.learn.features.sites import site_dictionary
    from hibana.learn.features.structure import structure_dictionary

    entries = {
        COMPOSITION: composition_dictionary,
        ELEMENTS: element_dictionary,
        STRUCTURE: structure_dictionary,
        SITE: site_dictionary,
    }
    if name not in entries:
        raise UNKNOWN_FEATURES.error(f"there is no set {name!r}; there are {', '.join(SETS)}")
    return entries[name]()


def _check(dataset: Dataset, sets: Sequence[str]) -> None:
    """Raise what can be said before any work is done."""
    if not sets or len(set(sets)) != len(sets):
        raise UNKNOWN_FEATURES.error("name each set once, and at least one")
    for name in sets:
        dictionary_of(name)
    columns = dataset.frame.columns
    if SITE in sets and SITE_COLUMN not in columns:
        raise UNKNOWN_FEATURES.error(f"there is no column {SITE_COLUMN}", where=dataset.path)
    if (COMPOSITION in sets or ELEMENTS in sets) and not any(name in columns for name in FORMULA_COLUMNS):
        raise UNKNOWN_FEATURES.error(f"there is no column with formulas ({', '.join(FORMULA_COLUMNS)})", where=dataset.path)


def _of_crystals(
    dataset: Dataset,
    sets: Sequence[str],
    cache: Path | None,
    workers: int,
    progress: Progress | None,
    failures: dict[str, list[str]],
) -> dict[str, pd.DataFrame]:
    """Features of structures and sites."""
    index = dataset.frame.index
    widths = {name: len(dictionary_of(name)) for name in sets if name in (STRUCTURE, SITE)}
    with nullcontext() if cache is None else FeatureCache(cache) as kept:
        blocks = CrystalFeatures(dataset, widths, kept, progress).compute(workers)
    for name, block in blocks.items():
        for row, reason in sorted(block.reasons.items()):
            failures[index[row]].append(f"{name}: {reason}")
    return {
        name: pd.DataFrame(block.values, index=index, columns=[entry.name for entry in dictionary_of(name)])
        for name, block in blocks.items()
    }


def _of_compositions(dataset: Dataset, sets: Sequence[str], failures: dict[str, list[str]]) -> dict[str, pd.DataFrame]:
    """Features of formulas."""
    from hibana.learn.features.composition import composition_features, element_fractions

    column = next(name for name in FORMULA_COLUMNS if name in dataset.frame.columns)
    formulas = dataset.frame[column].astype(object).where(dataset.frame[column].notna(), "").astype(str).tolist()
    blocks = {}
    for name, find in ((COMPOSITION, composition_features), (ELEMENTS, element_fractions)):
        if name in sets:
            blocks[name] = find(formulas).set_axis(dataset.frame.index)
            for row in blocks[name].index[blocks[name].isna().all(axis=1)]:
                failures[row].append(f"{name}: {column} holds no formula of elements up to Lr")
    return blocks
