"""``hibana loop``: priorities of waiting work from what is known already, again and again."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

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
from hibana.cli.export import TABLES
from hibana.cli.goals import (
    SOURCES,
    AboveOption,
    AlsoOption,
    BelowOption,
    BetweenOption,
    KappaOption,
    LogOption,
    ModelOption,
    RuleOption,
    SigmaOption,
    StartOption,
    TargetOption,
    TreesOption,
    read_rule,
)

if TYPE_CHECKING:
    from hibana.launch.launchpad import HibanaLaunchPad
    from hibana.launch.loop import Ranking, Round, WaitingMaterial
    from hibana.learn.dataset import Dataset
    from hibana.learn.priority.log import DecisionLog
    from hibana.learn.priority.rule import Rule

SETS = ("composition", "elements", "structure")
PAGE = 1000
"""Candidates read at once."""


def loop(
    table: Annotated[str, typer.Option("--table", help=f"Table to learn from: {', '.join(TABLES)}.")],
    target: TargetOption,
    above: AboveOption = None,
    below: BelowOption = None,
    between: BetweenOption = None,
    also: AlsoOption = None,
    log: LogOption = None,
    rule: RuleOption = "probability",
    model: ModelOption = "both",
    features: Annotated[
        list[str] | None,
        typer.Option("--features", "-f", help=f"{', '.join(SETS)}; may be repeated. Default: the first two."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the log of decisions and of the table of the last round.")
    ] = Path("hibana_loop"),
    snapshot: Annotated[
        Path | None, typer.Option("--snapshot", help="Learn from this exported table instead of exporting in each round.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once (the default without --every).")] = False,
    every: Annotated[
        float | None, typer.Option("--every", min=1, help="Look again and again, with so many seconds between; 300 is good.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change and why; write nothing, neither priorities nor files.")
    ] = False,
    first: Annotated[int, typer.Option("--first", min=1, help="Candidates that get a priority of their own.")] = 1000,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Candidates novelty chooses one after the other.")] = 10,
    start: StartOption = 20,
    trees: TreesOption = 100,
    kappa: KappaOption = 1.0,
    sigma: SigmaOption = 0.1,
    seed: Annotated[int, typer.Option("--seed", help="Of models and draws.")] = 0,
    show: Annotated[int, typer.Option("--show", min=0, help="Changes printed in a round.")] = 20,
    include_flagged: Annotated[bool, typer.Option("--include-flagged", help="Learn from rows with flags, too.")] = False,
    protocol: ProtocolOption = None,
    protocol_version: ProtocolVersionOption = None,
    calculator: CalculatorOption = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let what is known already decide what is calculated next: set the priorities of waiting work.

    Each round exports the table, fits a model to it, ranks what waits by the rule, and sets FireWorks' priorities, which every
    launcher heeds. Every decision stands with its reason in decisions.jsonl. It can be killed and started again at any time.

    Example: hibana loop --table electronic --target band_gap_hse06_nsc --between 1.0 1.8 --dry-run
    """
    from pymongo.errors import ConnectionFailure

    from hibana.launch.launchpad import HibanaLaunchPad

    if once and every is not None:
        raise typer.BadParameter("choose one of them", param_hint="--once / --every")
    sets = tuple(features or SOURCES)
    if any(name not in SETS for name in sets):
        raise typer.BadParameter(f"there are {', '.join(SETS)}", param_hint="--features")
    chosen = read_rule(
        target,
        *(above, below, between, also, log),
        kind=rule,
        surrogate=model,
        **{"trees": trees, "start": start, "kappa": kappa, "sigma": sigma},
    )
    series = {"protocol": protocol, "protocol_version": protocol_version, "calculator": calculator}
    order = _Order(table, chosen, sets, snapshot, series, include_flagged, seed, batch, first, dry_run)
    pad = HibanaLaunchPad.connect(launchpad)
    with _folder(folder, dry_run=dry_run) as (scratch, kept), suppress(KeyboardInterrupt):
        if every is None:
            _tell(order.round(pad, scratch, kept), as_json, show, again=False)
            return
        stopped = _told_to_stop()
        while not stopped.is_set():
            try:
                _tell(order.round(pad, scratch, kept), as_json, show, again=True)
            except ConnectionFailure as error:
                errors().print(f"{_now()} the database does not answer: {type(error).__name__}", markup=False)
            stopped.wait(every)


def _told_to_stop() -> Event:
    """Set by the first Ctrl-C or SIGTERM, for the end of the round; a second Ctrl-C ends it at once."""
    stopped = Event()

    def stop(*_: object) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopped


@dataclass(frozen=True)
class _Order:
    """What the options say."""

    table: str
    rule: Rule
    sets: tuple[str, ...]
    snapshot: Path | None
    series: dict[str, Any]
    include_flagged: bool
    seed: int
    batch: int
    first: int
    dry_run: bool

    def round(self, pad: HibanaLaunchPad, scratch: Path, kept: DecisionLog | None) -> Round:
        """Look at the campaign once."""
        from hibana.launch.loop import look
        from hibana.learn.dataset import read_dataset
        from hibana.learn.priority.ranking import known_materials
        from hibana.store.store import Store
        from hibana.tables.export import export
        from hibana.tables.reading import makes, series_there
        from hibana.tables.registry import find_table
        from hibana.tables.series import choose_series

        store, what = Store(pad.db), find_table(self.table)
        series = choose_series(series_there(store, what), **self.series).as_dict()
        source = self.snapshot
        if source is None:
            source = scratch / self.table
            export(store, self.table, source, include_flagged=self.include_flagged, **series)
        data = read_dataset(source)
        return look(
            pad,
            lambda waiting: self._rank(store, data, waiting, scratch),
            series=series,
            makes=lambda flow: makes(flow, what),
            known=set(known_materials(data)),
            log=kept,
            first=self.first,
            dry_run=self.dry_run,
        )

    def _rank(self, store: Any, data: Dataset, waiting: Sequence[WaitingMaterial], scratch: Path) -> Ranking:
        from hibana.launch.loop import Ranked, Ranking
        from hibana.learn.dataset import read_dataset
        from hibana.learn.priority.ranking import Sources, known_materials, rank

        names = [item.material_id for item in waiting]
        file = _write_candidates(store, [*known_materials(data), *names], scratch / "candidates", "structure" in self.sets)
        sources = Sources(self.sets, scratch / "features" if "structure" in self.sets else None)
        found = rank(data, read_dataset(file), names, self.rule, sources, seed=self.seed, batch=self.batch)
        about = {
            "table": data.name,
            "snapshot": data.snapshot,
            "rule": self.rule.as_dict(),
            "features": self.sets,
            "model": dict(found.model),
            "seed": self.seed,
        }
        return Ranking(about, [Ranked(item.material_id, item.as_dict()) for item in found.items])


@contextmanager
def _folder(folder: Path, *, dry_run: bool) -> Iterator[tuple[Path, DecisionLog | None]]:
    """Where a round may write, and the log; of a dry run nothing stays."""
    from hibana.learn.priority.log import DecisionLog

    if dry_run:
        with tempfile.TemporaryDirectory(prefix="hibana-loop-") as scratch:
            yield Path(scratch), None
        return
    with closing(DecisionLog(folder)) as kept:
        yield folder, kept


def _write_candidates(store: Any, material_ids: Sequence[str], folder: Path, structures: bool) -> Path:
    """Candidates as a table, with their crystals as they were submitted beside it where asked for.

    Raises
    ------
    HibanaError
        HIB-275 if they cannot be written.
    """
    import csv

    from hibana.documents.crystal import Crystal
    from hibana.learn.errors import UNWRITABLE_RESULTS
    from hibana.tables.structures_file import STRUCTURES_FILE, StructuresWriter

    path, names = folder / "candidates.csv", sorted(set(material_ids))
    fields = ("material_id", "formula", *(("crystal",) if structures else ()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as text, StructuresWriter(folder / STRUCTURES_FILE) as crystals:
            rows = csv.writer(text)
            rows.writerow(("material_id", "reduced_formula"))
            for begin in range(0, len(names), PAGE):
                query = {"_id": {"$in": names[begin : begin + PAGE]}}
                for found in store.query("candidates", query, fields):
                    rows.writerow((found["material_id"], found["formula"]))
                    if structures:
                        crystals.write(found["material_id"], Crystal.model_validate(found["crystal"]))
    except OSError as error:
        raise UNWRITABLE_RESULTS.error(error.strerror or str(error), where=folder) from error
    return path


def _tell(found: Round, as_json: bool, show: int, *, again: bool) -> None:
    """Print a round."""
    if as_json and again:
        sys.stdout.write(json.dumps(found.as_dict(), ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    if as_json:
        print_json(found.as_dict())
        return
    console, stamp, about = output(), f"{_now()} " if again else "", found.about
    known = ", ".join(f"{count} values of {column}" for column, count in about["model"]["n_known"].items())
    console.print(
        f"{stamp}{about['table']} {about['snapshot'][:12]}: {known}; {found.n_waiting} materials wait, "
        f"{found.n_begun} of them have begun",
        markup=False,
    )
    done = "would change" if found.dry_run else "changed"
    console.print(f"{stamp}{len(found.changes)} priorities {done}", markup=False)
    for change in found.changes[:show]:
        before = "none" if change.before is None else change.before
        why = change.about.get("why", "")
        console.print(f"  {change.formula} {change.material_id}: {before} -> {change.priority}: {why}", markup=False)
    if len(found.changes) > show:
        console.print(f"  ... and {len(found.changes) - show} more", markup=False)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
