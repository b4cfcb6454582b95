"""Structures of formulas: the elements of a template replaced, its cell brought to the volume of the new ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

from pymatgen.core import Composition, Lattice, Structure

from hibana.core.errors import HibanaError
from hibana.documents.candidate import CandidateDoc
from hibana.learn.features.elements import property_of
from hibana.learn.generation.charges import electronegativity, neutral_charges
from hibana.learn.generation.compounds import whole_formula
from hibana.learn.generation.pairs import Ranker
from hibana.learn.generation.templates import Template
from hibana.learn.generation.volumes import Volumes
from hibana.structures.checking import checked
from hibana.structures.identity import make_candidate
from hibana.structures.reading import ReadStructure

UNKNOWN = 1.0
"""Difference of a property that is not known of one of two elements."""


@dataclass(frozen=True)
class Attempt:
    """A template tried for a formula.

    Parameters
    ----------
    formula
        Reduced formula that was wanted.
    rank
        1 for the best template.
    template
        Its name; empty where there is none for the formula.
    template_formula
        Its reduced formula.
    chance
        Chance of one prototype, by the classifier.
    distance
        Of the descriptors.
    replaced
        Which element took the place of which, as text.
    scale
        Volume of the new cell over that of the template.
    fate
        ``candidate``, ``duplicate`` (of one before), ``refused`` or ``no_template``.
    reason
        Why it is no candidate.
    candidate
        The structure, where it is one.
    """

    formula: str
    rank: int
    template: str = ""
    template_formula: str = ""
    chance: float = math.nan
    distance: float = math.nan
    replaced: str = ""
    scale: float = math.nan
    fate: str = "no_template"
    reason: str = ""
    candidate: CandidateDoc | None = None


def substitute(formulas: Sequence[str], ranker: Ranker, volumes: Volumes, each: int) -> list[Attempt]:
    """Try the best templates of each formula.

    Parameters
    ----------
    formulas
        Reduced formulas with whole numbers.
    ranker
        Ranks the templates.
    volumes
        Of the elements.
    each
        Candidates wanted of each formula; templates are tried in their order until there are as many.

    Returns
    -------
    list
        Every template tried, by formula and rank; of a formula without any, one that says so.
    """
    seen: set[str] = set()
    attempts = []
    for formula in formulas:
        found = 0
        ranked = ranker.rank(formula)
        if not ranked:
            attempts.append(Attempt(formula, 0, reason="no template has this anonymous formula"))
        for rank, (place, chance, distance) in enumerate(ranked, start=1):
            attempt = _attempt(formula, rank, ranker.templates[place], (chance, distance), volumes, seen)
            attempts.append(attempt)
            found += attempt.fate == "candidate"
            if found == each:
                break
    return attempts


def replacement(old: str, new: str) -> dict[str, str]:
    """Which element takes the place of which.

    Elements with equal amounts can be assigned in several ways; taken is the one whose elements differ least, by charge (where
    both formulas are neutral), electronegativity and the logarithm of the covalent radius.

    Parameters
    ----------
    old, new
        Reduced formulas with one anonymous formula.
    """
    before, after = _amounts(old), _amounts(new)
    charges = neutral_charges(before) or {}, neutral_charges(after) or {}
    ways = []
    for amount in sorted(set(before.values())):
        leaving = sorted(symbol for symbol, count in before.items() if count == amount)
        coming = sorted(symbol for symbol, count in after.items() if count == amount)
        ways.append([list(zip(leaving, order, strict=True)) for order in permutations(coming)])
    assigned = [dict(pair for part in way for pair in part) for way in product(*ways)]
    return min(assigned, key=lambda way: (round(_cost(way, before, charges), 9), sorted(way.items())))


def turned(old: str, new: str, elements: Mapping[str, str]) -> list[str]:
    """Replacements that put a cation in the place of an anion or the other way round; none where a formula is not neutral."""
    before, after = neutral_charges(_amounts(old)), neutral_charges(_amounts(new))
    if before is None or after is None:
        return []
    return [f"{leaving} > {coming}" for leaving, coming in sorted(elements.items()) if before[leaving] * after[coming] < 0]


def replaced(template: Structure, elements: Mapping[str, str], scale: float) -> Structure:
    """A structure with its elements replaced and its volume scaled, at equal shape and fractional coordinates."""
    lattice = Lattice(template.lattice.matrix * scale ** (1 / 3))
    return Structure(lattice, [elements[site.specie.symbol] for site in template], template.frac_coords)


def _attempt(
    formula: str, rank: int, template: Template, ranked: tuple[float, float], volumes: Volumes, seen: set[str]
) -> Attempt:
    elements = replacement(template.formula, formula)
    scale = volumes.of(_amounts(formula)) / volumes.of(_amounts(template.formula))
    words = ", ".join(f"{old} > {new}" for old, new in elements.items() if old != new)
    wrong = turned(template.formula, formula, elements)
    source = f"{formula} in {template.name} ({template.formula})"
    said = (formula, rank, template.name, template.formula, *ranked, words, scale)
    if wrong:
        return Attempt(*said, fate="refused", reason=f"charges change sign: {', '.join(wrong)}")
    try:
        candidate = make_candidate(ReadStructure(checked(replaced(template.structure, elements, scale), source), source))
    except HibanaError as error:
        return Attempt(*said, fate="refused", reason=f"{error.kind.code} {error.what}")
    if candidate.structure_key in seen:
        return Attempt(*said, fate="duplicate", reason=f"it is {candidate.material_id}, made before")
    seen.add(candidate.structure_key)
    return Attempt(*said, fate="candidate", candidate=candidate)


def _amounts(formula: str) -> dict[str, int]:
    amounts = whole_formula(formula)
    if amounts is None:
        raise ValueError(f"{formula!r} has no whole numbers")
    return {symbol: amounts[symbol] for symbol in sorted(amounts)}


def _cost(way: Mapping[str, str], amounts: Mapping[str, int], charges: tuple[Mapping[str, int], Mapping[str, int]]) -> float:
    """Differences of the elements of an assignment, weighted by the amounts."""
    return sum(amounts[old] * _difference(old, new, charges) for old, new in way.items())


def _difference(old: str, new: str, charges: tuple[Mapping[str, int], Mapping[str, int]]) -> float:
    charge = abs(charges[0][old] - charges[1][new]) if charges[0] and charges[1] else 0.0
    parts = (electronegativity(old) - electronegativity(new), math.log(_radius(old) / _radius(new)))
    return charge + sum(abs(part) if math.isfinite(part) else UNKNOWN for part in parts)


def _radius(symbol: str) -> float:
    """Covalent radius, pm."""
    import numpy as np

    return float(property_of("CovalentRadius", np.array([Composition(symbol).elements[0].Z]))[0])
