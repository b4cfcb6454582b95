"""``hibana doctor``: is everything ready for runs, and how to mend what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, errors, output, print_json

FOUND_TROUBLE = 1
"""Exit code if a check failed."""

STYLES = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


def doctor(
    launchpad: LaunchpadOption = None,
    fworker: Annotated[
        Path | None, typer.Option("--fworker", "-w", help="FireWorks worker file; default: FireWorks' own search.")
    ] = None,
    qadapter: Annotated[
        Path | None, typer.Option("--qadapter", "-q", help="FireWorks queue adapter file; default: FireWorks' own search.")
    ] = None,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where the jobs will run.")] = Path(),
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="Protocol whose potentials are looked for.")] = "pbesol",
    elements: Annotated[
        str | None, typer.Option("--elements", "-e", help="Elements to be there, as Mg,O; default: those of the candidates.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="In a job: note the versions of this compute node, for others to compare.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check everything that runs need, and say how to mend what is missing. Exit code 1 if something is.

    Looks at FireWorks' settings, the database and its clock, the potentials, vasp_cmd, the queue, the folder of the launches,
    and whether the compute nodes have the same software as this machine.

    Example: hibana doctor, and once in a job: hibana doctor --record
    """
    from hibana.launch.doctor.examine import examine, find_setup

    named = tuple(name.strip() for name in elements.split(",") if name.strip()) if elements else ()
    setup, found = find_setup(launchpad, fworker, qadapter, directory, protocol, named)
    examination = examine(setup, found, as_worker=record)
    if as_json:
        print_json(examination.as_dict())
    else:
        out = output()
        for check in examination.checks:
            number = f"{check.code} " if check.code else ""
            out.print(f"[{STYLES[check.state]}]{check.state:8}[/] {check.name:14}", end="")
            out.print(f"{number}{check.what}", markup=False)
            for label, text in (("where", check.where), ("mend", check.fix)):
                if text:
                    out.print(f"{'':23}{label + ':':7}{text}", markup=False)
        if examination.recorded:
            errors().print(f"recorded as worker {examination.recorded}; compare with `hibana doctor` elsewhere", markup=False)
    if examination.failed:
        raise typer.Exit(FOUND_TROUBLE)
