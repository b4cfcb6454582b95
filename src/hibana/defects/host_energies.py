"""Energies that formation energies of a host's vacancies are counted from: oxygen, and the phases of a user's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hibana.defects.chemical_potentials import chemical_potentials
from hibana.defects.competing import own_phases, own_potentials
from hibana.defects.energy_table import read_energy_table
from hibana.defects.oxygen import oxygen_references, references_of
from hibana.defects.phases import Conditions, PhaseEnergy, amounts_of, conditions_of, phase_of, reduced_formula
from hibana.documents.chemical_potentials import (
    OXYGEN_STEPS,
    ChemicalPotentials,
    EnergyTable,
    GivenEnergy,
    OxygenReferences,
)

if TYPE_CHECKING:
    from hibana.properties.evidence import Evidence


def given_energies(path: Path, calculator: str, protocol: str) -> EnergyTable:
    """A user's table of energies as plain data, which flows and documents carry.

    Parameters
    ----------
    path
        CSV or JSON file.
    calculator, protocol
        How the hosts are calculated, the protocol as ``name@version``: total energies by another code or protocol are refused.

    Raises
    ------
    HibanaError
        HIB-230 to HIB-232, as :func:`hibana.defects.energy_table.read_energy_table`.
    """
    phases = read_energy_table(path, Conditions(calculator, protocol))
    return EnergyTable(
        source=path.name,
        phases=tuple(
            GivenEnergy(
                formula=phase.formula,
                energy=phase.energy,
                kind=phase.kind,
                source=phase.source,
                calculator=phase.conditions.calculator,
                protocol=phase.conditions.protocol,
                cutoff=phase.conditions.cutoff,
            )
            for phase in phases
        ),
    )


def phases_of(table: EnergyTable | None) -> tuple[PhaseEnergy, ...]:
    """The phases of a table; none without one."""
    return tuple(
        PhaseEnergy(item.formula, item.energy, item.kind, item.source, Conditions(item.calculator, item.protocol, item.cutoff))
        for item in (() if table is None else table.phases)
    )


def host_conditions(evidence: Evidence) -> Conditions:
    """How the supercells of a host were calculated; the cutoff is not stated where none has an answer."""
    for step in ("supercell", *(name for name in evidence.tasks if name.startswith("vacancy-"))):
        run = evidence.answer(step)
        if run is not None:
            return conditions_of(run)
    run = next(iter(evidence.tasks.values()))
    return Conditions(run.calculator.name, f"{run.protocol}@{run.protocol_version}")


def oxygen_energies(evidence: Evidence) -> OxygenReferences:
    """Energies of oxygen for a host: those of hibana's own runs, of the molecule else that of the user's table.

    The table's energy counts where the table does not say that it was calculated otherwise than the supercells.
    """
    host, used = host_conditions(evidence), evidence.protocol.defects.oxygen_reference
    missing = {which: evidence.why_not(step) for which, step in OXYGEN_STEPS.items() if step not in evidence.tasks}
    molecule, atom = (evidence.tasks.get(OXYGEN_STEPS[which]) for which in ("molecule", "atom"))
    own = oxygen_references(molecule, atom, used, host=host, reasons=missing)
    given = _total_oxygen(phases_of(evidence.energies))
    if own.molecule is not None or given is None:
        return own
    reasons = dict(own.reasons)
    if found := given.conditions.differences(host):
        reasons["molecule"] = f"{given.source}: calculated otherwise than the host: {', '.join(found)}"
        return own.model_copy(update={"reasons": reasons})
    reasons.pop("molecule", None)
    return references_of(given.energy, own.atom_energy, used, reasons=reasons)


def host_potentials(evidence: Evidence, oxygen: OxygenReferences) -> ChemicalPotentials:
    """Chemical potentials for which a host is stable, by the user's table, without one by the phases that hibana has relaxed.

    Among total energies that of oxygen is the table's own, if it has one, so that all are of one cutoff. The host's energy is
    the table's, or that of the relaxation where the table does not say that it was calculated otherwise.
    """
    phases = phases_of(evidence.energies)
    if not phases:
        own = own_phases(evidence)
        return ChemicalPotentials(oxygen=oxygen) if own is None else own_potentials(own, oxygen)
    target: str | PhaseEnergy = reduced_formula(amounts_of(evidence.material.formula))
    if phases[0].kind == "formation":
        return chemical_potentials(phases, target, oxygen)
    relaxation = evidence.answer("structure_opt")
    if all(phase.formula != target for phase in phases) and relaxation is not None and relaxation.energy_per_atom is not None:
        own = phase_of(relaxation)
        target = target if _differ(phases, own.conditions) else own
    made = chemical_potentials(phases, target, _oxygen_of_table(phases, oxygen, host_conditions(evidence)))
    return made.model_copy(update={"oxygen": oxygen})


def _oxygen_of_table(phases: tuple[PhaseEnergy, ...], oxygen: OxygenReferences, host: Conditions) -> OxygenReferences:
    """References that go with the other total energies of a table."""
    given = _total_oxygen(phases)
    differ = _differ(phases, host)
    molecule = given.energy if given is not None else (None if differ else oxygen.molecule)
    why = "calculated otherwise than the table's energies" if differ else oxygen.reasons.get("atom", "not known")
    atom = None if differ else oxygen.atom
    reasons = {} if atom is not None else {"atom": why}
    reasons |= {} if molecule is not None else {"molecule": "the table has no energy of it"}
    return oxygen.model_copy(update={"molecule": molecule, "atom": atom, "reasons": reasons})


def _differ(phases: tuple[PhaseEnergy, ...], conditions: Conditions) -> bool:
    return any(phase.conditions.differences(conditions) for phase in phases)


def _total_oxygen(phases: tuple[PhaseEnergy, ...]) -> PhaseEnergy | None:
    """The lowest total energy of oxygen in a table."""
    found = (phase for phase in phases if phase.formula == "O" and phase.kind == "total")
    return min(found, key=lambda phase: phase.energy, default=None)
