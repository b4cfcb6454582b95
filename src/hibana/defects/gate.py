"""The host gate: which crystals vacancies are calculated in, and by which rule the others are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hibana.documents.crystal import Crystal
from hibana.properties.sites import orbits_of

if TYPE_CHECKING:
    from hibana.documents.properties import ElectronicDoc
    from hibana.protocol.protocol import HostRule, PriorRule, Protocol


@dataclass(frozen=True)
class Refusal:
    """Why a crystal is no host: the rule, by its name in the protocol, and what of the crystal is against it."""

    rule: str
    what: str


def host_refusals(
    crystal: Crystal,
    rule: HostRule,
    *,
    space_group: int,
    n_anion_sites: int,
    band_gap: float | None,
    magnetization: float | None,
    max_magnetization: float,
) -> tuple[Refusal, ...]:
    """Every rule that a crystal is refused by, in the order of the rules; none for a host.

    Parameters
    ----------
    crystal
        Primitive cell.
    rule
        The rules.
    space_group
        Number of the space group.
    n_anion_sites
        Inequivalent sites of anions.
    band_gap
        Semilocal gap, eV; 0 for a metal, None where it is not known.
    magnetization
        Total moment of the cell, μB, None where it is not known.
    max_magnetization
        Moment above which a crystal is magnetic, μB.

    Notes
    -----
    What is not known is refused. An anion that the rule does not name is met in two ways: as an element that is more
    electronegative than those it names, and as an excluded element.
    """
    found = (
        _anions(crystal, rule),
        _excluded_elements(crystal, rule),
        _excluded_space_groups(space_group, rule),
        _at_most("max_atoms", len(crystal.species), rule.max_atoms, "atoms in the primitive cell"),
        _at_most("max_anion_sites", n_anion_sites, rule.max_anion_sites, "inequivalent sites of anions"),
        _gap(band_gap, rule),
        _moment(crystal, magnetization, max_magnetization),
    )
    return tuple(refusal for refusal in found if refusal is not None)


def refusals_of(crystal: Crystal, electronic: ElectronicDoc | None, protocol: Protocol) -> tuple[Refusal, ...]:
    """What the protocol has against a crystal as a host, its symmetry and electronic structure taken from what there is.

    Parameters
    ----------
    crystal
        Relaxed primitive cell.
    electronic
        Its band gap and moment; None where there is no such document.
    protocol
        With the rules of hosts, symmetry and moments.

    Raises
    ------
    HibanaError
        HIB-017 where spglib finds no symmetry.
    """
    rule = protocol.defects.host
    symmetry = protocol.symmetry
    found = orbits_of(crystal, symprec=symmetry.symprec, angle_tolerance=symmetry.angle_tolerance)
    return host_refusals(
        crystal,
        rule,
        space_group=found.space_group_number,
        n_anion_sites=sum(orbit.element in rule.anions for orbit in found.orbits),
        band_gap=None if electronic is None else electronic.band_gap_pbesol,
        magnetization=None if electronic is None else moment_of(crystal, electronic.magnetization, protocol.prior),
        max_magnetization=protocol.prior.magnetization_criterion,
    )


def moment_of(crystal: Crystal, calculated: float | None, prior: PriorRule) -> float | None:
    """Total moment of the cell, μB; None where it is not known.

    A run that is not spin-polarised gives none. It is 0 where the protocol has no element of the crystal start spin-polarised.
    """
    if calculated is not None:
        return calculated
    return None if set(crystal.species) & set(prior.spin_polarised_elements) else 0.0


def _anions(crystal: Crystal, rule: HostRule) -> Refusal | None:
    from pymatgen.core import Element

    elements = sorted(set(crystal.species))
    anions = [symbol for symbol in elements if symbol in rule.anions]
    if not anions:
        return Refusal("anions", f"no {' or '.join(rule.anions)} among its elements {', '.join(elements)}")
    weakest = min(Element(symbol).X for symbol in anions)
    others = [symbol for symbol in elements if symbol not in rule.anions and weakest < Element(symbol).X]
    if others:
        return Refusal("anions", f"{', '.join(others)} more electronegative than {', '.join(anions)}")
    return None


def _excluded_elements(crystal: Crystal, rule: HostRule) -> Refusal | None:
    found = sorted(set(crystal.species) & set(rule.excluded_elements))
    return Refusal("excluded_elements", f"has {', '.join(found)}") if found else None


def _excluded_space_groups(space_group: int, rule: HostRule) -> Refusal | None:
    return Refusal("excluded_space_groups", f"space group {space_group}") if space_group in rule.excluded_space_groups else None


def _at_most(name: str, value: int, limit: int, what: str) -> Refusal | None:
    return Refusal(name, f"{value} {what}, at most {limit}") if value > limit else None


def _gap(band_gap: float | None, rule: HostRule) -> Refusal | None:
    if band_gap is None:
        return Refusal("min_gap", "the gap is unknown")
    if band_gap < rule.min_gap:
        return Refusal("min_gap", f"gap of {band_gap:.6g} eV, at least {rule.min_gap:g} eV")
    return None


def _moment(crystal: Crystal, magnetization: float | None, limit: float) -> Refusal | None:
    ordered = max(map(abs, crystal.magmoms or (0.0,)))
    if ordered > limit:
        return Refusal("magnetization", f"ordered moments of up to {ordered:.6g} μB, at most {limit:g} μB")
    if magnetization is None:
        return Refusal("magnetization", "the moment is unknown")
    if abs(magnetization) > limit:
        return Refusal("magnetization", f"moment of {abs(magnetization):.6g} μB, at most {limit:g} μB")
    return None
