"""Vacancies to be calculated: which atom is taken out, with which charge, and how its neighbours are displaced at the start."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hibana.core.address import content_address
from hibana.defects.supercell import HostSupercell, SupercellSite
from hibana.documents.crystal import Crystal, Vector
from hibana.structures.convert import to_pymatgen

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from hibana.protocol.protocol import DefectRule

SEED_VERSION = 1
"""Part of every seed; raised when displacements are drawn in another way."""

RADIUS_DECIMALS = 3
"""pydefect rounds the radius in Å."""


@dataclass(frozen=True)
class Displacement:
    """One atom moved at the start: its index in the cell with the vacancy, and the vector in Å."""

    index: int
    vector: Vector

    @property
    def length(self) -> float:
        """Length of the vector, Å."""
        return math.hypot(*self.vector)


@dataclass(frozen=True)
class VacancyEntry:
    """A vacancy in one charge state.

    Parameters
    ----------
    site
        The site that is vacant.
    charge
        Charge state.
    perfect_index
        Index of the atom in the perfect supercell that is taken out.
    centre
        Its fractional coordinates.
    unperturbed
        The cell with the vacancy, all atoms where they are in the perfect one.
    seed
        What the displacements were drawn with, 64 hex digits.
    displacements
        Atoms that are displaced at the start, by index.
    """

    site: SupercellSite
    charge: int
    perfect_index: int
    centre: Vector
    unperturbed: Crystal
    seed: str
    displacements: tuple[Displacement, ...]

    @property
    def name(self) -> str:
        """Name of the vacancy as pydefect gives it, ``Va_O1``."""
        return f"Va_{self.site.name}"

    @property
    def full_name(self) -> str:
        """Name with the charge, ``Va_O1_2``."""
        return f"{self.name}_{self.charge}"

    @property
    def n_removed(self) -> dict[str, int]:
        """Atoms exchanged with reservoirs, negative for those taken out."""
        return {self.site.element: -1}

    @property
    def site_symmetry(self) -> str:
        """Symmetry of the site in the perfect crystal."""
        return self.site.site_symmetry

    @cached_property
    def crystal(self) -> Crystal:
        """The cell the relaxation starts from."""
        inverse = np.linalg.inv(self.unperturbed.lattice)
        places = [list(place) for place in self.unperturbed.frac_coords]
        for item in self.displacements:
            step = np.array(item.vector) @ inverse
            places[item.index] = [float(x + d) for x, d in zip(places[item.index], step, strict=True)]
        return self.unperturbed.model_copy(update={"frac_coords": tuple(tuple(place) for place in places)})


def vacancy_entries(supercell: HostSupercell, rule: DefectRule, seed_material: str) -> tuple[VacancyEntry, ...]:
    """Every vacancy of a host: each inequivalent anion site, in each charge state.

    Parameters
    ----------
    supercell
        The perfect cell.
    rule
        Anions, charges, and how far atoms are displaced.
    seed_material
        Identity of the host, for instance its structure key. With the name of the vacancy and its charge it decides the
        displacements: made again, here or elsewhere, they are the same.

    Returns
    -------
    tuple of VacancyEntry
        In the order of sites, then of charges.
    """
    structure = to_pymatgen(supercell.crystal)
    entries = []
    for site in supercell.sites:
        if site.element not in rule.host.anions:
            continue
        index = site.indices[0]
        unperturbed = _without(supercell.crystal, index)
        near = displaced_atoms(structure, index, rule.displacement_cutoff)
        for charge in sorted(set(rule.charges)):
            seed = displacement_seed(seed_material, f"Va_{site.name}_{charge}")
            vectors = _random_vectors(seed, rule.max_displacement)
            entries.append(
                VacancyEntry(
                    site=site,
                    charge=charge,
                    perfect_index=index,
                    centre=supercell.crystal.frac_coords[index],
                    unperturbed=unperturbed,
                    seed=seed,
                    displacements=tuple(Displacement(atom, next(vectors)) for atom in near),
                )
            )
    return tuple(entries)


def displaced_atoms(perfect: Structure, index: int, cutoff: float) -> tuple[int, ...]:
    """Atoms near a vacancy, as indices into the cell with the vacancy, ascending.

    Parameters
    ----------
    perfect
        The perfect supercell.
    index
        The atom that is taken out.
    cutoff
        Radius in units of the distance of the nearest neighbour; pydefect's rule, with its rounding of the radius.
    """
    lattice, places = perfect.lattice, perfect.frac_coords
    distances = np.delete(lattice.get_all_distances(places[index], places)[0], index)
    radius = round(float(distances.min()) * cutoff, RADIUS_DECIMALS)
    return tuple(np.flatnonzero(distances <= radius).tolist())


def displacement_seed(seed_material: str, full_name: str) -> str:
    """SHA-256 (64 hex digits) of the host's identity and the full name of the vacancy."""
    return content_address({"version": SEED_VERSION, "host": seed_material, "vacancy": full_name})


def _random_vectors(seed: str, max_length: float) -> Iterator[Vector]:
    """Vectors of isotropic direction, their lengths uniform between 0 and a maximum in Å.

    The bits are those of NumPy's PCG64, whose stream does not change with NumPy's version; the rest is arithmetic that every
    machine rounds alike: a direction is a point of the unit ball, found by rejection.
    """
    numbers = _uniform(seed)
    while True:
        x, y, z = (2 * next(numbers) - 1 for _ in range(3))
        square = x * x + y * y + z * z
        if 0 < square <= 1:
            scale = next(numbers) * max_length / math.sqrt(square)
            yield x * scale, y * scale, z * scale


def _uniform(seed: str) -> Iterator[float]:
    """Numbers in [0, 1): the upper 53 bits of each of the generator's 64."""
    bits = np.random.PCG64(int(seed, 16))
    while True:
        yield (int(bits.random_raw()) >> 11) * 2.0**-53


def _without(crystal: Crystal, index: int) -> Crystal:
    """The crystal without one site."""
    keep = [site for site in range(len(crystal.species)) if site != index]
    moments = crystal.magmoms
    return Crystal(
        lattice=crystal.lattice,
        species=tuple(crystal.species[site] for site in keep),
        frac_coords=tuple(crystal.frac_coords[site] for site in keep),
        magmoms=None if moments is None else tuple(moments[site] for site in keep),
    )
