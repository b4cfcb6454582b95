"""Duplicate families of the structures of a table: crystals that are one crystal within the tolerances of screening."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hibana.core.errors import HibanaError
from hibana.documents.candidate import latest_families

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from hibana.store.store import Store

Packed = tuple[str, bytes]
"""Key and packed standard primitive cell of a crystal."""


def duplicate_families(formulas: Mapping[str, str], structures: Iterable[tuple[str, Structure]]) -> dict[str, str]:
    """Family of each structure.

    A structure whose formula no other has is a family of its own, so only the others are compared. Where a crystal of a
    formula cannot be compared, or is not there, all of that formula are one family: what may belong together is kept together.

    Parameters
    ----------
    formulas
        Reduced formula of each structure, by its name.
    structures
        Name and structure of each; read one by one, and only what is compared is kept, packed.

    Returns
    -------
    dict
        Label by name: the formula, followed by the first digits of the family's key where several structures have the formula.
    """
    several = {formula for formula, count in Counter(formulas.values()).items() if count > 1}
    labels = dict(formulas)
    found: dict[str, dict[str, Packed | None]] = defaultdict(dict)
    for name, formula in formulas.items():
        if formula in several:
            found[formula][name] = None
    for name, structure in structures:
        if formulas.get(name) in several:
            found[formulas[name]][name] = _packed(structure)
    for formula, members in found.items():
        labels |= _families_of(formula, members)
    return labels


def with_families(store: Store, candidates: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Candidates, each with its ``family``: one label for all that share one.

    Screenings of different crystals may name a family differently, by the smallest key that each has seen. A crystal that was in
    several has all their labels and makes one family of them. Of labels by several versions of the rule the latest count; what
    two versions call by one name are two families, of which that of another version than this hibana's is told by ``@`` and it.

    Parameters
    ----------
    store
        Where the candidates are.
    candidates
        Their stored documents, with ``families``.
    """
    links = Links()
    for found in store.query("candidates", {"families.1": {"$exists": True}}, ("families",)):
        links.join(_names(found))
    for candidate in candidates:
        names = _names(candidate)
        yield {**candidate, "family": links.first(names[0]) if names else None}


class Links:
    """Names that belong together; each group goes under the first of its names."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def first(self, name: str) -> str:
        """The first name of the group that a name is in."""
        while (above := self._above.get(name, name)) != name:
            name = above
        return name

    def join(self, names: Iterable[str]) -> None:
        """Put all groups that names are in together."""
        tops = sorted({self.first(name) for name in names})
        self._above |= dict.fromkeys(tops[1:], tops[0]) if tops else {}


def _names(candidate: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the families of a candidate by the latest version of the rule."""
    from hibana.structures.matching import FAMILY_RULE

    latest = latest_families((family["label"], family["rule"]) for family in candidate.get("families", ()))
    return tuple(label if rule == FAMILY_RULE else f"{label}@{rule}" for label, rule in latest)


def _packed(structure: Structure) -> Packed | None:
    """The crystal as it is compared; None where it has no standard form."""
    from hibana.structures.identity import make_candidate
    from hibana.structures.intake import packed
    from hibana.structures.reading import ReadStructure

    try:
        candidate = make_candidate(ReadStructure(structure, ""))
    except (HibanaError, ValueError):
        return None
    return candidate.structure_key, packed(candidate.crystal)


def _families_of(formula: str, members: Mapping[str, Packed | None]) -> dict[str, str]:
    """Labels of the structures of one formula."""
    from hibana.structures.matching import Bucket, find_families

    known = [crystal for crystal in members.values() if crystal is not None]
    if len(known) < len(members):
        return dict.fromkeys(members, formula)
    family = find_families(Bucket(members=tuple(sorted(dict(known).items())), wanted=())).family
    return {name: f"{formula}#{family[crystal[0]][:12]}" for name, crystal in members.items() if crystal is not None}
