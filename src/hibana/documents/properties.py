"""Property documents: what is claimed of a material, with the runs each claim rests on.

A property document is built by a pure function from task documents and can be rebuilt at any time. Its key in the store is
(material_id, protocol, protocol_version, calculator), and where a material has several of a kind its ``part``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.arrays import ArrayRef
from hibana.documents.crystal import Crystal, Matrix, Vector
from hibana.documents.spec import GapClass
from hibana.documents.task import Document

PropertyStatus = Literal["complete", "partial", "unavailable"]
"""``complete``: every step asked for has its answer (a metal needs no hybrid gap); ``partial``: some; ``unavailable``:
the value the property is about is missing. ``reason`` says why in the last two cases."""


@dataclass(frozen=True)
class From:
    """Annotation of a field: the steps whose runs its value was read from."""

    steps: tuple[str, ...]

    def __init__(self, *steps: str) -> None:
        object.__setattr__(self, "steps", steps)


class PropertyDoc(Document):
    """What every property document carries."""

    collection: ClassVar[str]
    """Collection of the store that holds the kind, and its name in tables."""

    material_id: str = Field(description="Identity of the candidate crystal.")
    formula: str = Field(description="Reduced formula.")
    elements: tuple[str, ...] = Field(description="Elements, alphabetically.")
    calculator: str = Field(description="Code that gave the numbers; never mixed in one table.")
    calculator_version: str = Field(description="Version of that code.")
    protocol: str = Field(description="Name of the protocol.")
    protocol_version: int = Field(description="Version of the protocol.")
    part: str = Field(default="", description="Which part of the material it is about, where there are several: Va_O1_2.")
    status: PropertyStatus = Field(description="complete, partial or unavailable.")
    reason: str | None = Field(default=None, description="Why it is not complete.")
    flags: tuple[str, ...] = Field(default=(), description="Invariants not met and corrections to know of.")
    addresses: dict[str, str] = Field(default_factory=dict, description="Step to the address of the run used.")
    reasons: dict[str, str] = Field(default_factory=dict, description="Step to why it has no run, or its run no answer.")
    arrays: dict[str, ArrayRef] = Field(default_factory=dict, description="Packed arrays by name.")
    built_with: str = Field(description="Version of hibana that built the document.")
    built_at: datetime = Field(description="When it was built, UTC.")


def sources_of(document: PropertyDoc) -> dict[str, tuple[str, ...]]:
    """Addresses of the runs that each value of a property document was read from.

    Parameters
    ----------
    document
        Any property document.

    Returns
    -------
    dict
        Name of each field that has a value to the addresses of its steps, without those that have no run. A step of several
        runs (``vacancy-Va_O1_0``) is named by what is before the hyphen, and has all their addresses.
    """
    found = {}
    for name, info in type(document).model_fields.items():
        steps = [step for item in info.metadata if isinstance(item, From) for step in item.steps]
        if steps and getattr(document, name) is not None:
            runs = document.addresses.items()
            found[name] = tuple(address for step in steps for run, address in runs if step in (run, run.partition("-")[0]))
    return found


class RelaxationDoc(PropertyDoc):
    """The relaxed crystal."""

    collection: ClassVar[str] = "relaxation"

    crystal: Annotated[Crystal | None, From("structure_opt")] = Field(default=None, description="Relaxed primitive cell.")
    space_group_number: Annotated[int | None, From("structure_opt")] = Field(
        default=None, description="Space group after relaxation."
    )
    space_group_symbol: Annotated[str | None, From("structure_opt")] = Field(
        default=None, description="Hermann-Mauguin symbol of the space group after relaxation."
    )
    initial_space_group_number: int | None = Field(default=None, description="Space group of the candidate.")
    a: Annotated[float | None, Unit("Å"), From("structure_opt")] = Field(
        default=None, description="Lattice parameter a of the conventional cell."
    )
    b: Annotated[float | None, Unit("Å"), From("structure_opt")] = Field(
        default=None, description="Lattice parameter b of the conventional cell."
    )
    c: Annotated[float | None, Unit("Å"), From("structure_opt")] = Field(
        default=None, description="Lattice parameter c of the conventional cell."
    )
    alpha: Annotated[float | None, Unit("degree"), From("structure_opt")] = Field(
        default=None, description="Angle α of the conventional cell."
    )
    beta: Annotated[float | None, Unit("degree"), From("structure_opt")] = Field(
        default=None, description="Angle β of the conventional cell."
    )
    gamma: Annotated[float | None, Unit("degree"), From("structure_opt")] = Field(
        default=None, description="Angle γ of the conventional cell."
    )
    volume_per_atom: Annotated[float | None, Unit("Å^3/atom"), From("structure_opt")] = Field(
        default=None, description="Volume per atom."
    )
    energy_per_atom: Annotated[float | None, Unit("eV/atom"), From("structure_opt")] = Field(
        default=None, description="Energy of the relaxed cell per atom, on the calculator's own zero."
    )
    max_force: Annotated[float | None, Unit("eV/Å"), From("structure_opt")] = Field(
        default=None, description="Largest force left."
    )
    stress: Annotated[Matrix | None, Unit("kbar"), From("structure_opt")] = Field(
        default=None, description="Stress left, VASP's sign."
    )
    n_rounds: Annotated[int, From("structure_opt")] = Field(
        default=0, description="Relaxation rounds until the first ionic step was converged."
    )


class ElectronicDoc(PropertyDoc):
    """Band gap and band edges of the relaxed crystal, semilocal and hybrid."""

    collection: ClassVar[str] = "electronic"

    gap_class: Annotated[GapClass, From("band", "dos")] = Field(description="metal, gapped or unknown, by PBEsol.")
    band_gap_pbesol: Annotated[float | None, Unit("eV"), From("band")] = Field(
        default=None, description="PBEsol fundamental gap on the band path and mesh; 0 for a metal."
    )
    band_gap_dos: Annotated[float | None, Unit("eV"), From("dos")] = Field(
        default=None, description="PBEsol gap on the mesh of the DOS run."
    )
    is_gap_direct: Annotated[bool | None, From("band")] = Field(default=None, description="Whether the PBEsol gap is direct.")
    direct_gap_pbesol: Annotated[float | None, Unit("eV"), From("band")] = Field(
        default=None, description="Smallest direct PBEsol gap."
    )
    vbm: Annotated[float | None, Unit("eV"), From("band")] = Field(default=None, description="PBEsol valence-band maximum.")
    cbm: Annotated[float | None, Unit("eV"), From("band")] = Field(default=None, description="PBEsol conduction-band minimum.")
    vbm_kpoint: Annotated[Vector | None, Unit("1"), From("band")] = Field(
        default=None, description="k-point of the PBEsol VBM, reciprocal-lattice units."
    )
    cbm_kpoint: Annotated[Vector | None, Unit("1"), From("band")] = Field(
        default=None, description="k-point of the PBEsol CBM, reciprocal-lattice units."
    )
    band_gap_hse06_nsc: Annotated[float | None, Unit("eV"), From("hse06_nsc")] = Field(
        default=None, description="HSE06 gap evaluated non-self-consistently on PBEsol wave functions."
    )
    vbm_hse06_nsc: Annotated[float | None, Unit("eV"), From("hse06_nsc")] = Field(
        default=None, description="Valence-band maximum of the HSE06 evaluation."
    )
    cbm_hse06_nsc: Annotated[float | None, Unit("eV"), From("hse06_nsc")] = Field(
        default=None, description="Conduction-band minimum of the HSE06 evaluation."
    )
    direct_gap_hse06_nsc: Annotated[float | None, Unit("eV"), From("hse06_nsc")] = Field(
        default=None, description="Smallest direct gap of the HSE06 evaluation."
    )
    vbm_kpoint_hse06_nsc: Annotated[Vector | None, Unit("1"), From("hse06_nsc")] = Field(
        default=None, description="k-point of the HSE06 VBM."
    )
    cbm_kpoint_hse06_nsc: Annotated[Vector | None, Unit("1"), From("hse06_nsc")] = Field(
        default=None, description="k-point of the HSE06 CBM."
    )
    band_gap_ddh_nsc: Annotated[float | None, Unit("eV"), From("ddh_nsc")] = Field(
        default=None,
        description="Gap of the dielectric-dependent hybrid evaluated non-self-consistently on PBEsol wave functions.",
    )
    vbm_ddh_nsc: Annotated[float | None, Unit("eV"), From("ddh_nsc")] = Field(
        default=None, description="Valence-band maximum of the dielectric-dependent hybrid."
    )
    cbm_ddh_nsc: Annotated[float | None, Unit("eV"), From("ddh_nsc")] = Field(
        default=None, description="Conduction-band minimum of the dielectric-dependent hybrid."
    )
    direct_gap_ddh_nsc: Annotated[float | None, Unit("eV"), From("ddh_nsc")] = Field(
        default=None, description="Smallest direct gap of the dielectric-dependent hybrid."
    )
    vbm_kpoint_ddh_nsc: Annotated[Vector | None, Unit("1"), From("ddh_nsc")] = Field(
        default=None, description="k-point of the VBM of the dielectric-dependent hybrid."
    )
    cbm_kpoint_ddh_nsc: Annotated[Vector | None, Unit("1"), From("ddh_nsc")] = Field(
        default=None, description="k-point of the CBM of the dielectric-dependent hybrid."
    )
    exchange_ratio_ddh: Annotated[float | None, Unit("1"), From("ddh_nsc", "dielectric")] = Field(
        default=None, description="Share of exact exchange of the dielectric-dependent hybrid, 3/tr ε∞."
    )
    recipe_hse06_nsc: Annotated[str | None, From("hse06_nsc")] = Field(
        default=None, description="How HSE06 was evaluated: subrot or eigenval."
    )
    recipe_ddh_nsc: Annotated[str | None, From("ddh_nsc")] = Field(
        default=None, description="How the dielectric-dependent hybrid was evaluated: subrot or eigenval."
    )
    vbm_s: Annotated[float | None, Unit("1"), From("dos")] = Field(
        default=None, description="Share of s orbitals in the PBEsol states within 0.5 eV of the valence-band maximum."
    )
    vbm_p: Annotated[float | None, Unit("1"), From("dos")] = Field(
        default=None, description="Share of p orbitals in the PBEsol states within 0.5 eV of the valence-band maximum."
    )
    vbm_d: Annotated[float | None, Unit("1"), From("dos")] = Field(
        default=None, description="Share of d orbitals in the PBEsol states within 0.5 eV of the valence-band maximum."
    )
    vbm_f: Annotated[float | None, Unit("1"), From("dos")] = Field(
        default=None, description="Share of f orbitals in the PBEsol states within 0.5 eV of the valence-band maximum."
    )
    cbm_s: Annotated[float | None, Unit("1"), From("dos")] = Field(
        default=None, description="Share of s orbitals in the PBEsol states within 0.5 eV of the conduction-band minimum."
    )
    cbm_p: Annotated[float | None, Unit("1"), From("dos")] = Field(
        default=None, description="Share of p orbitals in the PBEsol states within 0.5 eV of the conduction-band minimum."
    )
    cbm_d: Annotated[float | None, Unit("1"), From("dos")] = Field(
        default=None, description="Share of d orbitals in the PBEsol states within 0.5 eV of the conduction-band minimum."
    )
    cbm_f: Annotated[float | None, Unit("1"), From("dos")] = Field(
        default=None, description="Share of f orbitals in the PBEsol states within 0.5 eV of the conduction-band minimum."
    )
    electron_mass: Annotated[Matrix | None, Unit("m_e"), From("dos")] = Field(
        default=None, description="Conductivity effective mass of electrons at 300 K and 10^18 per cm^3, conventional axes."
    )
    hole_mass: Annotated[Matrix | None, Unit("m_e"), From("dos")] = Field(
        default=None, description="Conductivity effective mass of holes at 300 K and 10^18 per cm^3, conventional axes."
    )
    electron_mass_average: Annotated[float | None, Unit("m_e"), From("dos")] = Field(
        default=None, description="Third of the trace of the effective-mass tensor of electrons."
    )
    hole_mass_average: Annotated[float | None, Unit("m_e"), From("dos")] = Field(
        default=None, description="Third of the trace of the effective-mass tensor of holes."
    )
    masses_reason: Annotated[str | None, From("dos")] = Field(default=None, description="Why there are no effective masses.")
    magnetization: Annotated[float | None, Unit("μB"), From("band")] = Field(default=None, description="Total moment per cell.")
