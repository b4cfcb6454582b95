"""The modes replay and chaos of hibana-vasp: answer the question in the working directory, or fail as told."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import hibana
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.replay import recordings
from hibana.rehearsal.replay.faults import Fault, Rates, count_attempt, log_fault, messages
from hibana.rehearsal.replay.question import Question, read_question
from hibana.rehearsal.replay.synthesis import stopped, synthesise, unconverged
from hibana.rehearsal.result import RunResult
from hibana.rehearsal.writers import write_outputs

NO_SPACE = 38
"""Exit status of a Fortran program whose write has failed."""

CUT = ("vasprun.xml", "OUTCAR", "EIGENVAL", "DOSCAR", "PROCAR")
"""Files that end in the middle when a run is ended in the middle."""

WAVE_FUNCTIONS = b"synthetic: there are no wave functions\n"
"""What stands in WAVECAR."""

PAUSE = 0.02
"""Seconds between two looks for STOPCAR."""


@dataclass(frozen=True)
class Chaos:
    """Rates of faults, and the folder in which attempts are counted."""

    rates: Rates
    attempts: Path

    def fault(self, digest: str) -> Fault | None:
        """Count an attempt at a question; the fault that befalls it."""
        attempt = count_attempt(self.attempts, digest)
        fault = self.rates.fault(digest, attempt)
        if fault is not None:
            log_fault(self.attempts, digest, attempt, fault)
        return fault


def run(directory: Path, stream: TextIO, *, recorded: Path | None, only_recorded: bool, chaos: Chaos | None) -> int:
    """Answer the question in a directory; the exit status.

    Parameters
    ----------
    directory
        Where the input files are and the outputs go.
    stream
        Standard output.
    recorded
        Folder of recorded answers; None for synthetic ones only.
    only_recorded
        Whether a question without a recorded answer is an error.
    chaos
        What goes wrong; None for nothing.

    Raises
    ------
    RehearsalError
        HIB-180 to HIB-200.
    """
    question = read_question(directory)
    folder = recordings.find(question, recorded)
    if folder is None and only_recorded:
        raise RehearsalError(199, f"none under the digest {question.digest}", where=recorded or "")
    fault = None if chaos is None else chaos.fault(question.digest)
    origin = "of a toy model" if folder is None else f"recorded as {folder.name[:12]}"
    print(f" hibana-vasp {hibana.__version__}: NOT VASP, SYNTHETIC answers, {origin}", file=stream)
    print(" running on    1 total cores\n entering main loop", file=stream, flush=True)
    answer = _Answer(question, directory, folder)
    if fault is None:
        answer.write()
        return 0
    return FAULTS[fault.kind](answer, fault, stream)


class _Answer:
    """An answer that can be written as it is or spoilt."""

    def __init__(self, question: Question, directory: Path, recording: Path | None) -> None:
        self.question, self.directory, self.recording = question, directory, recording
        self.result: RunResult | None = None if recording is not None else synthesise(question)

    def write(self, change: Callable[[RunResult], RunResult] | None = None) -> None:
        """Write all files, those of a synthetic result changed where a change is given."""
        if self.result is None and self.recording is not None:
            recordings.replay(self.recording, self.directory)
        elif self.result is not None:
            (self.directory / "OSZICAR").unlink(missing_ok=True)
            write_outputs(self.result if change is None else change(self.result), self.directory)
        if self.question.incar.get("LWAVE", True):
            (self.directory / "WAVECAR").write_bytes(WAVE_FUNCTIONS)

    def write_part(self, share: float) -> None:
        """Write the files of a run that got so far, and cut the large ones off."""
        self.write(lambda result: stopped(result, share))
        for name in CUT:
            path = self.directory / name
            if path.is_file():
                os.truncate(path, int(share * path.stat().st_size))


def _hang(answer: _Answer, fault: Fault, _: TextIO) -> int:
    """Wait to be ended; nobody having done it, be killed as a scheduler kills."""
    answer.write_part(0.3)
    _sleep(fault.seconds)
    return _die(signal.SIGKILL)


def _hang_deaf(answer: _Answer, fault: Fault, stream: TextIO) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return _hang(answer, fault, stream)


def _be_killed(answer: _Answer, fault: Fault, _: TextIO) -> int:
    answer.write_part(0.6)
    return _die(signal.Signals[fault.detail])


def _print_error(answer: _Answer, fault: Fault, stream: TextIO) -> int:
    channel, text = messages()[fault.detail]
    answer.write_part(0.5)
    print(f" {text}", file=stream if channel == "stdout" else sys.stderr, flush=True)
    return 1


def _truncate(answer: _Answer, _: Fault, __: TextIO) -> int:
    answer.write_part(0.8)
    return 0


def _oscillate(answer: _Answer, _: Fault, __: TextIO) -> int:
    """A single step that is not iterated cannot oscillate, nor can a recorded answer."""
    answer.write(unconverged if answer.question.integer("NELM", 60) > 1 else None)
    return 0


def _be_slow(answer: _Answer, fault: Fault, _: TextIO) -> int:
    """Take a while; STOPCAR ends it with as many ionic steps as were due."""
    stop, started = answer.directory / "STOPCAR", time.monotonic()
    while not stop.exists() and time.monotonic() - started < fault.seconds:
        time.sleep(PAUSE)
    share = (time.monotonic() - started) / max(fault.seconds, PAUSE)
    if not stop.exists():
        answer.write()
        return 0
    stop.unlink(missing_ok=True)
    answer.write(lambda result: stopped(result, share))
    _say_stopped(answer.directory)
    return 0


def _fill_disk(answer: _Answer, _: Fault, __: TextIO) -> int:
    answer.write_part(0.4)
    os.truncate(answer.directory / "CONTCAR", 0)
    where = answer.directory / "OUTCAR"
    print(f"forrtl: No space left on device\nforrtl: severe (38): error during write, unit 8, file {where}", file=sys.stderr)
    return NO_SPACE


FAULTS: dict[str, Callable[[_Answer, Fault, TextIO], int]] = {
    "hang": _hang,
    "deaf": _hang_deaf,
    "signal": _be_killed,
    "error": _print_error,
    "truncate": _truncate,
    "oscillate": _oscillate,
    "slow": _be_slow,
    "disk": _fill_disk,
}
"""What each kind of fault does; the exit status."""


def _say_stopped(directory: Path) -> None:
    """The line by which VASP says in OUTCAR that STOPCAR ended it."""
    outcar = directory / "OUTCAR"
    if outcar.is_file():
        with outcar.open("a") as file:
            file.write("\n soft stop encountered!  aborting job ...\n")


def _sleep(seconds: float) -> None:
    """Sleep through interrupting signals."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(left)


def _die(number: signal.Signals) -> int:
    """End by a signal, without a core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), number)
    return 128 + number
