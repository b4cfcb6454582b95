"""Site potentials of the correction of a charged cell: what the alignment is averaged from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hibana.documents.vacancy import VacancyDoc
from hibana.report.canvas import FAINT, entitle, new_figure
from hibana.report.errors import NO_RESULT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hibana.store.store import Store

Floats = NDArray[np.float64]

NEEDED = ("sheet_distances", "sheet_differences", "sheet_point_charge", "sheet_outside")


@dataclass(frozen=True)
class SitePotentials:
    """What the figure shows.

    Parameters
    ----------
    vacancy
        The claims.
    distances
        (n,) of the atoms from the vacancy, Å.
    differences, point_charge
        (n,) V: potential with less that without the vacancy, and that of the periodic point charge.
    outside
        (n,) whether an atom counts for the alignment.
    """

    vacancy: VacancyDoc
    distances: Floats
    differences: Floats
    point_charge: Floats
    outside: NDArray[np.bool_]


def load_site_potentials(store: Store, vacancy: VacancyDoc) -> SitePotentials:
    """Read the sheet of a vacancy.

    Raises
    ------
    HibanaError
        HIB-150 if it has none.
    """
    if missing := [name for name in NEEDED if name not in vacancy.arrays]:
        neutral = "a neutral vacancy without site potentials" if vacancy.charge == 0 else f"the document has no {missing[0]}"
        raise NO_RESULT.error(vacancy.reason or neutral, where=vacancy.material_id)
    distances, differences, point_charge, outside = (np.asarray(store.array(vacancy.arrays[name])) for name in NEEDED)
    return SitePotentials(
        vacancy, distances.astype(float), differences.astype(float), point_charge.astype(float), outside.astype(bool)
    )


def draw_site_potentials(data: SitePotentials, space_group_symbol: str | None) -> Figure:
    """Draw the figure: potentials against the distance, and their difference, which is level outside the sphere."""
    figure = new_figure()
    axes = figure.subplots()
    elements = np.array(data.vacancy.sheet_elements or [""] * len(data.distances))
    for number, element in enumerate(dict.fromkeys(elements.tolist())):
        own = elements == element
        name = f"$\\Delta V$ {element}".rstrip()
        axes.plot(data.distances[own], data.differences[own], "o", color=f"C{number}", markersize=4, mfc="none", label=name)
    axes.plot(data.distances, data.point_charge, "x", color=FAINT, markersize=4, label="$V_\\mathrm{PC}$")
    rest = data.differences - data.point_charge
    axes.plot(data.distances, rest, ".", color="0.1", markersize=3.5, label="$\\Delta V - V_\\mathrm{PC}$")
    _mark_region(axes, data, rest)
    axes.axhline(0.0, color=FAINT, linewidth=0.6, linestyle=":")
    axes.set_xlabel("Distance from the vacancy (Å)")
    axes.set_ylabel("Potential (V)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    entitle(figure, data.vacancy, space_group_symbol, _terms(data.vacancy))
    return figure


def _mark_region(axes: Axes, data: SitePotentials, rest: Floats) -> None:
    """Shade what is outside the sphere, with the mean that the potentials are aligned by."""
    end = 1.03 * float(data.distances.max(initial=0.0))
    axes.set_xlim(0.0, end)
    start = data.vacancy.sphere_radius
    if start is None:
        return
    axes.axvspan(start, end, color="0.93", linewidth=0, zorder=0, label="outside the sphere")
    if data.outside.any():
        mean = float(rest[data.outside].mean())
        axes.plot([start, end], [mean, mean], color="C1", linewidth=1.0, label=f"mean {mean + 0.0:.3f} V")


def _terms(vacancy: VacancyDoc) -> str:
    terms = {
        "point charge": vacancy.point_charge_correction,
        "alignment": vacancy.alignment_correction,
        "correction": vacancy.correction,
    }
    known = ", ".join(f"{name} {value:.3f} eV" for name, value in terms.items() if value is not None)
    return f"{vacancy.part}: {known or 'no correction'}"
