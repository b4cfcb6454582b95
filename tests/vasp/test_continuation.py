"""Where a stopped run is taken up again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from pymatgen.io.vasp import Poscar

from hibana.core.errors import HibanaError
from hibana.vasp.continuation import latest_structure


@pytest.fixture
def folder(recorded, tmp_path):
    """A finished relaxation whose CONTCAR is not its POSCAR."""
    run = recorded / "vasp_runs" / "Si_hse_relax"
    shutil.copy(run / "inputs" / "POSCAR", tmp_path)
    shutil.copy(run / "outputs" / "CONTCAR", tmp_path)
    return tmp_path


def lattice(path):
    return Poscar.from_file(path).structure.lattice.matrix


def test_contcar_where_it_is_complete(folder):
    assert not np.allclose(lattice(folder / "POSCAR"), lattice(folder / "CONTCAR"))
    np.testing.assert_allclose(latest_structure(folder).lattice, lattice(folder / "CONTCAR"))


@pytest.mark.parametrize("lines", [0, 1, 4, 7, 8])
def test_poscar_where_contcar_is_cut_off(lines, folder):
    text = (folder / "CONTCAR").read_text().splitlines(keepends=True)[:lines]
    (folder / "CONTCAR").write_text("".join(text))
    np.testing.assert_allclose(latest_structure(folder).lattice, lattice(folder / "POSCAR"))


def test_a_folder_without_a_structure_is_a_numbered_error(tmp_path):
    (tmp_path / "CONTCAR").write_text("")
    with pytest.raises(HibanaError) as caught:
        latest_structure(tmp_path)
    assert caught.value.kind.code == "HIB-061"
