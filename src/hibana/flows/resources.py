"""How large a job of the queue a calculation gets, by the atoms of its cell.

A table of rows says it, one file a site. The number of atoms stands in the metadata of each job that calculates, and so in its
Firework's spec (``n_atoms``); the row that it falls into becomes ``_queueadapter`` there, which ``qlaunch -r`` heeds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hibana.core.names import nearest
from hibana.flows.errors import BAD_RESOURCES

if TYPE_CHECKING:
    from jobflow import Job

RESOURCES, N_ATOMS, QUEUE = "resources", "n_atoms", "_queueadapter"
"""Fields of a spec: the rows, the number of atoms, and what FireWorks' queue adapter takes of the Firework."""

MAX_ATOMS = "max_atoms"
"""Key of a row: the largest cell that it is for."""

THREADS = "cpus_per_task"
"""Key of a row: threads of each process."""

COUNTS = ("nodes", "ntasks_per_node", "ntasks", THREADS, "nnodes", "ppnode")
"""Keys of queue adapters that are numbers of something."""

KNOWN = (
    *(MAX_ATOMS, *COUNTS, "ntasks_per_core", "walltime", "queue", "account", "job_name", "pre_rocket", "post_rocket"),
    *("resource", "resources", "volumes", "group_name", "mem", "mem_per_cpu", "pmem", "gres", "qos", "constraint", "license"),
    *("gpus", "gpus_per_task", "gpus_per_node", "exclude_nodes", "mppwidth", "ppn", "node_usage", "job_type", "filesystems"),
    *("launch_dir", "rocket_launch", "volume", "env", "email", "image", "signal", "time_min", "core_spec", "notification"),
    *("notification_options", "mail_user", "mail_type", "stdout_stderr", "reservation"),
    *("mem_per_gpu", "vmem", "pvmem", "ngpus", "licenses", "mail"),
)
"""Keys of the rows, and of the queue adapters of FireWorks and of hibana; a template of a site may know others, such as the
last line: words of queues that look like misspelt ones of the others."""

MISSPELT = 0.85
"""How alike (0 to 1) an unknown key is to a known one to be taken for it."""

WALLTIME = re.compile(r"\d+(-\d{1,2})?(:\d{1,2}){1,2}")
"""hh:mm:ss, hh:mm or d-hh:mm:ss, as queues take it."""

Rows = Sequence[Mapping[str, Any]]


def sized(job: Job, n_atoms: int) -> Job:
    """Note in a job how many atoms the cell has that it calculates."""
    job.metadata[N_ATOMS] = n_atoms
    return job


def read_resources(path: Path) -> list[dict[str, Any]]:
    """Read the table of a site.

    Parameters
    ----------
    path
        YAML file with a list of rows, ``max_atoms`` ascending. The last row is for all larger cells too, and needs no
        ``max_atoms``. The other keys are those of the queue adapter: ``nodes``, ``ntasks_per_node``, ``walltime`` (quoted), ...

    Raises
    ------
    HibanaError
        HIB-103 for a file that is no such table.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        rows = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise BAD_RESOURCES.error(f"it cannot be read: {error}", where=path) from error
    if not isinstance(rows, list) or not rows:
        raise BAD_RESOURCES.error("it is no list of rows", where=path)
    for number, row in enumerate(rows, 1):
        if problem := _problem(row, is_last=number == len(rows)):
            raise BAD_RESOURCES.error(problem, where=f"{path}, row {number}")
    limits = [row[MAX_ATOMS] for row in rows if row.get(MAX_ATOMS) is not None]
    if limits != sorted(set(limits)):
        raise BAD_RESOURCES.error(f"max_atoms does not ascend: {', '.join(map(str, limits))}", where=path)
    return [{str(key): value for key, value in row.items() if value is not None} for row in rows]


def _problem(row: Any, *, is_last: bool) -> str | None:
    """What is wrong with a row."""
    if not isinstance(row, dict):
        return f"{row!r} is no row"
    for key in map(str, row):
        if key not in KNOWN and (near := nearest(key, KNOWN, cutoff=MISSPELT)):
            return f"{key} is read by no queue; is {near[0]} meant?"
    limit = row.get(MAX_ATOMS)
    if limit is None and not is_last:
        return "it has no max_atoms, and is not the last"
    if set(row) == {MAX_ATOMS} or not row:
        return "it says nothing to the queue"
    for key in (MAX_ATOMS, *COUNTS):
        value = row.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            return f"{key} is {value!r}, not a whole number above 0"
    walltime = row.get("walltime")
    if walltime is not None and not (isinstance(walltime, str) and WALLTIME.fullmatch(walltime)):
        return f"walltime is {walltime!r}; write it quoted, as in '04:00:00'"
    reserved = [str(key) for key in row if str(key).startswith("_")]
    return f"{reserved[0]} is FireWorks' own" if reserved else None


def queue_of(rows: Rows, n_atoms: int) -> dict[str, Any]:
    """What the queue adapter takes for a cell: of the first row that is large enough, else of the last.

    Parameters
    ----------
    rows
        As :func:`read_resources` gives them.
    n_atoms
        Atoms of the cell.
    """
    row = next((row for row in rows if row.get(MAX_ATOMS) is None or n_atoms <= row[MAX_ATOMS]), rows[-1])
    return {key: value for key, value in row.items() if key != MAX_ATOMS}


def with_queue(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec with its ``_queueadapter``, where there are rows and the job calculates a cell; else as it is."""
    rows, n_atoms = spec.get(RESOURCES), spec.get(N_ATOMS)
    return dict(spec) if not rows or n_atoms is None else {**spec, QUEUE: queue_of(rows, n_atoms)}


def cores_of(spec: Mapping[str, Any]) -> int | None:
    """MPI processes of the job that the queue made for a Firework; None where its spec does not say how many.

    Parameters
    ----------
    spec
        With ``_queueadapter``: ``ntasks``, or ``nodes`` (1 where left out) times ``ntasks_per_node``; of FireWorks' stock PBS
        template ``nnodes`` times ``ppnode``.
    """
    queue = spec.get(QUEUE) or {}
    if "ntasks" in queue:
        return int(queue["ntasks"])
    for nodes, tasks in (("nodes", "ntasks_per_node"), ("nnodes", "ppnode")):
        if tasks in queue:
            return int(queue.get(nodes, 1)) * int(queue[tasks])
    return None


def threads_of(spec: Mapping[str, Any]) -> int | None:
    """Threads of each MPI process of that job (``cpus_per_task``); None where its spec does not say how many."""
    threads = (spec.get(QUEUE) or {}).get(THREADS)
    return None if threads is None else int(threads)
