"""Who holds a lease, a lock or a launch: a process that another process can recognise as alive or dead."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process, told apart from every other one, past and present.

    Parameters
    ----------
    host
        Host name, for people.
    machine
        Boot id and process-id namespace: two processes with the same text can see each other's ids. Empty where the
        system does not tell.
    pid
        Process id.
    started
        Start of the process in clock ticks since boot: an id used again has another start.
    launch_id
        FireWorks launch the owner works on, where there is one.
    """

    host: str
    machine: str
    pid: int
    started: int
    launch_id: int | None = None

    @classmethod
    def here(cls, launch_id: int | None = None) -> Owner:
        """The process that asks."""
        pid = os.getpid()
        return cls(socket.gethostname(), machine_id(), pid, process_start(pid) or 0, launch_id)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Owner:
        """The owner as it was stored by :meth:`as_dict`."""
        return cls(fields["host"], fields["machine"], fields["pid"], fields["started"], fields.get("launch_id"))

    def as_dict(self) -> dict[str, Any]:
        """The owner as it is stored."""
        return {
            "host": self.host,
            "machine": self.machine,
            "pid": self.pid,
            "started": self.started,
            "launch_id": self.launch_id,
        }

    @property
    def is_dead(self) -> bool:
        """Whether the process has certainly ended; False where this machine cannot tell."""
        return self.is_here and process_start(self.pid) != self.started

    @property
    def is_here(self) -> bool:
        """Whether the process runs, or ran, where this process can see it."""
        return bool(self.machine) and self.machine == machine_id()


@cache
def machine_id() -> str:
    """Boot id and process-id namespace of this machine; empty where the system does not tell."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def process_start(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None if it does not run (a zombie does not)."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
