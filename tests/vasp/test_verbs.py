"""``hibana read`` and ``hibana diagnose`` as a user calls them."""

from __future__ import annotations

import json

import pytest

from hibana.cli.main import main
from hibana.documents.task import RunDoc


def call(capsys, *words: object) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0
    return capsys.readouterr()


def test_read_prints_the_document_as_json(recorded, capsys):
    out, _ = call(capsys, "read", recorded / "vasp_runs" / "NaCl_2_dielectric" / "outputs", "--json")
    run = RunDoc.model_validate(json.loads(out))
    assert (run.formula, run.status) == ("NaCl", "converged")
    assert run.epsilon_electronic[0][0] == pytest.approx(2.524485, abs=1e-5)


def test_read_prints_a_summary_for_people(recorded, capsys):
    out, notes = call(capsys, "read", recorded / "vasp_runs" / "MgO_dos_pbesol" / "outputs")
    assert "space group 225" in out
    assert "4.6586 eV direct" in out
    assert "no OUTCAR" in notes


def test_read_of_no_run_is_a_numbered_error_without_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["read", str(tmp_path), "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert json.loads(out)["error"]["code"] == "HIB-050"
    assert "HIB-050" in err
    assert "Traceback" not in err


def test_diagnose_as_json(recorded, capsys):
    out, err = call(capsys, "diagnose", recorded / "vasp_errors" / "tet_bzint", "--task", "dos", "--json")
    (fired,) = [found for found in json.loads(out) if found["fires"]]
    assert (fired["handler"], fired["errors"], fired["verdict"]) == ("VaspErrorHandler", ["tet"], "flagged")
    assert fired["actions"] == [{"dict": "INCAR", "action": {"_set": {"ISMEAR": 0, "SIGMA": 0.05}}}]
    assert "Traceback" not in err


def test_diagnose_for_people(recorded, capsys):
    out, err = call(capsys, "diagnose", recorded / "vasp_errors" / "unconverged_ionic")
    assert "no handler of structure_opt fires" in out
    assert "UnconvergedErrorHandler (not in use): Unconverged" in out
    assert "left out by the policy" in out
    assert err == ""


def test_diagnose_with_an_unknown_task_is_a_numbered_error(recorded, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["diagnose", str(recorded / "vasp_errors" / "brmix"), "--task", "relax"])
    assert ended.value.code == 2
    assert "HIB-060" in capsys.readouterr().err
