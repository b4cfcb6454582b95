"""Every value of a property document names the steps it was read from, and the addresses follow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import pytest

from hibana.documents.properties import ElectronicDoc, From, PropertyDoc, RelaxationDoc, sources_of
from hibana.documents.steps import STEPS

NOT_CALCULATED = {"initial_space_group_number"}
"""Fields that repeat the candidate."""


def electronic(**values) -> ElectronicDoc:
    head = {
        "material_id": "hib-1",
        "formula": "MgO",
        "elements": ("Mg", "O"),
        "calculator": "vasp",
        "calculator_version": "6.4.2",
        "protocol": "pbesol",
        "protocol_version": 2,
        "status": "partial",
        "built_with": "1",
        "built_at": datetime(2026, 1, 1, tzinfo=UTC),
        "gap_class": "gapped",
    }
    return ElectronicDoc(**head, **values)


@pytest.mark.parametrize("kind", [RelaxationDoc, ElectronicDoc])
def test_every_value_names_known_steps(kind):
    for name, info in kind.model_fields.items():
        steps = [step for item in info.metadata if isinstance(item, From) for step in item.steps]
        if name in PropertyDoc.model_fields or name in NOT_CALCULATED:
            assert not steps
        else:
            assert steps, f"{name} does not say where it is from"
            assert set(steps) <= set(STEPS)


def test_a_value_leads_to_the_runs_it_rests_on():
    document = electronic(
        addresses={"band": "b", "ddh_nsc": "h"}, band_gap_pbesol=4.6, band_gap_ddh_nsc=7.9, exchange_ratio_ddh=0.317
    )
    sources = sources_of(document)
    assert (sources["band_gap_pbesol"], sources["band_gap_ddh_nsc"]) == (("b",), ("h",))
    assert sources["exchange_ratio_ddh"] == ("h",)
    assert "band_gap_hse06_nsc" not in sources
    assert sources["gap_class"] == ("b",)


def test_a_step_of_several_runs_has_all_their_addresses():
    class Several(PropertyDoc):
        value: Annotated[float, From("phonon_force")]

    head = electronic().model_dump(exclude={"addresses"})
    common = {name: value for name, value in head.items() if name in PropertyDoc.model_fields}
    document = Several(**common, addresses={"phonon_force-001": "a", "phonon_force-002": "b", "band": "c"}, value=1.0)
    assert sources_of(document)["value"] == ("a", "b")
