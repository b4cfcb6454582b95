"""Going on from where a killed run stopped: its cell, its wave functions and its cost become part of what was done before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.flows.attempt import RELAXATIONS, Calculation
from hibana.flows.context import RunContext
from hibana.flows.messages import Past
from hibana.store.owner import machine_id

LOG = logging.getLogger(__name__)


def under_way(context: RunContext, calculation: Calculation, directory: Path, mark: str) -> dict[str, Any]:
    """What is noted of a run before it starts, for whoever has to take it up.

    Parameters
    ----------
    context
        Where it runs.
    calculation
        The question, with what was done before.
    directory
        Folder of the run.
    mark
        Mark of its processes.
    """
    return {
        "directory": str(directory),
        "machine": machine_id(),
        "mark": mark,
        "cores": context.cores_in_use,
        "begun": datetime.now(UTC).isoformat(),
        "past": calculation.past.plain(),
    }


def taken_up(calculation: Calculation, left: Mapping[str, Any] | None) -> Calculation:
    """The calculation with what a run that came to no end did of it, as far as that is sound and within reach.

    Parameters
    ----------
    calculation
        The question.
    left
        What that run had noted (:func:`under_way`), with its ``seconds``; None where there was none.
    """
    if left is None:
        return calculation
    from hibana.vasp.remains import has_whole_wave_functions

    try:
        before = Past.model_validate(left["past"])
        hours = float(left["cores"]) * float(left["seconds"]) / 3600
        directory, begun = Path(left["directory"]), str(left["begun"])
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        LOG.warning("what the run before noted is not understood: %s", error)
        return calculation
    if before.parts < calculation.past.parts:
        return calculation
    cell = _cell(calculation, before, directory) if calculation.task in RELAXATIONS else None
    past = before.model_copy(
        update={
            "parts": before.parts + 1,
            "crystal": cell or before.crystal,
            "directory": str(directory) if has_whole_wave_functions(directory) else before.directory,
            "started": before.started or begun,
            "core_hours": before.core_hours + hours,
        }
    )
    what = "its last cell" if cell is not None else "the beginning"
    LOG.info("a run in %s came to no end after %.3g core-hours; going on from %s", directory, hours, what)
    return replace(calculation, past=past)


def _cell(calculation: Calculation, before: Past, directory: Path) -> Crystal | None:
    from hibana.vasp.remains import last_cell

    try:
        return last_cell(directory, before.crystal or calculation.crystal)
    except (HibanaError, OSError, ValueError) as error:
        LOG.info("the cell in %s is not used: %s", directory, error)
        return None
