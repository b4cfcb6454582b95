"""Free queries of users: any MongoDB filter on hibana's collections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING
from pymongo.database import Database
from pymongo.errors import InvalidOperation, OperationFailure

from hibana.store.errors import BAD_QUERY
from hibana.store.indexes import COLLECTIONS
from hibana.store.patience import GONE, begun_patiently

HIDDEN = {"arrays": {"data": 0}, "claims": {"result": 0}}
"""Fields that are bytes or passing state and are not shown unless asked for."""


def parse_filter(text: str) -> dict[str, Any]:
    """Read a MongoDB filter from JSON.

    Raises
    ------
    HibanaError
        HIB-078 if it is no JSON object.
    """
    try:
        filter = json.loads(text)
    except ValueError as error:
        raise BAD_QUERY.error(f"{error}", where=text) from error
    if not isinstance(filter, dict):
        raise BAD_QUERY.error("a filter is a JSON object", where=text)
    return filter


def find(
    database: Database[dict[str, Any]],
    collection: str,
    filter: Mapping[str, Any],
    fields: Sequence[str] = (),
    limit: int = 0,
    *,
    by_key: bool = False,
) -> Iterator[dict[str, Any]]:
    """Documents that match a filter.

    Parameters
    ----------
    database
        The store's database.
    collection
        One of hibana's collections.
    filter
        MongoDB filter.
    fields
        Names of the fields wanted, nested ones with dots; all if empty.
    limit
        At most so many; 0 for all.
    by_key
        Sorted by the collection's key, which begins with the material_id for candidates, properties and outcomes.

    Yields
    ------
    dict
        The documents, without MongoDB's ``_id`` where it only repeats other fields.

    Raises
    ------
    HibanaError
        HIB-078 if there is no such collection, or the server does not understand the filter.
    """
    if collection not in COLLECTIONS:
        raise BAD_QUERY.error(f"no collection {collection!r}", fix=f"Choose one of {', '.join(COLLECTIONS)}.")
    if limit < 0:
        raise BAD_QUERY.error(f"a limit of {limit}", fix="Give a limit of 0 (all) or more.")
    projection: dict[str, Any] = dict.fromkeys(fields, 1) if fields else dict(HIDDEN.get(collection, {}))
    if collection not in ("arrays", "claims"):
        projection["_id"] = 0
    return _found(database, collection, dict(filter), projection, limit, [("_id", ASCENDING)] if by_key else None)


def _found(
    database: Database[dict[str, Any]],
    collection: str,
    filter: dict[str, Any],
    projection: dict[str, Any],
    limit: int,
    order: list[tuple[str, int]] | None,
) -> Iterator[dict[str, Any]]:
    try:
        yield from begun_patiently(lambda: database[collection].find(filter, projection or None, limit=limit, sort=order))
    except GONE:
        raise
    except (OperationFailure, InvalidOperation, TypeError) as error:
        details = error.details if isinstance(error, OperationFailure) else None
        message = details.get("errmsg") if details else str(error)
        raise BAD_QUERY.error(str(message), where=json.dumps(filter, default=str)) from error
