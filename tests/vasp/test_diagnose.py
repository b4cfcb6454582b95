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


def test_a_refused_correction_is_named(recorded):
    (found,) = [found for found in diagnose(RECORDED / "rot_matrix", "band") if found.fires]
    assert found.verdict == "refused"
    assert "given up" in found.note


def test_the_hybrid_step_is_not_stopped_by_the_warning_on_algo_and_tetrahedra(recorded):
    found = diagnose(RECORDED / "algo_tet", "band", "hse06_nsc")
    assert not any(diagnosis.fires for diagnosis in found)
    (left_out,) = [diagnosis for diagnosis in found if not diagnosis.in_use]
    assert left_out.errors == ("algo_tet",)
    assert "non-self-consistent" in left_out.note


def test_one_non_self_consistent_step_is_not_unconverged(recorded, tmp_path):
    run = recorded / "vasp_runs" / "MgO_band_nhse"
    for folder in ("inputs", "outputs"):
        shutil.copytree(run / folder, tmp_path, dirs_exist_ok=True)
    for functional in ("pbesol", "hse06_nsc"):
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
