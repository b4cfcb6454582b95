"""Chemical potentials for which a compound is stable.

With Δμ_i counted from the standard states of the elements, a compound of atomic fractions x_i and formation energy E per atom is
stable where Σ x_i Δμ_i = E while Σ x'_i Δμ_i ≤ E' for every other phase and Δμ_i ≤ 0 for every element. The corners of that
region are found by the intersection of half-spaces within the plane of the compound, so that its being bounded needs no
artificial limits. They are those of pydefect's ``ChemPotDiagMaker``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.defects.half_spaces import plane_vertices
from hibana.defects.phases import PhaseEnergy, amounts_of, reduced_formula
from hibana.documents.chemical_potentials import (
    ChemicalPotentials,
    CompetingPhase,
    Diagram,
    DiagramStatus,
    Limit,
    OxygenConvention,
    OxygenReferences,
    Region,
    Vertex,
)

Array = NDArray[np.float64]

ON_HULL = 1e-6
"""Energies nearer than this, eV/atom, are equal: a compound is on the hull, a phase in equilibrium."""

MAX_DRAWN = 3
"""Elements of a diagram that can be drawn."""

MARGIN = 1.1
"""Lower end of a figure, in units of the lowest Δμ of a corner."""


@dataclass(frozen=True)
class _System:
    """The phases of the elements of a target, with formation energies.

    Parameters
    ----------
    elements
        Alphabetically.
    formulas
        Each phase once, the lowest of its polymorphs, elements included.
    fractions
        (n, d) atomic fractions.
    energies
        (n,) formation energies, eV/atom.
    """

    elements: tuple[str, ...]
    formulas: tuple[str, ...]
    fractions: Array
    energies: Array

    def but(self, formula: str) -> tuple[tuple[str, ...], Array, Array]:
        """Everything but one phase."""
        kept = [number for number, name in enumerate(self.formulas) if name != formula]
        return tuple(self.formulas[number] for number in kept), self.fractions[kept], self.energies[kept]


def chemical_potentials(phases: Sequence[PhaseEnergy], target: str | PhaseEnergy, oxygen: OxygenReferences) -> ChemicalPotentials:
    """Diagrams of a target by both references of oxygen.

    Parameters
    ----------
    phases
        The phases, the target among them if it is given by its formula; energies of oxygen itself are those of `oxygen`.
    target
        The host: its formula, or the phase itself where it need not be the lowest polymorph.
    oxygen
        Energies of oxygen. With formation energies in `phases` they do not enter, and there is one diagram.

    Raises
    ------
    ValueError
        If the target is no formula, or phases have total and formation energies.
    """
    conventions: tuple[OxygenConvention, ...] = (oxygen.used, oxygen.other)
    if not all(phase.kind == "total" for phase in phases):
        return ChemicalPotentials(oxygen=oxygen, diagrams=(diagram(phases, target),))
    made = []
    for convention in conventions:
        energy = oxygen.of(convention)
        if energy is None:
            made.append(_nothing(target, convention, "missing_element", f"oxygen: {oxygen.reasons.get(convention, 'not known')}"))
            continue
        made.append(diagram(phases, target, standard={"O": energy}).model_copy(update={"oxygen_reference": convention}))
    return ChemicalPotentials(oxygen=oxygen, diagrams=tuple(made))


def diagram(
    phases: Sequence[PhaseEnergy], target: str | PhaseEnergy, *, standard: Mapping[str, float] | None = None, of: str = "O"
) -> Diagram:
    """Chemical potentials for which a compound is stable.

    A target that is not stable, is missing, or has an element without an energy is an answer, told by ``status``.

    Parameters
    ----------
    phases
        The phases, all with total or all with formation energies. Of one formula the lowest counts. Those with elements that
        the target has not are left out.
    target
        The compound: its formula, then the lowest of `phases`, or the phase itself.
    standard
        Energies of elements in their standard states, eV/atom, in place of those among `phases`.
    of
        Element whose rich and poor limits are named.

    Returns
    -------
    Diagram
        ``oxygen_reference`` is left empty.

    Raises
    ------
    ValueError
        If the target is no formula, or phases have total and formation energies.
    """
    given = (*phases, target) if isinstance(target, PhaseEnergy) else tuple(phases)
    if len({phase.kind for phase in given}) > 1:
        raise ValueError("phases with total and with formation energies in one diagram")
    formula = reduced_formula(amounts_of(target.formula if isinstance(target, PhaseEnergy) else target))
    elements = tuple(sorted(amounts_of(formula)))
    inside = [phase for phase in given if set(amounts_of(phase.formula)) <= set(elements)]
    head: dict[str, Any] = {"target": formula, "elements": elements, "energy_kind": given[0].kind if given else "total"}
    ignored = tuple(dict.fromkeys(phase.formula for phase in given if phase not in inside))
    own = target if isinstance(target, PhaseEnergy) else _lowest(inside, formula)
    if own is None:
        return Diagram(**head, status="missing_target", reason=f"no energy of {formula} is known", ignored=ignored)
    zeros = _standard_energies(inside, elements, standard or {})
    if missing := [element for element in elements if element not in zeros]:
        reason = f"no energy of {' and '.join(missing)} is known"
        return Diagram(**head, status="missing_element", reason=reason, ignored=ignored)
    table = _table(inside, elements, zeros)
    fractions = np.array(_fractions(formula, elements))
    energy = own.energy - float(fractions @ [zeros[element] for element in elements])
    head |= {
        "standard_energies": dict(zeros) if own.kind == "total" else {},
        "phases": table,
        "ignored": ignored,
        "formation_energy_per_atom": energy,
    }
    return _answer(_system(table, elements), formula, fractions, energy, head, of)


def _answer(system: _System, formula: str, fractions: Array, energy: float, head: dict[str, Any], of: str) -> Diagram:
    names, others, energies = system.but(formula)
    hull, decomposition = lowest_mixture(names, others, energies, fractions)
    below = system.energies[system.formulas.index(formula)]
    above = max(energy - hull, energy - below)
    head |= {"stability": energy - hull, "decomposition": decomposition}
    head |= {"energy_above_hull": above if above > ON_HULL else 0.0, "regions": _regions(system)}
    if energy - below > ON_HULL:
        reason = f"{energy - below:.4f} eV/atom above another phase of the same composition"
        return Diagram(**head, status="unstable", reason=reason)
    if above > ON_HULL:
        what = ", ".join(f"{share:.3f} {name}" for name, share in decomposition.items())
        return Diagram(**head, status="unstable", reason=f"{above:.4f} eV/atom above {what}")
    corners = plane_vertices(fractions, energy, others, energies)
    if corners is None:
        what = " and ".join(decomposition)
        return Diagram(**head, status="unstable", reason=f"as stable as {what}, so that no range of potentials is left to it")
    vertices = _vertices(system, formula, corners, of)
    return Diagram(**head, status="stable", vertices=vertices, limits=_limits(vertices, of))


def lowest_mixture(names: Sequence[str], fractions: Array, energies: Array, composition: Array) -> tuple[float, dict[str, float]]:
    """The mixture of phases of the lowest energy at a composition.

    Parameters
    ----------
    names
        The phases, those of the elements among them.
    fractions
        (n, d) atomic fractions.
    energies
        (n,) eV/atom.
    composition
        (d,) atomic fractions of the mixture.

    Returns
    -------
    tuple
        Energy of the mixture, eV/atom, and phase to its share of the atoms.
    """
    from scipy.optimize import linprog

    result = linprog(energies, A_eq=fractions.T, b_eq=composition, bounds=(0, None), method="highs")
    if not result.success:
        raise ValueError(f"no mixture of {', '.join(names)} has the composition: {result.message}")
    shares = {name: float(share) for name, share in zip(names, result.x, strict=True) if share > ON_HULL}
    return float(result.fun), dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _lowest(phases: Sequence[PhaseEnergy], formula: str) -> PhaseEnergy | None:
    return min((phase for phase in phases if phase.formula == formula), key=lambda phase: phase.energy, default=None)


def _standard_energies(
    phases: Sequence[PhaseEnergy], elements: tuple[str, ...], standard: Mapping[str, float]
) -> dict[str, float]:
    """Energy of each element in its standard state, without those that have none."""
    if any(phase.kind == "formation" for phase in phases):
        return dict.fromkeys(elements, 0.0)
    lowest = {element: phase.energy for element in elements if (phase := _lowest(phases, element))}
    return {**lowest, **{element: energy for element, energy in standard.items() if element in elements}}


def _table(phases: Sequence[PhaseEnergy], elements: tuple[str, ...], zeros: Mapping[str, float]) -> tuple[CompetingPhase, ...]:
    """Each phase once, by formula: the lowest of its polymorphs, of an element the standard state."""
    reference = np.array([zeros[element] for element in elements])
    found = []
    for formula in sorted({*elements, *(phase.formula for phase in phases)}):
        phase = _lowest(phases, formula)
        energy = zeros[formula] if formula in elements else phase.energy  # type: ignore[union-attr]
        relative = energy - float(np.array(_fractions(formula, elements)) @ reference)
        found.append(
            CompetingPhase(
                formula=formula,
                energy_per_atom=energy if phases[0].kind == "total" else None,
                formation_energy_per_atom=0.0 if formula in elements else relative,
                source=phase.source if phase is not None and phase.energy == energy else "standard state",
            )
        )
    return tuple(found)


def _system(table: Sequence[CompetingPhase], elements: tuple[str, ...]) -> _System:
    return _System(
        elements,
        tuple(item.formula for item in table),
        np.array([_fractions(item.formula, elements) for item in table]),
        np.array([item.formation_energy_per_atom for item in table]),
    )


def _fractions(formula: str, elements: tuple[str, ...]) -> list[float]:
    amounts = amounts_of(formula)
    return [amounts.get(element, 0.0) / sum(amounts.values()) for element in elements]


def _vertices(system: _System, formula: str, corners: Array, of: str) -> tuple[Vertex, ...]:
    """The corners, those with most of an element first."""
    names, fractions, energies = system.but(formula)
    first = system.elements.index(of) if of in system.elements else 0
    order = sorted(corners.tolist(), key=lambda row: (-round(row[first], 6), [-round(value, 6) for value in row]))
    found = []
    for number, row in enumerate(order):
        near = np.abs(fractions @ row - energies) < 10 * ON_HULL
        found.append(
            Vertex(
                label=_label(number),
                chemical_potentials=dict(zip(system.elements, (value + 0.0 for value in row), strict=True)),
                competing_phases=tuple(sorted(name for name, is_near in zip(names, near, strict=True) if is_near)),
            )
        )
    return tuple(found)


def _label(number: int) -> str:
    """A to Z, AA to AZ, BA, ..."""
    head, last = divmod(number, 26)
    return (_label(head - 1) if head else "") + chr(ord("A") + last)


def _limits(vertices: Sequence[Vertex], of: str) -> tuple[Limit, ...]:
    if of not in vertices[0].chemical_potentials:
        return ()
    lowest = min(vertex.chemical_potentials[of] for vertex in vertices)
    poor = next(vertex for vertex in vertices if vertex.chemical_potentials[of] < lowest + ON_HULL)
    ends = ((f"{of}-rich", vertices[0]), (f"{of}-poor", poor))
    return tuple(
        Limit(
            name=name,
            vertex=vertex.label,
            chemical_potentials=vertex.chemical_potentials,
            competing_phases=vertex.competing_phases,
        )
        for name, vertex in ends
    )


def _regions(system: _System) -> tuple[Region, ...]:
    """Regions of all stable phases, cut a little below their lowest corner.

    They are open towards low potentials of elements only, along the axes, so that a far corner can be moved along its axis.
    """
    if not 1 < len(system.elements) <= MAX_DRAWN:
        return ()
    smallest = np.where(system.fractions > 0, system.fractions, np.inf).min(axis=1)
    far = 10 * min(float((system.energies / smallest).min()), -1.0)
    found = {formula: _region(system, formula, far) for formula in system.formulas}
    corners = {formula: rows for formula, rows in found.items() if rows is not None}
    floor = MARGIN * min(value for rows in corners.values() for value in rows.ravel() if value > 0.9 * far)
    return tuple(
        Region(formula=formula, vertices=tuple(tuple(value + 0.0 for value in row) for row in cut.tolist()))
        for formula, rows in corners.items()
        for cut in (np.where(rows > 0.9 * far, rows, floor),)
    )


def _region(system: _System, formula: str, floor: float) -> Array | None:
    number = system.formulas.index(formula)
    _, fractions, energies = system.but(formula)
    size = len(system.elements)
    return plane_vertices(
        system.fractions[number],
        float(system.energies[number]),
        np.vstack([fractions, -np.eye(size)]),
        np.concatenate([energies, np.full(size, -floor)]),
    )


def _nothing(target: str | PhaseEnergy, convention: OxygenConvention, status: DiagramStatus, reason: str) -> Diagram:
    formula = target.formula if isinstance(target, PhaseEnergy) else target
    amounts = amounts_of(formula)
    return Diagram(
        oxygen_reference=convention,
        target=reduced_formula(amounts),
        elements=tuple(sorted(amounts)),
        energy_kind="total",
        status=status,
        reason=reason,
    )
