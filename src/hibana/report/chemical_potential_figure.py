"""Diagram of chemical potentials: where a compound and its competing phases are stable."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pymatgen.util.string import latexify

from hibana.documents.chemical_potentials import ChemicalPotentialDoc, Diagram, Vertex
from hibana.report.canvas import FAINT, entitle, new_figure
from hibana.report.errors import NO_RESULT
from hibana.report.vacancy_energy_figure import OXYGEN_NAMES

THIN = 1e-6
"""A region whose projection has less area than this, eV^2, is drawn as a line."""

MOST_VERTICES = 12
"""Corners drawn as bars; of a region with more only those of the limits."""

ROOM = 0.12
"""Part of the plane above 0 that is left to labels."""

BAR = 0.8
"""Width of the bars of one corner together."""


def draw_chemical_potentials(document: ChemicalPotentialDoc, space_group_symbol: str | None) -> Figure:
    """Draw the figure: a plane of two potentials for up to three elements, bars of all corners for more.

    An unstable compound has no region; its competing phases are drawn, and the title says how far it is above them.

    Raises
    ------
    HibanaError
        HIB-150 if the diagram has neither regions nor corners.
    """
    potentials = document.chemical_potentials
    diagram = None if potentials is None else potentials.diagram(potentials.oxygen.used)
    if diagram is None or not (diagram.regions or diagram.vertices):
        why = document.reason or (diagram and diagram.reason) or "the document has no diagram"
        raise NO_RESULT.error(why, where=document.material_id)
    figure = new_figure()
    axes = figure.subplots()
    if diagram.regions:
        _draw_plane(axes, diagram)
    else:
        _draw_bars(axes, diagram)
    entitle(figure, document, space_group_symbol, _verdict(diagram))
    return figure


def plane_of(diagram: Diagram) -> tuple[str, str]:
    """Elements of the two axes: the first that is not oxygen, and oxygen.

    The third element's potential follows from the others on the plane of a compound that has it: projected along it, the regions
    of these compounds lie side by side, and those of the others are lines.
    """
    others = [element for element in diagram.elements if element != "O"]
    return (others[0], "O") if "O" in diagram.elements else (others[0], others[1])


def outline(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Corners (n, 2) of a convex region in their order around it; None if they are on a line."""
    centre = points.mean(axis=0)
    offsets = points - centre
    ordered = points[np.argsort(np.arctan2(offsets[:, 1], offsets[:, 0]))]
    x, y = (ordered - centre).T
    area = 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    return ordered if area > THIN else None


def _draw_plane(axes: Axes, diagram: Diagram) -> None:
    names = plane_of(diagram)
    columns = [diagram.elements.index(name) for name in names]
    for region in diagram.regions:
        points = np.array(region.vertices)[:, columns]
        _draw_region(axes, points, region.formula, is_target=region.formula == diagram.target)
    for vertex in diagram.vertices:
        place = (vertex.chemical_potentials[names[0]], vertex.chemical_potentials[names[1]])
        axes.plot(*place, "o", color="C1", markersize=4, label=f"_{vertex.label}", zorder=5)
        axes.annotate(_label(diagram, vertex), place, (5, 5), textcoords="offset points", color="C1", zorder=6)
    corners = np.array([point for region in diagram.regions for point in region.vertices])[:, columns]
    low = corners.min(axis=0)
    axes.set_xlim(low[0], -ROOM * low[0])
    axes.set_ylim(low[1], -ROOM * low[1])
    x_label, y_label = (f"$\\Delta\\mu_\\mathrm{{{name}}}$ (eV)" for name in names)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    _list_phases(axes, diagram)


def _draw_region(axes: Axes, points: NDArray[np.float64], formula: str, *, is_target: bool) -> None:
    shape = outline(points)
    color, width = ("C0", 2.2) if is_target else (FAINT, 1.0)
    if shape is not None:
        axes.fill(*shape.T, facecolor="C0" if is_target else "0.96", edgecolor=FAINT, alpha=0.35 if is_target else 1.0)
    else:
        offsets = points - points.mean(axis=0)
        along = points[np.argsort(offsets @ np.linalg.svd(offsets)[2][0])]
        axes.plot(*along[[0, -1]].T, color=color, linewidth=width, label=f"_{formula}")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.8}
    x, y = points.mean(axis=0).tolist()
    axes.annotate(latexify(formula), (x, y), ha="center", va="center", color="C0" if is_target else "0.3", bbox=box)


def _draw_bars(axes: Axes, diagram: Diagram) -> None:
    """A group of bars for each corner, a bar for each element."""
    vertices = list(diagram.vertices)
    if len(vertices) > MOST_VERTICES:
        named = {limit.vertex for limit in diagram.limits}
        vertices = [vertex for vertex in vertices if vertex.label in named]
    width = BAR / len(diagram.elements)
    for number, element in enumerate(diagram.elements):
        places = np.arange(len(vertices)) - BAR / 2 + (number + 0.5) * width
        axes.bar(places, [vertex.chemical_potentials[element] for vertex in vertices], width, color=f"C{number}", label=element)
    axes.set_xticks(range(len(vertices)), [_under(diagram, vertex) for vertex in vertices], fontsize=6)
    axes.tick_params(axis="x", which="both", length=0)
    axes.axhline(0.0, color=FAINT, linewidth=0.8)
    axes.set_ylabel("$\\Delta\\mu$ (eV)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _label(diagram: Diagram, vertex: Vertex) -> str:
    """Letter of a corner, with the limits it is."""
    return ", ".join([vertex.label, *(limit.name for limit in diagram.limits if limit.vertex == vertex.label)])


def _under(diagram: Diagram, vertex: Vertex) -> str:
    return "\n".join([_label(diagram, vertex), *(latexify(phase) for phase in vertex.competing_phases)])


def _list_phases(axes: Axes, diagram: Diagram) -> None:
    """What the target is in equilibrium with at each corner."""
    lines = [f"{vertex.label}: {', '.join(latexify(name) for name in vertex.competing_phases)}" for vertex in diagram.vertices]
    if lines:
        axes.text(1.02, 1.0, "\n".join(lines), transform=axes.transAxes, fontsize=7, va="top", label="phases")


def _verdict(diagram: Diagram) -> str:
    oxygen = f", oxygen from {OXYGEN_NAMES[diagram.oxygen_reference]}" if diagram.oxygen_reference else ""
    if diagram.status == "stable":
        return f"chemical potentials{oxygen}"
    above = "" if diagram.energy_above_hull is None else f", {diagram.energy_above_hull:.3f} eV/atom above the competing phases"
    return f"chemical potentials: {diagram.status.replace('_', ' ')}{above}{oxygen}"
