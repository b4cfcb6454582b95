"""From jobflow's flows to FireWorks' workflows.

The job stands in the Firework as JSON text, so that ``lpad`` and the launchers carry it without importing what it calls; what
people search for (material, flow, protocol, calculator) stands beside it in plain fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fireworks import Firework, Workflow
from jobflow import Flow, Job, OnMissing

from hibana.flows.resources import with_queue
from hibana.launch.firetasks import RunJobTask

JOB = "hibana_job"
"""Field of a spec: uuid and index of its job, ``<uuid>-<index>``."""


def to_workflow(
    flow: Flow,
    *,
    spec: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    ids: Iterator[int] | None = None,
    name: str | None = None,
) -> Workflow:
    """FireWorks workflow of a flow.

    Parameters
    ----------
    flow
        A jobflow flow.
    spec
        Fields for the spec of every Firework.
    metadata
        Metadata of the workflow.
    ids
        Ids to give to the Fireworks; by default FireWorks gives them when the workflow is added.
    name
        Name of the workflow; default that of the flow.
    """
    made: dict[str, Firework] = {}
    for job, parents in flow.iterflow():
        made[job.uuid] = _firework(job, [made[uuid] for uuid in parents], dict(spec or {}), ids)
    return Workflow(list(made.values()), name=name or flow.name, metadata=dict(metadata or {}))


def job_key(uuid: str, index: int) -> str:
    """What stands under :data:`JOB` for a job."""
    return f"{uuid}-{index}"


def _firework(job: Job, parents: list[Firework], spec: dict[str, Any], ids: Iterator[int] | None) -> Firework:
    spec |= {**job.config.manager_config, **job.metadata, JOB: job_key(job.uuid, job.index), "_add_launchpad_and_fw_id": True}
    spec = with_queue(spec)
    if job.config.on_missing_references != OnMissing.ERROR:
        spec["_allow_fizzled_parents"] = True
    task = RunJobTask(job=json.dumps(job.as_dict(), separators=(",", ":")))
    return Firework([task], spec=spec, name=job.name, parents=parents or None, fw_id=None if ids is None else next(ids))
