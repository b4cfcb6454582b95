"""What the model assumes of a material, from its formula alone: numbers made up by a hash, the same for ever."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass

from hibana.rehearsal.replay.question import Question

MODEL = 1
"""Version of the model; raised when its numbers change."""

ANIONS = ("F", "O", "Cl", "N", "Br", "I", "S", "Se", "Te", "P", "As", "H")
"""Elements taken for anions, the most electronegative first."""

CHARGES = {"F": -1, "O": -2, "Cl": -1, "N": -3, "Br": -1, "I": -1, "S": -2, "Se": -2, "Te": -2, "P": -3, "As": -3, "H": -1}
"""Charge of each anion, e."""

METALLIC = 0.1
"""Share of the compounds with an anion that are metals."""


@dataclass(frozen=True)
class Traits:
    """The model's parameters of one material.

    Parameters
    ----------
    gap
        PBEsol gap, eV; negative for a metal.
    epsilon
        Electronic dielectric constant, mean over directions.
    width
        Width of the bands, eV.
    energy
        Energy per atom at equilibrium, eV.
    bulk
        Bulk modulus, eV/Å^3.
    phase
        Where the equilibrium volumes lie, as a share of their distance.
    spring
        Spring constant of a bond of 2 Å, eV/Å^2.
    """

    gap: float
    epsilon: float
    width: float
    energy: float
    bulk: float
    phase: float
    spring: float


def traits_of(question: Question) -> Traits:
    """The traits of the question's material; they do not depend on cell, k points or INCAR."""
    formula, symbols = reduced_formula(question.symbols), set(question.symbols)
    metal = not symbols & set(ANIONS) or number("conductor", formula) < METALLIC
    gap = -1.0 - number("overlap", formula) if metal else 0.8 + 5.2 * number("gap", formula)
    return Traits(
        gap=gap,
        epsilon=1 + 13 / (max(gap, 0.0) + 1.2),
        width=0.8 + 0.8 * number("width", formula),
        energy=-3.0 - 5.0 * number("energy", formula),
        bulk=0.5 + number("bulk", formula),
        phase=number("volume", formula),
        spring=6.0 + 8.0 * number("spring", formula),
    )


def gap_of(traits: Traits, question: Question) -> float:
    """The gap under the question's functional, eV: exact exchange opens it, more without screening."""
    if traits.gap < 0 or not question.flag("LHFCALC"):
        return traits.gap
    share = question.number("AEXX", 0.25)
    unscreened = 0.7 if question.number("HFSCREEN", 0.0) == 0 else 0.0
    return traits.gap * (1 + 1.2 * share) + share * (2.0 + 4 * unscreened)


def charges_of(symbols: list[str]) -> list[float]:
    """A charge for every atom, neutral in all: anions have theirs, the others share what is left; 0 where one kind is missing."""
    anions = [symbol for symbol in ANIONS if symbol in symbols]
    if not anions or set(symbols) <= set(anions):
        return [0.0] * len(symbols)
    given = sum(CHARGES[symbol] for symbol in symbols if symbol in anions)
    others = sum(symbol not in anions for symbol in symbols)
    return [float(CHARGES[symbol]) if symbol in anions else -given / others for symbol in symbols]


def reduced_formula(symbols: list[str]) -> str:
    """Elements in alphabetical order with their numbers divided by the common factor."""
    counts = Counter(symbols)
    common = math.gcd(*counts.values())
    return "".join(f"{symbol}{count // common}" for symbol, count in sorted(counts.items()))


def number(*words: str) -> float:
    """A number in [0, 1) from words."""
    digest = hashlib.sha256("|".join((str(MODEL), *words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
