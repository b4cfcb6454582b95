"""Which materials a user means: by identity, by formula, by the file they were read from, or by a filter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from hibana.launch.errors import NO_SUCH_MATERIAL
from hibana.store.fields import check_filter
from hibana.store.queries import parse_filter

if TYPE_CHECKING:
    from hibana.store.store import Store

LONGEST_PATTERN = 900
"""With more characters in the names of files all candidates are looked at: the embedded server takes patterns of 1000."""

_REST = r"(\.[A-Za-z.]+)?([^\w./-]|$)"
_END = re.compile(f"(?={_REST})")
"""Where the name of a file may end in a source: before its ending, or before the number of a structure in it."""

BATCH = 10_000
"""Names looked for by one query that has an index."""


def find_materials(store: Store, *names: str) -> list[str]:
    """The identities of the candidates of some names, each once.

    Parameters
    ----------
    store
        The store.
    names
        Each a material_id, a reduced formula, or what a candidate was read from: a source as it is noted, or the name of its
        file, with or without folder and ending. A file in another folder is another file.

    Raises
    ------
    HibanaError
        HIB-114 if there is no candidate of a name.
    """
    found: dict[str, list[str]] = {}
    for field in ("_id", "formula", "sources"):
        found |= _having(store, field, [name for name in names if name not in found])
    found |= _read_from(store, [name for name in names if name not in found])
    for name in names:
        if name not in found:
            raise NO_SUCH_MATERIAL.error(f"{name!r} is no material_id, no reduced formula and no file that was submitted")
    return list(dict.fromkeys(chain.from_iterable(found[name] for name in names)))


def chosen_materials(store: Store, named: Sequence[str], where: str | None = None) -> list[str]:
    """The identities of candidates that are named, and of those that match a MongoDB filter (JSON), each once.

    Raises
    ------
    HibanaError
        HIB-114 if there is no candidate of a name, HIB-078 if the filter cannot be used or names a field that there is not.
    """
    found = find_materials(store, *named)
    if where is not None:
        filter = parse_filter(where)
        check_filter(store.database, "candidates", filter)
        found += [item["material_id"] for item in store.query("candidates", filter, ("material_id",), by_key=True)]
    return list(dict.fromkeys(found))


def _having(store: Store, field: str, names: Sequence[str]) -> dict[str, list[str]]:
    """The identities of candidates by the value of a field, of those values that there are."""
    key = "material_id" if field == "_id" else field
    found: dict[str, list[str]] = {}
    for start in range(0, len(names), BATCH):
        wanted = set(names[start : start + BATCH])
        for item in store.query("candidates", {field: {"$in": sorted(wanted)}}, ("material_id", key), by_key=True):
            values = item[key] if isinstance(item[key], list) else [item[key]]
            for value in wanted.intersection(values):
                found.setdefault(value, []).append(item["material_id"])
    return found


def _read_from(store: Store, names: Sequence[str]) -> dict[str, list[str]]:
    """The identities of candidates by the file they were read from; of two paths one may be the end of the other."""
    meant: dict[str, list[str]] = {}
    for name in names:
        if file := Path(name).name:
            meant.setdefault(file, []).append(name)
    if not meant:
        return {}
    pattern = rf"(^|/)({'|'.join(map(re.escape, meant))}){_REST}"
    query = {"sources": {"$regex": pattern}} if len(pattern) <= LONGEST_PATTERN else {}
    found: dict[str, list[str]] = {}
    for item in store.query("candidates", query, ("material_id", "sources"), by_key=True):
        for name in {name for source in item["sources"] for name in _meaning(source, meant)}:
            found.setdefault(name, []).append(item["material_id"])
    return found


def _meaning(source: str, meant: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Those of the names given that mean the file of a source; they are given by the name of the file."""
    for match in _END.finditer(source):
        begin = source.rfind("/", 0, match.start()) + 1
        parts = Path(source[:begin]).parts
        for name in meant.get(source[begin : match.start()], ()):
            asked = Path(name).parent.parts
            if not asked or not parts or _is_end(asked, parts) or _is_end(parts, asked):
                yield name


def _is_end(short: Sequence[str], long: Sequence[str]) -> bool:
    return tuple(long[-len(short) :]) == tuple(short)
