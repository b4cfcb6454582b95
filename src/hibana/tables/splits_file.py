"""``splits.json`` beside a table: which fold tests each row, and what each split lets through.

It is no part of the snapshot, which never changes, but names it: splits are only ever used with the table they were made of.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from hibana.tables.errors import NO_SUCH_SPLIT, OTHER_SPLITS, UNREADABLE_SPLITS
from hibana.tables.leakage import Array, leakage, near_duplicates
from hibana.tables.splits import Fold, fold_numbers_of, folds_of

SPLITS_FILE = "splits.json"
VERSION = 1
"""Of the file's form."""

NEAR_DUPLICATE = "near_duplicate"

HOW_TO_READ = (
    "fold[i] is the number of the fold that tests row_ids[i]; -1: trained on in every fold, never tested; -2: on neither side. "
    "In fold f the rows with fold == f are tested, and those with any other number but -2 are trained on. leakage counts, over "
    "all folds, the groups on both sides (shared) and the test rows of which training rows know the like (test_rows)."
)


@dataclass(frozen=True)
class Split:
    """A split under its name.

    Parameters
    ----------
    name
        Short name, such as ``prototype``.
    rule
        How rows are split, in words.
    folds
        Training and test rows of each fold, as places among the rows.
    column
        What rows were grouped or ordered by.
    """

    name: str
    rule: str
    folds: tuple[Fold, ...]
    column: str | None = None


@dataclass(frozen=True)
class SplitTable:
    """All splits of a table.

    Parameters
    ----------
    table, snapshot
        Name and identity of the table.
    row_ids
        Names of the rows.
    seed
        Of all splits.
    splits
        The splits.
    left_out
        By name: why a split could not be made.
    groups
        By name: label of each row, to say what leaks.
    points
        Compositions and volumes for near duplicates, as :func:`hibana.tables.leakage.composition_points` gives them.
    """

    table: str
    snapshot: str
    row_ids: Sequence[str]
    seed: int
    splits: Sequence[Split]
    left_out: Mapping[str, str]
    groups: Mapping[str, Sequence[Hashable]]
    points: Array | None = None

    def as_dict(self) -> dict[str, Any]:
        """The content of ``splits.json``; the order of the rows plays no part."""
        order = sorted(range(len(self.row_ids)), key=lambda place: self.row_ids[place])
        return {
            "version": VERSION,
            "table": self.table,
            "snapshot": self.snapshot,
            "seed": self.seed,
            "how_to_read": HOW_TO_READ,
            "row_ids": [self.row_ids[place] for place in order],
            "splits": [self._said(split, order) for split in self.splits],
            "left_out": dict(self.left_out),
        }

    def _said(self, split: Split, order: Sequence[int]) -> dict[str, Any]:
        numbers = fold_numbers_of(split.folds, len(self.row_ids))
        return {
            "name": split.name,
            "rule": split.rule,
            "column": split.column,
            "n_folds": len(split.folds),
            "test_rows": [len(test) for _, test in split.folds],
            "leakage": self.leaks[split.name],
            "fold": [int(numbers[place]) for place in order],
        }

    @cached_property
    def leaks(self) -> dict[str, dict[str, dict[str, int | float]]]:
        """What each split lets through, by kind of group."""
        return {split.name: self._leaks_of(split) for split in self.splits}

    def _leaks_of(self, split: Split) -> dict[str, dict[str, int | float]]:
        found = {name: leakage(split.folds, labels).as_dict() for name, labels in self.groups.items()}
        if self.points is not None:
            found[NEAR_DUPLICATE] = near_duplicates(split.folds, self.points).as_dict()
        return found


def write_splits(table: SplitTable, path: Path) -> None:
    """Write splits as JSON, one split a line; a file that is there is replaced as a whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    content = table.as_dict()
    splits = ",\n  ".join(json.dumps(split, ensure_ascii=False) for split in content.pop("splits"))
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in content.items()]
    lines.insert(-1, f'"splits": [\n  {splits}\n ]')
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text("{\n " + ",\n ".join(lines) + "\n}\n", encoding="utf-8")
    partial.replace(path)


@dataclass(frozen=True)
class StoredSplit:
    """A split as ``splits.json`` has it.

    Parameters
    ----------
    name, rule
        As in :class:`Split`.
    numbers
        By row id: number of the fold that tests it, or one of the negative numbers of :mod:`hibana.tables.splits`.
    leakage
        What it lets through.
    file, sha256
        Name and hash of the file.
    """

    name: str
    rule: str
    numbers: Mapping[str, int]
    leakage: Mapping[str, Any]
    file: str
    sha256: str

    @property
    def n_folds(self) -> int:
        """Folds over all rows of the table."""
        return max(self.numbers.values(), default=-1) + 1

    def folds(self, row_ids: Sequence[str]) -> tuple[Fold, ...]:
        """Training and test rows of each fold, as places among some rows of the table; a fold may have lost its test rows."""
        return folds_of(np.array([self.numbers[row] for row in row_ids], dtype=np.intp), self.n_folds)

    def as_dict(self) -> dict[str, Any]:
        """What a result says of the split that it rests on."""
        return {
            "name": self.name,
            "rule": self.rule,
            "n_folds": self.n_folds,
            "leakage": dict(self.leakage),
            "file": self.file,
            "sha256": self.sha256,
        }


def read_split(path: Path, name: str, snapshot: str, row_ids: Sequence[str]) -> StoredSplit:
    """A split of a table that :func:`write_splits` wrote.

    Parameters
    ----------
    path
        The file.
    name
        Which split.
    snapshot, row_ids
        Identity and rows of the table that it must belong to.

    Raises
    ------
    HibanaError
        HIB-145 if it cannot be read, HIB-146 if it is of another table, HIB-147 if it has no such split.
    """
    try:
        content = path.read_bytes()
        said = json.loads(content)
        version, of, rows = said["version"], said["snapshot"], [str(row) for row in said["row_ids"]]
        splits = {item["name"]: item for item in said["splits"]}
    except OSError as error:
        raise UNREADABLE_SPLITS.error(str(error.strerror), where=path) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UNREADABLE_SPLITS.error(f"{type(error).__name__}: {error}", where=path) from error
    if version != VERSION:
        raise UNREADABLE_SPLITS.error(f"it is of form {version}; this version of hibana reads form {VERSION}", where=path)
    if of != snapshot:
        raise OTHER_SPLITS.error(f"they are of {str(of)[:12]}, the table is {snapshot[:12]}", where=path)
    if missing := set(row_ids) - set(rows):
        raise OTHER_SPLITS.error(f"{len(missing)} of {len(row_ids)} rows are not in them", where=path)
    if name not in splits:
        reason = said.get("left_out", {}).get(name)
        why = f" ({reason})" if reason else ""
        raise NO_SUCH_SPLIT.error(f"{name!r}{why}; there are: {', '.join(splits) or 'none'}", where=path)
    found = splits[name]
    try:
        numbers = dict(zip(rows, map(int, found["fold"]), strict=True))
        return StoredSplit(name, found["rule"], numbers, found["leakage"], path.name, sha256(content).hexdigest())
    except (KeyError, TypeError, ValueError) as error:
        raise UNREADABLE_SPLITS.error(f"split {name!r}: {type(error).__name__}: {error}", where=path) from error
