"""Reasons of what is left out name the property once."""

from __future__ import annotations

import pytest

from hibana.tables.left_out import LeftOut
from hibana.tables.registry import find_table
from hibana.tables.rows import rows
from hibana.tables.series import Series


@pytest.mark.parametrize("reason", ["electronic: the band run finds nothing", "the band run finds nothing"])
def test_a_reason_names_its_property_once(store, campaign, reason):
    campaign.candidate("MgO")
    campaign.relaxation("MgO")
    campaign.electronic("MgO", status="unavailable", reason=reason)
    (left_out,) = rows(store, find_table("electronic"), Series("pbesol", 1, "vasp"))
    assert isinstance(left_out, LeftOut)
    assert left_out.reason == "electronic: the band run finds nothing"
