from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import warnings

import pytest
from engine_runs import mgo

from hibana.rehearsal.datasets import ensure, recipe_of, table
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.potcar import LIBRARY_FOLDER, check_titel, potcar_text, write_library


@pytest.mark.parametrize("symbol", ["O", "Mg", "Zn"])
def test_pymatgen_reads_what_was_written(tmp_path, symbol):
    from pymatgen.io.vasp import Potcar

    recipe = recipe_of(symbol)
    (path,) = write_library(tmp_path, [symbol])
    assert path == tmp_path / LIBRARY_FOLDER / recipe.labels[0] / "POTCAR"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (single,) = Potcar.from_file(path)
    assert (single.element, single.ZVAL, single.ENMAX) == (symbol, recipe.zval, recipe.enmax)
    assert recipe.titel(recipe.labels[0]) == single.TITEL
    assert sum(occupation for _, _, occupation in single.electron_configuration) == recipe.zval
    assert single.TITEL.startswith("PAW_GPAW ")
    assert check_titel(single.TITEL) == recipe


def test_vise_makes_inputs_with_the_library(tmp_path):
    """In a process of its own: pymatgen reads the library's folder once."""
    write_library(tmp_path, ["Mg", "O"])
    (tmp_path / "POSCAR").write_text(mgo())
    program = """
from pymatgen.core import Structure
from vise.input_set.input_options import CategorizedInputOptions
from vise.input_set.task import Task
from vise.input_set.vasp_input_files import VaspInputFiles
from vise.input_set.xc import Xc
options = CategorizedInputOptions(structure=Structure.from_file("POSCAR"), task=Task.structure_opt, xc=Xc.pbesol)
files = VaspInputFiles(options)
print("RESULT", [p.TITEL for p in files.potcar], files.incar["ENCUT"])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PMG_VASP_PSP_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    titels = [recipe_of(s).titel(s) for s in ("Mg", "O")]
    assert f"RESULT {titels} 585.0" in done.stdout, done.stderr


def test_an_element_outside_the_table_writes_nothing(tmp_path):
    with pytest.raises(RehearsalError, match="Xe is not in the table") as caught:
        write_library(tmp_path, ["Mg", "Xe"])
    assert caught.value.number == 187
    assert not list(tmp_path.iterdir())


def test_titels_are_unique_and_the_name_follows_the_recipe():
    titels = [recipe.titel(label) for recipe in table().values() for label in recipe.labels]
    assert len(set(titels)) == len(titels)
    recipe = recipe_of("O")
    harder = type(recipe)("O", recipe.release, {**recipe.parameters, "rcut": 1.2}, recipe.zval, recipe.enmax, recipe.labels)
    assert harder.name != recipe.name


def test_labels_are_those_of_vise_normal_set():
    from vise.input_set.datasets.potcar_set import PotcarSet

    normal = PotcarSet.normal.potcar_dict()
    for symbol, recipe in table().items():
        assert normal[symbol] in recipe.labels
        assert symbol in recipe.labels


def _make(folder):
    return ensure("O", "PBE", folder).sha256


def test_two_processes_that_make_the_same_set_leave_one_whole_file(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        hashes = pool.map(_make, [tmp_path, tmp_path])
    assert len(set(hashes)) == 1
    assert [p.name for p in tmp_path.iterdir()] == [f"O.{recipe_of('O').name}.PBE"]
    assert "</paw_dataset>" in next(tmp_path.iterdir()).read_text() or "</paw_setup>" in next(tmp_path.iterdir()).read_text()


def test_making_a_set_does_not_change_its_recipe(tmp_path):
    before = recipe_of("Mg").name
    dataset = ensure("Mg", "PBE", tmp_path)
    assert recipe_of("Mg").name == before
    assert potcar_text(dataset, "Mg").splitlines()[0].split() == ["PAW_GPAW", "Mg", before]


def test_an_unwritable_folder_is_a_numbered_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RehearsalError) as caught:
        ensure("O", "LDA", blocked / "sets")
    assert caught.value.number == 188
    with pytest.raises(RehearsalError) as caught:
        write_library(blocked / "library", ["O"])
    assert caught.value.number == 194
