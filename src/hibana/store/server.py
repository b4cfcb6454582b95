"""The embedded MongoDB-compatible server as a process of its own.

SecantusDB is started by its console script and spoken to over the wire; it is never imported. It keeps its files in a
directory the user names::

    hibana_store/data/        the database
    hibana_store/server.json  process id and port
    hibana_store/server.log   what the server says
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from hibana.core.errors import HibanaError
from hibana.store.errors import BAD_DIRECTORY, NO_SERVER, PORT_TAKEN, SERVER_FAILED, SERVER_STAYS
from hibana.store.owner import process_start

COMMAND = "secantusd-py"
HOST = "127.0.0.1"
DEFAULT_PORT = 27717
START_SECONDS = 60.0
STOP_SECONDS = 15.0
KILL_SECONDS = 30.0
RELEASE_SECONDS = 5.0
"""How long the port of a killed server may take to become free again."""


@dataclass(frozen=True)
class ServerStatus:
    """State of an embedded server.

    Parameters
    ----------
    directory
        Where its files are.
    running
        Whether its process runs.
    answering
        Whether it answers.
    host, port
        Where it listens, or listened last; port is None if it was never started.
    pid
        Its process id; None if it does not run.
    fresh
        Whether this call started it.
    """

    directory: Path
    running: bool
    answering: bool
    host: str = HOST
    port: int | None = None
    pid: int | None = None
    fresh: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The status for ``--json``."""
        return {**asdict(self), "directory": str(self.directory)}


def up(directory: Path, port: int | None = None) -> ServerStatus:
    """Start the server and wait until it answers; a server that is up already stays as it is.

    Parameters
    ----------
    directory
        Where its files are kept; made if absent.
    port
        Port to listen on; by default the one it had before, and a free one the first time.

    Raises
    ------
    HibanaError
        HIB-074 if the server is not installed, HIB-075 if the port is in use, HIB-076 if it does not start, HIB-081 if the
        directory cannot be used.
    """
    command = find_command()
    directory = directory.resolve()
    try:
        (directory / "data").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BAD_DIRECTORY.error(f"it cannot be made: {error.strerror}", where=directory) from error
    with _locked(directory):
        now = status(directory)
        if now.running:
            if port not in (None, now.port):
                raise PORT_TAKEN.error(
                    f"the server of this directory is up already on port {now.port}",
                    where=directory,
                    fix="Leave --port out, or run `hibana store down` first.",
                )
            return _answering(directory, now)
        chosen = _choose_port(port, now.port)
        process = _spawn(command, directory, chosen)
        _write_state(directory, process.pid, chosen)
        return _wait_until_it_answers(directory, process, chosen)


def down(directory: Path) -> ServerStatus:
    """Stop the server; nothing happens if it does not run.

    It is asked first (SIGTERM), and killed if it has not ended after 15 s: with ``--sync-on-commit`` every write it has
    acknowledged is on the disk by then.

    Raises
    ------
    HibanaError
        HIB-077 if it is still there after that.
    """
    directory = directory.resolve()
    now = status(directory)
    if not now.running or now.pid is None:
        return now
    for signal_number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        if _ends(now.pid, signal_number, seconds):
            _write_state(directory, None, now.port)
            return status(directory)
    raise SERVER_STAYS.error(f"process {now.pid} does not even end when it is killed", where=directory)


def status(directory: Path) -> ServerStatus:
    """State of the server of a directory; a process-id file left by a killed server counts as not running."""
    directory = directory.resolve()
    state = _read_state(directory)
    pid, port = state.get("pid"), state.get("port")
    running = pid is not None and process_start(pid) is not None and process_start(pid) == state.get("started")
    if not running:
        return ServerStatus(directory, running=False, answering=False, port=port)
    return ServerStatus(directory, running=True, answering=_answers(port), port=port, pid=pid)


def find_command() -> str:
    """Path of the server's console script, beside this Python or on ``PATH``.

    Raises
    ------
    HibanaError
        HIB-074 if it is not installed.
    """
    beside = shutil.which(COMMAND, path=str(Path(sys.executable).parent))
    found = beside or shutil.which(COMMAND)
    if found is None:
        raise NO_SERVER.error(f"no command {COMMAND} beside {sys.executable} or on PATH")
    return found


def _spawn(command: str, directory: Path, port: int) -> subprocess.Popen[bytes]:
    arguments = [command, "--host", HOST, "--port", str(port), "--storage-path", str(directory / "data")]
    with (directory / "server.log").open("ab") as log:
        return subprocess.Popen(
            [*arguments, "--standalone", "--sync-on-commit"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _ends(pid: int, signal_number: signal.Signals, seconds: float) -> bool:
    """Send a signal to a process; whether it ends in time."""
    started = process_start(pid)
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return True
    deadline = time.monotonic() + seconds
    while started is not None and process_start(pid) == started:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _wait_until_it_answers(directory: Path, process: subprocess.Popen[bytes], port: int) -> ServerStatus:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            _write_state(directory, None, port)
            raise _failure(directory, port)
        time.sleep(0.05)
    if process.poll() is not None:
        _write_state(directory, None, port)
        raise _failure(directory, port)
    return ServerStatus(directory, running=True, answering=True, port=port, pid=process.pid, fresh=True)


def _failure(directory: Path, port: int) -> HibanaError:
    log = directory / "server.log"
    lines = log.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    if "Address already in use" in last:
        return PORT_TAKEN.error(f"another program took port {port} of {HOST}", where=log)
    return SERVER_FAILED.error(last, where=log)


def _answering(directory: Path, now: ServerStatus) -> ServerStatus:
    deadline = time.monotonic() + START_SECONDS
    while not now.answering:
        if time.monotonic() > deadline:
            raise SERVER_FAILED.error(f"process {now.pid} runs but does not answer", where=directory / "server.log")
        time.sleep(0.1)
        now = status(directory)
    return now


def _choose_port(asked: int | None, before: int | None) -> int:
    if asked is not None:
        if not _is_free(asked):
            raise PORT_TAKEN.error(f"another program listens on port {asked} of {HOST}", where=f"{HOST}:{asked}")
        return asked
    deadline = time.monotonic() + RELEASE_SECONDS
    while before is not None and time.monotonic() < deadline:
        if _is_free(before):
            return before
        time.sleep(0.1)
    return DEFAULT_PORT if _is_free(DEFAULT_PORT) else free_port()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
        return True


def _answers(port: int | None) -> bool:
    if port is None:
        return False
    client: MongoClient[dict[str, Any]] = MongoClient(HOST, port, serverSelectionTimeoutMS=500, connectTimeoutMS=500)
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    finally:
        client.close()
    return True


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        with (directory / "server.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise BAD_DIRECTORY.error(f"it cannot be written: {error.strerror}", where=directory) from error


def _read_state(directory: Path) -> dict[str, Any]:
    try:
        state = json.loads((directory / "server.json").read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _write_state(directory: Path, pid: int | None, port: int | None) -> None:
    state = {"pid": pid, "started": None if pid is None else process_start(pid), "host": HOST, "port": port}
    temporary = directory / "server.json.new"
    temporary.write_text(json.dumps(state) + "\n")
    temporary.replace(directory / "server.json")
