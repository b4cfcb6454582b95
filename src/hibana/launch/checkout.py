"""Taking a firework to run it.

The launch is written first and the firework is then changed by one conditional write that names it. So a process killed at
any moment leaves either a firework that is still ready (and a launch no firework knows), or a firework whose launch says who
runs it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fireworks.core.firework import Firework, Launch, Tracker
from fireworks.core.fworker import FWorker

from hibana.launch.patient import Document
from hibana.launch.refresh import launches_of, read_firework
from hibana.store.owner import Owner

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad

FIRST_CHECKPOINT = {"_task_n": 0, "_all_stored_data": {}, "_all_update_spec": {}, "_all_mod_spec": []}
"""What FireWorks writes when the first Firetask starts; it stands in the launch from the beginning."""


def checkout(
    launchpad: HibanaLaunchPad,
    fworker: FWorker,
    launch_dir: str,
    fw_id: int | None,
    host: str,
    ip: str,
    state: str,
) -> tuple[Firework, Launch] | None:
    """Take the next firework to run, or the one that is named.

    Parameters
    ----------
    launchpad
        The launchpad.
    fworker
        Which fireworks may be taken.
    launch_dir
        Where it is going to run.
    fw_id
        Take this one, which may have been reserved before; None for the next by priority.
    host, ip
        Where this process runs.
    state
        RUNNING, or RESERVED by a queue launcher.

    Returns
    -------
    tuple of Firework and Launch, or None
        None if there is nothing to run.
    """
    attempt = _Attempt(launchpad, fworker, launch_dir, host, ip, state)
    if fw_id is not None:
        return attempt.first_of([fw_id], {"state": {"$in": ["READY", "RESERVED"]}})
    from hibana.launch.launchpad import worker_query

    query = worker_query(fworker)
    ready = {**query, "state": "READY"}
    return attempt.first_of(launchpad.candidates.offer(query), ready, launchpad.candidates.is_still_next)


class _Attempt:
    """One checkout: tries candidates until one is won."""

    def __init__(self, launchpad: HibanaLaunchPad, fworker: FWorker, launch_dir: str, host: str, ip: str, state: str) -> None:
        self.launchpad = launchpad
        self.fworker = fworker
        self.launch_dir = launch_dir
        self.place = (host, ip)
        self.state = state
        self.launch_id: int | None = None

    def first_of(
        self, fw_ids: Iterable[int], query: Document, is_still_next: Callable[[Document], bool] = lambda _: True
    ) -> tuple[Firework, Launch] | None:
        """Run through candidates until one is won."""
        for fw_id in fw_ids:
            # the id first: the embedded server looks into the index of the first field that has one
            found = self.launchpad.p_fireworks.one({"fw_id": fw_id, **query})
            won = self._try(found) if found is not None and is_still_next(found) else None
            if won is not None:
                self.launchpad.note_state(fw_id, self.state)
                return won
        if self.launch_id is not None:
            self.launchpad.p_launches.remove({"launch_id": self.launch_id})
        return None

    def _try(self, found: Document) -> tuple[Firework, Launch] | None:
        if "_dupefinder" in found["spec"]:
            return self._stock(found["fw_id"])
        launches = launches_of(self.launchpad, found)
        try:
            firework = read_firework(found, launches)
        except Exception:  # whatever a user's class raises
            self.launchpad.fizzle_unreadable(found["fw_id"])
            return None
        reserved = [launch for launch in firework.launches if launch.state == "RESERVED"]
        if reserved:
            return self._from_reservation(firework, found, reserved[0])
        return self._new(firework, found)

    def _new(self, firework: Firework, found: Document) -> tuple[Firework, Launch] | None:
        if self.launch_id is None:
            self.launch_id = self.launchpad.get_new_launch_id()
        launch = self._launch(firework, self.launch_id, None)
        key = {"launch_id": self.launch_id}
        self.launchpad.p_launches.replace(key, launch.to_db_dict(), upsert=True)
        change = {"$set": {"state": self.state, "updated_on": _now()}, "$push": {"launches": self.launch_id}}
        seen = {name: found[name] for name in ("fw_id", "state", "updated_on")}
        if not self.launchpad.p_fireworks.change(seen, change) and not self._is_mine(found["fw_id"]):
            return None
        self.launch_id = None
        firework.launches.append(launch)
        firework.state = self.state
        return firework, launch

    def _from_reservation(self, firework: Firework, found: Document, reserved: Launch) -> tuple[Firework, Launch] | None:
        """Start what a queue launcher reserved; of two processes that try, one changes the launch."""
        launch = self._launch(firework, reserved.launch_id, reserved.state_history)
        document = launch.to_db_dict()
        key = {"launch_id": reserved.launch_id}
        if not self.launchpad.p_launches.replace({**key, "state": "RESERVED"}, document):
            written = self.launchpad.p_launches.one(key) or {}
            if written.get("state_history") != document["state_history"]:
                return None
        self.launchpad.p_fireworks.change(
            {"fw_id": found["fw_id"], "launches": reserved.launch_id}, {"$set": {"state": self.state, "updated_on": _now()}}
        )
        firework.launches = [launch if old.launch_id == launch.launch_id else old for old in firework.launches]
        firework.state = self.state
        return firework, launch

    def _stock(self, fw_id: int) -> tuple[Firework, Launch] | None:
        firework, launch_id = self.launchpad.stock_checkout(self.fworker, self.launch_dir, fw_id, *self.place, self.state)
        if firework is None or launch_id is None:
            return None
        launch = next(launch for launch in firework.launches if launch.launch_id == launch_id)
        self._sign(launch)
        self.launchpad.p_launches.replace({"launch_id": launch_id}, launch.to_db_dict())
        return firework, launch

    def _launch(self, firework: Firework, launch_id: int, history: list[Document] | None) -> Launch:
        trackers = [Tracker.from_dict(fields) for fields in firework.spec.get("_trackers", ())]
        launch = Launch(
            self.state,
            self.launch_dir,
            self.fworker,
            *self.place,
            trackers=trackers,
            state_history=history,
            launch_id=launch_id,
            fw_id=firework.fw_id,
        )
        self._sign(launch)
        if self.state == "RUNNING" and "_recovery" not in firework.spec:
            launch.touch_history(checkpoint=FIRST_CHECKPOINT)
        return launch

    def _sign(self, launch: Launch) -> None:
        """Name the process in the history of the launch, where FireWorks carries it along."""
        launch.state_history[-1]["owner"] = Owner.here(launch.launch_id).as_dict()

    def _is_mine(self, fw_id: int) -> bool:
        """Whether the change was made after all, just before the connection dropped."""
        return self.launchpad.p_fireworks.one({"fw_id": fw_id, "launches": self.launch_id}, {"_id": 1}) is not None


def _now() -> Any:
    return datetime.datetime.now(datetime.UTC).isoformat()
