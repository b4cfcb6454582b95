"""Names of the fields that the documents of a collection have, for users who misspell one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel
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
    if collection in COLLECTIONS:
        _check(database, collection, names, "--fields")


def check_filter(database: Database[dict[str, Any]], collection: str, filter: Mapping[str, Any]) -> None:
    """Refuse a filter by a field that neither the model of a collection's documents nor any of the documents has.

    What stands below a field that may hold anything (tags of an INCAR, fields of one's own that some document has) is free.

    Parameters
    ----------
    database
        The store's database.
    collection
        Name of the collection; one that is not hibana's refuses none.
    filter
        MongoDB filter.

    Raises
    ------
    HibanaError
        HIB-078 with the names that are near.
    """
    if collection not in COLLECTIONS:
        return
    model = _models().get(collection)
    names = [".".join(part for part in name.split(".") if not part.isdigit()) for name in named_fields(filter)]
    strange = [name for name in names if name != "_id" and not (model and _is_in_model(model, name.split(".")))]
    if strange:
        _check(database, collection, strange, json.dumps(filter, default=str), () if model is None else tuple(_paths_of(model)))


def named_fields(filter: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Names of the fields that a MongoDB filter asks for, nested ones with dots."""
    for key, value in filter.items():
        if key in ("$and", "$or", "$nor") and isinstance(value, list):
            for item in value:
                yield from named_fields(item, before) if isinstance(item, Mapping) else ()
        elif key in ("$not", "$elemMatch") and isinstance(value, Mapping):
            yield from named_fields(value, before)
        elif key == "$all" and isinstance(value, list):
            for item in value:
                yield from named_fields(item, before) if isinstance(item, Mapping) else ()
        elif not key.startswith("$"):
            yield f"{before}{key}"
            if isinstance(value, Mapping) and any(inner.startswith("$") for inner in value):
                yield from named_fields(value, f"{before}{key}.")


def _check(
    database: Database[dict[str, Any]], collection: str, names: Sequence[str], where: str, model: Sequence[str] = ()
) -> None:
    """Refuse names that no document has."""
    documents = database[collection]
    sample = list(documents.find({}, HIDDEN.get(collection), limit=SAMPLE))
    known = list(dict.fromkeys((*model, *(path for document in sample for path in paths(document)))))
    if not known:
        return
    rare = [name for name in names if name not in known]
    strange = [name for name in rare if documents.find_one({name: {"$exists": True}}, {"_id": 1}) is None]
    for name in strange:
        if any(may_have(document, name.split(".")) for document in sample):
            continue
        near = nearest(name, known, SUGGESTED, cutoff=0.6)
        near += [path for path in known if path not in near and name.lower() in path.lower()][: SUGGESTED - len(near)]
        top = [path for path in known if "." not in path]
        fix = f"Near it are {', '.join(near)}." if near else f"It has {', '.join(top)}."
        raise BAD_QUERY.error(f"no document of {collection} has a field {name!r}", where=where, fix=fix)


@cache
def _models() -> dict[str, type[BaseModel]]:
    """Models of the documents of those collections that have one."""
    from hibana.documents import chemical_potentials, dielectric, dispersion, material, optics, properties, sites, vacancy
    from hibana.documents.candidate import CandidateDoc
    from hibana.documents.task import TaskDoc

    modules = (properties, dielectric, optics, dispersion, sites, material, vacancy, chemical_potentials)
    found: dict[str, type[BaseModel]] = {"candidates": CandidateDoc, "tasks": TaskDoc}
    for value in (value for module in modules for value in vars(module).values()):
        if isinstance(value, type) and issubclass(value, properties.PropertyDoc) and value is not properties.PropertyDoc:
            found[value.collection] = value
    return found


def _is_in_model(kind: Any, parts: Sequence[str]) -> bool:
    """Whether a document of a type may have a nested field, or anything in its place."""
    if not parts or kind is Any:
        return True
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        info = kind.model_fields.get(parts[0])
        return info is not None and _is_in_model(info.annotation, parts[1:])
    inner = get_args(kind)
    if get_origin(kind) is dict:
        return _is_in_model(inner[1], parts[1:])
    return any(_is_in_model(item, parts) for item in inner if not isinstance(item, str))


def _paths_of(kind: Any, before: str = "") -> Iterator[str]:
    """Names of the fields of a model, nested ones with dots."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            yield f"{before}{name}"
            yield from _paths_of(info.annotation, f"{before}{name}.")
    elif get_origin(kind) is not dict:
        for item in get_args(kind):
            yield from _paths_of(item, before)


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
