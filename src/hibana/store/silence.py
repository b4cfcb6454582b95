"""How long somebody has not been heard of, by the server's clock and while the server could be spoken to."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

SilentFor = Callable[[datetime], float]
"""Seconds since a time that the server gave."""


def silence(database: Database[dict[str, Any]], heard: datetime) -> float:
    """Seconds since a sign of life that the server dated; see :func:`silence_now`."""
    return silence_now(database)(heard)


def silence_now(database: Database[dict[str, Any]]) -> SilentFor:
    """How long it is, at this moment, since a time that the server gave; for asking of many at once.

    A server that was down could not be told anything: no silence is longer than the server is up, so that its restart makes
    nobody look dead. A server that does not tell how long it is up (the user may not ask it) counts as always up. Ask before
    the signs of life are read: what is judged later than it was read would look more silent than it is.

    Parameters
    ----------
    database
        Any database of the server.
    """
    now = _utc(database.command("hello")["localTime"])
    up = _uptime(database)
    return lambda heard: float(min((now - _utc(heard)).total_seconds(), up))


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _uptime(database: Database[dict[str, Any]]) -> float:
    try:
        status = database.client.admin.command("serverStatus")
    except OperationFailure:
        return math.inf
    milliseconds = status.get("uptimeMillis")
    return float(milliseconds) / 1000 if milliseconds is not None else float(status.get("uptime", math.inf))
