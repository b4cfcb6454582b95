"""Figures of spectra: predicted ones, the course of a training, and clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hibana.learn.figures import COLOURS, COLUMN, GREY, canvas, labelled, write_figure
from hibana.learn.spectra.scores import cosines
from hibana.learn.spectra.ward import Indices

Array = NDArray[np.float64]

PANELS, ACROSS = 24, 4
"""Clusters shown at most, and panels side by side."""

QUANTILES = (0.9, 0.75, 0.5, 0.25, 0.1, 0.02)
"""Of the cosine between prediction and truth: the examples shown."""

MOST_ELEMENTS = 4


def learning(history: Sequence[Mapping[str, float]], best: int, path: Path) -> Path:
    """Loss by epoch, on the training and on the validation rows, with the epoch that was kept."""
    epochs = np.arange(1, len(history) + 1)
    with canvas(width=COLUMN, height=0.75 * COLUMN) as (figure, axes):
        for name in ("training", "validation"):
            axes.plot(epochs, [entry[name] for entry in history], label=name)
        axes.axvline(best, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean squared error (scaled)")
        axes.legend()
        return write_figure(figure, path)


def examples(grid: Array, axis: tuple[str, str], truth: Array, prediction: Array, names: Sequence[str], path: Path) -> Path:
    """Predicted and true spectra of held-out rows, from well to badly predicted.

    A title has the cosine between the two and the quantile q that it is among all.

    Parameters
    ----------
    grid
        (n_points,).
    axis
        Labels of the two axes.
    truth, prediction
        (n, n_points).
    names
        Title of each row.
    path
        File to write.
    """
    found = cosines(truth, prediction)
    order = np.argsort(found)
    chosen = [int(order[round(quantile * (len(order) - 1))]) for quantile in QUANTILES]
    with canvas(2, 3, height=1.2 * COLUMN, sharex=True) as (figure, axes):
        for panel, row, quantile in zip(axes.ravel(), chosen, QUANTILES, strict=True):
            panel.plot(grid, truth[row], color="black", linewidth=0.9, label="table")
            panel.plot(grid, prediction[row], color=COLOURS[1], linewidth=0.9, label="network")
            panel.set_title(f"{names[row]}, {found[row]:.2f} (q = {quantile:g})", fontsize=7)
            panel.set_ylim(bottom=0)
        axes[0, 0].legend(fontsize=7)
        figure.supxlabel(axis[0], fontsize=9)
        figure.supylabel(axis[1], fontsize=9)
        return write_figure(figure, path)


def cluster_grid(
    grid: Array, axis: tuple[str, str], labels: Indices, spectra: Array, elements: Sequence[Sequence[str]], path: Path
) -> Path:
    """Mean spectrum of the largest clusters with the standard deviation, and the elements that most of their crystals have.

    Parameters
    ----------
    grid
        (n_points,).
    axis
        Labels of the two axes.
    labels
        (n,) cluster of each row, from 0, the largest first.
    spectra
        (n, n_points), NaN where a point is missing.
    elements
        Of each row.
    path
        File to write.
    """
    shown = min(PANELS, int(labels.max()) + 1)
    rows = -(-shown // ACROSS)
    top = float(np.nanmax(spectra))
    with canvas(rows, ACROSS, height=0.3 + 1.25 * rows, sharex=True, squeeze=False) as (figure, axes):
        for number, panel in enumerate(axes.ravel()):
            if number >= shown:
                panel.set_visible(False)
                continue
            own = labels == number
            mean, spread = np.nanmean(spectra[own], axis=0), np.nanstd(spectra[own], axis=0)
            colour = COLOURS[number % len(COLOURS)]
            panel.fill_between(grid, np.maximum(mean - spread, 0), mean + spread, color=colour, alpha=0.3, linewidth=0)
            panel.plot(grid, mean, color=colour)
            panel.set_ylim(0, min(top, 1.15 * float(np.nanmax(mean + spread))))
            counts = Counter(element for row in np.flatnonzero(own) for element in elements[row])
            common = ", ".join(f"{element} {count}" for element, count in counts.most_common(MOST_ELEMENTS))
            panel.set_title(f"{number}: n = {own.sum()}; {common}", fontsize=5)
            panel.tick_params(labelsize=6)
        figure.supxlabel(axis[0], fontsize=9)
        figure.supylabel(axis[1], fontsize=9)
        return write_figure(figure, path)


def shares(found: Mapping[str, float], path: Path) -> Path:
    """Share of the variance of held-out spectra that clusters of each kind of vector explain."""
    with canvas(width=COLUMN * 1.4, height=0.5 + 0.22 * len(found)) as (figure, axes):
        places = np.arange(len(found))[::-1]
        axes.barh(places, list(found.values()), color=COLOURS[0])
        axes.set_yticks(places, [labelled(name) for name in found])
        axes.set_xlabel("share of held-out spectral variance explained")
        axes.axvline(0, color=GREY, linewidth=0.8)
        return write_figure(figure, path)
