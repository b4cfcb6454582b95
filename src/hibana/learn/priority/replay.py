"""A finished campaign replayed: how many runs a rule needs for its hits, against candidates drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom

from hibana.learn.errors import NOTHING_TO_REPLAY
from hibana.learn.priority.decide import decide
from hibana.learn.priority.goal import all_met
from hibana.learn.priority.rule import Rule

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trace:
    """The runs of one seed.

    Parameters
    ----------
    seed
        Of the draws and models.
    names
        Candidates in the order in which they were run.
    hits
        (n_runs,) which of them met the goals.
    """

    seed: int
    names: tuple[str, ...]
    hits: NDArray[np.bool_]


@dataclass(frozen=True)
class Replay:
    """Replays of one table with several seeds.

    Parameters
    ----------
    rule
        How candidates were chosen.
    batch
        Runs between two decisions.
    n_rows, n_hits
        Candidates, and how many of them meet the goals.
    left_out
        Rows of the table that lack a value and are no candidates.
    traces
        One a seed.
    """

    rule: Rule
    batch: int
    n_rows: int
    n_hits: int
    left_out: int
    traces: tuple[Trace, ...]

    @property
    def n_runs(self) -> int:
        """Runs of each seed."""
        return len(self.traces[0].hits)

    @property
    def base_rate(self) -> float:
        """Hits a run of candidates drawn at random."""
        return self.n_hits / self.n_rows

    def gains(self, *, after_start: bool = False) -> NDArray[np.float64]:
        """Hits a run over those of random draws, (n_seeds,): all runs, or those after the random ones at the start."""
        begin = min(self.rule.start, self.n_runs - 1) if after_start else 0
        return np.array([trace.hits[begin:].mean() for trace in self.traces]) / self.base_rate

    def random_hits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of the hits of random draws after 1, 2, ... runs (hypergeometric), (n_runs,) each."""
        law = hypergeom(self.n_rows, self.n_hits, np.arange(1, self.n_runs + 1))
        return law.mean(), law.std()

    def scores(self) -> dict[str, Any]:
        """The result in numbers."""
        hits = np.array([int(trace.hits.sum()) for trace in self.traces])
        mean, spread = self.random_hits()
        return {
            "n_candidates": self.n_rows,
            "n_hits_there": self.n_hits,
            "n_left_out": self.left_out,
            "n_runs": self.n_runs,
            "batch": self.batch,
            "hits": {**_spread(hits), "by_seed": {trace.seed: int(n) for trace, n in zip(self.traces, hits, strict=True)}},
            "random_hits": {"mean": float(mean[-1]), "sd": float(spread[-1])},
            "hit_rate": _spread(hits / self.n_runs),
            "random_hit_rate": self.base_rate,
            "gain": _spread(self.gains()),
            "gain_after_start": _spread(self.gains(after_start=True)),
            "share_of_hits_found": _spread(hits / self.n_hits),
        }


def simulate(
    features: pd.DataFrame,
    targets: pd.DataFrame,
    rule: Rule,
    *,
    seeds: Sequence[int],
    batch: int = 10,
    runs: int | None = None,
    say: Say = lambda _text: None,
) -> Replay:
    """Replay a finished campaign: candidates are run in rounds, and a decision sees only what the rounds before it have found.

    The first round is drawn at random; it and the last one may be of another size than the others.

    Parameters
    ----------
    features
        (n, n_features) of the candidates, the index their names.
    targets
        (n, ...) what their runs give, a column for each goal, in the same order.
    rule
        How candidates are chosen.
    seeds
        One replay each.
    batch
        Runs between two decisions.
    runs
        Runs of a replay; default: a tenth of the candidates, but no less than twice those drawn at random at the start.
    say
        Told how it gets on.

    Raises
    ------
    HibanaError
        HIB-287 if no candidate meets the goals or all do, or if there are not more candidates than runs or no more runs than at
        the start; those of :func:`hibana.learn.priority.decide.decide`.
    """
    there = np.logical_and.reduce([targets[goal.column].notna().to_numpy() for goal in rule.goals])
    features, targets = features[there], targets[there]
    met = all_met(rule.goals, targets)
    n_runs = max(len(met) // 10, 2 * rule.start) if runs is None else runs
    if not 0 < met.sum() < len(met):
        raise NOTHING_TO_REPLAY.error(f"{met.sum()} of {len(met)} rows with all values meet {rule.words}")
    if not rule.start < n_runs < len(met):
        raise NOTHING_TO_REPLAY.error(f"{n_runs} runs with {rule.start} at the start, of {len(met)} candidates")
    traces = []
    for seed in seeds:
        rows = _run(features, targets, rule, seed, batch, n_runs)
        traces.append(Trace(seed, tuple(map(str, features.index[rows])), met[rows]))
        say(f"seed {seed}: {met[rows].sum()} of {met.sum()} hits in {n_runs} of {len(met)} runs")
    return Replay(rule, batch, len(met), int(met.sum()), int((~there).sum()), tuple(traces))


def _run(features: pd.DataFrame, targets: pd.DataFrame, rule: Rule, seed: int, batch: int, n_runs: int) -> NDArray[np.intp]:
    """Rows in the order in which they are run."""
    row_of = {name: row for row, name in enumerate(features.index)}
    done: list[int] = []
    while len(done) < n_runs:
        wanted = min(batch if len(done) >= rule.start else rule.start, n_runs - len(done))
        waiting = np.ones(len(features), dtype=bool)
        waiting[done] = False
        known = features.iloc[done], targets.iloc[done]
        decisions = decide(*known, features[waiting], rule, seed=seed, batch=wanted)
        done += [row_of[item.material_id] for item in decisions.items[:wanted]]
    return np.array(done)


def _spread(values: NDArray[Any]) -> dict[str, float | None]:
    """Mean, standard deviation over seeds (none of one), smallest and largest."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "min": float(np.min(values)), "max": float(np.max(values))}
