"""Features kept by content address, so that no crystal is worked on twice, whichever table it is in."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hibana.learn.errors import CACHE_UNUSABLE

Array = NDArray[np.float64]
Outcome = Array | str

FILE = "features.sqlite"
PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""

BATCH = 64
"""Outcomes written in one transaction; a process that is killed loses at most these."""

NUMBERS = np.dtype("<f8")


class FeatureCache:
    """Outcomes by address, in a SQLite file of a folder; several processes may read and write it at once.

    Parameters
    ----------
    folder
        Folder of the file; made where it is missing.

    Raises
    ------
    HibanaError
        HIB-266 if it cannot be used; all methods raise the same.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._waiting: dict[str, Outcome] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._file, timeout=PATIENCE)
            with self._database:
                self._database.execute(
                    "CREATE TABLE IF NOT EXISTS features (address TEXT PRIMARY KEY, numbers BLOB, reason TEXT) WITHOUT ROWID"
                )
        except (OSError, sqlite3.Error) as error:
            raise CACHE_UNUSABLE.error(str(error), where=self._file) from error

    def get(self, address: str) -> Outcome | None:
        """Features (n_features,), the reason why there are none, or None if the address is not known."""
        if address in self._waiting:
            return self._waiting[address]
        try:
            found = self._database.execute("SELECT numbers, reason FROM features WHERE address = ?", (address,)).fetchone()
        except sqlite3.Error as error:
            raise CACHE_UNUSABLE.error(str(error), where=self._file) from error
        if found is None:
            return None
        numbers, reason = found
        return str(reason) if numbers is None else np.frombuffer(numbers, dtype=NUMBERS).astype(float)

    def put(self, address: str, outcome: Outcome) -> None:
        """Keep an outcome; what is there already stays."""
        self._waiting[address] = outcome
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        rows = [
            (address, None, outcome) if isinstance(outcome, str) else (address, outcome.astype(NUMBERS).tobytes(), None)
            for address, outcome in self._waiting.items()
        ]
        try:
            with self._database:
                self._database.executemany("INSERT OR IGNORE INTO features VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise CACHE_UNUSABLE.error(str(error), where=self._file) from error
        self._waiting.clear()

    def __len__(self) -> int:
        self.flush()
        return int(self._database.execute("SELECT COUNT(*) FROM features").fetchone()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.flush()
        finally:
            self._database.close()
