"""Phonon dispersion next to the phonon density of states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hibana.documents.dispersion import DispersionDoc
from hibana.report.canvas import FAINT, entitle, new_figure
from hibana.report.errors import NO_RESULT
from hibana.report.kpath import pretty_label

if TYPE_CHECKING:
    from hibana.store.store import Store

Floats = NDArray[np.float64]

SAME_PLACE = 1e-5
"""1/Å; points of the path that are nearer than this are at one place of the axis, where two segments meet."""


@dataclass(frozen=True)
class Dispersion:
    """What the figure shows.

    Parameters
    ----------
    document
        The claims.
    distances, frequencies
        Along the path: (nq,) in 1/Å and (nq, 3n) in THz.
    dos
        Frequencies (nf,) in THz and density (nf,) in states/THz; None where there is none.
    """

    document: DispersionDoc
    distances: Floats
    frequencies: Floats
    dos: tuple[Floats, Floats] | None

    @property
    def segments(self) -> tuple[slice, ...]:
        """Stretches of the path within which frequencies are continuous: the field of longitudinal modes depends on the
        direction from which Γ is reached, so segments are never joined.
        """
        ends = np.flatnonzero(np.diff(self.distances) < SAME_PLACE) + 1
        return tuple(slice(int(a), int(b)) for a, b in zip([0, *ends], [*ends, len(self.distances)], strict=True))

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Distance and label of each labelled point, both labels where two different points share a place (``U|K``)."""
        places: list[tuple[float, list[str]]] = []
        labels, indices = self.document.path_labels or (), self.document.path_indices or ()
        for label, index in zip(labels, indices, strict=True):
            distance, text = float(self.distances[index]), pretty_label(label)
            if not places or distance - places[-1][0] > SAME_PLACE:
                places.append((distance, [text]))
            elif text not in places[-1][1]:
                places[-1][1].append(text)
        return tuple((distance, "|".join(texts)) for distance, texts in places)


def load_dispersion(store: Store, document: DispersionDoc) -> Dispersion:
    """Read the frequencies of a document.

    Raises
    ------
    HibanaError
        HIB-150 if the document has none.
    """

    def array(name: str) -> Floats:
        return np.asarray(store.array(document.arrays[name]), dtype=float)

    if not {"distances", "frequencies"} <= document.arrays.keys():
        raise NO_RESULT.error(document.reason or "the document has no frequencies", where=document.material_id)
    has_dos = {"dos_frequencies", "dos_total"} <= document.arrays.keys()
    dos = (array("dos_frequencies"), array("dos_total")) if has_dos else None
    return Dispersion(document, array("distances"), array("frequencies"), dos)


def draw_dispersion(data: Dispersion, space_group_symbol: str | None) -> Figure:
    """Draw the figure: frequencies along the path on the left, density of states on the right where there is one."""
    figure = new_figure()
    low, high = float(data.frequencies.min()), float(data.frequencies.max())
    margin = 0.04 * (high - min(low, 0.0))
    if data.dos is None:
        axes = figure.subplots()
    else:
        axes, density = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        density.fill_betweenx(data.dos[0], 0.0, data.dos[1], color="0.85", linewidth=0)
        density.plot(data.dos[1], data.dos[0], color="0.1", linewidth=0.9)
        density.set_xlim(left=0.0)
        density.set_xlabel("DOS (states/THz)")
        density.axhline(0.0, color=FAINT, linewidth=0.6, linestyle=":")
    _draw_path(axes, data)
    axes.set_ylim(min(low, 0.0) - margin, high + margin)
    axes.set_ylabel("Frequency (THz)" if low >= 0 else "Frequency (THz), imaginary ones negative")
    entitle(figure, data.document, space_group_symbol, _verdict(data.document))
    return figure


def _draw_path(axes: Axes, data: Dispersion) -> None:
    for segment in data.segments:
        axes.plot(data.distances[segment], data.frequencies[segment], color="0.1")
    axes.axhline(0.0, color=FAINT, linewidth=0.6, linestyle=":")
    places = [distance for distance, _ in data.ticks]
    for place in places[1:-1]:
        axes.axvline(place, color=FAINT, linewidth=0.6)
    axes.set_xticks(places, [label for _, label in data.ticks])
    axes.tick_params(axis="x", which="both", length=0)
    axes.set_xlim(float(data.distances[0]), float(data.distances[-1]))


def _verdict(document: DispersionDoc) -> str:
    word = {True: "stable", False: "unstable", None: "stability unknown"}[document.is_stable]
    lowest = "" if document.min_frequency is None else f", lowest frequency {document.min_frequency:.2f} THz"
    field = {True: "with LO-TO splitting", False: "without LO-TO splitting", None: "LO-TO splitting unknown"}[document.has_nac]
    return f"phonons: {word}{lowest}, {field}"
