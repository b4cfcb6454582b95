"""One calculation, asked twice and computed once: address, lease, attempt, result."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hibana.documents.spec import Spec
from hibana.documents.task import TaskDoc
from hibana.flows.attempt import Calculation, attempt, check_worker
from hibana.flows.context import RunContext, current_context
from hibana.flows.errors import LOST_LEASE, PROTOCOL_CHANGED
from hibana.flows.ghosts import end_ghosts
from hibana.flows.leftover import Notes, taken_up
from hibana.flows.messages import Past, Series
from hibana.protocol.protocol import Protocol, load_protocol
from hibana.store.claims import HEARTBEAT_SECONDS, Claim, Heartbeat
from hibana.store.owner import Owner

LOG = logging.getLogger(__name__)


def protocol_of(series: Series) -> Protocol:
    """The protocol of a series.

    Raises
    ------
    HibanaError
        HIB-093 if this worker has another protocol under that name than the submitting machine.
    """
    protocol = load_protocol(series.protocol)
    asked, here = (f"version {series.protocol_version}", f"version {protocol.version}")
    if series.protocol_digest != protocol.digest:
        what = f"{asked} was asked for, {here} is here" if asked != here else f"the numbers of {here} are not those asked for"
        raise PROTOCOL_CHANGED.error(f"{protocol.name}: {what}", where=socket.gethostname())
    return protocol


@dataclass(frozen=True)
class Outcome:
    """What came of a calculation.

    Parameters
    ----------
    task
        What the code said; physics trouble is its status. With status ``walltime`` it is not stored.
    past
        What was done so far, for the job in which a calculation that the walltime ended goes on.
    """

    task: TaskDoc
    past: Past = field(default_factory=Past)


def carry_out(calculation: Calculation) -> Outcome:
    """The answer to a calculation: from the store if it is there, else by running the code in the working directory.

    Raises
    ------
    HibanaError
        If the run cannot be done or is not what was asked for: then nothing is stored.
    """
    context = current_context()
    protocol = protocol_of(calculation.series)
    spec = calculation.spec(protocol)
    held = _stored_or_claimed(context, spec)
    if isinstance(held, TaskDoc):
        LOG.info("%s %s is in the store", spec.task, spec.address[:12])
        return Outcome(held)
    with _kept_alive(context, held):
        if held.left is not None:
            end_ghosts(held.left)
        asked = taken_up(calculation, held.left)
        done = attempt(context, asked, spec, protocol, Notes(context, asked, held))
        if done.task.status == "walltime":
            context.store.release(held, ended=True)
            return Outcome(done.task, done.past)
        if context.store.complete(done.task, done.arrays, held):
            return Outcome(done.task)
    return Outcome(_answer_of_other_run(context, spec))


def _stored_or_claimed(context: RunContext, spec: Spec) -> TaskDoc | Claim:
    """The stored answer or the lease to calculate it; waits while another live run holds the lease.

    Raises
    ------
    HibanaError
        HIB-097 if the walltime ends before.
    """
    waiting = False
    while True:
        task = context.store.task(spec.address)
        if task is not None:
            return task
        claim = context.store.claim(spec.address, owner=Owner.here(context.launch_id))
        if claim is not None:
            return claim
        if not waiting:
            LOG.info("another run calculates %s %s; waiting for it", spec.task, spec.address[:12])
            waiting = True
        time.sleep(context.poll_seconds)
        check_worker(context)


@contextmanager
def _kept_alive(context: RunContext, claim: Claim) -> Iterator[None]:
    """Keep the lease while the block runs; give it back at once if the block ends with an error.

    Should another run take it over, the code is stopped: its result would be refused.
    """
    try:
        with Heartbeat(context.store.heartbeat, claim, HEARTBEAT_SECONDS, context.notice.set):
            yield
    except BaseException:
        context.store.release(claim)
        raise


def _answer_of_other_run(context: RunContext, spec: Spec) -> TaskDoc:
    """What the run stored that took the lease over from this one."""
    task = context.store.task(spec.address)
    if task is None:
        raise LOST_LEASE.error(f"{spec.task} of {spec.material_id}, address {spec.address}", where=Path.cwd())
    return task
