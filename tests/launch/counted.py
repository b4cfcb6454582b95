"""Documents that are counted, in the least form, and a database that can be interrupted at any operation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hibana.launch.cells import Amount, Cells, added, pruned
from hibana.launch.counters import Counters
from hibana.launch.sources import JOBS, OUTCOMES, RUNS, SOURCES

FORMULAS = ("MgO", "GaN", "La2O2S", "TiAl")
STATES = ("WAITING", "READY", "RUNNING", "COMPLETED", "FIZZLED", "PAUSED")
STATUSES = ("converged", "electronic_limit", "failed")
SERIES = {"calculator": "vasp", "protocol": "pbesol", "protocol_version": 1}
COUNTED = (JOBS, RUNS, OUTCOMES)


def material(number: int) -> tuple[str, str]:
    """Identity and formula of a material."""
    return f"hib-{hashlib.sha256(str(number).encode()).hexdigest()[:16]}", FORMULAS[number % len(FORMULAS)]


def firework(number: int, state: str, at: datetime, *, told: bool = True, name: str = "relax 1") -> dict[str, Any]:
    """A job; `told`: whether its own spec says what it is about."""
    identity, formula = material(number)
    about = {"material_id": identity, "formula": formula, "flow": "bulk:band", **SERIES}
    return {
        "fw_id": number,
        "name": f"{formula} {name}",
        "state": state,
        "updated_on": at.isoformat(),
        "launches": [number] if state in ("RUNNING", "COMPLETED", "FIZZLED") else [],
        "spec": about if told else {},
    }


def workflow(number: int) -> dict[str, Any]:
    """The workflow of one job."""
    identity, formula = material(number)
    return {"nodes": [number], "metadata": {"material_id": identity, "formula": formula, "flow": "bulk:band", **SERIES}}


def launch(number: int, error: str | None) -> dict[str, Any]:
    """The launch of a job that ended with an error; None where the process was lost."""
    stored = (
        {} if error is None else {"_exception": {"_stacktrace": f"Traceback (most recent call last):\n  File 'x'\n{error}\n"}}
    )
    return {"launch_id": number, "launch_dir": f"/scratch/{number}", "action": {"stored_data": stored}}


def run(number: int, status: str, at: datetime, *, hours: float = 0.5, task: str = "structure_opt") -> dict[str, Any]:
    """A task document."""
    identity, formula = material(number)
    address = hashlib.sha256(f"{task} {number}".encode()).hexdigest()
    failed = {"kind": "zbrent", "message": "no"} if status == "failed" else None
    fix = {"handler": "VaspErrorHandler", "errors": ["zbrent"], "actions": [], "verdict": "flagged"}
    return {
        "_id": address,
        "address": address,
        "material_id": identity,
        "formula": formula,
        "task": task,
        "functional": "pbesol",
        "variant": "",
        "status": status,
        "failure": failed,
        "protocol": "pbesol",
        "protocol_version": 1,
        "calculator": {"name": "vasp", "version": "6.4.2"},
        "machine": {
            "host": f"node{number % 3}",
            "directory": f"/scratch/{number}",
            "finished": at,
            "core_hours": hours,
            "cores": 4,
        },
        "flags": [f"force of {number / 1000} eV/Å is above 0.005 eV/Å"] if number % 5 == 0 else [],
        "corrections": [fix] if number % 4 == 0 else [],
    }


def outcome(number: int, state: str, at: datetime) -> dict[str, Any]:
    """What became of a workflow."""
    identity, _ = material(number)
    key = f"{identity}|bulk:band|pbesol@1|vasp"
    return {"_id": key, "material_id": identity, "flow": "bulk:band", "state": state, "recorded_at": at, **SERIES}


def truth(database: Any, source: Any) -> Cells:
    """Counts of a source from all its documents."""
    documents = {source.key(document): document for document in source.everything(database)}
    total: Cells = {}
    for counted in source.contributions(database, documents, {}).values():
        total = added(total, counted.cells, {})
    return pruned(total)


def counted(counters: Counters, source: Any) -> Cells:
    return counters.cells(source.name)


def counters_of(database: Any) -> Counters:
    return Counters(database, SOURCES)


def soon(seconds: float) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


class KilledError(Exception):
    """The process is no more."""


class Interrupted:
    """A database of which every operation is announced first; bulk writes may be done by half.

    Parameters
    ----------
    database
        The database.
    before
        Called before each operation with its name; what it raises ends the process.
    """

    def __init__(self, database: Any, before: Callable[[str], None]) -> None:
        self.database = database
        self.before = before

    def __getitem__(self, name: str) -> Any:
        return _Collection(self.database[name], self.before)

    def command(self, *words: Any) -> Any:
        return self.database.command(*words)


class _Collection:
    def __init__(self, collection: Any, before: Callable[[str], None]) -> None:
        self._collection = collection
        self._before = before

    def find(self, *args: Any, **kwargs: Any) -> Any:
        self._before("find")
        return self._collection.find(*args, **kwargs)

    def find_one(self, *args: Any, **kwargs: Any) -> Any:
        self._before("find_one")
        return self._collection.find_one(*args, **kwargs)

    def index_information(self) -> Any:
        return self._collection.index_information()

    def create_index(self, *args: Any, **kwargs: Any) -> Any:
        return self._collection.create_index(*args, **kwargs)

    def replace_one(self, *args: Any, **kwargs: Any) -> Any:
        self._before("replace_one")
        result = self._collection.replace_one(*args, **kwargs)
        self._before("after replace_one")
        return result

    def insert_one(self, *args: Any, **kwargs: Any) -> Any:
        self._before("insert_one")
        return self._collection.insert_one(*args, **kwargs)

    def insert_many(self, documents: list[Any], **kwargs: Any) -> Any:
        half = len(documents) // 2
        for part in (documents[:half], documents[half:]):
            self._before("insert_many")
            if part:
                self._collection.insert_many(part, **kwargs)

    def bulk_write(self, requests: list[Any], **kwargs: Any) -> Any:
        half = len(requests) // 2
        for part in (requests[:half], requests[half:]):
            self._before("bulk_write")
            if part:
                self._collection.bulk_write(part, **kwargs)


def amounts(cells: Cells) -> dict[str, Amount]:
    return dict(sorted(cells.items()))
