"""Competing phases of a host among hibana's own runs: which have an energy that goes with its own, and why others have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hibana.defects.chemical_potentials import chemical_potentials
from hibana.defects.oxygen import oxygen_references
from hibana.defects.phases import Conditions, PhaseEnergy, amounts_of, phase_of, reduced_formula
from hibana.documents.chemical_potentials import (
    COMPETING,
    COMPETING_OXYGEN,
    ChemicalPotentials,
    Diagram,
    LeftOutPhase,
    LeftOutPhaseKind,
    OxygenReferences,
)
from hibana.documents.task import TaskDoc, is_settled, not_settled, why_no_answer

if TYPE_CHECKING:
    from hibana.properties.evidence import Evidence

OXYGEN_NAMES = {"molecule": "O2", "atom": "O"}


@dataclass(frozen=True)
class OwnPhases:
    """The competing phases of a host that hibana has relaxed.

    Parameters
    ----------
    host
        The host, with the energy of its own relaxation.
    phases
        Those with an energy at the host's cutoff, oxygen aside.
    steps
        Steps of their runs and of those of oxygen that give an energy.
    oxygen
        References of oxygen at that cutoff.
    left_out
        Phases without such an energy.
    """

    host: PhaseEnergy
    phases: tuple[PhaseEnergy, ...]
    steps: tuple[str, ...]
    oxygen: OxygenReferences
    left_out: tuple[LeftOutPhase, ...]

    @property
    def lacking(self) -> tuple[str, ...]:
        """Elements of the host without an energy."""
        known = {phase.formula for phase in self.phases}
        if self.oxygen.molecule is not None or self.oxygen.atom is not None:
            known.add("O")
        return tuple(element for element in sorted(amounts_of(self.host.formula)) if element not in known)

    @property
    def is_asked(self) -> bool:
        """Whether there is to be a diagram: competing phases of the system were asked for, or are all there anyway."""
        return not self.lacking or any(phase.asked for phase in self.left_out)


def own_phases(evidence: Evidence) -> OwnPhases | None:
    """The competing phases of a host among the runs of its evidence; None where the host itself has no energy.

    Parameters
    ----------
    evidence
        With runs, answered or not, under steps that begin with :data:`~hibana.documents.chemical_potentials.COMPETING`, oxygen
        at the host's cutoff among them, and a reason under the step of every phase that was asked for and has no energy.
    """
    relaxation = evidence.answer("structure_opt")
    if relaxation is None or relaxation.energy_per_atom is None or relaxation.inputs.encut is None:
        return None
    host = phase_of(relaxation)
    steps = [step for step in {**evidence.tasks, **evidence.reasons} if step.startswith(f"{COMPETING}-")]
    phases, used, left_out = [], [], []
    for step in sorted(step for step in steps if step not in COMPETING_OXYGEN.values()):
        run = evidence.tasks.get(step)
        problem = _problem(run, host.conditions)
        if run is not None and problem is None:
            phases.append(phase_of(run))
            used.append(step)
            continue
        kind, reason = problem or ("not_calculated", evidence.reasons[step])
        formula = reduced_formula(amounts_of(step.split("-")[1] if run is None else run.formula))
        left_out.append(LeftOutPhase(formula=formula, kind=kind, reason=reason, asked=step in evidence.reasons))
    oxygen = _oxygen(evidence, host.conditions)
    for which, step in COMPETING_OXYGEN.items():
        if oxygen.of(which) is not None:
            used.append(step)
        elif step in evidence.reasons:
            left_out.append(
                LeftOutPhase(
                    formula=OXYGEN_NAMES[which],
                    kind=_oxygen_kind(evidence.tasks.get(step), host.conditions),
                    reason=oxygen.reasons[which],
                    asked=True,
                )
            )
    return OwnPhases(host, tuple(phases), tuple(used), oxygen, tuple(left_out))


def own_potentials(found: OwnPhases, oxygen: OxygenReferences) -> ChemicalPotentials:
    """Chemical potentials for which a host is stable, by the phases that hibana has relaxed.

    Parameters
    ----------
    found
        The phases.
    oxygen
        References of oxygen for the vacancies, which are at the cutoff of the supercells; recorded with the diagrams.

    Returns
    -------
    ChemicalPotentials
        A diagram by each reference of oxygen; none where no competing phase was asked for and not all elements are there.
    """
    if not found.is_asked:
        return ChemicalPotentials(oxygen=oxygen, left_out=found.left_out)
    made = chemical_potentials(found.phases, found.host, found.oxygen)
    diagrams = tuple(_told(item, found) for item in made.diagrams)
    return made.model_copy(update={"oxygen": oxygen, "diagrams": diagrams, "left_out": found.left_out})


def diagram_flags(potentials: ChemicalPotentials) -> tuple[str, ...]:
    """What is to be known of the diagram of a host by the reference used: that it has no limits, or lacks a phase asked for."""
    made = potentials.diagram(potentials.oxygen.used)
    if made is None:
        return ()
    flags = [] if made.status == "stable" else [f"chemical potentials: {in_words(made)}"]
    return (*flags, *(f"competing phase {item.formula}: {item.reason}" for item in potentials.left_out if item.asked))


def in_words(made: Diagram) -> str:
    """Status of a diagram that has no limits, with the reason."""
    return f"{made.status.replace('_', ' ')}: {made.reason}"


def _told(made: Diagram, found: OwnPhases) -> Diagram:
    """A diagram that lacks an element, with what the store has of the element."""
    if made.status != "missing_element" or made.reason is None:
        return made
    lacking = [item for item in found.left_out if item.formula in found.lacking]
    if not lacking:
        return made
    known_elsewhere = {item.formula for item in lacking if item.kind == "different_cutoffs"}
    status = "different_cutoffs" if set(found.lacking) <= known_elsewhere else made.status
    reason = "; ".join((made.reason, *(f"{item.formula}: {item.reason}" for item in lacking)))
    return made.model_copy(update={"status": status, "reason": reason})


def _problem(run: TaskDoc | None, host: Conditions) -> tuple[LeftOutPhaseKind, str] | None:
    """Why a run gives no energy that goes with the host's; None if it does, or there is no run."""
    if run is None:
        return None
    encut = run.inputs.encut
    if encut is None or Conditions(cutoff=encut).differences(Conditions(cutoff=host.cutoff)):
        at = "a cutoff that it does not tell" if encut is None else f"{encut:g} eV"
        return "different_cutoffs", f"relaxed at {at}, the host at {host.cutoff:g} eV"
    if run.status != "converged":
        return "failed", why_no_answer(run)
    if not is_settled(run):
        return "not_settled", not_settled(run)
    return ("failed", "the run gives no energy") if run.energy_per_atom is None else None


def _oxygen_kind(run: TaskDoc | None, host: Conditions) -> LeftOutPhaseKind:
    """Why a run of oxygen gives no reference; one that ended well but in no triplet has failed too."""
    if run is None:
        return "not_calculated"
    problem = _problem(run, host)
    return "different_cutoffs" if problem is not None and problem[0] == "different_cutoffs" else "failed"


def _oxygen(evidence: Evidence, host: Conditions) -> OxygenReferences:
    molecule, atom = (evidence.tasks.get(COMPETING_OXYGEN[which]) for which in ("molecule", "atom"))
    why = dict.fromkeys(COMPETING_OXYGEN, f"not calculated at {host.cutoff:g} eV")
    return oxygen_references(molecule, atom, evidence.protocol.defects.oxygen_reference, host=host, reasons=why)
