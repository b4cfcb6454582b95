"""Figures of the interaction regression: errors by split, and the leading coefficients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hibana.learn.figures import COLOURS, COLUMN, GREY, canvas, labelled, write_figure
from hibana.learn.ilr.benchmark import DESCRIPTORS, ILR

MARKERS = ("o", "s", "D", "^", "v")


def errors_by_split(found: pd.DataFrame, unit: str, path: Path) -> Path:
    """Root-mean-square error of each method on each split; hollow marks had the categories as well.

    Parameters
    ----------
    found
        As :func:`hibana.learn.ilr.benchmark.benchmark` gives it.
    unit
        Of the error.
    path
        File to write.
    """
    from matplotlib.ticker import LogLocator

    splits = list(dict.fromkeys(found["split"]))
    methods = [ILR, *sorted(set(found["method"]) - {ILR})]
    with canvas(width=2 * COLUMN, height=max(2.2, 0.5 + 0.24 * len(splits))) as (figure, axes):
        for colour, marker, method in zip(COLOURS, MARKERS, methods, strict=False):
            for inputs, part in found[found["method"] == method].groupby("inputs"):
                filled = method == ILR or inputs == DESCRIPTORS
                axes.plot(
                    part["rmse"],
                    [splits.index(name) for name in part["split"]],
                    linestyle="none",
                    marker=marker,
                    markersize=5 if method == ILR else 4,
                    color=colour,
                    markerfacecolor=colour if filled else "none",
                    label=method if filled else f"{method}, with categories",
                )
        axes.set_yticks(np.arange(len(splits)), splits)
        axes.invert_yaxis()
        axes.grid(axis="y", color=GREY, alpha=0.2)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel(labelled("RMSE", unit))
        figure.legend(loc="outside right upper")
        return write_figure(figure, path)
