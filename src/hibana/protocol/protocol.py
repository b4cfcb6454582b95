"""The protocol: which numbers a calculation is done with, as frozen, versioned data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from ruamel.yaml import YAML, YAMLError

from hibana.core.address import content_address
from hibana.core.faults import field_names, plain_faults
from hibana.core.units import Unit
from hibana.protocol.errors import INVALID_PROTOCOL, UNKNOWN_PROTOCOL

IncarValue = bool | int | float | str
Incar = dict[str, IncarValue]

Recipe = Literal["subrot", "eigenval"]
HybridName = Literal["hse06_nsc", "ddh_nsc"]
SemilocalName = Literal["pbe", "pbesol", "scan", "r2scan", "lda"]

FUNCTIONALS: tuple[str, ...] = (*get_args(SemilocalName), *get_args(HybridName))
"""Functionals that a calculation of some protocol may have."""

RECIPES: dict[Recipe, Incar] = {
    "subrot": {"ALGO": "Subrot", "NELM": 1, "NELMIN": 1},
    "eigenval": {"ALGO": "Eigenval", "NELM": 1, "NELMIN": 1},
}
"""``subrot``: the hybrid Hamiltonian is diagonalised once in the space of the semilocal bands; ``eigenval``: its expectation
values in the semilocal states (first order)."""

VISE_GAP_CRITERION = 0.2
"""vise's own gap criterion (eV), which also decides the smearing and cannot be set from outside; the protocol's may be higher."""


class Part(BaseModel):
    """Base of the protocol's parts: frozen, strict, and no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PotcarRule(Part):
    """Which potentials are used."""

    set: Literal["normal", "mp_relax_set", "gw"] = Field(description="vise's set of potentials.")
    family: str = Field(description="pymatgen's name of the POTCAR family, for instance PBE_54.")
    overrides: dict[str, str] = Field(description="Element to POTCAR label, where the set is not followed.")


class SymmetryRule(Part):
    """Tolerances of the symmetry search."""

    symprec: Annotated[PositiveFloat, Unit("Å")] = Field(description="Tolerance of positions.")
    angle_tolerance: Annotated[PositiveFloat, Unit("degree")] = Field(description="Tolerance of angles.")
    time_reversal: bool = Field(description="Whether k and -k are equivalent.")


class PriorRule(Part):
    """When prior knowledge counts."""

    gap_criterion: Annotated[float, Unit("eV")] = Field(ge=VISE_GAP_CRITERION, description="A gap above it is a gap.")
    magnetization_criterion: Annotated[PositiveFloat, Unit("μB")] = Field(description="A moment above it is magnetic.")
    spin_polarised_elements: tuple[str, ...] = Field(
        strict=False, description="Crystals with one of them start spin-polarised as long as their moment is unknown."
    )


class KpointRule(Part):
    """k-point densities: N_i = ceil(density * |b_i|), b_i with 2π."""

    density: Annotated[PositiveFloat, Unit("Å")] = Field(description="Gap unknown, or a metal.")
    insulator_density: Annotated[PositiveFloat, Unit("Å")] = Field(description="Gap known.")
    defect_density: Annotated[PositiveFloat, Unit("Å")] = Field(description="Supercells with defects.")
    band_spacing: Annotated[PositiveFloat, Unit("1/Å")] = Field(description="Distance of points on the band path.")
    factors: dict[str, PositiveInt] = Field(description="Task to multiple of its mesh; 1 where not given.")


class CutoffRule(Part):
    """Plane-wave cutoff."""

    energy: Annotated[PositiveFloat | None, Unit("eV")] = Field(description="None: the largest ENMAX of the potentials.")
    relaxation_factor: PositiveFloat = Field(description="Factor on ENMAX where the lattice is relaxed.")


class RelaxationRule(Part):
    """The relaxation loop."""

    max_rounds: PositiveInt = Field(description="Rounds before a relaxation is given up.")


class ParallelRule(Part):
    """Parallelisation over k-points."""

    unused_core_ratio: PositiveFloat = Field(description="Share of cores that KPAR may leave idle.")


class HybridRule(Part):
    """A non-self-consistent hybrid step."""

    functional: Literal["hse", "pbe0"] = Field(description="vise's name of the hybrid functional.")
    exchange_ratio: Annotated[float, Field(gt=0, le=1)] | Literal["from_dielectric"] = Field(
        description="Share of exact exchange; from_dielectric: the inverse of the mean electronic dielectric constant."
    )
    recipe: Recipe = Field(description="How the hybrid is evaluated on the semilocal wave functions.")
    kpoints: Literal["mesh", "mesh+path"] = Field(description="k-points of both stages.")
    density: Annotated[PositiveFloat, Unit("Å")] = Field(description="k-point density: gap unknown, or a metal.")
    insulator_density: Annotated[PositiveFloat, Unit("Å")] = Field(description="k-point density: gap known.")
    semilocal_incar: Incar = Field(description="Tags of the semilocal stage, over those of the task.")
    incar: Incar = Field(description="Tags of the hybrid stage, over those of the task, of vise and of the recipe.")

    @property
    def hybrid_incar(self) -> Incar:
        """Tags of the hybrid stage, those of the recipe included."""
        return {**RECIPES[self.recipe], **self.incar}


class DielectricRule(Part):
    """The static dielectric tensors."""

    method: Literal["dfpt", "finite_field"] = Field(
        description="Density-functional perturbation theory, or finite fields where the functional has none."
    )


class OpticsRule(Part):
    """Spectra made of the dielectric function."""

    gap: tuple[HybridName, ...] = Field(strict=False, description="Hybrid gaps the onset is shifted to, in this order.")
    energy_max: Annotated[PositiveFloat, Unit("eV")] = Field(description="End of the energy grid.")
    energy_step: Annotated[PositiveFloat, Unit("eV")] = Field(description="Step of the energy grid.")


class PhononRule(Part):
    """Phonons from displaced supercells."""

    min_length: Annotated[PositiveFloat, Unit("Å")] = Field(description="Smallest distance of periodic images.")
    displacement: Annotated[PositiveFloat, Unit("Å")] = Field(description="Displacement of an atom.")
    mesh_density: Annotated[PositiveFloat, Unit("Å")] = Field(description="Density of the q mesh of DOS and verdict.")


class HostRule(Part):
    """Which crystals are hosts of oxygen vacancies."""

    anions: tuple[str, ...] = Field(strict=False, description="The only anions.")
    excluded_elements: tuple[str, ...] = Field(strict=False, description="Elements that no host has.")
    excluded_space_groups: tuple[PositiveInt, ...] = Field(strict=False, description="Space groups that no host has.")
    max_atoms: PositiveInt = Field(description="Atoms in the primitive cell.")
    max_anion_sites: PositiveInt = Field(description="Inequivalent anion sites.")
    min_gap: Annotated[PositiveFloat, Unit("eV")] = Field(description="Smallest semilocal gap.")


_Row = Annotated[tuple[int, int, int], Field(strict=False)]


class DefectRule(Part):
    """Vacancies in supercells."""

    host: HostRule
    min_atoms: PositiveInt = Field(description="Smallest supercell.")
    max_atoms: PositiveInt = Field(description="Largest supercell.")
    matrix: tuple[_Row, _Row, _Row] | None = Field(
        strict=False, description="Supercell as multiples of the primitive lattice vectors (rows), in place of a search."
    )
    charges: tuple[int, ...] = Field(strict=False, description="Charge states.")
    displacement_cutoff: PositiveFloat = Field(
        description="Atoms within this multiple of the shortest neighbour distance are displaced at the start."
    )
    max_displacement: Annotated[PositiveFloat, Unit("Å")] = Field(description="Largest displacement at the start.")
    mapping_distance: Annotated[PositiveFloat, Unit("Å")] = Field(description="Largest way of an atom that is still the same.")
    ewald_accuracy: PositiveFloat = Field(description="Accuracy of the Ewald sums, pydefect's number.")
    edge_window: Annotated[PositiveFloat, Unit("eV")] = Field(description="Where states like the band edges are looked for.")
    edge_dissimilarity: PositiveFloat = Field(description="Orbital dissimilarity below which a state is a band edge.")
    edge_occupation: PositiveFloat = Field(description="Carriers in a band edge above which a state is a perturbed host state.")
    edges: tuple[HybridName | Literal["pbesol"], ...] = Field(
        strict=False, description="Whose band edges are used: the first there are."
    )
    oxygen_box: Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat], Unit("Å")] = Field(
        strict=False, description="Lengths of the box of the O2 molecule and the O atom; unequal, or the atom stays spherical."
    )
    oxygen_reference: Literal["molecule", "atom"] = Field(
        description="Energy of oxygen: half of the calculated molecule, or the calculated atom and the measured binding energy."
    )


class Gates(Part):
    """Limits of what is accepted."""

    max_force: Annotated[PositiveFloat, Unit("eV/Å")] = Field(description="Largest force.")
    max_stress: Annotated[PositiveFloat, Unit("kbar")] = Field(description="Largest component of the stress.")
    min_phonon_frequency: Annotated[float, Unit("THz")] = Field(
        lt=0, description="A crystal whose lowest phonon is below it is dynamically unstable; imaginary ones count as negative."
    )


class Protocol(Part):
    """How every calculation of a data set is done."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name; part of every address.")
    version: PositiveInt = Field(description="Raised with every change of a number; part of every address.")
    description: str = Field(description="What it is for.")
    sources: tuple[str, ...] = Field(strict=False, description="Where the numbers are from.")
    functional: SemilocalName = Field(description="Semilocal functional, vise's name.")
    hubbard_u: bool = Field(description="Whether vise's Hubbard U table is applied.")
    potcar: PotcarRule
    symmetry: SymmetryRule
    prior: PriorRule
    kpoints: KpointRule
    cutoff: CutoffRule
    spectrum_step: Annotated[PositiveFloat, Unit("eV")] = Field(description="Energy step of spectra.")
    relaxation: RelaxationRule
    parallel: ParallelRule
    incar: dict[str, Incar] = Field(description="Task to the INCAR tags that do not depend on the material.")
    hybrids: dict[HybridName, HybridRule]
    dielectric: DielectricRule
    optics: OpticsRule
    phonon: PhononRule
    defects: DefectRule
    handlers: str = Field(description="Name of the policy for custodian's handlers.")
    gates: Gates

    @property
    def digest(self) -> str:
        """Digest of every number of the protocol (64 hex digits); descriptions and sources do not count."""
        return content_address(_exact(self.model_dump(exclude={"description", "sources"})))


def protocol_names() -> tuple[str, ...]:
    """Names of the packaged protocols."""
    folder = files("hibana.protocol") / "data"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_protocol(name_or_path: str) -> Protocol:
    """A packaged protocol by name, or one's own by the path of its file.

    Raises
    ------
    HibanaError
        HIB-030 if there is none, HIB-031 if the file is not a protocol.
    """
    if name_or_path in protocol_names():
        return _packaged(name_or_path).model_copy(deep=True)
    path = Path(name_or_path)
    if not path.is_file():
        raise UNKNOWN_PROTOCOL.error(f"{name_or_path!r}; packaged are {', '.join(protocol_names())}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise INVALID_PROTOCOL.error(f"it cannot be read: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise INVALID_PROTOCOL.error("it is no text", where=path) from error
    protocol = _parse(text, name_or_path)
    if protocol.name in protocol_names() and protocol.digest != _packaged(protocol.name).digest:
        what = f"it has other numbers than the packaged protocol {protocol.name!r}"
        raise INVALID_PROTOCOL.error(what, where=path, fix="Give a protocol of your own a name of its own.")
    return protocol


@cache
def _packaged(name: str) -> Protocol:
    return _parse((files("hibana.protocol") / "data" / f"{name}.yaml").read_text(encoding="utf-8"), name)


def _parse(text: str, where: str) -> Protocol:
    try:
        return Protocol.model_validate(YAML(typ="safe").load(text))
    except YAMLError as error:
        raise INVALID_PROTOCOL.error(f"it is no YAML: {error}", where=where) from error
    except ValidationError as error:
        known = field_names(Protocol.model_json_schema())
        raise INVALID_PROTOCOL.error(plain_faults(error.errors(), known), where=where) from error


def _exact(value: Any) -> Any:
    """Floats as their shortest exact text, so that a digest can be made of them."""
    if isinstance(value, Mapping):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    if isinstance(value, float):
        return repr(value)
    return value
