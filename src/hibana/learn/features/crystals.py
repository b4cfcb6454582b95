"""Features of the structures beside a table and of sites of them, brought to the rows of the table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.errors import NO_STRUCTURES
from hibana.learn.features.address import feature_address, structure_address
from hibana.learn.features.cache import FeatureCache
from hibana.learn.features.parallel import Outcome, PassingReason, Task, work_on

if TYPE_CHECKING:
    from hibana.learn.dataset import Dataset

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Told how many of how many structures are done."""

STRUCTURE, SITE = "structure", "site"
SITE_COLUMN = "site_index"
NO_STRUCTURE = "no structure"
NO_SITE = "no site index"


@dataclass(frozen=True)
class Block:
    """Features of one set.

    Parameters
    ----------
    values
        (n_rows, n_features), NaN where there are none.
    reasons
        By number of the row: why it has none.
    """

    values: Array
    reasons: dict[int, str]

    def take(self, rows: Sequence[int], outcome: Outcome) -> None:
        """Put features, or the reason why there are none, into rows."""
        for row in rows:
            if isinstance(outcome, str):
                self.reasons[row] = outcome
            else:
                self.values[row] = outcome
                self.reasons.pop(row, None)


class CrystalFeatures:
    """Features of the structures of a table.

    Parameters
    ----------
    dataset
        The table with its structures.
    widths
        Number of features of each set that is wanted: ``structure``, ``site`` or both.
    cache
        Where features are kept.
    progress
        Told how it gets on.
    """

    def __init__(
        self, dataset: Dataset, widths: Mapping[str, int], cache: FeatureCache | None, progress: Progress | None
    ) -> None:
        n_rows = len(dataset.frame)
        self.blocks = {
            name: Block(np.full((n_rows, width), np.nan), dict.fromkeys(range(n_rows), NO_STRUCTURE))
            for name, width in widths.items()
        }
        self._dataset = dataset
        self._cache = cache
        self._progress = progress
        self._rows = rows_of_structures(dataset)
        self._sites = _sites(dataset) if SITE in widths else {}
        self._under_way: dict[int, tuple[str, str]] = {}
        self._done = 0

    def compute(self, workers: int) -> Mapping[str, Block]:
        """Find all features, those that are not in the cache in several processes."""
        for task, outcomes in work_on(self._tasks(), workers):
            name, crystal = self._under_way.pop(task.number)
            if outcomes.whole is not None:
                self._keep(STRUCTURE, name, crystal, None, outcomes.whole)
            for site, outcome in outcomes.sites.items():
                self._keep(SITE, name, crystal, site, outcome)
            self._step()
        return self.blocks

    def _tasks(self) -> Iterator[Task]:
        """What has to be computed; what is in the cache is taken from there on the way."""
        seen = set()
        for number, (name, structure) in enumerate(self._dataset.structures()):
            if name not in self._rows:
                continue
            if name in seen:
                raise NO_STRUCTURES.error(f"two structures have the name {name!r}", where=self._dataset.path.parent)
            seen.add(name)
            crystal = structure_address(structure)
            whole = STRUCTURE in self.blocks and not self._take_kept(STRUCTURE, name, crystal, None)
            sites = tuple(site for site in self._wanted_sites(name) if not self._take_kept(SITE, name, crystal, site))
            if whole or sites:
                self._under_way[number] = name, crystal
                yield Task(number, structure, whole, sites)
            else:
                self._step()

    def _wanted_sites(self, name: str) -> list[int]:
        """Sites of a structure that rows are about; rows that name none are told so."""
        if SITE not in self.blocks:
            return []
        self.blocks[SITE].take([row for row in self._rows[name] if row not in self._sites], NO_SITE)
        return sorted({self._sites[row] for row in self._rows[name] if row in self._sites})

    def _rows_of(self, name: str, site: int | None) -> list[int]:
        rows = self._rows[name]
        return rows if site is None else [row for row in rows if self._sites.get(row) == site]

    def _take_kept(self, kind: str, name: str, crystal: str, site: int | None) -> bool:
        """Whether the cache has the features; if so they are put into their rows."""
        kept = None if self._cache is None else self._cache.get(feature_address(kind, crystal, site))
        if kept is None:
            return False
        self.blocks[kind].take(self._rows_of(name, site), kept)
        return True

    def _keep(self, kind: str, name: str, crystal: str, site: int | None, outcome: Outcome) -> None:
        self.blocks[kind].take(self._rows_of(name, site), outcome)
        if self._cache is not None and not isinstance(outcome, PassingReason):
            self._cache.put(feature_address(kind, crystal, site), outcome)

    def _step(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, len(self._rows))


def rows_of_structures(dataset: Dataset) -> Mapping[str, list[int]]:
    """Numbers of the rows that are about each structure, by its name.

    Raises
    ------
    HibanaError
        HIB-263 if there are no structures, or no column of the table has the name of the first of them.
    """
    first = next(dataset.structures(), None)
    if first is None:
        raise NO_STRUCTURES.error("the file of structures is empty", where=dataset.path.parent)
    texts = dataset.frame.select_dtypes(include=["object", "string"])
    column = next((column for column in texts.columns if (texts[column].astype(str) == first[0]).any()), None)
    if column is None:
        raise NO_STRUCTURES.error(f"no column of the table has the structure's name {first[0]!r}", where=dataset.path)
    rows: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(texts[column].astype(str)):
        rows[name].append(number)
    return rows


def _sites(dataset: Dataset) -> Mapping[int, int]:
    """Site that each row is about, by number of the row."""
    values = pd.to_numeric(dataset.frame[SITE_COLUMN], errors="coerce").to_numpy(dtype=float)
    return {row: int(value) for row, value in enumerate(values) if np.isfinite(value)}
