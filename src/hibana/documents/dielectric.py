"""Static dielectric tensors, Born effective charges and Γ phonons."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.crystal import Crystal, Matrix, Vector
from hibana.documents.properties import From, PropertyDoc

DielectricMethod = Literal["dfpt", "finite_field"]
"""Density-functional perturbation theory, or finite fields and displacements."""

FrequencySource = Literal["force_constants", "printed"]
"""Diagonalised here with the acoustic sum rule, or only the list that the code printed."""


class DielectricDoc(PropertyDoc):
    """Static dielectric tensors in the conventional frame: x along a, z along c*, y = z×x of the conventional cell."""

    collection: ClassVar[str] = "dielectric"

    method: Annotated[DielectricMethod | None, From("dielectric")] = Field(
        default=None, description="How the tensors were calculated."
    )
    crystal: Annotated[Crystal | None, From("dielectric")] = Field(
        default=None, description="Cell of the run, turned to the conventional frame; sites as in the run."
    )
    rotation: Annotated[Matrix | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="Proper rotation from the run's Cartesian axes to the conventional frame."
    )
    conventional_lattice: Annotated[Matrix | None, Unit("Å"), From("dielectric")] = Field(
        default=None, description="Vectors (rows) of the conventional cell that the frame is attached to."
    )
    space_group_number: Annotated[int | None, From("dielectric")] = Field(default=None, description="Space group of the cell.")
    epsilon_electronic: Annotated[Matrix | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="Electronic dielectric tensor with local fields."
    )
    epsilon_ionic: Annotated[Matrix | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="Ionic dielectric tensor."
    )
    epsilon_electronic_eigenvalues: Annotated[Vector | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="Principal values of the electronic tensor, ascending."
    )
    epsilon_ionic_eigenvalues: Annotated[Vector | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="Principal values of the ionic tensor, ascending."
    )
    epsilon_electronic_average: Annotated[float | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="A third of the electronic tensor's trace."
    )
    epsilon_ionic_average: Annotated[float | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="A third of the ionic tensor's trace."
    )
    epsilon_static_average: Annotated[float | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="Static constant: electronic and ionic average together."
    )
    epsilon_ionic_recomputed: Annotated[Matrix | None, Unit("1"), From("dielectric")] = Field(
        default=None, description="Ionic tensor from Born charges and force constants, a check of the printed one."
    )
    born_charges: Annotated[tuple[Matrix, ...] | None, Unit("e"), From("dielectric")] = Field(
        default=None,
        description="Born charge of each site, field along rows and displacement along columns, sum rule applied.",
    )
    born_average_abs_trace: Annotated[float | None, Unit("e"), From("dielectric")] = Field(
        default=None, description="Mean over the sites of a third of the absolute trace of the Born charges."
    )
    born_sum_rule_residual: Annotated[float | None, Unit("e"), From("dielectric")] = Field(
        default=None, description="Largest component of the sum of the Born charges as read; zero by the acoustic sum rule."
    )
    born_symmetry_residual: Annotated[float | None, Unit("e"), From("dielectric")] = Field(
        default=None, description="Largest change of a Born charge under the space group."
    )


class PhononDoc(PropertyDoc):
    """Phonons at Γ, without the macroscopic field (transverse modes)."""

    collection: ClassVar[str] = "phonon"

    source: Annotated[FrequencySource | None, From("dielectric")] = Field(
        default=None, description="Where the frequencies are from."
    )
    frequencies: Annotated[tuple[float, ...] | None, Unit("THz"), From("dielectric")] = Field(
        default=None,
        description="All modes, ascending, imaginary ones negative; with force constants the acoustic modes are exactly 0.",
    )
    frequencies_raw: Annotated[tuple[float, ...] | None, Unit("THz"), From("dielectric")] = Field(
        default=None, description="The same without the sum rule."
    )
    acoustic_frequencies: Annotated[Vector | None, Unit("THz"), From("dielectric")] = Field(
        default=None,
        description="The acoustic modes without the sum rule: by their overlap with translations, or of a printed list the "
        "three of smallest magnitude.",
    )
    acoustic_residual: Annotated[float | None, Unit("THz"), From("dielectric")] = Field(
        default=None, description="Largest magnitude of the acoustic modes without the sum rule."
    )
    lowest_optical: Annotated[float | None, Unit("THz"), From("dielectric")] = Field(
        default=None, description="Lowest mode that is not acoustic, negative if imaginary; None for one atom."
    )
    highest_optical: Annotated[float | None, Unit("THz"), From("dielectric")] = Field(default=None, description="Highest mode.")
    n_imaginary: Annotated[int | None, From("dielectric")] = Field(
        default=None, description="Number of imaginary modes that are not acoustic."
    )
    is_stable: Annotated[bool | None, From("dielectric")] = Field(
        default=None, description="Whether no mode at Γ is below the threshold."
    )
    threshold: Annotated[float | None, Unit("THz")] = Field(
        default=None, description="The protocol's lowest frequency of a dynamically stable crystal."
    )
