"""Run VASP under custodian, by policy; what goes wrong with the physics is a report, not an exception."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from custodian.custodian import Custodian, CustodianError, ReturnCodeError, ValidationError

from hibana.documents.task import Correction, Failure
from hibana.vasp import bader
from hibana.vasp.corrections import correction_of, is_correction, walltime_reached
from hibana.vasp.errors import NOT_FRESH, UNWRITABLE
from hibana.vasp.files import find, load_text
from hibana.vasp.handlers import RunWalltimeHandler
from hibana.vasp.inputs_read import read_incar
from hibana.vasp.job import ERRORS, OUTPUT, GuardedVaspJob, RefusedCorrectionError, make_job, split_command
from hibana.vasp.policy import HandlerPolicy
from hibana.vasp.quiet import by_name, plain_log

if TYPE_CHECKING:
    from hibana.protocol.inputs import VaspInputs

LOG = logging.getLogger(__name__)

StatusHint = Literal["finished", "walltime", "failed"]

POLLING_SECONDS = 1.0
"""How often custodian looks whether VASP has ended."""

POLLING_VARIABLE = "HIBANA_POLLING_SECONDS"
"""Environment variable with another value, for rehearsals whose runs take no time."""

MONITOR_SECONDS = 30.0
"""How often the handlers look at a running VASP; with a short walltime more often."""

LOOKS_BEFORE_WALLTIME = 20
"""Looks at least taken within a walltime."""

TRACES = ("OUTCAR", "vasprun.xml", "OSZICAR", "custodian.json")
"""Files that only a run leaves."""

TAIL = 400
"""Characters of what VASP printed last that are kept of a failure."""

_ENGINE_ERROR = re.compile(r"HIB-\d{3}")
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
_OWN_WORDS = re.compile(r"VERY BAD NEWS|I REFUSE TO CONTINUE|internal error in|EEEEEEE +RRRRRR")
"""By which VASP says that it stopped of itself: an error that no handler knows, but one of this calculation."""


@dataclass(frozen=True)
class RunReport:
    """What custodian knows of a run; what the outputs say is read by :func:`hibana.vasp.reader.read_run`.

    Parameters
    ----------
    corrections
        What was corrected, with verdicts.
    status_hint
        ``finished``: the run came to its own end; ``walltime``: it was asked to stop; ``failed``: see ``failure``.
    failure
        Why it was given up.
    seconds
        Wall time of all attempts and stages.
    complete
        Whether the last stage was started. If not, the files in the folder are those of an earlier stage.
    """

    corrections: tuple[Correction, ...]
    status_hint: StatusHint
    failure: Failure | None
    seconds: float
    complete: bool = True


def run_vasp(
    inputs: VaspInputs,
    directory: Path,
    *,
    task: str,
    functional: str,
    vasp_cmd: str | None,
    policy: HandlerPolicy,
    walltime: float | None = None,
    notice: threading.Event | None = None,
    mark: str = "",
    polling_seconds: float | None = None,
    monitor_seconds: float | None = None,
    keep_densities: bool | None = None,
) -> RunReport:
    """Write the inputs and run all stages under custodian.

    VASP runs in a process group of its own that ends with this process, however this process ends. A run that wrote its
    all-electron density (LAECHG) is followed by the Bader analysis, whose table stays in the folder instead of the densities
    (:func:`hibana.vasp.bader.settle`).

    Parameters
    ----------
    inputs
        What :func:`hibana.protocol.inputs.build_inputs` made.
    directory
        Folder of the run, made where it is missing; another run's files must not be in it. A WAVECAR may be.
    task, functional
        What the run is for; they choose handlers and verdicts.
    vasp_cmd
        How VASP is started on this worker, quoted as in a shell.
    policy
        Which corrections are acceptable.
    walltime
        Time this run may take, s. None: the scheduler's limit where its environment variables tell it, counted from the
        first run of the allocation.
    notice
        Set from another thread or a signal handler when the run has to stop sooner; it stops as at the walltime.
    mark
        Tells the run's processes from all others (:func:`hibana.vasp.processes.new_mark`).
    polling_seconds, monitor_seconds
        How often to look whether VASP has ended, and at its output.
    keep_densities
        Whether the densities stay in the folder; None: as the environment variable HIBANA_KEEP_DENSITIES says.

    Raises
    ------
    HibanaError
        HIB-054 or HIB-055 for the command, HIB-056 or HIB-057 for the folder, HIB-060 for the task.
    """
    run = _Run(split_command(vasp_cmd), Path(directory).absolute(), task, policy, walltime, notice=notice, mark=mark)
    run.polling = polling_seconds or float(os.environ.get(POLLING_VARIABLE, POLLING_SECONDS))
    run.monitoring = monitor_seconds or _monitor_seconds(walltime)
    policy.handler_names(task, functional)
    started = time.monotonic()
    _prepare(inputs, run.directory)
    failure: Failure | None = None
    index, last = 0, len(inputs.stages) - 1
    for index in range(len(inputs.stages)):
        failure = run.stage(inputs, index)
        if failure is not None or walltime_reached(run.log_entries):
            break
    hint: StatusHint = "failed" if failure else "walltime" if walltime_reached(run.log_entries) else "finished"
    if hint == "finished" and inputs.stages[last].incar.get("LAECHG") is True:
        _settle_densities(run, keep_densities)
    return RunReport(tuple(run.corrections), hint, failure, time.monotonic() - started, complete=index == last)


@dataclass
class _Run:
    """A run under way: what all its stages share."""

    command: list[str]
    directory: Path
    task: str
    policy: HandlerPolicy
    walltime: float | None
    polling: float = POLLING_SECONDS
    monitoring: float = MONITOR_SECONDS
    notice: threading.Event | None = None
    mark: str = ""
    run_log: list[dict[str, Any]] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    @property
    def log_entries(self) -> list[Mapping[str, Any]]:
        """All of custodian's log entries so far."""
        return [entry for job in self.run_log for entry in job["corrections"]]

    def stage(self, inputs: VaspInputs, index: int) -> Failure | None:
        """Run one stage; why it was given up, or None."""
        stage, last = inputs.stages[index], len(inputs.stages) - 1
        job = make_job(
            self.command,
            suffix=f".{stage.name}",
            final=index == last,
            first=index == 0,
            changes=inputs.stage_changes(index),
        )
        job.mark = self.mark
        admission = job.admit = _Admission(self, stage.name, stage.incar)
        custodian = Custodian(
            [*self.policy.handlers(self.task, stage.name), *self._walltime_handler(stage.incar)],
            [job],
            validators=self.policy.validators(),
            max_errors=self.policy.max_errors,
            polling_time_step=self.polling,
            monitor_freq=max(1, round(self.monitoring / self.polling)),
            skip_over_errors=True,
            terminate_on_nonzero_returncode=False,
            directory=str(self.directory),
        )
        custodian.run_log = self.run_log
        try:
            with plain_log(), _ending(job):
                custodian.run()
        except CustodianError as error:
            return self._failure(error, job)
        finally:
            admission.take()
        return None

    def _walltime_handler(self, incar: Mapping[str, Any]) -> list[RunWalltimeHandler]:
        left = None if self.walltime is None else max(1.0, self.walltime - (time.monotonic() - self.begun))
        handler = RunWalltimeHandler(wall_time=left, electronic_step_stop=int(incar.get("NSW", 0)) <= 1)
        handler.notice = self.notice
        return [handler] if handler.wall_time or self.notice is not None else []

    def _failure(self, error: CustodianError, job: GuardedVaspJob) -> Failure:
        """The failure that custodian's exception stands for."""
        if isinstance(error, RefusedCorrectionError):
            return Failure(kind=error.key, message=error.message)
        if isinstance(error, ValidationError | ReturnCodeError):
            return self._without_output(job.exit_status)
        errors = [str(key) for entry in self.log_entries if is_correction(entry) for key in entry.get("errors", ())]
        return Failure(kind=errors[-1] if errors else "custodian", message=_given_up(error, errors))

    def _without_output(self, status: int | None) -> Failure:
        """Why the code left no complete output, and no error that a handler knows."""
        said, printed = _said(self.directory), _printed(self.directory)
        if engine := _ENGINE_ERROR.search(printed):
            return Failure(kind="input", message=printed[engine.start() :])
        has_begun = find(self.directory, "vasprun.xml") is not None
        if _DISK_FULL.search(said):
            kind = "disk"
        elif has_begun and _OWN_WORDS.search(said):  # the other ranks are then killed by what started them
            kind = "vasp_error"
        elif (status or 0) >= 128:
            kind = "killed"
        else:
            kind = "truncated" if has_begun else "no_output"
        return Failure(kind=kind, message=f"VASP ended with status {status} and without complete output; last: {printed}")


class _Admission:
    """Judges new corrections before VASP is started again with them."""

    def __init__(self, run: _Run, functional: str, incar: Mapping[str, Any]) -> None:
        self.run, self.functional, self.incar = run, functional, dict(incar)
        self.seen = len(run.log_entries)

    def take(self) -> list[Correction]:
        """Add the corrections that are new in custodian's log to the run's."""
        entries, self.seen = self.run.log_entries[self.seen :], len(self.run.log_entries)
        new = [
            correction_of(entry, self.run.policy, self.run.task, self.functional, self.incar)
            for entry in entries
            if is_correction(entry)
        ]
        self.run.corrections += new
        self.incar = read_incar(self.run.directory) or self.incar
        return new

    def __call__(self) -> None:
        """Raise if a new correction is refused."""
        for correction in self.take():
            if correction.verdict == "refused":
                key = correction.errors[0] if correction.errors else correction.handler
                what = f"{correction.handler} would change {_named(correction.actions)}"
                raise RefusedCorrectionError(key, f"{what}, which the policy {self.run.policy.name} refuses")


@contextmanager
def _ending(job: GuardedVaspJob) -> Iterator[None]:
    """End VASP if the block is left by an exception that custodian does not deal with, such as KeyboardInterrupt."""
    try:
        yield
    finally:
        job.end()


def _settle_densities(run: _Run, keep: bool | None) -> None:
    """Make the Bader analysis in the time that is left; what goes wrong with it is said by the reader."""
    left = bader.SECONDS if run.walltime is None else run.walltime - (time.monotonic() - run.begun)
    found = bader.settle(run.directory, keep=keep, seconds=max(1.0, min(left, bader.SECONDS)))
    if isinstance(found, bader.NoBader):
        LOG.info("no Bader analysis of %s: %s", run.directory, found.reason)


def _prepare(inputs: VaspInputs, directory: Path) -> None:
    """Make the folder, which must be no other run's, and write the inputs."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found = [name for name in TRACES if find(directory, name) is not None]
        if found:
            raise NOT_FRESH.error(f"it has {', '.join(found)}", where=directory)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise UNWRITABLE.error("permission denied", where=directory)
        inputs.write(directory)
    except OSError as error:
        raise UNWRITABLE.error(error.strerror or str(error), where=directory) from error


def _monitor_seconds(walltime: float | None) -> float:
    return MONITOR_SECONDS if walltime is None else min(MONITOR_SECONDS, walltime / LOOKS_BEFORE_WALLTIME)


def _printed(directory: Path) -> str:
    """The end of what VASP wrote to its two outputs, errors last."""
    texts = (load_text(directory, name) or "" for name in (OUTPUT, ERRORS))
    return " | ".join(text.strip()[-TAIL:] for text in texts if text.strip()) or "nothing was printed"


def _said(directory: Path) -> str:
    """All that VASP wrote to its two outputs."""
    return "\n".join(load_text(directory, name) or "" for name in (OUTPUT, ERRORS))


def _given_up(error: CustodianError, errors: list[str]) -> str:
    keys = ", ".join(dict.fromkeys(errors))
    return f"{by_name(error.message).rstrip('.')}.{f' Errors: {keys}.' if keys else ''}"


def _named(actions: tuple[dict[str, Any], ...]) -> str:
    """What actions change, for people: ``INCAR: ALGO = Normal``."""
    parts = []
    for action in actions:
        target = action.get("file") or action.get("dict")
        for verb, settings in action.get("action", {}).items():
            verb = "" if verb == "_set" else f" {verb.strip('_')}"
            parts += [f"{target}{verb}: {name} = {value}" for name, value in settings.items()]
    return "; ".join(parts)
