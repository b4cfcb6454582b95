"""Every recorded error case through hibana's own handler lists, or the reason why it is left out."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest

from hibana.core.errors import HibanaError
from hibana.vasp.diagnose import diagnose
from hibana.vasp.policy import load_policy

RECORDED = Path(os.environ.get("HIBANA_RECORDED", Path(__file__).resolve().parents[3] / "shared")) / "vasp_errors"
CASES = sorted(path.parent.name for path in RECORDED.glob("*/expected.json"))

LEFT_OUT = {"aliasing", "large_sigma", "unconverged_ionic"}
"""Cases on which the policy does not act; it must say why."""

TASKS = {"dfpt_ncore": "dielectric_dfpt", "dentet": "dos", "tet_bzint": "dos"}
"""Tasks in which an error arises; a relaxation where not given."""


def expected(case: str) -> dict:
    return json.loads((RECORDED / case / "expected.json").read_text())


def recorded_class(case: str) -> type:
    module, _, name = expected(case)["handler"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def in_use_class(name: str) -> type:
    policy = load_policy()
    dotted = [rule.dotted for rule in policy.handler_rules.values()] + list(policy.validator_classes)
    module, _, name = next(path for path in dotted if path.endswith(f".{name}")).rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_there_are_recorded_errors(recorded):
    assert len(CASES) == 30


@pytest.mark.parametrize("case", [case for case in CASES if expected(case)["check"] and case not in LEFT_OUT])
def test_recorded_error_is_found_with_its_key_and_correction(case, recorded):
    wanted = expected(case)
    fired = [found for found in diagnose(RECORDED / case, TASKS.get(case, "structure_opt")) if found.fires]
    matching = [found for found in fired if issubclass(in_use_class(found.handler), recorded_class(case))]
    assert len(matching) == 1
    (found,) = matching
    if wanted["errors"]:
        assert set(found.errors) == set(wanted["errors"])
        assert list(found.actions or []) == (wanted["first_correction"] or [])
    assert (found.verdict is None) == (not found.actions)


@pytest.mark.parametrize("case", sorted(LEFT_OUT))
def test_what_is_left_out_is_named_with_its_reason(case, recorded):
    found = diagnose(RECORDED / case)
    assert not any(diagnosis.fires for diagnosis in found)
    (left_out,) = [diagnosis for diagnosis in found if not diagnosis.in_use]
    assert left_out.handler == recorded_class(case).__name__
    assert set(left_out.errors) == set(expected(case)["errors"])
    assert left_out.note == f"left out by the policy: {load_policy().left_out[left_out.handler]}"
    assert len(load_policy().left_out[left_out.handler]) > 30


@pytest.mark.parametrize("case", [case for case in CASES if not expected(case)["check"]])
@pytest.mark.parametrize("task", ["structure_opt", "band", "dos", "dielectric_dfpt"])
def test_nothing_fires_where_there_is_no_error(case, task, recorded):
    assert not [found for found in diagnose(RECORDED / case, task) if found.errors]


@pytest.fixture
def dfpt(recorded, tmp_path):
    """A dielectric run without LPEAD, whose printed output may be changed."""
    for folder in ("inputs", "outputs"):
        shutil.copytree(recorded / "vasp_runs" / "Si_dielectric_pbe" / folder, tmp_path, dirs_exist_ok=True)
    incar = (tmp_path / "INCAR").read_text().splitlines()
    (tmp_path / "INCAR").write_text("\n".join(line for line in incar if "LPEAD" not in line) + "\n")
    (tmp_path / "KPOINTS").write_text("mesh\n0\nGamma\n4 4 4\n0 0 0\n")
    for name in ("vasp.out", "std_err.txt"):
        (tmp_path / name).write_text("running on 1 core\n")
    return tmp_path


@pytest.mark.parametrize("printed", ["vasp.out", "std_err.txt"])
@pytest.mark.parametrize("task", ["dielectric_dfpt", "dielectric_finite_field"])
def test_a_commutator_that_fails_is_answered_with_lpead_and_flagged(task, printed, dfpt):
    assert not [found for found in diagnose(dfpt, task) if found.errors]
    (dfpt / printed).write_text("LRF_COMMUTATOR internal error: the vector H(q) psi(0) is not orthogonal\n")
    (found,) = [found for found in diagnose(dfpt, task) if found.errors]
    assert found.errors == ("lrf_comm",)
    assert list(found.actions) == [{"dict": "INCAR", "action": {"_set": {"LPEAD": True}}}]
    assert (found.verdict, found.fires) == ("flagged", True)
    assert not [found for found in diagnose(dfpt, "dos") if found.errors]


@pytest.mark.parametrize(
    ("case", "task"),
    [
        ("NaCl_2_dielectric", "dielectric_dfpt"),
        ("Si_dielectric_pbe", "dielectric_dfpt"),
        ("Zn3P2S8_dielectric_pbesol", "dielectric_dfpt"),
        ("MgSe_optics_pbe", "dielectric_function"),
        ("Si_optics_2_optics", "dielectric_function"),
        ("NaCl_3_phonon_1", "phonon_force"),
    ],
)
def test_nothing_fires_on_sound_responses(case, task, recorded, tmp_path):
    for folder in ("inputs", "outputs"):
        shutil.copytree(recorded / "vasp_runs" / case / folder, tmp_path, dirs_exist_ok=True)
    for name in ("vasp.out", "std_err.txt"):
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text("running on 1 core\n")
    assert not [found for found in diagnose(tmp_path, task) if found.errors]


def test_parallelisation_that_perturbation_theory_does_not_have(recorded):
    (found,) = [found for found in diagnose(RECORDED / "dfpt_ncore", "dielectric_dfpt") if found.fires]
    assert found.verdict == "accepted"


def test_the_spectrum_with_real_space_projectors_is_flagged(recorded):
    fired = {found.errors: found.verdict for found in diagnose(RECORDED / "real_optlay", "dielectric_function") if found.fires}
    assert fired[("real_optlay",)] == "flagged"


def test_a_refused_correction_is_named(recorded):
    (found,) = [found for found in diagnose(RECORDED / "rot_matrix", "band") if found.fires]
    assert found.verdict == "refused"
    assert "given up" in found.note


@pytest.mark.parametrize("functional", ["hse06_nsc", "ddh_nsc"])
def test_the_hybrid_step_is_not_stopped_by_the_warning_on_algo_and_tetrahedra(functional, recorded):
    found = diagnose(RECORDED / "algo_tet", "band", functional)
    assert not any(diagnosis.fires for diagnosis in found)
    (left_out,) = [diagnosis for diagnosis in found if not diagnosis.in_use]
    assert left_out.errors == ("algo_tet",)
    assert "non-self-consistent" in left_out.note


def test_one_non_self_consistent_step_is_not_unconverged(recorded, tmp_path):
    run = recorded / "vasp_runs" / "MgO_band_nhse"
    for folder in ("inputs", "outputs"):
        shutil.copytree(run / folder, tmp_path, dirs_exist_ok=True)
    for functional in ("pbesol", "hse06_nsc", "ddh_nsc"):
        found = diagnose(tmp_path, "band", functional)
        assert not any(diagnosis.fires for diagnosis in found)


def test_a_folder_is_left_as_it_was(recorded, tmp_path):
    shutil.copytree(RECORDED / "unconverged_electronic", tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    diagnose(tmp_path / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_handler_whose_file_is_missing_says_so(recorded):
    notes = {found.handler: found.note for found in diagnose(RECORDED / "positive_energy")}
    assert notes["VaspErrorHandler"] == "could not look: vasp.out is missing"


def test_a_folder_without_output_is_a_numbered_error(tmp_path):
    (tmp_path / "INCAR").write_text("NSW = 0\n")
    with pytest.raises(HibanaError) as caught:
        diagnose(tmp_path)
    assert caught.value.kind.code == "HIB-050"


def test_an_unknown_task_is_a_numbered_error(recorded):
    with pytest.raises(HibanaError) as caught:
        diagnose(RECORDED / "brmix", "relax")
    assert caught.value.kind.code == "HIB-060"


def test_an_unknown_functional_is_a_numbered_error(recorded):
    with pytest.raises(HibanaError, match="hse06_nsc, ddh_nsc") as caught:
        diagnose(RECORDED / "brmix", "band", "hse06")
    assert caught.value.kind.code == "HIB-036"
