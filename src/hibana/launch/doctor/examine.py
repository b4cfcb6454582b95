"""All checks in their order; what cannot be looked at before something else is mended is skipped."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.core.errors import HibanaError
from hibana.launch.doctor.check import Check, Setup, failed, skipped, warning
from hibana.launch.doctor.code import check_code, check_limits, check_worker_file
from hibana.launch.doctor.database import check_database
from hibana.launch.doctor.folder import check_folder
from hibana.launch.doctor.potcars import Library, check_potcars
from hibana.launch.doctor.queue import check_queue, processes
from hibana.launch.doctor.settings import check_settings, config_files, configured_file
from hibana.launch.doctor.versions import check_versions, record, versions_here
from hibana.launch.errors import BAD_QUEUE
from hibana.launch.schedulers import scheduler_here
from hibana.protocol.protocol import load_protocol
from hibana.store.connection import StoreAddress, connect
from hibana.store.launchpad_file import find_launchpad_file, read_yaml

if TYPE_CHECKING:
    from pymongo.database import Database


@dataclass(frozen=True)
class Examination:
    """Outcome of all checks.

    Parameters
    ----------
    checks
        In the order in which they were made.
    recorded
        Name under which this machine was recorded; None if it was not.
    """

    checks: tuple[Check, ...]
    recorded: str | None = None

    @property
    def failed(self) -> bool:
        """Whether something has to be mended."""
        return any(check.state == "failed" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        checks = [check.as_dict() for check in self.checks]
        return {"ok": not self.failed, "host": socket.gethostname(), "recorded": self.recorded, "checks": checks}


def find_setup(
    launchpad: Path | None,
    fworker: Path | None,
    qadapter: Path | None,
    directory: Path,
    protocol: str,
    elements: Sequence[str] = (),
) -> tuple[Setup, list[Check]]:
    """The files that are in force, where they are not named, and what is wrong with finding them."""
    config = next(iter(config_files()), None)
    checks = []
    try:
        found: Path | None = find_launchpad_file(launchpad)
    except HibanaError as error:
        found, checks = None, [failed("database", error)]
    setup = Setup(
        launchpad_file=found,
        fworker_file=fworker or configured_file(config, "FWORKER_LOC", "my_fworker.yaml"),
        qadapter_file=qadapter or configured_file(config, "QUEUEADAPTER_LOC", "my_qadapter.yaml"),
        config_file=config,
        directory=directory,
        protocol=protocol,
        elements=tuple(elements),
    )
    return setup, checks


def examine(setup: Setup, before: Sequence[Check] = (), *, as_worker: bool = False) -> Examination:
    """Make all checks.

    Parameters
    ----------
    setup
        What to look at.
    before
        Checks that were made already.
    as_worker
        Whether this machine is to be recorded as its worker.

    Raises
    ------
    HibanaError
        If there is no such protocol.
    """
    protocol = load_protocol(setup.protocol)
    in_job = scheduler_here() is not None
    has_queue = setup.qadapter_file is not None
    checks = [*check_settings(setup.config_file, setup.launchpad_file), *before]
    database, found = _database(setup.launchpad_file)
    checks += found
    potentials, library = check_potcars(protocol, setup.elements or _submitted(database))
    worker, env = check_worker_file(setup.fworker_file)
    calculator = library.calculator if library else None
    checks += [*potentials, *worker, *check_code(env, calculator, has_queue=has_queue, in_job=in_job)]
    checks += check_limits(env, calculator=calculator if in_job or not has_queue else None)
    checks += [skipped("queue", "this is a job")] if in_job else [*check_queue(setup.qadapter_file), *_shares(setup, env)]
    checks += check_folder(setup.directory)
    recorded = None
    if database is None:
        checks.append(skipped("versions", "the database has to answer first"))
    else:
        versions = versions_here(protocol.digest, _digest(library))
        if as_worker:
            recorded = _worker_name(setup.fworker_file)
            record(database, recorded, versions, checks)
        else:
            checks += check_versions(database, versions, has_queue=has_queue)
    return Examination(tuple(checks), recorded)


def _database(launchpad_file: Path | None) -> tuple[Database[dict[str, Any]] | None, list[Check]]:
    if launchpad_file is None:
        return None, []
    try:
        database = connect(launchpad_file).database
        return database, check_database(database, StoreAddress.from_launchpad_file(launchpad_file).place)
    except HibanaError as error:
        return None, [failed("database", error)]


def _submitted(database: Database[dict[str, Any]] | None) -> tuple[str, ...]:
    """Elements of the candidates in the database."""
    return () if database is None else tuple(sorted(database["candidates"].distinct("elements")))


def _digest(library: Library | None) -> str | None:
    return library.digest if library is not None and library.titles else None


def _shares(setup: Setup, env: dict[str, Any]) -> list[Check]:
    """Whether the worker file and the queue adapter speak of as many processes."""
    if setup.qadapter_file is None:
        return []
    try:
        asked = processes(read_yaml(setup.qadapter_file))
    except HibanaError:
        return []
    cores = env.get("cores", 1)
    if asked is None or str(cores) == str(asked):
        return []
    what = f"a job has {asked} processes, env.cores of the worker file says {cores}: KPAR and core-hours follow the latter"
    return [warning("queue", BAD_QUEUE.error(what, where=setup.qadapter_file, fix="Let them agree."))]


def _worker_name(fworker_file: Path | None) -> str:
    try:
        name = None if fworker_file is None else read_yaml(fworker_file).get("name")
    except HibanaError:
        name = None
    return str(name or socket.gethostname())
