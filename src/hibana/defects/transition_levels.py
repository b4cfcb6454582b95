"""Charge states of a defect against the Fermi level: lines, their lower envelope, and where they cross.

A charge state q has the formation energy E + q E_F, E_F counted from the valence-band maximum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

from hibana.documents.vacancy import ChargeLine, StableRange, TransitionLevel

EDGE = 1e-9
"""Crossings nearer than this to another or to the end of the range, eV, are one."""


def lines_of(energies: Mapping[int, float] | Iterable[tuple[int, float]]) -> tuple[ChargeLine, ...]:
    """Lines of charge states, charges ascending; of several with one charge the lowest.

    Parameters
    ----------
    energies
        Charge and formation energy with the Fermi level at the valence-band maximum, eV.
    """
    lowest: dict[int, float] = {}
    for charge, energy in energies.items() if isinstance(energies, Mapping) else energies:
        lowest[charge] = min(energy, lowest.get(charge, energy))
    return tuple(ChargeLine(charge=charge, energy=lowest[charge]) for charge in sorted(lowest))


def energy_at(lines: Sequence[ChargeLine], fermi: float) -> tuple[int, float]:
    """The stable charge and its formation energy at a Fermi level; of equal ones the higher charge.

    Raises
    ------
    ValueError
        If there is no charge state.
    """
    best = min(lines, key=lambda line: (line.energy + line.charge * fermi, -line.charge))
    return best.charge, best.energy + best.charge * fermi


def crossing(first: ChargeLine, second: ChargeLine) -> TransitionLevel:
    """The Fermi level at which two charge states have one formation energy.

    Raises
    ------
    ValueError
        If they have one charge.
    """
    if first.charge == second.charge:
        raise ValueError(f"two states of charge {first.charge} do not cross")
    high, low = (first, second) if first.charge > second.charge else (second, first)
    level = (low.energy - high.energy) / (high.charge - low.charge)
    return TransitionLevel(charges=(high.charge, low.charge), level=level, energy=high.energy + high.charge * level)


def pair_levels(lines: Sequence[ChargeLine]) -> tuple[TransitionLevel, ...]:
    """Levels of all pairs of charges, wherever they are, by charges descending."""
    descending = sorted(lines, key=lambda line: -line.charge)
    return tuple(crossing(first, second) for first, second in combinations(descending, 2))


def stable_ranges(lines: Sequence[ChargeLine], low: float, high: float) -> tuple[StableRange, ...]:
    """The lower envelope of the lines between two Fermi levels.

    Parameters
    ----------
    lines
        Charge states, each charge once.
    low, high
        Ends of the range, eV.

    Returns
    -------
    tuple
        The charge states that are the lowest somewhere, the Fermi level ascending, so charges descending.

    Raises
    ------
    ValueError
        If the range is empty.
    """
    if not low < high:
        raise ValueError(f"no Fermi level is between {low} and {high}")
    ranges: list[StableRange] = []
    if not lines:
        return ()
    here = low
    current = next(line for line in lines if line.charge == energy_at(lines, low)[0])
    while True:
        lower = [line for line in lines if line.charge < current.charge]
        following = min(lower, key=lambda line, now=current: (crossing(now, line).level, line.charge), default=None)  # type: ignore[misc]
        level = high if following is None else crossing(current, following).level
        end = min(max(level, here), high)
        if end - here > EDGE:
            ranges.append(_range(current, here, end))
        if following is None or level >= high - EDGE:
            break
        here, current = end, following
    return tuple(ranges)


def transition_levels(lines: Sequence[ChargeLine], low: float, high: float) -> tuple[TransitionLevel, ...]:
    """Levels between two Fermi levels where the stable charge changes, ascending.

    Parameters
    ----------
    lines
        Charge states, each charge once.
    low, high
        Ends of the range, eV: 0 and the gap.
    """
    by_charge = {line.charge: line for line in lines}
    ranges = stable_ranges(lines, low, high)
    return tuple(crossing(by_charge[first.charge], by_charge[second.charge]) for first, second in pairwise(ranges))


def pinning_levels(lines: Sequence[ChargeLine], low: float, high: float) -> tuple[float | None, float | None]:
    """Fermi levels at which the formation energy of a charged state becomes negative.

    Parameters
    ----------
    lines
        Charge states under the chemical potentials in question.
    low, high
        Valence-band maximum and conduction-band minimum on the scale of the lines, 0 and the gap.

    Returns
    -------
    tuple
        Of positive states, below which they form by themselves, None if that is below `low`; of negative states, above which
        they do, None if that is above `high`.
    """
    lower = max((-line.energy / line.charge for line in lines if line.charge > 0), default=None)
    upper = min((-line.energy / line.charge for line in lines if line.charge < 0), default=None)
    return (
        None if lower is None or lower < low else lower,
        None if upper is None or upper > high else upper,
    )


def _range(line: ChargeLine, low: float, high: float) -> StableRange:
    return StableRange(
        charge=line.charge,
        low=low,
        high=high,
        energy_low=line.energy + line.charge * low,
        energy_high=line.energy + line.charge * high,
    )
