"""The Firetask that runs a job of a flow."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fireworks import FiretaskBase, FWAction, explicit_serialize
from pymongo import ASCENDING, DESCENDING

from hibana.core.errors import HibanaError
from hibana.core.settings import Settings
from hibana.flows.context import RunContext, use_context
from hibana.flows.errors import CODE_DIED, NO_TIME_LEFT
from hibana.flows.resources import RESOURCES, cores_of, threads_of
from hibana.launch.beats import beating
from hibana.launch.errors import BAD_WORKER, NO_LAUNCHPAD_IN_TASK, OFFLINE
from hibana.launch.notice import heeding
from hibana.launch.offline import is_offline, mend_reading
from hibana.launch.schedulers import time_left
from hibana.launch.stopping import STOP, Stopped
from hibana.store.patience import patiently

if TYPE_CHECKING:
    from fireworks import LaunchPad, Workflow
    from jobflow import Flow, Job, JobStore

    from hibana.store.store import Store

LOG = logging.getLogger(__name__)

mend_reading()

JOB_OUTPUTS = "job_outputs"
"""Collection of the small answers that jobs hand to each other."""

CARRIED = ("_fworker", "_category", "_priority", "_queueadapter", "_preserve_fworker", "_trackers", RESOURCES)
"""Fields of a spec that the jobs a job is replaced by take over: who set a priority meant the whole material."""

VASP_CMD, CORES, WALLTIME = "vasp_cmd", "cores", "walltime"
"""Keys of a worker's env that users set."""

THREADS, CPUS = "threads", "cpus"
"""Keys of a worker's env that hibana sets for a run that shares an allocation: threads of each process, and its CPUs."""

DEADLINE = "deadline"
"""Key of a worker's env: time (seconds since 1970) at which all its runs must have ended."""


@explicit_serialize
class RunJobTask(FiretaskBase):  # type: ignore[misc]
    """Runs one jobflow job on this worker; what the job is replaced by is added to the workflow.

    Parameters
    ----------
    job
        The job as JSON text.
    """

    required_params = ("job",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Run the job.

        The launchpad's database is also the store of documents and of job outputs, so that no password stands in a spec.

        Raises
        ------
        HibanaError
            HIB-110, HIB-113 or HIB-253, and what the job raises; the Firework is FIZZLED then and can be rerun.
        """
        from monty.json import MontyDecoder

        launchpad, fw_id = launchpad_of(self)
        job: Job = MontyDecoder().decode(self["job"])
        job.metadata["fw_id"] = fw_id
        context = run_context(launchpad, fw_spec, fw_id)
        with (
            STOP.interruptible(),
            beating(launchpad, fw_id),
            heeding(context.notice, STOP.ask),
            use_context(context),
        ):
            env = fw_spec.get("_fw_env") or {}
            leave_at_the_end(env)
            try:
                response = job.run(store=job_store(launchpad))
            except HibanaError as error:
                if error.kind in (NO_TIME_LEFT, CODE_DIED):  # at the end of its time the queue ends the code before the launcher
                    leave_at_the_end(env)
                raise
        spec = carried(launchpad, fw_spec, fw_id)
        return FWAction(
            stored_data=response.stored_data,
            detours=_workflows([response.replace, response.detour], launchpad, fw_id, spec),
            additions=_workflows([response.addition], launchpad, fw_id, spec),
            defuse_children=response.stop_children,
            defuse_workflow=response.stop_jobflow,
        )


def carried(launchpad: LaunchPad, fw_spec: Mapping[str, Any], fw_id: int) -> dict[str, Any]:
    """What the jobs that a job is replaced by take over of its spec; the priority is that of now, set meanwhile perhaps."""
    fields = {"spec._priority": 1}
    now = patiently(lambda: launchpad.fireworks.find_one({"fw_id": fw_id}, fields)) or {}
    spec = {**fw_spec, **(now.get("spec") or {})}
    return {key: spec[key] for key in CARRIED if key in spec}


def leave_at_the_end(env: Mapping[str, Any] | None = None) -> None:
    """End this process if its job in the queue, or the run it is part of, is about to end: another runs the job that was begun.

    Parameters
    ----------
    env
        Of the worker.

    Raises
    ------
    Stopped
        If there is no time left.
    """
    left = remaining_walltime(None, _positive(env or {}, DEADLINE), time_left())
    if left is not None and left <= 0:
        LOG.warning("this run, or the job of the queue, ends in a moment; nothing more is begun")
        raise Stopped


def launchpad_of(task: FiretaskBase) -> tuple[LaunchPad, int]:
    """Launchpad and Firework of a Firetask that runs.

    Raises
    ------
    HibanaError
        HIB-253 in FireWorks' offline mode, HIB-110 if FireWorks was not asked to tell them.
    """
    launchpad, fw_id = getattr(task, "launchpad", None), getattr(task, "fw_id", None)
    if launchpad is None and is_offline():
        raise OFFLINE.error("a job needs its lease, its heartbeat and its parents' results from the database", where=Path.cwd())
    if launchpad is None or fw_id is None:
        raise NO_LAUNCHPAD_IN_TASK.error("it has no launchpad (a field is missing in the spec)", where=Path.cwd())
    return launchpad, fw_id


@lru_cache(maxsize=1)
def document_store(launchpad: LaunchPad) -> Store:
    """Store in the launchpad's database; one for all jobs of a launcher, which looks at its indexes once."""
    from hibana.store.store import Store

    return Store(launchpad.db)


@lru_cache(maxsize=1)
def job_store(launchpad: LaunchPad) -> JobStore:
    """JobStore in the launchpad's database, on its connection; one for all jobs of a launcher."""
    from jobflow import JobStore

    from hibana.launch.job_outputs import PatientOutputs

    collection = launchpad.db[JOB_OUTPUTS]
    patiently(lambda: collection.create_index([("uuid", ASCENDING), ("index", DESCENDING)]))
    return JobStore(PatientOutputs.from_collection(collection))


def run_context(launchpad: LaunchPad, fw_spec: Mapping[str, Any], fw_id: int) -> RunContext:
    """Context of a job: the launchpad's database, and what the fworker file and the environment say of this worker.

    In a job that the queue made for this Firework (``qlaunch -r``) cores and threads are those of its ``_queueadapter``.

    Raises
    ------
    HibanaError
        HIB-113 if cores, threads or walltime of the fworker file are no positive numbers.
    """
    env = fw_spec.get("_fw_env") or {}
    running = {"fw_id": fw_id, "state": "RUNNING"}
    fields = {"launch_id": 1, "fworker.name": 1, "state_history": 1}
    launch = patiently(lambda: launchpad.launches.find_one(running, fields, sort=[("launch_id", DESCENDING)])) or {}
    own = fw_spec if _was_reserved(launch) else {}
    cores = cores_of(own) or int(_positive(env, CORES) or 1)
    threads = threads_of(own) or int(_positive(env, THREADS) or 1)
    return RunContext(
        store=document_store(launchpad),
        vasp_cmd=filled(env.get(VASP_CMD) or Settings.from_environment().vasp_cmd, {**env, THREADS: threads}, cores),
        cores=cores,
        threads=threads,
        walltime=remaining_walltime(_positive(env, WALLTIME), _positive(env, DEADLINE), time_left()),
        worker=str((launch.get("fworker") or {}).get("name", "worker")),
        launch_id=launch.get("launch_id"),
    )


def filled(vasp_cmd: str | None, env: Mapping[str, Any], cores: int) -> str | None:
    """The worker's command with ``{cores}``, ``{threads}`` and ``{cpus}`` filled in; all CPUs where none were given.

    Parameters
    ----------
    vasp_cmd
        The command; None where there is none.
    env
        Of the worker.
    cores
        MPI processes.
    """
    if vasp_cmd is None:
        return None
    cpus = env.get(CPUS) or ",".join(map(str, sorted(os.sched_getaffinity(0))))
    for place, value in (("{cores}", str(cores)), ("{threads}", str(env.get(THREADS, 1))), ("{cpus}", cpus)):
        vasp_cmd = vasp_cmd.replace(place, value)
    return vasp_cmd


def _was_reserved(launch: Mapping[str, Any]) -> bool:
    """Whether the queue made a job for this launch alone."""
    return any("reservation_id" in entry for entry in launch.get("state_history", ()))


def remaining_walltime(walltime: float | None, deadline: float | None, in_queue: float | None = None) -> float | None:
    """Seconds that are left.

    Parameters
    ----------
    walltime
        Seconds from the start of this process; None for no limit.
    deadline
        Seconds since 1970; None for no limit.
    in_queue
        Seconds that the queue leaves the job of this process; None for no limit.
    """
    left = [] if in_queue is None else [in_queue]
    left += [] if walltime is None else [walltime - process_age()]
    left += [] if deadline is None else [deadline - time.time()]
    return max(min(left), 0.0) if left else None


def process_age() -> float:
    """Seconds since this process was started."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _positive(env: Mapping[str, Any], key: str) -> float | None:
    value = env.get(key)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number <= 0:
        raise BAD_WORKER.error(f"env.{key} is {value!r}, not a positive number")
    return number


def _workflows(flows: list[Flow | None], launchpad: LaunchPad, fw_id: int, spec: Mapping[str, Any]) -> list[Workflow]:
    """Workflows of the flows that are not yet part of the Firework's workflow: a job that is run again adds nothing twice."""
    from hibana.launch.workflows import JOB, job_key, to_workflow

    def is_there(flow: Flow) -> bool:
        keys = [job_key(job.uuid, job.index) for job, _ in flow.iterflow()]
        workflow = launchpad.workflows.find_one({"nodes": fw_id}, {"nodes": 1}) or {}
        there = {"fw_id": {"$in": workflow.get("nodes", [])}, f"spec.{JOB}": {"$in": keys}}
        return launchpad.fireworks.find_one(there, {"fw_id": 1}) is not None

    asked = [flow for flow in flows if flow is not None]
    return [to_workflow(flow, spec=spec) for flow in asked if not patiently(partial(is_there, flow))]
