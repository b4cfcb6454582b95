"""Exports of a campaign of rock-salt crystals whose results follow simple laws, through a real store."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from pymatgen.core import Element

from bulk_results import RESONANCE, BulkCampaign, site, spectra
from hibana.documents.crystal import Crystal
from hibana.tables.export import export

CATIONS = ("Mg", "Ca", "Sr", "Ba", "Cd", "Zn", "Mn", "Ni", "Fe", "Co", "Eu", "Yb")
ANIONS = ("O", "S", "Se", "Te")
COMPOUNDS = tuple(product(CATIONS, ANIONS))
BULK_TABLES = ("electronic", "dielectric", "optical_absorption", "phonon_gamma", "sites", "structures", "materials")


def rock_salt(cation: str, anion: str) -> Crystal:
    """Primitive cell whose edge follows from the radii of the elements."""
    half = float(Element(cation).atomic_radius + Element(anion).atomic_radius) / 1.05 + 0.1
    lattice = ((0.0, half, half), (half, 0.0, half), (half, half, 0.0))
    return Crystal(lattice=lattice, species=(cation, anion), frac_coords=((0, 0, 0), (0.5, 0.5, 0.5)))


def fill(campaign: BulkCampaign, count: int, *, optics: bool = True) -> list[str]:
    """Materials with all bulk properties: the gap falls with the size of the cell, one resonance of the optics with it.

    Parameters
    ----------
    campaign
        An empty campaign.
    count
        Number of materials, at most 48.
    optics
        Whether they have absorption spectra.

    Returns
    -------
    list of str
        Formulas.
    """
    formulas = []
    for number, (cation, anion) in enumerate(COMPOUNDS[:count]):
        formula, crystal = f"{cation}{anion}", rock_salt(cation, anion)
        edge = 2 * crystal.lattice[0][1]
        gap = 14.0 - 1.8 * edge + 0.01 * number
        formulas.append(formula)
        campaign.submit(formula, "bulk")
        about = {"elements": tuple(sorted((cation, anion)))}
        cell = {"a": edge, "b": edge, "c": edge, "volume_per_atom": edge**3 / 8, "crystal": crystal}
        campaign.relaxation(formula, **about, **cell)
        campaign.electronic(formula, **about, band_gap_pbesol=gap, band_gap_hse06_nsc=gap + 1.5, is_gap_direct=number % 3 == 0)
        campaign.dielectric(formula, **about, epsilon_electronic_average=2.0 + 20.0 / (gap + 2.0))
        campaign.phonon(formula, **about, lowest_optical=60.0 / edge)
        campaign.sites(formula, site(0, cation), site(1, anion), **about)
        if optics:
            campaign.optics(formula, spectra(anisotropy=gap + 1.0 - RESONANCE), **about)
    return formulas


def export_all(campaign: BulkCampaign, folder: Path) -> dict[str, Path]:
    """Export every bulk table to a folder of its own."""
    found = {}
    for name in BULK_TABLES:
        found[name] = folder / name
        export(campaign.store, name, found[name])
    return found
