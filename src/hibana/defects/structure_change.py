"""How the atoms of a supercell have moved around a defect, and what kind of defect that makes it.

Definitions are those of pydefect: the relaxed cell is shifted so that the atom farthest from the defect is where it is in the
perfect cell; then atoms are paired with those of the perfect and of the initial cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hibana.core.errors import HibanaError
from hibana.defects.mapping import NO_PARTNER, SiteMapping, defect_centre, map_sites, same_lattice, shortest_vectors
from hibana.documents.crystal import Crystal

Array = NDArray[np.float64]

DefectType = Literal["vacancy", "interstitial", "substituted", "vacancy_split", "interstitial_split", "unknown"]
ChangeKind = Literal["simple", "split", "reconstructed"]
SymmetryRelation = Literal["same", "subgroup", "supergroup", "another", "unknown"]

ON_SITE = 1e-5
"""An atom nearer than this to a place is at it, Å."""


@dataclass(frozen=True)
class NotComparable:
    """Why the cells cannot be compared."""

    kind: Literal["different_lattices", "no_defect"]
    reason: str


@dataclass(frozen=True)
class Displacements:
    """How far each atom of the relaxed cell is from its place in the initial one; atoms without such a place are left out.

    Parameters
    ----------
    elements
        Element of each atom.
    sites, partners
        (n,) index in the relaxed and in the initial cell.
    distances
        (n,) of the initial place from the defect, Å.
    vectors
        (n, 3) displacement in Cartesian axes, Å.
    outward
        (n,) component of it away from the defect, Å; 0 for an atom at the defect.
    """

    elements: tuple[str, ...]
    sites: NDArray[np.intp]
    partners: NDArray[np.intp]
    distances: Array
    vectors: Array
    outward: Array

    @property
    def lengths(self) -> Array:
        """(n,) lengths of the displacements, Å."""
        return np.asarray(np.linalg.norm(self.vectors, axis=1))


@dataclass(frozen=True)
class StructureChange:
    """What became of a defect in its relaxation.

    Parameters
    ----------
    kind
        ``simple``: one atom missing, added or replaced, and every atom near its initial place. ``split``: an atom shares the
        place of several. ``reconstructed``: anything else.
    defect_type
        pydefect's name of the defect by what is removed and inserted.
    same_configuration
        Whether every atom stays near its initial place.
    removed, inserted, substituted
        Against the perfect cell: sites without partner in either, and pairs (perfect, relaxed) at one place that are no partners.
    moved_from, moved_to
        Against the initial cell: places left, and atoms that are at no initial place.
    symmetry_before, symmetry_after
        Point group of the initial and the relaxed cell; None where the symmetry search fails.
    symmetry_relation
        Of the relaxed to the initial operations; axes count.
    centre
        (3,) fractional position of the defect.
    anchor
        Atom farthest from the defect.
    drift
        Way of the anchor from its place in the perfect cell, Å; None if it has none there, then no drift is taken away.
    neighbours
        Atoms of the relaxed cell around the places that were removed or inserted.
    displacements
        Of the atoms, against the initial cell.
    """

    kind: ChangeKind
    defect_type: DefectType
    same_configuration: bool
    removed: tuple[int, ...]
    inserted: tuple[int, ...]
    substituted: tuple[tuple[int, int], ...]
    moved_from: tuple[int, ...]
    moved_to: tuple[int, ...]
    symmetry_before: str | None
    symmetry_after: str | None
    symmetry_relation: SymmetryRelation
    centre: Array
    anchor: int
    drift: float | None
    neighbours: tuple[int, ...]
    displacements: Displacements

    @property
    def max_displacement(self) -> float:
        """Largest displacement, Å; a lower bound where atoms are at no initial place."""
        return float(self.displacements.lengths.max(initial=0.0))

    def displaced(self, minimum: float) -> tuple[int, ...]:
        """Atoms of the relaxed cell that moved by more than `minimum` Å or are at no initial place, ascending."""
        far = self.displacements.sites[self.displacements.lengths > minimum].tolist()
        return tuple(sorted({*far, *self.moved_to}))


def structure_change(
    perfect: Crystal,
    initial: Crystal,
    final: Crystal,
    *,
    mapping_distance: float,
    neighbour_factor: float,
    symprec: float,
    angle_tolerance: float,
) -> StructureChange | NotComparable:
    """Compare a relaxed defect with the perfect and the unrelaxed supercell.

    Parameters
    ----------
    perfect
        Supercell without the defect.
    initial
        Supercell with the defect before the relaxation, without random displacements: its point group is the site symmetry of
        the unrelaxed defect.
    final
        The relaxed supercell.
    mapping_distance
        Largest distance of an atom that is still the same, Å.
    neighbour_factor
        Neighbours are within this multiple of the shortest distance.
    symprec, angle_tolerance
        Of the point groups, Å and degrees.
    """
    if not (same_lattice(final, perfect) and same_lattice(final, initial)):
        return NotComparable("different_lattices", "the supercells have different lattice vectors")
    first = map_sites(final, perfect, mapping_distance)
    centre = defect_centre(first, final, perfect)
    if centre is None:
        return NotComparable("no_defect", "nothing was removed from the perfect supercell and nothing inserted")
    anchor, shift = _drift(final, perfect, first, centre)
    if shift is not None:
        centre, final = centre - shift, _shifted(final, -shift)
    mapping = map_sites(final, perfect, mapping_distance)
    from_initial = map_sites(final, initial, mapping_distance)
    substituted = _substituted(mapping, final, perfect, mapping_distance)
    removed = tuple(site for site in mapping.removed if site not in {pair[0] for pair in substituted})
    inserted = tuple(site for site in mapping.inserted if site not in {pair[1] for pair in substituted})
    involved = {perfect.species[site] for site in removed} | {final.species[site] for site in inserted}
    defect_type = _defect_type(len(removed), len(inserted), len(substituted), len(involved))
    same = not (from_initial.removed or from_initial.inserted)
    holes = _hole(map_sites(initial, perfect, mapping_distance), initial, perfect), _hole(mapping, final, perfect)
    before, after = (_rotations(cell, hole, symprec, angle_tolerance) for cell, hole in zip((initial, final), holes, strict=True))
    return StructureChange(
        kind=_kind(defect_type, same),
        defect_type=defect_type,
        same_configuration=same,
        removed=removed,
        inserted=inserted,
        substituted=substituted,
        moved_from=from_initial.removed,
        moved_to=from_initial.inserted,
        symmetry_before=before[0],
        symmetry_after=after[0],
        symmetry_relation=_relation(before[1], after[1]),
        centre=centre,
        anchor=anchor,
        drift=None if shift is None else float(np.linalg.norm(shift @ np.array(final.lattice))),
        neighbours=_neighbours(mapping, final, perfect, neighbour_factor),
        displacements=_displacements(from_initial, initial, final, centre),
    )


def _drift(final: Crystal, perfect: Crystal, mapping: SiteMapping, centre: Array) -> tuple[int, Array | None]:
    """The atom farthest from the defect, and its way (3,) from its place in the perfect cell, fractional."""
    _, distances = shortest_vectors(final.lattice, centre, final.frac_coords)
    anchor = int(distances[0].argmax())
    partner = int(mapping.partners[anchor])
    if partner == NO_PARTNER:
        return anchor, None
    vectors, _ = shortest_vectors(final.lattice, perfect.frac_coords[partner], final.frac_coords[anchor])
    return anchor, vectors[0, 0] @ np.linalg.inv(final.lattice)


def _shifted(crystal: Crystal, shift: Array) -> Crystal:
    moved = np.array(crystal.frac_coords) + shift
    return crystal.model_copy(update={"frac_coords": tuple((float(x), float(y), float(z)) for x, y, z in moved)})


def _substituted(mapping: SiteMapping, final: Crystal, perfect: Crystal, distance: float) -> tuple[tuple[int, int], ...]:
    """Pairs of a removed and an inserted site at one place."""
    if not mapping.removed or not mapping.inserted:
        return ()
    places = [perfect.frac_coords[site] for site in mapping.removed], [final.frac_coords[site] for site in mapping.inserted]
    _, lengths = shortest_vectors(final.lattice, *places)
    forward, backward = lengths.argmin(axis=1), lengths.argmin(axis=0)
    return tuple(
        (mapping.removed[row], mapping.inserted[column])
        for row, column in enumerate(forward.tolist())
        if backward[column] == row and lengths[row, column] <= distance
    )


def _defect_type(n_removed: int, n_inserted: int, n_substituted: int, n_elements: int) -> DefectType:
    counts = (n_removed, n_inserted, n_substituted)
    simple: dict[tuple[int, int, int], DefectType] = {(1, 0, 0): "vacancy", (0, 1, 0): "interstitial", (0, 0, 1): "substituted"}
    if counts in simple:
        return simple[counts]
    if n_elements == 1 and n_substituted == 0 and abs(n_removed - n_inserted) == 1:
        return "vacancy_split" if n_removed > n_inserted else "interstitial_split"
    return "unknown"


def _kind(defect_type: DefectType, same_configuration: bool) -> ChangeKind:
    if defect_type in ("vacancy_split", "interstitial_split"):
        return "split"
    return "simple" if same_configuration and defect_type != "unknown" else "reconstructed"


def _hole(mapping: SiteMapping, crystal: Crystal, perfect: Crystal) -> Array | None:
    """Place (3,) that every symmetry operation of a cell with one defect leaves as it is; None without a defect.

    The mean displacement of the atoms, which is as symmetric as the cell, takes off what is left of a drift.
    """
    centre = defect_centre(mapping, crystal, perfect)
    sites = np.flatnonzero(mapping.partners != NO_PARTNER)
    if centre is None or not sites.size:
        return centre
    steps = np.array(crystal.frac_coords)[sites] - np.array(perfect.frac_coords)[mapping.partners[sites]]
    return np.asarray(centre + (steps - np.rint(steps)).mean(axis=0))


def _rotations(
    crystal: Crystal, hole: Array | None, symprec: float, angle_tolerance: float
) -> tuple[str | None, frozenset[bytes] | None]:
    """Point group of a cell without moments, and its rotations in the cell's own axes.

    A mark at the defect, an atom of a kind of its own, tells spglib which translations can be: without it all vectors between
    the atoms of an element are tried, which takes a hundred times longer in large cells.
    """
    from hibana.structures.symmetry import Kind, KindCell, symmetry_dataset

    kinds = [Kind(number, 0) for number in range(len(set(crystal.species)) + 1)]
    types = [sorted(set(crystal.species)).index(symbol) for symbol in crystal.species]
    places = np.array(crystal.frac_coords)
    if hole is not None:
        places, types = np.vstack([places, hole]), [*types, len(kinds) - 1]
    cell = KindCell(np.array(crystal.lattice), places, np.array(types, dtype=np.intc), tuple(kinds), (0.0,) * len(kinds))
    try:
        dataset = symmetry_dataset(cell, symprec, angle_tolerance)
    except HibanaError:
        return None, None
    return str(dataset.pointgroup).strip(), frozenset(rotation.tobytes() for rotation in dataset.rotations)


def _relation(before: frozenset[bytes] | None, after: frozenset[bytes] | None) -> SymmetryRelation:
    if before is None or after is None:
        return "unknown"
    if before == after:
        return "same"
    if after < before:
        return "subgroup"
    return "supergroup" if after > before else "another"


def _neighbours(mapping: SiteMapping, final: Crystal, perfect: Crystal, factor: float) -> tuple[int, ...]:
    places = [perfect.frac_coords[site] for site in mapping.removed] + [final.frac_coords[site] for site in mapping.inserted]
    _, distances = shortest_vectors(final.lattice, places, final.frac_coords)
    distances[distances <= ON_SITE] = np.inf
    near = distances < factor * distances.min(axis=1, keepdims=True)
    return tuple(np.flatnonzero(near.any(axis=0)).tolist())


def _displacements(mapping: SiteMapping, initial: Crystal, final: Crystal, centre: Array) -> Displacements:
    sites = np.flatnonzero(mapping.partners != NO_PARTNER)
    partners = mapping.partners[sites]
    places = np.array(initial.frac_coords)[partners]
    vectors = _to_origin(final.lattice, np.array(final.frac_coords)[sites] - places)
    from_centre = _to_origin(final.lattice, places - centre)
    distances = np.linalg.norm(from_centre, axis=1)
    directions = np.divide(from_centre, distances[:, None], out=np.zeros_like(from_centre), where=distances[:, None] > ON_SITE)
    return Displacements(
        elements=tuple(final.species[site] for site in sites),
        sites=sites,
        partners=partners,
        distances=distances,
        vectors=vectors,
        outward=np.asarray((directions * vectors).sum(axis=1)),
    )


def _to_origin(lattice: Sequence[Sequence[float]], steps: Array) -> Array:
    """Shortest Cartesian vectors (n, 3) of fractional steps."""
    vectors, _ = shortest_vectors(lattice, np.zeros(3), steps)
    return np.asarray(vectors[0])
