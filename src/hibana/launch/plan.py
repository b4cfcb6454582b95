"""What a rehearsal was asked for: read and checked whole before a store or a worker is started."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hibana.core.errors import ErrorKind, HibanaError
from hibana.launch.errors import BAD_REHEARSAL, IMPOSSIBLE_REHEARSAL, NO_STAND_IN
from hibana.structures.errors import EMPTY_FOLDER, NOT_FOUND, UNREADABLE
from hibana.structures.reading import structure_files, structure_format

CALCULATOR = "synthetic"
CAMPAIGN = "CampaignTask"

_PRINTED = re.compile(
    r"HIB-(?P<number>\d{3}) (?P<title>[^:]+): (?P<what>.*?)(?:\n  where: (?P<where>.*?))?\n  mend: +(?P<fix>.*)", re.DOTALL
)
"""An error of the stand-in as it prints it."""


@dataclass(frozen=True)
class Campaign:
    """What a workflow file asks for: structures as it names them, flow, protocol, branches and table of energies."""

    structures: tuple[str, ...]
    flow: str
    protocol: str
    branches: tuple[str, ...] | None = None
    energies: str | None = None


@dataclass(frozen=True)
class Plan:
    """A rehearsal that can be started.

    Parameters
    ----------
    campaign
        What the workflow file asks for.
    structures
        Structure files and folders, or a number of crystals to make up.
    energies
        Table of energies, if the campaign names one.
    """

    campaign: Campaign
    structures: tuple[Path, ...] | int
    energies: Path | None


def read_campaign(path: Path) -> Campaign:
    """The campaign of a workflow file.

    Raises
    ------
    HibanaError
        HIB-127 if it holds none, HIB-112 if a field of it cannot be used.
    """
    from hibana.launch.campaign import check_fields

    tasks = [task for firework in _fireworks(path) for task in _tasks(firework) if CAMPAIGN in str(task.get("_fw_name"))]
    if len(tasks) != 1:
        raise BAD_REHEARSAL.error(f"it holds {len(tasks) or 'no'} {CAMPAIGN}{'s' if tasks else ''}", where=path)
    (task,) = tasks
    try:
        structures = check_fields(task)
    except HibanaError as error:
        raise error.kind.error(error.what, where=path, fix=error.fix) from error
    branches = task.get("branches")
    return Campaign(
        tuple(structures), task["flow"], task["protocol"], tuple(branches) if branches else None, task.get("energies")
    )


def make_plan(
    workflow: Path,
    structures: int | Sequence[Path] | None,
    *,
    seed: int | None,
    rates: Path | None,
    recordings: Path | None,
) -> Plan:
    """Check all that a rehearsal is asked for; nothing is written or started.

    Parameters
    ----------
    workflow, structures, seed, rates, recordings
        As of :func:`hibana.launch.rehearse.rehearse`.

    Raises
    ------
    HibanaError
        HIB-127 or HIB-112 for the workflow file, HIB-119 for what cannot be rehearsed, HIB-128 without the stand-in, HIB-200
        for the table of rates, HIB-014, HIB-016 or HIB-111 for files that are not there, and those of
        :func:`hibana.launch.submit.check_question`.
    """
    from hibana.launch.campaign import find_structures, find_table
    from hibana.launch.submit import check_question

    campaign = read_campaign(workflow)
    if isinstance(structures, int) and structures < 1:
        raise IMPOSSIBLE_REHEARSAL.error(f"{structures} structures", fix="Ask for one made-up crystal or more, or name files.")
    if rates is not None and seed is None:
        raise IMPOSSIBLE_REHEARSAL.error(
            "a table of rates without a seed: nothing goes wrong then", where=rates, fix="Give --chaos SEED with --rates."
        )
    if recordings is not None and not recordings.is_dir():
        raise NOT_FOUND.error("there is no such folder of recorded answers", where=recordings)
    bases = [workflow.resolve().parent, *workflow.resolve().parents, Path.cwd()]
    energies = None if campaign.energies is None else find_table(campaign.energies, "energies", bases)
    chosen: tuple[Path, ...] | int
    if structures is None:
        chosen = tuple(find_structures(path, bases) for path in campaign.structures)
    else:
        chosen = structures if isinstance(structures, int) else tuple(structures)
    for path in chosen if isinstance(chosen, tuple) else ():
        _check_structures(path)
    branches = None if campaign.branches is None else list(campaign.branches)
    check_question(campaign.flow, campaign.protocol, CALCULATOR, branches=branches, energies=energies)
    _check_stand_in(seed, rates)
    return Plan(campaign, chosen, energies)


def stand_in() -> list[str]:
    """Command of the stand-in: ``hibana-vasp`` beside this Python.

    Raises
    ------
    HibanaError
        HIB-128 if it is not there.
    """
    path = Path(sys.executable).with_name("hibana-vasp")
    if not path.is_file():
        raise NO_STAND_IN.error("there is no hibana-vasp", where=path)
    return [str(path)]


def chaos_options(seed: int | None, rates: Path | None) -> list[str]:
    """Options of the stand-in that say what goes wrong."""
    words = ["--mode", "chaos", "--seed", str(seed or 0)]
    return [*words, "--chaos", str(rates.resolve())] if rates else words


def _fireworks(path: Path) -> list[Any]:
    from hibana.store.launchpad_file import read_yaml

    fireworks = read_yaml(path, BAD_REHEARSAL).get("fws")
    if not isinstance(fireworks, list):
        raise BAD_REHEARSAL.error("it holds no list `fws` of fireworks", where=path)
    return fireworks


def _tasks(firework: Any) -> list[dict[str, Any]]:
    spec = firework.get("spec") if isinstance(firework, dict) else None
    tasks = spec.get("_tasks") if isinstance(spec, dict) else None
    return [task for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []


def _check_structures(path: Path) -> None:
    """Whether there is something to read; what it holds is seen when it is read."""
    if not path.exists():
        raise NOT_FOUND.error(f"{path} does not exist", where=path)
    if path.is_dir():
        if not structure_files(path):
            raise EMPTY_FOLDER.error("it holds none", where=path)
    elif structure_format(path) is None:
        raise UNREADABLE.error(f"the name {path.name!r} is of no known kind of structure file", where=path)


def _check_stand_in(seed: int | None, rates: Path | None) -> None:
    """Let the stand-in look at its options, the table of rates above all."""
    command = [*stand_in(), *chaos_options(seed, rates), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    printed = _PRINTED.fullmatch(said)
    if printed is None:
        raise NO_STAND_IN.error(said[-500:] or f"exit status {done.returncode}", where=shlex.join(command))
    kind = ErrorKind(int(printed["number"]), printed["title"], printed["fix"])
    raise kind.error(printed["what"], where=printed["where"] or "")
