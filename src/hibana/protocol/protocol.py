"""The protocol: which numbers a calculation is done with, as frozen, versioned data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from ruamel.yaml import YAML, YAMLError

from hibana.core.address import content_address
from hibana.core.units import Unit
from hibana.protocol.errors import INVALID_PROTOCOL, UNKNOWN_PROTOCOL

IncarValue = bool | int | float | str
Incar = dict[str, IncarValue]

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
    """The non-self-consistent hybrid step."""

    functional: Literal["hse", "pbe0"] = Field(description="vise's name of the hybrid functional.")
    exchange_ratio: PositiveFloat = Field(le=1, description="Share of exact exchange.")
    kpoints: Literal["mesh", "mesh+path"] = Field(description="k-points of both stages.")
    density: Annotated[PositiveFloat, Unit("Å")] = Field(description="k-point density: gap unknown, or a metal.")
    insulator_density: Annotated[PositiveFloat, Unit("Å")] = Field(description="k-point density: gap known.")
    semilocal_incar: Incar = Field(description="Tags of the semilocal stage, over those of the task.")
    incar: Incar = Field(description="Tags of the hybrid stage, over those of the task and of vise.")


class Gates(Part):
    """Limits that a relaxed structure must keep."""

    max_force: Annotated[PositiveFloat, Unit("eV/Å")] = Field(description="Largest force.")
    max_stress: Annotated[PositiveFloat, Unit("kbar")] = Field(description="Largest component of the stress.")


class Protocol(Part):
    """How every calculation of a data set is done."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name; part of every address.")
    version: PositiveInt = Field(description="Raised with every change of a number; part of every address.")
    description: str = Field(description="What it is for.")
    sources: tuple[str, ...] = Field(strict=False, description="Where the numbers are from.")
    functional: Literal["pbe", "pbesol", "scan", "r2scan", "lda"] = Field(description="Semilocal functional, vise's name.")
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
    hybrid: HybridRule
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
    except (OSError, UnicodeDecodeError) as error:
        raise INVALID_PROTOCOL.error(f"it cannot be read as text: {error}", where=path) from error
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
        raise INVALID_PROTOCOL.error(f"not YAML: {error}", where=where) from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg']}" for item in error.errors())
        raise INVALID_PROTOCOL.error(faults, where=where) from error


def _exact(value: Any) -> Any:
    """Floats as their shortest exact text, so that a digest can be made of them."""
    if isinstance(value, Mapping):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, float):
        return repr(value)
    return value
