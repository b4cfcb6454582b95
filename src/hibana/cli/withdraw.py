"""``hibana withdraw``: take submissions back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import (
    CalculatorOption,
    JsonOption,
    LaunchpadOption,
    ProtocolOption,
    ProtocolVersionOption,
    errors,
    output,
    print_json,
)
from hibana.core.errors import declare

if TYPE_CHECKING:
    from hibana.launch.withdraw import WithdrawReport

UNCONFIRMED = declare(
    179,
    "nothing is withdrawn without a yes",
    "Look at it with --dry-run, then give --yes; in a terminal you are asked.",
)

LISTED = 50
"""With more submissions than this they are counted and no longer listed; ``--json`` has all."""


def withdraw(
    materials: Annotated[
        list[str] | None, typer.Argument(help="material_ids, reduced formulas, or files they were read from.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="Materials whose candidate matches a MongoDB filter, as '{\"n_sites\": 2}'.")
    ] = None,
    flow: Annotated[
        str | None, typer.Option("--flow", "-f", help="Only this flow; bulk means it with whatever branches.")
    ] = None,
    protocol: ProtocolOption = None,
    protocol_version: ProtocolVersionOption = None,
    calculator: CalculatorOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be withdrawn and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take submissions back of which no run has started: their workflows are removed, and submitting again works.

    What has started, waits in a queue or has ended is left as it is and reported. The candidates stay in the store.

    Example: hibana withdraw MgO ZnO --flow bulk --calculator vasp --dry-run
    """
    import sys

    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.naming import chosen_materials
    from hibana.launch.withdraw import Choice
    from hibana.launch.withdraw import withdraw as take_back
    from hibana.store.store import Store

    if not materials and where is None:
        raise typer.BadParameter("name materials, or give --where ('{}' means all)", param_hint="MATERIALS")
    pad = HibanaLaunchPad.connect(launchpad)
    store = Store(pad.db)
    chosen = chosen_materials(store, materials or [], where)
    choice = Choice(flow, protocol, protocol_version, calculator)
    if not (dry_run or yes):
        if as_json or not sys.stdin.isatty():
            raise UNCONFIRMED.error("no --yes was given, and there is nobody to ask")
        before = take_back(store, pad, chosen, choice, dry_run=True)
        _print(before)
        if not before.of("withdrawn"):
            return
        typer.confirm("Withdraw them?", abort=True, err=True)
    report = take_back(store, pad, chosen, choice, dry_run=dry_run)
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report)


def _print(report: WithdrawReport) -> None:
    from hibana.launch.withdraw import FATE_MEANINGS

    out = output()
    for item in report.submissions if len(report.submissions) <= LISTED else ():
        series = f"{item.calculator}, protocol {item.protocol} version {item.protocol_version}"
        what = "would be withdrawn" if report.dry_run and item.fate == "withdrawn" else FATE_MEANINGS[item.fate]
        states = ", ".join(f"{count} {state}" for state, count in item.states.items()) or "no jobs"
        out.print(f"{item.formula} {item.material_id}, {item.flow} ({series}; {states}): {what}", markup=False)
    left = len(report.of("begun")) + len(report.of("ended"))
    done = "would be withdrawn" if report.dry_run else "withdrawn"
    out.print(f"{len(report.of('withdrawn'))} {done}, {left} left as they are", markup=False)
    if report.unsubmitted:
        errors().print(f"{len(report.unsubmitted)} materials have no such submission", markup=False)
