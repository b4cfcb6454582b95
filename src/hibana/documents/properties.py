"""Property documents: what is claimed of a material, with the runs each claim rests on.

A property document is built by a pure function from task documents and can be rebuilt at any time. Its key in the store is
(material_id, protocol, protocol_version, calculator).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.crystal import Crystal, Matrix, Vector
from hibana.documents.spec import GapClass
from hibana.documents.task import Document

PropertyStatus = Literal["complete", "partial", "unavailable"]
"""``complete``: every step asked for has its answer (a metal needs no hybrid gap); ``partial``: some; ``unavailable``:
the value the property is about is missing. ``reason`` says why in the last two cases."""


class PropertyDoc(Document):
    """What every property document carries."""

    material_id: str = Field(description="Identity of the candidate crystal.")
    formula: str = Field(description="Reduced formula.")
    elements: tuple[str, ...] = Field(description="Elements, alphabetically.")
    calculator: str = Field(description="Code that gave the numbers; never mixed in one table.")
    calculator_version: str = Field(description="Version of that code.")
    protocol: str = Field(description="Name of the protocol.")
    protocol_version: int = Field(description="Version of the protocol.")
    status: PropertyStatus = Field(description="complete, partial or unavailable.")
    reason: str | None = Field(default=None, description="Why it is not complete.")
    flags: tuple[str, ...] = Field(default=(), description="Invariants not met and corrections to know of.")
    addresses: dict[str, str] = Field(default_factory=dict, description="Task name to the address of the run used.")
    built_with: str = Field(description="Version of hibana that built the document.")
    built_at: datetime = Field(description="When it was built, UTC.")


class RelaxationDoc(PropertyDoc):
    """The relaxed crystal."""

    crystal: Crystal | None = Field(default=None, description="Relaxed primitive cell.")
    space_group_number: int | None = Field(default=None, description="Space group after relaxation.")
    space_group_symbol: str | None = Field(
        default=None, description="Hermann-Mauguin symbol of the space group after relaxation."
    )
    initial_space_group_number: int | None = Field(default=None, description="Space group of the candidate.")
    a: Annotated[float | None, Unit("Å")] = Field(default=None, description="Lattice parameter a of the conventional cell.")
    b: Annotated[float | None, Unit("Å")] = Field(default=None, description="Lattice parameter b of the conventional cell.")
    c: Annotated[float | None, Unit("Å")] = Field(default=None, description="Lattice parameter c of the conventional cell.")
    alpha: Annotated[float | None, Unit("degree")] = Field(default=None, description="Angle α of the conventional cell.")
    beta: Annotated[float | None, Unit("degree")] = Field(default=None, description="Angle β of the conventional cell.")
    gamma: Annotated[float | None, Unit("degree")] = Field(default=None, description="Angle γ of the conventional cell.")
    volume_per_atom: Annotated[float | None, Unit("Å^3/atom")] = Field(default=None, description="Volume per atom.")
    energy_per_atom: Annotated[float | None, Unit("eV/atom")] = Field(
        default=None, description="Energy of the relaxed cell per atom, on the calculator's own zero."
    )
    max_force: Annotated[float | None, Unit("eV/Å")] = Field(default=None, description="Largest force left.")
    stress: Annotated[Matrix | None, Unit("kbar")] = Field(default=None, description="Stress left, VASP's sign.")
    n_rounds: int = Field(default=0, description="Relaxation rounds until the first ionic step was converged.")


class ElectronicDoc(PropertyDoc):
    """Band gap and band edges of the relaxed crystal, semilocal and hybrid."""

    gap_class: GapClass = Field(description="metal, gapped or unknown, by PBEsol.")
    band_gap_pbesol: Annotated[float | None, Unit("eV")] = Field(
        default=None, description="PBEsol fundamental gap on the band path and mesh; 0 for a metal."
    )
    band_gap_dos: Annotated[float | None, Unit("eV")] = Field(default=None, description="PBEsol gap on the mesh of the DOS run.")
    is_gap_direct: bool | None = Field(default=None, description="Whether the PBEsol gap is direct.")
    direct_gap_pbesol: Annotated[float | None, Unit("eV")] = Field(default=None, description="Smallest direct PBEsol gap.")
    vbm: Annotated[float | None, Unit("eV")] = Field(default=None, description="PBEsol valence-band maximum.")
    cbm: Annotated[float | None, Unit("eV")] = Field(default=None, description="PBEsol conduction-band minimum.")
    vbm_kpoint: Vector | None = Field(default=None, description="k-point of the PBEsol VBM, reciprocal-lattice units.")
    cbm_kpoint: Vector | None = Field(default=None, description="k-point of the PBEsol CBM, reciprocal-lattice units.")
    band_gap_hse06_nsc: Annotated[float | None, Unit("eV")] = Field(
        default=None, description="HSE06 gap evaluated non-self-consistently on PBEsol wave functions."
    )
    vbm_hse06_nsc: Annotated[float | None, Unit("eV")] = Field(
        default=None, description="Valence-band maximum of the HSE06 evaluation."
    )
    cbm_hse06_nsc: Annotated[float | None, Unit("eV")] = Field(
        default=None, description="Conduction-band minimum of the HSE06 evaluation."
    )
    magnetization: Annotated[float | None, Unit("μB")] = Field(default=None, description="Total moment per cell.")
