"""What all figures share: style, size, title, the line that says where the numbers come from, and the file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from matplotlib import rc_context, rc_params_from_file
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pymatgen.util.string import latexify, latexify_spacegroup

from hibana.documents.properties import PropertyDoc
from hibana.report.errors import UNWRITABLE_FIGURE

UNDATED: dict[str, dict[str, str | None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
"""Metadata that leaves the date out, so that the same results give the same file."""

STYLE = Path(__file__).with_name("hibana.mplstyle")

FAINT = "0.45"
"""Grey of lines and words that stand back."""

GAP_LINES = {"fundamental": "--", "direct": ":"}
"""Line of each gap in all figures with a scale of energies; black, since colours tell curves apart."""


@contextmanager
def style() -> Iterator[None]:
    """Hibana's plot style, for the time of a with block; other figures of the process keep theirs."""
    with rc_context(rc_params_from_file(STYLE, use_default_template=True)):
        yield


def new_figure() -> Figure:
    """An empty figure that needs no display."""
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure


def entitle(figure: Figure, document: PropertyDoc, space_group_symbol: str | None, line: str) -> None:
    """Write above a figure what it is about, and below it where the numbers come from.

    Parameters
    ----------
    figure
        The figure.
    document
        The document shown.
    space_group_symbol
        Space group of the relaxed crystal, where it is known.
    line
        Second line of the title.
    """
    formula = latexify(document.formula)
    title = f"{formula} ({latexify_spacegroup(space_group_symbol)})" if space_group_symbol else formula
    figure.suptitle(f"{title}\n{line}", fontsize="medium", linespacing=1.4)
    code = f"{document.calculator} {document.calculator_version}"
    series = f"{code}, protocol {document.protocol} version {document.protocol_version}, {document.material_id}"
    figure.supxlabel(series, fontsize=6, color=FAINT)


def mark_gap(axes: Axes, energy: float | None, kind: Literal["fundamental", "direct"], label: str) -> None:
    """A vertical line at a gap; nothing where it is not known."""
    if energy is not None:
        axes.axvline(energy, color="0.1", linewidth=0.9, linestyle=GAP_LINES[kind], label=label)


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file appears under its name when it is complete.

    Raises
    ------
    HibanaError
        If the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".figure-", dir=path.parent) as scratch:
            figure.savefig(Path(scratch) / path.name, metadata=UNDATED.get(path.suffix))
            (Path(scratch) / path.name).replace(path)
    except OSError as error:
        raise UNWRITABLE_FIGURE.error(error.strerror or str(error), where=path) from error
