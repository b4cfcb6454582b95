"""Names of the fields that the documents of a collection have, for users who misspell one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo.database import Database

from hibana.core.names import nearest
from hibana.store.errors import BAD_QUERY
from hibana.store.indexes import COLLECTIONS
from hibana.store.queries import HIDDEN

SAMPLE = 200
"""Documents whose fields are looked at first, and among which near names are found."""

SUGGESTED = 5


def check_fields(database: Database[dict[str, Any]], collection: str, names: Sequence[str]) -> None:
    """Refuse names of fields that no document of a collection has; an empty collection refuses none.

    Parameters
    ----------
    database
        The store's database.
    collection
        Name of the collection; one that is not hibana's refuses none.
    names
        Names, nested ones with dots.

    Raises
    ------
    HibanaError
        HIB-078 with the names that are near.
    """
    if collection not in COLLECTIONS:
        return
    documents = database[collection]
    sample = list(documents.find({}, HIDDEN.get(collection), limit=SAMPLE))
    if not sample:
        return
    known = list(dict.fromkeys(path for document in sample for path in paths(document)))
    rare = [name for name in names if name not in known]
    strange = [name for name in rare if documents.find_one({name: {"$exists": True}}, {"_id": 1}) is None]
    for name in strange:
        if any(may_have(document, name.split(".")) for document in sample):
            continue
        near = nearest(name, known, SUGGESTED, cutoff=0.6)
        near += [path for path in known if path not in near and name.lower() in path.lower()][: SUGGESTED - len(near)]
        top = [path for path in known if "." not in path]
        fix = f"Near it are {', '.join(near)}." if near else f"It has {', '.join(top)}."
        raise BAD_QUERY.error(f"no document of {collection} has a field {name!r}", where="--fields", fix=fix)


def paths(document: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Names of all fields of a document, nested ones with dots; of a list those of its first entry."""
    for key, value in document.items():
        path = f"{before}{key}"
        yield path
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, Mapping):
            yield from paths(inner, f"{path}.")


def may_have(document: Mapping[str, Any], parts: Sequence[str]) -> bool:
    """Whether the field above a nested one is there and empty, so that the nested one could be there."""
    value: Any = document
    for part in parts[:-1]:
        value = value.get(part, 0)
        if value is None or value in ({}, []):
            return True
        if not isinstance(value, Mapping):
            return False
    return False
