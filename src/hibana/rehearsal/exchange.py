"""Exact exchange between the states of a semilocal run: the Coulomb kernel and the matrix of the Fock operator.

Bare exchange diverges at small wave vectors. As in GPAW, the interaction is cut off at the Wigner-Seitz cell of the mesh's
supercell (Sundararaman and Arias, Phys. Rev. B 87, 165122 (2013)): the density matrix that the mesh describes repeats
beyond it. GPAW has it for differences of mesh points only; :class:`WignerSeitzCoulomb` has it for all wave vectors, so that
points of a band path are done like those of the mesh.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.result import Floats

Complex = NDArray[np.complex128]

CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))
"""Corners of a cell, fractional coordinates (8, 3)."""

_COMMENSURATE = 1e-8
"""How far a wave vector may be from one of the supercell's (in its reciprocal-lattice units) to be one."""

_SAME_DISTANCE = 1e-6
"""Relative difference of the distances (Bohr) to two images that are equally near."""


class WignerSeitzCoulomb:
    """Fourier transform of 1/r cut off at the Wigner-Seitz cell of a supercell, for any wave vector.

    The short-ranged part erfc(ar)/r is done analytically, the rest on a grid in the supercell.

    Parameters
    ----------
    cell
        Unit cell, rows are vectors (3, 3), Bohr.
    size
        Divisions of the mesh: how many cells make up the supercell along each vector.
    """

    def __init__(self, cell: Floats, size: tuple[int, int, int]) -> None:
        from gpaw.hybrids.wstc import WignerSeitzTruncatedCoulomb

        self.size = np.array(size)
        on_mesh = WignerSeitzTruncatedCoulomb(cell, self.size)
        self.splitting = on_mesh.a
        self.points = np.array(on_mesh.gd.N_c)
        self.element = on_mesh.gd.dv
        self.supercell = np.asarray(cell) * self.size[:, None]
        self.long_range = np.fft.ifftn(on_mesh.K_Q).real / self.element
        self.shares: Floats | None = None
        self.on_mesh = on_mesh.K_Q
        self.last: tuple[Floats, Floats] | None = None

    def __call__(self, pw: Any) -> Floats:
        """The kernel at the wave vectors of a GPAW plane-wave descriptor (n_G,), Hartree Bohr^3."""
        a = self.splitting
        whole = pw.kpt_c * self.size
        shift = np.floor(whole + 0.5 - _COMMENSURATE).astype(int)
        offset = whole - shift
        energies = pw.ekin_G
        zero = energies < 1e-11
        safe = np.where(zero, 1.0, energies)
        kernel = np.where(zero, math.pi / a**2, 2 * math.pi * -np.expm1(-safe / (2 * a**2)) / safe)
        indices = pw.indices_cG * self.size[:, None] + shift[:, None]
        inside = (np.abs(indices) < (self.points // 2)[:, None]).all(axis=0)
        kernel[inside] += self._long_ranged(offset)[tuple(indices[:, inside])]
        return np.asarray(kernel)

    def _long_ranged(self, offset: Floats) -> Floats:
        """Transform of the long-ranged part at the supercell's wave vectors moved by an offset (its reciprocal units).

        All differences of one point with the mesh have the same offset, so that only the last transform is kept.
        """
        if (np.abs(offset) < 2 * _COMMENSURATE).all():
            return np.asarray(self.on_mesh)
        if self.last is None or np.abs(self.last[0] - offset).max() > _COMMENSURATE:
            if self.shares is None:
                self.shares = shares_of_corners(self.supercell, self.points)
            corners = np.exp(2j * math.pi * (CORNERS @ offset))
            waves = [np.exp(-2j * math.pi * x * np.arange(n) / n) for x, n in zip(offset, self.points, strict=True)]
            modulated = self.long_range * np.tensordot(corners, self.shares, axes=1)
            modulated *= waves[0][:, None, None] * waves[1][:, None] * waves[2]
            self.last = offset, np.asarray(np.fft.fftn(modulated).real * self.element)
        return self.last[1]


def shares_of_corners(cell: Floats, points: NDArray[np.int_]) -> Floats:
    """To which corner of a cell the points of a grid in it are nearest.

    Parameters
    ----------
    cell
        Rows are vectors (3, 3).
    points
        Divisions of the grid along each.

    Returns
    -------
    (8, n1, n2, n3)
        For each of :data:`CORNERS` 1 / n at the points that have it among their n nearest ones, 0 elsewhere. A point seen
        from its nearest corner lies in the Wigner-Seitz cell about the origin, on the boundary if n > 1.
    """
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in points), indexing="ij"), axis=-1)
    distances = np.stack([np.linalg.norm((grid - corner) @ np.asarray(cell), axis=-1) for corner in CORNERS])
    nearest = (distances <= distances.min(axis=0) * (1 + _SAME_DISTANCE)).astype(float)
    return np.asarray(nearest / nearest.sum(axis=0))


class FockOperator:
    """Exact exchange with the occupied states of a GPAW calculation on a regular mesh.

    Parameters
    ----------
    reference
        GPAW's ``NonSelfConsistentHybridXCCalculator``, which holds the occupied states of the whole zone.
    density_matrices
        The atoms' density matrices by spin, occupied states of one spin channel.
    coulomb
        Maps a plane-wave descriptor to the interaction.
    """

    def __init__(self, reference: Any, density_matrices: dict[int, list[Floats]], coulomb: Any) -> None:
        from gpaw.hybrids.paw import pawexxvv
        from gpaw.utilities import unpack_hermitian

        self.reference = reference
        self.coulomb = coulomb
        setups = reference.setups
        self.core = {a: -unpack_hermitian(setup.X_p) for a, setup in enumerate(setups)}
        self.valence = {
            a: [-pawexxvv(2 * setups[a].M_pp, np.ascontiguousarray(d)) for d in of_atom]
            for a, of_atom in density_matrices.items()
        }

    def matrix(self, states: Any, projections: Any, spin: int) -> Complex:
        """The operator between the states at one k point (n, n), Hartree.

        Parameters
        ----------
        states
            GPAW's plane-wave expansion of the states.
        projections
            Their projections on the atoms.
        spin
            Spin channel.
        """
        reference = self.reference
        on_grid = reference.grid.empty(len(states))
        states.ifft(out=on_grid, plan=reference.plan, periodic=False)
        total: Complex = np.zeros((len(states), len(states)), dtype=complex)
        for occupied in reference.mypsits:
            if occupied.spin == spin:
                pw = states.desc.new(kpt=states.desc.kpt_c - occupied.kpt_c, dtype=complex)
                total -= self._with_point(pw, occupied, on_grid.data, projections) / reference.nbzk
        for atom, core in self.core.items():
            p = projections[atom]
            total += p.conj() @ (core + self.valence[atom][spin]) @ p.T
        return (total + total.conj().T) / 2

    def core_part(self, projections: Any) -> Floats:
        """Expectation values of the exchange with the cores (n,), Hartree."""
        parts = [np.einsum("ni,ij,nj->n", projections[a].conj(), v, projections[a]).real for a, v in self.core.items()]
        return np.asarray(sum(parts))

    def _with_point(self, pw: Any, occupied: Any, on_grid: Complex, projections: Any) -> Complex:
        """Exchange with the occupied states of one point of the zone, without sign, (n, n)."""
        from scipy.fft import fftn

        reference = self.reference
        weights = self.coulomb(pw) * pw.dv
        within = pw.indices(on_grid.shape[1:])
        compensation = reference.setups.create_compensation_charges(pw, reference.relpos_ac)
        expanded = pw.empty(len(on_grid))
        total: Complex = np.zeros((len(on_grid), len(on_grid)), dtype=complex)
        for number, (state, occupation) in enumerate(zip(occupied.ut_nR.data, occupied.f_n, strict=True)):
            pairs = fftn(on_grid * state.conj(), axes=(1, 2, 3), norm="forward", overwrite_x=True)
            expanded.data[:] = pairs.reshape(len(on_grid), -1)[:, within]
            compensation.add_to(expanded, {a: projections[a] @ q[number] for a, q in occupied.Q_aniL.items()})
            total += occupation * ((expanded.data.conj() * weights) @ expanded.data.T)
        return total
