"""The material document: what its parts say, where from, and how complete it is."""

from __future__ import annotations

import pytest

from flow_documents import MATERIAL, METAL, NOW, UNKNOWN, gapped, task
from hibana.core.units import unit_of
from hibana.documents.material import PARTS, MaterialDoc
from hibana.documents.properties import From, PropertyDoc
from hibana.documents.steps import STEPS
from hibana.documents.task import Failure
from hibana.properties.evidence import Evidence
from hibana.properties.material import build_material
from hibana.properties.registry import PROPERTIES, build_documents, properties_of
from hibana.protocol.protocol import load_protocol
from hibana.store.indexes import PROPERTY_COLLECTIONS

TENSOR = ((3.2, 0.0, 0.0), (0.0, 3.2, 0.0), (0.0, 0.0, 3.2))


def failed(step: str):
    failure = Failure(kind="zpotrf", message="LAPACK failed")
    return task(step, status="failed", failure=failure, edges=UNKNOWN)


def build(reasons=None, **tasks) -> dict[str, PropertyDoc]:
    """All documents of runs, by collection."""
    evidence = Evidence(MATERIAL, load_protocol("pbesol-demo"), tasks, NOW, reasons or {})
    return {item.document.collection: item.document for item in build_documents(evidence)}


def material(reasons=None, **changes) -> MaterialDoc:
    tasks = {
        "structure_opt": task("structure_opt"),
        "band": task("band", flags=("a correction to know of",)),
        "dos": task("dos"),
        "dielectric": task("dielectric", epsilon_electronic=TENSOR, epsilon_ionic=TENSOR),
        **changes,
    }
    return build(reasons, **{step: run for step, run in tasks.items() if run is not None})["materials"]


def test_it_holds_every_part_as_it_is():
    documents = build(structure_opt=task("structure_opt"), band=task("band"), dos=task("dos"))
    doc = documents.pop("materials")
    assert doc.parts == documents
    assert set(documents) == {"relaxation", "electronic", "sites"}
    assert (doc.material_id, doc.protocol_version, doc.built_at) == (MATERIAL.material_id, doc.relaxation.protocol_version, NOW)


def test_every_value_names_its_runs():
    doc = material()
    assert doc.sources["relaxation"]["a"] == ("address of structure_opt",)
    assert doc.sources["electronic"]["band_gap_pbesol"] == ("address of band",)
    assert doc.sources["dielectric"]["epsilon_electronic"] == ("address of dielectric",)
    for name, part in doc.parts.items():
        for field, addresses in doc.sources.get(name, {}).items():
            assert getattr(part, field) is not None
            assert set(addresses) <= set(doc.addresses.values())
    assert doc.addresses.keys() == {"structure_opt", "band", "dos", "dielectric"}


def test_a_flag_says_which_part_it_is_of():
    assert "electronic: band: a correction to know of" in material().flags


@pytest.mark.parametrize("kind", [*PARTS.values()])
def test_every_value_with_a_unit_says_where_it_is_from(kind):
    steps = {
        step for info in kind.model_fields.values() for item in info.metadata if isinstance(item, From) for step in item.steps
    }
    assert steps <= set(STEPS)
    for name, info in kind.model_fields.items():
        if unit_of(kind, name) is not None and name != "threshold":
            assert any(isinstance(item, From) for item in info.metadata), f"{kind.collection}.{name}"


def test_parts_registry_and_store_know_the_same_kinds():
    assert {item.name for item in PROPERTIES} == set(PARTS)
    assert {*PARTS, "materials"} <= set(PROPERTY_COLLECTIONS)
    assert all(PARTS[item.name] is item.kind for item in PROPERTIES)
    of_vacancies = {"supercell", "vacancy"}  # documents of their own
    assert {step for item in PROPERTIES for step in item.steps} == set(STEPS) - of_vacancies
    assert [item.name for item in properties_of(["dielectric"])] == ["dielectric", "phonon"]


def test_a_part_that_failed_makes_it_partial_and_says_why():
    doc = material(dos=failed("dos"), dielectric=None)
    assert (doc.status, doc.reason) == ("partial", "dos: zpotrf: LAPACK failed")
    doc = material({"dielectric": "the job ended with an error"}, dielectric=None)
    assert doc.status == "partial"
    assert doc.reason == "dielectric: the job ended with an error"
    assert doc.reasons == {"dielectric": "the job ended with an error"}


def test_without_a_relaxation_it_is_unavailable():
    doc = material(structure_opt=failed("structure_opt"), band=None, dos=None, dielectric=None)
    assert (doc.status, doc.parts["relaxation"].status) == ("unavailable", "unavailable")


def test_a_metal_is_complete_without_tensors():
    metal = {step: task(step, edges=METAL) for step in ("structure_opt", "band", "dos")}
    doc = material({"dielectric": "the relaxation finds a metal"}, dielectric=None, **metal)
    assert doc.dielectric.status == "unavailable"
    assert (doc.status, doc.reason) == ("complete", None)


def test_what_was_calculated_for_a_gap_that_is_none_stays_and_is_flagged():
    doc = material(band=task("band", edges=METAL), dos=task("dos", edges=METAL))
    assert doc.dielectric.epsilon_electronic_average == pytest.approx(3.2)
    assert any("but the band or dos run finds a metal" in flag for flag in doc.dielectric.flags)
    assert not any("finds a metal" in flag for flag in material().dielectric.flags)


def test_parts_of_two_materials_or_series_are_never_joined():
    documents = build(structure_opt=task("structure_opt"), band=task("band", edges=gapped(4.6)))
    parts = [documents["relaxation"], documents["electronic"]]
    for field in ("material_id", "protocol", "calculator"):
        with pytest.raises(ValueError, match="several"):
            build_material([parts[0], parts[1].model_copy(update={field: "another"})])
    with pytest.raises(ValueError, match="relaxation"):
        build_material(parts[1:])


def test_it_survives_the_store(store):
    doc = material()
    store.put_property(doc)
    assert next(store.properties(MaterialDoc)) == doc
    assert store.count("materials", {"sources.electronic.band_gap_pbesol": "address of band"}) == 1
    assert store.count("materials", {"electronic.band_gap_pbesol": {"$gt": 4}}) == 1
