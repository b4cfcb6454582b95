"""``hibana inputs`` writes a folder VASP can be started in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from pymatgen.io.vasp import Incar
from typer.testing import CliRunner

from hibana.cli.inputs import inputs
from hibana.core.errors import HibanaError
from prototypes import make_prototypes

DEMO = Path(__file__).resolve().parents[2] / "workflows" / "demo"
POTCAR = """  PAW_PBE {0} made up
 {1}
 parameters from PSCTR are:
   VRHFIN ={0}: made up
   TITEL  = PAW_PBE {0} made up
   POMASS =   1.000; ZVAL   =   {1:.3f}    mass and valenz
   ENMAX  =  {2:.3f}; ENMIN  =  100.000 eV
END of PSCTR-controll parameters
  0.1 0.2
 End of Dataset
"""


@pytest.fixture(autouse=True)
def _library(tmp_path, monkeypatch):
    for element, zval, enmax in (("Mg", 2, 200.0), ("Zn", 12, 276.7), ("O", 6, 400.0)):
        folder = tmp_path / "psp" / "POT_GGA_PAW_PBE_54" / element
        folder.mkdir(parents=True)
        (folder / "POTCAR").write_text(POTCAR.format(element, zval, enmax))
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "psp"))


def run(*arguments):
    app = typer.Typer()
    app.command()(inputs)
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_dos_of_a_demonstration_crystal(tmp_path):
    out = tmp_path / "ZnO_dos"
    printed = json.loads(run(DEMO / "ZnO.cif", "--task", "dos", "--gap", "1.2", "-o", out, "--json"))
    assert (printed["formula"], printed["n_sites"], printed["protocol"]) == ("ZnO", 4, "pbesol@2")
    assert sorted(path.name for path in out.iterdir()) == ["INCAR", "KPOINTS", "POSCAR", "POTCAR"]
    assert Incar.from_file(out / "INCAR")["ISMEAR"] == -4
    assert printed["kpoints"] == "12x12x8, shift 0 0 0"


def test_hybrid_leaves_both_incars(tmp_path):
    printed = run(DEMO / "MgO.cif", "-t", "band", "-f", "hse06_nsc", "--gap", 4.5, "-o", tmp_path / "x")
    assert Incar.from_file(tmp_path / "x" / "INCAR.hse06_nsc")["ALGO"] == "Subrot"
    assert Incar.from_file(tmp_path / "x" / "INCAR")["LWAVE"] is True
    assert "INCAR.hse06_nsc" in printed


def test_knowledge_is_used(tmp_path):
    structure = DEMO / "MgO.cif"
    meshes = [
        json.loads(run(structure, *known, "-o", tmp_path, "--json"))["kpoints"] for known in ([], ["--gap", "0"], ["--gap", "5"])
    ]
    assert meshes[0] == meshes[1] != meshes[2]
    spin = json.loads(run(structure, "-m", "2", "-o", tmp_path, "--cores", "4", "--json"))["stages"][0]["incar"]
    assert (spin["ISPIN"], spin["KPAR"]) == (2, 4)


@pytest.mark.parametrize("known", [["--gap", "-1"], ["--vbm", "5", "--cbm", "3"]])
def test_knowledge_that_cannot_be_is_refused(tmp_path, known):
    """Taken as it is, it would count as a metal."""
    app = typer.Typer()
    app.command()(inputs)
    result = CliRunner().invoke(app, [str(DEMO / "MgO.cif"), *known, "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_mistakes_have_numbers_and_nothing_is_written(tmp_path):
    several = tmp_path / "list.json"
    several.write_text(json.dumps([structure.as_dict() for structure in make_prototypes().values()][:2]))
    out = tmp_path / "out"
    for arguments, code in (
        ((several,), "HIB-165"),
        ((DEMO / "MgO.cif", "-t", "relax"), "HIB-036"),
        ((DEMO / "MgO.cif", "-p", "nonsense"), "HIB-030"),
        ((tmp_path / "none.cif",), "HIB-016"),
    ):
        with pytest.raises(HibanaError, match=code):
            run(*arguments, "-o", out)
        assert not out.exists()
