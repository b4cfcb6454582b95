"""Classes of materials for overviews: by anions, from the composition alone.

An overview needs a name for every composition at once, so no oxidation states are guessed: an element that may be cation or
anion beside oxygen (S in sulfates and oxysulfides) counts as an anion where there is little oxygen for each of its atoms.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

OTHER = "other"

FAMILIES: dict[str, tuple[str, ...]] = {
    "halide": ("F", "Cl", "Br", "I"),
    "nitride": ("N",),
    "chalcogenide": ("S", "Se", "Te"),
    "pnictide": ("P", "As", "Sb"),
    "carbide": ("C",),
    "boride": ("B",),
    "hydride": ("H",),
    "silicide": ("Si", "Ge"),
}
"""Families of anions beside oxygen, the one that takes electrons first named first."""

BESIDE_OXYGEN = {"halide": "oxyhalide", "nitride": "oxynitride", "chalcogenide": "oxychalcogenide", "pnictide": "oxypnictide"}
"""Families that make a mixed-anion oxide of an oxide."""

OXOANION = {"nitride": 2.5, "chalcogenide": 2.5, "pnictide": 2.5, "halide": 3.5}
"""Oxygen atoms for each atom of a family from which on it is taken for the centre of an oxoanion (sulfate, phosphate), and the
material for an oxide; never for fluorine."""

_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)|\(|\)(\d*\.?\d*)")


@cache
def class_of(formula: str) -> str:
    """Class of a material.

    Parameters
    ----------
    formula
        A chemical formula, for instance ``Ca(OH)2``.

    Returns
    -------
    str
        ``oxide``, ``hydroxide``, ``oxyhalide``, ``nitride``, ``chalcogenide``, ``mixed anion``, ``element``, ``metallic`` (no
        element that makes anions), ..., or ``other`` for what is no formula.
    """
    amounts = composition(formula)
    if not amounts:
        return OTHER
    if len(amounts) == 1:
        return "element"
    found = [name for name, elements in FAMILIES.items() if any(element in amounts for element in elements)]
    if "O" not in amounts:
        if not found:
            return "metallic"
        strong = [name for name in found if name in BESIDE_OXYGEN]
        return "mixed anion" if len(strong) > 1 else found[0]
    mixed = [BESIDE_OXYGEN[name] for name in found if name in BESIDE_OXYGEN and _is_anion(name, amounts)]
    if mixed:
        return mixed[0] if len(mixed) == 1 else "mixed anion"
    return "hydroxide" if "H" in amounts else "oxide"


def composition(formula: str) -> dict[str, float]:
    """Atoms of each element in a formula; empty for what is no formula."""
    stack: list[Counter[str]] = [Counter()]
    end = 0
    for match in _TOKEN.finditer(formula):
        if match.start() != end:
            return {}
        end = match.end()
        if match[1]:
            stack[-1][match[1]] += float(match[2] or 1)  # type: ignore[assignment]
        elif match[0] == "(":
            stack.append(Counter())
        elif len(stack) == 1:
            return {}
        else:
            inner = stack.pop()
            for element, amount in inner.items():
                stack[-1][element] += amount * float(match[3] or 1)  # type: ignore[assignment]
    return dict(stack[0]) if formula and end == len(formula) and len(stack) == 1 else {}


def _is_anion(family: str, amounts: dict[str, float]) -> bool:
    if family == "halide" and "F" in amounts:
        return True
    atoms = sum(amounts.get(element, 0.0) for element in FAMILIES[family])
    return amounts["O"] / atoms < OXOANION[family]
