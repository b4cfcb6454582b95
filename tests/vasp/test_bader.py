"""Bader charges: what is made of the program's table, and what stays in the folder of a run."""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from test_run import fake, inputs_of, start

from hibana.vasp.bader import DENSITIES, BaderResult, NoBader, analyse, read_table, settle, site_charges
from hibana.vasp.density import DamagedDensityError, add, read_density, written
from hibana.vasp.reader import read_run

FAKE = Path(__file__).with_name("fake_bader.py")
GRID = (20, 20, 20)
LATTICE = np.array([[0.0, 2.1, 2.1], [2.1, 0.0, 2.1], [2.1, 2.1, 0.0]])
POSITIONS = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
VALENCE = np.array([2.0, 6.0])


def gaussians(*atoms: tuple[float, float], positions: np.ndarray = POSITIONS) -> np.ndarray:
    """Density of normalised Gaussians (electrons, width in Å) at the positions, times the volume."""
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in GRID], indexing="ij"), axis=-1)
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    total = np.zeros(GRID)
    for (electrons, width), position in zip(atoms, positions, strict=True):
        density = sum(
            np.exp(-(np.linalg.norm((points - position + image) @ LATTICE, axis=-1) ** 2) / width**2) for image in images
        )
        total += electrons * density / density.mean()
    return total


def density_file(values: np.ndarray, symbols: str = "Mg O", positions: np.ndarray = POSITIONS) -> bytes:
    head = ["MgO", " 1.0", *("".join(f"{x:12.6f}" for x in row) for row in LATTICE), f" {symbols}", " 1 1", "Direct"]
    head += ["".join(f"{x:11.6f}" for x in row) for row in positions]
    numbers = [f"{number:18.11E}" for number in values.ravel(order="F")]
    rows = ["".join(numbers[start : start + 5]) for start in range(0, len(numbers), 5)]
    return "\n".join(
        [*head, "", f" {GRID[0]} {GRID[1]} {GRID[2]}", *rows, "augmentation occupancies 1 3", " 0.1 0.2 0.3", ""]
    ).encode()


@pytest.fixture
def no_program(monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return tmp_path / "empty"


@pytest.fixture
def program(no_program):
    """The stand-in, under the name of the program."""
    script = no_program / "bader"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def folder(recorded, tmp_path) -> Path:
    """A recorded DOS run of MgO, with densities made up of Gaussians: 1.5 electrons about Mg, 6.5 about O."""
    run = tmp_path / "run"
    run.mkdir()
    text = gzip.decompress((recorded / "vasp_runs" / "MgO_dos_pbesol" / "outputs" / "vasprun.xml.gz").read_bytes())
    (run / "vasprun.xml").write_bytes(text.replace(b"<incar>", b'<incar>\n  <i type="logical" name="LAECHG"> T  </i>', 1))
    scale = np.cbrt(abs(np.linalg.det(read_run(run)[0].final.lattice)) / abs(np.linalg.det(LATTICE)))
    valence = gaussians((1.5, 0.35), (6.5, 0.35))
    core = gaussians((10.0, 0.2), (2.0, 0.2))
    for name, values in (("CHGCAR", valence), ("AECCAR2", valence), ("AECCAR0", core), ("AECCAR1", core), ("CHG", valence)):
        (run / name).write_bytes(density_file(values).replace(b"\n 1.0\n", f"\n {scale:.10f}\n".encode(), 1))
    return run


class TestDensityFiles:
    def test_what_is_written_is_read_again(self):
        values = gaussians((2.0, 0.5), (6.0, 0.6))
        found = read_density(density_file(values))
        assert found.grid == GRID
        np.testing.assert_allclose(found.values, values.ravel(order="F"), rtol=1e-11)
        again = read_density(written(found))
        np.testing.assert_array_equal(again.values, found.values)
        assert again.head.split() == found.head.split()

    def test_pymatgen_reads_the_sum_alike(self, tmp_path):
        from pymatgen.io.vasp.outputs import Chgcar

        core, valence = gaussians((10.0, 0.3), (2.0, 0.3)), gaussians((2.0, 0.5), (6.0, 0.6))
        total = add(read_density(density_file(core)), read_density(density_file(valence)))
        (tmp_path / "CHGCAR_sum").write_bytes(written(total))
        theirs = Chgcar.from_file(tmp_path / "CHGCAR_sum")
        np.testing.assert_allclose(theirs.data["total"], core + valence, rtol=1e-10)
        np.testing.assert_allclose(theirs.structure.lattice.matrix, LATTICE)

    def test_a_number_of_points_that_does_not_fill_its_last_row(self):
        head = density_file(gaussians((2.0, 0.5), (6.0, 0.6))).partition(b" 20 20 20\n")[0]
        numbers = b"\n".join([b" 1.0 2.0 3.0 4.0 5.0", b" 6.0 7.0"])
        found = read_density(head + b" 7 1 1\n" + numbers + b"\naugmentation 1 1\n 9.0\n")
        np.testing.assert_array_equal(read_density(written(found)).values, [1, 2, 3, 4, 5, 6, 7])

    def test_exponents_of_three_digits(self):
        text = density_file(gaussians((2.0, 0.5), (6.0, 0.6)))
        begin = text.index(b" 20 20 20\n") + 10
        changed = text[:begin] + b" 0.12345678901-100" + text[begin + 18 :]
        assert read_density(changed).values[0] == 0.12345678901e-100

    @pytest.mark.parametrize("share", [0.01, 0.5, 0.98])
    def test_a_file_that_is_cut_off(self, share):
        text = density_file(gaussians((2.0, 0.5), (6.0, 0.6)))
        with pytest.raises(DamagedDensityError):
            read_density(text[: int(share * len(text))])

    def test_stars_and_other_grids(self):
        text = density_file(gaussians((2.0, 0.5), (6.0, 0.6)))
        begin = text.index(b" 20 20 20\n") + 10
        with pytest.raises(DamagedDensityError):
            read_density(text[: begin + 18] + b"*" * 18 + text[begin + 36 :])
        other = read_density(text.replace(b" 20 20 20\n", b" 20 20 10\n"))
        with pytest.raises(DamagedDensityError, match="cannot be added"):
            add(read_density(text), other)


class TestCharges:
    def test_they_are_valence_less_electrons(self, folder, program):
        run, arrays = read_run(folder)
        assert not [warning for warning in run.warnings if "bader" in warning]
        np.testing.assert_allclose(arrays["bader_charges"], [0.5, -0.5], atol=0.02)
        assert arrays["bader_charges"].sum() == pytest.approx(0, abs=1e-4)
        assert arrays["bader_volumes"].sum() == pytest.approx(abs(np.linalg.det(run.final.lattice)), rel=1e-4)
        assert {"bader_charges", "bader_volumes"} <= run.arrays.keys()

    def test_the_folder_is_not_changed_by_reading(self, folder, program):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        read_run(folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_gzipped_densities(self, folder, program):
        expected = read_run(folder)[1]["bader_charges"]
        for name in DENSITIES:
            (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
            (folder / name).unlink()
        np.testing.assert_array_equal(read_run(folder)[1]["bader_charges"], expected)

    def test_without_the_program_there_is_a_reason_and_no_number(self, folder, no_program):
        run, arrays = read_run(folder)
        assert not {"bader_charges", "bader_volumes"} & (arrays.keys() | run.arrays.keys())
        assert "bader: the program bader is not on PATH" in run.warnings

    @pytest.mark.parametrize("name", ["CHGCAR", "AECCAR0", "AECCAR2"])
    def test_without_a_density_there_is_a_reason(self, name, folder, program):
        (folder / name).unlink()
        run, arrays = read_run(folder)
        assert f"bader: there is no {name}" in run.warnings
        assert "bader_charges" not in arrays

    @pytest.mark.parametrize(
        ("mode", "reason"),
        [
            ("crash", "bader ended with status 3 and no table; not enough memory"),
            ("cut", "ACF.dat is cut off"),
            ("old", "ACF.dat is cut off or of another program"),
            ("short", "the sites have 7.200 electrons, the run 8"),
        ],
    )
    def test_a_program_that_fails(self, mode, reason, folder, program, monkeypatch):
        monkeypatch.setenv("FAKE_BADER", mode)
        run, arrays = read_run(folder)
        (said,) = [warning for warning in run.warnings if warning.startswith("bader: ")]
        assert reason in said
        assert "bader_charges" not in arrays

    def test_a_program_that_takes_too_long(self, folder, program, monkeypatch):
        monkeypatch.setenv("FAKE_BADER", "hang")
        assert analyse(folder, seconds=0.5) == NoBader("bader took longer than 0 s")

    def test_a_run_without_all_electron_density_says_nothing(self, recorded, no_program):
        run, _ = read_run(recorded / "vasp_runs" / "MgO_dos_pbesol" / "outputs")
        assert not any("bader" in warning for warning in run.warnings)

    def test_densities_of_another_cell_are_refused(self):
        found = BaderResult(np.array([1.5, 6.5]), np.array([5.0, 13.0]))
        assert isinstance(site_charges(found, VALENCE, 8.0, 18.5), NoBader)
        assert isinstance(site_charges(found, np.array([2.0, 6.0, 6.0]), 8.0, 18.0), NoBader)
        assert isinstance(site_charges(found, VALENCE, 9.0, 18.0), NoBader)
        sound = site_charges(found, VALENCE, 8.0, 18.0)
        np.testing.assert_array_equal(sound.charges, [0.5, -0.5])

    def test_charged_cells_have_their_charge(self):
        found = BaderResult(np.array([1.0, 6.0]), np.array([5.0, 13.0]), vacuum_electrons=0.0)
        assert site_charges(found, VALENCE, 7.0, 18.0).charges.sum() == pytest.approx(1.0)

    def test_the_vacuum_counts(self):
        rows = " # X Y Z CHARGE MIN DIST ATOMIC VOL\n -----\n 1 0 0 0 1.4 0.1 5.0\n -----\n"
        found = read_table(f"{rows} VACUUM CHARGE: 0.6\n VACUUM VOLUME: 2.5\n")
        assert (found.vacuum_electrons, found.vacuum_volume) == (0.6, 2.5)
        assert site_charges(found, np.array([2.0]), 2.0, 7.5).charges[0] == pytest.approx(0.6)


class TestWhatStaysInTheFolder:
    def test_the_table_instead_of_the_densities(self, folder, program):
        expected = read_run(folder)[1]
        found = settle(folder)
        assert isinstance(found, BaderResult)
        assert not [name for name in DENSITIES if (folder / name).exists()]
        program.unlink()
        run, arrays = read_run(folder)
        np.testing.assert_array_equal(arrays["bader_charges"], expected["bader_charges"])
        np.testing.assert_array_equal(arrays["bader_volumes"], expected["bader_volumes"])
        assert not [warning for warning in run.warnings if "bader" in warning]

    def test_nothing_but_the_reason_without_the_program(self, folder, no_program):
        assert settle(folder) == NoBader("the program bader is not on PATH", installed=False)
        assert not [name for name in DENSITIES if (folder / name).exists()]
        assert "bader: the program bader is not on PATH; the densities were removed" in read_run(folder)[0].warnings

    @pytest.mark.parametrize("how", ["argument", "environment"])
    def test_all_of_it_if_asked(self, how, folder, no_program, monkeypatch):
        if how == "environment":
            monkeypatch.setenv("HIBANA_KEEP_DENSITIES", "1")
        settle(folder, keep=True if how == "argument" else None)
        assert all((folder / name).exists() for name in DENSITIES)
        assert "bader: the program bader is not on PATH" in read_run(folder)[0].warnings

    def test_the_densities_that_could_not_be_analysed(self, folder, program, monkeypatch):
        monkeypatch.setenv("FAKE_BADER", "crash")
        settle(folder)
        assert all((folder / name).exists() for name in DENSITIES)

    def test_a_run_ends_with_its_analysis(self, folder, program, recorded, monkeypatch):
        dos = recorded / "vasp_runs" / "MgO_dos_pbesol"
        inputs = inputs_of(dos, ("pbesol", {"LAECHG": True, "LCHARG": True}))
        here = folder.parent / "here"
        report = start(inputs, here, fake("--outputs", folder), task="dos")
        assert report.failure is None
        assert (here / "ACF.dat").is_file()
        assert not [name for name in DENSITIES if (here / name).exists()]
        np.testing.assert_allclose(read_run(here)[1]["bader_charges"], [0.5, -0.5], atol=0.02)

    def test_a_run_without_all_electron_density_is_left_alone(self, folder, program, recorded):
        here = folder.parent / "here"
        start(inputs_of(recorded / "vasp_runs" / "MgO_dos_pbesol"), here, fake("--outputs", folder), task="dos")
        assert (here / "CHGCAR").is_file()


@pytest.mark.skipif(shutil.which("bader") is None, reason="the program bader is not installed")
class TestTheProgram:
    def test_equal_atoms_share_equally(self, tmp_path):
        valence, core = gaussians((4.0, 0.5), (4.0, 0.5)), gaussians((6.0, 0.2), (6.0, 0.2))
        for name, values in (("CHGCAR", valence), ("AECCAR2", valence), ("AECCAR0", core)):
            (tmp_path / name).write_bytes(density_file(values))
        found = analyse(tmp_path)
        np.testing.assert_allclose(found.electrons, 4.0, atol=0.05)
        np.testing.assert_allclose(found.volumes, abs(np.linalg.det(LATTICE)) / 2, rtol=0.05)

    def test_atoms_are_told_apart_by_the_all_electron_density(self, tmp_path):
        """A valence density that has its only maximum on one atom still has two atoms."""
        valence, core = gaussians((0.2, 0.9), (7.8, 0.6)), gaussians((10.0, 0.3), (2.0, 0.2))
        for name, values in (("CHGCAR", valence), ("AECCAR2", valence), ("AECCAR0", core)):
            (tmp_path / name).write_bytes(density_file(values))
        found = analyse(tmp_path)
        assert found.electrons[0] > 0.05
        assert found.electrons.sum() == pytest.approx(8.0, abs=0.01)
