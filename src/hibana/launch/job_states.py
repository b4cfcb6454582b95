"""The jobs of one workflow, for ``hibana why``: where each is, who works on it, and why it ended with an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import DESCENDING

from hibana.documents.candidate import Submission
from hibana.launch.adding import SUBMISSION
from hibana.launch.submit import keys_of_submission
from hibana.launch.taxonomy import advice, cause_of_launch, last_lines

if TYPE_CHECKING:
    from fireworks import LaunchPad

ACTIVE = ("RUNNING", "RESERVED")


@dataclass(frozen=True)
class JobState:
    """One job of a workflow.

    Parameters
    ----------
    fw_id, name, state
        As in ``lpad get_fws``.
    directory
        Folder of the last launch.
    error
        Last lines of the error of a FIZZLED job.
    cause, hint
        Its cause by the taxonomy of failures, and what to do about it.
    place
        Of a job that runs or is in a queue: on which worker, since when, its number in the queue.
    lease
        Of a job that runs: who holds the lease of the calculation, and when it was last heard of.
    """

    fw_id: int
    name: str
    state: str
    directory: str | None = None
    error: str | None = None
    cause: str | None = None
    hint: str | None = None
    place: str | None = None
    lease: str | None = None


def jobs_of(launchpad: LaunchPad, material_id: str, submission: Submission) -> tuple[JobState, ...]:
    """The jobs of the workflow of a submission; none if it has no workflow any more.

    Parameters
    ----------
    launchpad
        The launchpad; the store is in its database.
    material_id, submission
        What was asked.
    """
    keys = keys_of_submission(material_id, submission)
    workflow = launchpad.workflows.find_one({f"metadata.{SUBMISSION}": keys}, {"nodes": 1}, sort=[("updated_on", DESCENDING)])
    if workflow is None:
        return ()
    fields = {"fw_id": 1, "name": 1, "state": 1, "launches": 1}
    fireworks = sorted(launchpad.fireworks.find({"fw_id": {"$in": workflow["nodes"]}}, fields), key=lambda fw: fw["fw_id"])
    last = [fw["launches"][-1] for fw in fireworks if fw.get("launches")]
    launches = {launch["launch_id"]: launch for launch in launchpad.launches.find({"launch_id": {"$in": last}})}
    leases = _leases(launchpad, [fw["launches"][-1] for fw in fireworks if fw["state"] == "RUNNING" and fw.get("launches")])
    return tuple(_job(fw, launches, leases) for fw in fireworks)


def _job(firework: Mapping[str, Any], launches: Mapping[int, Mapping[str, Any]], leases: Mapping[int, str]) -> JobState:
    number = (firework.get("launches") or [None])[-1]
    launch = launches.get(number) if number is not None else None
    state = firework["state"]
    error = cause = hint = None
    if state == "FIZZLED":
        stored = ((launch or {}).get("action") or {}).get("stored_data") or {}
        error = last_lines((stored.get("_exception") or {}).get("_stacktrace", "the launcher was lost"))
        cause = cause_of_launch(launch)
        hint = advice("job", cause).mend.replace("-i ID", f"-i {firework['fw_id']}")
    return JobState(
        fw_id=firework["fw_id"],
        name=firework["name"],
        state=state,
        directory=(launch or {}).get("launch_dir"),
        error=error,
        cause=cause,
        hint=hint,
        place=_place(launch) if launch is not None and state in ACTIVE else None,
        lease=leases.get(number) if number is not None else None,
    )


def _place(launch: Mapping[str, Any]) -> str:
    """Where a launch is: worker, host, number in the queue, since when."""
    history: Sequence[Mapping[str, Any]] = launch.get("state_history") or ()
    worker = str((launch.get("fworker") or {}).get("name") or "a worker")
    words = [f"on {worker}" if launch["state"] != "RUNNING" else f"on {worker}, {launch.get('host', '')}"]
    reservation = next((item["reservation_id"] for item in reversed(history) if item.get("reservation_id")), None)
    if reservation is not None:
        words.append(f"job {reservation}")
    begin = next((item["created_on"] for item in reversed(history) if item.get("state") == launch["state"]), None)
    if begin is not None:
        words.append(f"since {_clock(begin)}")
    return ", ".join(words)


def _leases(launchpad: LaunchPad, launch_ids: Iterable[int]) -> dict[int, str]:
    """Who holds the leases of launches that run, by launch."""
    ids = list(launch_ids)
    if not ids:
        return {}
    found = dict.fromkeys(ids, "it holds no lease: it prepares its run, or waits for another run of the same calculation")
    for claim in launchpad.db["claims"].find({"state": "held", "owner.launch_id": {"$in": ids}}, {"result": 0}):
        owner = claim["owner"]
        who = f"process {owner['pid']} on {owner['host']}"
        found[owner["launch_id"]] = (
            f"lease {claim['token']} of {claim['_id'][:12]} held by {who}, heard of {_clock(claim['heartbeat'])}"
        )
    return found


def _clock(moment: str | datetime) -> str:
    """A moment, which the database keeps in UTC, in the time of this machine."""
    value = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    value = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
