"""The table ``phonon_gamma``: phonon frequencies at Γ, and whether the crystal is stable there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hibana.documents.dielectric import PhononDoc
from hibana.documents.properties import RelaxationDoc
from hibana.tables.columns import Column, Record, address_column, projection, steps_of
from hibana.tables.common import identity_columns, quality_columns, space_group_columns
from hibana.tables.grids import Grid
from hibana.tables.table import Table

FREQUENCIES = Grid("frequency", "THz", -5.0, 0.5, 111)
"""Frequencies of the broadened spectrum; modes above 50 THz are outside."""

SIGMA = 0.5
"""Standard deviation of the Gaussian of each mode, THz."""

_FIELDS = (
    "source",
    "frequencies",
    "frequencies_raw",
    "acoustic_residual",
    "lowest_optical",
    "highest_optical",
    "n_imaginary",
    "is_stable",
    "threshold",
)


def broadened(frequencies: NDArray[np.floating]) -> NDArray[np.float64]:
    """Gaussians of unit area at each frequency divided by their number, 1/THz, on :data:`FREQUENCIES`.

    Parameters
    ----------
    frequencies
        (3n,), THz, imaginary ones negative.

    Returns
    -------
    ndarray
        (111,).
    """
    distance = (FREQUENCIES.points[:, None] - np.asarray(frequencies, dtype=float)) / SIGMA
    density: NDArray[np.float64] = np.exp(-(distance**2) / 2).mean(axis=1) / (SIGMA * np.sqrt(2 * np.pi))
    return density


def _spectrum(record: Record) -> NDArray[np.float64] | None:
    document = record.documents[PhononDoc]
    frequencies = document.frequencies if isinstance(document, PhononDoc) else None
    return None if frequencies is None else broadened(np.array(frequencies))


PHONON_GAMMA = Table(
    name="phonon_gamma",
    title="Phonons at Γ",
    about=(
        "Frequencies ν (not ω) of all 3n modes of the primitive cell at Γ with PBEsol, transverse: without the macroscopic field "
        "of longitudinal modes. `frequencies` has the acoustic sum rule applied where force constants are known (`source` "
        "force_constants), so that the three acoustic modes are 0; `frequencies_raw` has not, and `acoustic_residual` is the "
        "largest acoustic frequency before it. Imaginary frequencies are negative.",
        "`is_stable` says that no mode is below `threshold`; it speaks of Γ only, a crystal may be unstable elsewhere.",
        "`spectrum` is the sum of Gaussians of unit area (standard deviation 0.5 THz) at `frequencies`, divided by 3n.",
    ),
    branches=("dielectric",),
    documents=(RelaxationDoc, PhononDoc),
    columns=(
        *identity_columns(PhononDoc),
        *space_group_columns(),
        *(projection(PhononDoc, field) for field in _FIELDS),
        Column(
            name="spectrum",
            dtype="spectrum",
            unit="1/THz",
            meaning="Frequencies broadened with Gaussians of 0.5 THz, divided by their number.",
            source="phonon.frequencies",
            read=_spectrum,
            grid=FREQUENCIES,
            steps=steps_of(PhononDoc, "frequencies"),
        ),
        *quality_columns(RelaxationDoc, PhononDoc),
        address_column(RelaxationDoc, "structure_opt"),
        address_column(PhononDoc, "dielectric"),
    ),
)
