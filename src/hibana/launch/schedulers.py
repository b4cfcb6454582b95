"""The queue's view: which jobs there are, and how much time the own job has left.

Slurm, PBS (OpenPBS, PBS Pro, Torque and Slurm's wrappers), Grid Engine (SGE, AGE, UGE) and Fujitsu's PJM (Fugaku). Only the
commands every user may call are used, as they are found on PATH. What a queue does not answer, or answers in words that are not
understood, is unknown, and a job in a state with an unknown name runs: nobody is given up because a queue was busy.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Literal
from xml.etree import ElementTree

JobState = Literal["pending", "running", "gone"]
Kind = Literal["slurm", "pbs", "sge", "pjm"]

TIMEOUT_SECONDS = 30.0
"""A queue that does not answer within this time is asked again another time."""

MARGIN_SECONDS, MARGIN_SHARE = 60.0, 0.1
"""Time (seconds, or a share of what is left if that is less) kept at the end of a job for noting what was done."""

ASK_EVERY = 600.0
"""Seconds for which the end of the own job is taken as known."""

LOG = logging.getLogger(__name__)

_CLOCK = re.compile(r"(?:(\d+)-)?(\d+(?::\d+){0,3})")
_NUMBER = re.compile(r"\d+")


class Scheduler(ABC):
    """A batch system, asked through its commands.

    Parameters
    ----------
    job
        The job this process runs in; None outside of one.
    """

    kind: ClassVar[Kind]

    def __init__(self, job: str | None = None) -> None:
        self.job = None if job is None else job_number(job)

    def job_states(self, ids: Iterable[str]) -> dict[str, JobState]:
        """State of jobs: pending (also held), running (also suspended or ending), or gone (ended or never heard of).

        Parameters
        ----------
        ids
            Job ids as they were given at submission; the leading number counts.

        Returns
        -------
        dict
            State by id, as it was asked; empty if the queue does not answer or its answer is not understood.
        """
        asked = list(ids)
        listed = self.listing() if asked else None
        if listed is None:
            return {}
        return {name: listed.get(job_number(name), "gone") for name in asked}

    @abstractmethod
    def listing(self) -> dict[str, JobState] | None:
        """State of every job that this user may see, by number; None if the queue does not answer."""

    @abstractmethod
    def seconds_left(self) -> float | None:
        """Seconds until the own job is ended by its limit; None outside of a job, without a limit, or where it is unknown."""


class Slurm(Scheduler):
    """``squeue``."""

    kind: ClassVar[Kind] = "slurm"
    ENDED: ClassVar = frozenset(
        [
            "BOOT_FAIL",
            "CANCELLED",
            "COMPLETED",
            "DEADLINE",
            "FAILED",
            "NODE_FAIL",
            "OUT_OF_MEMORY",
            "PREEMPTED",
            "REVOKED",
            "TIMEOUT",
        ]
    )
    WAITING: ClassVar = frozenset(
        ["PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT", "CONFIGURING"]
    )

    def listing(self) -> dict[str, JobState] | None:
        """As :meth:`Scheduler.listing`."""
        text = answer(["squeue", "--noheader", "--all", "--states=all", "--format=%A|%F|%T"])
        if text is None:
            return None
        found: dict[str, JobState] = {}
        for line in text.splitlines():
            words = line.strip().split("|")
            if len(words) != 3:
                continue
            state: JobState = "gone" if words[2] in self.ENDED else "pending" if words[2] in self.WAITING else "running"
            for number in words[:2]:  # the whole of an array lives as long as one of its tasks
                found[number] = _livelier(found.get(number), state)
        return found if found or not text.strip() else None

    def seconds_left(self) -> float | None:
        """As :meth:`Scheduler.seconds_left`: from squeue, else from the time that Slurm told the job at its start."""
        if self.job is None:
            return None
        text = answer(["squeue", "--noheader", f"--jobs={self.job}", "--format=%L"])
        left = None if text is None else seconds(text.strip().splitlines()[0] if text.strip() else "")
        if left is not None:
            return left
        if text is not None and text.strip() == "UNLIMITED":
            return None
        return _number_before(os.environ.get("SLURM_JOB_END_TIME"))


class Pbs(Scheduler):
    """``qstat`` of the PBS family."""

    kind: ClassVar[Kind] = "pbs"
    STATES: ClassVar[Mapping[str, JobState]] = {
        **dict.fromkeys("QHWTM", "pending"),
        **dict.fromkeys("RESUB", "running"),
        **dict.fromkeys("CFX", "gone"),
    }
    LINE = re.compile(r"^(\d+)(?:\[\d*\])?(?:\.\S*|\*)?\s+.*\s([A-Z])\s+\S+\s*$")

    def listing(self) -> dict[str, JobState] | None:
        """As :meth:`Scheduler.listing`."""
        text = answer(["qstat"])
        if text is None:
            return None
        rows = [self.LINE.match(line) for line in text.splitlines()]
        found: dict[str, JobState] = {}
        for row in rows:
            if row is not None:
                found[row[1]] = _livelier(found.get(row[1]), self.STATES.get(row[2], "running"))
        return found if found or not _rows_below_rule(text) else None

    def seconds_left(self) -> float | None:
        """As :meth:`Scheduler.seconds_left`.

        The start of the job counts, or the time used, which PBS brings up to date only now and then; the nearer end is taken.
        """
        if self.job is None:
            return None
        text = answer(["qstat", "-f", os.environ.get("PBS_JOBID", self.job)])
        fields = _fields(text or "")
        limit = seconds(fields.get("resource_list.walltime", ""))
        if limit is None:
            return None
        ends = []
        if (used := seconds(fields.get("resources_used.walltime", ""))) is not None:
            ends.append(limit - used)
        if (started := _ctime(fields.get("stime") or fields.get("start_time") or "")) is not None:
            ends.append(limit - (time.time() - started))
        return min(ends) if ends else None


class GridEngine(Scheduler):
    """``qstat`` of Grid Engine."""

    kind: ClassVar[Kind] = "sge"

    def listing(self) -> dict[str, JobState] | None:
        """As :meth:`Scheduler.listing`."""
        jobs = self._jobs()
        if jobs is None:
            return None
        found: dict[str, JobState] = {}
        for job in jobs:
            number, code = job.findtext("JB_job_number"), job.findtext("state") or ""
            if number is not None:
                state: JobState = "pending" if "w" in code else "running"
                found[number.strip()] = _livelier(found.get(number.strip()), state)
        return found

    def seconds_left(self) -> float | None:
        """As :meth:`Scheduler.seconds_left`, from the limits h_rt and s_rt that the job was submitted with."""
        if self.job is None:
            return None
        text = answer(["qstat", "-j", self.job]) or ""
        limits = [seconds(value) for value in re.findall(r"\b[hs]_rt=([\d:]+)", text)]
        starts = [job.findtext("JAT_start_time") for job in self._jobs() or () if job.findtext("JB_job_number") == self.job]
        known = [limit for limit in limits if limit is not None]
        began = [moment for start in starts if start and (moment := _iso(start)) is not None]
        return min(known) - (time.time() - min(began)) if known and began else None

    def _jobs(self) -> list[ElementTree.Element] | None:
        text = answer(["qstat", "-xml", "-u", "*"])
        try:
            return None if text is None else list(ElementTree.fromstring(text).iter("job_list"))
        except ElementTree.ParseError as error:
            LOG.warning("the answer of qstat is not understood: %s", error)
            return None


class Pjm(Scheduler):
    """``pjstat`` of Fujitsu's job operation software; it shows the own jobs."""

    kind: ClassVar[Kind] = "pjm"
    STATES: ClassVar[Mapping[str, JobState]] = {
        **dict.fromkeys(["ACC", "QUE", "RNA", "HLD", "RSM"], "pending"),
        **dict.fromkeys(["RNP", "RUN", "RNE", "RNO", "SPP", "SPD"], "running"),
        **dict.fromkeys(["EXT", "CCL", "ERR", "RJT"], "gone"),
    }
    DATES = re.compile(r"(\d{1,2}/\d{1,2}\s+\d{1,2}:\d{2}(?::\d{2})?)\S*\s+(\d+:\d{2}:\d{2})")

    def listing(self) -> dict[str, JobState] | None:
        """As :meth:`Scheduler.listing`."""
        text = answer(["pjstat"])
        if text is None or (text.strip() and "JOB_ID" not in text):
            return None
        found: dict[str, JobState] = {}
        for number, state, _ in self._rows(text):
            found[number] = _livelier(found.get(number), self.STATES.get(state, "running"))
        return found

    def seconds_left(self) -> float | None:
        """As :meth:`Scheduler.seconds_left`."""
        if self.job is None:
            return None
        for number, state, line in self._rows(answer(["pjstat", self.job]) or ""):
            dates = self.DATES.search(line)
            if number == self.job and self.STATES.get(state) == "running" and dates is not None:
                limit, started = seconds(dates[2]), _without_year(dates[1])
                if limit is not None and started is not None:
                    return limit - (time.time() - started)
        return None

    @staticmethod
    def _rows(text: str) -> list[tuple[str, str, str]]:
        """Number, state and the whole line of each job, below the line of titles."""
        below, rows = False, []
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["JOB_ID"]:
                below = True
            elif below and len(words) > 4 and words[0][:1].isdigit():
                rows.append((job_number(words[0]), words[3], line))
        return rows


def scheduler_here() -> Scheduler | None:
    """The batch system whose job this process runs in, from its environment; None outside of a job."""
    environment = os.environ
    if job := environment.get("PJM_JOBID"):
        return Pjm(job)
    if job := environment.get("SLURM_JOB_ID"):
        return Slurm(job)
    if job := environment.get("PBS_JOBID"):
        return Pbs(job)
    if (job := environment.get("JOB_ID")) and environment.get("SGE_ROOT"):
        return GridEngine(job)
    return None


def scheduler_on_path() -> Scheduler | None:
    """The batch system whose commands are on PATH, for a process that runs in no job; None where there is none.

    Slurm comes before PBS, whose commands it may imitate.
    """
    if shutil.which("pjstat"):
        return Pjm()
    if shutil.which("squeue"):
        return Slurm()
    if shutil.which("qstat"):
        return GridEngine() if os.environ.get("SGE_ROOT") or shutil.which("qhost") else Pbs()
    return None


def time_left() -> float | None:
    """Seconds that a run in the job of this process may still take, a margin kept; None where no end is known."""
    here = scheduler_here()
    if here is None or here.job is None:
        return None
    known = _ENDS.get((here.kind, here.job))
    if known is None or time.monotonic() - known[0] > ASK_EVERY:
        left = here.seconds_left()
        if left is not None:
            now = time.monotonic()
            known = _ENDS[here.kind, here.job] = (now, now + left - min(MARGIN_SECONDS, MARGIN_SHARE * max(left, 0.0)))
    return None if known is None else known[1] - time.monotonic()


_ENDS: dict[tuple[Kind, str], tuple[float, float]] = {}
"""When the end of a job was asked for, and the end less the margin, on the monotonic clock. A queue that does not answer is
asked again at the next occasion; until then the end that it told before counts."""


def job_number(name: str) -> str:
    """The number that a job's id begins with, as FireWorks keeps it: ``4711.server`` and ``4711[2]`` are 4711."""
    found = _NUMBER.match(str(name).strip())
    return found[0] if found else str(name)


def answer(command: Sequence[str]) -> str | None:
    """What a command of the queue prints; None if it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        LOG.warning("%s does not answer: %s", command[0], error)
        return None
    if done.returncode != 0:
        LOG.info("%s ended with status %d: %s", " ".join(command), done.returncode, done.stderr.strip()[-200:])
        return None
    return done.stdout


def seconds(text: str) -> float | None:
    """A span of time as queues print it (``D-HH:MM:SS``, ``HH:MM:SS``, ``MM:SS`` or seconds); None where it is none."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    days, parts = int(found[1] or 0), [int(part) for part in found[2].split(":")]
    if found[1]:  # D-HH, D-HH:MM
        parts += [0] * (3 - len(parts))
    if len(parts) == 4:
        days, parts = days + parts[0], parts[1:]
    total = 0
    for part in parts:
        total = 60 * total + part
    return float(86400 * days + total)


def _livelier(before: JobState | None, state: JobState) -> JobState:
    order: tuple[JobState, ...] = ("gone", "pending", "running")
    return state if before is None else max(before, state, key=order.index)


def _rows_below_rule(text: str) -> bool:
    """Whether there is anything below the line of dashes, or, without one, below two lines of titles."""
    lines = [line for line in text.splitlines() if line.strip()]
    rules = [number for number, line in enumerate(lines) if set(line.strip()) <= {"-", " "}]
    return bool(lines[rules[0] + 1 :] if rules else lines)


def _fields(text: str) -> dict[str, str]:
    """``name = value`` lines by their names in small letters."""
    pairs = (line.partition(" = ") for line in text.splitlines())
    return {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}


def _number_before(moment: str | None) -> float | None:
    try:
        return None if moment is None else float(moment) - time.time()
    except ValueError:
        return None


def _ctime(text: str) -> float | None:
    try:
        return time.mktime(time.strptime(text, "%a %b %d %H:%M:%S %Y"))
    except (ValueError, OverflowError):
        return None


def _iso(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        return None


def _without_year(text: str) -> float | None:
    """A moment of the past year given by month, day and time."""
    now = datetime.now()
    for year in (now.year, now.year - 1):
        for form in ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M"):
            try:
                moment = datetime.strptime(f"{year}/{' '.join(text.split())}", form)
            except ValueError:
                continue
            if moment <= now + timedelta(days=1):
                return moment.timestamp()
    return None
