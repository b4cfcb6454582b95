"""Content addresses: the SHA-256 of a canonical JSON text.

The canonical text has sorted keys, no blanks and no NaN, so that it depends neither on key order nor on the process.
Floating-point numbers may enter only after the caller has put them on a grid (integers): two machines need not agree on
the last digit of a float.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def canonical_json(value: Any) -> str:
    """Canonical JSON text of integers, strings, booleans, None, and mappings and sequences of them.

    Raises
    ------
    TypeError
        If a float or another type is met: put floats on a grid first.
    """
    return json.dumps(_checked(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def content_address(value: Any) -> str:
    """SHA-256 (64 hex digits) of :func:`canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _checked(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {_key(k): _checked(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_checked(v) for v in value]
    raise TypeError(f"{value!r} ({type(value).__name__}) has no canonical form; put floats on a grid first")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{key!r} is no string and cannot be a key of a canonical mapping")
    return key
