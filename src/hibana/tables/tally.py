"""What went through an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hibana.tables.errors import DUPLICATE_ROWS
from hibana.tables.left_out import LEFT_OUT_MEANINGS, LeftOut, LeftOutCode

LISTED = 100
"""Left-out candidates the card lists by name; the file ``left_out.csv`` has all."""


@dataclass
class Tally:
    """What went through an export; rows and what was left out of one material come one after the other."""

    n_candidates: int = 0
    n_rows: int = 0
    n_materials: int = 0
    n_structures: int = 0
    n_flagged_rows: int = 0
    calculator_versions: set[str] = field(default_factory=set)
    left_out: dict[LeftOutCode, int] = field(default_factory=dict)
    first_left_out: list[LeftOut] = field(default_factory=list)
    last_material: str | None = None
    last_candidate: str | None = None
    _names: set[str] = field(default_factory=set)

    @property
    def n_left_out(self) -> int:
        """Candidates, or parts of them, without a row."""
        return sum(self.left_out.values())

    def add_row(self, material_id: str, *, name: str, is_flagged: bool, version: str) -> bool:
        """Count a row; whether it is the first one of its material.

        Raises
        ------
        HibanaError
            HIB-137 if there is a row of this name.
        """
        self._see(material_id)
        is_first = material_id != self.last_material
        if is_first:
            self._names.clear()
        if name in self._names:
            raise DUPLICATE_ROWS.error(name, where=material_id)
        self._names.add(name)
        self.n_rows += 1
        self.n_materials += is_first
        self.last_material = material_id
        self.n_flagged_rows += is_flagged
        self.calculator_versions.add(version)
        return is_first

    def leave_out(self, item: LeftOut) -> None:
        """Count a candidate, or a part of one, without a row."""
        self._see(item.material_id)
        self.left_out[item.code] = self.left_out.get(item.code, 0) + 1
        if len(self.first_left_out) < LISTED:
            self.first_left_out.append(item)

    def as_dict(self) -> dict[str, Any]:
        """Counts before and after, for the manifest."""
        left_out = {code: self.left_out[code] for code in LEFT_OUT_MEANINGS if code in self.left_out}
        return {
            "candidates": self.n_candidates,
            "rows": self.n_rows,
            "materials": self.n_materials,
            "structures": self.n_structures,
            "flagged_rows": self.n_flagged_rows,
            "left_out": left_out,
        }

    def _see(self, material_id: str) -> None:
        self.n_candidates += material_id != self.last_candidate
        self.last_candidate = material_id
