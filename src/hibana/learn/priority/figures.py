"""Figure of a replay: hits against completed runs, beside those of random draws."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import numpy as np

from hibana.learn.figures import COLOURS, COLUMN, GREY, canvas, write_figure
from hibana.learn.priority.replay import Replay

TITLE_WIDTH = 70
"""Letters of a line of the title."""


def hits_against_runs(replay: Replay, path: Path) -> Path:
    """Draw the hits of every seed and their mean over the completed runs, with mean and spread of random draws.

    Parameters
    ----------
    replay
        What to draw.
    path
        File to write.
    """
    runs = np.arange(1, replay.n_runs + 1)
    found = np.array([np.cumsum(trace.hits) for trace in replay.traces])
    mean, spread = replay.random_hits()
    with canvas(width=1.6 * COLUMN, height=1.15 * COLUMN) as (figure, axes):
        axes.fill_between(runs, np.maximum(mean - spread, 0), mean + spread, color=GREY, alpha=0.3, linewidth=0)
        axes.plot(runs, mean, color=GREY, label="random draws ± 1 SD")
        for line in found:
            axes.plot(runs, line, color=COLOURS[0], linewidth=0.6, alpha=0.45)
        gain = f"{replay.gains().mean():.1f} times random draws"
        name = f"{replay.rule.kind}, {replay.rule.surrogate}: mean of {len(found)} seeds, {gain}"
        axes.plot(runs, found.mean(axis=0), color=COLOURS[0], linewidth=2, label=name)
        if replay.rule.start < replay.n_runs:
            axes.axvline(replay.rule.start, color=GREY, linestyle=":", linewidth=0.8)
        axes.set(xlabel="completed runs", ylabel=f"hits (of {replay.n_hits})", xlim=(0, replay.n_runs), ylim=(0, None))
        axes.set_title("\n".join(wrap(replay.rule.words, TITLE_WIDTH)), fontsize=8)
        axes.legend(loc="upper left")
        return write_figure(figure, path)
