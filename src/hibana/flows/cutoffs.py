"""Runs at another plane-wave cutoff than their own: energies are compared at one cutoff only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hibana.protocol.cutoff import cutoff_of
from hibana.protocol.protocol import Protocol


def cutoff_variant(cutoff: float) -> str:
    """What tells runs at a cutoff from the same ones at another, for instance ``encut520``."""
    return f"encut{cutoff:g}"


def common_cutoff(system: Iterable[str], elements: Iterable[str], protocol: Protocol) -> tuple[str, dict[str, Any]]:
    """Variant and input options of a relaxation at the cutoff of a chemical system.

    Parameters
    ----------
    system
        Elements whose largest ENMAX counts.
    elements
        Elements of the crystal. Where its own cutoff is the common one, it is the ordinary relaxation.
    protocol
        Potentials and rule.

    Raises
    ------
    HibanaError
        As :func:`hibana.protocol.potcar.potcars`.
    """
    own = cutoff_of(elements, protocol, relaxes_lattice=True)
    common = cutoff_of({*system, *elements}, protocol, relaxes_lattice=True)
    return ("", {}) if common == own else (cutoff_variant(common), {"cutoff_energy": common})
