"""Hybrid eigenvalues and energy without self-consistency, on the wave functions of a semilocal run.

The Hamiltonian of the hybrid with the run's own density matrix is set up between the NBANDS states of each k point. Its
diagonal gives the eigenvalues to first order (ALGO = Eigenval); diagonalised it is VASP's subspace rotation
(ALGO = Subrot, NELM = 1). The sum over the zone runs over the mesh's occupied states, for points of the mesh and of a band
path alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import Ha

from hibana.rehearsal.exchange import Complex, FockOperator, WignerSeitzCoulomb
from hibana.rehearsal.kpoints import Grid
from hibana.rehearsal.result import Floats
from hibana.rehearsal.settings import Hybrid

REFERENCE_FRACTION = 0.25
"""Fraction of exact exchange in libxc's HSE06 and PBE0, from which other fractions follow linearly."""


@dataclass(frozen=True)
class _Matrices:
    """Of one set of wave functions: ``hamiltonian`` of the hybrid (nspin, nk, nbands, nbands), eV, and expectation values
    (nspin, nk, nbands), eV, of the exact ``exchange`` and of its part with the ``core``.
    """

    hamiltonian: Complex
    exchange: Floats
    core: Floats


class PerturbativeHybrid:
    """Hybrid functional on a converged GPAW calculation.

    Parameters
    ----------
    calculator
        The converged semilocal calculation, on a regular mesh.
    hybrid
        Functional, fraction of exact exchange, and whether the Hamiltonian is diagonalised.
    grid
        The mesh.
    nbands
        How many bands.
    """

    def __init__(self, calculator: Any, hybrid: Hybrid, grid: Grid, nbands: int) -> None:
        from gpaw.hybrids import NonSelfConsistentHybridXCCalculator, parse_name

        from hibana.rehearsal.sampling import regular_points

        self.calculator = calculator
        self.hybrid = hybrid
        self.nbands = nbands
        self.known: dict[int, _Matrices] = {}
        dft = calculator.dft
        dft.ibzwfs.make_sure_wfs_are_read_from_gpw_file()
        dft.ibzwfs.ibz.bz = regular_points(grid)  # a restored calculation knows only the list of points
        self.semilocal_name, _, screening, _ = parse_name(hybrid.functional)
        reference = NonSelfConsistentHybridXCCalculator.from_dft_calculation(dft, hybrid.functional, log=None)
        self.grid = reference.grid
        self.plan = reference.plan
        self.potential = _SemilocalChange(dft, self.semilocal_name, hybrid.fraction / REFERENCE_FRACTION)
        degeneracy = dft.ibzwfs.spin_degeneracy
        self.fock = FockOperator(
            reference,
            {a: [d.real / degeneracy for d in of_atom] for a, of_atom in dft.density.D_asii.items()},
            reference.coulomb if screening else WignerSeitzCoulomb(self.grid.cell_cv, grid.divisions),
        )

    def eigenvalues(self, states: Any) -> Floats:
        """Hybrid eigenvalues (nspin, nk, nbands), eV, of a set of GPAW wave functions (``calculator.dft.ibzwfs``)."""
        hamiltonian = self.hamiltonian(states)
        if self.hybrid.rotates:
            return np.asarray(np.linalg.eigvalsh(hamiltonian), dtype=np.float64)
        return np.array(np.einsum("sknn->skn", hamiltonian).real)

    def rotations(self, states: Any) -> Complex | None:
        """Coefficients (nspin, nk, n, m) of the semilocal states n in the hybrid's states m; None where they are the same."""
        return np.linalg.eigh(self.hamiltonian(states))[1] if self.hybrid.rotates else None

    def hamiltonian(self, states: Any) -> Complex:
        """The hybrid's Hamiltonian between the states of each k point (nspin, nk, nbands, nbands), eV."""
        return self._matrices(states).hamiltonian

    def energy_shift(self) -> float:
        """Hybrid total energy on the same density matrix less the semilocal one, eV per cell."""
        dft = self.calculator.dft
        states = dft.ibzwfs
        matrices = self._matrices(states)
        per_state = 0.5 * (matrices.exchange + matrices.core)
        total = 0.0
        for wave in states:
            total += float(per_state[wave.spin, wave.k] @ wave.occ_n[: self.nbands]) * wave.weight * states.spin_degeneracy
        total += sum(setup.ExxC for setup in dft.setups) * Ha
        hybrid_part = self.calculator.get_xc_difference(self.semilocal_name)
        pbe_part = self.calculator.get_xc_difference("PBE")
        scale = self.hybrid.fraction / REFERENCE_FRACTION
        return float(pbe_part + scale * (hybrid_part - pbe_part) + self.hybrid.fraction * total)

    def _matrices(self, states: Any) -> _Matrices:
        if id(states) not in self.known:
            self.known[id(states)] = self._calculate(states)
        return self.known[id(states)]

    def _calculate(self, states: Any) -> _Matrices:
        shape = (states.nspins, len(states.ibz), self.nbands)
        hamiltonian = np.zeros((*shape, self.nbands), dtype=complex)
        exchange, core = np.empty(shape), np.empty(shape)
        for whole in states:
            at = whole.spin, whole.k
            wave = whole.collect_bands_and_domain(0, self.nbands)
            fock = self.fock.matrix(wave.psit_nX, wave.P_ani, whole.spin) * Ha
            change = self.potential.matrix(self._periodic(wave.psit_nX), wave.P_ani, whole.spin) * Ha
            hamiltonian[at] = np.diag(whole.eig_n[: self.nbands] * Ha) + change + self.hybrid.fraction * fock
            exchange[at] = np.diagonal(fock).real
            core[at] = self.fock.core_part(wave.P_ani) * Ha
        return _Matrices(hamiltonian, exchange, core)

    def _periodic(self, states: Any) -> Any:
        values = self.grid.empty(len(states))
        states.ifft(out=values, plan=self.plan, periodic=False)
        return values.data.reshape(len(states), -1)


class _SemilocalChange:
    """The semilocal part of the hybrid's potential less the run's own: PBE's with its exchange scaled down.

    ``scale`` is the fraction of exact exchange in units of :data:`REFERENCE_FRACTION`.
    """

    def __init__(self, dft: Any, semilocal_name: str, scale: float) -> None:
        from gpaw.new.pw.nschse import nsc_corrections

        run, reduced, run_atoms, reduced_atoms = nsc_corrections(dft.density, dft.pot_calc, semilocal_name)
        _, pbe, _, pbe_atoms = nsc_corrections(dft.density, dft.pot_calc, "PBE")
        change = pbe.data + scale * (reduced.data - pbe.data) - run.data
        self.on_grid = change.reshape(len(change), -1) * run.desc.dv
        self.on_atoms = {a: pbe_atoms[a] + scale * (reduced_atoms[a] - pbe_atoms[a]) - own for a, own in run_atoms.items()}

    def matrix(self, periodic: Complex, projections: Any, spin: int) -> Complex:
        """Between states given on the grid (n, points) and by their projections (n, n), Hartree."""
        total = (periodic.conj() * self.on_grid[spin]) @ periodic.T
        for atom, change in self.on_atoms.items():
            p = projections[atom]
            total = total + p.conj() @ change[spin] @ p.T
        return np.asarray((total + total.conj().T) / 2)
