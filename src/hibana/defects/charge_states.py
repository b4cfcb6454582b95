"""The charge states of a vacancy: which are used, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hibana.defects.formation import FormationEnergy, NoEnergy
from hibana.defects.transition_levels import lines_of, pair_levels, pinning_levels, stable_ranges, transition_levels
from hibana.documents.chemical_potentials import ChemicalPotentials, OxygenConvention
from hibana.documents.vacancy import ChargeLine, EdgeState, LeftOutState, SiteEnergies, SiteLevels

PERTURBED: frozenset[EdgeState] = frozenset({"shallow_hole", "shallow_electron", "perturbed_host"})
"""States with carriers in the bands of the host: their energies are not those of a vacancy's own state."""


@dataclass(frozen=True)
class ChargeState:
    """One vacancy in one charge state, with or without a formation energy.

    Parameters
    ----------
    name
        Full name, ``Va_O1_2``.
    site
        ``O1``.
    charge
        Charge, e.
    energy
        Formation energy, or why there is none.
    edge_state
        Where its electrons are.
    edge_reason
        Why that is not determined.
    """

    name: str
    site: str
    charge: int
    energy: FormationEnergy | NoEnergy
    edge_state: EdgeState = "localised"
    edge_reason: str | None = None

    def left_out(self, *, perturbed: bool = False, undetermined: bool = False) -> LeftOutState | None:
        """Why it is not used for transition levels, None if it is.

        Parameters
        ----------
        perturbed
            Use also states with carriers in the bands of the host.
        undetermined
            Use also states of which that is not known.
        """
        about = {"name": self.name, "charge": self.charge}
        if isinstance(self.energy, NoEnergy):
            return LeftOutState(**about, kind=self.energy.kind, reason=self.energy.reason)
        if self.edge_state in PERTURBED and not perturbed:
            reason = f"perturbed host state: {self.edge_state.replace('_', ' ')}"
            return LeftOutState(**about, kind="perturbed_host", reason=reason)
        if self.edge_state == "undetermined" and not undetermined:
            reason = self.edge_reason or "the band edges of the host were not found in its cell"
            return LeftOutState(**about, kind="undetermined", reason=reason)
        return None


def site_levels(
    site: str, states: Iterable[ChargeState], gap: float | None, *, perturbed: bool = False, undetermined: bool = False
) -> SiteLevels:
    """Lines and transition levels of the charge states of one site, elements in their standard states.

    Parameters
    ----------
    site
        ``O1``.
    states
        Charge states of all sites.
    gap
        Band gap, eV; without one there are no levels.
    perturbed, undetermined
        Use also perturbed host states, and states of which that is not known.
    """
    own = sorted((state for state in states if state.site == site), key=lambda state: state.charge)
    left_out = {state.name: state.left_out(perturbed=perturbed, undetermined=undetermined) for state in own}
    used = [state for state in own if left_out[state.name] is None]
    lines = lines_of((state.charge, state.energy.at()) for state in used if isinstance(state.energy, FormationEnergy))
    found = SiteLevels(
        site=site,
        lines=lines,
        left_out=tuple(item for item in left_out.values() if item is not None),
        pair_levels=pair_levels(lines),
    )
    if gap is None or gap <= 0:
        return found
    within = {"levels": transition_levels(lines, 0.0, gap), "stable": stable_ranges(lines, 0.0, gap)}
    return found.model_copy(update=within)


def site_energies(
    levels: SiteLevels, potentials: ChemicalPotentials, gap: float | None, *, removed: int = 1
) -> tuple[SiteEnergies, ...]:
    """Formation energies of one site at standard states and at both limits, by both references of oxygen.

    Parameters
    ----------
    levels
        Of the site; its lines are by the reference used.
    potentials
        References of oxygen and diagrams. The limits of an unstable target are left out.
    gap
        Band gap, eV, for the pinning levels; None leaves them out.
    removed
        Oxygen atoms that are missing.
    """
    found = []
    base = potentials.oxygen.value
    conventions: tuple[OxygenConvention, ...] = (potentials.oxygen.used, potentials.oxygen.other)
    for convention in conventions:
        energy = potentials.oxygen.of(convention)
        if energy is None or base is None:
            continue
        diagram = potentials.diagram(convention)
        limits = {"standard": 0.0} | {item.name: item.chemical_potentials["O"] for item in (diagram.limits if diagram else ())}
        for name, potential in limits.items():
            lines = _shifted(levels.lines, removed * (energy - base + potential))
            low, high = (None, None) if gap is None else pinning_levels(lines, 0.0, gap)
            found.append(
                SiteEnergies(
                    site=levels.site,
                    oxygen_reference=convention,
                    limit=name,
                    chemical_potential=potential,
                    lines=lines,
                    pinning_low=low,
                    pinning_high=high,
                )
            )
    return tuple(found)


def _shifted(lines: Sequence[ChargeLine], energy: float) -> tuple[ChargeLine, ...]:
    return tuple(line.model_copy(update={"energy": line.energy + energy}) for line in lines)
