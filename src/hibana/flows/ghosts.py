"""Ending what a run left behind on this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from hibana.store.owner import machine_id
from hibana.vasp.processes import end_processes

LOG = logging.getLogger(__name__)


def end_ghosts(left: Mapping[str, Any]) -> int:
    """End what still runs, on this machine, of a run that nobody watches any more; how many processes there were.

    Parameters
    ----------
    left
        What the run had noted (:func:`hibana.flows.leftover.under_way`).
    """
    if left.get("machine") != machine_id():
        return 0
    ghosts = end_processes(str(left.get("mark", "")))
    for ghost in ghosts:
        LOG.warning("ended %s (process %d), left by the run in %s", ghost.command, ghost.pid, left.get("directory"))
    return len(ghosts)
