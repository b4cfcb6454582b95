"""Absorption coefficient against photon energy, with the gaps marked."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from hibana.properties.spectra import ABSORPTION_FLOOR, ONSET_ABSORPTION
from hibana.report.canvas import FAINT, entitle, mark_gap, new_figure
from hibana.report.dielectric_figure import GAP_NAMES, shift_line
from hibana.report.spectra import Absorption

LOWEST = float(np.log10(ABSORPTION_FLOOR))
"""Bottom of the figure: smaller coefficients are not told apart."""


def draw_absorption(data: Absorption, space_group_symbol: str | None) -> Figure:
    """Draw the figure: log10 of the absorption coefficient with and without the scissor shift, both gaps and the onset."""
    optics = data.optics
    figure = new_figure()
    axes = figure.subplots()
    if data.as_calculated is not None:
        axes.plot(*data.as_calculated, color=FAINT, linestyle="-", linewidth=0.8, label="PBEsol, as calculated")
    name = GAP_NAMES[optics.gap_source]
    axes.plot(
        data.energies, data.shifted, color="C0", label=name if optics.gap_source == "none" else f"shifted to the {name} gap"
    )
    if optics.gap_used is not None:
        mark_gap(axes, optics.gap_used, "fundamental", f"fundamental gap {optics.gap_used:.2f} eV")
    if optics.direct_gap is not None:
        mark_gap(axes, optics.direct_gap, "direct", f"direct gap {optics.direct_gap:.2f} eV")
    if optics.onset is not None:
        label = f"onset {optics.onset:.2f} eV"
        axes.plot([optics.onset], [np.log10(ONSET_ABSORPTION)], "o", color="C0", markersize=3.5, label=label)
    axes.set_xlim(data.energies[0], data.energies[-1])
    axes.set_ylim(bottom=LOWEST)
    axes.set_xlabel("Photon energy (eV)")
    axes.set_ylabel("log$_{10}$(α / cm$^{-1}$)")
    axes.legend(loc="lower right")
    entitle(figure, optics, space_group_symbol, f"absorption of independent particles, {shift_line(optics)}")
    return figure
