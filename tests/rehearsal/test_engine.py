"""Small real runs: what the engine does, not how good the numbers are (that is in test_physics.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from engine_runs import GAMMA_MESH, ZNO, Recorder, mgo, run_in, write_run

from hibana.rehearsal import restart
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.inputs import read_inputs
from hibana.rehearsal.kpoints import star, unique

COARSE = "ENCUT = 250\nGGA = PS\nISMEAR = 0\nSIGMA = 0.1\nEDIFF = 1e-5\nISIF = 0\n"
MESH = GAMMA_MESH.format(2, 2, 2)
PATH = "list\n7\nReciprocal\n0 0 0 1\n0.5 0 0 4\n0.5 0.5 0 3\n0 0 0 0 G\n0.25 0.25 0 0\n0.1 0 0 0\n0.5 0.5 0 0 X\n"


def coarse_mgo(folder, incar="", kpoints=MESH, a=4.22):
    return write_run(folder, poscar=mgo(a), incar=COARSE + incar, kpoints=kpoints, elements=["Mg", "O"])


def test_the_program_writes_files_that_pymatgen_reads(tmp_path):
    from pymatgen.io.vasp import Outcar, Vasprun

    folder = coarse_mgo(tmp_path, "LORBIT = 11\nLWAVE = F\nLCHARG = T\nLELF = T\n")
    done = subprocess.run(
        [sys.executable, "-m", "hibana.rehearsal"], cwd=folder, capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert "NOT VASP" in done.stdout
    assert "ELFCAR" in done.stdout
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vasprun = Vasprun(folder / "vasprun.xml", parse_projected_eigen=True)
        Outcar(folder / "OUTCAR")
    assert vasprun.converged
    assert vasprun.run_type == "PBEsol"
    assert vasprun.parameters["NELECT"] == 8
    gap, _, _, _ = vasprun.eigenvalue_band_properties
    assert 3 < gap < 7
    sidecar = json.loads((folder / "HIBANA-VASP.json").read_text())
    assert sidecar["engine"] == "gpaw-rehearsal"
    assert sidecar["is_vasp"] is False
    assert set(sidecar["datasets"]) == {"Mg", "O"}
    assert all(len(d["file_sha256"]) == 64 for d in sidecar["datasets"].values())
    assert sidecar["electrons_in_densities"] == {"valence": pytest.approx(8, abs=1e-6)}
    assert (folder / "CHGCAR").exists()
    assert not (folder / "WAVECAR").exists()


@pytest.fixture(scope="module")
def path_run(tmp_path_factory):
    folder = coarse_mgo(tmp_path_factory.mktemp("path"), "LORBIT = 11\n", PATH)
    return folder, run_in(folder)


def test_zero_weight_points_agree_with_the_mesh_where_they_meet(path_run):
    bands = path_run[1].bands
    assert bands.weights == pytest.approx([1 / 8, 4 / 8, 3 / 8, 0, 0, 0, 0])
    assert bands.eigenvalues[0, 3] == pytest.approx(bands.eigenvalues[0, 0], abs=2e-3)
    assert bands.eigenvalues[0, 6] == pytest.approx(bands.eigenvalues[0, 2], abs=2e-3)
    assert bands.projections is not None
    total = bands.projections.sum(axis=(3, 4))
    assert total[0, 3, :4] == pytest.approx(total[0, 0, :4], abs=1e-3)
    assert (bands.occupations[0, :, :4] > 0.99).all()
    assert (bands.occupations[0, :, 4:] < 0.01).all()


def test_states_fill_the_spheres_with_at_most_all_of_themselves(path_run):
    projections = path_run[1].bands.projections
    assert projections is not None
    assert (projections > -1e-9).all()
    # spheres of 2.0 and 1.4 Bohr do not overlap at 3.99 Bohr
    assert projections.sum(axis=(3, 4)).max() < 1.02


def test_a_hybrid_starts_from_wavecar_and_opens_the_gap_on_mesh_and_path(path_run, tmp_path):
    semilocal_folder, semilocal = path_run
    incar = "LHFCALC = T\nHFSCREEN = 0.208\nALGO = Subrot\nNELM = 1\nLORBIT = 11\nLWAVE = F\n"
    folder = coarse_mgo(tmp_path, incar, PATH)
    (folder / "WAVECAR").write_bytes((semilocal_folder / "WAVECAR").read_bytes())
    listener = Recorder()
    hybrid = run_in(folder, listener)
    assert len(listener.scf) == len(listener.ionic) == 1
    assert "PBEsol ground state of WAVECAR" in hybrid.provenance["ground_state"]
    assert hybrid.steps[0].forces is None
    assert hybrid.bands.eigenvalues[0, 3] == pytest.approx(hybrid.bands.eigenvalues[0, 0], abs=5e-3)
    shift = hybrid.bands.eigenvalues - semilocal.bands.eigenvalues
    assert (shift[0, :, :4] < 0).all()
    assert (shift[0, :, 4] > 0).all()
    # an independent implementation of the same energy
    from gpaw.hybrids.energy import non_self_consistent_energy

    calculator = restart.load(semilocal_folder)
    assert calculator is not None
    expected = non_self_consistent_energy(calculator, "HSE06")[1:].sum()
    assert hybrid.steps[0].free_energy - semilocal.steps[0].free_energy == pytest.approx(expected, abs=2e-3)


def test_exchange_fraction_scales_the_hybrid_linearly(path_run, tmp_path):
    gaps = {}
    for fraction in (0.1, 0.25, 0.4):
        incar = f"LHFCALC = T\nHFSCREEN = 0.2\nAEXX = {fraction}\nALGO = Eigenval\nNELM = 1\nLWAVE = F\n"
        folder = coarse_mgo(tmp_path / str(fraction), incar, PATH)
        (folder / "WAVECAR").write_bytes((path_run[0] / "WAVECAR").read_bytes())
        gaps[fraction] = np.diff(run_in(folder).bands.eigenvalues[0, 0, 3:5])[0]
    assert gaps[0.1] < gaps[0.25] < gaps[0.4]
    assert gaps[0.25] == pytest.approx((gaps[0.1] + gaps[0.4]) / 2)


@pytest.mark.parametrize(
    ("change", "reason"), [({"a": 4.3}, "another structure"), ({"kpoints": GAMMA_MESH.format(1, 1, 1)}, "other k points")]
)
def test_a_wavecar_of_another_calculation_is_not_used(path_run, tmp_path, change, reason):
    folder = coarse_mgo(tmp_path, "LHFCALC = T\nHFSCREEN = 0.2\nALGO = Eigenval\nNELM = 1\nLWAVE = F\n", **change)
    (folder / "WAVECAR").write_bytes((path_run[0] / "WAVECAR").read_bytes())
    listener = Recorder()
    result = run_in(folder, listener)
    assert reason in listener.notes[0]
    assert reason in result.provenance["ground_state"]


def test_a_wavecar_that_is_none_is_a_numbered_error(tmp_path):
    folder = coarse_mgo(tmp_path, "LHFCALC = T\nHFSCREEN = 0.2\nALGO = Eigenval\nNELM = 1\n")
    (folder / "WAVECAR").write_bytes(b"not a restart file")
    with pytest.raises(RehearsalError) as caught:
        run_in(folder)
    assert caught.value.number == 181


def test_a_line_path_needs_and_uses_the_density_of_a_mesh(path_run, tmp_path):
    line = "path\n3\nLine\nReciprocal\n0 0 0\n0.5 0.5 0\n"
    folder = coarse_mgo(tmp_path, "ICHARG = 11\nLWAVE = F\nLORBIT = 11\n", line)
    with pytest.raises(RehearsalError, match="there is no WAVECAR"):
        run_in(folder)
    (folder / "WAVECAR").write_bytes((path_run[0] / "WAVECAR").read_bytes())
    result = run_in(folder)
    assert result.bands.eigenvalues[0, 0] == pytest.approx(path_run[1].bands.eigenvalues[0, 0], abs=2e-3)
    assert result.bands.eigenvalues[0, 1] == pytest.approx(path_run[1].bands.eigenvalues[0, 4], abs=2e-3)
    assert result.dos.total.shape == (1, 301)


def test_a_denser_mesh_in_the_density_of_wavecar(path_run, tmp_path):
    folder = coarse_mgo(tmp_path, "ICHARG = 11\nLWAVE = F\n", GAMMA_MESH.format(4, 4, 4))
    (folder / "WAVECAR").write_bytes((path_run[0] / "WAVECAR").read_bytes())
    result = run_in(folder)
    assert len(result.bands.kpoints) == 8
    gamma = int(np.abs(result.bands.kpoints).sum(axis=1).argmin())
    assert result.bands.eigenvalues[0, gamma] == pytest.approx(path_run[1].bands.eigenvalues[0, 0], abs=2e-3)


def test_an_scf_that_does_not_converge_ends_with_its_files(tmp_path):
    folder = coarse_mgo(tmp_path, "NELM = 3\nLWAVE = F\n")
    result = run_in(folder)
    assert not result.electronic_converged
    assert len(result.steps[-1].scf) == 3
    assert result.steps[-1].forces is not None


def test_stopcar_ends_a_relaxation_after_the_present_step(tmp_path):
    folder = coarse_mgo(tmp_path, "NSW = 9\nIBRION = 2\nEDIFFG = -1e-4\nLWAVE = F\n", a=4.4)
    (folder / "INCAR").write_text((folder / "INCAR").read_text().replace("ISIF = 0", "ISIF = 3"))
    (folder / "STOPCAR").write_text("LSTOP = .TRUE.\n")
    result = run_in(folder)
    assert len(result.steps) == 1
    assert not result.ionic_converged
    (folder / "STOPCAR").write_text("LABORT = .TRUE.\n")
    result = run_in(folder)
    assert len(result.steps[0].scf) == 1
    assert not result.electronic_converged


def test_ions_relax_in_a_fixed_cell_and_held_atoms_stay(tmp_path):
    moved = mgo().replace("direct", "Selective dynamics\ndirect").replace("0 0 0\n", "0 0 0 F F F\n")
    moved = moved.replace("0.5 0.5 0.5\n", "0.52 0.52 0.52 T T T\n")
    incar = COARSE.replace("ISIF = 0", "ISIF = 2") + "NSW = 8\nIBRION = 2\nEDIFFG = -0.05\nLWAVE = F\n"
    folder = write_run(tmp_path, poscar=moved, incar=incar, kpoints=MESH, elements=["Mg", "O"])
    result = run_in(folder)
    assert result.ionic_converged
    first, last = result.steps[0], result.steps[-1]
    assert last.free_energy < first.free_energy
    assert last.lattice == pytest.approx(first.lattice)
    assert (first.stress is None, last.stress.shape) == (True, (3, 3)), "the stress is of the last geometry alone"
    assert last.frac_coords[0] == pytest.approx(np.zeros(3), abs=1e-12)
    assert last.frac_coords[1] == pytest.approx(np.full(3, 0.5), abs=5e-3)
    assert result.selective_dynamics is not None


def test_a_charged_cell_has_its_electrons(tmp_path):
    folder = coarse_mgo(tmp_path, "NELECT = 7\nISPIN = 2\nMAGMOM = 0 1\nLWAVE = F\nLORBIT = 11\n")
    result = run_in(folder)
    electrons = np.einsum("skb,k->s", result.bands.occupations, result.bands.weights)
    assert electrons.sum() == pytest.approx(7, abs=1e-4)
    assert result.steps[-1].magnetization == pytest.approx(electrons[0] - electrons[1], abs=1e-3)
    assert result.site_moments is not None


def test_symmetry_changes_neither_characters_nor_densities_of_states(tmp_path):
    """Wurtzite with its point group against all points of the zone, listed in a random choice of representatives."""
    incar = "ENCUT=300\nGGA=PS\nISMEAR=0\nSIGMA=0.1\nLORBIT=11\nNBANDS=20\nNEDOS=200\nISIF=0\nLWAVE=F\n"
    mesh = GAMMA_MESH.format(3, 3, 2)
    with_group = write_run(tmp_path / "s", poscar=ZNO, incar=incar, kpoints=mesh, elements=["Zn", "O"])
    without = write_run(tmp_path / "n", poscar=ZNO, incar=incar + "ISYM=-1\n", kpoints=mesh, elements=["Zn", "O"])
    all_points = run_in(without)
    rotations = read_inputs(with_group).rotations
    chosen = representatives(all_points.bands.kpoints, rotations)
    listed = f"list\n{len(chosen)}\nReciprocal\n" + "".join(f"{x:.12f} {y:.12f} {z:.12f} {n}\n" for (x, y, z), n in chosen)
    (with_group / "KPOINTS").write_text(listed)
    reduced = run_in(with_group)
    assert reduced.dos.partial == pytest.approx(all_points.dos.partial, abs=5e-3)
    assert reduced.site_charges == pytest.approx(all_points.site_charges, abs=1e-3)
    for n, point in enumerate(reduced.bands.kpoints):
        difference = all_points.bands.kpoints - point
        (m,) = np.flatnonzero(np.abs(difference - np.round(difference)).max(axis=1) < 1e-6)
        assert reduced.bands.eigenvalues[0, n] == pytest.approx(all_points.bands.eigenvalues[0, m], abs=1e-3)
        group = np.cumsum(np.r_[0, np.diff(all_points.bands.eigenvalues[0, m]) > 5e-3])
        for number in range(group[17] + 1):
            ours = reduced.bands.projections[0, n][group == number].sum(axis=0)
            theirs = all_points.bands.projections[0, m][group == number].sum(axis=0)
            assert ours == pytest.approx(theirs, abs=2e-3)


def representatives(points, rotations):
    """One randomly chosen point of each star with the star's size."""
    chosen: list = []
    seen = np.zeros((0, 3))
    for point in np.random.default_rng(1).permutation(points):
        if len(seen) and len(unique(np.concatenate([seen, point[None]]))) == len(seen):
            continue
        images = star(point, rotations)
        seen = np.concatenate([seen, images])
        chosen.append((point, len(images)))
    return chosen
