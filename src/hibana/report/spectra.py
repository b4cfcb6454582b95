"""What the optical figures show, taken from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.documents.optics import OpticsDoc
from hibana.properties.kramers_kronig import real_part, uniform_step
from hibana.properties.spectra import absorption, average, log10_absorption
from hibana.report.band_dos import run_of
from hibana.report.errors import NO_RESULT

if TYPE_CHECKING:
    from hibana.store.store import Store

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DielectricFunction:
    """Dielectric function in the conventional frame.

    Parameters
    ----------
    optics
        The claims.
    energies
        (n,), eV.
    real, imag
        (n, 6), components xx yy zz xy yz zx.
    """

    optics: OpticsDoc
    energies: Floats
    real: Floats
    imag: Floats


@dataclass(frozen=True)
class Absorption:
    """Absorption spectra, log10 of the coefficient in 1/cm.

    Parameters
    ----------
    optics
        The claims.
    energies, shifted
        (n,) eV, and the spectrum with its onset at the gap used.
    as_calculated
        (m,) eV and (m,) the spectrum without the scissor shift; None where nothing was shifted or the run is not there.
    """

    optics: OpticsDoc
    energies: Floats
    shifted: Floats
    as_calculated: tuple[Floats, Floats] | None


def load_dielectric_function(store: Store, optics: OpticsDoc) -> DielectricFunction:
    """Read the dielectric function of a document.

    Raises
    ------
    HibanaError
        HIB-150 if the document has none.
    """
    energies, real, imag = (_array(store, optics, name) for name in ("energy", "epsilon_real", "epsilon_imag"))
    return DielectricFunction(optics, energies, real, imag)


def load_absorption(store: Store, optics: OpticsDoc) -> Absorption:
    """Read the absorption spectrum of a document, and make the one without scissor shift from its run.

    Raises
    ------
    HibanaError
        HIB-150 if the document has none.
    """
    energies, shifted = (_array(store, optics, name) for name in ("energy", "log10_absorption"))
    return Absorption(optics, energies, shifted, _unshifted(store, optics) if optics.scissor_shift else None)


def _unshifted(store: Store, optics: OpticsDoc) -> tuple[Floats, Floats] | None:
    run = run_of(store, optics, "dielectric_function")
    if run is None or not {"dielectric_energies", "dielectric_imag"} <= run.arrays.keys():
        return None
    imag = np.array(store.array(run.arrays["dielectric_imag"]), dtype=float)
    imag[0] = 0.0
    step = uniform_step(np.asarray(store.array(run.arrays["dielectric_energies"])))
    energies: Floats = step * np.arange(len(imag), dtype=float)
    epsilon = average(real_part(energies, imag) + 1j * imag)
    return energies, log10_absorption(absorption(energies, epsilon))


def _array(store: Store, optics: OpticsDoc, name: str) -> Floats:
    if name not in optics.arrays:
        raise NO_RESULT.error(optics.reason or f"the document has no {name}", where=optics.material_id)
    return np.asarray(store.array(optics.arrays[name]), dtype=float)
