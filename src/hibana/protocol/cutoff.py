"""The plane-wave cutoff of a crystal, before its inputs are made."""

from __future__ import annotations

from collections.abc import Iterable

from hibana.protocol.potcar import potcars
from hibana.protocol.protocol import Protocol


def cutoff_of(elements: Iterable[str], protocol: Protocol, *, relaxes_lattice: bool) -> float:
    """Cutoff of runs on crystals of some elements, eV, as vise chooses it.

    Parameters
    ----------
    elements
        Chemical symbols.
    protocol
        Potentials and rule.
    relaxes_lattice
        Whether the lattice is relaxed, which takes a higher one.

    Raises
    ------
    HibanaError
        As :func:`hibana.protocol.potcar.potcars`.
    """
    rule = protocol.cutoff
    if rule.energy is not None:
        return rule.energy
    largest = max(float(potential.ENMAX) for potential in potcars(sorted(set(elements)), protocol))
    return round(largest * (rule.relaxation_factor if relaxes_lattice else 1.0), 3)
