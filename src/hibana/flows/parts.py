"""How the parts of a calculation add up that the walltime, or the death of the code, has ended, and when it is given up."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.documents.task import Failure, Machine, RunDoc
from hibana.flows.errors import CODE_DIED, DISK_FULL, NO_ANSWER
from hibana.flows.messages import Past

if TYPE_CHECKING:
    from hibana.flows.attempt import Calculation
    from hibana.vasp.run import RunReport

LOG = logging.getLogger(__name__)

MAX_IDLE_PARTS = 2
"""A calculation that the walltime ended this often after about the same time without an ionic step will not get anywhere."""

RELAXATION = "structure_opt"

RELAXATIONS = (RELAXATION, "defect")
"""Tasks whose parts add up: they go on from the last cell. The others begin again."""

SAME_CELL = 1e-6
"""Lattice vectors (Å) and fractional coordinates that differ less are the same."""

NOTHING_SAID = {"no_output": NO_ANSWER, "input": NO_ANSWER, "killed": CODE_DIED, "truncated": CODE_DIED, "disk": DISK_FULL}
"""Kinds of failure that say nothing of the material, and the errors they are: the code could not start, does not take the
inputs, was killed, died in the middle without a word, or had no room for its files."""


def past_after(run: RunDoc, calculation: Calculation, report: RunReport, machine: Machine) -> Past:
    """What was done of a calculation, with the part that has just ended.

    A part that got nowhere counts as idle if it was about as long as the longest before; a much longer one is the first of
    its kind, a much shorter one (the end of an allocation) tells nothing.

    Parameters
    ----------
    run
        What the part said.
    calculation
        The question, with what was done before.
    report
        What custodian says of the part.
    machine
        Where it ran, with the cost of all parts.
    """
    past, seconds = calculation.past, report.seconds
    got_somewhere = calculation.task in RELAXATIONS and run.n_ionic_steps > 0
    if got_somewhere:
        idle = 0
    elif seconds >= 2 * past.longest:
        idle = 1
    else:
        idle = past.idle_parts + (seconds >= past.longest / 2)
    return Past(
        parts=past.parts + 1,
        idle_parts=idle,
        longest=max(seconds, past.longest),
        crystal=run.final if got_somewhere else past.crystal,
        directory=machine.directory,
        started=machine.started.isoformat(),
        core_hours=machine.core_hours,
        corrections=(*past.corrections, *report.corrections),
    )


def past_of_dead(calculation: Calculation, report: RunReport) -> Past:
    """What is to be noted of a part that says nothing of the material, for the job that is run again.

    Its cell, its wave functions and its cost are added by :func:`hibana.flows.leftover.taken_up`. It is not counted against the
    calculation: nodes and queues kill codes that would have come to their end elsewhere.

    Parameters
    ----------
    calculation
        The question, with what was done before.
    report
        What custodian says of the part.
    """
    past = calculation.past
    return past.model_copy(update={"corrections": (*past.corrections, *report.corrections)})


def given_up(run: RunDoc, past: Past) -> RunDoc:
    """The run, failed if the walltime has ended it too often."""
    if run.status != "walltime" or past.idle_parts < MAX_IDLE_PARTS:
        return run
    message = f"the walltime ended {past.idle_parts} parts of about {past.longest:.0f} s before they got anywhere"
    return run.model_copy(update={"status": "failed", "failure": Failure(kind="walltime", message=message)})


def has_moved_before(run: RunDoc, calculation: Calculation) -> bool:
    """Whether a relaxation began in another cell than that of the question, whatever the order of the atoms.

    A part that a killed run, the walltime or a correction left near the end has nothing to do any more at its first step; that
    does not settle the round, which has moved.
    """
    return calculation.task == RELAXATION and not _is_same_cell(run.initial, calculation.crystal)


def last_cell_of(calculation: Calculation, before: Past, directory: Path) -> Crystal | None:
    """The cell to which a part of a relaxation that was killed, or died, had come; None where there is none to go on from.

    Parameters
    ----------
    calculation
        The question.
    before
        What was done before the part.
    directory
        Folder of the part.
    """
    from hibana.vasp.remains import last_cell

    if calculation.task not in RELAXATIONS:
        return None
    try:
        return last_cell(directory, before.crystal or calculation.crystal)
    except (HibanaError, OSError, ValueError) as error:
        LOG.info("the cell in %s is not used: %s", directory, error)
        return None


def _is_same_cell(one: Crystal, other: Crystal) -> bool:
    """Whether two cells have the same lattice vectors, and atoms of the same elements in the same places."""
    if sorted(one.species) != sorted(other.species) or not np.allclose(one.lattice, other.lattice, rtol=0, atol=SAME_CELL):
        return False
    ways = np.array(one.frac_coords)[:, None] - np.array(other.frac_coords)
    is_near = np.all(np.abs(ways - np.round(ways)) <= SAME_CELL, axis=2)
    is_partner = is_near & (np.array(one.species)[:, None] == np.array(other.species))
    return bool(is_partner.any(axis=0).all() and is_partner.any(axis=1).all())
