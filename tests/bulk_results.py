"""Results of the bulk branches, put into a real store by hand: numbers that follow simple laws, so that tests know them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hibana.documents.arrays import pack
from hibana.documents.candidate import Submission
from hibana.documents.dielectric import DielectricDoc, PhononDoc
from hibana.documents.optics import OpticsDoc
from hibana.documents.properties import PropertyDoc
from hibana.documents.sites import SiteDescriptor, SitesDoc
from results import NOON, ROCK_SALT, SERIES, Campaign, material_id

ENERGIES = np.linspace(0.0, 15.0, 1501)
RESONANCE, WIDTH, STRENGTH = 8.0, 0.5, 40.0
"""Energy, width (eV) and squared plasma energy over 2 (eV^2) of the oscillator that synthetic spectra are made of."""


def oscillator(energies: NDArray[np.floating], resonance: float = RESONANCE) -> NDArray[np.complexfloating]:
    """Dielectric function 1 + f / (E0^2 - E^2 - iΓE) of a Lorentz oscillator, (n,)."""
    return 1 + STRENGTH / (resonance**2 - energies**2 - 1j * WIDTH * energies)


def spectra(energies: NDArray[np.floating] = ENERGIES, *, anisotropy: float = 0.0, end: float = 15.0) -> dict[str, NDArray]:
    """Arrays of an optics document: x, y alike, z with its resonance moved; NaN beyond `end`."""
    epsilon = np.zeros((len(energies), 6), dtype=complex)
    epsilon[:, :3] = oscillator(energies)[:, None]
    epsilon[:, 2] = oscillator(energies, RESONANCE + anisotropy)
    mean = epsilon[:, :3].mean(axis=1)
    alpha = 4 * np.pi * 8065.543937 * np.sqrt(mean).imag * energies
    log10 = np.log10(np.maximum(alpha, 100.0))
    beyond = energies > end
    log10[beyond] = np.nan
    epsilon[beyond] = np.nan
    return {"energy": energies, "log10_absorption": log10, "epsilon_real": epsilon.real, "epsilon_imag": epsilon.imag}


class BulkCampaign(Campaign):
    """Fills a store with candidates of the flow ``bulk`` and claims about them."""

    def submit(self, formula: str, flow: str, **series: Any) -> None:
        """Add a candidate and note that a flow was asked for it."""
        self.candidate(formula, submit=False)
        self.store.record_submissions([material_id(formula)], Submission(flow=flow, submitted_at=NOON, **(SERIES | series)))

    def ended(self, formula: str, flow: str, state: str, reason: str | None) -> None:
        """What the collector of a flow said."""
        self.store.record_outcome(material_id(formula), flow, state=state, reason=reason, **SERIES)

    def put(self, kind: type[PropertyDoc], formula: str, arrays: dict[str, NDArray] | None = None, **fields: Any) -> PropertyDoc:
        """Store a property document with its arrays; gives the document."""
        packed = {name: pack(array) for name, array in (arrays or {}).items()}
        document = kind(**self.head(formula) | {"arrays": {name: item.ref for name, item in packed.items()}} | fields)
        self.store.put_property(document, packed)
        return document

    def optics(self, formula: str, arrays: dict[str, NDArray] | None = None, **fields: Any) -> OpticsDoc:
        """Store an OpticsDoc with the spectra of an oscillator."""
        tensor = tuple(tuple(3.0 if i == j else 0.0 for j in range(3)) for i in range(3))
        values = {
            "gap_source": "ddh_nsc",
            "scissor_shift": 1.5,
            "gap_used": 6.0,
            "direct_gap": 6.25,
            "onset": 6.5,
            "epsilon_zero": tensor,
            "epsilon_zero_average": 3.0,
            "refractive_index_zero": 3.0**0.5,
            "addresses": {"dielectric_function": "c" * 64, "band": "b" * 64, "ddh_nsc": "f" * 64},
        }
        document = self.put(OpticsDoc, formula, spectra() if arrays is None else arrays, **values | fields)
        assert isinstance(document, OpticsDoc)
        return document

    def dielectric(self, formula: str, **fields: Any) -> None:
        """Store a DielectricDoc of a monoclinic crystal: six components, all different."""
        electronic = ((3.0, 0.11, 0.13), (0.11, 3.2, 0.17), (0.13, 0.17, 3.4))
        ionic = ((7.0, 0.21, 0.23), (0.21, 8.0, 0.29), (0.23, 0.29, 9.0))
        values = {
            "method": "dfpt",
            "epsilon_electronic": electronic,
            "epsilon_ionic": ionic,
            "epsilon_electronic_eigenvalues": tuple(np.linalg.eigvalsh(electronic)),
            "epsilon_ionic_eigenvalues": tuple(np.linalg.eigvalsh(ionic)),
            "epsilon_electronic_average": 3.2,
            "epsilon_ionic_average": 8.0,
            "epsilon_static_average": 11.2,
            "born_sum_rule_residual": 0.004,
            "addresses": {"dielectric": "9" * 64},
        }
        self.put(DielectricDoc, formula, **values | fields)

    def phonon(self, formula: str, **fields: Any) -> None:
        """Store a PhononDoc of a crystal of two atoms with the frequencies of rock salt."""
        values = {
            "source": "force_constants",
            "frequencies": (0.0, 0.0, 0.0, 11.9, 11.9, 11.9),
            "frequencies_raw": (-0.05, -0.04, 0.02, 11.9, 11.9, 11.9),
            "acoustic_frequencies": (-0.05, -0.04, 0.02),
            "acoustic_residual": 0.05,
            "lowest_optical": 11.9,
            "highest_optical": 11.9,
            "n_imaginary": 0,
            "is_stable": True,
            "threshold": -0.3,
            "addresses": {"dielectric": "9" * 64},
        }
        self.put(PhononDoc, formula, **values | fields)

    def sites(self, formula: str, *sites: SiteDescriptor, **fields: Any) -> None:
        """Store a SitesDoc."""
        self.put(SitesDoc, formula, crystal=ROCK_SALT, space_group_number=225, sites=sites, **fields)


def site(index: int, element: str, **fields: Any) -> SiteDescriptor:
    """A site that faces atoms of zinc and oxygen as the oxygen site of ZnO does."""
    values = {
        "index": index,
        "equivalent": (index,),
        "element": element,
        "label": f"{element}1",
        "multiplicity": 1,
        "wyckoff": "b",
        "site_symmetry": "3m.",
        "voronoi_weights": {"Zn": 0.93104, "O": 0.06896},
    }
    return SiteDescriptor(**values | fields)


@pytest.fixture
def bulk(store) -> BulkCampaign:
    """An empty campaign of the flow ``bulk`` on a real server."""
    return BulkCampaign(store)
