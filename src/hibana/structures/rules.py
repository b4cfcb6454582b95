"""Screening rules: data that say which structures are wanted, and the words for why one is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pymatgen.core import Element
from ruamel.yaml import YAML, YAMLError

from hibana.core.faults import field_names, plain_faults
from hibana.core.units import Unit
from hibana.structures.errors import BAD_RULES, UNKNOWN_RULES
from hibana.structures.intake import Facts

SCREENS = Path("workflows") / "screens"
"""Where rules are looked for by name, below the working directory, its parents and hibana's own folder."""

Unknown = Literal["refuse", "keep"]
Symbols = tuple[str, ...]


class Rule(BaseModel):
    """Base of all rules; ``rule`` is its name in the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def refusal(self, facts: Facts) -> str | None:
        """What of a structure is against the rule, None if nothing is."""
        raise NotImplementedError

    @field_validator("only", "require", "exclude", "others", "of", check_fields=False)
    @classmethod
    def _are_elements(cls, symbols: tuple[object, ...]) -> tuple[object, ...]:
        unknown = [str(symbol) for symbol in symbols if isinstance(symbol, str) and not Element.is_valid_symbol(symbol)]
        if unknown:
            raise ValueError(f"no elements: {', '.join(unknown)}")
        return symbols


class ElementsRule(Rule):
    """Which elements a structure has."""

    rule: Literal["elements"]
    only: Symbols = Field(default=(), description="No others than these; empty for any.")
    require: Symbols = Field(default=(), description="All of these.")
    exclude: Symbols = Field(default=(), description="None of these.")

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        against = [symbol for symbol in facts.elements if symbol in self.exclude or (self.only and symbol not in self.only)]
        missing = [symbol for symbol in self.require if symbol not in facts.elements]
        said = ([f"it contains {', '.join(against)}"] if against else []) + ([f"no {', '.join(missing)}"] if missing else [])
        return " and ".join(said) or None


class AnionsRule(Rule):
    """Which elements are its anions: one of ``only``, no other that is more electronegative, and none of ``others``."""

    rule: Literal["anions"]
    only: Symbols = Field(min_length=1, description="Anions that are wanted.")
    others: Symbols = Field(default=(), description="Elements that make anions of their own, such as S in a sulfate.")

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        anions = [symbol for symbol in facts.elements if symbol in self.only]
        if not anions:
            return f"no {' or '.join(self.only)} among its elements"
        weakest = min(Element(symbol).X for symbol in anions)
        against = [
            symbol
            for symbol in facts.elements
            if symbol not in self.only and (symbol in self.others or weakest < Element(symbol).X)
        ]
        return f"other anions: {', '.join(against)}" if against else None


class CountRule(Rule):
    """Base of rules about a number that is always known."""

    min: int = Field(default=0, description="At least.")
    max: int | None = Field(default=None, description="At most; none for no limit.")

    def _outside(self, count: int, what: str) -> str | None:
        if count < self.min:
            return f"{count} {what}, at least {self.min}"
        return f"{count} {what}, at most {self.max}" if self.max is not None and count > self.max else None


class SitesRule(CountRule):
    """Atoms in the primitive cell."""

    rule: Literal["sites"]

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        return self._outside(facts.n_sites, "atoms in the primitive cell")


class NumberOfElementsRule(CountRule):
    """How many elements it has."""

    rule: Literal["number_of_elements"]

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        return self._outside(len(facts.elements), "elements")


class InequivalentSitesRule(CountRule):
    """Inequivalent sites of some elements, or of all."""

    rule: Literal["inequivalent_sites"]
    of: Symbols = Field(default=(), description="Elements whose sites count; empty for all.")

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        count = sum(number for symbol, number in facts.orbits.items() if not self.of or symbol in self.of)
        return self._outside(count, f"inequivalent sites of {', '.join(self.of) or 'all elements'}")


class SpaceGroupRule(Rule):
    """Space group; P1 is number 1."""

    rule: Literal["space_group"]
    only: tuple[Annotated[int, Field(ge=1, le=230)], ...] = Field(default=(), description="One of these; empty for any.")
    exclude: tuple[Annotated[int, Field(ge=1, le=230)], ...] = Field(default=(), description="None of these.")

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        is_wanted = not self.only or facts.space_group in self.only
        return None if is_wanted and facts.space_group not in self.exclude else f"space group {facts.space_group}"


class ValueRule(Rule):
    """Base of rules about a number that an input may not know."""

    min: float | None = Field(default=None, description="At least.")
    max: float | None = Field(default=None, description="At most.")
    unknown: Unknown = Field(default="refuse", description="What becomes of a structure whose number is not known.")

    def _judge(self, value: float | None, what: str, unit: str) -> str | None:
        if value is None:
            return f"{what} unknown" if self.unknown == "refuse" else None
        if self.min is not None and value < self.min:
            return f"{what} {value:.6g} {unit}, at least {self.min:g}"
        return f"{what} {value:.6g} {unit}, at most {self.max:g}" if self.max is not None and value > self.max else None


class HullDistanceRule(ValueRule):
    """Energy above the convex hull, as the input or the table of values has it."""

    rule: Literal["hull_distance"]
    max: Annotated[float | None, Unit("eV/atom")] = Field(default=None, description="At most.")

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        return self._judge(facts.values.get("hull_distance"), "energy above the hull", "eV/atom")


class BandGapRule(ValueRule):
    """Band gap, as the input or the table of values has it."""

    rule: Literal["band_gap"]
    min: Annotated[float | None, Unit("eV")] = Field(default=None, description="At least.")

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        return self._judge(facts.values.get("band_gap"), "band gap", "eV")


class VolumeRule(ValueRule):
    """Volume an atom; far outside what solids have, a file is mostly wrong."""

    rule: Literal["volume_per_atom"]

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        return self._judge(facts.volume_per_atom, "volume per atom", "Å^3")


class MagnetismRule(Rule):
    """No moment: of a site, of the cell, or by the input's own word, whichever the input has."""

    rule: Literal["magnetism"]
    max_moment: Annotated[float, Unit("μB")] = Field(default=0.1, description="Moment above which it is magnetic.")
    unknown: Unknown = Field(default="refuse", description="What becomes of a structure whose moments are not known.")

    def refusal(self, facts: Facts) -> str | None:
        """See :class:`Rule`."""
        moment, said = facts.values.get("moment"), facts.values.get("is_magnetic")
        if facts.site_moment is not None and facts.site_moment > self.max_moment:
            return f"moments of up to {facts.site_moment:.6g} μB, at most {self.max_moment:g}"
        if moment is not None and abs(moment) > self.max_moment:
            return f"moment {abs(moment):.6g} μB, at most {self.max_moment:g}"
        if said:
            return "the input says it is magnetic"
        if facts.site_moment is None and moment is None and said is None and self.unknown == "refuse":
            return "moments unknown"
        return None


class NotInStoreRule(Rule):
    """The store has no document of this crystal yet; judged after the duplicates, by the screening itself."""

    rule: Literal["not_in_store"]
    collection: str = Field(default="electronic", description="Collection of property documents, or candidates.")

    def refusal(self, facts: Facts) -> str | None:  # noqa: ARG002
        """Nothing of the structure itself is against it."""
        return None


AnyRule = Annotated[
    ElementsRule
    | AnionsRule
    | SitesRule
    | NumberOfElementsRule
    | InequivalentSitesRule
    | SpaceGroupRule
    | HullDistanceRule
    | BandGapRule
    | VolumeRule
    | MagnetismRule
    | NotInStoreRule,
    Field(discriminator="rule"),
]


class Rules(BaseModel):
    """Rules in the order in which they are applied.

    Parameters
    ----------
    name
        For the report.
    about
        What they are for and whose they are.
    rules
        Each with its numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str = ""
    rules: tuple[AnyRule, ...] = ()

    @property
    def collection(self) -> str | None:
        """The store's collection that candidates must not be in, None if there is no such rule."""
        return next((rule.collection for rule in self.rules if isinstance(rule, NotInStoreRule)), None)

    def not_in_store(self, collection: str) -> Rules:
        """The rules with a rule about the store, instead of the one they have."""
        others = tuple(rule for rule in self.rules if not isinstance(rule, NotInStoreRule))
        return self.model_copy(update={"rules": (*others, NotInStoreRule(rule="not_in_store", collection=collection))})


NO_RULES = Rules(name="none", about="Everything that can be read and is no duplicate.")


def load_rules(name: str) -> Rules:
    """Rules of a YAML file, or by the name of one in ``workflows/screens``.

    Raises
    ------
    HibanaError
        HIB-022 if the file is wrong, HIB-023 if there is none.
    """
    path = Path(name)
    if not path.is_file():
        path = _named(name)
    try:
        data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        return TypeAdapter(Rules).validate_python(data)
    except OSError as error:
        raise BAD_RULES.error(f"it cannot be read: {error.strerror}", where=path) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise BAD_RULES.error(f"it is no YAML: {error}", where=path) from error
    except ValidationError as error:
        known = field_names(TypeAdapter(Rules).json_schema())
        raise BAD_RULES.error(plain_faults(error.errors(), known), where=path) from error


def _named(name: str) -> Path:
    places = [folder / SCREENS for folder in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[3])]
    found = next((place / f"{name}.yaml" for place in places if (place / f"{name}.yaml").is_file()), None)
    if found is None:
        there = sorted({file.stem for place in places for file in place.glob("*.yaml")})
        raise UNKNOWN_RULES.error(f"{name!r}; there are: {', '.join(there) or 'none'}")
    return found
