"""What a killed run leaves is used only where it is whole."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from hibana.structures.convert import from_pymatgen
from hibana.vasp.remains import has_whole_wave_functions, last_cell

ROCK_SALT = Structure(Lattice([[0, 2.1, 2.1], [2.1, 0, 2.1], [2.1, 2.1, 0]]), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
STEP = "DAV:   4    -0.11E+02   -0.1E-06\n   1 F= -.11950000E+02 E0= -.11950000E+02  d E =-.1195E+02\n"


@pytest.fixture
def killed(tmp_path):
    """A relaxation that was killed in its second ionic step."""
    write(tmp_path, ROCK_SALT, ROCK_SALT.copy().scale_lattice(19.0))
    (tmp_path / "OSZICAR").write_text(STEP + "DAV:   1    -0.11E+02\n")
    (tmp_path / "INCAR").write_text("NSW = 20\n")
    return tmp_path


def write(folder, before, after):
    (folder / "POSCAR").write_text(Poscar(before).get_str(significant_figures=16))
    (folder / "CONTCAR").write_text(Poscar(after).get_str(significant_figures=16))


def test_the_cell_behind_the_last_whole_step(killed):
    cell = last_cell(killed, from_pymatgen(ROCK_SALT))
    assert np.linalg.det(np.asarray(cell.lattice)) == pytest.approx(19.0)
    assert cell.species == ("Mg", "O")
    assert cell.magmoms is None


def test_moments_are_those_the_run_began_with(killed):
    start = from_pymatgen(ROCK_SALT).model_copy(update={"magmoms": (1.5, 0.0)})
    assert last_cell(killed, start) is None
    (killed / "INCAR").write_text("NSW = 20\nISPIN = 2\nMAGMOM = 1.5 0.0\n")
    assert last_cell(killed, start).magmoms == (1.5, 0.0)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.85, 0.99])
def test_a_contcar_that_was_being_written_is_not_used(killed, part):
    text = (killed / "CONTCAR").read_text()
    (killed / "CONTCAR").write_text(text[: int(part * len(text))])
    assert last_cell(killed, from_pymatgen(ROCK_SALT)) is None


@pytest.mark.parametrize("text", ["", "DAV:   4    -0.11E+02   -0.1E-06\n", "   1 F= -.119"])
def test_without_a_finished_ionic_step_there_is_no_new_cell(killed, text):
    (killed / "OSZICAR").write_text(text)
    assert last_cell(killed, from_pymatgen(ROCK_SALT)) is None


def test_another_run_of_the_folder_is_not_mistaken_for_this_one(killed):
    other = ROCK_SALT.copy().scale_lattice(18.0)
    assert last_cell(killed, from_pymatgen(other)) is None
    iron = ROCK_SALT.copy()
    iron.replace(0, "Fe")
    assert last_cell(killed, from_pymatgen(iron)) is None


@pytest.mark.parametrize("volume", [8.0, 60.0])
def test_a_cell_that_went_astray_is_not_used(killed, volume):
    write(killed, ROCK_SALT, ROCK_SALT.copy().scale_lattice(volume))
    assert last_cell(killed, from_pymatgen(ROCK_SALT)) is None


def test_an_empty_folder_has_nothing(tmp_path):
    assert last_cell(tmp_path, from_pymatgen(ROCK_SALT)) is None
    assert not has_whole_wave_functions(tmp_path)


def test_wave_functions_are_whole_if_they_are_as_long_as_their_header_says(tmp_path):
    length, spins, points, bands = 4096, 2, 3, 7
    data = bytearray(length * (2 + spins * points * (1 + bands)))
    data[:24] = struct.pack("<ddd", length, spins, 45200)
    data[length : length + 24] = struct.pack("<ddd", points, bands, 400.0)
    path = tmp_path / "WAVECAR"
    path.write_bytes(data)
    assert has_whole_wave_functions(tmp_path)
    for size in (0, 10, length, length + 24, len(data) - 1):
        path.write_bytes(data[:size])
        assert not has_whole_wave_functions(tmp_path), size
    path.write_bytes(b"- of Ulm" + bytes(5000))
    assert not has_whole_wave_functions(tmp_path)
