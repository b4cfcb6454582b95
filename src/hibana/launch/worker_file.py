"""FireWorks' worker file: its keys, and what in it is read by nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hibana.core.errors import HibanaError
from hibana.core.names import meant, nearest
from hibana.launch.errors import BAD_WORKER
from hibana.store.launchpad_file import read_yaml

KEYS = ("name", "category", "query", "env")
"""Keys of the file, those of FireWorks' FWorker."""

NEEDED = ("name", "category", "query")

ENV_KEYS = ("vasp_cmd", "cores", "threads", "walltime")
"""Keys of env that hibana reads; a site may have others, for Firetasks of its own."""

NUMBERS = ("cores", "threads", "walltime")


def read_worker_file(path: Path) -> dict[str, Any]:
    """Content of a worker file that FireWorks can read.

    Raises
    ------
    HibanaError
        HIB-113 for a file that cannot be read, a key that is missing or unknown, or a value of the wrong kind.
    """
    try:
        content = read_yaml(path)
    except HibanaError as error:
        raise BAD_WORKER.error(error.what, where=path) from error
    if problem := next(_problems(content), None):
        raise BAD_WORKER.error(problem, where=path)
    return content


def doubtful(env: Mapping[str, Any]) -> list[str]:
    """What in a worker's env is likely misspelt, in words; keys that are like none of hibana's are a site's own."""
    near = {str(key): nearest(key, ENV_KEYS) for key in env if key not in ENV_KEYS and not str(key).startswith("_")}
    return [f"env.{key} is read by nobody; is {found[0]} meant?" for key, found in near.items() if found]


def wrong_numbers(env: Mapping[str, Any]) -> list[str]:
    """Which of hibana's own numbers in a worker's env are none, in words."""
    given = {key: env[key] for key in NUMBERS if env.get(key) is not None}
    return [f"env.{key} is {value!r}, not a positive number" for key, value in given.items() if not is_positive(value)]


def is_positive(value: Any) -> bool:
    """Whether a value, or the text of it, is a number above zero."""
    try:
        return float(value) > 0
    except (TypeError, ValueError):
        return False


def _problems(content: Mapping[str, Any]) -> Iterator[str]:
    for key in map(str, content):
        if key not in KEYS and not key.startswith("_"):
            yield f"{key} is no key of a worker file{meant(key, KEYS)}; it has {', '.join(KEYS)}"
    for key in NEEDED:
        if key not in content:
            yield f"{key} is missing; FireWorks cannot read the file"
    query = content.get("query")
    try:
        is_filter = isinstance(json.loads(query or ""), dict)
    except (TypeError, ValueError):
        is_filter = False
    if not is_filter:
        yield f"query is {query!r}, not a MongoDB filter as JSON in quotes, such as '{{}}'"
    if not isinstance(content.get("env") or {}, dict):
        yield "env is no mapping"
