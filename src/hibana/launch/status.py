"""``hibana status``: where a campaign stands, from its counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from hibana.launch.cells import SLOT_MINUTES, Amount, Cell, slot_begin
from hibana.launch.counters import Counters, Standing
from hibana.launch.sources import JOBS, OUTCOMES, RUNS, SOURCES
from hibana.launch.stages import BOOKKEEPING, COLLECT, STAGES
from hibana.store.claims import ANSWERS

if TYPE_CHECKING:
    from hibana.store.store import Store

By = Literal["step", "class", "flow", "series"]
GROUPINGS: dict[By, str] = {"step": "stage", "class": "material", "flow": "flow", "series": "series"}
"""Ways to group, and the field of a cell each goes by."""

DONE, ERROR, RUNNING, QUEUED, READY, WAITING = "COMPLETED", "FIZZLED", "RUNNING", "RESERVED", "READY", "WAITING"
UNFINISHED = (RUNNING, QUEUED, READY, WAITING)

SHOWN_RUNNING = 10
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Row:
    """One stage, class of materials, flow or series.

    Parameters
    ----------
    name
        Its name.
    jobs
        Jobs by FireWorks' state.
    answered, unanswered
        Runs with an answer and without one.
    core_hours
        Spent by all of them.
    last_hour, last_day
        Runs that ended in the last hour and day; None where that is not counted by this grouping.
    left
        Core-hours that the jobs which have not ended will take, by the mean of the runs of their stage so far; None where no
        run of it has ended yet, and where jobs are not grouped by stage.
    """

    name: str
    jobs: Mapping[str, int] = field(default_factory=dict)
    answered: int = 0
    unanswered: int = 0
    core_hours: float = 0.0
    last_hour: int | None = None
    last_day: int | None = None
    left: float | None = None

    def count(self, *states: str) -> int:
        """Jobs in any of these states."""
        return sum(self.jobs.get(state, 0) for state in states)

    @property
    def held(self) -> int:
        """Jobs that are paused, defused or archived."""
        return sum(number for state, number in self.jobs.items() if state not in (DONE, ERROR, *UNFINISHED))


@dataclass(frozen=True)
class Estimate:
    """When the jobs that are there will have ended.

    Parameters
    ----------
    core_hours_left
        Core-hours they will take, by the mean of the runs of their stage so far.
    core_hours_per_hour
        Core-hours of the runs that ended in the last day, for each hour of it.
    end
        When that is done; None where nothing ended in the last day.
    unknown
        Stages with jobs but no run yet; what they take is not in the estimate.
    """

    core_hours_left: float
    core_hours_per_hour: float
    end: datetime | None
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """Where a campaign stands.

    Parameters
    ----------
    at
        When.
    by
        What the rows are.
    rows
        The rows, and `total` of them.
    workflows
        Workflows that were submitted.
    outcomes
        What became of those that ended: done, metal, partial, failed.
    failures
        Runs without an answer and jobs that ended with an error, by cause, the most frequent first.
    running
        Names of some jobs that run now.
    estimate
        When it will have ended.
    behind
        Sources that another process is counting at the moment, with the time they are counted to.
    """

    at: datetime
    by: By
    rows: tuple[Row, ...]
    total: Row
    workflows: int
    outcomes: Mapping[str, int]
    failures: Mapping[str, int]
    running: tuple[str, ...]
    estimate: Estimate
    behind: tuple[Standing, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever submitted or calculated."""
        return not self.rows

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "is_empty": self.is_empty}


def status(
    store: Store, by: By = "step", *, say: Callable[[str, int], None] = lambda *_: None, at: datetime | None = None
) -> Status:
    """Where a campaign stands.

    What has changed since the last time is counted first; that takes as long as there are changes, not documents.

    Parameters
    ----------
    store
        The store; FireWorks' collections are in its database.
    by
        What the rows are.
    say
        Called with the name of a source and the number of documents looked at, now and then.
    at
        The time; default: now.

    Raises
    ------
    HibanaError
        HIB-122 or HIB-123.
    """
    counters = Counters(store.database, SOURCES)
    standings = counters.fold((JOBS.name, RUNS.name, OUTCOMES.name), say=say)
    jobs, runs, outcomes = (_read(counters, source.name) for source in (JOBS, RUNS, OUTCOMES))
    now = at or datetime.now(UTC)
    rows = _rows(by, jobs, runs, now)
    return Status(
        at=now,
        by=by,
        rows=rows,
        total=_total(rows, now, runs),
        workflows=sum(amount.n for cell, amount in jobs.items() if cell.stage == COLLECT),
        outcomes=_ordered(_sums(outcomes, lambda cell: cell.state)),
        failures=_failures(jobs, runs),
        running=_running(store),
        estimate=_estimate(_rows("step", jobs, runs, now), runs, now),
        behind=tuple(standing for standing in standings if not standing.complete),
    )


Amounts = Mapping[Cell, Amount]


def _read(counters: Counters, name: str) -> dict[Cell, Amount]:
    return {Cell.of_key(key): amount for key, amount in counters.cells(name).items()}


def _rows(by: By, jobs: Amounts, runs: Amounts, now: datetime) -> tuple[Row, ...]:
    states: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for cell, amount in jobs.items():
        states[_group(cell, by)][cell.state] += amount.n
    spent: dict[str, Amount] = {}
    if by != "flow":  # a run belongs to whatever flows ask for it
        spent = _sums_of(runs, lambda cell: _group(cell, by), lambda cell: cell.kind == "run")
    answered = _sums(runs, lambda cell: _group(cell, by), lambda cell: cell.kind == "run" and cell.state in ANSWERS)
    ends = {days: _ended(runs, now, timedelta(hours=hours)) for days, hours in (("hour", 1), ("day", 24))}
    rows = []
    for name in sorted({*states, *spent}, key=lambda name: _order(by, name)):
        amount = spent.get(name, Amount(0))
        is_stage = by == "step" and name not in BOOKKEEPING
        unfinished = sum(states[name].get(state, 0) for state in UNFINISHED)
        mean = amount.seconds / amount.n / 3600 if amount.n else None
        rows.append(
            Row(
                name=name or "none",
                jobs=dict(states[name]),
                answered=answered.get(name, 0) if by != "flow" else 0,
                unanswered=amount.n - answered.get(name, 0) if by != "flow" else 0,
                core_hours=amount.seconds / 3600,
                last_hour=ends["hour"].get(name, 0) if is_stage else None,
                last_day=ends["day"].get(name, 0) if is_stage else None,
                left=(0.0 if not unfinished else None if mean is None else mean * unfinished) if is_stage else None,
            )
        )
    return tuple(rows)


def _total(rows: tuple[Row, ...], now: datetime, runs: Amounts) -> Row:
    states: dict[str, int] = defaultdict(int)
    for row in rows:
        for state, number in row.jobs.items():
            states[state] += number
    of_runs = {cell: amount for cell, amount in runs.items() if cell.kind == "run"}
    answered = sum(amount.n for cell, amount in of_runs.items() if cell.state in ANSWERS)
    return Row(
        name="total",
        jobs=dict(states),
        answered=answered,
        unanswered=sum(amount.n for amount in of_runs.values()) - answered,
        core_hours=sum(amount.seconds for amount in of_runs.values()) / 3600,
        last_hour=sum(_ended(runs, now, timedelta(hours=1)).values()),
        last_day=sum(_ended(runs, now, DAY).values()),
    )


def _estimate(rows: tuple[Row, ...], runs: Amounts, now: datetime) -> Estimate:
    left = sum(row.left or 0.0 for row in rows)
    unknown = tuple(row.name for row in rows if row.name not in BOOKKEEPING and row.left is None)
    recent = {cell: amount for cell, amount in runs.items() if _is_recent(cell, now, DAY)}
    if not recent:
        return Estimate(left, 0.0, None, unknown)
    begin = min(slot_begin(int(cell.cause)) for cell in recent)
    hours = max((now - begin).total_seconds(), 60.0 * SLOT_MINUTES) / 3600
    pace = sum(amount.seconds for amount in recent.values()) / 3600 / hours
    end = now + timedelta(hours=left / pace) if pace > 0 and left / pace < 24 * 365 * 100 else None
    return Estimate(left, pace, end, unknown)


def _ended(runs: Amounts, now: datetime, span: timedelta) -> dict[str, int]:
    """Runs that ended within a span of time, by stage."""
    return _sums(runs, lambda cell: cell.stage, lambda cell: _is_recent(cell, now, span))


def _is_recent(cell: Cell, now: datetime, span: timedelta) -> bool:
    return cell.kind == "slot" and now - span < slot_begin(int(cell.cause)) + timedelta(minutes=SLOT_MINUTES)


def _failures(jobs: Amounts, runs: Amounts) -> dict[str, int]:
    failed = _sums(runs, lambda cell: cell.cause, lambda cell: cell.kind == "run" and bool(cell.cause))
    for cause, number in _sums(jobs, lambda cell: cell.cause, lambda cell: cell.state == ERROR).items():
        failed[cause] = failed.get(cause, 0) + number
    return _ordered(failed)


def _running(store: Store) -> tuple[str, ...]:
    found = store.database["fireworks"].find({"state": RUNNING}, {"name": 1}).limit(SHOWN_RUNNING)
    return tuple(str(item["name"]) for item in found)


def _group(cell: Cell, by: By) -> str:
    return str(getattr(cell, GROUPINGS[by]))


def _order(by: By, name: str) -> tuple[int, str]:
    return (STAGES.index(name) if by == "step" and name in STAGES else len(STAGES), name)


def _sums(amounts: Amounts, name: Callable[[Cell], str], which: Callable[[Cell], bool] = lambda _: True) -> dict[str, int]:
    return {key: amount.n for key, amount in _sums_of(amounts, name, which).items()}


def _sums_of(amounts: Amounts, name: Callable[[Cell], str], which: Callable[[Cell], bool]) -> dict[str, Amount]:
    found: dict[str, Amount] = {}
    for cell, amount in amounts.items():
        if which(cell):
            before = found.get(name(cell), Amount(0))
            found[name(cell)] = Amount(before.n + amount.n, before.seconds + amount.seconds)
    return found


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
