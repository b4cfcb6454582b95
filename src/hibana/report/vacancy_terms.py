"""Formation energies of vacancies term by term, as they are looked at: also of states that tables and levels leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

from hibana.defects.transition_levels import crossing
from hibana.documents.chemical_potentials import OxygenConvention, OxygenReferences
from hibana.documents.properties import ElectronicDoc, PropertyDoc
from hibana.documents.vacancy import ChargeLine, EdgeSource, SupercellDoc, VacancyDoc, VacancySummaryDoc
from hibana.tables.reading import gathered

if TYPE_CHECKING:
    from hibana.store.store import Store

KINDS: tuple[type[PropertyDoc], ...] = (SupercellDoc, VacancyDoc, VacancySummaryDoc, ElectronicDoc)

EDGE_FIELDS: Mapping[EdgeSource, tuple[str, str]] = {
    "ddh_nsc": ("vbm_ddh_nsc", "cbm_ddh_nsc"),
    "hse06_nsc": ("vbm_hse06_nsc", "cbm_hse06_nsc"),
    "pbesol": ("vbm", "cbm"),
}
"""Fields of the electronic structure with the band edges by a functional, eV on the scale of the host's cell."""

EDGE_NAMES: Mapping[EdgeSource, str] = {"ddh_nsc": "dd-hybrid", "hse06_nsc": "HSE06", "pbesol": "PBEsol"}
"""What functionals of band edges are called in figures and lists."""

OXYGEN_NAMES: Mapping[OxygenConvention, str] = {"atom": "atom and measured binding", "molecule": "half of the calculated O2"}
"""What the references of oxygen are called in lists."""


@dataclass(frozen=True)
class Energies:
    """Formation energies of one state, eV, at Δμ = 0 and with the Fermi level at a valence-band maximum.

    Parameters
    ----------
    edges
        Functional of the valence-band maximum.
    oxygen
        Convention of the oxygen reference.
    energy
        The energy.
    """

    edges: EdgeSource
    oxygen: OxygenConvention
    energy: float


@dataclass(frozen=True)
class StateTerms:
    """One vacancy in one charge state; energies in eV, None for what is not known.

    Parameters
    ----------
    name, site, charge
        ``Va_O1_2``, ``O1``, in e.
    defect, perfect
        Total energies of the cells.
    removed
        Energy of the removed atoms in their standard states, by the oxygen reference used.
    band_edge
        Charge times the valence-band maximum used.
    point_charge, alignment
        The corrections; None also where the neutral vacancy has none.
    formation_energy
        The sum: defect - perfect + removed + band_edge + point_charge + alignment.
    energies
        The same by every valence-band maximum and oxygen reference there is.
    edge_state, structure_class
        Where its electrons are, and what became of the structure.
    left_out
        Why it is not used for transition levels and is kept out of the default table; None for one that is used.
    reason
        Why something is not known.
    flags
        Of its document.
    """

    name: str
    site: str
    charge: int
    defect: float | None
    perfect: float | None
    removed: float | None
    band_edge: float | None
    point_charge: float | None
    alignment: float | None
    formation_energy: float | None
    energies: tuple[Energies, ...]
    edge_state: str
    structure_class: str
    left_out: str | None
    reason: str | None
    flags: tuple[str, ...]

    def energy(self, edges: EdgeSource | None, oxygen: OxygenConvention | None) -> float | None:
        """The formation energy by a valence-band maximum and an oxygen reference, eV."""
        return next((item.energy for item in self.energies if (item.edges, item.oxygen) == (edges, oxygen)), None)


@dataclass(frozen=True)
class Level:
    """The Fermi level at which two charge states of a site have one formation energy.

    Parameters
    ----------
    site, charges
        ``O1``; the higher charge first.
    above
        Functional to the level above its valence-band maximum, eV.
    left_out
        Names of those of the two states that are left out; empty for a level between states that are used.
    """

    site: str
    charges: tuple[int, int]
    above: Mapping[EdgeSource, float]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class HostTerms:
    """All vacancies of one host in one series.

    Parameters
    ----------
    formula, material_id, series
        Which host; calculator and protocol in words.
    n_atoms
        Atoms of the perfect supercell.
    edges
        Functional whose valence-band maximum is used.
    band_edges
        Functional to valence-band maximum and conduction-band minimum, eV, of all that are known.
    oxygen
        Both references of oxygen; None where the host has no summary.
    states, levels
        By site, charges ascending; levels of all pairs of charges, whether used or left out.
    refusals
        Rules that refuse the crystal as a host.
    reason
        Why the host's summary is not complete.
    """

    formula: str
    material_id: str
    series: str
    n_atoms: int | None
    edges: EdgeSource | None
    band_edges: Mapping[EdgeSource, tuple[float, float]]
    oxygen: OxygenReferences | None
    states: tuple[StateTerms, ...]
    levels: tuple[Level, ...]
    refusals: tuple[str, ...] = ()
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data; energies in eV, charges in e."""
        plain = asdict(self)
        plain["oxygen"] = None if self.oxygen is None else self.oxygen.model_dump(mode="json")
        plain["band_edges"] = {name: {"vbm": vbm, "cbm": cbm} for name, (vbm, cbm) in self.band_edges.items()}
        return {**plain, "units": {"energies": "eV", "charge": "e"}}


def vacancy_terms(
    store: Store,
    material: str,
    *,
    protocol: str | None = None,
    protocol_version: int | None = None,
    calculator: str | None = None,
) -> list[HostTerms]:
    """The vacancies of every host of a formula, or of one material, one entry a host and series.

    Parameters
    ----------
    store
        Where the documents are.
    material
        A material_id, or a reduced formula.
    protocol, protocol_version, calculator
        Which series; None leaves the choice open.
    """
    chosen = {"protocol": protocol, "protocol_version": protocol_version, "calculator": calculator}
    query: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    query["$or"] = [{"material_id": material}, {"formula": material}]
    return [_host(documents) for documents in gathered(store, KINDS, query) if documents.keys() & {SupercellDoc, VacancyDoc}]


def _host(documents: Mapping[type[PropertyDoc], Sequence[PropertyDoc]]) -> HostTerms:
    supercell, summary, electronic = (_one(documents, kind) for kind in (SupercellDoc, VacancySummaryDoc, ElectronicDoc))
    vacancies = [found for found in documents.get(VacancyDoc, ()) if isinstance(found, VacancyDoc)]
    vacancies.sort(key=lambda found: (found.site, found.charge))
    first = vacancies[0] if vacancies else supercell
    known = _band_edges(electronic)
    potentials = getattr(summary, "chemical_potentials", None)
    oxygen = None if potentials is None else potentials.oxygen
    states = tuple(_state(found, known, oxygen) for found in vacancies)
    refusals = supercell.refusals if isinstance(supercell, SupercellDoc) else ()
    return HostTerms(
        formula=first.formula,
        material_id=first.material_id,
        series=f"{first.calculator}, protocol {first.protocol} version {first.protocol_version}",
        n_atoms=supercell.n_atoms if isinstance(supercell, SupercellDoc) else None,
        edges=vacancies[0].edges if vacancies else None,
        band_edges=known,
        oxygen=oxygen,
        states=states,
        levels=tuple(_levels(states, tuple(known), None if oxygen is None else oxygen.used)),
        refusals=tuple(f"{verdict.rule}: {verdict.what}" for verdict in refusals),
        reason=None if summary is None else summary.reason,
    )


def _one(documents: Mapping[type[PropertyDoc], Sequence[PropertyDoc]], kind: type[PropertyDoc]) -> Any:
    return next(iter(documents.get(kind, ())), None)


def _band_edges(electronic: ElectronicDoc | None) -> dict[EdgeSource, tuple[float, float]]:
    """Edges of every functional that has both."""
    found: dict[EdgeSource, tuple[float, float]] = {}
    for source in get_args(EdgeSource):
        vbm, cbm = (getattr(electronic, name, None) for name in EDGE_FIELDS[source])
        if vbm is not None and cbm is not None and cbm > vbm:
            found[source] = (vbm, cbm)
    return found


def _state(vacancy: VacancyDoc, known: Mapping[EdgeSource, tuple[float, float]], oxygen: OxygenReferences | None) -> StateTerms:
    has_energy = vacancy.formation_energy is not None
    return StateTerms(
        name=vacancy.part,
        site=vacancy.site,
        charge=vacancy.charge,
        defect=vacancy.defect_energy,
        perfect=vacancy.perfect_energy,
        removed=vacancy.reservoir_energy,
        band_edge=vacancy.band_edge_energy,
        point_charge=vacancy.point_charge_correction,
        alignment=vacancy.alignment_correction,
        formation_energy=vacancy.formation_energy,
        energies=tuple(_energies(vacancy, known, oxygen)) if has_energy else (),
        edge_state=vacancy.edge_state,
        structure_class=vacancy.structure_class,
        left_out=vacancy.left_out,
        reason=vacancy.reason or vacancy.edge_reason,
        flags=vacancy.flags,
    )


def _energies(
    vacancy: VacancyDoc, known: Mapping[EdgeSource, tuple[float, float]], oxygen: OxygenReferences | None
) -> Iterator[Energies]:
    """The formation energy moved to every valence-band maximum and oxygen reference; that of the document among them."""
    energy, used, convention = vacancy.formation_energy, vacancy.vbm, vacancy.oxygen_reference
    if energy is None or convention is None:
        return
    vbms = {source: vbm for source, (vbm, _) in known.items()}
    if vacancy.edges is not None and used is not None:
        vbms[vacancy.edges] = used
    base = None if oxygen is None else oxygen.of(convention)
    number = (vacancy.removed or {}).get("O", 0)
    for source, vbm in vbms.items():
        for other in get_args(OxygenConvention):
            value = None if oxygen is None else oxygen.of(other)
            moved = vacancy.charge * (vbm - (used or 0.0))
            if other == convention:
                yield Energies(source, other, energy + moved)
            elif value is not None and base is not None:
                yield Energies(source, other, energy + moved + number * (value - base))


def _levels(states: Sequence[StateTerms], known: Sequence[EdgeSource], oxygen: OxygenConvention | None) -> Iterator[Level]:
    """Levels of all pairs of charges of each site, by charges descending."""
    for site in dict.fromkeys(state.site for state in states):
        own = sorted((state for state in states if state.site == site), key=lambda state: -state.charge)
        for place, high in enumerate(own):
            for low in own[place + 1 :]:
                above = {}
                for source in known:
                    ends = [(state.charge, state.energy(source, oxygen)) for state in (high, low)]
                    lines = [ChargeLine(charge=charge, energy=energy) for charge, energy in ends if energy is not None]
                    if len(lines) == 2:
                        above[source] = crossing(*lines).level
                if above:
                    out = tuple(state.name for state in (high, low) if state.left_out)
                    yield Level(site, (high.charge, low.charge), above, out)
