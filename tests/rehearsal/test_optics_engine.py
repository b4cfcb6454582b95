"""LOPTICS: the Hilbert transform on known functions, and real runs against sum rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_runs import GAMMA_MESH, mgo, run_in, write_run

from hibana.rehearsal.optics import hilbert
from hibana.rehearsal.result import RunResult
from hibana.rehearsal.tetrahedron import densities, different, tetrahedra
from size import FULL

INCAR = "GGA = PS\nENCUT = 350\nEDIFF = 1e-5\nISIF = 0\nLWAVE = F\nNBANDS = 16\nLOPTICS = T\n"


def oscillator(energies: np.ndarray, resonance: float = 8.0, width: float = 0.6, strength: float = 100.0) -> np.ndarray:
    """Susceptibility of a damped oscillator: causal, its parts known."""
    return strength / (resonance**2 - energies**2 - 1j * energies * width)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.4])
def test_hilbert_transform_of_an_oscillator(shift):
    """A shift of the frequency is the function at a complex frequency."""
    energies = np.arange(20001) * 0.01
    found = hilbert(oscillator(energies).imag[None], 0.01, shift)[0]
    expected = oscillator(energies + 1j * shift)
    near = energies < 40
    assert found[near].real == pytest.approx(expected[near].real, abs=5e-3)
    assert found[near].imag == pytest.approx(expected[near].imag, abs=5e-3)


def test_hilbert_transform_without_shift_keeps_the_imaginary_part():
    values = np.zeros((2, 101))
    values[:, 20:60] = np.random.default_rng(3).uniform(0, 1, (2, 40))
    assert hilbert(values, 0.1, 0.0).imag == pytest.approx(values, abs=1e-10)


def test_hilbert_transform_of_a_triangle_is_exact():
    """A function linear between the points; its transform at 0 is an elementary integral."""
    step, centre, half = 0.5, 6.0, 2.0
    energies = np.arange(41) * step
    triangle = np.clip(1 - np.abs(energies - centre) / half, 0, None)
    a, b, c = centre - half, centre, centre + half
    integral = (half + a * np.log(a / b)) / half + (-half + c * np.log(c / b)) / half
    assert hilbert(triangle[None], step, 0.0)[0, 0].real == pytest.approx(2 / np.pi * integral)


def test_tetrahedra_by_kind_give_the_sum_over_all():
    divisions, reciprocal = (4, 4, 4), np.eye(3)
    axes = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    folded = np.sort(np.minimum(axes, 4 - axes), axis=1)
    _, irreducible = np.unique(folded, axis=0, return_inverse=True)
    irreducible = irreducible.ravel()
    rng = np.random.default_rng(5)
    bands, weights = rng.normal(size=(irreducible.max() + 1, 3)), rng.uniform(size=(irreducible.max() + 1, 3, 2))
    energies = np.linspace(-3, 3, 61)
    every = tetrahedra(divisions, reciprocal)
    kinds, shares = different(irreducible, every)
    assert len(kinds) < len(every) / 4
    expected = densities(energies, bands, weights, irreducible[every])
    for found, other in zip(densities(energies, bands, weights, kinds, shares), expected, strict=True):
        assert found == pytest.approx(other, abs=1e-12)


def optics(folder: Path, extra: str, n: int = 4) -> RunResult:
    write_run(folder, poscar=mgo(), incar=INCAR + extra, kpoints=GAMMA_MESH.format(n, n, n), elements=["Mg", "O"])
    return run_in(folder)


@pytest.fixture(scope="module")
def spectrum(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """MgO by tetrahedra and without shift, as vise asks."""
    return optics(tmp_path_factory.mktemp("MgO"), "ISMEAR = -5\nCSHIFT = 0\nNEDOS = 2001\n", 8 if FULL else 4)


def test_spectrum_lies_on_vasps_grid_and_has_the_crystals_symmetry(spectrum):
    s = spectrum.spectrum
    assert s.real.shape == s.imag.shape == (2001, 6)
    values = spectrum.bands.eigenvalues
    assert (s.energies[0], s.energies[-1]) == pytest.approx((0, values.max() - values.min()))
    assert s.real[:, :3] == pytest.approx(np.repeat(s.real[:, :1], 3, axis=1))
    assert np.abs(s.real[:, 3:]).max() < 1e-10
    assert np.abs(s.imag[:, 3:]).max() < 1e-10


def test_absorption_is_positive_and_begins_at_the_gap(spectrum):
    s = spectrum.spectrum
    filled = spectrum.bands.occupations[0] > 0.5
    values = spectrum.bands.eigenvalues[0]
    gap = (np.where(filled, np.inf, values).min(axis=1) - np.where(filled, values, -np.inf).max(axis=1)).min()
    assert s.imag[:, 0].min() > -1e-9
    assert np.abs(s.imag[s.energies < gap - 0.02]).max() < 1e-9
    assert s.imag[s.energies > gap + 0.5, 0].max() > 1
    electrons = spectrum.provenance["optics"]["electrons_in_f_sum"]
    assert 4 < electrons < 8  # eight valence electrons, less what lies above the last band


def test_real_part_is_the_principal_value_integral(spectrum):
    """By every other point (Maclaurin), which never meets the pole."""
    s = spectrum.spectrum
    step = s.energies[1]
    for index in (0, 150, 401, 802, 1203):
        others = np.arange((index + 1) % 2, len(s.energies), 2)
        e = s.energies[others]
        integral = (e * s.imag[others, 0] / (e**2 - s.energies[index] ** 2)).sum() * 2 * step
        assert s.real[index, 0] == pytest.approx(1 + 2 / np.pi * integral, abs=0.05)


def test_static_limit_is_that_of_the_response_without_local_fields(spectrum, tmp_path):
    n = 8 if FULL else 4
    incar = INCAR.replace("LOPTICS", "LEPSILON") + "ISMEAR = 0\nSIGMA = 0.05\n"
    write_run(tmp_path, poscar=mgo(), incar=incar, kpoints=GAMMA_MESH.format(n, n, n), elements=["Mg", "O"])
    account = run_in(tmp_path).provenance["response"]["electrons"]
    refined = np.trace(account["independent_particles_refined"]) / 3
    assert spectrum.spectrum.real[0, 0] == pytest.approx(refined, rel=0.05)


def test_shift_and_smearing_broaden_and_keep_the_static_limit(spectrum, tmp_path):
    wide = optics(tmp_path / "shift", "ISMEAR = -5\nCSHIFT = 0.3\nNEDOS = 2001\n", 8 if FULL else 4).spectrum
    assert wide.imag[:, 0].max() < spectrum.spectrum.imag[:, 0].max()
    assert wide.real[0, 0] == pytest.approx(spectrum.spectrum.real[0, 0], rel=0.01)
    smeared = optics(tmp_path / "gauss", "ISMEAR = 0\nSIGMA = 0.2\nCSHIFT = 0\nNEDOS = 1001\nOMEGAMAX = 25\n")
    assert smeared.spectrum.energies[-1] == pytest.approx(25)
    assert smeared.spectrum.imag[:, 0].max() > 1
    assert "smearing of 0.2 eV" in smeared.provenance["optics"]["integration"]


def test_spectrum_and_static_response_in_one_run(tmp_path):
    both = optics(tmp_path, "ISMEAR = -5\nNEDOS = 301\nLEPSILON = T\n", 2)
    assert both.spectrum is not None
    assert both.response is not None
    assert both.provenance["optics"]["cshift_eV"] == 0.1
