"""``hibana run``: launchers side by side until nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hibana.cli.console import JsonOption, LaunchpadOption, errors, output, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from hibana.launch.packers import Pack
    from hibana.launch.worker import Progress

FOUND_ERRORS = 1
"""Exit code if jobs ended with an error (FIZZLED)."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def run(
    workers: Annotated[int, typer.Option("--workers", "-n", min=1, help="Launchers side by side.")] = 1,
    fworker: Annotated[
        Path | None, typer.Option("--fworker", "-w", help="FireWorks worker file; default: my_fworker.yaml if it is here.")
    ] = None,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where the jobs run.")] = Path("launches"),
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", "-t", min=1, help="Seconds after which to stop; in a job of a queue at its end at the latest."),
    ] = None,
    cores: Annotated[
        str | None,
        typer.Option("--cores", help="Cores that runs of different sizes share, a number or 'all'; instead of --workers."),
    ] = None,
    resources: Annotated[
        Path | None,
        typer.Option("--resources", help="With --cores: table of the site (YAML), how many cores a cell gets."),
    ] = None,
    pin: Annotated[bool, typer.Option("--pin/--no-pin", help="With --cores: whether each run gets CPUs of its own.")] = True,
    relay: Annotated[
        Path | None,
        typer.Option("--relay", help="Folder of a relay (hibana relay) by which vasp_cmd runs the code; cores and end are its."),
    ] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run what is ready until nothing is left, after recovering what killed launchers left behind.

    Ctrl-C stops cleanly; hibana run again goes on. Exit code 1 if jobs ended with an error.

    With --cores runs of different sizes share an allocation: in strict order of priority, the largest that fits first.

    Example: hibana run --workers 2 --fworker fw_config/local/my_fworker.yaml
    """
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.worker import run_workers
    from hibana.store.launchpad_file import find_launchpad_file

    if relay is not None:
        cores, timeout = _by_relay(relay, cores, timeout)
    pack = None if cores is None else _pack(cores, resources, pin=pin and relay is None)
    path = find_launchpad_file(launchpad)
    here = Path("my_fworker.yaml")
    worker_file = fworker or (here if here.is_file() else None)
    if worker_file is not None:
        _say_doubts(worker_file)
    with _shown(quiet=as_json) as show:
        summary = run_workers(
            HibanaLaunchPad.connect(path),
            path,
            workers=workers,
            fworker_file=worker_file,
            directory=directory,
            timeout=timeout,
            on_progress=show,
            pack=pack,
            relay=relay,
        )
    if as_json:
        print_json(summary.as_dict())
    else:
        counts = ", ".join(f"{count} {state}" for state, count in summary.counts.items()) or "nothing to run"
        output().print(f"{counts} after {summary.seconds:.0f} s", markup=False)
        if summary.packing is not None:
            _print_packing(summary.packing)
        if summary.stopped:
            errors().print("stopped; hibana run goes on where this one ended", markup=False)
        if summary.counts.get("FIZZLED"):
            errors().print(_ended_with_errors(launchpad), markup=False)
    if summary.stopped:
        raise typer.Exit(INTERRUPTED)
    if summary.counts.get("FIZZLED"):
        raise typer.Exit(FOUND_ERRORS)


def _say_doubts(worker_file: Path) -> None:
    """Say what in the worker's env is likely misspelt."""
    from hibana.launch.worker_file import doubtful, read_worker_file

    for doubt in doubtful(read_worker_file(worker_file).get("env") or {}):
        errors().print(f"{worker_file}: {doubt}", markup=False, style="yellow")


def _ended_with_errors(launchpad: Path | None) -> str:
    """What to do about FIZZLED jobs; ``lpad`` is told of a launchpad file that its own search does not find."""
    import shlex

    from hibana.core.settings import Settings

    named = launchpad or Settings.from_environment().launchpad_file
    lpad = "lpad" if named is None else f"lpad -l {shlex.quote(str(named))}"
    hibana = "" if launchpad is None else f" -l {shlex.quote(str(launchpad))}"
    return (
        f"some jobs ended with an error: hibana failures{hibana} says what and how to mend it, hibana why MATERIAL{hibana} more "
        f"of one material; then {lpad} rerun_fws -s FIZZLED and hibana run{hibana} run them again"
    )


def _pack(cores: str, resources: Path | None, *, pin: bool) -> Pack:
    from hibana.flows.resources import read_resources
    from hibana.launch.cores import allocated_cores
    from hibana.launch.packers import Pack

    if cores != "all" and not (cores.isdecimal() and int(cores) > 0):
        raise typer.BadParameter(f"{cores!r} is neither a number above 0 nor 'all'", param_hint="--cores")
    number = allocated_cores() if cores == "all" else int(cores)
    return Pack(number, None if resources is None else read_resources(resources), pin)


def _by_relay(relay: Path, cores: str | None, timeout: float | None) -> tuple[str, float | None]:
    """Cores and seconds that a relay has, as far as no fewer were asked for."""
    import time

    from hibana.launch.relay import find_relay, silent_seconds

    found = find_relay(relay, silent_seconds())
    limits = [limit for limit in (timeout, None if found.ends is None else found.ends - time.time()) if limit is not None]
    return cores if cores not in (None, "all") else str(found.cores), min(limits, default=None)


def _print_packing(packing: Mapping[str, Any]) -> None:
    output().print(
        f"{packing['runs']} runs, at most {packing['most_at_once']} at a time, used {packing['core_seconds_used']:.0f} of "
        f"{packing['core_seconds_available']:.0f} core-seconds of {packing['cores']} cores: {packing['occupancy']:.1%}",
        markup=False,
    )
    for key, why in (("too_large", "need more cores"), ("too_long", "would have taken longer than was left")):
        if packing[key]:
            errors().print(f"{packing[key]} runs that are ready {why}", markup=False)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Show progress: a live table on a terminal, else a line whenever something changes."""
    from rich.live import Live

    console = errors()
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            yield lambda progress: live.update(_table(progress))
    else:
        yield _Lines().show


class _Lines:
    """A line a change."""

    def __init__(self) -> None:
        self.last = ""

    def show(self, progress: Progress) -> None:
        """Print where the run stands if it stands somewhere else than before."""
        counts = ", ".join(f"{count} {state}" for state, count in progress.counts.items()) or "nothing"
        text = f"{counts}; running: {', '.join(progress.running) or 'nothing'}"
        if text != self.last:
            errors().print(f"[{progress.seconds:6.0f} s] {text}", markup=False)
            self.last = text


def _table(progress: Progress) -> Table:
    from rich.table import Table

    table = Table(title=f"hibana run, {progress.seconds:.0f} s", caption="Ctrl-C stops cleanly")
    for state in progress.counts:
        table.add_column(state, justify="right")
    table.add_column("running now")
    table.add_row(*map(str, progress.counts.values()), "\n".join(progress.running))
    return table
