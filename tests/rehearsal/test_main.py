from __future__ import annotations

import os
import subprocess
import sys

import pytest
from engine_runs import GAMMA_MESH, mgo, write_run

from hibana.rehearsal.main import main


def call(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hibana.rehearsal", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_help_imports_nothing_heavy_and_says_that_this_is_not_vasp(capsys):
    program = "import sys; from hibana.rehearsal.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    program += "print('HEAVY', [m for m in ('numpy', 'ase', 'gpaw', 'pymatgen') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "NOT VASP" in done.stdout
    assert "example:" in done.stdout
    assert "HEAVY []" in done.stdout


def test_version_says_that_this_is_not_vasp():
    assert "NOT VASP" in call("--version").stdout


def test_an_empty_folder_is_a_numbered_error_without_traceback(tmp_path):
    done = call(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("HIB-180")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_refused_tag_leaves_the_folder_as_it_was(tmp_path):
    folder = write_run(tmp_path, poscar=mgo(), incar="LDAU = .TRUE.\n", kpoints=GAMMA_MESH.format(2, 2, 2), elements=["Mg", "O"])
    before = sorted(p.name for p in folder.iterdir())
    done = call(cwd=folder)
    assert done.returncode == 2
    assert "HIB-182" in done.stderr
    assert "LDAU" in done.stderr
    assert sorted(p.name for p in folder.iterdir()) == before


def test_make_potcars_for_chosen_elements(tmp_path, capsys):
    assert main(["--make-potcars", str(tmp_path), "--elements", "O, Mg"]) == 0
    assert sorted(p.parent.name for p in tmp_path.rglob("POTCAR")) == ["Mg", "O"]
    assert "PMG_VASP_PSP_DIR" in capsys.readouterr().out
    assert main(["--make-potcars", str(tmp_path), "--elements", "Uuo"]) == 2
    assert "HIB-187" in capsys.readouterr().err


def test_list_of_elements(capsys):
    assert main(["--list-elements"]) == 0
    assert "\nO " in "\n" + capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_a_numbered_error(tmp_path):
    folder = write_run(tmp_path, poscar=mgo(), incar="", kpoints=GAMMA_MESH.format(2, 2, 2), elements=["Mg", "O"])
    folder.chmod(0o500)
    try:
        done = call(cwd=folder)
    finally:
        folder.chmod(0o700)
    assert "HIB-194" in done.stderr
