"""Phonon frequencies at Γ as sticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hibana.documents.dielectric import PhononDoc
from hibana.report.canvas import FAINT, entitle, new_figure
from hibana.report.errors import NO_RESULT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAME = 0.02
"""Modes within so many THz of the one before are one stick, as high as they are many."""

WAVENUMBERS = 33.35641
"""1/cm per THz."""

ROOM = 1.2
"""Height of the figure over that of the highest stick; the legend stands in the difference."""

COLORS = {"optical": "C0", "acoustic": FAINT, "imaginary": "C1"}


def draw_gamma_modes(phonon: PhononDoc, space_group_symbol: str | None) -> Figure:
    """Draw the figure: a stick for each frequency, as high as its degeneracy, and below it the modes without the sum rule.

    Raises
    ------
    HibanaError
        HIB-150 if the document has no frequencies.
    """
    if not phonon.frequencies:
        raise NO_RESULT.error(phonon.reason or "the document has no frequencies", where=phonon.material_id)
    figure = new_figure()
    axes = figure.subplots()
    for kind, (places, heights) in sticks(phonon).items():
        if len(places):
            axes.vlines(places, 0.0, heights, color=COLORS[kind], linewidth=2.0, label=kind)
    if phonon.frequencies_raw and phonon.source == "force_constants":
        raw = np.array(phonon.frequencies_raw)
        axes.plot(raw, np.full_like(raw, -0.25), "|", color=FAINT, markersize=6, label="without the sum rule")
    _finish(axes, phonon)
    entitle(figure, phonon, space_group_symbol, _verdict(phonon))
    return figure


def sticks(phonon: PhononDoc) -> dict[str, tuple[NDArray[np.float64], NDArray[np.intp]]]:
    """Place (THz) and height (number of modes) of the sticks of each kind of mode."""
    frequencies = np.sort(np.array(phonon.frequencies, dtype=float))
    is_acoustic = np.zeros(len(frequencies), dtype=bool)
    known = (0.0, 0.0, 0.0) if phonon.source == "force_constants" else phonon.acoustic_frequencies or ()
    for frequency in known:
        is_acoustic[np.argmin(np.where(is_acoustic, np.inf, np.abs(frequencies - frequency)))] = True
    kinds = {"optical": ~is_acoustic & (frequencies >= 0), "acoustic": is_acoustic, "imaginary": ~is_acoustic & (frequencies < 0)}
    return {kind: _grouped(frequencies[chosen]) for kind, chosen in kinds.items()}


def _grouped(frequencies: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Means and sizes of groups of ascending frequencies that lie together."""
    parts = np.split(frequencies, np.flatnonzero(np.diff(frequencies) > SAME) + 1) if len(frequencies) else []
    return np.array([part.mean() for part in parts]), np.array([len(part) for part in parts], dtype=np.intp)


def _finish(axes: Axes, phonon: PhononDoc) -> None:
    frequencies = np.array(phonon.frequencies)
    if phonon.threshold is not None:
        axes.axvline(phonon.threshold, color=FAINT, linewidth=0.8, linestyle=":", label=f"threshold {phonon.threshold:g} THz")
    width = float(np.ptp(frequencies)) or 1.0
    axes.set_xlim(min(0.0, float(frequencies.min())) - 0.05 * width, float(frequencies.max()) + 0.05 * width)
    axes.axhline(0.0, color="0.1", linewidth=0.8)
    axes.set_ylim(-0.5, ROOM * max(heights.max(initial=1) for _, heights in sticks(phonon).values()))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.minorticks_off()
    axes.set_xlabel("Frequency (THz), imaginary ones negative")
    axes.set_ylabel("Modes")
    above = axes.secondary_xaxis(
        "top", functions=(lambda thz: np.asarray(thz) * WAVENUMBERS, lambda wavenumber: np.asarray(wavenumber) / WAVENUMBERS)
    )
    above.set_xlabel("Wavenumber (cm$^{-1}$)")
    axes.legend(loc="upper center", ncols=5, columnspacing=1.0, frameon=True, edgecolor="none")


def _verdict(phonon: PhononDoc) -> str:
    if phonon.is_stable is None:
        return "phonons at Γ, stability unknown"
    if not phonon.is_stable:
        count = "imaginary modes" if phonon.n_imaginary is None else f"imaginary modes: {phonon.n_imaginary}"
        return f"phonons at Γ: unstable, {count}"
    lowest = "" if phonon.lowest_optical is None else f", lowest optical mode {phonon.lowest_optical:.2f} THz"
    return f"phonons at Γ: stable{lowest}"
