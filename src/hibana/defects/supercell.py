"""Supercells of hosts, by pydefect's rule.

The conventional cell is lengthened along its shortest axis, again and again; axes of one length together, and in tetragonal
crystals the base also by turns of 45 degrees. Of the cells with the number of atoms asked for, the most isotropic is taken
(Y. Kumagai et al., Phys. Rev. Mater. 5, 123803 (2021)). pydefect compares lengths and anisotropies to the last bit, so that
rounding decides among cells that are equally isotropic, such as 2x2x2 and 3x3x3; here these are equal and the smallest is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hibana.defects.binding import pydefect_module
from hibana.defects.errors import BAD_MATRIX
from hibana.defects.gate import Refusal
from hibana.defects.host_cell import HostCell, host_cell
from hibana.documents.crystal import Crystal
from hibana.properties.sites import orbits_of

if TYPE_CHECKING:
    from hibana.protocol.protocol import DefectRule, SymmetryRule

Array = NDArray[np.float64]
IntRows = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]

TIE = 1e-6
"""Lengths (relative) and anisotropies nearer than this are equal."""

NEXT_CELL = 1e-9
"""Fractional coordinates nearer than this to the end of the cell are at its beginning."""


@dataclass(frozen=True)
class SupercellSite:
    """Sites of a supercell that the space group of the host makes one.

    Parameters
    ----------
    name
        Element and number among its inequivalent sites, ``O1``; the label it has among the host's site descriptors.
    element
        Chemical symbol.
    wyckoff
        Wyckoff letter.
    site_symmetry
        Site symmetry, Hermann-Mauguin symbol in spglib's notation.
    indices
        The sites, ascending.
    """

    name: str
    element: str
    wyckoff: str
    site_symmetry: str
    indices: tuple[int, ...]


@dataclass(frozen=True)
class HostSupercell:
    """A supercell of a host.

    Parameters
    ----------
    host
        Primitive cell of the host.
    crystal
        The supercell. The copies of each site of the host follow one another.
    matrix
        Its lattice vectors (rows) as multiples of the primitive ones.
    sites
        Inequivalent sites of all elements, in the order of their first atoms.
    anisotropy
        Mean difference of the vectors' lengths from their mean, in units of it.
    space_group_number
        Space group of the host.
    """

    host: Crystal
    crystal: Crystal
    matrix: IntRows
    sites: tuple[SupercellSite, ...]
    anisotropy: float
    space_group_number: int

    @property
    def n_atoms(self) -> int:
        """Atoms of the supercell."""
        return len(self.crystal.species)

    @property
    def multiplicity(self) -> int:
        """Primitive cells in the supercell."""
        return self.n_atoms // len(self.host.species)

    def host_index(self, index: int) -> int:
        """Site of the primitive cell that a site of the supercell is a copy of."""
        return index // self.multiplicity


@dataclass(frozen=True)
class Candidate:
    """A supercell of the series: vectors (rows) as multiples of the conventional ones, atoms, and anisotropy."""

    matrix: NDArray[np.int64]
    n_atoms: int
    anisotropy: float


def make_supercell(crystal: Crystal, rule: DefectRule, symmetry: SymmetryRule) -> HostSupercell | Refusal:
    """The supercell that vacancies of a host are calculated in.

    Parameters
    ----------
    crystal
        The host; a standard primitive cell keeps its setting, of any other cell the standard one is taken.
    rule
        Numbers of atoms, or the matrix.
    symmetry
        Tolerances.

    Returns
    -------
    HostSupercell or Refusal
        A refusal by ``supercell_size`` where no cell of the series has a number of atoms within the limits.

    Raises
    ------
    HibanaError
        HIB-017 where spglib finds no symmetry, HIB-221 where the protocol's matrix makes no cell.
    """
    host = host_cell(crystal, symmetry)
    if rule.matrix is not None:
        matrix = _checked(rule.matrix)
    else:
        chosen = most_isotropic_supercell(host, rule.min_atoms, rule.max_atoms)
        if isinstance(chosen, Refusal):
            return chosen
        matrix = chosen.matrix @ host.conventional
    repeated = _repeated(host.crystal, matrix)
    return HostSupercell(
        host=host.crystal,
        crystal=repeated,
        matrix=tuple(tuple(row) for row in matrix.tolist()),
        sites=_sites(host.crystal, round(np.linalg.det(matrix)), symmetry),
        anisotropy=anisotropy(np.array(repeated.lattice)),
        space_group_number=host.space_group_number,
    )


def supercell_series(host: HostCell) -> Iterator[Candidate]:
    """Cells that the conventional cell grows through, without end, the smallest first."""
    matrix = np.eye(3, dtype=np.int64)
    n_conventional = len(host.crystal.species) * round(np.linalg.det(host.conventional))
    while True:
        vectors = matrix @ host.conventional_lattice
        yield Candidate(matrix, n_conventional * round(np.linalg.det(matrix)), anisotropy(vectors))
        matrix = _lengthened(matrix, np.linalg.norm(vectors, axis=1), tetragonal=host.tetragonal)


def most_isotropic_supercell(host: HostCell, min_atoms: int, max_atoms: int) -> Candidate | Refusal:
    """The most isotropic cell of the series within the limits; of those that are so within :data:`TIE`, the smallest."""
    fitting, sizes = [], []
    for candidate in supercell_series(host):
        sizes.append(candidate.n_atoms)
        if candidate.n_atoms > max_atoms:
            break
        if candidate.n_atoms >= min_atoms:
            fitting.append(candidate)
    if not fitting:
        nearest = " and ".join(map(str, sizes[-2:]))
        return Refusal("supercell_size", f"no supercell of {min_atoms} to {max_atoms} atoms; the nearest: {nearest}")
    limit = min(candidate.anisotropy for candidate in fitting) + TIE
    return next(candidate for candidate in fitting if candidate.anisotropy <= limit)


def anisotropy(lattice: Array) -> float:
    """Mean difference of the lengths of lattice vectors (rows) from their mean, in units of it."""
    lengths = np.linalg.norm(lattice, axis=1)
    return float(np.abs(lengths - lengths.mean()).mean() / lengths.mean())


def _lengthened(matrix: NDArray[np.int64], lengths: Array, *, tetragonal: bool) -> NDArray[np.int64]:
    longer = matrix.copy()
    if not tetragonal:
        for axis in np.flatnonzero(lengths <= lengths.min() * (1 + TIE)):
            longer[axis, axis] += 1
    elif lengths[0] > lengths[2] * (1 + TIE):
        longer[2, 2] += 1
    else:
        cells = pydefect_module("input_maker.supercell").TetragonalSupercells
        base = cells.next_x_y_combination(round(np.linalg.det(matrix[:2, :2])))
        longer[:2, :2] = np.rint(cells.matrix_from_x_y(*base))
    return longer


def _checked(matrix: IntRows) -> NDArray[np.int64]:
    rows = np.array(matrix, dtype=np.int64)
    determinant = round(np.linalg.det(rows))
    if determinant <= 0:
        raise BAD_MATRIX.error(f"the determinant of {rows.tolist()} is {determinant}", where="defects.matrix")
    return rows


def _repeated(host: Crystal, matrix: NDArray[np.int64]) -> Crystal:
    """The host repeated: site by site, the copies of each in an order that rounding has no part in."""
    from pymatgen.util.coord import lattice_points_in_supercell

    points = lattice_points_in_supercell(matrix)
    places = ((np.array(host.frac_coords) @ np.linalg.inv(matrix))[:, None] + points[None]).reshape(-1, 3)
    places -= np.floor(places + NEXT_CELL)

    def copied(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(value for value in values for _ in points)

    return Crystal(
        lattice=tuple(tuple(row) for row in (matrix @ np.array(host.lattice)).tolist()),
        species=copied(host.species),
        frac_coords=tuple(tuple(place) for place in places.tolist()),
        magmoms=None if host.magmoms is None else copied(host.magmoms),
    )


def _sites(host: Crystal, copies: int, symmetry: SymmetryRule) -> tuple[SupercellSite, ...]:
    found = orbits_of(host, symprec=symmetry.symprec, angle_tolerance=symmetry.angle_tolerance)
    return tuple(
        SupercellSite(
            name=orbit.label,
            element=orbit.element,
            wyckoff=orbit.wyckoff,
            site_symmetry=orbit.site_symmetry,
            indices=tuple(index for site in orbit.members for index in range(site * copies, (site + 1) * copies)),
        )
        for orbit in found.orbits
    )
