"""What others have calculated of a structure: distance from the hull, band gap, moment; from its entry or a table."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monty.io import zopen

from hibana.structures.errors import BAD_VALUES

NAMES: dict[str, tuple[str, ...]] = {
    "hull_distance": ("e_above_hull", "energy_above_hull", "e_above_hull_mp", "hull_distance", "e_hull", "stability"),
    "band_gap": ("band_gap", "band_gap_mp_gga", "band_gap_gga", "band_gap_pbesol", "bandgap", "gap", "gap_pbe"),
    "moment": ("total_magnetization", "magnetization", "total_moment"),
    "is_magnetic": ("is_magnetic", "ordering", "magnetic_ordering"),
}
"""Known values and the names they go by, the first that is there counts; units eV/atom, eV, μB a cell."""

KEYS = ("material_id", "id", "mp_id", "name")
"""Columns of a table that name the structure."""

PROVIDER = re.compile(r"^_[a-z0-9]+_")
"""OPTIMADE's prefix of a provider's own field."""

UNIT = re.compile(r"_(ev_per_atom|ev|mub)$")

PLACES = ("attributes", "data", "key_value_pairs", "properties")
"""Parts of an entry where values stand besides its top level."""

Values = dict[str, float]
"""Known values of one structure; ``is_magnetic`` is 0 or 1."""


def values_of(entry: Any) -> Values:
    """Known values of an entry; what is missing or no number is left out."""
    if not isinstance(entry, Mapping):
        return {}
    found: Values = {}
    for place in (entry, *(entry[name] for name in PLACES if isinstance(entry.get(name), Mapping))):
        found = known_values(place) | found
    return found


def known_values(fields: Mapping[str, Any]) -> Values:
    """Known values among fields of any names."""
    plain: dict[str, Any] = {}
    for name, value in fields.items():
        plain.setdefault(UNIT.sub("", PROVIDER.sub("", str(name).lower())), value)
    found: Values = {}
    for quantity, names in NAMES.items():
        number = next((number for name in names if (number := _number(plain.get(name), quantity)) is not None), None)
        if number is not None:
            found[quantity] = number
    return found


def read_values(path: Path) -> dict[str, Values]:
    """Values of a CSV table (also ``.gz``) by the name of the structure.

    Raises
    ------
    HibanaError
        HIB-025 if it cannot be read, or has no column that names structures or none with values.
    """
    try:
        with zopen(path, mode="rt", encoding="utf-8") as file:
            rows = csv.DictReader(_text(file))
            columns = rows.fieldnames or []
            key = next((name for name in KEYS if name in columns), None)
            if key is None:
                raise BAD_VALUES.error(f"no column {' or '.join(KEYS)} among {', '.join(columns)}", where=path)
            table = {row[key]: known_values(row) for row in rows if row[key]}
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise BAD_VALUES.error(str(error), where=path) from error
    if not any(table.values()):
        raise BAD_VALUES.error(f"no known values in its columns {', '.join(columns)}", where=path)
    return table


def _text(file: Any) -> Iterator[str]:
    for line in file:
        yield str(line)


def _number(value: Any, quantity: str) -> float | None:
    if quantity == "is_magnetic":
        return _flag(value)
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _flag(value: Any) -> float | None:
    """A yes or no, or the Materials Project's NM, FM, AFM, FiM."""
    text = str(value).strip().lower()
    if text in ("true", "1", "fm", "afm", "fim"):
        return 1.0
    return 0.0 if text in ("false", "0", "nm") else None
