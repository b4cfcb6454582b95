"""The heartbeat of a launch: how others know, within minutes, that the process that ran it is gone.

FireWorks' own launchers ping once an hour, and their ping dies for good at the first dropped connection. A job of hibana beats
by itself, whoever launched it. The beat stands in the launch's document, dated by the server::

    heartbeat: {at: the server's time, every: seconds, job: {kind, id} of the queue, where it runs in one}

It also dates FireWorks' own ``updated_on``, so that stock ``lpad detect_lostruns`` lets a live launch be.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import DESCENDING
from pymongo.errors import InvalidOperation, PyMongoError

from hibana.launch.schedulers import scheduler_here
from hibana.store.claims import HEARTBEAT_SECONDS, RETRIES
from hibana.store.owner import Owner
from hibana.store.patience import patiently

if TYPE_CHECKING:
    from fireworks import LaunchPad

SILENT_BEATS = 2.5
"""A launch that has not beaten for so many of its intervals is lost. With a look every half interval a lost launch is found
within three of them; a beat that the database did not take is repeated many times before."""

LINGER_SECONDS = 600.0
"""The beating goes on for so long behind the job, while FireWorks notes its end; then the launch counts as left behind."""

LOG = logging.getLogger(__name__)


class LaunchBeat:
    """Beats for one launch in the background, until the launch is no longer RUNNING.

    Parameters
    ----------
    launchpad
        FireWorks' LaunchPad, or hibana's.
    launch_id
        The launch.
    entry
        Position of the RUNNING entry in its history.
    interval
        Seconds between two beats.
    sign
        Whether this process is named in the history, as hibana's own launchers do when they begin a launch: so that it is known
        to be lost as soon as the process is gone.
    """

    def __init__(
        self, launchpad: LaunchPad, launch_id: int, entry: int, interval: float = HEARTBEAT_SECONDS, *, sign: bool = False
    ) -> None:
        queue = scheduler_here()
        self._launches = launchpad.launches
        self._launch_id = launch_id
        self._entry = entry
        self._interval = interval
        self._fields: dict[str, Any] = {
            "heartbeat.every": interval,
            "heartbeat.job": None if queue is None else {"kind": queue.kind, "id": queue.job},
        }
        if sign:
            self._fields[f"state_history.{entry}.owner"] = Owner.here(launch_id).as_dict()
        self._stop = threading.Event()
        self._until: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"beat of launch {launch_id}", daemon=True)

    def start(self) -> None:
        """Beat once, and go on in the background."""
        self._pause()
        self._thread.start()

    def linger(self) -> None:
        """The job is done: beat only until its end is noted, and not for ever."""
        self._until = time.monotonic() + LINGER_SECONDS

    def stop(self) -> None:
        """Beat no more."""
        self._stop.set()

    def beat(self) -> bool:
        """Say that the launch lives; False if it is no longer RUNNING."""
        now = datetime.now(UTC).isoformat()
        entry = f"state_history.{self._entry}"
        query = {"launch_id": self._launch_id, "state": "RUNNING", f"{entry}.state": "RUNNING"}
        change = {"$set": {**self._fields, f"{entry}.updated_on": now}, "$currentDate": {"heartbeat.at": True}}
        return bool(self._launches.update_one(query, change).matched_count)

    def _run(self) -> None:
        pause: float | None = self._interval
        while pause is not None and not self._stop.wait(pause):
            if self._until is not None and time.monotonic() > self._until:
                return
            pause = self._pause()

    def _pause(self) -> float | None:
        """Beat; seconds until the next one, None where there is nothing left to beat for."""
        try:
            return self._interval if self.beat() else None
        except InvalidOperation:  # the connection was closed for good
            return None
        except PyMongoError as error:
            LOG.warning("no heartbeat for launch %s: %s", self._launch_id, type(error).__name__)
            return self._interval / RETRIES


@contextmanager
def beating(launchpad: LaunchPad, fw_id: int, interval: float = HEARTBEAT_SECONDS) -> Iterator[None]:
    """Beat for the launch that runs a firework while the block runs, and behind it until its end is noted.

    Parameters
    ----------
    launchpad
        FireWorks' LaunchPad, or hibana's.
    fw_id
        The firework.
    interval
        Seconds between two beats.
    """
    query, fields = {"fw_id": fw_id, "state": "RUNNING"}, {"launch_id": 1, "state_history": 1}
    launch = patiently(lambda: launchpad.launches.find_one(query, fields, sort=[("launch_id", DESCENDING)]))
    if launch is None:
        yield
        return
    history = launch["state_history"]
    unsigned = "owner" not in history[-1]
    beat = LaunchBeat(launchpad, launch["launch_id"], len(history) - 1, interval, sign=unsigned)
    beat.start()
    try:
        yield
    finally:
        beat.linger()


def is_silent(launch: Mapping[str, Any], silence: Callable[[datetime], float], beats: float = SILENT_BEATS) -> bool | None:
    """Whether a launch has missed its beats; None for one that does not beat.

    Parameters
    ----------
    launch
        Its document.
    silence
        Seconds since a time that the server gave, as :func:`hibana.store.silence.silence` counts them.
    beats
        How many intervals it may be silent.
    """
    heartbeat = launch.get("heartbeat") or {}
    if "at" not in heartbeat:
        return None
    return silence(heartbeat["at"]) > beats * float(heartbeat["every"])
