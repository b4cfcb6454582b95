"""Correction of the energy of a charged supercell: the extended FNV scheme with an anisotropic dielectric tensor.

Y. Kumagai and F. Oba, Phys. Rev. B 89, 195205 (2014). The interaction of a point charge with its images is taken away, and the
potentials at the atoms far from the defect are aligned with those of the perfect cell. Conventions are those of pydefect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hibana.defects.ewald import is_positive, lattice_energy, point_charge_potential
from hibana.defects.mapping import NO_PARTNER, SiteMapping, defect_centre, map_sites, same_lattice, shortest_vectors
from hibana.defects.run import DefectRun
from hibana.protocol.protocol import DefectRule

Array = NDArray[np.float64]

MAPPED = 0.5
"""Part of the atoms that must be found in the perfect cell; with fewer the cells are not of one crystal and origin."""

ON_SPHERE = 1e-7
"""Atoms this near to the sphere of the defect are on it and count as outside, Å. pydefect leaves them to rounding."""

NoCorrectionKind = Literal[
    "different_lattices", "not_mapped", "no_defect", "no_site_potentials", "no_dielectric_tensor", "no_site_outside"
]


@dataclass(frozen=True)
class NoCorrection:
    """Why there is no correction."""

    kind: NoCorrectionKind
    reason: str


@dataclass(frozen=True)
class SiteSheet:
    """Potentials at the atoms that are also in the perfect cell.

    Parameters
    ----------
    elements
        Element of each atom.
    sites, partners
        (n,) index in the cell with the defect and in the perfect one.
    distances
        (n,) from the defect, Å.
    differences
        (n,) potential of the defect's cell less that of the perfect one, V.
    point_charge
        (n,) potential of the periodic point charge, V.
    outside
        (n,) whether the atom is outside the sphere of the defect and counts for the alignment.
    """

    elements: tuple[str, ...]
    sites: NDArray[np.intp]
    partners: NDArray[np.intp]
    distances: Array
    differences: Array
    point_charge: Array
    outside: NDArray[np.bool_]

    @property
    def residuals(self) -> Array:
        """Difference less point-charge potential of the atoms outside, (m,) in V; alike where the scheme is sound."""
        return np.asarray((self.differences - self.point_charge)[self.outside])


@dataclass(frozen=True)
class Correction:
    """Correction energies of one charged supercell.

    Parameters
    ----------
    charge
        Charge of the cell, e.
    point_charge, alignment
        The two terms, eV.
    radius
        Radius of the sphere of the defect, Å.
    position
        (3,) fractional position of the defect.
    sheet
        Potentials at the atoms; None for a neutral cell without potentials.
    unmapped
        Atoms of the defect's cell that are not in the perfect one.
    """

    charge: float
    point_charge: float
    alignment: float
    radius: float
    position: Array
    sheet: SiteSheet | None
    unmapped: tuple[int, ...] = ()

    @property
    def total(self) -> float:
        """Sum of the terms, eV; to be added to the energy of the cell."""
        return self.point_charge + self.alignment

    @property
    def offset(self) -> float | None:
        """Mean of the residuals outside the sphere, V."""
        residuals = np.empty(0) if self.sheet is None else self.sheet.residuals
        return float(residuals.mean()) if len(residuals) else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the residuals outside the sphere, V; |charge| times it is how sure the alignment is.

        One residual says nothing of that: None.
        """
        residuals = np.empty(0) if self.sheet is None else self.sheet.residuals
        return float(residuals.std()) if len(residuals) > 1 else None


def extended_fnv(
    charge: float,
    perfect: DefectRun,
    defect: DefectRun,
    epsilon: ArrayLike | None,
    rule: DefectRule,
    *,
    defect_position: ArrayLike | None = None,
) -> Correction | NoCorrection:
    """Correction of a charged supercell.

    A neutral cell has corrections of zero; its sheet is there if the potentials are.

    Parameters
    ----------
    charge
        Charge of the cell, e.
    perfect, defect
        Run of the perfect supercell, and of the one with the defect.
    epsilon
        (3, 3) static (electronic and ionic) dielectric tensor in the Cartesian axes of the runs.
    rule
        Largest distance of an atom from its place in the perfect cell, and reach of the Ewald sums.
    defect_position
        (3,) fractional position of the defect; by default the mean of the atoms removed and inserted.
    """
    if not same_lattice(defect.crystal, perfect.crystal):
        return NoCorrection("different_lattices", "the supercells with and without the defect have different lattice vectors")
    mapping = map_sites(defect.crystal, perfect.crystal, rule.mapping_distance)
    if len(mapping.inserted) > (1 - MAPPED) * len(mapping.partners):
        return NoCorrection(
            "not_mapped",
            f"{len(mapping.inserted)} of {len(mapping.partners)} atoms are farther than {rule.mapping_distance} Å from any atom "
            "of their element in the perfect supercell",
        )
    position = defect_centre(mapping, defect.crystal, perfect.crystal) if defect_position is None else np.asarray(defect_position)
    if position is None:
        return NoCorrection("no_defect", "nothing was removed from the perfect supercell and nothing inserted")
    lattice = defect.crystal.lattice
    radius = sphere_radius(lattice)
    sheet = _sheet(perfect, defect, mapping, position, radius)
    if not charge:
        return Correction(charge, 0.0, 0.0, radius, position, sheet if isinstance(sheet, SiteSheet) else None, mapping.inserted)
    if isinstance(sheet, NoCorrection):
        return sheet
    if epsilon is None or not is_positive(epsilon):
        state = "not known" if epsilon is None else "not positive definite"
        return NoCorrection("no_dielectric_tensor", f"the static dielectric tensor of the host is {state}")
    if not sheet.outside.any():
        return NoCorrection("no_site_outside", f"no atom is farther than {radius:.2f} Å from the defect")
    steps = np.array(defect.crystal.frac_coords)[sheet.sites] - position
    unit = point_charge_potential(lattice, epsilon, steps, accuracy=rule.ewald_accuracy)
    sheet = replace(sheet, point_charge=charge * unit)
    return Correction(
        charge=charge,
        point_charge=-(charge**2) * lattice_energy(lattice, epsilon, accuracy=rule.ewald_accuracy),
        alignment=-charge * float(sheet.residuals.mean()),
        radius=radius,
        position=position,
        sheet=sheet,
        unmapped=mapping.inserted,
    )


def sphere_radius(lattice: ArrayLike) -> float:
    """Radius of the sphere of a defect, Å: half of the largest distance between opposite faces of the cell."""
    normals = np.linalg.inv(np.asarray(lattice, dtype=float))
    return float(1 / np.linalg.norm(normals, axis=0).min() / 2)


def _sheet(
    perfect: DefectRun, defect: DefectRun, mapping: SiteMapping, position: Array, radius: float
) -> SiteSheet | NoCorrection:
    """Potentials at the mapped atoms, in the order of the defect's cell, without those of a point charge."""
    for run, name in ((perfect, "perfect supercell"), (defect, "defect")):
        if run.site_potentials is None:
            return NoCorrection("no_site_potentials", f"{name}: {run.why_not('site_potentials')}")
    sites = np.flatnonzero(mapping.partners != NO_PARTNER)
    partners = mapping.partners[sites]
    _, lengths = shortest_vectors(defect.crystal.lattice, position, np.array(defect.crystal.frac_coords)[sites])
    return SiteSheet(
        elements=tuple(defect.crystal.species[site] for site in sites),
        sites=sites,
        partners=partners,
        distances=lengths[0],
        differences=np.asarray(defect.site_potentials)[sites] - np.asarray(perfect.site_potentials)[partners],
        point_charge=np.zeros(len(sites)),
        outside=lengths[0] > radius - ON_SPHERE,
    )
