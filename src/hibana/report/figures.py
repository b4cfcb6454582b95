"""All figures of a material by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hibana.documents.chemical_potentials import ChemicalPotentialDoc
from hibana.documents.dielectric import PhononDoc
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.optics import OpticsDoc
from hibana.documents.properties import ElectronicDoc, PropertyDoc
from hibana.documents.vacancy import VacancyDoc, VacancySummaryDoc
from hibana.report.absorption_figure import draw_absorption
from hibana.report.band_dos import load_bands_and_dos
from hibana.report.bands_figure import draw_bands_and_dos
from hibana.report.chemical_potential_figure import draw_chemical_potentials
from hibana.report.dielectric_figure import draw_dielectric_function
from hibana.report.dispersion_figure import draw_dispersion, load_dispersion
from hibana.report.eigenvalue_figure import draw_eigenvalues, load_eigenvalues
from hibana.report.gamma_figure import draw_gamma_modes
from hibana.report.site_potential_figure import draw_site_potentials, load_site_potentials
from hibana.report.spectra import load_absorption, load_dielectric_function
from hibana.report.vacancy_energy_figure import draw_formation_energies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hibana.store.store import Store


@dataclass(frozen=True)
class FigureKind:
    """One figure that can be made of a material.

    Parameters
    ----------
    name
        What it is asked for by.
    document
        Kind of property document it shows.
    make
        Draws it from (store, document, Hermann-Mauguin symbol or None); an error of report says why it cannot.
    suffix
        What its file's name ends with; where there are several documents of a material, the part of it that each is about
        follows.
    """

    name: str
    document: type[PropertyDoc]
    make: Callable[[Store, Any, str | None], Figure]
    suffix: str


def _bands(store: Store, electronic: ElectronicDoc, symbol: str | None) -> Figure:
    return draw_bands_and_dos(load_bands_and_dos(store, electronic, symbol))


def _dielectric_function(store: Store, optics: OpticsDoc, symbol: str | None) -> Figure:
    return draw_dielectric_function(load_dielectric_function(store, optics), symbol)


def _absorption(store: Store, optics: OpticsDoc, symbol: str | None) -> Figure:
    return draw_absorption(load_absorption(store, optics), symbol)


def _gamma_modes(_store: Store, phonon: PhononDoc, symbol: str | None) -> Figure:
    return draw_gamma_modes(phonon, symbol)


def _dispersion(store: Store, dispersion: DispersionDoc, symbol: str | None) -> Figure:
    return draw_dispersion(load_dispersion(store, dispersion), symbol)


def _formation_energies(store: Store, summary: VacancySummaryDoc, symbol: str | None) -> Figure:
    same = ("material_id", "protocol", "protocol_version", "calculator")
    found = store.properties(VacancyDoc, {name: getattr(summary, name) for name in same})
    left_out = [vacancy for vacancy in found if vacancy.left_out and vacancy.formation_energy is not None]
    return draw_formation_energies(summary, symbol, left_out)


def _chemical_potentials(_store: Store, document: ChemicalPotentialDoc, symbol: str | None) -> Figure:
    return draw_chemical_potentials(document, symbol)


def _site_potentials(store: Store, vacancy: VacancyDoc, symbol: str | None) -> Figure:
    return draw_site_potentials(load_site_potentials(store, vacancy), symbol)


def _eigenvalues(store: Store, vacancy: VacancyDoc, symbol: str | None) -> Figure:
    return draw_eigenvalues(load_eigenvalues(store, vacancy), symbol)


FIGURES: dict[str, FigureKind] = {
    kind.name: kind
    for kind in (
        FigureKind("bands", ElectronicDoc, _bands, ""),
        FigureKind("dielectric_function", OpticsDoc, _dielectric_function, "_dielectric_function"),
        FigureKind("absorption", OpticsDoc, _absorption, "_absorption"),
        FigureKind("gamma_modes", PhononDoc, _gamma_modes, "_gamma_modes"),
        FigureKind("dispersion", DispersionDoc, _dispersion, "_dispersion"),
        FigureKind("formation_energies", VacancySummaryDoc, _formation_energies, "_formation_energies"),
        FigureKind("chemical_potentials", ChemicalPotentialDoc, _chemical_potentials, "_chemical_potentials"),
        FigureKind("site_potentials", VacancyDoc, _site_potentials, "_site_potentials"),
        FigureKind("eigenvalues", VacancyDoc, _eigenvalues, "_eigenvalues"),
    )
}
"""All figures, in the order they are drawn in."""
