"""The identity of an export: a hash of what it contains, whatever file it is in and whenever it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from hibana.core.address import content_address
from hibana.tables.cells import Value
from hibana.tables.series import Series
from hibana.tables.table import Table

HASHED_COLUMN = ("name", "type", "unit", "grid")
"""What of a column is part of the identity: not its description, which may be mended."""


class ContentHash:
    """SHA-256 of lines as they come."""

    def __init__(self) -> None:
        self._digest = sha256()
        self.count = 0

    def add(self, line: bytes) -> None:
        """Enter a line."""
        self._digest.update(line)
        self._digest.update(b"\n")
        self.count += 1

    def add_cells(self, cells: Sequence[Value]) -> None:
        """Enter a row of cells: numbers with all their digits, spectra in single precision."""
        self.add(json.dumps([_plain(cell) for cell in cells], ensure_ascii=False, separators=(",", ":")).encode())

    def hexdigest(self) -> str:
        """The hash so far, 64 hex digits."""
        return self._digest.hexdigest()


def snapshot_of(table: Table, series: Series, chosen: Mapping[str, Any], rows: ContentHash, structures: ContentHash) -> str:
    """Identity of an export, 64 hex digits.

    Parameters
    ----------
    table, series
        The table and its series.
    chosen
        What was chosen of it: the filter.
    rows
        Its rows in their order.
    structures
        The structures beside it.
    """
    columns = [{name: _text(column.as_dict().get(name)) for name in HASHED_COLUMN} for column in table.columns]
    content = {"rows": rows.hexdigest(), "structures": structures.hexdigest()}
    return content_address(
        {"table": table.name, "series": series.as_dict(), "filter": dict(chosen), "columns": columns, "content": content}
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)


def _plain(cell: Value) -> Any:
    if not isinstance(cell, np.ndarray):
        return cell
    numbers = np.asarray(cell, dtype="<f4")
    return sha256(np.where(np.isfinite(numbers), numbers, np.float32("nan")).astype("<f4").tobytes()).hexdigest()
