"""Documents of oxygen vacancies: supercell, each vacancy in each charge state, chemical potentials, and the summary of a host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hibana.defects.analysis import SUPERCELL, VACANCY, Host, NoHost, analyses, host_of, host_supercell
from hibana.defects.charge_states import ChargeState, site_energies, site_levels
from hibana.defects.competing import OwnPhases, diagram_flags, in_words, own_phases
from hibana.defects.core_reference import aligned, core_alignment
from hibana.defects.formation import GapEdges, NoEnergy
from hibana.defects.host_energies import host_potentials, oxygen_energies
from hibana.defects.supercell import HostSupercell
from hibana.defects.vacancy_document import build_vacancy, general_steps, host_steps, why_not
from hibana.documents.chemical_potentials import OXYGEN_STEPS, ChemicalPotentialDoc, ChemicalPotentials, Diagram
from hibana.documents.properties import PropertyStatus
from hibana.documents.vacancy import GateVerdict, SupercellDoc, VacancySite, VacancySummaryDoc
from hibana.properties.consistency import run_flags
from hibana.properties.evidence import Built, Evidence

GATE_STEPS = ("structure_opt", "band", "dos")
"""Steps that the gate looks at."""


def build_vacancy_documents(evidence: Evidence) -> tuple[Built, ...]:
    """All documents of the vacancies of a host; none where no vacancy was asked for, the supercell's alone for no host.

    Parameters
    ----------
    evidence
        With runs under ``supercell`` and ``vacancy-<full name>``, those of the bulk crystal, and the user's table of energies.
    """
    if not asks_for_vacancies(evidence):
        return ()
    supercell = host_supercell(evidence)
    first = build_supercell(evidence, supercell)
    if isinstance(supercell, NoHost):
        return (first,)
    host = host_of(evidence, supercell)
    potentials = host_potentials(evidence, host.oxygen)
    alignment = core_alignment(evidence, host.edges)
    states, vacancies = [], []
    for found in analyses(evidence, host):
        vacancies.append(aligned(build_vacancy(evidence, host, found), alignment))
        states.append(found.state)
    summary = build_summary(evidence, host, states, potentials)
    return (first, build_chemical_potentials(evidence, potentials), *vacancies, summary)


def asks_for_vacancies(evidence: Evidence) -> bool:
    """Whether vacancies of the material were asked for, and something of it was calculated."""
    asked = {step.partition("-")[0] for step in (*evidence.tasks, *evidence.reasons)}
    return bool(evidence.tasks) and not asked.isdisjoint((SUPERCELL, VACANCY))


def build_supercell(evidence: Evidence, supercell: HostSupercell | NoHost | None = None) -> Built:
    """The perfect supercell of a host, or the rules that refuse the crystal.

    Parameters
    ----------
    evidence
        With the run under ``supercell``, answered or not.
    supercell
        What :func:`~hibana.defects.analysis.host_supercell` says of the evidence, where it is at hand.
    """
    made = host_supercell(evidence) if supercell is None else supercell
    head = evidence.head(SUPERCELL, *GATE_STEPS, *general_steps(evidence))
    if isinstance(made, NoHost):
        verdicts = tuple(GateVerdict(rule=refusal.rule, what=refusal.what) for refusal in made.refusals)
        return Built(SupercellDoc(**head, status="unavailable", reason=made.why, refusals=verdicts))
    run = evidence.answer(SUPERCELL)
    values: dict[str, Any] = {}
    if run is not None:
        values = {"energy": run.energy, "vbm": run.edges.vbm, "cbm": run.edges.cbm, "magnetization": run.magnetization}
    document = SupercellDoc(
        **head,
        status="complete" if run is not None else "partial",
        reason=None if run is not None else f"{SUPERCELL}: {why_not(evidence, SUPERCELL)}",
        flags=_supercell_flags(evidence),
        host=made.host,
        space_group_number=made.space_group_number,
        matrix=made.matrix,
        crystal=made.crystal,
        n_atoms=made.n_atoms,
        anisotropy=made.anisotropy,
        sites=_sites(made, evidence),
        **values,
    )
    return Built(document)


def _supercell_flags(evidence: Evidence) -> tuple[str, ...]:
    run = evidence.answer(SUPERCELL)
    if run is None:
        return ()
    metal = ("the host is a metal in its supercell",) if run.edges.gap_class == "metal" else ()
    return (*run_flags(SUPERCELL, run), *metal)


def _sites(supercell: HostSupercell, evidence: Evidence) -> tuple[VacancySite, ...]:
    """Inequivalent sites of anions."""
    return tuple(
        VacancySite(
            name=site.name,
            element=site.element,
            wyckoff=site.wyckoff,
            site_symmetry=site.site_symmetry,
            index=site.indices[0],
            host_index=supercell.host_index(site.indices[0]),
            multiplicity=len(site.indices),
        )
        for site in supercell.sites
        if site.element in evidence.protocol.defects.host.anions
    )


def build_chemical_potentials(evidence: Evidence, potentials: ChemicalPotentials | None = None) -> Built:
    """The chemical potentials of a host's elements; a host that is not stable is an answer, its limits are missing.

    Parameters
    ----------
    evidence
        With the user's table of energies, and runs of oxygen.
    potentials
        What :func:`~hibana.defects.host_energies.host_potentials` says of the evidence, where it is at hand.
    """
    found = host_potentials(evidence, oxygen_energies(evidence)) if potentials is None else potentials
    diagram = found.diagram(found.oxygen.used)
    table = evidence.energies
    own = None if table is not None else own_phases(evidence)
    status, reason = _potential_status(diagram, found, own)
    cutoffs = {item.cutoff for item in table.phases} if table is not None else set()
    if own is not None and diagram is not None:
        cutoffs = {own.host.conditions.cutoff}
    limits = {} if diagram is None else {item.name: item.chemical_potentials["O"] for item in diagram.limits}
    document = ChemicalPotentialDoc(
        **evidence.head(*OXYGEN_STEPS.values(), "structure_opt", *(() if own is None else own.steps)),
        status=status,
        reason=reason,
        flags=() if status == "unavailable" else diagram_flags(found),
        chemical_potentials=found,
        energy_above_hull=None if diagram is None else diagram.energy_above_hull,
        chemical_potential_o_rich=limits.get("O-rich"),
        chemical_potential_o_poor=limits.get("O-poor"),
        cutoff=cutoffs.pop() if len(cutoffs) == 1 else None,
        source=None if table is None else table.source,
        given=table,
    )
    return Built(document)


def _potential_status(
    diagram: Diagram | None, found: ChemicalPotentials, own: OwnPhases | None
) -> tuple[PropertyStatus, str | None]:
    """Status and reason by the diagram of the reference used; the value is the host's energy above the other phases."""
    if diagram is None:
        why = "no table of energies of competing phases was given"
        if own is not None:
            why += f", and of {', '.join(own.lacking)} none at {own.host.conditions.cutoff:g} eV is in the store"
        return "unavailable", "; ".join((why, *(f"{item.formula}: {item.reason}" for item in found.left_out)))
    lacking = [f"{item.formula}: {item.reason}" for item in found.left_out if item.asked]
    if diagram.status != "stable":
        return ("unavailable" if diagram.energy_above_hull is None else "partial"), in_words(diagram)
    return ("partial", f"without {'; '.join(lacking)}") if lacking else ("complete", None)


def build_summary(evidence: Evidence, host: Host, states: Sequence[ChargeState], potentials: ChemicalPotentials) -> Built:
    """Transition levels of all sites, and formation energies under both references of oxygen and at both limits.

    Parameters
    ----------
    evidence
        What is known of the material.
    host
        What its vacancies were analysed with.
    states
        Its vacancies in all charge states.
    potentials
        Chemical potentials of its elements.
    """
    edges = host.edges
    gap = None if edges is None else edges.gap
    names = dict.fromkeys(state.site for state in states)
    levels = tuple(site_levels(name, states, gap) for name in names)
    without = [state for state in states if isinstance(state.energy, NoEnergy)]
    status: PropertyStatus = "complete" if not without else ("unavailable" if len(without) == len(states) else "partial")
    steps = (f"{VACANCY}-{state.name}" for state in states)
    document = VacancySummaryDoc(
        **evidence.head(*steps, *host_steps(edges), *general_steps(evidence)),
        status=status,
        reason=_said(without),
        flags=diagram_flags(potentials),
        oxygen_reference=host.oxygen.used,
        oxygen_difference=host.oxygen.difference,
        chemical_potentials=potentials,
        sites=levels,
        energies=tuple(item for one in levels for item in site_energies(one, potentials, gap)),
        **_edges(evidence, edges),
    )
    return Built(document)


def _said(states: Sequence[ChargeState]) -> str | None:
    """Why charge states have no formation energy, each reason once."""
    reasons: dict[str, list[str]] = {}
    for state in states:
        if isinstance(state.energy, NoEnergy):
            reasons.setdefault(state.energy.reason, []).append(state.name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items()) or None


def _edges(evidence: Evidence, edges: GapEdges | None) -> dict[str, Any]:
    if edges is None:
        return {}
    values: dict[str, Any] = {"edges": edges.source, "vbm": edges.vbm, "cbm": edges.cbm, "band_gap": edges.gap}
    run = evidence.answer(SUPERCELL)
    if run is not None and run.edges.vbm is not None and run.edges.cbm is not None:
        values |= {"supercell_vbm": run.edges.vbm - edges.vbm, "supercell_cbm": run.edges.cbm - edges.vbm}
    return values
