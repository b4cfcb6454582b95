"""Effective masses; they need BoltzTraP2, which is optional."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hibana.documents.crystal import Crystal
from hibana.properties.masses import available, effective_masses
from hibana.vasp.reader import read_run

needs_boltztrap = pytest.mark.skipif(not available(), reason="BoltzTraP2 is not installed")

HBAR2_PER_MASS = 7.6199682
"""ħ²/m of the electron, eV Å^2."""


def cosine_bands(a: float, ratio: float, electron: float, hole: float, n: int = 12):
    """Cell, k-points and eigenvalues of a tetragonal crystal with cosine bands; hoppings in eV along a, c/a to the square."""
    cell = Crystal(lattice=((a, 0, 0), (0, a, 0), (0, 0, ratio * a)), species=("Po",), frac_coords=((0, 0, 0),))
    points = np.array([p for p in itertools.product(range(n // 2 + 1), repeat=3) if p[0] >= p[1]]) / n
    waves = (1 - np.cos(2 * np.pi * points)).sum(axis=1)
    return cell, points, np.stack([-hole * waves, 3 + electron * waves], axis=-1)[None]


@needs_boltztrap
def test_masses_of_cosine_bands():
    """ħ²/(2 t a²) along each axis, at a low temperature where the bands are parabolic as far as they are filled."""
    a, ratio, electron, hole = 4.0, 1.2, 0.9, 0.5
    cell, points, bands = cosine_bands(a, ratio, electron, hole)
    found = effective_masses(cell, points, bands, 0.0, 3.0, electrons_per_state=2, temperature=150, refinement=60)
    for tensor, hopping in ((found.electron, electron), (found.hole, hole)):
        expected = HBAR2_PER_MASS / (hopping * a**2) * np.array([1, 1, 1 / ratio**2])
        assert np.diag(tensor) == pytest.approx(expected, rel=0.05)
        assert tensor - np.diag(np.diag(tensor)) == pytest.approx(np.zeros((3, 3)), abs=1e-6)


@needs_boltztrap
def test_two_spins_alike_are_one_without_spin():
    cell, points, bands = cosine_bands(4.0, 1.0, 0.9, 0.5, n=8)
    one = effective_masses(cell, points, bands, 0.0, 3.0, electrons_per_state=2)
    two = effective_masses(cell, points, np.concatenate([bands, bands]), 0.0, 3.0, electrons_per_state=1)
    assert two.electron == pytest.approx(one.electron, rel=1e-6)
    assert two.hole == pytest.approx(one.hole, rel=1e-6)


@needs_boltztrap
def test_mgo_is_isotropic_and_as_vise_has_it(recorded):
    from pymatgen.io.vasp import Vasprun
    from vise.analyzer.vasp.make_effective_mass import make_effective_mass

    folder = recorded / "vasp_runs" / "MgO_dos_pbesol" / "outputs"
    run, arrays = read_run(folder)
    edges = run.edges
    found = effective_masses(run.final, arrays["kpoints"], arrays["eigenvalues"], edges.vbm, edges.cbm, electrons_per_state=2)
    file = next(folder.glob("vasprun.xml*"))
    vise = make_effective_mass(
        Vasprun(file, parse_dos=False, parse_potcar_file=False), found.temperature, [found.concentration], edges.vbm, edges.cbm
    )
    assert found.electron == pytest.approx(np.array(vise.n[0]), rel=0.01, abs=1e-4)
    assert found.hole == pytest.approx(np.array(vise.p[0]), rel=0.01, abs=1e-4)
    assert found.electron == pytest.approx(found.electron[0, 0] * np.eye(3), abs=1e-3)
    assert 0.3 < found.electron[0, 0] < 0.4


@needs_boltztrap
def test_without_a_gap_there_are_no_masses():
    cell, points, bands = cosine_bands(4.0, 1.0, 0.9, 0.5, n=4)
    with pytest.raises(ValueError, match="gap"):
        effective_masses(cell, points, bands, 1.0, 1.0, electrons_per_state=2)


@pytest.mark.skipif(available(), reason="BoltzTraP2 is installed")
def test_without_boltztrap_the_import_says_so():
    cell, points, bands = cosine_bands(4.0, 1.0, 0.9, 0.5, n=4)
    with pytest.raises(ImportError, match="BoltzTraP2"):
        effective_masses(cell, points, bands, 0.0, 3.0, electrons_per_state=2)
