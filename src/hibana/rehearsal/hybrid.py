"""Hybrid eigenvalues and energy without self-consistency, on the wave functions of a semilocal run.

Each eigenvalue is shifted by the difference of the expectation values of the hybrid's and the semilocal potential (first
order). The range-separated exchange of HSE06 has no divergence, so points off the sampled mesh (a band path) are done
like those on it: the sum over the zone runs over the mesh's occupied states.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import Ha

from hibana.rehearsal.kpoints import Grid
from hibana.rehearsal.result import Floats
from hibana.rehearsal.settings import Hybrid

REFERENCE_FRACTION = 0.25
"""Fraction of exact exchange in libxc's HSE06 and PBE0, from which other fractions follow linearly."""


@dataclass(frozen=True)
class _Expectations:
    """Expectation values (nspin, nk, nbands), eV, of the potentials: semilocal run, hybrid, hybrid's semilocal part, PBE,
    and exact exchange with the core alone.
    """

    run: Floats
    hybrid: Floats
    semilocal: Floats
    pbe: Floats
    core: Floats


class PerturbativeHybrid:
    """First-order hybrid on a converged GPAW calculation.

    Parameters
    ----------
    calculator
        The converged semilocal calculation, on a regular mesh.
    hybrid
        Functional and fraction of exact exchange.
    grid
        The mesh.
    nbands
        How many bands.
    """

    def __init__(self, calculator: Any, hybrid: Hybrid, grid: Grid, nbands: int) -> None:
        from gpaw.hybrids import NonSelfConsistentHybridXCCalculator, parse_name
        from gpaw.new.pw.nschse import nsc_corrections

        from hibana.rehearsal.sampling import regular_points

        self.calculator = calculator
        self.hybrid = hybrid
        self.nbands = nbands
        self.known: dict[int, _Expectations] = {}
        dft = calculator.dft
        dft.ibzwfs.make_sure_wfs_are_read_from_gpw_file()
        dft.ibzwfs.ibz.bz = regular_points(grid)  # a restored calculation knows only the list of points
        self.semilocal_name = parse_name(hybrid.functional)[0]
        self.full = NonSelfConsistentHybridXCCalculator.from_dft_calculation(dft, hybrid.functional, log=None)
        self.parts = {}
        for name in (self.semilocal_name, "PBE"):
            part = copy.copy(self.full)
            part.mypsits = []  # no exchange with occupied states: what is left is the semilocal potential
            part.dxc_sR, part.dhyb_sR, part.dxc_asii, part.dhyb_asii = nsc_corrections(dft.density, dft.pot_calc, name)
            self.parts[name] = part

    def eigenvalues(self, states: Any) -> Floats:
        """Hybrid eigenvalues (nspin, nk, nbands), eV, of a set of GPAW wave functions (``calculator.dft.ibzwfs``)."""
        e = self._expectations(states)
        scale = self.hybrid.fraction / REFERENCE_FRACTION
        run = np.empty_like(e.run)
        for wave in states:
            run[wave.spin, wave.k] = wave.eig_n[: self.nbands] * Ha
        return np.asarray(run - e.run + e.pbe + scale * (e.hybrid - e.pbe))

    def energy_shift(self) -> float:
        """Hybrid total energy on the same density matrix less the semilocal one, eV per cell."""
        dft = self.calculator.dft
        states = dft.ibzwfs
        e = self._expectations(states)
        exchange = (e.hybrid - e.semilocal) / REFERENCE_FRACTION
        per_state = 0.5 * (exchange - e.core) + e.core
        total = 0.0
        for wave in states:
            total += float(per_state[wave.spin, wave.k] @ wave.occ_n[: self.nbands]) * wave.weight * states.spin_degeneracy
        total += sum(setup.ExxC for setup in dft.setups) * Ha
        hybrid_part = self.calculator.get_xc_difference(self.semilocal_name)
        pbe_part = self.calculator.get_xc_difference("PBE")
        scale = self.hybrid.fraction / REFERENCE_FRACTION
        return float(pbe_part + scale * (hybrid_part - pbe_part) + self.hybrid.fraction * total)

    def _expectations(self, states: Any) -> _Expectations:
        if id(states) not in self.known:
            self.known[id(states)] = self._calculate(states)
        return self.known[id(states)]

    def _calculate(self, states: Any) -> _Expectations:
        from gpaw.utilities import unpack_hermitian

        shape = (states.nspins, len(states.ibz), self.nbands)
        arrays = [np.empty(shape) for _ in range(5)]
        run, hybrid, semilocal, pbe, core = arrays
        setups = self.calculator.dft.setups
        for whole in states:
            at = whole.spin, whole.k
            wave = whole.collect_bands_and_domain(0, self.nbands)
            run[at], hybrid[at] = self.full.calculate_one_kpt(wave.psit_nX, wave.P_ani, whole.spin)
            semilocal[at] = self.parts[self.semilocal_name].calculate_one_kpt(wave.psit_nX, wave.P_ani, whole.spin)[1]
            pbe[at] = self.parts["PBE"].calculate_one_kpt(wave.psit_nX, wave.P_ani, whole.spin)[1]
            core[at] = 0.0
            for atom, setup in enumerate(setups):
                p = wave.P_ani[atom]
                core[at] -= np.einsum("ni,ij,nj->n", p.conj(), unpack_hermitian(setup.X_p), p).real * Ha
        return _Expectations(run, hybrid, semilocal, pbe, core)
