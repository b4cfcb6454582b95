"""``hibana status``: where a campaign stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, errors, open_store, output, print_json

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from hibana.launch.status import Row, Status
    from hibana.store.store import Store

SAY_EVERY = 10_000
"""Documents that are counted before it is said how many."""


class Grouping(StrEnum):
    """What the rows are."""

    STEP = "step"
    CLASS = "class"
    FLOW = "flow"
    SERIES = "series"


def status(
    watch: Annotated[
        float | None, typer.Option("--watch", "-w", min=0.5, help="Show it again every so many seconds, until Ctrl-C.")
    ] = None,
    by: Annotated[Grouping, typer.Option("--by", "-b", help="What the rows are.")] = Grouping.STEP,
    recount: Annotated[bool, typer.Option("--recount", help="Count all documents anew first.")] = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where a campaign stands: done, running, waiting, failed, rate, core-hours and when it will have ended.

    Example: hibana status --by class --watch 10
    """
    store = open_store(launchpad)
    if recount:
        from hibana.launch.counters import Counters
        from hibana.launch.sources import SOURCES

        Counters(store.database, SOURCES).recount()
    if watch is None:
        _print(_read(store, by), as_json=as_json)
        return
    try:
        _watch(store, by, watch, as_json=as_json)
    except KeyboardInterrupt:
        return


def _watch(store: Store, by: Grouping, seconds: float, *, as_json: bool) -> None:
    from rich.live import Live

    console = output()
    if as_json or not console.is_terminal:
        while True:
            _print(_read(store, by), as_json=as_json)
            time.sleep(seconds)
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            live.update(_drawn(_read(store, by)), refresh=True)
            time.sleep(seconds)


def _read(store: Store, by: Grouping) -> Status:
    from hibana.launch.status import status as read

    return read(store, by.value, say=counting())


def counting() -> Callable[[str, int], None]:
    """Says how many documents were counted, where there are many."""
    said: dict[str, int] = {}

    def say(name: str, number: int) -> None:
        if number - said.get(name, 0) >= SAY_EVERY:
            said[name] = number
            errors().print(f"counting {name}: {number:,}", markup=False)

    return say


def _print(found: Status, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_dict())
    else:
        output().print(_drawn(found))


def _drawn(found: Status) -> Group:
    from rich.console import Group
    from rich.text import Text

    if found.is_empty:
        return Group(Text("nothing was submitted yet: hibana submit FILES, or lpad add workflows/demo.yaml"))
    ended = sum(found.outcomes.values())
    said = ", ".join(f"{number:,} {state}" for state, number in found.outcomes.items())
    lines = [f"{found.workflows:,} workflows, {ended:,} ended" + (f": {said}" if said else "")]
    if found.failures:
        causes = [f"{number:,} {cause}" for cause, number in found.failures.items()]
        more = f" and {len(causes) - 6} more" if len(causes) > 6 else ""
        lines.append(f"failed: {', '.join(causes[:6])}{more} (hibana failures)")
    if found.running:
        beyond = found.total.count("RUNNING") - len(found.running)
        lines.append(f"running now: {', '.join(found.running)}" + (f" and {beyond:,} more" if beyond > 0 else ""))
    lines += _estimated(found)
    lines += [
        f"{standing.source}: another process is counting"
        + (f"; this is from {_clock(standing.counted_to)}" if standing.counted_to else " for the first time")
        for standing in found.behind
    ]
    return Group(_table(found), *(Text(line) for line in lines))


def _estimated(found: Status) -> list[str]:
    estimate = found.estimate
    if not found.total.count("RUNNING", "RESERVED", "READY", "WAITING"):
        return []
    left = f"{estimate.core_hours_left:,.1f} core-hours left"
    beside = f", and {', '.join(estimate.unknown)}, of which no run has ended yet" if estimate.unknown else ""
    if estimate.end is None:
        return [f"{left}{beside}; no run ended in the last day, so nobody knows when it will be done"]
    pace = f"at {estimate.core_hours_per_hour:,.1f} core-hours an hour"
    end = f"about {_clock(estimate.end)} (in {_span(estimate.end - found.at)})"
    return [f"{left}{beside}; {pace} done {end}"]


def _table(found: Status) -> Table:
    from rich import box
    from rich.table import Table

    columns: tuple[tuple[str, Callable[[Row], str]], ...] = (
        ("done", lambda row: _number(row.count("COMPLETED"))),
        ("running", lambda row: _number(row.count("RUNNING"))),
        ("queued", lambda row: _number(row.count("RESERVED"))),
        ("ready", lambda row: _number(row.count("READY"))),
        ("waiting", lambda row: _number(row.count("WAITING"))),
        ("held", lambda row: _number(row.held)),
        ("error", lambda row: _number(row.count("FIZZLED"))),
        ("answered", lambda row: _number(row.answered)),
        ("no answer", lambda row: _number(row.unanswered)),
        ("last hour", lambda row: _number(row.last_hour)),
        ("last day", lambda row: _number(row.last_day)),
        ("core-h", lambda row: f"{row.core_hours:,.1f}" if row.core_hours else ""),
        ("core-h left", lambda row: f"{row.left:,.1f}" if row.left else ""),
    )
    rows = (*found.rows, found.total)
    shown = [(title, cell) for title, cell in columns if any(cell(row) for row in rows) or title in ("done", "waiting")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"hibana status, {_clock(found.at)}", title_justify="left")
    table.add_column(found.by)
    for title, _ in shown:
        table.add_column(title, justify="right")
    for row in rows:
        style = "bold" if row is found.total else None
        table.add_row(row.name, *(cell(row) for _, cell in shown), style=style, end_section=row is found.rows[-1])
    return table


def _number(value: int | None) -> str:
    return f"{value:,}" if value else ""


def _clock(moment: datetime) -> str:
    """A moment in the time of this machine."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _span(span: timedelta) -> str:
    """A span of time in the two units that matter."""
    minutes = max(round(span.total_seconds() / 60), 0)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min"
