"""A user's mistakes: a numbered error that says how to mend it, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

MGO = """MgO
1.0
0.0 2.11 2.11
2.11 0.0 2.11
2.11 2.11 0.0
Mg O
1 1
Direct
0.0 0.0 0.0
0.5 0.5 0.5
"""
DISORDERED = """data_alloy
_cell_length_a 4.2
_cell_length_b 4.2
_cell_length_c 4.2
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Mg1 Mg 0.0 0.0 0.0 0.5
Ca1 Ca 0.0 0.0 0.0 0.5
O1 O 0.5 0.5 0.5 1.0
"""
POTCAR = """  PAW_PBE {symbol} 01Jan2000
 2.0
 parameters from PSCTR are:
   VRHFIN ={symbol}: x
   LEXCH  = PE
   TITEL  = PAW_PBE {symbol} 01Jan2000
   POMASS =   1.000; ZVAL   =   2.000    mass and valenz
   ENMAX  =  200.000; ENMIN  =  100.000 eV
END of PSCTR-controll parameters
 1.0
 End of Dataset
"""


@pytest.fixture
def potcars(tmp_path) -> Path:
    """A potential library that knows magnesium only."""
    folder = tmp_path / "potcars" / "POT_GGA_PAW_PBE_54" / "Mg"
    folder.mkdir(parents=True)
    (folder / "POTCAR").write_text(POTCAR.format(symbol="Mg"))
    return tmp_path / "potcars"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def rehearsal_potcar(tmp_path_factory) -> str:
    """The POTCAR of MgO as the rehearsal engine makes it."""
    folder = tmp_path_factory.mktemp("rehearsal")
    words = ["--make-potcars", str(folder), "--elements", "Mg,O"]
    subprocess.run([sys.executable, "-m", "hibana.rehearsal", *words], check=True, capture_output=True)
    return "".join((folder / "POT_GGA_PAW_PBE_54" / label / "POTCAR").read_text() for label in ("Mg", "O"))


def run(module: str, *words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("PMG_VASP_PSP_DIR", "HIBANA_LAUNCHPAD")}
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=cwd, env={**clean, "HOME": str(cwd), **env}, capture_output=True, text=True, check=False)


def assert_numbered(done: subprocess.CompletedProcess[str], *wanted: str) -> None:
    said = done.stderr + done.stdout
    assert done.returncode == 2, said
    assert re.search(r"HIB-\d{3} ", said), said
    assert "mend:" in said
    assert "Traceback" not in said
    for word in wanted:
        assert word in said


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.cif", ""),
        ("disordered.cif", DISORDERED),
        ("POSCAR_overlap", MGO.replace("0.5 0.5 0.5", "0.0 0.0 0.01")),
        ("notes.txt", "remember the milk"),
    ],
)
def test_a_bad_structure_writes_nothing(tmp_path, potcars, name, text):
    (tmp_path / name).write_text(text)
    before = files(tmp_path)
    done = run("hibana.cli", "inputs", name, "--task", "dos", "-o", "out", cwd=tmp_path, PMG_VASP_PSP_DIR=str(potcars))
    assert_numbered(done, name)
    assert files(tmp_path) == before


def test_a_missing_structure_file(tmp_path, potcars):
    assert_numbered(
        run("hibana.cli", "inputs", "nowhere.cif", "-o", "out", cwd=tmp_path, PMG_VASP_PSP_DIR=str(potcars)), "nowhere.cif"
    )


def test_an_element_without_potential(tmp_path, potcars):
    (tmp_path / "POSCAR").write_text(MGO)
    done = run("hibana.cli", "inputs", "POSCAR", "--task", "dos", "-o", "out", cwd=tmp_path, PMG_VASP_PSP_DIR=str(potcars))
    assert_numbered(done, "O")
    assert not (tmp_path / "out").exists()


def test_no_potential_library(tmp_path):
    (tmp_path / "POSCAR").write_text(MGO)
    assert_numbered(run("hibana.cli", "inputs", "POSCAR", "--task", "dos", "-o", "out", cwd=tmp_path), "PMG_VASP_PSP_DIR")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_directory(tmp_path, potcars):
    (tmp_path / "POSCAR").write_text(MGO.replace("Mg O\n1 1", "Mg\n2"))
    (tmp_path / "out").write_text("a file where the folder should go")
    done = run("hibana.cli", "inputs", "POSCAR", "--task", "dos", "-o", "out/x", cwd=tmp_path, PMG_VASP_PSP_DIR=str(potcars))
    assert_numbered(done, "out/x")


@pytest.mark.parametrize("words", [("query", "{}"), ("export", "electronic", "-o", "out"), ("why", "MgO"), ("summary",)])
def test_the_store_is_down(tmp_path, free_port, words):
    (tmp_path / "my_launchpad.yaml").write_text(f"host: 127.0.0.1\nport: {free_port}\nname: hibana\n")
    assert_numbered(run("hibana.cli", *words, cwd=tmp_path), str(free_port))
    assert not (tmp_path / "out").exists()


def test_no_launchpad_file(tmp_path):
    assert_numbered(run("hibana.cli", "query", "{}", cwd=tmp_path), "my_launchpad.yaml")


def test_a_setting_that_fireworks_does_not_know(tmp_path):
    config = tmp_path / "FW_config.yaml"
    config.write_text("REUSE_LAUNCHES: 1\n")
    done = run("hibana.cli", "why", "MgO", cwd=tmp_path, FW_CONFIG_FILE=str(config))
    assert_numbered(done, "HIB-245", "REUSE_LAUNCHES")


def test_a_filter_that_is_no_json(tmp_path):
    assert_numbered(run("hibana.cli", "query", "{formula: MgO}", cwd=tmp_path))


@pytest.mark.parametrize(
    ("tag", "value"),
    [("LDAU", ".TRUE."), ("LSORBIT", ".TRUE."), ("IVDW", "11"), ("IBRION", "0"), ("LFOO", "3")],
)
def test_a_tag_the_rehearsal_engine_cannot_honour(tmp_path, rehearsal_potcar, tag, value):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "POSCAR").write_text(MGO)
    (folder / "KPOINTS").write_text("mesh\n0\nGamma\n2 2 2\n")
    (folder / "INCAR").write_text(f"ENCUT = 450\nNSW = 5\n{tag} = {value}\n")
    (folder / "POTCAR").write_text(rehearsal_potcar)
    before = files(folder)
    assert_numbered(run("hibana.rehearsal", cwd=folder), tag)
    assert files(folder) == before
