"""``hibana submit``: from structure files to workflows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, errors, output, print_json


def submit(
    files: Annotated[list[Path], typer.Argument(help="Structure files (CIF, POSCAR, pymatgen JSON) or folders of them.")],
    flow: Annotated[str, typer.Option("--flow", "-f", help="What to calculate: electronic, bulk or competing.")],
    branch: Annotated[
        list[str] | None,
        typer.Option(
            "--branch",
            "-b",
            help="Branch of the flow bulk (band, dos, dielectric, hse06, ddh, optics, phonon, vacancy), with what it needs; may "
            "be repeated. Default: all but phonon and vacancy. Of the flow competing: the elements of the chemical system.",
        ),
    ] = None,
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="Name or file of the protocol.")] = "pbesol",
    calculator: Annotated[
        str, typer.Option("--calculator", "-c", help="Code that has to answer: vasp or gpaw-rehearsal.")
    ] = "vasp",
    energies: Annotated[
        Path | None,
        typer.Option("--energies", help="Table of energies of competing phases (CSV or JSON), for the branch vacancy."),
    ] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="FireWorks priority of the jobs; higher is earlier.")] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a workflow for every structure that has none yet; submitting again adds nothing.

    A file that cannot be used is reported with an error number and does not stop the others.

    Example: hibana submit structures/ --flow bulk --branch dielectric --branch ddh --protocol pbesol
    """
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.submit import submit as submit_files

    fields = {} if priority is None else {"_priority": priority}
    pad = HibanaLaunchPad.connect(launchpad)
    report = submit_files(files, flow, protocol, calculator, pad, branches=branch, energies=energies, fields=fields)
    if as_json:
        print_json(report.as_dict())
        return
    console = output()
    for title, items in (("added", report.added), ("already there", report.already_there)):
        for item in items:
            console.print(f"{title}: {item.formula} {item.material_id} ({', '.join(item.sources)})", markup=False)
    for refused in report.refused:
        errors().print(f"refused: {refused.source}\n{refused.error}", markup=False, style="yellow")
    console.print(
        f"{len(report.added)} added, {len(report.already_there)} already there, {len(report.refused)} refused", markup=False
    )
