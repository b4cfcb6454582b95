"""Formation energies of vacancies against the Fermi level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hibana.defects.transition_levels import stable_ranges, transition_levels
from hibana.documents.vacancy import ChargeLine, SiteEnergies, VacancyDoc, VacancySummaryDoc
from hibana.report.canvas import FAINT, entitle, new_figure
from hibana.report.errors import NO_RESULT
from hibana.report.vacancy_terms import EDGE_NAMES

LIMITS = ("O-rich", "O-poor")
"""Limits of the chemical potentials, one panel each; standard states take their place where there are none."""

MARGIN = 0.08
"""Fermi levels shown beyond the gap on both sides, in units of it."""

NAMED = 0.98
"""Where lines of charge states that are not used have their names, in units of the gap."""

LABELS = ((0, 5, "right"), (2, -10, "left"))
"""Offset and alignment of the names of levels, of one site and the next."""

OXYGEN_NAMES = {"molecule": "the calculated molecule", "atom": "atom and binding energy"}


def draw_formation_energies(
    summary: VacancySummaryDoc, space_group_symbol: str | None, left_out: Sequence[VacancyDoc] = ()
) -> Figure:
    """Draw the figure: a panel for each limit of the chemical potentials, a colour for each site.

    The lowest charge states are thick with their transition levels as dots; all charge states used are thin lines whose slope
    is the charge. Charge states that are left out are dashed lines.

    Parameters
    ----------
    summary
        The host's vacancies.
    space_group_symbol
        Hermann-Mauguin symbol of the host, for the title.
    left_out
        Vacancies that have a formation energy but are not used.

    Raises
    ------
    HibanaError
        HIB-150 if there is no band gap or no formation energy.
    """
    panels = panels_of(summary, left_out)
    gap = summary.band_gap
    if gap is None or not panels:
        missing = "there is no band gap" if gap is None else "no charge state has a formation energy"
        raise NO_RESULT.error(summary.reason or missing, where=summary.material_id)
    figure = new_figure()
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    sites = list(dict.fromkeys(energies.site for panel in panels.values() for energies in panel))
    for part, (limit, panel) in zip(axes, panels.items(), strict=True):
        for energies in panel:
            _draw_site(part, energies, gap, sites.index(energies.site))
            _draw_left_out(part, energies, gap, sites.index(energies.site), left_out)
        _finish(part, summary, gap)
        part.set_title(f"{limit}: $\\Delta\\mu_\\mathrm{{O}}$ = {panel[0].chemical_potential + 0.0:.2f} eV")
    axes[0].set_ylabel("Formation energy (eV)")
    axes[-1].legend(loc="best", frameon=True, framealpha=0.8, edgecolor="none")
    if unused := _unused(summary):
        axes[0].text(0.02, 0.02, unused, transform=axes[0].transAxes, fontsize=6, color=FAINT, va="bottom", label="not used")
    entitle(figure, summary, space_group_symbol, _head(summary, gap))
    return figure


def panels_of(summary: VacancySummaryDoc, left_out: Sequence[VacancyDoc] = ()) -> dict[str, list[SiteEnergies]]:
    """Formation energies by limit, by the oxygen reference used; those of sites without any are left out."""
    shown = {vacancy.site for vacancy in left_out}
    own = [item for item in summary.energies if item.oxygen_reference == summary.oxygen_reference]
    used = [item for item in own if item.lines or item.site in shown]
    found = {limit: [item for item in used if item.limit == limit] for limit in LIMITS}
    found = {limit: panel for limit, panel in found.items() if panel}
    standard = [item for item in used if item.limit == "standard"]
    return found or ({"standard states": standard} if standard else {})


def charge_text(charge: int) -> str:
    """A charge as it stands in names of levels.

    >>> charge_text(2), charge_text(0), charge_text(-1)
    ('2+', '0', '1−')
    """
    return f"{abs(charge)}{'+' if charge > 0 else '−'}" if charge else "0"


def _draw_site(axes: Axes, energies: SiteEnergies, gap: float, number: int) -> None:
    color, place = f"C{number}", LABELS[number % 2]
    low, high = -MARGIN * gap, (1 + MARGIN) * gap
    for line in energies.lines:
        ends = np.array([low, high])
        name = f"{energies.site} {charge_text(line.charge)}"
        axes.plot(ends, line.energy + line.charge * ends, color=color, linewidth=0.6, alpha=0.5, label=f"_{name}")
    if energies.lines:
        _draw_lowest(axes, energies.lines, (low, high), color, f"$V_\\mathrm{{{energies.site}}}$")
    levels = transition_levels(energies.lines, 0.0, gap)
    if levels:
        places, heights = zip(*((level.level, level.energy) for level in levels), strict=True)
        axes.plot(places, heights, "o", color=color, markersize=4, label=f"_{energies.site} levels")
    for level in levels:
        text = f"({charge_text(level.charges[0])}/{charge_text(level.charges[1])})"
        where = (level.level, level.energy)
        axes.annotate(text, where, place[:2], textcoords="offset points", fontsize=7, ha=place[2], color=color)


def _draw_left_out(axes: Axes, energies: SiteEnergies, gap: float, number: int, left_out: Sequence[VacancyDoc]) -> None:
    """Charge states of a site that are not used, by their own documents, with their names near the conduction band."""
    ends, color = np.array([-MARGIN * gap, (1 + MARGIN) * gap]), f"C{number}"
    for vacancy in left_out:
        if vacancy.site != energies.site or vacancy.formation_energy is None:
            continue
        removed = (vacancy.removed or {}).get("O", 0)
        at_vbm = vacancy.formation_energy + removed * energies.chemical_potential
        name = f"{energies.site} {charge_text(vacancy.charge)} not used"
        axes.plot(ends, at_vbm + vacancy.charge * ends, color=color, linewidth=1.0, linestyle="--", label=f"_{name}")
        where = (NAMED * gap, at_vbm + vacancy.charge * NAMED * gap)
        axes.annotate(name, where, (0, 3), textcoords="offset points", fontsize=6, ha="right", color=color)


def _draw_lowest(axes: Axes, lines: Sequence[ChargeLine], window: tuple[float, float], color: str, label: str) -> None:
    """The lower envelope of the lines."""
    ranges = stable_ranges(lines, *window)
    places = [ranges[0].low, *(item.high for item in ranges)]
    heights = [ranges[0].energy_low, *(item.energy_high for item in ranges)]
    axes.plot(places, heights, color=color, linewidth=1.8, label=label)


def _finish(axes: Axes, summary: VacancySummaryDoc, gap: float) -> None:
    axes.axvspan(0.0, gap, color="0.93", linewidth=0, zorder=0)
    axes.axhline(0.0, color=FAINT, linewidth=0.6, linestyle=":")
    for edge, name in ((summary.supercell_vbm, "supercell VBM, CBM"), (summary.supercell_cbm, "_supercell CBM")):
        if edge is not None:
            axes.axvline(edge, color=FAINT, linewidth=0.8, linestyle="--", label=name)
    axes.set_xlim(-MARGIN * gap, (1 + MARGIN) * gap)
    axes.set_xlabel("Fermi level − VBM (eV)")


def _unused(summary: VacancySummaryDoc) -> str:
    """Charge states that are not drawn, and why."""
    return "\n".join(f"{item.name}: {item.kind.replace('_', ' ')}" for site in summary.sites for item in site.left_out)


def _head(summary: VacancySummaryDoc, gap: float) -> str:
    edges = f"{EDGE_NAMES[summary.edges]} " if summary.edges else ""
    oxygen = f", oxygen from {OXYGEN_NAMES[summary.oxygen_reference]}" if summary.oxygen_reference else ""
    return f"oxygen vacancies, {edges}gap {gap:.2f} eV{oxygen}"
