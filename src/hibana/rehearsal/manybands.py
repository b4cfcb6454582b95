"""Many empty bands in the converged potential, by diagonalising the whole Hamiltonian.

For the small cells of a dielectric tensor this is cheaper than iterating and gives every band at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.scf import fresh_view

SHARP = 0.01
"""Width of the Fermi function that fills the bands of an insulator, eV."""


def with_many_bands(calculator: Any, bands: int) -> tuple[Any, int]:
    """Make the lowest eigenstates of a converged calculation's Hamiltonian its states.

    GPAW's own method of this purpose cannot copy every kind of occupation function, so the occupations are made here.

    Parameters
    ----------
    calculator
        A converged GPAW calculation with complex wave functions; density and potential stay as they are, its states do not.
    bands
        How many bands; fewer where the basis of a k point is smaller.

    Returns
    -------
    calculator
        To be used from here on: the old one remembers the old states.
    bands
        How many there are.

    Raises
    ------
    RehearsalError
        HIB-193 if the diagonalisation fails.
    """
    from gpaw.mpi import serial_comm
    from gpaw.new.pw.fulldiag import diagonalize
    from gpaw.new.smearing import OccupationNumberCalculator

    dft = calculator.dft
    states = dft.ibzwfs
    bands = min(bands, min(wave.array_shape(global_shape=True)[0] for wave in states))
    electrons = dft.density.nvalence + dft.density.charge
    occupations = OccupationNumberCalculator(
        {"name": "fermi-dirac", "width": SHARP},
        np.ones(3, dtype=bool),
        states.ibz,
        bands,
        {"k": serial_comm, "K": serial_comm},
        np.zeros(3),
        states.ncomponents,
        electrons,
        None,
    )
    try:
        dft.ibzwfs = diagonalize(dft.potential, states, occupations, bands, electrons, None, lambda *_: None)
    except (np.linalg.LinAlgError, MemoryError, ValueError) as error:
        raise RehearsalError(193, f"diagonalising the Hamiltonian: {type(error).__name__}: {error}") from error
    return fresh_view(calculator), bands
