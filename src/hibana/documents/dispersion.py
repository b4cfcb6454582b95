"""Phonon dispersion from displaced supercells."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.crystal import Crystal, Vector
from hibana.documents.properties import From, PropertyDoc

IntegerMatrix = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]


class DispersionDoc(PropertyDoc):
    """Phonons in the whole Brillouin zone.

    Arrays: ``qpoints`` (nq, 3) of the path in units of the reciprocal lattice, ``distances`` (nq,) along it in 1/Å with 2π,
    ``frequencies`` (nq, 3 n_sites) in THz, imaginary ones negative, ``dos_frequencies`` (nf,) in THz and ``dos_total`` (nf,)
    in states/THz/cell, normalised to 3 n_sites.
    """

    collection: ClassVar[str] = "dispersion"

    crystal: Annotated[Crystal | None, From("structure_opt")] = Field(default=None, description="The relaxed primitive cell.")
    supercell_matrix: Annotated[IntegerMatrix | None, From("phonon_force")] = Field(
        default=None, description="Supercell vectors (rows) in units of the primitive cell's."
    )
    n_supercell_sites: Annotated[int | None, From("phonon_force")] = Field(
        default=None, description="Number of atoms in the supercell."
    )
    n_displacements: Annotated[int | None, From("phonon_force")] = Field(
        default=None, description="Number of displaced supercells."
    )
    displacement: Annotated[float | None, Unit("Å"), From("phonon_force")] = Field(
        default=None, description="Largest displacement of an atom."
    )
    has_nac: Annotated[bool | None, From("dielectric")] = Field(
        default=None, description="Whether the long-range field of longitudinal modes (Born charges, ε∞) is in."
    )
    mesh: tuple[int, int, int] | None = Field(default=None, description="q mesh of density of states and verdict.")
    path_labels: tuple[str, ...] | None = Field(
        default=None, description="Labels of the points where the path begins, turns or ends."
    )
    path_indices: tuple[int, ...] | None = Field(default=None, description="Index of each labelled point among the q points.")
    gamma_frequencies: Annotated[tuple[float, ...] | None, Unit("THz"), From("phonon_force")] = Field(
        default=None, description="Transverse modes at Γ with the sum rule, ascending, imaginary ones negative."
    )
    acoustic_residual: Annotated[float | None, Unit("THz"), From("phonon_force")] = Field(
        default=None, description="Largest magnitude of the acoustic modes at Γ without the sum rule."
    )
    min_frequency: Annotated[float | None, Unit("THz"), From("phonon_force", "dielectric")] = Field(
        default=None, description="Lowest frequency on mesh and path, negative if imaginary."
    )
    min_frequency_qpoint: Annotated[Vector | None, Unit("1"), From("phonon_force", "dielectric")] = Field(
        default=None, description="Where it is, reciprocal-lattice units of the primitive cell."
    )
    max_frequency: Annotated[float | None, Unit("THz"), From("phonon_force", "dielectric")] = Field(
        default=None, description="Highest frequency on mesh and path."
    )
    is_stable: Annotated[bool | None, From("phonon_force", "dielectric")] = Field(
        default=None, description="Whether no mode on mesh and path is below the threshold."
    )
    threshold: Annotated[float | None, Unit("THz")] = Field(
        default=None, description="The protocol's lowest frequency of a dynamically stable crystal."
    )
