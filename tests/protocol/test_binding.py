"""vise's side effects are held; and tests that tell when a workaround is no longer needed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from hibana.protocol.binding import load_vise
from prototypes import make_prototypes

BUILD = """
import logging, sys, warnings
import pymatgen.io.vasp.sets
before = list(warnings.filters)
from hibana.documents.spec import Prior
from hibana.protocol.inputs import build_inputs
from hibana.protocol.protocol import load_protocol
from hibana.structures.convert import from_pymatgen
from prototypes import make_prototypes
from hibana.core.errors import HibanaError
try:
    build_inputs(from_pymatgen(make_prototypes()["anatase TiO2"]), "band", "pbesol", load_protocol("pbesol"), Prior(band_gap=2.0))
except HibanaError as error:
    sys.exit(str(error))
assert "vise.input_set.task" in sys.modules
silenced = [item for item in warnings.filters if item not in before and item[0] == "ignore" and item[2] is UserWarning]
assert not silenced, silenced
"""


def run(code, folder, library):
    environment = {**os.environ, "PMG_VASP_PSP_DIR": str(library), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_making_inputs_prints_nothing_and_leaves_warnings_alone(library, tmp_path):
    done = run(BUILD, tmp_path, library)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["vise.yaml", ".vise.yaml"])
def test_vise_yaml_is_refused(library, tmp_path, name):
    (tmp_path / name).write_text("kpoint_density: 1.0\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    done = run(BUILD, below, library)
    assert done.returncode == 1
    assert done.stderr.startswith("HIB-032")
    assert str(tmp_path / name) in done.stderr


def test_importing_hibana_does_not_import_vise():
    code = "import sys, hibana.protocol.protocol, hibana.structures.errors; sys.exit('vise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_vise_itself_still_silences_user_warnings(tmp_path):
    """When this fails, vise no longer does it and ``load_vise`` need not restore the filters."""
    code = "import warnings, vise.defaults; print([item[2].__name__ for item in warnings.filters if item[0] == 'ignore'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "UserWarning" in done.stdout.splitlines()[-1]
    assert "Settings from vise.yaml" in done.stdout


def test_vise_itself_still_drops_tags_it_does_not_know():
    """When this fails, vise writes every tag and its own writer could be used."""
    load_vise()
    incar = importlib.import_module("vise.input_set.incar").ViseIncar
    assert "KERNEL_TRUNCATION" not in incar({"KERNEL_TRUNCATION": True, "NSW": 1}).get_string()


def test_vise_itself_still_miscounts_interleaved_species(library):
    """When this fails, vise counts right and structures need not be sorted for it."""
    load_vise()
    make = importlib.import_module("vise.input_set.vasp_input_files").VaspInputFiles
    categorise = importlib.import_module("vise.input_set.input_options").CategorizedInputOptions
    rock_salt = make_prototypes()["rock salt MgO"]
    interleaved = type(rock_salt).from_sites([rock_salt[i] for i in (0, 4, 1, 5, 2, 6, 3, 7)])
    options = categorise(structure=interleaved, task=load_vise().task("defect"), xc=load_vise().xc("pbesol"), charge=1.0)
    assert make(options).incar["NELECT"] != 31
