"""The crystal's symmetry operations in Cartesian axes, and what they make of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.result import Floats

INVARIANT = 1e-6
"""Singular value below which a combination of tensors is no invariant one."""


@dataclass(frozen=True)
class SpaceGroup:
    """Operations that leave the crystal, moments included, as it is.

    Parameters
    ----------
    rotations
        (n, 3, 3), fractional coordinates: ``x`` goes to ``R x + t``.
    cartesian
        The same rotations in Cartesian axes (n, 3, 3).
    images
        (n, n_atoms): the atom each atom goes to.
    """

    rotations: NDArray[np.int_]
    cartesian: Floats
    images: NDArray[np.int_]

    @classmethod
    def of(cls, inputs: RunInputs) -> SpaceGroup:
        """The operations of POSCAR's crystal within SYMPREC; the identity only where ISYM switches symmetry off.

        Raises
        ------
        RehearsalError
            HIB-190 if they cannot be found.
        """
        n_atoms = len(inputs.symbols)
        settings = inputs.settings
        if settings.isym <= 0:
            return cls(np.eye(3, dtype=int)[None], np.eye(3)[None], np.arange(n_atoms)[None])
        import spglib

        moments = settings.magmom or (0.0,) * n_atoms
        kinds = sorted(set(zip(inputs.symbols, moments, strict=True)))
        numbers = [kinds.index(kind) + 1 for kind in zip(inputs.symbols, moments, strict=True)]
        cell = (inputs.lattice, inputs.frac_coords, numbers)
        found = spglib.get_symmetry_dataset(cell, symprec=max(settings.symprec, 1e-5))
        if found is None:
            raise RehearsalError(190, "its symmetry cannot be found", where="POSCAR")
        rotations = np.array(found.rotations, dtype=int)
        moved = np.einsum("sij,aj->sai", rotations, inputs.frac_coords) + found.translations[:, None, :]
        difference = moved[:, :, None, :] - inputs.frac_coords
        distance = np.linalg.norm((difference - np.round(difference)) @ inputs.lattice, axis=-1)
        transposed = inputs.lattice.T
        return cls(rotations, transposed @ rotations @ np.linalg.inv(transposed), distance.argmin(axis=2))

    def average(self, tensor: Floats) -> Floats:
        """A Cartesian tensor (..., 3, 3) averaged over the operations."""
        return np.asarray(np.einsum("sia,...ab,sjb->...ij", self.cartesian, tensor, self.cartesian) / len(self.cartesian))

    def invariant_tensors(self) -> Floats:
        """Orthonormal basis (n, 3, 3) of the symmetric tensors that the crystal allows: 1 if cubic, up to 6 if triclinic."""
        pairs = [(i, j) for i in range(3) for j in range(i, 3)]
        symmetric = np.array([_unit(i, j) for i, j in pairs])
        averaged = self.average(symmetric).reshape(len(pairs), 9)
        _, values, vectors = np.linalg.svd(averaged)
        return np.asarray(vectors[: int((values > INVARIANT).sum())].reshape(-1, 3, 3))

    def site_rotations(self, atom: int) -> Floats:
        """Cartesian rotations (m, 3, 3) of the operations that leave an atom in its place."""
        return np.asarray(self.cartesian[self.images[:, atom] == atom])

    @property
    def inequivalent(self) -> list[int]:
        """First atom of each symmetry orbit."""
        return sorted({int(column.min()) for column in self.images.T})


def _unit(i: int, j: int) -> Floats:
    tensor = np.zeros((3, 3))
    tensor[i, j] = tensor[j, i] = 1.0
    return tensor / np.linalg.norm(tensor)
