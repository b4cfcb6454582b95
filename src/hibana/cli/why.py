"""``hibana why``: where a candidate is, or why it is not in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, output, print_json

if TYPE_CHECKING:
    from hibana.launch.why import Entry, Explanation


def why(
    material: Annotated[str, typer.Argument(help="A material_id, a reduced formula, or the file it was read from.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a candidate is: in the table, running, waiting, stuck, or left out and why.

    Example: hibana why MgO
    """
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.why import why as explain
    from hibana.store.store import Store

    pad = HibanaLaunchPad.connect(launchpad)
    explanations = explain(Store(pad.db), pad, material)
    if as_json:
        print_json([explanation.as_dict() for explanation in explanations])
        return
    for explanation in explanations:
        _print(explanation)


def _print(explanation: Explanation) -> None:
    console = output()
    console.print(f"{explanation.formula} {explanation.material_id}, from {', '.join(explanation.sources)}", markup=False)
    if not explanation.entries:
        console.print("  was never submitted: hibana submit", markup=False)
    for entry in explanation.entries:
        _print_entry(entry)


def _print_entry(entry: Entry) -> None:
    from hibana.launch.why import PLACE_MEANINGS

    console = output()
    series = f"{entry.calculator}, protocol {entry.protocol} version {entry.protocol_version}"
    console.print(f"  {entry.flow} ({series}): {PLACE_MEANINGS[entry.place]}", markup=False)
    console.print(f"    {entry.reason}", markup=False)
    for part in entry.properties:
        if part.status != "complete":
            console.print(f"    {part.name}: {part.status}: {part.reason}", markup=False)
    for failure in entry.failures:
        console.print(f"    {failure.task}: {failure.status}: {failure.reason}\n      in {failure.directory}", markup=False)
        console.print(f"      {failure.hint}", markup=False)
    for job in entry.jobs:
        console.print(f"    {job.fw_id:>5} {job.state:<9} {job.name}", markup=False)
        if job.error:
            indented = job.error.replace("\n", "\n            ")
            console.print(f"            {indented}\n            in {job.directory}\n            {job.hint}", markup=False)
        if job.lease:
            console.print(f"            {job.lease}", markup=False)
