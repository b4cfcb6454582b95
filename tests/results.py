"""A small campaign with results, put into a real store by hand: for tables, figures and summaries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.crystal import Crystal
from hibana.documents.properties import ElectronicDoc, RelaxationDoc

if TYPE_CHECKING:
    from hibana.store.store import Store

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SERIES = {"protocol": "pbesol", "protocol_version": 1, "calculator": "vasp"}
ROCK_SALT = Crystal(
    lattice=((0.0, 2.1, 2.1), (2.1, 0.0, 2.1), (2.1, 2.1, 0.0)), species=("Mg", "O"), frac_coords=((0, 0, 0), (0.5, 0.5, 0.5))
)


def material_id(formula: str) -> str:
    """An identity for a formula."""
    return "hib-" + hashlib.sha256(formula.encode()).hexdigest()[:16]


class Campaign:
    """Fills a store with candidates and claims about them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def candidate(self, formula: str, submit: bool = True, **series: Any) -> str:
        """Add a candidate, submitted unless told otherwise."""
        name = material_id(formula)
        doc = CandidateDoc(
            material_id=name,
            structure_key=name,
            formula=formula,
            elements=("Mg", "O"),
            n_sites=2,
            space_group_number=225,
            space_group_symbol="Fm-3m",
            crystal=ROCK_SALT,
            sources=(f"{formula}.cif",),
        )
        self.store.add_candidate(doc)
        if submit:
            self.store.record_submissions([name], Submission(flow="electronic", submitted_at=NOON, **(SERIES | series)))
        return name

    def head(self, formula: str, **series: Any) -> dict[str, Any]:
        """What both property documents say."""
        return {
            "material_id": material_id(formula),
            "formula": formula,
            "elements": ("Mg", "O"),
            "calculator_version": "6.4.2",
            "status": "complete",
            "built_with": "0.1.0",
            "built_at": NOON,
            **SERIES,
            **series,
        }

    def relaxation(self, formula: str, **fields: Any) -> None:
        """Store a RelaxationDoc."""
        numbers = {"a": 4.21, "b": 4.21, "c": 4.21, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}
        symmetry = {"space_group_number": 225, "space_group_symbol": "Fm-3m"}
        more = {"volume_per_atom": 9.3, "energy_per_atom": -6.25, "addresses": {"structure_opt": "a" * 64}}
        self.store.put_property(RelaxationDoc(**self.head(formula) | numbers | symmetry | more | fields))

    def electronic(self, formula: str, **fields: Any) -> None:
        """Store an ElectronicDoc."""
        gaps = {"gap_class": "gapped", "band_gap_pbesol": 4.66, "is_gap_direct": True, "vbm": 3.07, "cbm": 7.73}
        addresses = {"addresses": {"band": "b" * 64, "dos": "d" * 64, "hse06_nsc": "e" * 64}}
        self.store.put_property(ElectronicDoc(**self.head(formula) | gaps | {"band_gap_hse06_nsc": 6.57} | addresses | fields))

    def complete(self, formula: str, **fields: Any) -> None:
        """A candidate with all its results."""
        series = {name: fields[name] for name in SERIES if name in fields}
        self.candidate(formula, **series)
        self.relaxation(formula, **series)
        self.electronic(formula, **fields)

    def outcome(self, formula: str, state: str, reason: str | None, **series: Any) -> None:
        """What the collector said."""
        self.store.record_outcome(material_id(formula), "electronic", state=state, reason=reason, **SERIES | series)


@pytest.fixture
def campaign(store: Store) -> Campaign:
    """An empty campaign on a real server."""
    return Campaign(store)


@pytest.fixture
def names() -> Callable[[str], str]:
    """Gives the identity of a formula."""
    return material_id
