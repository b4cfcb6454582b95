"""Faults of files in plain words."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hibana.core.faults import field_names, plain_faults
from hibana.core.names import meant, nearest


class Mesh(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    rule: Literal["mesh"]
    density: Annotated[float, Field(gt=0)]


class Path(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    rule: Literal["path"]
    points: int


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    functional: Literal["pbe", "pbesol"] = "pbe"
    parts: list[Annotated[Mesh | Path, Field(discriminator="rule")]] = []
    axes: Annotated[list[int], Field(min_length=1)] = [1]
    name: Annotated[str, Field(pattern="^[a-z]+$")] = "a"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"functionl": "pbe"}, "functionl is not known (is functional meant?)"),
        ({"functional": "pbsol"}, "functional is 'pbsol' (is pbesol meant?); it can be pbe, pbesol"),
        ({"parts": [{"rule": "mesh", "density": "x"}]}, "parts entry 1.mesh.density is 'x', not a number"),
        ({"parts": [{"rule": "path", "points": 1.5}]}, "parts entry 1.path.points is 1.5, not a whole number"),
        ({"parts": [{"rule": "mesh", "density": -1.0}]}, "parts entry 1.mesh.density is -1.0, and has to be above 0.0"),
        ({"parts": [{"rule": "mesh"}]}, "parts entry 1.mesh.density is missing"),
        ({"parts": [{"rule": "pth"}]}, "parts entry 1 is 'pth' (is path meant?); it can be mesh, path"),
        ({"parts": [{}]}, "parts entry 1 lacks rule"),
        ({"parts": 3}, "parts is 3, not a list"),
        ([], "the file is [], not a table of fields"),
        ({"axes": []}, "axes has 0 entries, and needs at least 1"),
        ({"name": "Two words"}, "name is 'Two words', which is not of the form ^[a-z]+$"),
    ],
)
def test_each_fault_names_its_field_and_what_is_wrong(data, said):
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(data)
    assert plain_faults(caught.value.errors(), field_names(Whole.model_json_schema())) == said


def test_several_faults():
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate({"a": 1, "b": 2})
    assert plain_faults(caught.value.errors()) == "a is not known; b is not known"


def test_names_that_are_near():
    assert nearest("KPAR", ["kpar", "npar"]) == ["kpar"]
    assert nearest("vasp_comd", ["vasp_cmd", "cores"]) == ["vasp_cmd"]
    assert meant("zzz", ["vasp_cmd"]) == ""
