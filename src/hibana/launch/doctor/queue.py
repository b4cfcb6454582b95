"""The queue adapter: are the queue's commands here, does the queue answer, does the template honour what the file says."""

from __future__ import annotations

import difflib
import getpass
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from hibana.core.errors import HibanaError
from hibana.launch.doctor.check import Check, failed, ok, skipped
from hibana.launch.doctor.check import warning as warn
from hibana.launch.doctor.settings import package_folder
from hibana.launch.errors import BAD_QUEUE
from hibana.launch.schedulers import answer, seconds
from hibana.launch.sites import PJM_TEMPLATE
from hibana.store.launchpad_file import read_yaml

NAME = "queue"

COMMANDS = {
    "SLURM": ("sbatch", "squeue", "scancel"),
    "PBS": ("qsub", "qstat", "qdel"),
    "SGE": ("qsub", "qstat", "qdel"),
    "PJM": ("pjsub", "pjstat", "pjdel"),
}
"""Commands by kind of queue: submit, status, cancel."""

ASKING = {"SLURM": ["squeue", "-h"], "PBS": ["qstat", "-Q"], "SGE": ["qstat"], "PJM": ["pjstat"]}

OF_FIREWORKS = ("job_name", "launch_dir", "rocket_launch", "pre_rocket", "post_rocket", "logdir")
LONGEST_NAME = {"PBS": 8, "SGE": 12}
"""Letters of a user name that qstat shows; of longer names qlaunch -m counts no jobs."""

_PLACE = re.compile(r"\$\$\{([\w-]+)\}")


def check_queue(path: Path | None) -> list[Check]:
    """Look at the queue adapter's file and at the queue."""
    if path is None:
        return [skipped(NAME, "no my_qadapter.yaml: runs are started with `hibana run` or rlaunch")]
    try:
        content = read_yaml(path)
    except HibanaError as error:
        return [failed(NAME, BAD_QUEUE.error(error.what, where=path))]
    kind = queue_kind(content)
    if kind not in COMMANDS:
        return [skipped(NAME, f"{kind or content.get('_fw_name')}: a kind of queue that is not looked at")]
    checks = [failed(NAME, error) for error in _breaking(kind, content, path)]
    checks += [warn(NAME, error) for error in _misleading(kind, content, path)]
    if not any(check.state == "failed" for check in checks):
        checks.append(_asked(kind))
    return checks


def queue_kind(content: Mapping[str, Any]) -> str | None:
    """SLURM, PBS, SGE, PJM or another kind that the adapter's file names."""
    return "PJM" if "PJMAdapter" in str(content.get("_fw_name")) else content.get("_fw_q_type")


def processes(content: Mapping[str, Any]) -> int | None:
    """MPI processes of a job, from nodes and ntasks_per_node; None where the file does not say them."""
    try:
        return int(content["nodes"]) * int(content["ntasks_per_node"])
    except (KeyError, TypeError, ValueError):
        return None


def _breaking(kind: str, content: Mapping[str, Any], path: Path) -> Iterator[HibanaError]:
    submit = (content.get("_q_commands_override") or {}).get("submit_cmd", COMMANDS[kind][0])
    for command in dict.fromkeys((submit, *COMMANDS[kind])):
        if shutil.which(command) is None:
            what = f"{command} is not on PATH, or not executable"
            yield BAD_QUEUE.error(what, where=path, fix="Load the queue's module, or start this on the login node.")
    template = content.get("_fw_template_file")
    if template and not Path(template).is_file():
        yield BAD_QUEUE.error(f"the template {template} does not exist", where=path)
    if not content.get("rocket_launch"):
        yield BAD_QUEUE.error("rocket_launch is missing: a job would do nothing", where=path)
    for option, file in _named_files(str(content.get("rocket_launch", ""))):
        if not file.is_file():
            yield BAD_QUEUE.error(f"{option} of rocket_launch names {file}, which does not exist", where=path)


def _misleading(kind: str, content: Mapping[str, Any], path: Path) -> Iterator[HibanaError]:
    known = template_keys(kind, content)
    for key, value in content.items():
        if known and value is not None and not key.startswith("_") and key not in {*known, *OF_FIREWORKS}:
            close = difflib.get_close_matches(key, known, 1)
            fix = f"Write {close[0]}." if close else f"The template knows {', '.join(sorted(known - set(OF_FIREWORKS)))}."
            yield BAD_QUEUE.error(f"{key} has no effect: the template does not know it", where=path, fix=fix)
    for option, file in _named_files(str(content.get("rocket_launch", ""))):
        if not file.is_absolute():
            what = f"{option} of rocket_launch is relative, and a job starts in its own folder"
            yield BAD_QUEUE.error(what, where=path, fix="Write the absolute path.")
    if isinstance(content.get("walltime"), int | float):
        what = f"walltime {content['walltime']} is a number; queues count such in minutes or in seconds"
        yield BAD_QUEUE.error(what, where=path, fix="Write '24:00:00', in quotes.")
    if kind == "PBS" and not content.get("queue"):
        what = "queue is not given: qlaunch rapidfire -m counts no jobs and submits without an end"
        yield BAD_QUEUE.error(what, where=path, fix="Give the queue.")
    if len(getpass.getuser()) > LONGEST_NAME.get(kind, 99):
        what = f"qstat cuts user names after {LONGEST_NAME[kind]} letters: qlaunch rapidfire -m may count no jobs"
        yield BAD_QUEUE.error(what, where=path, fix="Limit qlaunch with --nlaunches instead of -m.")
    limit, timeout = seconds(str(content.get("walltime"))), _timeout(str(content.get("rocket_launch", "")))
    if limit is not None and timeout is not None and timeout >= limit:
        what = f"rocket_launch may run for {timeout:g} s, the job only for {limit:g} s: runs would be killed, not stopped"
        yield BAD_QUEUE.error(what, where=path, fix="Lower --timeout below the walltime.")


def template_keys(kind: str, content: Mapping[str, Any]) -> set[str]:
    """Keys that the script's template knows; empty if it cannot be read."""
    named = content.get("_fw_template_file")
    if named:
        template = Path(named)
    elif kind == "PJM":
        template = PJM_TEMPLATE
    else:
        (packages,) = package_folder()
        template = packages / "fireworks" / "user_objects" / "queue_adapters" / f"{kind}_template.txt"
    try:
        return set(_PLACE.findall(template.read_text()))
    except OSError:
        return set()


def _asked(kind: str) -> Check:
    said = answer(ASKING[kind])
    if said is None:
        what = f"{ASKING[kind][0]} does not answer"
        fix = f"Type `{shlex.join(ASKING[kind])}`: the queue may be down, or not configured here."
        return failed(NAME, BAD_QUEUE.error(what, fix=fix))
    return ok(NAME, f"{kind}: {', '.join(COMMANDS[kind])} are here, {ASKING[kind][0]} answers")


def _named_files(rocket_launch: str) -> Iterator[tuple[str, Path]]:
    words = _words(rocket_launch)
    for word, following in pairwise(words):
        if word in ("-l", "-w", "--launchpad", "--fworker", "--launchpad_file", "--fworker_file"):
            yield word, Path(following)


def _timeout(rocket_launch: str) -> float | None:
    words = _words(rocket_launch)
    values = [following for word, following in pairwise(words) if word in ("--timeout", "-t")]
    return float(values[-1]) if values and values[-1].replace(".", "", 1).isdecimal() else None


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
