"""The run document and the task document: what the code said.

:class:`RunDoc` is what a finished directory holds, whoever ran it. :class:`TaskDoc` is a run that answers a Spec; there is
one per address and it is written once. Both are a few kB: arrays are kept apart (``arrays`` holds references).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hibana.core.units import Unit
from hibana.documents.arrays import ArrayRef
from hibana.documents.crystal import Crystal, Matrix, Vector
from hibana.documents.spec import GapClass, Prior

RunStatus = Literal["converged", "ionic_limit", "electronic_limit", "walltime", "failed"]
"""How a run ended. ``ionic_limit``: NSW reached; ``electronic_limit``: NELM reached in the last ionic step;
``walltime``: stopped cleanly before the limit; ``failed``: anything else, the reason is in ``failure``."""

ARRAY_NAMES = (
    "kpoints",
    "kpoint_weights",
    "eigenvalues",
    "occupations",
    "projections",
    "site_weights",
    "site_weight_bands",
    "dos_energies",
    "dos_total",
    "dos_partial",
    "site_potentials",
    "born_charges",
    "gamma_frequencies",
    "force_constants",
    "dielectric_energies",
    "dielectric_real",
    "dielectric_imag",
    "inequivalent_sites",
    "site_dos",
    "bader_charges",
    "bader_volumes",
)
"""Names of the packed arrays, with shapes: kpoints (nk, 3), kpoint_weights (nk,), eigenvalues and occupations
(nspin, nk, nbands), projections (nspin, nk, nbands, n_elements, 4) summed by element and s p d f, site_weights
(nspin, nk, m, n_sites) the same of single sites, all orbitals summed, of the bands site_weight_bands (m,) around the gap, in
relaxations at a fixed cell, dos_energies (ne,),
dos_total (nspin, ne), dos_partial (n_elements, nspin, 4, ne), site_potentials (n_sites,), born_charges (n_sites, 3, 3) with
the field along rows and the displacement along columns, gamma_frequencies (3 n_sites,) in THz as printed with imaginary ones
negative, force_constants (3 n_sites, 3 n_sites) in eV/Å^2, dielectric_energies (ne,), dielectric_real/imag (ne, 6) in the
order xx yy zz xy yz zx, inequivalent_sites (m,) first site of each orbit of the space group, site_dos (m, nspin, 4, ne) of
those on dos_energies, bader_charges (n_sites,) net charges in e, and bader_volumes (n_sites,) in Å^3. Elements are in the
order of their first appearance in the structure."""


class Document(BaseModel):
    """Base of stored models: unknown fields are refused, so that a typo does not become a field."""

    model_config = ConfigDict(extra="forbid")


class Calculator(Document):
    """Which code gave the numbers."""

    name: str = Field(description="vasp, gpaw-rehearsal or synthetic; never mixed in one table.")
    version: str = Field(description="Version of the code.")
    provenance: dict[str, Any] = Field(
        default_factory=dict, description="What the rehearsal engine says of itself: data sets, cutoff, hybrid mode."
    )


class Inputs(Document):
    """The inputs as run, after any correction."""

    incar: dict[str, Any] = Field(description="Every tag of the last INCAR.")
    kpoints: dict[str, Any] = Field(description="style, divisions and shift, or the number of listed points.")
    potcars: tuple[str, ...] = Field(description="TITEL of each potential.")
    encut: Annotated[float | None, Unit("eV")] = Field(default=None, description="Plane-wave cutoff in force.")
    nelect: Annotated[float | None, Unit("e")] = Field(default=None, description="Number of valence electrons.")
    valence: Annotated[float | None, Unit("e")] = Field(
        default=None, description="Valence electrons of the potentials, summed over the atoms: those of the neutral cell."
    )


class BandEdges(Document):
    """Gap and band edges by occupation, over all k-points of the run."""

    gap_class: GapClass = Field(description="metal, gapped, or unknown where the run does not say.")
    band_gap: Annotated[float | None, Unit("eV")] = Field(default=None, description="Fundamental gap; 0 for a metal.")
    vbm: Annotated[float | None, Unit("eV")] = Field(default=None, description="Valence-band maximum.")
    cbm: Annotated[float | None, Unit("eV")] = Field(default=None, description="Conduction-band minimum.")
    is_direct: bool | None = Field(default=None, description="Whether VBM and CBM are at one k-point.")
    vbm_kpoint: Annotated[Vector | None, Unit("1")] = Field(
        default=None, description="k-point of the VBM, reciprocal-lattice units."
    )
    cbm_kpoint: Annotated[Vector | None, Unit("1")] = Field(
        default=None, description="k-point of the CBM, reciprocal-lattice units."
    )
    direct_gap: Annotated[float | None, Unit("eV")] = Field(default=None, description="Smallest gap at one k-point.")
    efermi: Annotated[float | None, Unit("eV")] = Field(default=None, description="Fermi level as the code printed it.")
    occupation_deviation: Annotated[float | None, Unit("1")] = Field(
        default=None, description="Largest deviation of an occupation from 0 or 1; above 0 where smearing fills states partly."
    )


class Correction(Document):
    """One correction custodian made, and what the policy says of it."""

    handler: str = Field(description="custodian's handler class.")
    errors: tuple[str, ...] = Field(description="custodian's error keys.")
    actions: tuple[dict[str, Any], ...] = Field(default=(), description="What was changed.")
    verdict: Literal["accepted", "flagged", "refused"] = Field(description="What the policy makes of the change.")


class Failure(Document):
    """Why a run has no answer."""

    kind: str = Field(description="Short key: a custodian error key, no_output, truncated, killed, input, ...")
    message: str = Field(description="What happened, in words.")


class RunDoc(Document):
    """What a finished VASP directory says."""

    formula: str = Field(description="Reduced formula.")
    elements: tuple[str, ...] = Field(description="Elements, alphabetically.")
    n_sites: int = Field(description="Number of atoms in the cell of the run.")
    status: RunStatus = Field(description="How the run ended.")
    failure: Failure | None = Field(default=None, description="Why there is no answer.")
    calculator: Calculator = Field(description="Which code gave the numbers.")
    inputs: Inputs = Field(description="The inputs as run.")
    initial: Crystal = Field(description="Cell before the first ionic step.")
    final: Crystal = Field(description="Cell after the last ionic step.")
    space_group_number: int | None = Field(default=None, description="Of the final cell, at the protocol's tolerance.")
    energy: Annotated[float | None, Unit("eV")] = Field(default=None, description="energy(sigma->0) per cell.")
    energy_per_atom: Annotated[float | None, Unit("eV/atom")] = Field(default=None, description="The same per atom.")
    forces: Annotated[tuple[Vector, ...] | None, Unit("eV/Å")] = Field(default=None, description="Forces of the last step.")
    stress: Annotated[Matrix | None, Unit("kbar")] = Field(default=None, description="Stress of the last step, VASP's sign.")
    max_force: Annotated[float | None, Unit("eV/Å")] = Field(default=None, description="Largest force of the last step.")
    n_ionic_steps: int = Field(default=0, description="Ionic steps done, of a run in several parts those of the last.")
    has_moved_before: bool = Field(
        default=False,
        description="Whether it began in another cell than was asked for, one that a part before it left.",
    )
    n_electronic_steps: int = Field(default=0, description="Electronic steps of the last ionic step.")
    electronic_converged: bool = Field(default=False, description="Whether the last ionic step met EDIFF within NELM.")
    ionic_converged: bool = Field(default=False, description="Whether the relaxation met EDIFFG within NSW.")
    magnetization: Annotated[float | None, Unit("μB")] = Field(default=None, description="Total moment per cell.")
    edges: BandEdges = Field(description="Gap and band edges.")
    epsilon_electronic: Annotated[Matrix | None, Unit("1")] = Field(
        default=None, description="Electronic dielectric tensor with local fields."
    )
    epsilon_ionic: Annotated[Matrix | None, Unit("1")] = Field(default=None, description="Ionic dielectric tensor.")
    arrays: dict[str, ArrayRef] = Field(default_factory=dict, description="Packed arrays by name.")
    warnings: tuple[str, ...] = Field(default=(), description="What a careful reader should know, from the reader.")

    def prior(self) -> Prior:
        """Prior knowledge this run gives to the next; unknown stays None."""
        edges = self.edges
        gap = 0.0 if edges.gap_class == "metal" else edges.band_gap
        return Prior(band_gap=gap, vbm=edges.vbm, cbm=edges.cbm, magnetization=self.magnetization)


def why_no_answer(task: RunDoc) -> str:
    """Why a run has no answer, in words."""
    if task.failure is not None:
        return f"{task.failure.kind}: {task.failure.message}"
    return {
        "ionic_limit": "the ionic steps reached NSW",
        "electronic_limit": "the electronic steps reached NELM",
        "walltime": "the walltime ended the run",
    }.get(task.status, task.status)


def is_settled(task: RunDoc) -> bool:
    """Whether a round of a relaxation is the last one: converged with nothing left to do."""
    return task.status == "converged" and task.n_ionic_steps <= 1 and not task.has_moved_before


def not_settled(task: TaskDoc) -> str:
    """Why a relaxation whose last round still moved is no answer."""
    return f"no round converged at its first ionic step; {task.round} were done"


class Machine(Document):
    """Where and when a run was done, and what it cost."""

    host: str = Field(description="Host name.")
    directory: str = Field(description="Folder of the run on that host.")
    started: datetime = Field(description="Start, UTC.")
    finished: datetime = Field(description="End, UTC.")
    cores: int = Field(description="Cores given to the code.")
    core_hours: Annotated[float, Unit("h")] = Field(description="Cores times wall time, all continuations summed.")


class TaskDoc(RunDoc):
    """A run that answers a Spec. One per address, written once."""

    address: str = Field(description="Content address of the Spec.")
    material_id: str = Field(description="Identity of the candidate.")
    task: str = Field(description="vise's task name.")
    functional: str = Field(description="Functional of the Spec.")
    protocol: str = Field(description="Name of the protocol.")
    protocol_version: int = Field(description="Version of the protocol.")
    parents: tuple[str, ...] = Field(default=(), description="Addresses of the runs this one followed.")
    round: int = Field(default=1, description="Round of a repeated relaxation.")
    variant: str = Field(default="", description="Tells runs of one task with the same parents apart.")
    spec_prior: Prior = Field(default=Prior(), description="Prior knowledge the inputs were chosen by.")
    corrections: tuple[Correction, ...] = Field(default=(), description="What custodian changed.")
    flags: tuple[str, ...] = Field(default=(), description="Gates this run fails and corrections the policy flags.")
    semilocal_edges: BandEdges | None = Field(
        default=None, description="Band edges of the semilocal stage of a hybrid step, on the same k-points."
    )
    machine: Machine = Field(description="Where, when, how long.")
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of hibana and what it ran on.")
