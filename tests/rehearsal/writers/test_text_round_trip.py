"""The other files: written, read by pymatgen (by numpy where it has no reader), compared to the last printed digit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from pymatgen.core import Structure
from pymatgen.electronic_structure.core import Spin
from pymatgen.io.vasp.inputs import Poscar
from pymatgen.io.vasp.outputs import Eigenval, Oszicar, Outcar, Procar, Xdatcar
from synthetic_result import make_result, results
from test_vasprun_round_trip import SPINS, by_l, equal

from hibana.rehearsal.result import RunResult
from hibana.rehearsal.writers import write_outputs


@settings(max_examples=30)
@given(results())
def test_every_number_comes_back(result):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_outputs(result, folder)
        check_outcar(Outcar(folder / "OUTCAR"), result)
        check_oszicar(Oszicar(folder / "OSZICAR"), result)
        check_eigenval(Eigenval(folder / "EIGENVAL"), result)
        check_doscar(folder / "DOSCAR", result)
        check_structures(folder, result)
        if result.bands.projections is None:
            assert not (folder / "PROCAR").exists()
        else:
            check_procar(Procar(folder / "PROCAR"), result)
        if result.kpoint_mesh.divisions is None:
            assert not (folder / "IBZKPT").exists()
        else:
            check_ibzkpt(folder / "IBZKPT", result)


def check_outcar(outcar: Outcar, result: RunResult) -> None:
    last = result.steps[-1]
    equal(outcar.final_energy, last.energy_sigma0, 8)
    equal(outcar.final_energy_wo_entrp, last.energy_wo_entropy, 8)
    equal(outcar.final_fr_energy, last.free_energy, 8)
    equal(outcar.efermi, result.efermi, 4)
    equal(outcar.nelect, result.nelect, 7)
    equal(outcar.electrostatic_potential, result.core_potentials, 4)
    equal(outcar.read_avg_core_poten()[-1], result.core_potentials, 4)
    equal(outcar.drift, [step.forces.sum(axis=0) for step in result.steps], 6)
    assert outcar.spin is (result.nspin == 2)
    assert outcar.data["nbands"] == result.bands.eigenvalues.shape[2]
    assert len(outcar.data["nplwvs_at_kpoints"]) == len(result.bands.kpoints)
    assert outcar.data["ibrion"] == [[result.parameters["IBRION"]]]
    assert outcar.run_stats == {
        "Total CPU time used (sec)": 11.25,
        "Elapsed time (sec)": 12.5,
        "Maximum memory used (kb)": 123456.0,
        "cores": 1,
    }
    assert not outcar.is_stopped
    assert not outcar.lepsilon
    assert not outcar.dfpt
    if last.magnetization is None:
        assert outcar.total_mag is None
    else:
        equal(outcar.total_mag, last.magnetization, 7)
    for read, put in ((outcar.charge, result.site_charges), (outcar.magnetization, result.site_moments)):
        if put is None:
            assert read == ()
        else:
            equal([[site[key] for key in ("s", "p", "d", "tot")] for site in read], np.column_stack([put, put.sum(axis=1)]), 3)


def check_oszicar(oszicar: Oszicar, result: RunResult) -> None:
    assert [len(steps) for steps in oszicar.electronic_steps] == [len(step.scf) for step in result.steps]
    before = 0.0
    for scf, ionic, put in zip(oszicar.electronic_steps, oszicar.ionic_steps, result.steps, strict=True):
        np.testing.assert_allclose([s["E"] for s in scf], [s.energy for s in put.scf], rtol=1e-12)
        np.testing.assert_allclose([s["dE"] for s in scf], [s.change for s in put.scf], rtol=1e-5)
        np.testing.assert_allclose([s["rms(c)"] for s in scf], [s.density_error for s in put.scf], rtol=1e-3)
        assert [s["N"] for s in scf] == list(range(1, len(put.scf) + 1))
        expected = {"F": put.free_energy, "E0": put.energy_sigma0, "dE": put.free_energy - before}
        expected |= {} if put.magnetization is None else {"mag": put.magnetization}
        assert ionic == pytest.approx(expected, rel=1e-6, abs=1e-4)
        before = put.free_energy


def check_eigenval(eigenval: Eigenval, result: RunResult) -> None:
    bands = result.bands
    assert eigenval.ispin == result.nspin
    assert (eigenval.nelect, eigenval.nkpt, eigenval.nbands) == (round(result.nelect), *bands.eigenvalues.shape[1:])
    equal(eigenval.kpoints, bands.kpoints, 7)
    if bands.weights.any():
        equal(eigenval.kpoints_weights, bands.weights, 7)
    for n, spin in enumerate(SPINS[: result.nspin]):
        equal(eigenval.eigenvalues[spin][..., 0], bands.eigenvalues[n], 6)
        equal(eigenval.eigenvalues[spin][..., 1], bands.occupations[n], 6)


def check_procar(procar: Procar, result: RunResult) -> None:
    bands = result.bands
    orbitals = (
        ["s", "p", "d"] if result.parameters["LORBIT"] == 10 else ["s", "py", "pz", "px", "dxy", "dyz", "dz2", "dxz", "x2-y2"]
    )
    assert procar.orbitals == orbitals
    equal(procar.kpoints, bands.kpoints, 5)
    if bands.weights.any():
        equal(procar.weights, bands.weights, 8)
    for n, spin in enumerate(SPINS[: result.nspin]):
        equal(procar.eigenvalues[spin], bands.eigenvalues[n], 8)
        equal(procar.occupancies[spin], bands.occupations[n], 8)
        equal(procar.data[spin], by_l(bands.projections[n], 3) if len(orbitals) == 3 else bands.projections[n], 3)


def check_doscar(path: Path, result: RunResult) -> None:
    lines = path.read_text().splitlines()
    dos = result.dos
    points = len(dos.energies)
    assert int(lines[0].split()[0]) == len(result.symbols)
    highest, lowest, number, efermi, _ = map(float, lines[5].split())
    equal([highest, lowest, efermi], [dos.energies[-1], dos.energies[0], result.efermi], 8)
    assert number == points
    blocks = [np.loadtxt(lines[i + 1 : i + 1 + points], ndmin=2) for i in range(5, len(lines), points + 1)]
    equal(blocks[0][:, 0], dos.energies, 3)
    np.testing.assert_allclose(blocks[0][:, 1:].T, np.vstack([dos.total, dos.integrated]), rtol=1e-4, atol=1e-12)
    assert len(blocks) == 1 + (0 if dos.partial is None else len(dos.partial))
    for block, partial in zip(blocks[1:], [] if dos.partial is None else dos.partial, strict=True):
        columns = by_l(partial, 1) if result.parameters["LORBIT"] == 10 else partial
        for n in range(result.nspin):
            np.testing.assert_allclose(block[:, 1 + n :: result.nspin].T, columns[n], rtol=1e-4, atol=1e-12)


def check_structures(folder: Path, result: RunResult) -> None:
    last = result.steps[-1]
    contcar = Poscar.from_file(folder / "CONTCAR", check_for_potcar=False)
    assert contcar.comment == (result.comment or " ".join(f"{s.symbol}{s.count}" for s in result.species))
    assert [site.specie.symbol for site in contcar.structure] == result.symbols
    equal(contcar.structure.lattice.matrix, last.lattice, 14)
    equal(contcar.structure.frac_coords, last.frac_coords, 14)
    structures = Xdatcar(folder / "XDATCAR").structures
    assert len(structures) == len(result.steps)
    for read, put in zip(structures, result.steps, strict=True):
        assert isinstance(read, Structure)
        equal(read.lattice.matrix, put.lattice, 8)
        equal(read.frac_coords, put.frac_coords, 8)


def check_ibzkpt(path: Path, result: RunResult) -> None:
    lines = path.read_text().splitlines()
    table = np.loadtxt(lines[3:], ndmin=2)
    assert int(lines[1]) == len(table) == len(result.bands.kpoints)
    equal(table[:, :3], result.bands.kpoints, 14)
    equal(table[:, 3] / table[:, 3].sum(), result.bands.weights, 12)


def test_xdatcar_repeats_the_cell_only_where_it_moves(tmp_path):
    result = make_result(steps=3)
    still = [type(s)(**{**s.__dict__, "lattice": result.steps[0].lattice}) for s in result.steps]
    write_outputs(type(result)(**{**result.__dict__, "steps": tuple(still)}), tmp_path)
    assert (tmp_path / "XDATCAR").read_text().count("Mg1 O1") == 1
    assert len(Xdatcar(tmp_path / "XDATCAR").structures) == 3
    write_outputs(result, tmp_path)
    assert (tmp_path / "XDATCAR").read_text().count("Mg1 O1") == 3


@pytest.mark.parametrize("potential", [-999.99994, -1234.56789, 12345.678])
def test_large_potentials_keep_the_columns(tmp_path, potential):
    potentials = np.array([potential, -40.0, potential, -1.0, -2.0, potential, -3.0])
    result = make_result(blocks=(("Al", 2), ("Zn", 1), ("O", 4)), core_potentials=potentials)
    write_outputs(result, tmp_path)
    outcar = Outcar(tmp_path / "OUTCAR")
    np.testing.assert_allclose(outcar.electrostatic_potential, potentials, rtol=1e-5)
    np.testing.assert_allclose(outcar.read_avg_core_poten()[0], potentials, rtol=1e-5)


def test_mesh_of_the_potential_is_told_where_it_is_known(tmp_path):
    result = make_result(tags={"NGX": 20, "NGY": 21, "NGZ": 22, "NGXF": 40, "NGYF": 42, "NGZF": 44})
    write_outputs(result, tmp_path)
    outcar = Outcar(tmp_path / "OUTCAR")
    assert outcar.ngf == [40, 42, 44]
    assert outcar.data["nplwv"] == [[20 * 21 * 22]]
    write_outputs(make_result(), tmp_path)
    outcar = Outcar(tmp_path / "OUTCAR")
    assert outcar.ngf == [-1, -1, -1]
    assert outcar.data["nplwv"] == [[None]]


def test_eigenvalues_in_outcar_are_those_of_the_result(tmp_path):
    result = make_result(nspin=2, magnetization=1.0, charge=0.37)
    write_outputs(result, tmp_path)
    lines = (tmp_path / "OUTCAR").read_text().splitlines()
    starts = [n + 1 for n, line in enumerate(lines) if "band No." in line]
    nbands = result.bands.eigenvalues.shape[2]
    tables = np.array([np.loadtxt(lines[n : n + nbands]) for n in starts]).reshape(2, -1, nbands, 3)
    equal(tables[..., 1], result.bands.eigenvalues, 4)
    equal(tables[..., 2], result.bands.occupations, 5)


def test_projections_of_an_earlier_run_do_not_stay(tmp_path):
    write_outputs(make_result(nspin=2), tmp_path)
    assert set(Procar(tmp_path / "PROCAR").data) == {Spin.up, Spin.down}
    write_outputs(make_result(tags={"LORBIT": 0}, kind="path"), tmp_path)
    assert not (tmp_path / "PROCAR").exists()
    assert not (tmp_path / "IBZKPT").exists()
