"""Figures of a regression: out-of-fold predictions against the truth, learning curves, importances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hibana.learn.figures import COLOURS, COLUMN, GREY, canvas, labelled, panel_letter, write_figure
from hibana.learn.regression.validation import Validation

TOP = 20
"""Features shown."""
FEWEST_DOTS = 3000
"""From this many rows on, the density is shown instead of dots."""


def parity(validations: Mapping[str, Validation], label: str, path: Path) -> Path:
    """Out-of-fold prediction against truth, one panel a validation.

    Parameters
    ----------
    validations
        By title.
    label
        Target with its unit, on the transformed scale.
    path
        File to write.
    """
    with canvas(1, len(validations), width=COLUMN * len(validations), height=COLUMN, squeeze=False) as (figure, axes):
        for index, (title, found) in enumerate(validations.items()):
            panel, frame = axes[0, index], found.predictions
            low = float(min(frame["truth"].min(), frame["prediction"].min()))
            high = float(max(frame["truth"].max(), frame["prediction"].max()))
            if len(frame) < FEWEST_DOTS:
                panel.scatter(
                    frame["truth"], frame["prediction"], s=5, alpha=0.5, linewidths=0, color=COLOURS[index % len(COLOURS)]
                )
            else:
                panel.hexbin(frame["truth"], frame["prediction"], gridsize=70, bins="log", mincnt=1, linewidths=0)
            panel.plot([low, high], [low, high], color=GREY, linewidth=0.8)
            scores = found.pooled
            panel.text(0.04, 0.96, f"R² {scores.r2:.3f}\nMAE {scores.mae:.3g}", transform=panel.transAxes, va="top")
            panel.set_xlabel(label)
            panel.set_ylabel("out-of-fold prediction")
            panel.set_aspect("equal")
            panel_letter(panel, index)
            panel.set_title(title)
        return write_figure(figure, path)


def curves(found: Mapping[str, pd.DataFrame], unit: str, path: Path) -> Path:
    """Root-mean-square error and R² against the number of training rows, mean and standard deviation over folds.

    Parameters
    ----------
    found
        Mean curve by title (:func:`hibana.learn.regression.learning_curve.mean_curve`).
    unit
        Of the error.
    path
        File to write.
    """
    with canvas(1, 2, height=COLUMN * 0.85) as (figure, axes):
        for index, (name, label) in enumerate((("rmse", labelled("RMSE", unit)), ("r2", "R²"))):
            for (title, curve), colour in zip(found.items(), COLOURS, strict=False):
                axes[index].errorbar(
                    curve["n_train"], curve[name], curve[f"{name}_sd"], marker="o", capsize=2, color=colour, label=title
                )
            axes[index].set_xscale("log")
            axes[index].set_xlabel("training rows")
            axes[index].set_ylabel(label)
            panel_letter(axes[index], index)
        axes[0].legend()
        return write_figure(figure, path)


def importance_bars(frame: pd.DataFrame, title: str, path: Path) -> Path:
    """The features that are needed most: loss of R² on held-out rows when shuffled, with its standard deviation over folds.

    Parameters
    ----------
    frame
        As :func:`hibana.learn.regression.importances.summary` gives it.
    title
        Of the figure.
    path
        File to write.
    """
    shown = frame.head(TOP).iloc[::-1]
    with canvas(height=0.4 + 0.19 * len(shown)) as (figure, axes):
        places = np.arange(len(shown))
        axes.barh(
            places, shown["permutation_r2_loss"], xerr=shown["permutation_r2_loss_sd"].fillna(0), color=COLOURS[0], capsize=2
        )
        axes.set_yticks(places, [str(name).removeprefix("MagpieData ") for name in shown.index])
        axes.set_xlabel("loss of R² when shuffled among held-out rows")
        axes.set_title(title)
        return write_figure(figure, path)
