"""How the figures of the learning modules look, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.15
"""Width of a figure that fills one column of print, in inches; two columns are twice that."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Okabe and Ito's palette, told apart with every colour vision."""

GREY = "#888888"
MAP = "viridis"

STYLE: dict[str, Any] = {
    "figure.figsize": (2 * COLUMN, 4.0),
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "savefig.dpi": 300,
    "svg.hashsalt": "hibana",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.1,
    "lines.markersize": 3,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": False,
    "ytick.right": True,
    "image.cmap": MAP,
}


@contextmanager
def canvas(
    rows: int = 1, columns: int = 1, *, width: float = 2 * COLUMN, height: float = 4.0, **options: Any
) -> Iterator[tuple[Figure, Any]]:
    """A figure with axes in hibana's style; what is drawn inside the ``with`` block has it.

    No window system is needed and pyplot's state is not touched, so figures can be drawn in threads and in jobs.

    Parameters
    ----------
    rows, columns
        Panels.
    width, height
        Of the figure, in inches.
    options
        Passed on to ``Figure.subplots``.

    Yields
    ------
    tuple
        The figure, and its axes as ``Figure.subplots`` returns them (one, or an array).
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "axes.prop_cycle": cycler("color", list(COLOURS))}):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(rows, columns, **options)


def write_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of its suffix, without date or version, so that equal figures are equal files.

    Call it inside the ``with`` block of :func:`canvas`.

    Parameters
    ----------
    figure
        The figure.
    path
        ``.png``, ``.svg`` or ``.pdf``; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    nothing: dict[str, dict[str, Any]] = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    figure.savefig(path, metadata=nothing.get(path.suffix))
    return path


def labelled(name: str, unit: str = "") -> str:
    """Label of an axis: what, and in which unit. Underscores become spaces; a pure number has no unit."""
    text = name.replace("_", " ")
    return f"{text} ({unit})" if unit not in ("", "1") else text


def panel_letter(axes: Axes, index: int) -> None:
    """Mark a panel (a), (b), ... above its upper left corner."""
    axes.set_title(f"({chr(ord('a') + index)})", loc="left")
