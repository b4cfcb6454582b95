"""One VASP run as custodian's job: under a guard, and only with corrections the policy admits."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from custodian.custodian import CustodianError
from custodian.vasp.jobs import VaspJob

from hibana.vasp import guard
from hibana.vasp.errors import COMMAND_NOT_FOUND, NO_COMMAND
from hibana.vasp.processes import MARK

OUTPUT, ERRORS = "vasp.out", "std_err.txt"
"""What VASP prints."""

RESULTS = ("vasprun.xml", "OUTCAR")
"""Files that say what a run gave; those of an earlier stage or attempt must not be taken for the answer of one that died."""

KEPT_OF_A_STAGE = ("INCAR", "OSZICAR", "OUTCAR", "vasprun.xml", OUTPUT, ERRORS)
"""Files of an earlier stage that are kept under its name beside those of the next."""


class RefusedCorrectionError(CustodianError):
    """The policy does not admit a correction; the run is not repeated with it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message, raises=True)
        self.key = key


class GuardedVaspJob(VaspJob):
    """custodian's VASP job, started under :mod:`hibana.vasp.guard`.

    ``admit``, if set, is called before each start; it raises :class:`RefusedCorrectionError` where the inputs were corrected in a
    way that is not admitted. ``mark`` tells the processes of its run from all others (:mod:`hibana.vasp.processes`).
    """

    admit: Callable[[], None] | None = None
    mark: str = ""

    def run(self, directory: str = "./") -> subprocess.Popen[bytes]:
        """Start VASP without results of an earlier start; the process is the guard's and has VASP's exit status."""
        if self.admit is not None:
            self.admit()
        command = [sys.executable, "-I", "-S", guard.__file__, str(guard.GRACE), *self.vasp_cmd]
        folder = Path(directory)
        for name in RESULTS:
            (folder / name).unlink(missing_ok=True)
        with (folder / self.output_file).open("w") as output, (folder / self.stderr_file).open("w", buffering=1) as errors:
            self._vasp_process = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, MARK: self.mark},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        return self._vasp_process

    def postprocess(self, directory: str = "./") -> None:
        """Keep the files of a stage that another one follows."""
        self.release()
        if not self.final:
            for name in KEPT_OF_A_STAGE:
                path = Path(directory) / name
                if path.is_file():
                    shutil.copyfile(path, path.with_name(f"{name}{self.suffix}"))

    def release(self) -> None:
        """Close the pipe to the guard, which ends VASP if it still runs."""
        process = getattr(self, "_vasp_process", None)
        if process is not None and process.stdin is not None:
            process.stdin.close()

    @property
    def exit_status(self) -> int | None:
        """VASP's exit status (128 and more: ended by a signal); None where it was not started or still runs."""
        process = getattr(self, "_vasp_process", None)
        status = None if process is None else process.poll()
        return 128 - status if status is not None and status < 0 else status

    def end(self) -> None:
        """End VASP, if it runs, and wait until it has ended."""
        process = getattr(self, "_vasp_process", None)
        if process is not None and process.poll() is None:
            self.terminate()
        self.release()


def make_job(command: list[str], *, suffix: str, final: bool, first: bool, changes: list[dict[str, Any]]) -> GuardedVaspJob:
    """The job of one stage.

    Parameters
    ----------
    command
        Executable and arguments.
    suffix
        Ending of the files kept of an earlier stage.
    final, first
        Whether it is the last or the first stage.
    changes
        custodian's actions on the inputs before it.
    """
    return GuardedVaspJob(
        command,
        output_file=OUTPUT,
        stderr_file=ERRORS,
        suffix=suffix,
        final=final,
        backup=first,
        auto_npar=False,
        auto_gamma=False,
        settings_override=changes or None,
        terminate_timeout=guard.GRACE + 5,
    )


def split_command(vasp_cmd: str | None) -> list[str]:
    """Words of the worker's ``vasp_cmd``, with the executable's full path.

    Raises
    ------
    HibanaError
        HIB-054 if it is empty or cannot be split, HIB-055 if its first word is no executable.
    """
    try:
        words = shlex.split(vasp_cmd or "")
    except ValueError as error:
        raise NO_COMMAND.error(f"vasp_cmd {vasp_cmd!r} cannot be split: {error}") from error
    if not words:
        raise NO_COMMAND.error("vasp_cmd is empty")
    executable = shutil.which(words[0])
    if executable is None:
        raise COMMAND_NOT_FOUND.error(f"{words[0]!r}, first word of vasp_cmd {vasp_cmd!r}")
    return [str(Path(executable).absolute()), *words[1:]]
