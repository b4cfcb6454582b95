"""Electronic dielectric tensor with local fields, by GPAW's response function at q = 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hibana.rehearsal.result import Floats
from hibana.rehearsal.spacegroup import SpaceGroup

RESPONSE_CUTOFF = 50.0
"""Cutoff of the response function's plane waves, eV."""

BROADENING = 1e-4
"""Imaginary part of the frequency, eV: nothing against any gap."""


@dataclass(frozen=True)
class LocalFields:
    """Dielectric tensors (3, 3) by sums over the mesh's points: without local fields, with those of the Hartree potential
    only, and with those of exchange and correlation (adiabatic, local) too, or None.
    """

    none: Floats
    hartree: Floats
    exchange_correlation: Floats | None


def local_field_tensors(calculator: Any, group: SpaceGroup, bands: int, *, exchange_correlation: bool) -> LocalFields:
    """Dielectric tensors of a calculation with many bands.

    The macroscopic constant along ``n`` is ``n.epsilon.n``, so as many directions are solved as the crystal allows symmetric
    tensors; the response function itself is the same for all.

    Parameters
    ----------
    calculator
        A GPAW calculation of an insulator.
    group
        The crystal's operations.
    bands
        How many bands enter the sum over states.
    exchange_correlation
        Whether to include local fields of exchange and correlation, which GPAW has for one spin channel only.
    """
    from gpaw.response.coulomb_kernels import CoulombKernel
    from gpaw.response.density_kernels import DensityXCKernel
    from gpaw.response.df import Chi0DysonEquations, DielectricFunction

    function = DielectricFunction(
        calculator,
        frequencies=[0.0],
        hilbert=False,
        eta=BROADENING,
        rate=BROADENING,
        intraband=False,
        ecut=RESPONSE_CUTOFF,
        nbands=bands,
        txt=None,
    )
    response = function.get_chi0([0, 0, 0])
    coulomb = CoulombKernel.from_gs(function.gs, truncation=None)
    equations = [Chi0DysonEquations(response, coulomb, None, function.gs.cd)]
    if exchange_correlation:
        kernel = _Once(DensityXCKernel.from_functional(function.gs, function.context, functional="ALDA"))
        equations.append(Chi0DysonEquations(response, coulomb, kernel, function.gs.cd))
    basis = group.invariant_tensors()
    directions = measuring_directions(basis)
    values = []
    for direction in directions:
        constants = [e.inverse_dielectric_function(direction).dielectric_constant() for e in equations]
        values.append([constants[0][0], *[with_fields for _, with_fields in constants]])
    along = np.einsum("di,bij,dj->db", directions, basis, directions)
    coefficients = np.linalg.solve(along, np.real(np.array(values)))
    tensors = list(np.einsum("bt,bij->tij", coefficients, basis))
    return LocalFields(tensors[0], tensors[1], tensors[2] if exchange_correlation else None)


def measuring_directions(basis: Floats) -> Floats:
    """As many directions (n, 3) as there are tensors in the basis (n, 3, 3), from which a tensor's components follow."""
    candidates = np.array(
        [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1], [1, -1, 0], [1, 0, -1], [0, 1, -1]],
        dtype=float,
    )
    candidates /= np.linalg.norm(candidates, axis=1)[:, None]
    rows = np.einsum("di,bij,dj->db", candidates, basis, candidates)
    chosen: list[int] = []
    for index in range(len(candidates)):
        if np.linalg.matrix_rank(rows[[*chosen, index]], tol=1e-3) > len(chosen):
            chosen.append(index)
    return np.asarray(candidates[chosen])


class _Once:
    """An exchange-correlation kernel that is calculated once: it depends neither on direction nor on frequency."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.value: Any = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.value is None:
            self.value = self.kernel(*arguments, **named)
        return self.value
