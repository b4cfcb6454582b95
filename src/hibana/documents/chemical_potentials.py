"""Chemical potentials: competing phases, references of oxygen, and where the target is stable."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.properties import From, PropertyDoc
from hibana.documents.task import Document

OxygenConvention = Literal["molecule", "atom"]
"""Energy of an oxygen atom in its standard state: half of the calculated molecule, or the calculated atom less half of the
measured binding energy of the molecule."""

OXYGEN_STEPS: dict[OxygenConvention, str] = {"molecule": "oxygen_molecule", "atom": "oxygen_atom"}
"""Steps whose runs give the references of oxygen."""

COMPETING = "competing"
"""What the steps of competing phases begin with, those of a host's own chemical system: ``competing-Mg-<material_id>``."""

COMPETING_OXYGEN: dict[OxygenConvention, str] = {which: f"{COMPETING}-{step}" for which, step in OXYGEN_STEPS.items()}
"""Steps of oxygen at the cutoff of the competing phases, where those of :data:`OXYGEN_STEPS` are at that of the supercells."""

EnergyKind = Literal["total", "formation"]
"""Total energies, on a calculator's own zero, or formation energies from the elements."""

DiagramStatus = Literal["stable", "unstable", "missing_target", "missing_element", "different_cutoffs"]
"""``unstable``: other phases have a lower energy; ``missing_element``: no energy of an element of the target is known;
``different_cutoffs``: it is known at another plane-wave cutoff only."""

LeftOutPhaseKind = Literal["not_calculated", "failed", "not_settled", "different_cutoffs"]
"""Why a phase is not part of a diagram. ``not_settled``: no round of its relaxation converged at its first ionic step;
``different_cutoffs``: its energy is at another plane-wave cutoff than the host's."""

Energies = Annotated[dict[str, float], Unit("eV/atom")]


class OxygenReferences(Document):
    """Energies of oxygen by both conventions; one that cannot be had is null, and ``reasons`` says why."""

    used: OxygenConvention = Field(description="The convention that the protocol asks for.")
    molecule: Annotated[float | None, Unit("eV/atom")] = Field(default=None, description="Half of the calculated molecule.")
    atom: Annotated[float | None, Unit("eV/atom")] = Field(
        default=None, description="The calculated atom less half of the measured binding energy of the molecule."
    )
    atom_energy: Annotated[float | None, Unit("eV/atom")] = Field(
        default=None, description="The calculated, spin-polarised atom."
    )
    measured_binding: Annotated[float, Unit("eV/atom")] = Field(
        description="Half of the measured binding energy of the molecule, zero-point energy taken out."
    )
    measured_binding_source: str = Field(description="Where the measured number is from.")
    calculated_binding: Annotated[float | None, Unit("eV/atom")] = Field(
        default=None, description="Half of the calculated binding energy of the molecule."
    )
    reasons: dict[str, str] = Field(default_factory=dict, description="Convention to why it cannot be had.")

    @property
    def value(self) -> float | None:
        """Energy of an oxygen atom by the convention used, eV."""
        return self.of(self.used)

    @property
    def other(self) -> OxygenConvention:
        """The convention that is not used."""
        return "molecule" if self.used == "atom" else "atom"

    @property
    def difference(self) -> float | None:
        """Atom less molecule: by so much the formation energy of a vacancy at standard states is higher with the atom."""
        return None if self.atom is None or self.molecule is None else self.atom - self.molecule

    def of(self, convention: OxygenConvention) -> float | None:
        """Energy of an oxygen atom by a convention, eV."""
        return self.atom if convention == "atom" else self.molecule


class CompetingPhase(Document):
    """A phase that enters a diagram of chemical potentials."""

    formula: str = Field(description="Reduced formula; the symbol of an element.")
    energy_per_atom: Annotated[float | None, Unit("eV/atom")] = Field(
        default=None, description="Total energy on the calculator's own zero; null where only formation energies are known."
    )
    formation_energy_per_atom: Annotated[float, Unit("eV/atom")] = Field(
        description="From the elements in their standard states."
    )
    source: str = Field(description="Where the energy is from.")


class Vertex(Document):
    """A corner of the region of chemical potentials in which the target is stable."""

    label: str = Field(description="A, B, ... from the most to the least oxygen-rich.")
    chemical_potentials: Annotated[dict[str, float], Unit("eV")] = Field(description="Element to Δμ from its standard state.")
    competing_phases: tuple[str, ...] = Field(description="Phases that are in equilibrium with the target there.")


class Region(Document):
    """Where a phase is stable, for the figure."""

    formula: str = Field(description="Reduced formula of the phase.")
    vertices: Annotated[tuple[tuple[float, ...], ...], Unit("eV")] = Field(
        description="Corners, Δμ in the order of the diagram's elements, cut at the lower end of the figure."
    )


class Limit(Document):
    """An end of the range of the chemical potential of oxygen."""

    name: str = Field(description="O-rich or O-poor.")
    vertex: str = Field(description="Label of the corner; of corners that are alike the first.")
    chemical_potentials: Annotated[dict[str, float], Unit("eV")] = Field(description="Element to Δμ from its standard state.")
    competing_phases: tuple[str, ...] = Field(description="Phases that are in equilibrium with the target there.")


class Diagram(Document):
    """Chemical potentials for which a compound is stable, by one reference of oxygen."""

    oxygen_reference: OxygenConvention | None = Field(
        default=None, description="Convention of the energy of oxygen; null where formation energies were given."
    )
    target: str = Field(description="Reduced formula of the compound.")
    elements: tuple[str, ...] = Field(description="Its elements, alphabetically.")
    energy_kind: EnergyKind = Field(description="What energies the diagram was made of.")
    status: DiagramStatus = Field(description="stable, unstable, or what is missing.")
    reason: str | None = Field(default=None, description="Why there are no chemical potentials.")
    standard_energies: Energies = Field(
        default_factory=dict, description="Element to its energy in the standard state, if total."
    )
    phases: tuple[CompetingPhase, ...] = Field(default=(), description="Phases of the elements, target included.")
    ignored: tuple[str, ...] = Field(default=(), description="Phases given that have other elements.")
    formation_energy_per_atom: Annotated[float | None, Unit("eV/atom")] = Field(default=None, description="Of the target.")
    energy_above_hull: Annotated[float | None, Unit("eV/atom")] = Field(
        default=None, description="Above the other phases; 0 for a stable target."
    )
    stability: Annotated[float | None, Unit("eV/atom")] = Field(
        default=None, description="Energy less that of the best mixture of other phases; negative for a stable target."
    )
    decomposition: Annotated[dict[str, float], Unit("1")] = Field(
        default_factory=dict, description="That mixture: phase to its share of the atoms."
    )
    vertices: tuple[Vertex, ...] = Field(default=(), description="Corners of the region of the target.")
    limits: tuple[Limit, ...] = Field(default=(), description="O-rich and O-poor.")
    regions: tuple[Region, ...] = Field(default=(), description="Regions of all phases, for up to three elements.")

    def limit(self, name: str) -> Limit | None:
        """A limit by name."""
        return next((item for item in self.limits if item.name == name), None)


class LeftOutPhase(Document):
    """A phase of the host's elements that has no energy for the diagram, and why."""

    formula: str = Field(description="Formula of the phase.")
    kind: LeftOutPhaseKind = Field(description="Why, as a kind.")
    reason: str = Field(description="Why, in words.")
    asked: bool = Field(description="Whether it was asked for as a competing phase of the system; else it happens to be there.")


class ChemicalPotentials(Document):
    """References of oxygen, and the diagram by each of them."""

    oxygen: OxygenReferences = Field(description="Energies of oxygen.")
    diagrams: tuple[Diagram, ...] = Field(default=(), description="One for each reference, the one used first.")
    left_out: tuple[LeftOutPhase, ...] = Field(default=(), description="Phases in the store that have no energy for it.")

    def diagram(self, convention: OxygenConvention) -> Diagram | None:
        """The diagram of a reference; one of formation energies serves both."""
        return next((item for item in self.diagrams if item.oxygen_reference in (convention, None)), None)


class GivenEnergy(Document):
    """The energy of a phase as a user's table gives it; what the table does not state is null."""

    formula: str = Field(description="Reduced formula; the symbol of an element.")
    energy: Annotated[float, Unit("eV/atom")] = Field(description="Total or formation energy.")
    kind: EnergyKind = Field(description="Which of the two.")
    source: str = Field(description="Where it is from.")
    calculator: str | None = Field(default=None, description="Code that gave it.")
    protocol: str | None = Field(default=None, description="Protocol, name@version.")
    cutoff: Annotated[float | None, Unit("eV")] = Field(default=None, description="Plane-wave cutoff.")


class EnergyTable(Document):
    """A user's table of energies of competing phases."""

    source: str = Field(description="Name of the file.")
    phases: tuple[GivenEnergy, ...] = Field(description="The phases in the order of the table.")


class ChemicalPotentialDoc(PropertyDoc):
    """The chemical potentials of a host's elements."""

    collection: ClassVar[str] = "chemical_potentials"

    chemical_potentials: Annotated[ChemicalPotentials | None, From("competing", "oxygen_molecule", "oxygen_atom")] = Field(
        default=None, description="References of oxygen and diagrams."
    )
    energy_above_hull: Annotated[float | None, Unit("eV/atom"), From("competing", "oxygen_molecule", "oxygen_atom")] = Field(
        default=None, description="Of the host by the reference used; 0 if it is stable."
    )
    chemical_potential_o_rich: Annotated[float | None, Unit("eV"), From("competing", "oxygen_molecule", "oxygen_atom")] = Field(
        default=None, description="Δμ of oxygen at its upper end, by the reference used."
    )
    chemical_potential_o_poor: Annotated[float | None, Unit("eV"), From("competing", "oxygen_molecule", "oxygen_atom")] = Field(
        default=None, description="Δμ of oxygen at its lower end, by the reference used."
    )
    cutoff: Annotated[float | None, Unit("eV")] = Field(default=None, description="Common plane-wave cutoff of the phases.")
    source: str | None = Field(default=None, description="The table of energies that was given; null for hibana's own runs.")
    given: EnergyTable | None = Field(default=None, description="That table, so that the document can be built again.")
