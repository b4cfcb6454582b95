"""The Firetask behind ``workflows/export.yaml``: exports tables when a campaign has come so far, and runs modules on them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fireworks import FiretaskBase, Firework, FWAction, FWorker, Workflow, explicit_serialize
from pymongo import DESCENDING
from pymongo.collection import Collection

from hibana.core.errors import HibanaError
from hibana.launch.beats import beating
from hibana.launch.firetasks import carried, launchpad_of, leave_at_the_end
from hibana.launch.notice import NOTICES, heeding
from hibana.launch.stopping import STOP, Stopped
from hibana.store.patience import patiently
from hibana.tables.errors import BAD_EXPORT_TASK, MODULE_FAILED, NOTHING_ASKED, UNKNOWN_SERIES
from hibana.tables.export import ExportReport, export
from hibana.tables.other_formats import check_formats
from hibana.tables.reading import series_there
from hibana.tables.registry import find_table
from hibana.tables.series import Series, choose_series

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from hibana.store.store import Store

NAME = "{{hibana.tables.exporting.ExportTask}}"
DONE = "done"
"""The state of a campaign that has nothing left to run."""

ACTIVE = ("READY", "RESERVED", "RUNNING")
EAR_SECONDS = 1.0
"""How soon it is noticed between two looks that this process is to end."""

TAIL = 2000
"""Characters of a failed command's output that stand in the error."""


@explicit_serialize
class ExportTask(FiretaskBase):  # type: ignore[misc]
    """Waits until a campaign has come so far, exports tables as snapshots that are kept, and runs commands on them.

    While it waits it gives way to every job that is ready and that this worker may run: it leaves its place to a copy of itself
    at the end of the queue, whose priority is not above that of those jobs. With nothing ready it looks again from time to time.
    A campaign that can go no further, because all else has ended or failed, is exported as it is.

    Parameters
    ----------
    tables
        Names of tables.
    directory
        Folder for the snapshots; a relative one is below the folder the launcher was started in.
    when
        ``done`` (the default): nothing is ready, reserved or running any more; or a number: so many materials have what each of
        the tables is about.
    protocol, protocol_version, calculator
        Which series; may be left out where the store leaves no choice.
    include_flagged, formats, licence, citation
        As the options of ``hibana export``.
    then
        Commands to run when the tables are there, in the folder `directory`, for instance
        ``hibana learn regress {dielectric} --target epsilon_electronic_average``: ``{dielectric}`` stands for the folder of the
        snapshot of that table. They are run as they are, without a shell.
    every
        Seconds between two looks, and before it gives way, default 60. ``done`` is believed when two looks find it.
    """

    required_params = ("tables", "directory")
    optional_params = (
        *("when", "protocol", "protocol_version", "calculator", "include_flagged", "formats", "licence", "citation"),
        *("then", "every"),
    )

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Wait, export, run; what was written stands in the stored data of the launch.

        Raises
        ------
        HibanaError
            HIB-143 for a task that makes no sense, HIB-144 for a command that fails, HIB-110, or as
            :func:`hibana.tables.export.export`.
        """
        from hibana.store.store import Store

        launchpad, fw_id = launchpad_of(self)
        order = _Order.of(self)
        store = Store(launchpad.db)
        watch = _Watch(launchpad, store, fw_id, order, fw_spec.get("_fw_env") or {})
        with STOP.interruptible(), beating(launchpad, fw_id), heeding(threading.Event(), STOP.ask):
            state = watch.wait()
            if isinstance(state, _Ready):
                return self._give_way(carried(launchpad, fw_spec, fw_id), state, fw_spec.get("_fw_name", "export"))
            reports = [export(store, table, order.directory, keep=True, **order.options) for table in order.tables]
            ran = _run(order.then, reports, order.directory)
            return FWAction(stored_data={"state": state, "exports": [report.as_dict() for report in reports], "commands": ran})

    def _give_way(self, spec: dict[str, Any], ready: _Ready, name: str) -> FWAction:
        """Leave the place to a copy that comes behind what is ready."""
        spec["_add_launchpad_and_fw_id"] = True
        own = spec.pop("_priority", None)
        if own is not None and ready.priority is not None:
            spec["_priority"] = min(own, ready.priority)
        again = Firework([ExportTask(**_plain(self))], spec=spec, name=name)
        return FWAction(stored_data={"state": "gave way to jobs that are ready"}, detours=[Workflow([again])])


@dataclass(frozen=True)
class _Order:
    """What a task says, checked."""

    tables: tuple[str, ...]
    directory: Path
    when: int | None
    series: Mapping[str, Any]
    options: Mapping[str, Any]
    then: tuple[str, ...]
    every: float

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> _Order:
        known = (*ExportTask.required_params, *ExportTask.optional_params)
        unknown = [str(key) for key in task if key not in known and not str(key).startswith("_")]
        if unknown:
            raise BAD_EXPORT_TASK.error(f"{', '.join(unknown)} means nothing; a task has {', '.join(known)}")
        series = {name: task[name] for name in ("protocol", "protocol_version", "calculator") if task.get(name) is not None}
        options = {name: task[name] for name in ("include_flagged", "licence") if task.get(name) is not None}
        options |= {name: _texts(task, name) for name in ("formats", "citation")}
        check_formats(options["formats"])
        tables = _texts(task, "tables")
        if not tables or not isinstance(task["directory"], str) or not task["directory"]:
            raise BAD_EXPORT_TASK.error("it needs the names of tables and a directory")
        for table in tables:
            find_table(table)
        then = _texts(task, "then")
        for command in then:
            _words(command, dict.fromkeys(tables, "folder"))
        return cls(tables, _folder(task["directory"]), _number_of(task), series, {**series, **options}, then, _every(task))


@dataclass(frozen=True)
class _Ready:
    """Jobs that are ready.

    Parameters
    ----------
    priority
        FireWorks' priority, the highest of them; None where none has one.
    """

    priority: float | None


class _Watch:
    """Looks at how far a campaign has come."""

    def __init__(self, launchpad: LaunchPad, store: Store, fw_id: int, order: _Order, env: Mapping[str, Any]) -> None:
        self._launchpad, self._store, self._fw_id, self._order, self._env = launchpad, store, fw_id, order, env
        self._chosen: dict[str, Series] = {}

    def wait(self) -> str | _Ready:
        """What the campaign has come to, or the jobs to give way to.

        Raises
        ------
        Stopped
            If this process is asked to stop, or at its end.
        """
        was_done = False
        while True:
            self._heed()
            counts = self._counts()
            wanted = self._order.when
            if wanted is not None and counts and min(counts.values()) >= wanted:
                return f"{wanted} materials have what each table is about"
            is_done = not self._others(ACTIVE)
            if is_done and was_done:
                return self._ended(counts)
            ready = self._ready()
            self._pause()
            if ready is not None:
                return ready
            was_done = is_done

    def _pause(self) -> None:
        """Wait until the next look, with an ear for what ends this process."""
        until = time.monotonic() + self._order.every
        while (left := until - time.monotonic()) > 0:
            self._heed()
            time.sleep(min(left, EAR_SECONDS))

    def _heed(self) -> None:
        leave_at_the_end(self._env)
        if STOP.asked:
            raise Stopped

    def _ended(self, counts: Mapping[str, int]) -> str:
        if self._order.when is None:
            return "every job has ended"
        found = ", ".join(f"{count} of {table}" for table, count in counts.items()) or "nothing yet"
        return f"every job has ended, with {found} where {self._order.when} were asked for"

    def _others(self, states: Sequence[str]) -> bool:
        """Whether there are jobs in some states, other tasks of this kind aside."""
        return patiently(lambda: self._launchpad.fireworks.find_one(self._query(states), {"fw_id": 1})) is not None

    def _ready(self) -> _Ready | None:
        """The others that are ready and that this worker may run."""
        running, fields = {"fw_id": self._fw_id, "state": "RUNNING"}, {"fworker": 1}
        launches, fireworks = self._launchpad.launches, self._launchpad.fireworks
        launch = patiently(lambda: launches.find_one(running, fields, sort=[("launch_id", DESCENDING)])) or {}
        mine = FWorker.from_dict(launch["fworker"]).query if launch.get("fworker") else {}
        query = {"$and": [self._query(("READY",)), mine]}
        first = patiently(lambda: fireworks.find_one(query, {"spec._priority": 1}, sort=[("spec._priority", DESCENDING)]))
        return None if first is None else _Ready((first.get("spec") or {}).get("_priority"))

    def _query(self, states: Sequence[str]) -> dict[str, Any]:
        query: dict[str, Any] = {
            "fw_id": {"$ne": self._fw_id},
            "state": {"$in": list(states)},
            "spec._tasks._fw_name": {"$ne": NAME},
        }
        for name, value in self._order.series.items():
            query[f"spec.{name}"] = {"$in": [value, None]}
        return query

    def _counts(self) -> dict[str, int]:
        """How many materials have what each table is about; nothing before there is a series."""
        if self._order.when is None:
            return {}
        counts = {}
        for name in self._order.tables:
            table = find_table(name)
            series = self._series(name)
            if series is None:
                return {}
            query = {**series.as_dict(), "status": {"$ne": "unavailable"}}
            if table.parts is None:
                counts[name] = self._store.count(table.subject.collection, query)
            else:
                collection = self._store.database[table.subject.collection]
                stages = [{"$match": query}, {"$group": {"_id": "$material_id"}}, {"$count": "n"}]
                grouped = patiently(partial(_grouped, collection, stages))
                counts[name] = next((int(item["n"]) for item in grouped), 0)
        return counts

    def _series(self, table: str) -> Series | None:
        """The series of a table, looked for until there is one."""
        if table in self._chosen:
            return self._chosen[table]
        try:
            there = patiently(lambda: series_there(self._store, find_table(table)))
            return self._chosen.setdefault(table, choose_series(there, **self._order.series))
        except HibanaError as error:
            if error.kind in (NOTHING_ASKED, UNKNOWN_SERIES):
                return None
            raise


def _grouped(collection: Collection[dict[str, Any]], stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return list(collection.aggregate(stages))


def _run(commands: Sequence[str], reports: Sequence[ExportReport], directory: Path) -> list[dict[str, Any]]:
    """Run commands on snapshots, one after the other; the output of each is a file of the launch.

    A notice of the queue lets the command that runs come to its end, in the time that is left, and begins no other.

    Raises
    ------
    Stopped
        If this process was asked to stop: the task is run again, with all its commands.
    """
    folders = {report.table: str(report.directory) for report in reports}
    ran = []
    for number, command in enumerate(commands, 1):
        if STOP.asked:
            raise Stopped
        words = _words(command, folders)
        log = Path.cwd() / f"command-{number}.log"
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    words, cwd=directory, stdout=output, stderr=subprocess.STDOUT, check=False, preexec_fn=_deaf_to_notices
                )
            except OSError as error:
                raise MODULE_FAILED.error(f"{shlex.join(words)}: {error.strerror}", where=directory) from error
        if done.returncode < 0 and STOP.asked:
            raise Stopped
        if done.returncode:
            said = log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
            raise MODULE_FAILED.error(f"{shlex.join(words)} ended with {done.returncode}\n{said}", where=directory)
        ran.append({"command": shlex.join(words), "log": str(log)})
    return ran


def _deaf_to_notices() -> None:
    """Let a notice that the queue sends to all processes not end a command, which would not know what it means."""
    for number in NOTICES:
        signal.signal(number, signal.SIG_IGN)


def _words(command: str, folders: Mapping[str, str]) -> list[str]:
    """Words of a command, folders put in; ``hibana`` is the one that runs here."""
    try:
        words = [word.format(**folders) for word in shlex.split(command)]
    except (ValueError, KeyError, IndexError) as error:
        there = ", ".join(f"{{{name}}}" for name in folders)
        raise BAD_EXPORT_TASK.error(f"the command {command!r}: {error} (there are {there})") from error
    if not words:
        raise BAD_EXPORT_TASK.error("a command is empty")
    return [sys.executable, "-m", "hibana.cli", *words[1:]] if words[0] == "hibana" else words


def _texts(task: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A text, or a list of texts."""
    value = task.get(name)
    values = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(item, str) and item for item in values):
        raise BAD_EXPORT_TASK.error(f"{name} is {value!r}, not a list of texts")
    return tuple(values)


def _number_of(task: Mapping[str, Any]) -> int | None:
    when = task.get("when", DONE)
    if when == DONE:
        return None
    if isinstance(when, bool) or not isinstance(when, int) or when < 1:
        raise BAD_EXPORT_TASK.error(f"when is {when!r}, neither {DONE!r} nor a number of materials")
    return when


def _every(task: Mapping[str, Any]) -> float:
    every = task.get("every", 60.0)
    if isinstance(every, bool) or not isinstance(every, int | float) or every <= 0:
        raise BAD_EXPORT_TASK.error(f"every is {every!r}, not a positive number of seconds")
    return float(every)


def _folder(path: str) -> Path:
    """A launcher changes to a folder of its own; ``PWD`` is still the one it was started in."""
    wanted = Path(os.path.expandvars(path)).expanduser()
    return wanted if wanted.is_absolute() else Path(os.environ.get("PWD") or Path.cwd()) / wanted


def _plain(task: Mapping[str, Any]) -> dict[str, Any]:
    return {key: task[key] for key in task if not str(key).startswith("_")}
