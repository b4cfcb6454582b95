"""What a band and DOS figure shows, taken from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.documents.arrays import ArrayRef
from hibana.documents.properties import ElectronicDoc, PropertyDoc
from hibana.documents.task import TaskDoc
from hibana.report.errors import NO_RESULT
from hibana.report.kpath import BandPath, band_path

if TYPE_CHECKING:
    from hibana.store.store import Store

Arrays = Callable[[ArrayRef], NDArray[np.generic]]


@dataclass(frozen=True)
class Dos:
    """Density of states, states/(eV cell).

    Parameters
    ----------
    energies
        (ne,), eV, from the reference.
    total
        (nspin, ne).
    by_element
        Part within the spheres of each element, (nspin, ne).
    """

    energies: NDArray[np.float64]
    total: NDArray[np.float64]
    by_element: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class BandsAndDos:
    """All a figure needs.

    Parameters
    ----------
    electronic
        The claims: gaps, whether direct, which calculator and protocol.
    space_group_symbol
        Space group of the relaxed crystal.
    path
        The path of the bands.
    bands
        (nspin, nk, nbands), eV, from the reference.
    dos
        Density of states; None where there is no such run.
    """

    electronic: ElectronicDoc
    space_group_symbol: str | None
    path: BandPath
    bands: NDArray[np.float64]
    dos: Dos | None

    @property
    def is_gapped(self) -> bool:
        """Whether energies are from the valence-band maximum; otherwise from the Fermi level."""
        return self.electronic.gap_class == "gapped"


def load_bands_and_dos(store: Store, electronic: ElectronicDoc, space_group_symbol: str | None) -> BandsAndDos:
    """Read from the store what a figure of one material shows.

    Parameters
    ----------
    store
        Where the runs and arrays are.
    electronic
        The claims about the material.
    space_group_symbol
        Its space group.

    Raises
    ------
    HibanaError
        If there is no band run, or its k-points are no band path.
    """
    band = run_of(store, electronic, "band")
    if band is None:
        why = electronic.reason or electronic.reasons.get("band", "no reason given")
        raise NO_RESULT.error(f"no band run; {why}", where=electronic.material_id)
    return bands_and_dos(electronic, space_group_symbol, band, run_of(store, electronic, "dos"), store.array)


def bands_and_dos(
    electronic: ElectronicDoc, space_group_symbol: str | None, band: TaskDoc, dos: TaskDoc | None, arrays: Arrays
) -> BandsAndDos:
    """Put together what a figure shows.

    Parameters
    ----------
    electronic
        The claims about the material.
    space_group_symbol
        Its space group.
    band, dos
        The runs.
    arrays
        Gives the array of a reference.

    Raises
    ------
    HibanaError
        If the band run has no eigenvalues, or its k-points are no band path.
    """
    reference = electronic.vbm if electronic.gap_class == "gapped" else band.edges.efermi
    if reference is None or not {"kpoints", "kpoint_weights", "eigenvalues"} <= band.arrays.keys():
        raise NO_RESULT.error("the band run has no eigenvalues or no reference energy", where=electronic.material_id)
    on_path = np.asarray(arrays(band.arrays["kpoint_weights"])) == 0
    if not on_path.any():
        raise NO_RESULT.error("the run has no k-points of zero weight, so no band path", where=electronic.material_id)
    kpoints = np.asarray(arrays(band.arrays["kpoints"]), dtype=float)[on_path]
    bands = np.asarray(arrays(band.arrays["eigenvalues"]), dtype=float)[:, on_path, :] - reference
    return BandsAndDos(
        electronic=electronic,
        space_group_symbol=space_group_symbol,
        path=band_path(band.final, kpoints),
        bands=bands,
        dos=None if dos is None else _dos(dos, arrays, reference),
    )


def run_of(store: Store, document: PropertyDoc, step: str) -> TaskDoc | None:
    """The run of a step that a property document rests on; None where there is none."""
    address = document.addresses.get(step)
    return None if address is None else store.task(address)


def _dos(run: TaskDoc, arrays: Arrays, reference: float) -> Dos | None:
    if not {"dos_energies", "dos_total"} <= run.arrays.keys():
        return None
    elements: dict[str, NDArray[np.float64]] = {}
    if "dos_partial" in run.arrays:
        partial = np.asarray(arrays(run.arrays["dos_partial"]), dtype=float).sum(axis=2)
        elements = dict(zip(dict.fromkeys(run.final.species), partial, strict=True))
    return Dos(
        energies=np.asarray(arrays(run.arrays["dos_energies"]), dtype=float) - reference,
        total=np.asarray(arrays(run.arrays["dos_total"]), dtype=float),
        by_element=elements,
    )
