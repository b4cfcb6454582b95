"""Handlers that custodian does not have in the form the protocols need."""

from __future__ import annotations

import os
import re
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from custodian.vasp.handlers import UnconvergedErrorHandler, WalltimeHandler
from custodian.vasp.io import load_vasprun

from hibana.vasp.convergence import asked_for_one_step

WALLTIME_START = "CUSTODIAN_WALLTIME_START"
"""Environment variable by which custodian's handlers of one allocation share their start."""

STEPS_TO_SPARE = 3
"""The run is stopped while this many steps, as long as the longest so far, still fit."""

_IONIC_STEP = re.compile(rb"LOOP\+:.*?real time\s*([\d.]+)")
_ELECTRONIC_STEP = re.compile(rb"LOOP:.*?real time\s*([\d.]+)")
_STOPPED = (b"soft stop encountered", b"hard stop encountered")


class ElectronicUnconvergedErrorHandler(UnconvergedErrorHandler):
    """custodian's handler for runs that reached NELM, without its ionic part.

    The ionic part answers NSW with IBRION = 1; a relaxation that is not finished is continued in another run instead. A run
    that was asked for one non-self-consistent step, or that was stopped before the walltime, is none of its business.
    """

    def check(self, directory: str = "./") -> bool:
        """Whether the last ionic step of a finished run reached NELM."""
        try:
            vasprun = load_vasprun(os.path.join(directory, self.output_filename))  # noqa: PTH118 - custodian's cache key
            unconverged = not vasprun.converged_electronic
        except Exception:  # pymatgen raises anything on a damaged file; the validator of every run refuses those
            return False
        return unconverged and not asked_for_one_step(vasprun.incar) and not was_stopped(Path(directory))


class RunWalltimeHandler(WalltimeHandler):
    """custodian's walltime handler, counting from the start of the run where it is given its time, and reading little.

    ``notice``, if set, is an event that says that the time is over sooner than was known: the run is then stopped behind the
    electronic step, whatever it is.

    Parameters
    ----------
    wall_time
        Time this run may take, s. None: that of the allocation (PBS_WALLTIME, SBATCH_TIMELIMIT), counted from the first
        run in it; without either the handler does nothing.
    buffer_time
        Time to keep for stopping, s; None: 300 s, or a tenth of a shorter wall time.
    electronic_step_stop
        Stop behind the electronic step (static runs) rather than the ionic one.
    """

    notice: threading.Event | None = None

    def __init__(
        self, wall_time: float | None = None, buffer_time: float | None = None, electronic_step_stop: bool = False
    ) -> None:
        shared = os.environ.get(WALLTIME_START)
        super().__init__(wall_time=wall_time, electronic_step_stop=electronic_step_stop)
        if wall_time is not None:
            self.start_time = self.prev_check_time = datetime.now()
            if shared is None:
                del os.environ[WALLTIME_START]
        limit = self.wall_time or 0
        self.buffer_time = min(300.0, 0.1 * limit) if buffer_time is None else buffer_time

    def check(self, directory: str = "./") -> bool:
        """Whether the time that is left is needed for stopping."""
        if self.notice is not None and self.notice.is_set():
            self.electronic_step_stop = True
            return True
        if not self.wall_time:
            return False
        left = self.wall_time - (datetime.now() - self.start_time).total_seconds()
        try:
            text = (Path(directory) / "OUTCAR").read_bytes()
        except OSError:
            text = b""
        pattern = _ELECTRONIC_STEP if self.electronic_step_stop else _IONIC_STEP
        longest = max((float(time) for time in pattern.findall(text)), default=0.0)
        return left < max(STEPS_TO_SPARE * longest, self.buffer_time)

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Write STOPCAR once; VASP removes it when it stops."""
        if (Path(directory) / "STOPCAR").exists():
            return {"errors": ["Walltime reached"], "actions": None}
        return super().correct(directory)


def was_stopped(directory: Path) -> bool:
    """Whether OUTCAR says that the run was ended by STOPCAR."""
    try:
        text = (directory / "OUTCAR").read_bytes()
    except OSError:
        return False
    return any(words in text for words in _STOPPED)
