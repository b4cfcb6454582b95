from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

import numpy as np
import pytest
from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.properties import ElectronicDoc, From, PropertyDoc, RelaxationDoc
from hibana.tables.cells import as_cell, as_text
from hibana.tables.columns import Column, Record, address_column, flags_column, projection
from hibana.tables.grids import Grid
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

    collection: ClassVar[str] = "hardness"

    hardness: Annotated[float | None, Unit("GPa"), From("indentation")] = Field(default=None, description="Vickers hardness.")
    n_tests: int = Field(default=0, description="Number of tests.")
    grid: dict[str, tuple[float, ...]] = Field(default_factory=dict, description="No cell can hold this.")


def test_a_column_says_what_the_field_says() -> None:
    assert projection(HardnessDoc, "hardness").as_dict() == {
        "name": "hardness",
        "type": "number",
        "unit": "GPa",
        "meaning": "Vickers hardness.",
        "source": "hardness.hardness",
        "steps": ["indentation"],
        "allowed": None,
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
    assert projection(HardnessDoc, "hardness").value(Record({HardnessDoc: doc})) is None


def test_addresses_and_flags_come_from_all_documents() -> None:
    relaxation = RelaxationDoc(**COMMON, flags=("force", "moved"), addresses={"structure_opt": "a" * 64})
    electronic = ElectronicDoc(**COMMON, flags=("moved", "edges"), gap_class="gapped")
    record = Record({RelaxationDoc: relaxation, ElectronicDoc: electronic})
    assert flags_column(RelaxationDoc, ElectronicDoc).value(record) == ["force", "moved", "edges"]
    assert address_column(RelaxationDoc, "structure_opt").value(record) == "a" * 64
    assert address_column(ElectronicDoc, "band").value(record) is None


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_is_explained(table) -> None:
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names))
    for column in table.columns:
        assert column.meaning.endswith(".")
        if column.dtype != "integer":
            assert (column.unit is not None) == (column.dtype in ("number", "list of numbers", "map of numbers", "spectrum"))
        assert (column.grid is not None) == (column.dtype == "spectrum")
    assert table.grid is None or table.items is None, "lines of the long file are told apart by material only"


def test_numbers_in_lists_and_maps_are_finite_or_missing() -> None:
    assert as_cell((1.0, float("nan"), float("-inf")), "list of numbers") == [1.0, None, None]
    assert as_cell({"O": float("nan"), "Al": 0.5}, "map of numbers") == {"Al": 0.5, "O": None}
    assert as_cell(None, "spectrum") is None
    assert as_text([1.0, None, 1 / 3]) == "1.0;;0.3333333333333333"
    assert as_text({"Zn": 0.93, "O": None}) == "Zn:0.93;O:"
    assert as_text(np.float32(5.1)) == "5.1"
    assert as_text(np.float32("nan")) == ""


def test_a_spectrum_must_have_the_points_of_its_grid() -> None:
    grid = Grid("energy", "eV", 0.0, 0.5, 3)
    column = Column("s", "spectrum", "1", "Spectrum.", "made.up", lambda _: np.array([1.0, 2.0]), grid)
    with pytest.raises(ValueError, match="grid of 3 points"):
        column.value(Record({}))
    assert grid.points.tolist() == [0.0, 0.5, 1.0]
    assert grid.has(np.array([0.0, 0.5, 1.0], dtype=np.float32))
    assert not grid.has(np.array([0.0, 0.5, 1.1]))
    assert not grid.has(np.array([0.0, 0.5]))


def test_the_electronic_table_has_what_it_promises() -> None:
    promised = """material_id formula calculator protocol protocol_version space_group_number a b c alpha beta gamma
    volume_per_atom energy_per_atom band_gap_pbesol band_gap_hse06_nsc is_gap_direct vbm cbm gap_class status flags
    address_structure_opt address_band address_dos address_hse06_nsc"""
    assert set(promised.split()) <= {column.name for column in TABLES["electronic"].columns}
