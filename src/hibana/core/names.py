"""Names that users misspell: the one that is meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CUTOFF = 0.7
"""How alike (0 to 1) two names are for the one to be meant by the other."""


def nearest(name: object, known: Iterable[str], number: int = 1, *, cutoff: float = CUTOFF) -> list[str]:
    """The names most like one that is not known, the nearest first; letters large or small count alike.

    Parameters
    ----------
    name
        What was written.
    known
        The names there are.
    number
        At most so many.
    cutoff
        How alike they have to be, from 0 to 1.
    """
    by_lower: dict[str, str] = {}
    for item in known:
        by_lower.setdefault(item.lower(), item)
    return [by_lower[found] for found in difflib.get_close_matches(str(name).lower(), by_lower, number, cutoff=cutoff)]


def meant(name: object, known: Iterable[str]) -> str:
    """`` (is NAME meant?)`` for a message about an unknown name; empty if none is near."""
    near = nearest(name, known)
    return f" (is {near[0]} meant?)" if near else ""
