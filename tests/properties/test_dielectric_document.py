"""Dielectric tensors and Born charges in the conventional frame."""

from __future__ import annotations

import numpy as np
import pytest
from response_evidence import GAPPED, crystal_of, evidence_of, recorded_run, rock_salt, run_of
from scipy.spatial.transform import Rotation

from hibana.core.units import unit_of
from hibana.documents.dielectric import DielectricDoc, PhononDoc
from hibana.documents.properties import From, PropertyDoc, sources_of
from hibana.documents.task import BandEdges, Failure, Inputs
from hibana.properties.dielectric import born_flags, build_dielectric
from hibana.structures.convert import from_pymatgen
from prototypes import make_prototypes

MGO = rock_salt("Mg", "O", 4.21)
CHARGES = np.array([np.eye(3) * 1.98, -np.eye(3) * 1.96])


def matrix(tensor) -> tuple:
    return tuple(tuple(float(x) for x in row) for row in tensor)


def document(run, arrays=None, **others) -> DielectricDoc:
    built = build_dielectric(evidence_of({"dielectric": (run, arrays or {})} | others))
    assert isinstance(built.document, DielectricDoc)
    return built.document


def mgo(**changes):
    fields = {"epsilon_electronic": matrix(np.eye(3) * 3.2), "epsilon_ionic": matrix(np.eye(3) * 6.9)}
    return run_of(MGO, **{**fields, **changes})


def test_rock_salt():
    doc = document(mgo(), {"born_charges": CHARGES})
    assert (doc.status, doc.reason, doc.flags, doc.method) == ("complete", None, (), "dfpt")
    assert doc.epsilon_electronic_average == pytest.approx(3.2)
    assert doc.epsilon_static_average == pytest.approx(10.1)
    assert doc.epsilon_ionic_eigenvalues == pytest.approx((6.9, 6.9, 6.9))
    assert np.sum(doc.born_charges, axis=0) == pytest.approx(np.zeros((3, 3)), abs=1e-6)
    assert doc.born_sum_rule_residual == pytest.approx(0.02, abs=1e-6)
    assert doc.born_average_abs_trace == pytest.approx(1.97, abs=1e-6)
    assert doc.space_group_number == 225
    assert np.array(doc.conventional_lattice) == pytest.approx(np.eye(3) * 4.21, abs=1e-8)
    assert doc.epsilon_ionic_recomputed is None
    assert sources_of(doc)["epsilon_ionic"] == ("address of dielectric",)


@pytest.mark.parametrize("seed", range(4))
def test_a_turned_run_gives_the_same_tensors(seed):
    """β-Ga2O3, monoclinic: the tensors in the document do not know how the run's axes lay."""
    crystal = from_pymatgen(make_prototypes()["beta-Ga2O3"].get_primitive_structure())
    n_sites = len(crystal.species)
    electronic = np.array([[3.9, 0, 0.08], [0, 3.6, 0], [0.08, 0, 3.7]])
    ionic = np.array([[6.9, 0, -0.4], [0, 7.3, 0], [-0.4, 0, 8.3]])
    charges = np.array([np.diag([3.0, 3.1, 3.2])] * n_sites)
    reference = document(run_of(crystal, epsilon_electronic=matrix(electronic), epsilon_ionic=matrix(ionic)))
    turn = Rotation.random(random_state=seed).as_matrix()
    turned = crystal.model_copy(update={"lattice": matrix(np.array(crystal.lattice) @ turn.T)})
    run = run_of(
        turned,
        epsilon_electronic=matrix(turn @ electronic @ turn.T),
        epsilon_ionic=matrix(turn @ ionic @ turn.T),
    )
    doc = document(run, {"born_charges": turn @ charges @ turn.T})
    assert np.array(doc.epsilon_electronic) == pytest.approx(np.array(reference.epsilon_electronic), abs=1e-8)
    assert np.array(doc.epsilon_ionic) == pytest.approx(np.array(reference.epsilon_ionic), abs=1e-8)
    assert abs(doc.epsilon_ionic[0][2]) > 0.05
    assert doc.epsilon_ionic[0][1] == pytest.approx(0, abs=1e-8)
    back = np.array(doc.rotation).T
    assert back @ np.array(doc.epsilon_ionic) @ back.T == pytest.approx(np.array(run.epsilon_ionic), abs=1e-8)
    assert np.array(doc.crystal.lattice) @ back.T == pytest.approx(np.array(turned.lattice), abs=1e-8)


def test_born_charges_turn_with_both_indices():
    """A charge with its field along x and its displacement along y keeps them apart after a turn."""
    lattice = np.diag([4.0, 5.0, 6.0])
    crystal = crystal_of(lattice, ("Ca", "O"), [[0.02, 0.11, 0.23], [0.41, 0.53, 0.58]])
    charge = np.zeros((3, 3))
    charge[0, 1] = 1.0
    turn = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    turned = crystal.model_copy(update={"lattice": matrix(lattice @ turn.T)})
    sound = matrix(np.eye(3) * 3.0)
    run = run_of(turned, epsilon_electronic=sound, epsilon_ionic=sound)
    doc = document(run, {"born_charges": np.array([charge, -charge])})
    rotation = np.array(doc.rotation)
    assert np.array(doc.born_charges[0]) == pytest.approx(rotation @ charge @ rotation.T, abs=1e-6)
    assert np.abs(np.array(doc.born_charges[0]) - np.array(doc.born_charges[0]).T).max() == pytest.approx(1)


def test_missing_parts():
    doc = document(mgo(epsilon_ionic=None))
    assert doc.status == "partial"
    assert doc.reason == "the run has no ionic dielectric tensor and no Born charges"
    assert doc.epsilon_static_average is None
    assert doc.epsilon_electronic_average == pytest.approx(3.2)
    doc = document(mgo(epsilon_electronic=None))
    assert (doc.status, doc.reason) == ("unavailable", "the run has no electronic dielectric tensor")


def test_a_failed_run_has_its_reason():
    failed = mgo(status="failed", failure=Failure(kind="killed", message="no memory"))
    assert document(failed).reason == "dielectric: killed: no memory"
    assert document(failed).epsilon_electronic is None
    built = build_dielectric(evidence_of({"structure_opt": (mgo(), {})}, {"dielectric": "no gap"}))
    assert built.document.reason == "dielectric: no gap"
    with pytest.raises(ValueError, match="no calculation"):
        build_dielectric(evidence_of({}))


def test_finite_fields_are_named():
    assert document(mgo(inputs=Inputs(incar={"LCALCEPS": True}, kpoints={}, potcars=()))).method == "finite_field"


def test_what_is_wrong_is_flagged():
    tensor = np.eye(3) * 3.2
    tensor[0, 0] = 0.9
    doc = document(mgo(epsilon_electronic=matrix(tensor), edges=BandEdges(gap_class="metal")), {"born_charges": CHARGES + 0.3})
    assert [flag.partition(":")[0] for flag in doc.flags] == ["gap", "point_group", "electronic", "sum_rule", "site_symmetry"]


def test_a_soft_mode_is_told_with_the_ionic_part():
    frequencies = np.array([0.0, 0.0, 0.0, 0.6, 0.6, 0.6])
    doc = document(mgo(edges=GAPPED), {"born_charges": CHARGES, "gamma_frequencies": frequencies})
    assert doc.flags == (
        "soft_mode: an optical mode at Γ is at 0.60 THz, below 1.0 THz: the ionic dielectric tensor is unreliable",
    )


@pytest.mark.parametrize("kind", [DielectricDoc, PhononDoc])
def test_every_value_names_its_step_and_every_number_its_unit(kind):
    own = set(kind.model_fields) - set(PropertyDoc.model_fields)
    for name in own - {"threshold"}:
        assert any(isinstance(item, From) for item in kind.model_fields[name].metadata), name
    without = {"method", "crystal", "space_group_number", "source", "n_imaginary", "is_stable"}
    assert {name for name in own if unit_of(kind, name) is None} == without & own


@pytest.mark.parametrize(
    ("case", "status", "electronic"),
    [
        ("NaCl_2_dielectric", "complete", (2.0, 2.8)),
        ("Si_dielectric_pbe", "complete", (11.0, 14.0)),
        ("SnO2_dielectric_pbesol", "partial", (3.9, 5.2)),
        ("Zn3P2S8_dielectric_pbesol", "partial", (3.5, 7.0)),
    ],
)
def test_recorded_runs_pass_the_gates(recorded, case, status, electronic):
    run, arrays = recorded_run(recorded, case)
    doc = document(run, arrays)
    assert (doc.status, doc.flags) == (status, ())
    assert electronic[0] < doc.epsilon_electronic_average < electronic[1]
    assert sorted(np.linalg.eigvalsh(run.epsilon_electronic)) == pytest.approx(doc.epsilon_electronic_eigenvalues, abs=1e-6)
    assert doc.born_sum_rule_residual < 1e-3 * len(run.final.species)


def test_recorded_ionic_tensor_is_that_of_charges_and_force_constants(recorded):
    """NaCl by VASP: the printed ionic tensor is recomputed to the digits printed."""
    run, arrays = recorded_run(recorded, "NaCl_2_dielectric")
    doc = document(run, arrays)
    assert np.array(doc.epsilon_ionic_recomputed) == pytest.approx(np.array(doc.epsilon_ionic), abs=2e-4)
    assert doc.epsilon_static_average == pytest.approx(5.9, rel=0.2)
    arrays["born_charges"] = arrays["born_charges"] * 1.02
    assert any(flag.startswith("cross_check") for flag in document(run, arrays).flags)


def test_recorded_rutile_is_uniaxial(recorded):
    run, arrays = recorded_run(recorded, "SnO2_dielectric_pbesol")
    doc = document(run, arrays)
    xx, yy, zz = np.diag(doc.epsilon_electronic)
    assert xx == pytest.approx(yy, abs=1e-6)
    assert zz > xx + 0.1
    assert doc.space_group_number == 136


NOT_FINITE = "is not all finite numbers"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none(bad):
    """They end in a reason and a flag, never in an exception or in the document."""
    doc = document(mgo(epsilon_electronic=matrix(np.full((3, 3), bad))))
    assert (doc.status, doc.reason) == ("unavailable", f"the electronic dielectric tensor of the run {NOT_FINITE}")
    doc = document(mgo(epsilon_ionic=matrix(np.full((3, 3), bad))), {"born_charges": CHARGES})
    assert (doc.status, doc.epsilon_ionic, doc.epsilon_static_average) == ("partial", None, None)
    assert doc.flags == (f"the ionic dielectric tensor of the run {NOT_FINITE}",)
    assert doc.epsilon_electronic_average == pytest.approx(3.2)
    doc = document(mgo(), {"born_charges": np.full((2, 3, 3), bad)})
    assert (doc.status, doc.born_charges, doc.born_sum_rule_residual) == ("partial", None, None)
    assert doc.flags == (f"the array born_charges of the run {NOT_FINITE}",)
    doc = document(mgo(), {"born_charges": CHARGES, "force_constants": np.full((6, 6), bad)})
    assert (doc.status, doc.epsilon_ionic_recomputed) == ("complete", None)
    assert doc.flags == (f"the array force_constants of the run {NOT_FINITE}",)


def test_born_charges_of_another_number_of_atoms():
    doc = document(mgo(), {"born_charges": CHARGES[:1]})
    assert (doc.status, doc.born_charges) == ("partial", None)
    assert "the array born_charges of the run has the shape (1, 3, 3), not (2, 3, 3)" in doc.reason


def test_charges_of_a_crystal_without_a_frame_say_that_they_were_not_judged():
    """Two atoms in one place have no space group."""
    crystal = crystal_of(4 * np.eye(3), ("Mg", "Mg", "O"), [[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]])
    charges = np.array([np.eye(3), np.eye(3), -2 * np.eye(3)])
    (flag,) = born_flags(evidence_of({"dielectric": (run_of(crystal), {"born_charges": charges})}))
    assert flag.startswith("born_charges: not held to the crystal's symmetry: HIB-")
