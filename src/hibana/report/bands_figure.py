"""Band structure next to density of states, for print."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hibana.report.band_dos import BandsAndDos, Dos
from hibana.report.canvas import FAINT, entitle, new_figure

BELOW, ABOVE = -8.0, 5.0
"""Energies shown, eV: from below the valence-band maximum to above the conduction-band minimum (or the Fermi level)."""

AT_EDGE = 2e-4
"""States within so many eV of a band edge are marked on the path."""

SPINS = (("up", "0.1", "-"), ("down", "C3", "--"))
"""Name, colour and line of each spin; the first is that of a run without spin."""


def draw_bands_and_dos(data: BandsAndDos) -> Figure:
    """Draw the figure: bands on the left, density of states on the right where there is one.

    Energies are from the valence-band maximum, or from the Fermi level of a metal.
    """
    figure = new_figure()
    if data.dos is None:
        bands = figure.subplots()
    else:
        bands, dos = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        _draw_dos(dos, data.dos, _window(data))
        dos.axhline(0.0, color=FAINT, linewidth=0.6, linestyle=":")
    _draw_bands(bands, data)
    bands.set_ylim(_window(data))
    bands.set_ylabel("Energy − VBM (eV)" if data.is_gapped else "Energy − $E_\\mathrm{F}$ (eV)")
    entitle(figure, data.electronic, data.space_group_symbol, _gaps(data))
    return figure


def _window(data: BandsAndDos) -> tuple[float, float]:
    return BELOW, ABOVE + (data.electronic.band_gap_pbesol or 0.0 if data.is_gapped else 0.0)


def _draw_bands(axes: Axes, data: BandsAndDos) -> None:
    path = data.path
    for (name, color, line), bands in zip(SPINS, data.bands, strict=False):
        for branch in path.branches:
            lines = axes.plot(path.distances[branch], bands[branch], color=color, linestyle=line)
        lines[0].set_label(name)
    if len(data.bands) > 1:
        axes.legend(loc="upper right", title="spin", frameon=True, edgecolor="none")
    if data.is_gapped and data.electronic.band_gap_pbesol is not None:
        _mark_gap(axes, data, data.electronic.band_gap_pbesol)
    axes.axhline(0.0, color=FAINT, linewidth=0.6, linestyle=":")
    places = [distance for distance, _ in path.ticks]
    for place in places[1:-1]:
        axes.axvline(place, color=FAINT, linewidth=0.6)
    axes.set_xticks(places, [label for _, label in path.ticks])
    axes.tick_params(axis="x", which="both", length=0)
    axes.set_xlim(places[0], places[-1])


def _mark_gap(axes: Axes, data: BandsAndDos, gap: float) -> None:
    """Shade the gap and mark the band edges where they lie on the path."""
    axes.axhspan(0.0, gap, color="0.93", linewidth=0, zorder=0)
    for edge in (0.0, gap):
        _, points, _ = np.nonzero(np.abs(data.bands - edge) < AT_EDGE)
        places = np.unique(data.path.distances[points])
        if len(places):
            axes.plot(places, np.full_like(places, edge), "o", color="C1", markersize=3.5, clip_on=False)


def _draw_dos(axes: Axes, dos: Dos, window: tuple[float, float]) -> None:
    """Total and by element; the second spin is drawn to the left."""
    signs = (1.0, -1.0)[: len(dos.total)]
    for sign, total in zip(signs, dos.total, strict=True):
        axes.fill_betweenx(dos.energies, 0.0, sign * total, color="0.85", label="total" if sign > 0 else None, linewidth=0)
    for number, (element, density) in enumerate(dos.by_element.items()):
        for sign, part in zip(signs, density, strict=True):
            axes.plot(sign * part, dos.energies, color=f"C{number}", label=element if sign > 0 else None, linewidth=0.9)
    shown = (dos.energies >= window[0]) & (dos.energies <= window[1])
    largest = 1.05 * float(np.max(dos.total[:, shown], initial=0.0)) or 1.0
    axes.set_xlim(0.0 if len(signs) == 1 else -largest, largest)
    axes.set_xlabel("DOS (states/eV)")
    axes.legend(loc="upper right", frameon=True, framealpha=0.8, edgecolor="none")


def _gaps(data: BandsAndDos) -> str:
    doc = data.electronic
    if doc.gap_class != "gapped" or doc.band_gap_pbesol is None:
        return "metal" if doc.gap_class == "metal" else "gap unknown"
    kind = "" if doc.is_gap_direct is None else f" ({'direct' if doc.is_gap_direct else 'indirect'})"
    hybrids = {"HSE06@PBEsol": doc.band_gap_hse06_nsc, "dd-hybrid@PBEsol": doc.band_gap_ddh_nsc}
    others = "".join(f", {name} gap {gap:.2f} eV" for name, gap in hybrids.items() if gap is not None)
    return f"PBEsol gap {doc.band_gap_pbesol:.2f} eV{kind}{others}"
