"""Eigenvalues of a supercell with a vacancy around the gap of the perfect one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hibana.documents.vacancy import VacancyDoc
from hibana.report.canvas import entitle, new_figure
from hibana.report.errors import NO_RESULT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hibana.store.store import Store

Floats = NDArray[np.float64]

PRINTED = 4
"""Decimals VASP prints of eigenvalues and occupations; packing into single precision loses none."""

FILLED = 0.9
"""States with an occupation above this are drawn as filled, below 1 less this as empty, and others as half filled."""

WINDOW = 1.5
"""Energies shown below the VBM and above the CBM, eV."""

LENGTH = 0.8
"""Length of a level, in units of the distance between k-points."""

COLORS = {"occupied": "C0", "half occupied": "C4", "empty": "C1"}

SPINS = (("",), ("spin up", "spin down"))
"""Names of the panels of a run with one and with two spins."""


NEEDED = ("eigenvalue_energies", "eigenvalue_occupations", "eigenvalue_kpoints")


@dataclass(frozen=True)
class Eigenvalues:
    """What the figure shows.

    Parameters
    ----------
    vacancy
        The claims.
    energies, occupations
        (nspin, nk, m) above the VBM of the perfect supercell in eV, and 0 to 1.
    kpoints
        (nk, 3) in reciprocal-lattice units.
    gap
        Of the perfect supercell, eV.
    """

    vacancy: VacancyDoc
    energies: Floats
    occupations: Floats
    kpoints: Floats
    gap: float

    def levels(self, spin: int) -> list[float]:
        """Energies of the vacancy's own states of one spin, eV."""
        channels = self.vacancy.channels
        return [level.energy for level in channels[spin].levels] if spin < len(channels) else []


def load_eigenvalues(store: Store, vacancy: VacancyDoc) -> Eigenvalues:
    """Read the eigenvalues of a vacancy around the gap of its perfect supercell.

    Raises
    ------
    HibanaError
        HIB-150 if the document has none.
    """
    gap = vacancy.supercell_gap
    if gap is None or any(name not in vacancy.arrays for name in NEEDED):
        why = vacancy.edge_reason or vacancy.reason or "the document has no eigenvalues"
        raise NO_RESULT.error(why, where=vacancy.material_id)
    energies, occupations, kpoints = (np.asarray(store.array(vacancy.arrays[name]), dtype=float) for name in NEEDED)
    return Eigenvalues(vacancy, np.round(energies, PRINTED), np.round(occupations, PRINTED), kpoints, gap)


def draw_eigenvalues(data: Eigenvalues, space_group_symbol: str | None) -> Figure:
    """Draw the figure: a panel for each spin, in it the levels of each k-point, filled, half filled or empty.

    Energies are from the valence-band maximum of the perfect supercell; the vacancy's own levels are marked on the right.
    """
    figure = new_figure()
    panels = figure.subplots(1, len(data.energies), sharey=True, squeeze=False)[0]
    for spin, (axes, name) in enumerate(zip(panels, SPINS[len(data.energies) - 1], strict=True)):
        _draw_spin(axes, data.energies[spin], data.occupations[spin])
        _finish(axes, data, spin)
        axes.set_title(name)
    panels[0].set_ylim(-WINDOW, data.gap + WINDOW)
    panels[0].set_ylabel("Energy − VBM of the supercell (eV)")
    panels[-1].legend(handles=_handles(data), loc="upper left", bbox_to_anchor=(1.02, 1.0))
    entitle(figure, data.vacancy, space_group_symbol, _head(data.vacancy))
    return figure


def state_kinds(occupations: Floats) -> NDArray[np.str_]:
    """Whether states of occupations from 0 to 1 are occupied, half occupied or empty, in the shape of `occupations`."""
    kinds = np.where(occupations > FILLED, "occupied", "half occupied")
    return np.asarray(np.where(occupations < 1 - FILLED, "empty", kinds))


def _draw_spin(axes: Axes, energies: Floats, occupations: Floats) -> None:
    kinds = state_kinds(occupations)
    for kind, color in COLORS.items():
        points, bands = np.nonzero(kinds == kind)
        heights = energies[points, bands]
        lines = axes.hlines(heights, points - LENGTH / 2, points + LENGTH / 2, color=color, linewidth=1.4)
        lines.set_label(f"_{kind}")


def _finish(axes: Axes, data: Eigenvalues, spin: int) -> None:
    """Gap, k-points, and the vacancy's own levels."""
    kpoints, levels = data.kpoints, data.levels(spin)
    axes.axhspan(0.0, data.gap, color="0.93", linewidth=0, zorder=0)
    axes.set_xticks(range(len(kpoints)), [_coordinates(point) for point in kpoints], rotation=30, fontsize=7)
    axes.tick_params(axis="x", which="both", length=0)
    axes.set_xlim(-0.6, len(kpoints) - 0.4)
    right = axes.get_yaxis_transform()
    axes.plot([1.0] * len(levels), levels, "<", color="C3", markersize=4, transform=right, clip_on=False, label="_own")


def _handles(data: Eigenvalues) -> list[Line2D]:
    there = set(state_kinds(data.occupations).ravel().tolist())
    handles = [Line2D([], [], color=color, label=kind) for kind, color in COLORS.items() if kind in there]
    if any(data.levels(spin) for spin in range(len(data.energies))):
        handles.append(Line2D([], [], color="C3", marker="<", linestyle="", markersize=4, label="level of the vacancy"))
    return handles


def _coordinates(point: Floats) -> str:
    return "Γ" if not np.any(np.abs(point) > 1e-6) else ", ".join(f"{value:g}" for value in np.round(point, 3))


def _head(vacancy: VacancyDoc) -> str:
    why = f": {vacancy.edge_reason}" if vacancy.edge_reason else ""
    return f"{vacancy.part}: {vacancy.edge_state.replace('_', ' ')}{why}"
