"""Dielectric function: real and imaginary part of each component of the tensor."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hibana.documents.optics import OpticsDoc
from hibana.report.canvas import FAINT, entitle, mark_gap, new_figure
from hibana.report.spectra import DielectricFunction

COMPONENTS = ("xx", "yy", "zz", "xy", "yz", "zx")

SAME = 1e-3
"""Components that differ by less than this share of the largest number are drawn as one line; smaller ones are no line."""

GAP_NAMES = {"ddh_nsc": "dd-hybrid", "hse06_nsc": "HSE06", "none": "PBEsol"}


def draw_dielectric_function(data: DielectricFunction, space_group_symbol: str | None) -> Figure:
    """Draw the figure: the real part above, the imaginary part below, with the direct gap marked.

    Components that are equal by symmetry are one line, and off-diagonal ones are drawn where they are not zero.
    """
    figure = new_figure()
    real, imag = figure.subplots(2, 1, sharex=True)
    for group, color in zip(component_groups(data), ("C0", "C1", "C2", "C3", "C4", "C5"), strict=False):
        name = " = ".join(COMPONENTS[index] for index in group)
        real.plot(data.energies, data.real[:, group[0]], color=color, label=name)
        imag.plot(data.energies, data.imag[:, group[0]], color=color, label=name)
    _finish(real, data, "Re ε")
    _finish(imag, data, "Im ε")
    real.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(real.get_legend_handles_labels()[1]), borderaxespad=0.0)
    imag.set_xlabel("Photon energy (eV)")
    entitle(figure, data.optics, space_group_symbol, f"{static_line(data.optics)}, {shift_line(data.optics)}")
    return figure


def component_groups(data: DielectricFunction) -> list[list[int]]:
    """Components that are not zero, those that are equal together, in their order."""
    tensor = np.nan_to_num(data.real + 1j * data.imag)
    limit = SAME * float(np.abs(tensor).max(initial=0.0))
    groups: list[list[int]] = []
    for index in range(len(COMPONENTS)):
        if index >= 3 and _largest(tensor[:, index]) <= limit:
            continue
        same = next((group for group in groups if _largest(tensor[:, group[0]] - tensor[:, index]) <= limit), None)
        if same is None:
            groups.append([index])
        else:
            same.append(index)
    return groups


def static_line(optics: OpticsDoc) -> str:
    """The limit at zero energy, in words."""
    if optics.epsilon_zero_average is None:
        return "independent particles"
    return f"independent particles, ε(0) = {optics.epsilon_zero_average:.2f} before the shift"


def shift_line(optics: OpticsDoc) -> str:
    """The scissor shift, in words."""
    if optics.gap_source == "none" or optics.scissor_shift is None:
        return "PBEsol spectrum, not shifted"
    return f"shifted by {optics.scissor_shift:.2f} eV to the {GAP_NAMES[optics.gap_source]} gap"


def _finish(axes: Axes, data: DielectricFunction, label: str) -> None:
    mark_gap(axes, data.optics.direct_gap, "direct", "direct gap")
    axes.axhline(0.0, color=FAINT, linewidth=0.6, linestyle=":")
    axes.set_xlim(data.energies[0], data.energies[-1])
    axes.set_ylabel(label)


def _largest(values: NDArray[np.complexfloating]) -> float:
    return float(np.abs(values).max(initial=0.0))
