"""The worker file and the code: does ``vasp_cmd`` start something here, and is it the code the potentials are for."""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hibana.core.errors import HibanaError
from hibana.core.settings import Settings
from hibana.documents.spec import CalculatorName
from hibana.launch.doctor.check import Check, failed, ok, skipped, warning
from hibana.launch.doctor.potcars import WHOSE
from hibana.launch.errors import BAD_WORKER, NO_CODE
from hibana.launch.worker_file import doubtful, is_positive, read_worker_file, wrong_numbers

WORKER, CODE, LIMITS = "worker file", "code", "limits"

REHEARSAL_WORDS = ("hibana-vasp", "hibana.rehearsal")
NAMES: dict[CalculatorName, str] = {
    "vasp": "VASP",
    "gpaw-rehearsal": "the rehearsal engine",
    "synthetic": "the stand-in with synthetic answers",
}
"""What commands are called that start a code."""

STARTERS = ("srun", "mpirun", "mpiexec", "mpiexec.hydra", "mpiexec.mpd", "aprun", "jsrun", "ibrun", "env", "numactl", "time")
"""Programs that start others."""

_MODE_OPTION, _MODE_VARIABLE = re.compile(r"--mode[ =](\w+)"), re.compile(r"HIBANA_VASP_MODE=(\w+)")
"""How the mode of the stand-in is given."""

SHELLS = ("bash", "sh")
VERSION_SECONDS = 60.0


def check_worker_file(path: Path | None) -> tuple[list[Check], dict[str, Any]]:
    """Look at the worker file.

    Returns
    -------
    checks, env
        What was found, and the worker's env.
    """
    if path is None:
        what = "there is none: the worker has no vasp_cmd of its own"
        return [warning(WORKER, BAD_WORKER.error(what, where="my_fworker.yaml", fix="`hibana init` writes one."))], {}
    try:
        content = read_worker_file(path)
    except HibanaError as error:
        return [failed(WORKER, error)], {}
    env = content.get("env") or {}
    checks = [warning(WORKER, BAD_WORKER.error(what, where=path)) for what in doubtful(env)]
    checks += [failed(WORKER, BAD_WORKER.error(what, where=path)) for what in wrong_numbers(env)]
    return checks or [ok(WORKER, f"{content['name']}: {path}")], env


def check_code(env: Mapping[str, Any], library: str | None, *, has_queue: bool, in_job: bool) -> list[Check]:
    """Look at ``vasp_cmd``.

    Parameters
    ----------
    env
        Env of the worker.
    library
        The code that the potentials are for; None if that is not known.
    has_queue, in_job
        Whether there is a queue, and whether this is one of its jobs. On a login node a program that is missing may well be
        there in a job, whose script loads modules.
    """
    command = env.get("vasp_cmd") or Settings.from_environment().vasp_cmd
    if not command:
        return [failed(CODE, NO_CODE.error("neither env.vasp_cmd nor HIBANA_VASP_CMD names it"))]
    try:
        words = shlex.split(str(command))
    except ValueError as error:
        return [failed(CODE, NO_CODE.error(f"{command!r} cannot be split: {error}"))]
    kind = code_of(words)
    if library not in (None, kind) and kind != "synthetic":  # synthetic answers ask nothing of a potential
        what = f"{command!r} is {NAMES[kind]}, but the potentials are {WHOSE[str(library)]}"
        fix = "Let PMG_VASP_PSP_DIR name the library of this code."
        if kind == "vasp" and "vasp" not in Path(program_of(words)).name.lower():  # a script, of whatever
            what = f"{command!r} does not say which code it starts, and the potentials are {WHOSE[str(library)]}"
            return [warning(CODE, NO_CODE.error(what, fix=f"Right if it starts that code. {fix}"))]
        if kind == "vasp":
            what += ", and VASP cannot calculate with them"
        return [failed(CODE, NO_CODE.error(what, fix=fix))]
    missing = [word for word in dict.fromkeys((words[0], program_of(words))) if shutil.which(word) is None]
    if missing:
        what = f"{' and '.join(missing)} of {command!r} {'is' if len(missing) == 1 else 'are'} not on PATH"
        if has_queue and not in_job:
            fix = "On a login node this may be so; `hibana doctor --record` in a job tells."
            return [warning(CODE, NO_CODE.error(what, fix=fix))]
        return [failed(CODE, NO_CODE.error(what))]
    return [ok(CODE, f"{command}: {shutil.which(program_of(words))}") if kind == "vasp" else _answer(words, kind)]


def check_limits(env: Mapping[str, Any], *, calculator: str | None) -> list[Check]:
    """Look at the stack and the threads of this shell, for VASP."""
    if calculator != "vasp":
        return [skipped(LIMITS, "they matter for VASP only")]
    checks = []
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    if stack != resource.RLIM_INFINITY:
        what = f"the stack is limited to {stack // 1024} kB, where VASP ends with a segmentation fault for larger cells"
        checks.append(warning(LIMITS, NO_CODE.error(what, fix="Put `ulimit -s unlimited` in pre_rocket.")))
    if not os.environ.get("OMP_NUM_THREADS"):
        what = "OMP_NUM_THREADS is not set: every MPI process may start as many threads as there are cores"
        checks.append(warning(LIMITS, NO_CODE.error(what, fix="Put `export OMP_NUM_THREADS=1` in pre_rocket.")))
    cores, here = env.get("cores"), len(os.sched_getaffinity(0))
    if is_positive(cores) and "srun" not in str(env.get("vasp_cmd")) and float(str(cores)) > here:
        what = f"env.cores is {cores}, but {here} cores may be used here"
        checks.append(warning(LIMITS, NO_CODE.error(what, fix="Right for several nodes; else lower it, and -np of vasp_cmd.")))
    return checks or [ok(LIMITS, "stack unlimited, OMP_NUM_THREADS set")]


def code_of(words: Sequence[str]) -> CalculatorName:
    """The code that a command starts; of the stand-in for VASP its mode decides, by option or by ``HIBANA_VASP_MODE``."""
    if not any(name in word for word in words for name in REHEARSAL_WORDS):
        return "vasp"
    text = shlex.join(words)
    named = _MODE_OPTION.findall(text) or _MODE_VARIABLE.findall(text) or [os.environ.get("HIBANA_VASP_MODE", "gpaw")]
    return "gpaw-rehearsal" if named[-1] == "gpaw" else "synthetic"


def program_of(words: list[str]) -> str:
    """The program that a command starts in the end: VASP behind srun, mpirun or a shell."""
    if Path(words[0]).name in SHELLS and "-c" in words[:-1]:
        inner = shlex.split(words[words.index("-c") + 1])
        return program_of([word for word in inner if word != "exec"] or words)
    if Path(words[0]).name == "env":
        return program_of([word for word in words[1:] if "=" not in word and not word.startswith("-")] or words[-1:])
    if Path(words[0]).name not in STARTERS:
        return words[0]
    named = [word for word in words[1:] if "vasp" in Path(word).name.lower() and not word.startswith("-")]
    return named[-1] if named else words[-1]


def _answer(words: list[str], kind: CalculatorName) -> Check:
    """Ask the stand-in for its version."""
    try:
        done = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return failed(CODE, NO_CODE.error(f"{shlex.join(words)} --version: {error}"))
    if done.returncode != 0:
        return failed(CODE, NO_CODE.error(f"{shlex.join(words)} --version: {(done.stderr or done.stdout).strip()[-300:]}"))
    return ok(CODE, done.stdout.strip() if kind == "gpaw-rehearsal" else f"{shlex.join(words)}: {NAMES[kind]}")
