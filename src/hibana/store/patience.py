"""Sitting out a database that restarts or a connection that drops."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from pymongo.errors import ConnectionFailure, CursorNotFound

T = TypeVar("T")

PATIENCE_SECONDS = 600.0
"""How long a finished result waits for the database to come back before it is given up."""

GONE = (ConnectionFailure, CursorNotFound)
"""How a server that went away is noticed; one that came back within a long read does not know its cursor."""

LOG = logging.getLogger(__name__)


def patiently(operation: Callable[[], T], patience: float = PATIENCE_SECONDS) -> T:
    """Repeat an operation until the database answers.

    The operation must be one that may be done twice (a read, or a write of an absolute value): a dropped connection does
    not tell whether the write was done.

    Parameters
    ----------
    operation
        What to do.
    patience
        Seconds to go on trying.

    Raises
    ------
    pymongo.errors.ConnectionFailure, pymongo.errors.CursorNotFound
        The last one, when patience is at its end.
    """
    deadline = time.monotonic() + patience
    pause = 0.2
    while True:
        try:
            return operation()
        except GONE as error:
            if time.monotonic() + pause > deadline:
                raise
            LOG.warning("the database does not answer (%s); trying again", type(error).__name__)
        time.sleep(pause * (1 + random.random() / 4))
        pause = min(2 * pause, 10.0)


def begun_patiently(find: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What a search finds, begun again until the database gives its first documents; those that follow are not waited for.

    Parameters
    ----------
    find
        Makes the cursor.
    """

    def begin() -> tuple[Iterator[T], list[T]]:
        coming = find()
        return coming, list(islice(coming, 1))

    coming, first = patiently(begin)
    yield from first
    yield from coming
