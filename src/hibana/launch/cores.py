"""The cores of an allocation: how many there are, which of them are free, and how long they were used."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hibana.launch.errors import CORES_UNKNOWN
from hibana.launch.schedulers import scheduler_here

SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
"""Where Linux says which logical CPUs are one core."""

_PER_NODE = re.compile(r"(\d+)(?:\(x(\d+)\))?")


def allocated_cores(environment: Mapping[str, str] | None = None) -> int:
    """Cores of the job of the queue that this process runs in; outside of a job the CPUs that it may use.

    Parameters
    ----------
    environment
        Environment variables; default: those of this process.

    Raises
    ------
    HibanaError
        HIB-250 if the queue does not tell.
    """
    variables = os.environ if environment is None else environment
    queue = scheduler_here()
    if queue is None:
        return len(os.sched_getaffinity(0))
    found = _TELLERS[queue.kind](variables)
    if found is None:
        raise CORES_UNKNOWN.error(f"the environment of a job of {queue.kind} does not tell", where=f"job {queue.job}")
    return found


def _of_slurm(variables: Mapping[str, str]) -> int | None:
    tasks = _number(variables, "SLURM_NTASKS")
    if tasks is not None:
        return tasks * (_number(variables, "SLURM_CPUS_PER_TASK") or 1)
    parts = [_PER_NODE.fullmatch(part.strip()) for part in variables.get("SLURM_JOB_CPUS_PER_NODE", "").split(",")]
    counts = [int(part[1]) * int(part[2] or 1) for part in parts if part is not None]
    return sum(counts) if counts and len(counts) == len(parts) else None


def _of_pbs(variables: Mapping[str, str]) -> int | None:
    try:
        hosts = Path(variables["PBS_NODEFILE"]).read_text().split()
    except (KeyError, OSError):
        hosts = []
    numbers = [_number(variables, name) for name in ("PBS_NP", "NCPUS")]
    return next((number for number in (len(hosts) if len(hosts) > 1 else None, *numbers, len(hosts) or None) if number), None)


def _of_grid_engine(variables: Mapping[str, str]) -> int | None:
    return _number(variables, "NSLOTS")


def _of_pjm(variables: Mapping[str, str]) -> int | None:
    return _number(variables, "PJM_MPI_PROC")


_TELLERS = {"slurm": _of_slurm, "pbs": _of_pbs, "sge": _of_grid_engine, "pjm": _of_pjm}


def _number(variables: Mapping[str, str], name: str) -> int | None:
    text = variables.get(name, "").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None


def cpus_here() -> tuple[int, ...]:
    """Logical CPUs that this process may use: first one of each core, then their siblings."""
    may_use = sorted(os.sched_getaffinity(0))
    first = {cpu: min(_siblings(cpu) & set(may_use)) for cpu in may_use}
    return (*(cpu for cpu in may_use if first[cpu] == cpu), *(cpu for cpu in may_use if first[cpu] != cpu))


def _siblings(cpu: int) -> set[int]:
    found = {cpu}
    try:
        text = Path(SIBLINGS.format(cpu)).read_text().strip()
    except OSError:
        return found
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


@dataclass(frozen=True)
class Share:
    """Cores that a run has taken.

    Parameters
    ----------
    cores
        How many.
    cpus
        Which, by their numbers; empty where runs are not pinned.
    since
        When it took them, on the monotonic clock.
    """

    cores: int
    cpus: tuple[int, ...]
    since: float


class CorePool:
    """Cores that runs take and give back; counts the core-seconds for which they were taken.

    Parameters
    ----------
    total
        How many there are.
    pin
        Whether each run gets CPUs of its own. It does only where all cores are of this machine.
    """

    def __init__(self, total: int, *, pin: bool = True) -> None:
        here = cpus_here() if pin else ()
        self.total = total
        self.free = total
        self.used_seconds = 0.0
        self._cpus = list(here[:total]) if len(here) >= total else []
        self._pins = bool(self._cpus)

    def take(self, cores: int) -> Share | None:
        """So many cores, those with the lowest numbers; None if there are not enough."""
        if cores > self.free:
            return None
        self.free -= cores
        self._cpus.sort()
        cpus = tuple(self._cpus[:cores])
        del self._cpus[:cores]
        return Share(cores, cpus if self._pins else (), time.monotonic())

    def give_back(self, share: Share) -> None:
        """Take cores back from a run that has ended."""
        self.free += share.cores
        self._cpus += share.cpus
        self.used_seconds += share.cores * (time.monotonic() - share.since)
