"""``hibana cost``: core-hours spent."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, open_store, output, print_json

if TYPE_CHECKING:
    from hibana.launch.cost import CostReport


class Grouping(StrEnum):
    """What the rows are."""

    STEP = "step"
    MATERIAL = "material"
    FORMULA = "formula"
    MONTH = "month"
    WORKER = "worker"


def cost(
    by: Annotated[Grouping, typer.Option("--by", "-b", help="What the rows are.")] = Grouping.STEP,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show at most so many rows; 0 for all.")] = 50,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the core-hours that were spent, continuations included and failed runs apart, and what one run costs.

    Example: hibana cost --by month
    """
    from hibana.launch.cost import cost as add_up

    found = add_up(open_store(launchpad), by.value)
    if as_json:
        print_json(found.as_dict())
    elif not found.groups:
        output().print("no run has ended yet", markup=False)
    else:
        _print(found, limit)
    if found.lost_launches and not as_json:
        what = (
            f"{found.lost_launches:,} launches that ended with an error or were lost took {found.lost_core_hours:,.2f} core-hours"
        )
        output().print(f"{what} (not part of the sums)", markup=False)


def _print(found: CostReport, limit: int) -> None:
    from rich import box
    from rich.table import Table

    shown = found.groups[:limit] if limit else found.groups
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="core-hours", title_justify="left")
    table.add_column(found.by, no_wrap=True)
    for title in ("runs", "core-h", "failed", "core-h failed", "a run: 10 %", "median", "90 %", "largest"):
        table.add_column(title, justify="right")
    for item in (*shown, found.total):
        per_run = (f"{value:,.3g}" for value in (item.low, item.median, item.high, item.largest))
        sums = (f"{item.runs:,}", f"{item.core_hours:,.2f}", f"{item.failed_runs:,}", f"{item.failed_core_hours:,.2f}")
        is_total = item is found.total
        table.add_row(item.name, *sums, *per_run, style="bold" if is_total else None, end_section=item is shown[-1])
    output().print(table)
    if len(shown) < len(found.groups):
        output().print(f"{len(found.groups) - len(shown):,} more: --limit 0", markup=False)
