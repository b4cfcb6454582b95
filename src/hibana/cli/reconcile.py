"""``hibana reconcile``: compare the database with the queue, heartbeats and processes, and mend what differs."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, errors, output, print_json

if TYPE_CHECKING:
    from hibana.launch.reconcile import Reconciliation


def reconcile(
    once: Annotated[bool, typer.Option("--once", help="Look once (the default without --every).")] = False,
    every: Annotated[
        float | None, typer.Option("--every", min=1, help="Look again and again, with so many seconds between; 30 is good.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be mended and change nothing.")] = False,
    fworker: Annotated[
        Path | None, typer.Option("--fworker", "-w", help="FireWorks worker file of this site; default: my_fworker.yaml here.")
    ] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find and mend what killed jobs, cancelled jobs and dead launchers left behind.

    Run it where the queue's commands are (a login node), beside qlaunch: hibana reconcile --every 30. Several at once do no harm.

    Example: hibana reconcile --dry-run
    """
    from pymongo.errors import ConnectionFailure

    from hibana.launch.launcher import read_fworker
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.reconcile import reconcile as look
    from hibana.launch.schedulers import scheduler_here, scheduler_on_path

    if once and every is not None:
        raise typer.BadParameter("choose one of them", param_hint="--once / --every")
    pad = HibanaLaunchPad.connect(launchpad)
    here = Path("my_fworker.yaml")
    file = fworker or (here if here.is_file() else None)
    worker = None if file is None else read_fworker(str(file)).name
    queue = scheduler_here() or scheduler_on_path()
    if every is None:
        _tell(look(pad, queue, worker=worker, dry_run=dry_run), as_json, again=False)
        return
    with suppress(KeyboardInterrupt):
        while True:
            try:
                _tell(look(pad, queue, worker=worker, dry_run=dry_run), as_json, again=True)
            except ConnectionFailure as error:
                errors().print(f"{_now()} the database does not answer: {type(error).__name__}", markup=False)
            time.sleep(every)


def _tell(found: Reconciliation, as_json: bool, *, again: bool) -> None:
    """Print what was mended; of many looks each thing a line."""
    if as_json and again:
        sys.stdout.write(json.dumps({"at": _now(), **found.as_dict()}, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    if as_json:
        print_json(found.as_dict())
        return
    console, stamp = output(), f"{_now()} " if again else ""
    for mending in found.mendings:
        name = f" {mending.name}" if mending.name else ""
        console.print(f"{stamp}{mending.case}: {mending.what}{name}: {mending.reason}", markup=False)
    if found.ghosts:
        console.print(f"{stamp}{found.ghosts} processes of runs that nobody watched were ended", markup=False)
    if not found.answered:
        errors().print(f"{stamp}{found.queue} did not answer; nothing was judged by the queue", markup=False)
    if not again:
        count = len(found.mendings)
        what = "would be mended" if found.dry_run else "mended"
        console.print(f"{count} {what}" if count else "nothing to mend", markup=False)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
