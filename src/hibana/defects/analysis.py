"""A host and its vacancies analysed: everything of pydefect's analysis, from the runs of one material."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.defects.band_edges import NoStates
from hibana.defects.charge_states import ChargeState
from hibana.defects.correction import Correction, NoCorrection, extended_fnv
from hibana.defects.edge_outcome import BandEdgeOutcome, EigenvalueDiagram, band_edge_outcome, eigenvalue_diagram
from hibana.defects.entries import VacancyEntry, vacancy_entries
from hibana.defects.formation import FormationEnergy, GapEdges, NoEnergy, formation_energy, gap_edges
from hibana.defects.gate import Refusal, refusals_of
from hibana.defects.host_energies import oxygen_energies
from hibana.defects.run import DefectRun, defect_run
from hibana.defects.structure_change import NotComparable, StructureChange, structure_change
from hibana.defects.supercell import HostSupercell, make_supercell
from hibana.documents.chemical_potentials import OxygenReferences
from hibana.documents.crystal import Crystal
from hibana.documents.properties import ElectronicDoc
from hibana.properties.electronic import build_electronic
from hibana.properties.tensors import conventional_frame

if TYPE_CHECKING:
    from hibana.properties.evidence import Evidence

Array = NDArray[np.float64]

SUPERCELL, VACANCY = "supercell", "vacancy"
"""Steps: the perfect supercell, and the vacancies, ``vacancy-Va_O1_0``."""

RELAXED_SYMPREC, RELAXED_ANGLE_TOLERANCE = 0.1, 5.0
"""Tolerances of the symmetry of a relaxed vacancy in Å and degrees, pydefect's: after displacements at random a relaxation to
VASP's usual forces leaves more than the noise of a crystal."""


@dataclass(frozen=True)
class NoHost:
    """Why there are no supercells: the rules that refuse the crystal, or a relaxation without answer."""

    refusals: tuple[Refusal, ...] = ()
    reason: str = ""

    @property
    def why(self) -> str:
        """In words, every rule named."""
        if not self.refusals:
            return self.reason
        return f"no host of vacancies: {'; '.join(f'{refusal.rule}: {refusal.what}' for refusal in self.refusals)}"


@dataclass(frozen=True)
class Host:
    """What all vacancies of a host are analysed with.

    Parameters
    ----------
    supercell
        The supercell as made.
    perfect
        Its run, or why there is none.
    epsilon
        (3, 3) static dielectric tensor in the axes of the supercell; None if it is not known.
    edges
        Band edges of the host; None if there are none.
    oxygen
        References of oxygen.
    """

    supercell: HostSupercell
    perfect: DefectRun | NoEnergy
    epsilon: Array | None
    edges: GapEdges | None
    oxygen: OxygenReferences


@dataclass(frozen=True)
class VacancyAnalysis:
    """A vacancy in one charge state, analysed; what could not be done is None or says why.

    Parameters
    ----------
    entry
        The vacancy as made.
    run
        Its run, or why there is none.
    correction, change, outcome
        Correction of the energy, change of the structure, and where its electrons are.
    energy, other
        Formation energy by the oxygen reference used, and by the other one.
    diagram
        Eigenvalues around the gap.
    """

    entry: VacancyEntry
    run: DefectRun | NoEnergy
    energy: FormationEnergy | NoEnergy
    other: FormationEnergy | NoEnergy
    correction: Correction | NoCorrection | None = None
    change: StructureChange | NotComparable | None = None
    outcome: BandEdgeOutcome | None = None
    diagram: EigenvalueDiagram | NoStates | None = None

    @property
    def state(self) -> ChargeState:
        """The charge state as it enters transition levels."""
        about = {"name": self.entry.full_name, "site": self.entry.site.name, "charge": self.entry.charge, "energy": self.energy}
        if self.outcome is None:
            return ChargeState(**about, edge_state="undetermined", edge_reason="its bands were not compared with the host's")
        return ChargeState(**about, edge_state=self.outcome.kind, edge_reason=self.outcome.reason)


def host_supercell(evidence: Evidence) -> HostSupercell | NoHost:
    """The supercell of a crystal that passes the gate; it depends on the relaxed crystal and the protocol alone.

    Parameters
    ----------
    evidence
        With the relaxation and the runs of the semilocal electronic structure.
    """
    relaxation = evidence.answer("structure_opt")
    if relaxation is None or "structure_opt" in evidence.reasons:
        return NoHost(reason=f"structure_opt: {evidence.why_not('structure_opt')}")
    protocol = evidence.protocol
    refusals = refusals_of(relaxation.final, electronic_of(evidence), protocol)
    if refusals:
        return NoHost(refusals)
    made = make_supercell(relaxation.final, protocol.defects, protocol.symmetry)
    return NoHost((made,)) if isinstance(made, Refusal) else made


def entries_of(supercell: HostSupercell, evidence: Evidence) -> tuple[VacancyEntry, ...]:
    """The vacancies of a host; with the same candidate and protocol they are the same, displacements included."""
    return vacancy_entries(supercell, evidence.protocol.defects, evidence.material.structure_key)


def electronic_of(evidence: Evidence) -> ElectronicDoc:
    """Gap and band edges of the host; what is made of arrays, and takes long, is not needed here."""
    bare = {step: run.model_copy(update={"arrays": {}}) for step, run in evidence.tasks.items()}
    document = build_electronic(replace(evidence, tasks=bare)).document
    if not isinstance(document, ElectronicDoc):
        raise TypeError(f"{type(document).__name__} is no document of gaps")
    return document


def host_of(evidence: Evidence, supercell: HostSupercell) -> Host:
    """What the vacancies of a host are analysed with."""
    return Host(
        supercell=supercell,
        perfect=_run(evidence, SUPERCELL),
        epsilon=static_tensor(evidence, supercell.host),
        edges=gap_edges(electronic_of(evidence), evidence.protocol.defects),
        oxygen=oxygen_energies(evidence),
    )


def static_tensor(evidence: Evidence, host: Crystal) -> Array | None:
    """Static dielectric tensor (3, 3), turned from the axes of its run to those of the host by way of the crystal's own axes."""
    run = evidence.answer("dielectric")
    if run is None or run.epsilon_electronic is None or run.epsilon_ionic is None:
        return None
    rule = evidence.protocol.symmetry
    tensor = np.array(run.epsilon_electronic) + np.array(run.epsilon_ionic)
    of_run, of_host = (conventional_frame(crystal, rule) for crystal in (_bare(run.final), _bare(host)))
    turn = of_host.rotation.T
    return np.asarray(turn @ of_run.turn(tensor) @ turn.T)


def analyses(evidence: Evidence, host: Host) -> Iterator[VacancyAnalysis]:
    """Every vacancy of a host, one after the other: cells of one host are large, so that they are not held together."""
    for entry in entries_of(host.supercell, evidence):
        yield analyse(evidence, host, entry)


def analyse(evidence: Evidence, host: Host, entry: VacancyEntry) -> VacancyAnalysis:
    """Analyse one vacancy in one charge state.

    Parameters
    ----------
    evidence
        With its run under ``vacancy-<full name>``, answered or not.
    host
        What it is analysed with.
    entry
        The vacancy as made.
    """
    run, perfect = _run(evidence, f"{VACANCY}-{entry.full_name}"), host.perfect
    if isinstance(run, NoEnergy):
        return VacancyAnalysis(entry, run, run, run)
    if isinstance(perfect, NoEnergy):
        return VacancyAnalysis(entry, run, perfect, perfect)
    rule = evidence.protocol.defects
    correction = extended_fnv(entry.charge, perfect, run, host.epsilon, rule)
    change = structure_change(
        perfect.crystal,
        entry.unperturbed,
        run.crystal,
        mapping_distance=rule.mapping_distance,
        neighbour_factor=rule.displacement_cutoff,
        symprec=RELAXED_SYMPREC,
        angle_tolerance=RELAXED_ANGLE_TOLERANCE,
    )
    used, other = (
        formation_energy(
            entry.charge,
            perfect,
            run,
            host.edges,
            {} if (oxygen := host.oxygen.of(convention)) is None else {"O": oxygen},
            correction,
            removed={element: -number for element, number in entry.n_removed.items()},
        )
        for convention in (host.oxygen.used, host.oxygen.other)
    )
    outcome = band_edge_outcome(perfect, run, rule)
    return VacancyAnalysis(entry, run, used, other, correction, change, outcome, eigenvalue_diagram(outcome, run))


def _run(evidence: Evidence, step: str) -> DefectRun | NoEnergy:
    """The run of a step, or why there is none."""
    task = evidence.answer(step)
    if task is not None:
        return defect_run(task, evidence.array)
    why = evidence.why_not(step)
    if not evidence.asked(step) and VACANCY in evidence.reasons:
        why = evidence.reasons[VACANCY]
    return NoEnergy("failed" if evidence.asked(step) else "not_calculated", f"{step}: {why}")


def _bare(crystal: Crystal) -> Crystal:
    """The crystal without moments: hosts are not magnetic, and what is left of moments is noise."""
    return crystal.model_copy(update={"magmoms": None})
