"""The numbers of small real runs against recorded VASP values, published ones and each other."""

from __future__ import annotations

import numpy as np
import pytest
from engine_runs import GAMMA_MESH, Recorder, mgo, run_in, write_run

from hibana.rehearsal.scf import KBAR

pytestmark = pytest.mark.slow

RELAX = (
    "GGA = PS\nENCUT = 585\nISMEAR = 0\nSIGMA = 0.1\nEDIFF = 1e-6\nEDIFFG = -0.005\nNSW = 20\nIBRION = 2\nISIF = 3\nLWAVE = F\n"
)
STATIC = "GGA = PS\nENCUT = 450\nISMEAR = 0\nSIGMA = 0.1\nEDIFF = 1e-5\nNSW = 1\nIBRION = 2\nISIF = 0\nNBANDS = 12\n"

OXYGEN = """O in a box
1.0
6.0 0 0
0 6.2 0
0 0 6.4
O
{n}
direct
"""


def band_gap(result):
    filled = result.bands.occupations > 0.5
    return result.bands.eigenvalues[~filled].min() - result.bands.eigenvalues[filled].max()


def test_mgo_relaxes_to_the_lattice_constant_of_vasp_and_stays(tmp_path):
    """PBEsol: VASP has 4.22 Å."""
    mesh = GAMMA_MESH.format(4, 4, 4)
    folder = write_run(tmp_path / "1", poscar=mgo(4.30), incar=RELAX, kpoints=mesh, elements=["Mg", "O"])
    result = run_in(folder)
    assert result.ionic_converged
    lattice = np.linalg.norm(result.steps[-1].lattice[0]) * np.sqrt(2)
    assert lattice == pytest.approx(4.22, rel=0.005)
    assert np.abs(result.steps[-1].stress).max() < 2.0
    again = write_run(tmp_path / "2", poscar=mgo(lattice), incar=RELAX, kpoints=mesh, elements=["Mg", "O"])
    assert len(run_in(again).steps) == 1


def test_mgo_gaps_are_those_of_vasp(tmp_path):
    """VASP: PBEsol 4.66 eV, HSE06 6.57 eV, direct at Gamma."""
    mesh = GAMMA_MESH.format(4, 4, 4)
    semilocal = write_run(tmp_path / "s", poscar=mgo(), incar=STATIC, kpoints=mesh, elements=["Mg", "O"])
    result = run_in(semilocal)
    assert band_gap(result) == pytest.approx(4.66, abs=0.25)
    incar = STATIC + "LHFCALC = T\nHFSCREEN = 0.208\nAEXX = 0.25\nALGO = Subrot\nNELM = 1\nLWAVE = F\n"
    hybrid = write_run(tmp_path / "h", poscar=mgo(), incar=incar, kpoints=mesh, elements=["Mg", "O"])
    (hybrid / "WAVECAR").write_bytes((semilocal / "WAVECAR").read_bytes())
    assert band_gap(run_in(hybrid)) == pytest.approx(6.57, abs=0.35)


def test_stress_is_the_derivative_of_the_energy(tmp_path):
    """At a cutoff where the basis no longer matters, over 3 % of the lattice constant."""
    incar = STATIC.replace("450", "800").replace("ISIF = 0", "ISIF = 2") + "LWAVE = F\n"
    energies, volumes, pressures = [], [], []
    for a in (4.16, 4.22, 4.28):
        folder = write_run(
            tmp_path / str(a), poscar=mgo(a), incar=incar, kpoints=GAMMA_MESH.format(3, 3, 3), elements=["Mg", "O"]
        )
        step = run_in(folder).steps[-1]
        energies.append(step.free_energy)
        volumes.append(np.linalg.det(step.lattice))
        pressures.append(np.trace(step.stress) / 3 / KBAR)
    curve = np.polyfit(volumes, energies, 2)
    assert pressures[1] == pytest.approx(-np.polyval(np.polyder(curve), volumes[1]), abs=0.004)
    bulk_modulus = 2 * curve[0] * volumes[1] * 160.2177
    assert bulk_modulus == pytest.approx(160, rel=0.15)  # GPa, PBEsol and experiment


@pytest.mark.parametrize(("positions", "moments"), [("0.5 0.5 0.5\n", "2"), ("0.5 0.5 0.4\n0.5 0.5 0.588\n", "1 1")])
def test_oxygen_atom_and_molecule_have_two_unpaired_electrons(tmp_path, positions, moments):
    count = len(moments.split())
    incar = f"GGA = PS\nENCUT = 400\nISMEAR = 0\nSIGMA = 0.01\nISPIN = 2\nMAGMOM = {moments}\nLORBIT = 11\nISIF = 0\nLWAVE = F\n"
    folder = write_run(
        tmp_path,
        poscar=OXYGEN.format(n=count) + positions,
        incar=incar,
        kpoints=GAMMA_MESH.format(1, 1, 1),
        elements=["O"],
    )
    result = run_in(folder)
    assert result.steps[-1].magnetization == pytest.approx(2, abs=0.02)
    assert result.site_moments is not None
    assert result.site_moments[:, 1].min() > 0.5
    if count == 2:
        forces = result.steps[-1].forces
        assert forces is not None
        assert np.abs(forces.sum(axis=0)).max() < 0.1


def test_ions_only_relaxation_keeps_the_cell(tmp_path):
    poscar = mgo().replace("0.5 0.5 0.5", "0.51 0.5 0.49")
    incar = RELAX.replace("ISIF = 3", "ISIF = 2").replace("585", "400").replace("-0.005", "-0.02")
    folder = write_run(tmp_path, poscar=poscar, incar=incar, kpoints=GAMMA_MESH.format(2, 2, 2), elements=["Mg", "O"])
    listener = Recorder()
    result = run_in(folder, listener)
    assert result.ionic_converged
    assert len(listener.ionic) == len(result.steps) > 1
    assert result.steps[-1].lattice == pytest.approx(result.steps[0].lattice)
    assert np.linalg.norm(result.steps[-1].forces, axis=1).max() < 0.02
    assert result.steps[-1].free_energy < result.steps[0].free_energy
