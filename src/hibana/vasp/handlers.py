"""Handlers that custodian does not have in the form the protocols need, and those of its own that read less for the same answer.

The latter have custodian's names: under these they stand in corrections and in the table of failures.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from custodian.vasp import handlers, validators
from pymatgen.io.vasp.outputs import Oszicar, Vasprun

from hibana.vasp.convergence import asked_for_one_step
from hibana.vasp.inputs_read import read_incar

WALLTIME_START = "CUSTODIAN_WALLTIME_START"
"""Environment variable by which custodian's handlers of one allocation share their start."""

MESH_SYMMETRY = "Reciprocal lattice and k-lattice belong to different class of lattices."
"""What VASP prints where k-points and lattice do not have one symmetry."""

DEFAULT_NELM = 60
"""VASP's own limit of electronic steps."""

STEPS_TO_SPARE = 3
"""The run is stopped while this many steps, as long as the longest so far, still fit."""

_IONIC_STEP = re.compile(rb"LOOP\+:.*?real time\s*([\d.]+)")
_ELECTRONIC_STEP = re.compile(rb"LOOP:.*?real time\s*([\d.]+)")
_STOPPED = (b"soft stop encountered", b"hard stop encountered")


class ElectronicUnconvergedErrorHandler(handlers.UnconvergedErrorHandler):
    """custodian's handler for runs that reached NELM, without its ionic part.

    The ionic part answers NSW with IBRION = 1; a relaxation that is not finished is continued in another run instead. A run
    that was asked for one non-self-consistent step, or that was stopped before the walltime, is none of its business.
    """

    def check(self, directory: str = "./") -> bool:
        """Whether the last ionic step of a finished run reached NELM."""
        try:
            ending = ending_of(Path(directory) / self.output_filename)
        except Exception:  # pymatgen raises anything on a damaged file; the validator of every run refuses those
            return False
        return not ending.electronic and not ending.one_step and not was_stopped(Path(directory))


class MeshSymmetryErrorHandler(handlers.MeshSymmetryErrorHandler):
    """custodian's handler, which looks for VASP's words first and at inputs and results only where they stand."""

    def check(self, directory: str = "./") -> bool:
        """Whether VASP found the k-points of another symmetry, and did not converge."""
        said = Path(directory) / self.output_filename
        if said.is_file() and MESH_SYMMETRY not in said.read_text(errors="replace"):
            return False
        return bool(super().check(directory))


class NonConvergingErrorHandler(handlers.NonConvergingErrorHandler):
    """custodian's handler, which does not read the potentials for the value of NELM."""

    def check(self, directory: str = "./") -> bool:
        """Whether so many finished ionic steps in a row reached NELM."""
        limit = read_incar(Path(directory)).get("NELM", DEFAULT_NELM)
        try:
            steps = Oszicar(Path(directory) / self.output_filename).electronic_steps
        except Exception:  # pymatgen raises anything on a damaged file
            return False
        finished = steps[-(self.nionic_steps + 1) : -1]
        return len(finished) == self.nionic_steps and all(len(step) == limit for step in finished)


class VasprunXMLValidator(validators.VasprunXMLValidator):
    """custodian's validator, which does not read a vasprun.xml again that a handler has read as a whole."""

    def check(self, directory: str = "./") -> bool:
        """Whether the file is missing or damaged."""
        try:
            ending_of(Path(directory) / "vasprun.xml")
        except Exception:  # custodian's validator says what is wrong
            return bool(super().check(directory))
        return False


@dataclass(frozen=True)
class Ending:
    """How a run ended that wrote a whole vasprun.xml.

    Parameters
    ----------
    electronic
        Whether the last ionic step came to its end before NELM.
    one_step
        Whether the run was asked for one non-self-consistent step.
    """

    electronic: bool
    one_step: bool


def ending_of(path: Path) -> Ending:
    """What a vasprun.xml says; read by pymatgen once as long as the file stays as it is.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    Exception
        What pymatgen or the system raise if the file is missing or damaged.
    """
    stat = path.stat()
    return _read_ending(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1)
def _read_ending(path: Path, _file: int, _modified: int, _size: int) -> Ending:
    vasprun = Vasprun(path, parse_potcar_file=False)  # nothing is asked of the potentials, and reading them takes long
    return Ending(bool(vasprun.converged_electronic), asked_for_one_step(vasprun.incar))


class RunWalltimeHandler(handlers.WalltimeHandler):
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
