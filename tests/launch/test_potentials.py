"""Potentials that are missing are told when structures are submitted, each element once; nothing is refused for it."""

from __future__ import annotations

import pytest
from farm import REPOSITORY

from hibana.launch.potentials import Potentials
from hibana.launch.submit import submit
from hibana.protocol.protocol import load_protocol

DEMO = REPOSITORY / "workflows" / "demo"
POTCAR = """  PAW_PBE Mg 01Jan2000
 2.0
 parameters from PSCTR are:
   VRHFIN =Mg: x
   LEXCH  = PE
   TITEL  = PAW_PBE Mg 01Jan2000
   POMASS =   1.000; ZVAL   =   2.000    mass and valenz
   ENMAX  =  200.000; ENMIN  =  100.000 eV
END of PSCTR-controll parameters
 1.0
 End of Dataset
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library that knows magnesium only."""
    folder = tmp_path / "potcars" / "POT_GGA_PAW_PBE_54" / "Mg"
    folder.mkdir(parents=True)
    (folder / "POTCAR").write_text(POTCAR)
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    return tmp_path / "potcars"


def test_each_element_is_looked_for_once(library):
    potentials = Potentials(load_protocol("pbesol"), "vasp")
    found = potentials.lacking(["Mg", "O"])
    assert list(found) == ["O"]
    assert str(library / "POT_GGA_PAW_PBE_54" / "O" / "POTCAR") in found["O"]
    assert potentials.lacking(["Mg", "O"]) == {}


def test_no_library(monkeypatch, tmp_path):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "nowhere"))
    found = Potentials(load_protocol("pbesol"), "vasp").lacking(["Mg", "O"])
    assert set(found) == {"Mg", "O"}
    assert str(tmp_path / "nowhere") in found["O"]


def test_potentials_of_another_code(library):
    path = library / "POT_GGA_PAW_PBE_54" / "Mg" / "POTCAR"
    path.write_text(POTCAR.replace("PAW_PBE Mg 01Jan2000", "PAW_SYNTHETIC Mg model1"))
    found = Potentials(load_protocol("pbesol"), "vasp").lacking(["Mg"])
    assert "not VASP's but 'PAW_SYNTHETIC Mg model1'" in found["Mg"]


def test_a_submission_tells_and_goes_on(launchpad, library):
    report = submit([DEMO], "electronic", "pbesol", "vasp", launchpad)
    assert len(report.added) == 2
    assert sorted(report.as_dict()["potentials"]) == ["O", "Zn"]
    assert submit([DEMO], "electronic", "pbesol", "gpaw-rehearsal", launchpad).potentials == {}


def test_the_command_says_where_it_looked(farm, library):
    farm.env["PMG_VASP_PSP_DIR"] = str(library)
    words = ("submit", DEMO / "MgO.cif", "--flow", "electronic")
    done = farm.call("bash", "-c", '"$@" 2>&1', "-", *[farm.run_command()[0], "-m", "hibana.cli", *map(str, words)])
    assert "no POTCAR of VASP for O: " in done
    assert str(library) in done
    assert "1 added" in done
