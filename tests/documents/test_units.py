"""Every stored number says what it means, and dimensional ones their unit."""

from __future__ import annotations

import pytest

from hibana.core.units import unit_of
from hibana.documents.candidate import CandidateDoc, Submission
from hibana.documents.crystal import Crystal
from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.documents.spec import Prior, Spec
from hibana.documents.task import BandEdges, Inputs, Machine, RunDoc, TaskDoc

MODELS = [
    CandidateDoc,
    Submission,
    Crystal,
    ElectronicDoc,
    RelaxationDoc,
    Prior,
    Spec,
    BandEdges,
    Inputs,
    Machine,
    RunDoc,
    TaskDoc,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_has_a_description(model):
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_real_number_has_a_unit(model):
    real = [
        name
        for name, field in model.model_fields.items()
        if "float" in str(field.annotation) or "Vector" in str(field.annotation)
    ]
    assert [name for name in real if unit_of(model, name) is None] == []
