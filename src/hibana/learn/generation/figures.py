"""Figures of generated compositions and of ranked templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hibana.learn.figures import COLOURS, COLUMN, GREY, canvas, labelled, panel_letter, write_figure
from hibana.learn.generation.reports import Tracking

WIDTH = 0.4
"""Of a bar."""


def generation_figure(tracking: Tracking, like: Mapping[str, Any], target: str, unit: str, path: Path) -> Path:
    """Estimates against wishes, and the number of elements of drawn and known formulas.

    Parameters
    ----------
    tracking
        Wishes and estimates.
    like
        As :func:`hibana.learn.generation.reports.likeness` gives it.
    target, unit
        Of the values.
    path
        File to write.
    """
    with canvas(1, 2, width=2 * COLUMN, height=2.8) as (figure, (left, right)):
        low, middle, high = np.quantile(tracking.estimates, (0.1, 0.5, 0.9), axis=1)
        left.plot(tracking.wanted, tracking.wanted, color=GREY, linestyle="--", label="as wanted")
        left.fill_between(tracking.wanted, low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="80 % of the draws")
        left.plot(tracking.wanted, middle, color=COLOURS[0], marker="o", label="median of the draws")
        left.set_xlabel(labelled(f"wanted {target}", unit))
        left.set_ylabel("estimate of the judge")
        left.legend()
        for place, (name, colour) in enumerate((("known", GREY), ("drawn", COLOURS[1]))):
            found = like["n_elements"][name]
            right.bar(
                np.array([int(key) for key in found]) + (place - 0.5) * WIDTH,
                list(found.values()),
                WIDTH,
                color=colour,
                label=name,
            )
        right.set_xlabel("number of elements")
        right.set_ylabel("share of the formulas")
        right.legend()
        panel_letter(left, 0)
        panel_letter(right, 1)
        return write_figure(figure, path)


def ranking_figure(accuracy: Mapping[str, Mapping[str, float]], path: Path) -> Path:
    """How often a template of the right prototype is among the first, by way of ranking.

    Parameters
    ----------
    accuracy
        Share by number of templates looked at (``top_1``, ...) for each way.
    path
        File to write.
    """
    with canvas(width=COLUMN, height=2.6) as (figure, axes):
        width = 0.8 / len(accuracy)
        for place, (name, found) in enumerate(accuracy.items()):
            axes.bar(
                np.arange(len(found)) + place * width,
                list(found.values()),
                width,
                color=COLOURS[place],
                label=name.replace("_", " "),
            )
        names = [name.replace("_", " ") for name in next(iter(accuracy.values()))]
        axes.set_xticks(np.arange(len(names)) + width * (len(accuracy) - 1) / 2, names)
        axes.set_ylim(0, 1)
        axes.set_ylabel("right prototype among them")
        axes.legend()
        return write_figure(figure, path)
