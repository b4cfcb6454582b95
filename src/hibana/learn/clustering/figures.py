"""Figures of a clustering: map of the groups, their features, and how they hang together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.figures import COLOURS, COLUMN, GREY, canvas, panel_letter, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hibana.learn.clustering.groups import Expectation

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

MANY = "tab20"
DIVERGING = "RdBu_r"
FEW_DOTS = 3_000
"""Up to this many rows, dots are large."""


def group_map(
    labels: Labels,
    target: Array,
    against: Array,
    expectation: Expectation,
    groups: pd.DataFrame,
    words: tuple[str, str],
    path: Path,
) -> Path:
    """Target against the other column: (a) all groups, (b) the promising ones and what was expected.

    Parameters
    ----------
    labels
        (n,) group of each row.
    target, against
        (n,)
    expectation
        The curve.
    groups
        As :func:`hibana.learn.clustering.groups.judge_groups` gives it.
    words
        Labels of the axes: other column, target.
    path
        File to write.
    """
    from matplotlib import colormaps

    size = 8 if len(labels) <= FEW_DOTS else 1.5
    ranked = groups[groups["rank"].notna()].sort_values("rank").index[: len(COLOURS)]
    with canvas(1, 2, width=2.4 * COLUMN, height=1.15 * COLUMN, sharex=True, sharey=True) as (figure, axes):
        colours = colormaps[MANY](labels % 20)
        axes[0].scatter(against, target, s=size, c=colours, alpha=0.8, linewidths=0, rasterized=True)
        for group in groups.index:
            inside = labels == group
            axes[0].text(
                np.nanmedian(against[inside]), np.median(target[inside]), str(group), ha="center", va="center", fontsize=7
            )
        axes[1].scatter(against, target, s=size, color=GREY, alpha=0.25, linewidths=0, rasterized=True)
        for group, colour in zip(ranked, COLOURS, strict=False):
            inside = labels == group
            name = f"group {group} ({int(inside.sum())})"
            axes[1].scatter(
                against[inside], target[inside], s=1.6 * size, color=colour, linewidths=0, label=name, rasterized=True
            )
        grid = np.linspace(np.nanmin(against), np.nanmax(against), 200)
        axes[1].plot(grid, expectation.curve(grid), color="black", label="expected")
        axes[1].legend(fontsize=7)
        for index, panel in enumerate(axes):
            panel.set_xlabel(words[0])
            panel_letter(panel, index)
        axes[0].set_ylabel(words[1])
        return write_figure(figure, path)


def target_strips(labels: Labels, target: Array, groups: pd.DataFrame, word: str, path: Path) -> Path:
    """Target of the rows of each group; the promising ones in colour. For clusterings without another column."""
    promising = set(groups.index[groups["rank"].notna()])
    with canvas(width=2 * COLUMN, height=COLUMN) as (figure, axes):
        parts = axes.violinplot([target[labels == group] for group in groups.index], list(range(len(groups))), showmedians=True)
        for body, group in zip(parts["bodies"], groups.index, strict=True):
            body.set_facecolor(COLOURS[0] if group in promising else GREY)
        axes.set_xticks(range(len(groups)), [str(group) for group in groups.index])
        axes.set_xlabel("group")
        axes.set_ylabel(word)
        return write_figure(figure, path)


def feature_map(found: pd.DataFrame, features: Sequence[str], order: Sequence[int], groups: pd.DataFrame, path: Path) -> Path:
    """Signed Kolmogorov-Smirnov statistic of features in all groups, promising groups marked with their rank.

    Parameters
    ----------
    found
        As :func:`hibana.learn.clustering.signature.signatures` gives it.
    features
        Columns, at least one.
    order
        Groups from top to bottom.
    groups
        As :func:`hibana.learn.clustering.groups.judge_groups` gives it.
    path
        File to write.
    """
    values = found.pivot(index="group", columns="feature", values="ks").reindex(index=list(order), columns=list(features))
    width, height = 1.8 + 0.22 * len(features), 1.9 + 0.19 * len(order)
    with canvas(width=max(width, 2 * COLUMN), height=height) as (figure, axes):
        axes.set_facecolor("#dddddd")
        image = axes.imshow(values, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_xticks(
            range(len(features)), [_short(name) for name in features], rotation=60, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(order)), [_name(group, groups) for group in order])
        axes.tick_params(length=0, right=False)
        figure.colorbar(image, ax=axes, label="KS statistic, group against rest")
        return write_figure(figure, path)


def dendrogram(tree: Array, groups: pd.DataFrame, path: Path) -> Path:
    """The last merges, of the groups; promising groups marked with their rank.

    Parameters
    ----------
    tree
        (n_groups - 1, 4) as SciPy has it; leaf i is the i-th group.
    groups
        As :func:`hibana.learn.clustering.groups.judge_groups` gives it.
    path
        File to write.
    """
    from scipy.cluster.hierarchy import dendrogram as draw

    with canvas(width=COLUMN * 1.3, height=0.7 + 0.19 * len(groups)) as (figure, axes):
        names = [_name(group, groups) for group in groups.index]
        draw(tree, ax=axes, orientation="left", labels=names, color_threshold=0, above_threshold_color="black", leaf_font_size=8)
        axes.set_xlabel("height of the merge")
        axes.invert_yaxis()
        _bare(axes)
        return write_figure(figure, path)


def _bare(axes: Axes) -> None:
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _name(group: int, groups: pd.DataFrame) -> str:
    """Number and size of a group, and its rank if it is promising."""
    rank = groups.at[group, "rank"]
    return f"{group} ({groups.at[group, 'n']})" + ("" if pd.isna(rank) else f"  #{rank}")


def _short(name: str) -> str:
    return name.removeprefix("MagpieData ").replace("_", " ")
