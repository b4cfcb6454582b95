"""Oxygen vacancies: the supercell of a host, each vacancy in each charge state, and what they amount to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.chemical_potentials import ChemicalPotentials, OxygenConvention
from hibana.documents.crystal import Crystal, Vector
from hibana.documents.dispersion import IntegerMatrix
from hibana.documents.properties import From, PropertyDoc
from hibana.documents.task import Document

EdgeState = Literal["localised", "shallow_hole", "shallow_electron", "perturbed_host", "undetermined", "none"]
"""Where the electrons of a vacancy are. ``localised``: in states of its own; ``shallow_hole``, ``shallow_electron``: a hole in
the valence or an electron in the conduction band; ``perturbed_host``: both; ``undetermined``: the band edges of the host were
not found again; ``none``: neither states in the gap nor carriers."""

StructureClass = Literal["simple", "split", "reconstructed", "unknown"]
"""``simple``: one atom is missing and the others are near their places; ``split``: an atom shares the place of two;
``reconstructed``: anything else."""

SymmetryRelation = Literal["same", "subgroup", "supergroup", "another", "unknown"]

EdgeSource = Literal["ddh_nsc", "hse06_nsc", "pbesol"]
"""Functional whose band edges the Fermi level is counted from."""

LeftOutKind = Literal[
    "not_calculated",
    "failed",
    "charge",
    "atoms",
    "no_band_edges",
    "no_reference",
    "no_correction",
    "perturbed_host",
    "undetermined",
    "strange_energy",
]
"""Why a charge state is not used. ``charge``, ``atoms``: the run is not of the charge or the composition its name says;
``strange_energy``: beyond any chemistry."""

Energy = Annotated[float | None, Unit("eV")]


class GateVerdict(Document):
    """A rule that a crystal is refused by as a host."""

    rule: str = Field(description="Name of the rule in the protocol.")
    what: str = Field(description="What of the crystal is against it.")


class VacancySite(Document):
    """An inequivalent anion site of a supercell."""

    name: str = Field(description="Element and number among its inequivalent sites, as in names of defects: O1.")
    element: str = Field(description="Chemical symbol.")
    wyckoff: str = Field(description="Wyckoff letter.")
    site_symmetry: str = Field(description="Site symmetry, Hermann-Mauguin symbol in spglib's notation.")
    index: int = Field(description="Site that is removed, an index into the supercell.")
    host_index: int | None = Field(
        default=None, description="The same site, an index into the primitive cell of the host; null in older documents."
    )
    multiplicity: int = Field(description="Number of equivalent sites in the supercell.")


class SupercellDoc(PropertyDoc):
    """The perfect supercell of a host, or why the crystal is none."""

    collection: ClassVar[str] = "supercells"

    refusals: tuple[GateVerdict, ...] = Field(default=(), description="Rules the crystal is refused by; none for a host.")
    host: Annotated[Crystal | None, From("structure_opt")] = Field(default=None, description="Primitive cell of the host.")
    space_group_number: Annotated[int | None, From("structure_opt")] = Field(default=None, description="Space group of the host.")
    matrix: Annotated[IntegerMatrix | None, From("structure_opt")] = Field(
        default=None, description="Supercell vectors (rows) in units of the primitive cell's."
    )
    crystal: Annotated[Crystal | None, From("structure_opt")] = Field(
        default=None, description="The supercell; indices of sites refer to it."
    )
    n_atoms: Annotated[int | None, From("structure_opt")] = Field(default=None, description="Number of atoms in the supercell.")
    anisotropy: Annotated[float | None, Unit("1"), From("structure_opt")] = Field(
        default=None, description="Mean difference of the lengths of the supercell's vectors from their mean, in units of it."
    )
    sites: Annotated[tuple[VacancySite, ...], From("structure_opt")] = Field(
        default=(), description="Inequivalent anion sites, in the order of their first atoms."
    )
    energy: Annotated[Energy, From("supercell")] = Field(default=None, description="Energy of the supercell.")
    vbm: Annotated[Energy, From("supercell")] = Field(default=None, description="Valence-band maximum in the supercell.")
    cbm: Annotated[Energy, From("supercell")] = Field(default=None, description="Conduction-band minimum in the supercell.")
    magnetization: Annotated[float | None, Unit("μB"), From("supercell")] = Field(
        default=None, description="Moment per supercell."
    )


class EdgeLike(Document):
    """The state of a vacancy's cell that is like a band edge of the host."""

    band: int = Field(description="Band in the order of energy, from 0.")
    energy: Annotated[float, Unit("eV")] = Field(description="Above the valence-band maximum of the supercell.")
    occupation: Annotated[float, Unit("1")] = Field(description="From 0 to 1.")
    dissimilarity: Annotated[float, Unit("1")] = Field(description="Sum of the differences of the projections.")
    participation: Annotated[float | None, Unit("1")] = Field(
        default=None, description="Share of the vacancy's neighbours in the projections."
    )


class VacancyLevel(Document):
    """A state of the vacancy's own, averaged over the k-points."""

    band: int = Field(description="Band in the order of energy, from 0.")
    energy: Annotated[float, Unit("eV")] = Field(description="Above the valence-band maximum of the supercell.")
    occupation: Annotated[float, Unit("1")] = Field(description="From 0 to 1.")
    degeneracy: int = Field(description="Number of levels of its spin at this energy.")
    characters: dict[str, tuple[float, float, float, float]] = Field(
        description="Projections onto s, p, d and f of each element."
    )
    participation: Annotated[float | None, Unit("1")] = Field(
        default=None, description="Share of the vacancy's neighbours in the projections."
    )


class SpinChannel(Document):
    """What one spin channel of a vacancy's cell holds."""

    vbm: EdgeLike = Field(description="State like the valence-band maximum of the host.")
    cbm: EdgeLike = Field(description="State like the conduction-band minimum of the host.")
    vbm_holes: Annotated[float, Unit("1")] = Field(description="Holes in the valence bands.")
    cbm_electrons: Annotated[float, Unit("1")] = Field(description="Electrons in the conduction bands.")
    levels: tuple[VacancyLevel, ...] = Field(description="The vacancy's own states, energies ascending.")


class VacancyDoc(PropertyDoc):
    """A vacancy in one charge state; ``part`` is its name.

    Arrays: the sheet of the correction, one entry an atom that is also in the perfect supercell: ``sheet_sites`` and
    ``sheet_partners`` (n,) indices in the cells with and without the vacancy, ``sheet_distances`` (n,) from the vacancy in Å,
    ``sheet_differences`` and ``sheet_point_charge`` (n,) potentials in V, ``sheet_outside`` (n,) whether the atom counts.
    Eigenvalues around the gap of the perfect supercell: ``eigenvalue_energies`` (nspin, nk, m) above its valence-band maximum in
    eV, ``eigenvalue_occupations`` (nspin, nk, m) from 0 to 1, ``eigenvalue_kpoints`` (nk, 3) in reciprocal-lattice units and
    ``eigenvalue_weights`` (nk,).
    """

    collection: ClassVar[str] = "vacancies"

    name: str = Field(description="Name without charge: Va_O1.")
    site: str = Field(description="The site that is removed: O1.")
    charge: Annotated[int, Unit("e")] = Field(description="Charge of the supercell.")
    left_out: LeftOutKind | None = Field(
        default=None, description="Why it is not used for transition levels; null for a charge state that is."
    )

    crystal: Annotated[Crystal | None, From("vacancy")] = Field(default=None, description="Relaxed cell.")
    initial: Annotated[Crystal | None, From("vacancy")] = Field(
        default=None, description="Cell at the start, the displacements around the vacancy in it."
    )
    removed: Annotated[dict[str, int] | None, From("vacancy", "supercell")] = Field(
        default=None, description="Number of atoms of each element that are missing."
    )

    defect_energy: Annotated[Energy, From("vacancy")] = Field(default=None, description="Energy of the cell with the vacancy.")
    perfect_energy: Annotated[Energy, From("supercell")] = Field(default=None, description="Energy of the perfect supercell.")
    reservoir_energy: Annotated[Energy, From("oxygen_molecule", "oxygen_atom")] = Field(
        default=None, description="Energy of the removed atoms in their standard states, by the oxygen reference used."
    )
    oxygen_reference: OxygenConvention | None = Field(default=None, description="The oxygen reference used.")
    edges: EdgeSource | None = Field(default=None, description="Functional whose valence-band maximum is used.")
    vbm: Annotated[Energy, From("band", "hse06_nsc", "ddh_nsc")] = Field(
        default=None, description="Valence-band maximum that the Fermi level is counted from."
    )
    band_edge_energy: Annotated[Energy, From("band", "hse06_nsc", "ddh_nsc")] = Field(
        default=None, description="Charge times the valence-band maximum."
    )
    point_charge_correction: Annotated[Energy, From("vacancy", "supercell", "dielectric")] = Field(
        default=None, description="Correction for the interaction of the charge with its images."
    )
    alignment_correction: Annotated[Energy, From("vacancy", "supercell", "dielectric")] = Field(
        default=None, description="Correction by the alignment of potentials far from the vacancy."
    )
    correction: Annotated[Energy, From("vacancy", "supercell", "dielectric")] = Field(
        default=None, description="Both corrections together."
    )
    formation_energy: Annotated[Energy, From("vacancy", "supercell", "band", "hse06_nsc", "ddh_nsc", "dielectric")] = Field(
        default=None, description="Formation energy, corrected, Fermi level at the VBM, elements in their standard states."
    )
    formation_energy_other_oxygen: Annotated[
        Energy, From("vacancy", "supercell", "band", "hse06_nsc", "ddh_nsc", "dielectric")
    ] = Field(default=None, description="The same by the oxygen reference that is not used.")
    vbm_from_o_core: Annotated[Energy, From("band", "dos", "hse06_nsc", "ddh_nsc", "reference")] = Field(
        default=None, description="Valence-band maximum from the potential at the core of the oxygen site; that of ZnO is 0."
    )
    formation_energy_core_reference: Annotated[
        Energy, From("vacancy", "supercell", "dielectric", "band", "dos", "hse06_nsc", "ddh_nsc", "reference")
    ] = Field(
        default=None,
        description="Formation energy with the Fermi level at the common reference, the VBM of ZnO by core potentials.",
    )

    edge_state: Annotated[EdgeState, From("vacancy", "supercell")] = Field(
        default="undetermined", description="Where the electrons of the vacancy are."
    )
    edge_reason: str | None = Field(default=None, description="Why it is a state of the host, or not determined.")
    localised_levels: Annotated[tuple[float, ...], Unit("eV"), From("vacancy", "supercell")] = Field(
        default=(), description="Energies of the vacancy's own states, above the valence-band maximum of the supercell."
    )
    channels: Annotated[tuple[SpinChannel, ...], From("vacancy", "supercell")] = Field(
        default=(), description="States like the host's band edges, carriers in its bands and the vacancy's own states, by spin."
    )
    supercell_gap: Annotated[Energy, From("supercell")] = Field(default=None, description="Band gap of the perfect supercell.")
    first_band: Annotated[int | None, From("vacancy")] = Field(
        default=None, description="Number of the first band of the eigenvalues around the gap, from 0."
    )
    structure_class: Annotated[StructureClass, From("vacancy", "supercell")] = Field(
        default="unknown", description="What became of the vacancy in its relaxation."
    )
    symmetry_before: Annotated[str | None, From("vacancy")] = Field(default=None, description="Site symmetry of the vacant site.")
    symmetry_after: Annotated[str | None, From("vacancy")] = Field(default=None, description="Point group of the relaxed cell.")
    symmetry_relation: Annotated[SymmetryRelation, From("vacancy")] = Field(
        default="unknown", description="Of the relaxed to the unrelaxed vacancy."
    )
    max_displacement: Annotated[float | None, Unit("Å"), From("vacancy")] = Field(
        default=None, description="Largest way of an atom in the relaxation."
    )
    magnetization: Annotated[float | None, Unit("μB"), From("vacancy")] = Field(default=None, description="Total moment.")
    centre: Annotated[Vector | None, Unit("1"), From("vacancy", "supercell")] = Field(
        default=None, description="Fractional position of the vacancy."
    )
    sphere_radius: Annotated[float | None, Unit("Å"), From("vacancy")] = Field(
        default=None, description="Radius of the sphere outside which atoms count for the alignment."
    )
    sheet_elements: Annotated[tuple[str, ...], From("vacancy")] = Field(
        default=(), description="Element of each entry of the sheet."
    )


class ChargeLine(Document):
    """Formation energy of a charge state: energy at the VBM, and charge as its slope in the Fermi level."""

    charge: Annotated[int, Unit("e")] = Field(description="Charge.")
    energy: Annotated[float, Unit("eV")] = Field(description="Formation energy with the Fermi level at the VBM.")


class LeftOutState(Document):
    """A charge state that is not used, and why."""

    name: str = Field(description="Full name: Va_O1_2.")
    charge: Annotated[int, Unit("e")] = Field(description="Charge.")
    kind: LeftOutKind = Field(description="Why, as a kind.")
    reason: str = Field(description="Why, in words.")


class TransitionLevel(Document):
    """The Fermi level at which two charge states have one formation energy."""

    charges: tuple[int, int] = Field(description="The charges, the higher first: it is stable below the level.")
    level: Annotated[float, Unit("eV")] = Field(description="Above the VBM.")
    energy: Annotated[float, Unit("eV")] = Field(description="Formation energy there.")


class StableRange(Document):
    """Fermi levels for which a charge state has the lowest formation energy."""

    charge: Annotated[int, Unit("e")] = Field(description="Charge.")
    low: Annotated[float, Unit("eV")] = Field(description="From here, above the VBM.")
    high: Annotated[float, Unit("eV")] = Field(description="To here.")
    energy_low: Annotated[float, Unit("eV")] = Field(description="Formation energy at the lower end.")
    energy_high: Annotated[float, Unit("eV")] = Field(description="Formation energy at the upper end.")


class SiteLevels(Document):
    """All charge states of the vacancy of one site."""

    site: str = Field(description="The site: O1.")
    lines: tuple[ChargeLine, ...] = Field(
        default=(), description="Charge states used, charges ascending, elements in their standard states."
    )
    left_out: tuple[LeftOutState, ...] = Field(default=(), description="Charge states not used.")
    levels: tuple[TransitionLevel, ...] = Field(
        default=(), description="Levels in the gap between states that are the lowest there, ascending."
    )
    pair_levels: tuple[TransitionLevel, ...] = Field(
        default=(), description="Levels of all pairs of charges, in the gap or not, also of states that are never the lowest."
    )
    stable: tuple[StableRange, ...] = Field(default=(), description="The lowest charge states across the gap, standard states.")


class SiteEnergies(Document):
    """Formation energies of one site under one condition."""

    site: str = Field(description="The site: O1.")
    oxygen_reference: OxygenConvention = Field(description="The oxygen reference.")
    limit: str = Field(description="Name of the limit of chemical potentials: standard, O-rich, O-poor.")
    chemical_potential: Annotated[float, Unit("eV")] = Field(description="Of oxygen, from its standard state.")
    lines: tuple[ChargeLine, ...] = Field(description="Charge states, charges ascending.")
    pinning_low: Annotated[float | None, Unit("eV")] = Field(
        default=None, description="Fermi level above the VBM below which a positive state has a negative formation energy."
    )
    pinning_high: Annotated[float | None, Unit("eV")] = Field(
        default=None, description="Fermi level below the CBM above which a negative state has a negative formation energy."
    )


class VacancySummaryDoc(PropertyDoc):
    """The oxygen vacancies of one host."""

    collection: ClassVar[str] = "vacancy_summaries"

    edges: EdgeSource | None = Field(default=None, description="Functional whose band edges are used.")
    vbm: Annotated[Energy, From("band", "hse06_nsc", "ddh_nsc")] = Field(default=None, description="Valence-band maximum.")
    cbm: Annotated[Energy, From("band", "hse06_nsc", "ddh_nsc")] = Field(default=None, description="Conduction-band minimum.")
    band_gap: Annotated[Energy, From("band", "hse06_nsc", "ddh_nsc")] = Field(default=None, description="Their difference.")
    supercell_vbm: Annotated[Energy, From("supercell")] = Field(
        default=None, description="Valence-band maximum of the supercell, above the one used."
    )
    supercell_cbm: Annotated[Energy, From("supercell")] = Field(
        default=None, description="Conduction-band minimum of the supercell, above the valence-band maximum used."
    )
    oxygen_reference: OxygenConvention | None = Field(default=None, description="The oxygen reference used.")
    oxygen_difference: Annotated[Energy, From("oxygen_molecule", "oxygen_atom")] = Field(
        default=None, description="By how much the formation energies of the atom's reference are above those of the molecule's."
    )
    chemical_potentials: Annotated[ChemicalPotentials | None, From("competing", "oxygen_molecule", "oxygen_atom")] = Field(
        default=None, description="Oxygen references, phases and limits of the chemical potentials."
    )
    sites: Annotated[tuple[SiteLevels, ...], From("vacancy", "supercell")] = Field(
        default=(), description="Charge states and transition levels by site."
    )
    energies: Annotated[tuple[SiteEnergies, ...], From("vacancy", "supercell", "competing")] = Field(
        default=(), description="Formation energies by site, oxygen reference and limit."
    )
