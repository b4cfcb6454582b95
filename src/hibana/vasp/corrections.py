"""custodian's log as documents: what was wrong, what was changed, and what the policy makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pymatgen.core import Structure

from hibana.documents.task import Correction
from hibana.vasp.policy import HandlerPolicy

Entry = Mapping[str, Any]
"""One correction in custodian's log: ``errors``, ``actions`` and ``handler``."""

WALLTIME_KEY = "Walltime reached"
"""Error key of the walltime handler, which corrects nothing."""


def is_correction(entry: Entry) -> bool:
    """Whether a log entry is about an error; the walltime is none, nor is a handler that failed."""
    return not entry.get("skipped") and WALLTIME_KEY not in entry.get("errors", ())


def walltime_reached(entries: Iterable[Entry]) -> bool:
    """Whether the walltime handler has asked the run to stop."""
    return any(WALLTIME_KEY in entry.get("errors", ()) for entry in entries)


def correction_of(entry: Entry, policy: HandlerPolicy, task: str, functional: str, incar: Mapping[str, Any]) -> Correction:
    """Document of one log entry.

    Parameters
    ----------
    entry
        custodian's log of one correction.
    policy, task, functional
        What the verdict follows from.
    incar
        INCAR before the correction.
    """
    actions = entry.get("actions") or ()
    return Correction(
        handler=type(entry["handler"]).__name__,
        errors=tuple(str(error) for error in entry.get("errors", ())),
        actions=tuple(_plain(action) for action in actions),
        verdict=policy.judge(actions, task, functional, incar),
    )


def _plain(value: Any) -> Any:
    """An action as plain data; a structure becomes its formula."""
    if isinstance(value, Mapping):
        if value.get("@class") == "Structure":
            return Structure.from_dict(dict(value)).formula
        return {str(key): _plain(item) for key, item in value.items() if not str(key).startswith("@")}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
