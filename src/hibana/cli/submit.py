"""``hibana submit``: from structure files to workflows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, errors, output, print_json

if TYPE_CHECKING:
    from hibana.launch.submit import SubmitReport

LISTED = 100
"""With more materials than this they are counted and no longer listed; ``--json`` has all."""


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
        str, typer.Option("--calculator", "-c", help="Code that has to answer: vasp, gpaw-rehearsal or synthetic.")
    ] = "vasp",
    energies: Annotated[
        Path | None,
        typer.Option("--energies", help="Table of energies of competing phases (CSV or JSON), for the branch vacancy."),
    ] = None,
    resources: Annotated[
        Path | None,
        typer.Option("--resources", help="Table of a site (YAML): how large a job of the queue a cell gets, for qlaunch -r."),
    ] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="FireWorks priority of the jobs; higher is earlier.")] = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=1, help="Processes that standardise the structures; for thousands of them.")
    ] = 1,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a workflow for every structure that has none yet; submitting again adds nothing.

    A file that cannot be used is reported with an error number and does not stop the others.

    Example: hibana submit structures/ --flow bulk --branch dielectric --branch ddh --protocol pbesol
    """
    from hibana.flows.resources import RESOURCES, read_resources
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.submit import submit as submit_files

    fields: dict[str, Any] = {} if priority is None else {"_priority": priority}
    if resources is not None:
        fields[RESOURCES] = read_resources(resources)
    pad = HibanaLaunchPad.connect(launchpad)
    asked = (files, flow, protocol, calculator, pad)
    with _progress(quiet=as_json) as on_batch:
        report = submit_files(*asked, branches=branch, energies=energies, fields=fields, workers=workers, on_batch=on_batch)
    if as_json:
        print_json(report.as_dict())
        return
    console = output()
    for title, items in (("added", report.added), ("already there", report.already_there)):
        for item in items if len(items) <= LISTED else ():
            console.print(f"{title}: {item.formula} {item.material_id} ({', '.join(item.sources)})", markup=False)
    for refused in report.refused:
        errors().print(f"refused: {refused.source}\n{refused.error}", markup=False, style="yellow")
    _warn(report.potentials)
    console.print(
        f"{len(report.added)} added, {len(report.already_there)} already there, {len(report.refused)} refused", markup=False
    )


def _warn(potentials: dict[str, str]) -> None:
    """Say which elements VASP has no potential for here; the machine that runs it may have them."""
    by_reason: dict[str, list[str]] = {}
    for element, reason in potentials.items():
        by_reason.setdefault(reason, []).append(element)
    for reason, elements in by_reason.items():
        errors().print(f"warning: no POTCAR of VASP for {', '.join(elements)}: {reason}", markup=False, style="yellow")
    if by_reason:
        text = "the jobs need them where they run: `hibana doctor` there checks all (PMG_VASP_PSP_DIR names the library)"
        errors().print(text, markup=False, style="yellow")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[SubmitReport], None]]:
    """Shows how many structures were seen to, on a terminal."""
    console = errors()
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with console.status("submitting") as status:
        yield lambda report: status.update(
            f"{len(report.added)} added, {len(report.already_there)} already there, {len(report.refused)} refused"
        )
