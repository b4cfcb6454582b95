"""Going on from where a killed run stopped: its cell, its wave functions and its cost become part of what was done before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hibana.flows.attempt import Calculation
from hibana.flows.context import RunContext
from hibana.flows.messages import Past
from hibana.flows.parts import last_cell_of
from hibana.store.claims import Claim
from hibana.store.owner import machine_id
from hibana.vasp.processes import new_mark

LOG = logging.getLogger(__name__)


class Notes:
    """What is noted of a run, with its claim, for whoever has to take it up.

    Parameters
    ----------
    context
        Where it runs.
    calculation
        The question, with what was done before.
    claim
        The claim it runs under.
    """

    def __init__(self, context: RunContext, calculation: Calculation, claim: Claim) -> None:
        self._context = context
        self._claim = claim
        self._part = under_way(context, calculation)

    def begun(self, directory: Path) -> str:
        """Note that the code is about to start in a folder, should this process be killed; the mark of its processes."""
        self._part |= {"directory": str(directory), "mark": (mark := new_mark())}
        self._context.store.note(self._claim, self._part)
        return mark

    def died(self, past: Past, seconds: float) -> None:
        """Note that the code has died.

        Parameters
        ----------
        past
            What was done before, with the corrections of this run and whether it was idle.
        seconds
            How long it ran.
        """
        self._context.store.note(self._claim, {**self._part, "past": past.plain(), "seconds": seconds})


def under_way(context: RunContext, calculation: Calculation) -> dict[str, Any]:
    """What is noted of a run before it starts, besides the folder and the mark of its processes.

    Parameters
    ----------
    context
        Where it runs.
    calculation
        The question, with what was done before.
    """
    return {
        "machine": machine_id(),
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
        What that run had noted (:class:`Notes`), with its ``seconds``; None where there was none.
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
    cell = last_cell_of(calculation, before, directory)
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
