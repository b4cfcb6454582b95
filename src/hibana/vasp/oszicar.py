"""OSZICAR: the total moment, where OUTCAR is missing."""

from __future__ import annotations

import re

_MOMENT = re.compile(r"\bmag=\s*([-+\d.Ee]+)\s*$", re.MULTILINE)


def last_magnetization(text: str) -> float | None:
    """Total moment of the last ionic step, μB; None without spin or for a vector."""
    found = _MOMENT.findall(text)
    try:
        return float(found[-1]) if found else None
    except ValueError:
        return None
