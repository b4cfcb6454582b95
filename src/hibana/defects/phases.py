"""Phases with energies, and the conditions the energies were calculated under."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from hibana.documents.chemical_potentials import EnergyKind
from hibana.documents.task import TaskDoc

CUTOFF_TOLERANCE = 0.01
"""Plane-wave cutoffs nearer than this, eV, are one."""


@dataclass(frozen=True)
class Conditions:
    """How an energy was calculated; what is None is not stated.

    Parameters
    ----------
    calculator
        ``vasp`` or ``gpaw-rehearsal``.
    protocol
        ``name@version``.
    cutoff
        Plane-wave cutoff, eV.
    """

    calculator: str | None = None
    protocol: str | None = None
    cutoff: float | None = None

    def differences(self, other: Conditions) -> tuple[str, ...]:
        """What both state, and differently, in words."""
        found = []
        for name in (item.name for item in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is None or theirs is None or mine == theirs:
                continue
            if name == "cutoff" and abs(mine - theirs) < CUTOFF_TOLERANCE:
                continue
            found.append(f"{name} {mine} and {theirs}")
        return tuple(found)

    @property
    def not_stated(self) -> tuple[str, ...]:
        """Names of what is not stated."""
        return tuple(item.name for item in fields(self) if getattr(self, item.name) is None)


@dataclass(frozen=True)
class PhaseEnergy:
    """The energy of a phase.

    Parameters
    ----------
    formula
        Any formula of it; kept reduced, of an element as its symbol.
    energy
        Total or formation energy, eV/atom.
    kind
        Which of the two.
    source
        Where it is from.
    conditions
        How it was calculated.
    """

    formula: str
    energy: float
    kind: EnergyKind = "total"
    source: str = ""
    conditions: Conditions = Conditions()

    def __post_init__(self) -> None:
        object.__setattr__(self, "formula", reduced_formula(amounts_of(self.formula)))


def amounts_of(formula: str) -> dict[str, float]:
    """Atoms of each element in a formula.

    Raises
    ------
    ValueError
        If it is no formula of chemical elements, or one with broken numbers of atoms.
    """
    from pymatgen.core import Composition
    from pymatgen.core.periodic_table import Element

    try:
        composition = Composition(formula, strict=True)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{formula!r} is no formula of chemical elements") from error
    amounts = {str(element): float(amount) for element, amount in composition.items() if amount > 0}
    if not amounts or not all(Element.is_valid_symbol(element) for element in amounts):
        raise ValueError(f"{formula!r} is no formula of chemical elements")
    if any(amount != round(amount) for amount in amounts.values()):
        raise ValueError(f"{formula!r} has broken numbers of atoms")
    return amounts


def reduced_formula(amounts: dict[str, float]) -> str:
    """Reduced formula of a composition; an element is its symbol, not a molecule."""
    from pymatgen.core import Composition

    return next(iter(amounts)) if len(amounts) == 1 else str(Composition(amounts).reduced_formula)


def conditions_of(task: TaskDoc) -> Conditions:
    """How a run was done."""
    return Conditions(task.calculator.name, f"{task.protocol}@{task.protocol_version}", task.inputs.encut)


def phase_of(task: TaskDoc) -> PhaseEnergy:
    """The phase a run is of, with its total energy.

    Raises
    ------
    ValueError
        If the run has no energy.
    """
    if task.energy_per_atom is None:
        raise ValueError(f"the run {task.address[:12]} of {task.formula} has no energy")
    amounts = {element: float(task.final.species.count(element)) for element in task.elements}
    return PhaseEnergy(reduced_formula(amounts), task.energy_per_atom, "total", task.address, conditions_of(task))


def disagreement(phases: Iterable[PhaseEnergy], host: Conditions = Conditions()) -> str | None:
    """Why energies cannot be used together: the first two that were not calculated alike, or not like the host; else None.

    Energies of two codes, protocols or cutoffs have no common zero, so that their differences mean nothing.

    Parameters
    ----------
    phases
        The phases.
    host
        How the host was calculated; what is not stated is not compared.
    """
    seen: list[PhaseEnergy] = []
    for phase in phases:
        if found := phase.conditions.differences(host):
            return f"{phase.formula} ({phase.source}) and the host differ: {', '.join(found)}"
        for other in seen:
            if phase.kind != other.kind:
                return f"{phase.formula} has a {phase.kind} and {other.formula} a {other.kind} energy"
            if found := phase.conditions.differences(other.conditions):
                return f"{phase.formula} ({phase.source}) and {other.formula} ({other.source}) differ: {', '.join(found)}"
        seen.append(phase)
    return None
