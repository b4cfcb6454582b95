"""Figure of a screening: how many inputs are left after each step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from hibana.report.canvas import FAINT, new_figure, save, style

HEIGHT = 0.36
"""Height of a bar with its space, inches."""

NAMES = {"not_in_store": "not in the store", "hull_distance": "energy above the hull", "duplicates": "without duplicates"}


def draw_funnel(steps: Sequence[tuple[str, int]], title: str) -> Figure:
    """Draw a bar for each step, the number left and what the step took away.

    Parameters
    ----------
    steps
        Name of each step and how many are left after it; the first is the number of inputs.
    title
        What was screened by which rules.
    """
    figure = new_figure()
    figure.set_figheight(1.1 + HEIGHT * len(steps))
    axes = figure.subplots()
    left = [count for _, count in steps]
    most = max(left[0], 1)
    places = range(len(steps))
    axes.barh(places, left, height=0.72, color="C0")
    for place, count in enumerate(left):
        lost = left[place - 1] - count if place else 0
        label = f"{count:,}" + (f"  (−{lost:,})" if lost else "")
        is_long = count > 0.6 * most
        axes.text(
            count - 0.01 * most if is_long else count + 0.01 * most,
            place,
            label,
            ha="right" if is_long else "left",
            va="center",
            color="white" if is_long else "0.1",
            fontsize=8,
        )
    axes.set_yticks(list(places), [NAMES.get(name, name.replace("_", " ")) for name, _ in steps])
    axes.tick_params(axis="y", which="both", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, most)
    axes.set_xlabel("structures left")
    axes.xaxis.label.set_color(FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize="medium")
    return figure


def write_funnel(steps: Sequence[tuple[str, int]], title: str, path: Path) -> None:
    """Draw a funnel in hibana's style and write it.

    Raises
    ------
    HibanaError
        HIB-152 if it cannot be written.
    """
    with style():
        save(draw_funnel(steps, title), path)
