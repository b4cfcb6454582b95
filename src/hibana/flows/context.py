"""Where a job runs: the store it writes to and the worker it calculates on.

Jobs are plain functions of their arguments and of this context, so one flow runs the same under FireWorks and under
jobflow's local manager.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hibana.flows.errors import NO_CONTEXT

if TYPE_CHECKING:
    from hibana.store.store import Store


@dataclass(frozen=True)
class RunContext:
    """What a job needs to know of the place where it runs.

    Parameters
    ----------
    store
        Where documents are read and written.
    vasp_cmd
        How the code is started, for instance ``srun vasp_std``; None on a worker that only decides and collects.
    cores
        MPI processes of the command: for KPAR.
    threads
        Threads of each; a run costs the core-hours of all of them.
    walltime
        Seconds this job may take from now on; the code is stopped cleanly before. None for no limit.
    worker
        Name of the worker.
    launch_id
        FireWorks launch that runs the job; stands in the lease.
    poll_seconds
        How often to look whether another run has finished the calculation this one waits for.
    notice
        Set when the job has to stop sooner than its walltime says, for instance by a signal of the queue; the code is stopped
        cleanly.
    begun
        When the walltime began to count, on the monotonic clock.
    """

    store: Store
    vasp_cmd: str | None = None
    cores: int = 1
    threads: int = 1
    walltime: float | None = None
    worker: str = "local"
    launch_id: int | None = None
    poll_seconds: float = 5.0
    notice: threading.Event = field(default_factory=threading.Event, compare=False)
    begun: float = field(default_factory=time.monotonic, init=False)

    @property
    def cores_in_use(self) -> int:
        """Cores that a run costs: processes times threads."""
        return self.cores * self.threads

    @property
    def time_left(self) -> float | None:
        """Seconds left of the walltime; None for no limit."""
        return None if self.walltime is None else self.walltime - (time.monotonic() - self.begun)


_CONTEXT: ContextVar[RunContext | None] = ContextVar("hibana_run_context", default=None)


@contextmanager
def use_context(context: RunContext) -> Iterator[RunContext]:
    """Run the jobs of a block in a context."""
    token = _CONTEXT.set(context)
    try:
        yield context
    finally:
        _CONTEXT.reset(token)


def current_context() -> RunContext:
    """The context of the job that runs.

    Raises
    ------
    HibanaError
        If there is none.
    """
    context = _CONTEXT.get()
    if context is None:
        raise NO_CONTEXT.error("a job was run outside of any worker")
    return context
