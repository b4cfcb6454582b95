"""Commands handed through a folder: from a login node, which reaches the database, to compute nodes, which do not.

A relay serves the folder in a job of the queue. Whoever wants a command run there writes a request and waits for the answer::

    relay.json          {beat, cores, ends, notice}: the relay lives; end of its job (seconds since 1970); the queue's notice
    asked/ID.json       {command, directory, output, errors, environment}
    beats/ID            a number that grows while somebody waits for the answer
    stop/ID             the command is to end
    answered/ID.json    {status}

Files are replaced as a whole, and silence is judged by numbers that no longer change, not by clocks of two machines.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hibana.launch.errors import BAD_SPOOL, NO_RELAY
from hibana.launch.notice import heeding
from hibana.launch.schedulers import time_left
from hibana.vasp import guard

LOOK_SECONDS, BEAT_SECONDS = 0.5, 5.0

SILENT_SECONDS = 240.0
"""Who has not been heard of for so long is gone; network file systems may show a change a minute late."""

SILENT_VARIABLE = "HIBANA_RELAY_SILENT_SECONDS"
"""Environment variable with another value."""

STOP_SECONDS = 8.0
"""How long a command that is to end is waited for; less than the grace of the guard that asks."""

HANDED_ON = ("OMP_NUM_THREADS", "HIBANA_RUN")
"""Environment variables that the command gets from who asked."""

GONE = 143
"""Exit status where the command was ended, or the relay is gone."""

NOT_BEGUN = 127
"""Exit status where the command cannot be begun, in a directory that is not there for instance."""

FOLDERS = ("asked", "beats", "stop", "answered")


def silent_seconds() -> float:
    """After how long somebody who is silent is gone."""
    return float(os.environ.get(SILENT_VARIABLE, SILENT_SECONDS))


class Spool:
    """The folder of a relay.

    Parameters
    ----------
    folder
        It is made where it is missing.

    Raises
    ------
    HibanaError
        HIB-251 if it cannot be made, or others can write into it: what stands in it is executed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in FOLDERS:
                (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            about = self.folder.stat()
        except OSError as error:
            raise BAD_SPOOL.error(error.strerror or str(error), where=self.folder) from error
        if about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BAD_SPOOL.error("others can write into it", where=self.folder)

    def write(self, name: str, content: Any) -> None:
        """Write a file as a whole."""
        path = self.folder / name
        new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        new.write_text(json.dumps(content))
        new.replace(path)

    def read(self, name: str) -> Any:
        """Content of a file; None if it is not there, or cannot be read now, as a file replaced on a network file system."""
        try:
            return json.loads((self.folder / name).read_text())
        except OSError:
            return None

    def names(self, folder: str) -> set[str]:
        """Requests with a file in a folder; a listing is up to date on network file systems where a single look is not."""
        return {path.name.partition(".")[0] for path in (self.folder / folder).iterdir() if not path.name.startswith(".")}

    def forget(self, request: str) -> None:
        """Remove what is left of a request."""
        for name in (f"asked/{request}.json", f"beats/{request}", f"stop/{request}", f"answered/{request}.json"):
            (self.folder / name).unlink(missing_ok=True)


@dataclass
class Listener:
    """Hears whether a number still changes."""

    last: Any = None
    heard: float = field(default_factory=time.monotonic)

    def is_silent(self, now: Any, share: float = 1.0) -> bool:
        """Whether it has not changed for too long, or for a share of that."""
        if now != self.last:
            self.last, self.heard = now, time.monotonic()
        return time.monotonic() - self.heard > share * silent_seconds()


@dataclass(frozen=True)
class Relay:
    """A relay that answers.

    Parameters
    ----------
    cores
        Cores of its job.
    ends
        When its job ends, seconds since 1970; None where that is not known.
    notice
        Whether the queue wants its job to end.
    beat
        A number that grows.
    """

    cores: int
    ends: float | None
    notice: bool
    beat: Any


def find_relay(folder: Path, wait: float) -> Relay:
    """The relay that serves a folder.

    Parameters
    ----------
    folder
        The folder.
    wait
        Seconds to wait until one answers.

    Raises
    ------
    HibanaError
        HIB-251, or HIB-252 if none answers.
    """
    spool = Spool(folder)
    first, deadline = spool.read("relay.json"), time.monotonic() + wait
    while time.monotonic() < deadline:
        now = spool.read("relay.json")
        if now is not None and (first is None or now["beat"] != first["beat"]):
            return _relay(now)
        time.sleep(LOOK_SECONDS)
    raise NO_RELAY.error(f"none has been heard of in {wait:.0f} s", where=spool.folder)


class First:
    """Hears the relay that serves a folder now; one that takes its place knows nothing of what this one was asked for.

    Parameters
    ----------
    spool
        The folder.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._listener = Listener()
        self._relay: tuple[Any, Any] | None = None
        self.said: dict[str, Any] = {}
        """What it said last."""
        self.is_replaced = False
        """Whether another serves the folder."""
        self._hear()

    def is_silent(self, share: float = 1.0) -> bool:
        """Whether it has not been heard of for too long, or for a share of that."""
        self._hear()
        return self._listener.is_silent(self.said.get("beat"), share)

    def _hear(self) -> None:
        now = self._spool.read("relay.json")
        if now is None:
            return
        relay = now.get("host"), now.get("pid")
        self._relay = self._relay or relay
        self.is_replaced = relay != self._relay
        if not self.is_replaced:
            self.said = now


class Watch:
    """Looks after the relay of a folder.

    Parameters
    ----------
    folder
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._spool = Spool(folder)
        self._first = First(self._spool)

    def look(self) -> tuple[bool, bool]:
        """Whether the relay is gone, and whether the queue has given notice.

        It is known here before those who wait for answers give up: a command that ended with the relay has not failed.
        """
        is_silent = self._first.is_silent(share=0.5)
        now = self._first.said
        return is_silent or self._first.is_replaced or bool(now.get("ended")), bool(now.get("notice"))


def _relay(content: dict[str, Any]) -> Relay:
    return Relay(int(content["cores"]), content["ends"], bool(content["notice"]), content["beat"])


# -- asking -----------------------------------------------------------------------------------------------------------


def ask(folder: Path, command: Sequence[str]) -> int:
    """Let the relay of a folder run a command in the working directory, with the output in the files that this process writes to.

    Parameters
    ----------
    folder
        The folder.
    command
        Executable and arguments.

    Returns
    -------
    int
        The command's exit status.
    """
    spool, request = Spool(folder), uuid.uuid4().hex
    relay = First(spool)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    spool.write(f"beats/{request}", 0)
    asked = {
        "command": list(command),
        "directory": str(Path.cwd()),
        "output": _file_of(1),
        "errors": _file_of(2),
        "environment": {name: os.environ[name] for name in HANDED_ON if name in os.environ},
    }
    spool.write(f"asked/{request}.json", asked)
    try:
        return _wait(spool, request, relay, stop)
    finally:
        if request in spool.names("answered"):
            spool.forget(request)


def _file_of(descriptor: int) -> str:
    """The file that a descriptor leads to; nothing else can be shared with another machine."""
    path = Path(f"/proc/self/fd/{descriptor}").readlink()
    return str(path) if path.is_file() else os.devnull


def _wait(spool: Spool, request: str, relay: First, stop: threading.Event) -> int:
    beaten, beat, until = time.monotonic(), 0, float("inf")
    while time.monotonic() < until:
        is_asked = request in spool.names("asked")
        answer = spool.read(f"answered/{request}.json") if request in spool.names("answered") else None
        if answer is not None:
            return int(answer["status"])
        if stop.is_set() and until == float("inf"):
            spool.write(f"stop/{request}", True)
            until = time.monotonic() + STOP_SECONDS
        if time.monotonic() - beaten > BEAT_SECONDS:
            beat, beaten = beat + 1, time.monotonic()
            spool.write(f"beats/{request}", beat)
        if relay.is_silent() or not is_asked:  # a relay that begins forgets what another was asked
            sys.stderr.write(f"{NO_RELAY.code} {NO_RELAY.title}: {spool.folder}\n")
            return GONE
        time.sleep(LOOK_SECONDS)
    return GONE


# -- serving ----------------------------------------------------------------------------------------------------------


@dataclass
class _Command:
    """A command that runs."""

    process: subprocess.Popen[bytes]
    directory: str
    listener: Listener = field(default_factory=Listener)


def serve(folder: Path, cores: int, timeout: float | None = None) -> None:
    """Run what is asked for in a folder until the job of the queue is at its end, or SIGTERM.

    Parameters
    ----------
    folder
        The folder; one relay serves it.
    cores
        Cores of the job.
    timeout
        Seconds after which it ends; None: with the job of the queue.

    Raises
    ------
    HibanaError
        HIB-251 for the folder, or if another relay serves it.
    """
    spool = Spool(folder)
    _refuse_second(spool)
    for name in FOLDERS:
        for request in spool.names(name):
            spool.forget(request)
    limits = [limit for limit in (timeout, time_left()) if limit is not None]
    ends = time.time() + min(limits) if limits else None
    notice, ended = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    running: dict[str, _Command] = {}
    done: set[str] = set()
    about = {"host": socket.gethostname(), "pid": os.getpid(), "cores": cores, "ends": ends}
    with heeding(notice):
        try:
            while not ended.is_set() and (ends is None or time.time() < ends):
                spool.write("relay.json", {**about, "beat": f"{os.getpid()} {time.time():.1f}", "notice": notice.is_set()})
                _look(spool, running, done)
                ended.wait(LOOK_SECONDS)
        finally:
            # said first, and no answers: who waits learns that the relay has ended, not that his command has failed
            spool.write("relay.json", {**about, "beat": "ended", "notice": notice.is_set(), "ended": True})
            for command in running.values():
                _end(command)


def _refuse_second(spool: Spool) -> None:
    """Wait until a relay that did not say its end is heard of, or has been silent for as long as it takes to count as gone."""
    before = spool.read("relay.json")
    if before is None or before.get("ended"):
        return
    deadline = time.monotonic() + silent_seconds() / 2
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        now = spool.read("relay.json") or before
        if now.get("ended"):
            return
        if now["beat"] != before["beat"]:
            raise BAD_SPOOL.error(
                f"a relay on {now['host']} serves it already", where=spool.folder, fix="Give each relay its own folder."
            )


def _look(spool: Spool, running: dict[str, _Command], done: set[str]) -> None:
    asked, stops, answered = spool.names("asked"), spool.names("stop"), spool.names("answered")
    for request in sorted(asked - answered - done - running.keys()):
        content = spool.read(f"asked/{request}.json")
        if content is None:
            continue
        if request in stops:
            spool.write(f"answered/{request}.json", {"status": GONE})
            continue
        # nobody asks for a second command in a folder while he waits for the first: that one was given up
        for command in running.values():
            if command.directory == content["directory"]:
                _end(command)
        try:
            running[request] = _begin(content)
        except OSError as error:
            sys.stderr.write(f"{' '.join(content['command'])} in {content['directory']} cannot be begun: {error}\n")
            done.add(request)
            spool.write(f"answered/{request}.json", {"status": NOT_BEGUN})
    for request, command in list(running.items()):
        if request in stops or command.listener.is_silent(spool.read(f"beats/{request}")):
            _end(command)
        status = command.process.poll()
        if status is not None:
            del running[request]
            done.add(request)
            spool.write(f"answered/{request}.json", {"status": status if status >= 0 else 128 - status})


def _begin(content: dict[str, Any]) -> _Command:
    """Start a command under the guard that ends it with this process."""
    words = [sys.executable, "-I", "-S", guard.__file__, str(guard.GRACE), *content["command"]]
    with Path(content["output"]).open("ab") as output, Path(content["errors"]).open("ab") as errors:
        process = subprocess.Popen(
            words,
            cwd=content["directory"],
            env={**os.environ, **content["environment"]},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
    return _Command(process, content["directory"])


def _end(command: _Command) -> None:
    if command.process.poll() is None:
        command.process.terminate()
        command.process.wait()
