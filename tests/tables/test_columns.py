from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import pytest
from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.properties import ElectronicDoc, PropertyDoc, RelaxationDoc
from hibana.tables.columns import address_column, flags_column, projection
from hibana.tables.registry import TABLES

COMMON = {
    "material_id": "hib-0123456789abcdef",
    "formula": "MgO",
    "elements": ("Mg", "O"),
    "calculator": "vasp",
    "calculator_version": "6.4.2",
    "protocol": "pbesol",
    "protocol_version": 1,
    "status": "complete",
    "built_with": "0.1.0",
    "built_at": datetime(2026, 1, 1, tzinfo=UTC),
}


class HardnessDoc(PropertyDoc):
    """A property made up here, so that the dictionary cannot be a copy."""

    hardness: Annotated[float | None, Unit("GPa")] = Field(default=None, description="Vickers hardness.")
    n_tests: int = Field(default=0, description="Number of tests.")
    grid: dict[str, float] = Field(default_factory=dict, description="No cell can hold this.")


def test_a_column_says_what_the_field_says() -> None:
    assert projection(HardnessDoc, "hardness").as_dict() == {
        "name": "hardness",
        "type": "number",
        "unit": "GPa",
        "meaning": "Vickers hardness.",
        "source": "hardness.hardness",
    }
    assert projection(HardnessDoc, "n_tests").dtype == "integer"
    assert projection(HardnessDoc, "status").dtype == "string"
    assert projection(HardnessDoc, "flags").dtype == "list of strings"
    assert projection(ElectronicDoc, "is_gap_direct").dtype == "boolean"


def test_what_fits_in_no_cell_is_refused() -> None:
    with pytest.raises(TypeError, match="do not fit in a cell"):
        projection(HardnessDoc, "grid")
    with pytest.raises(KeyError):
        projection(HardnessDoc, "colour")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_nan_and_infinity_are_missing_and_never_zero(value: float | None) -> None:
    doc = HardnessDoc.model_construct(**COMMON, hardness=value)
    assert projection(HardnessDoc, "hardness").value({HardnessDoc: doc}) is None


def test_addresses_and_flags_come_from_all_documents() -> None:
    relaxation = RelaxationDoc(**COMMON, flags=("force", "moved"), addresses={"structure_opt": "a" * 64})
    electronic = ElectronicDoc(**COMMON, flags=("moved", "edges"), gap_class="gapped")
    documents = {RelaxationDoc: relaxation, ElectronicDoc: electronic}
    assert flags_column(RelaxationDoc, ElectronicDoc).value(documents) == ["force", "moved", "edges"]
    assert address_column(RelaxationDoc, "structure_opt").value(documents) == "a" * 64
    assert address_column(ElectronicDoc, "band").value(documents) is None


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_is_explained(table) -> None:
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names))
    for column in table.columns:
        assert column.meaning.endswith(".")
        assert column.unit is not None or column.dtype != "number"


def test_the_electronic_table_has_what_it_promises() -> None:
    promised = """material_id formula calculator protocol protocol_version space_group_number a b c alpha beta gamma
    volume_per_atom energy_per_atom band_gap_pbesol band_gap_hse06_nsc is_gap_direct vbm cbm gap_class status flags
    address_structure_opt address_band address_dos address_hse06_nsc"""
    assert set(promised.split()) <= {column.name for column in TABLES["electronic"].columns}
