"""The hybrids' Hamiltonian against GPAW's own, their self-consistent counterpart and published gaps."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
from ase.units import Ha
from engine_runs import GAMMA_MESH, Recorder, mgo, run_in, write_run
from scipy.special import erf

from hibana.rehearsal.datasets import default_folder, ensure
from hibana.rehearsal.exchange import CORNERS, WignerSeitzCoulomb, shares_of_corners
from hibana.rehearsal.hybrid import PerturbativeHybrid
from hibana.rehearsal.inputs import read_inputs
from hibana.rehearsal.scf import gpaw_parameters, make_atoms, search_path
from hibana.rehearsal.settings import Hybrid

FCC = 2.11 * (np.ones((3, 3)) - np.eye(3)) / 0.529177
"""Primitive cell of MgO, Bohr."""

INCAR = "GGA = PE\nENCUT = 250\nISMEAR = 0\nSIGMA = 0.05\nEDIFF = 1e-7\nNBANDS = 8\nISIF = 0\n"
MESH = GAMMA_MESH.format(2, 2, 2)
PATH = "list\n6\nReciprocal\n0 0 0 1\n0.5 0 0 4\n0.5 0.5 0 3\n0.25 0.25 0 0\n0.5 0.5 0 0\n0.1 0 0 0\n"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hybrid")
    return read_inputs(write_run(folder, poscar=mgo(), incar=INCAR, kpoints=MESH, elements=["Mg", "O"]))


@pytest.fixture(scope="module")
def converged(inputs):
    """Makes converged PBE calculations, whose data sets GPAW's hybrids take too; further arguments replace PBE's."""
    from gpaw.new.ase_interface import GPAW

    files = [ensure(recipe.symbol, "PBE", default_folder()) for recipe in inputs.recipes]
    search_path(files)
    parameters = gpaw_parameters(inputs, files)
    parameters["mode"]["force_complex_dtype"] = True

    def make(**others):
        calculator = GPAW(**parameters | others, txt=None)
        atoms = make_atoms(inputs)
        atoms.calc = calculator
        atoms.get_potential_energy()
        return calculator

    return make


@pytest.fixture(scope="module")
def matrices(inputs, converged):
    """Calculator, our hybrid and its Hamiltonian for a functional with a quarter of exact exchange."""

    @functools.cache
    def make(functional):
        calculator = converged()
        hybrid = PerturbativeHybrid(calculator, Hybrid(functional, 0.25, 0.0, rotates=True), inputs.kpoints.grid, 8)
        return calculator, hybrid, hybrid.hamiltonian(calculator.dft.ibzwfs)

    return make


@pytest.mark.parametrize("functional", ["PBE0", "HSE06"])
class TestHamiltonian:
    def test_it_is_hermitian_with_the_first_order_eigenvalues_on_its_diagonal(self, matrices, functional):
        from gpaw.hybrids import NonSelfConsistentHybridXCCalculator

        calculator, _, hamiltonian = matrices(functional)
        np.testing.assert_allclose(hamiltonian, hamiltonian.conj().swapaxes(-1, -2), atol=1e-12)
        reference = NonSelfConsistentHybridXCCalculator.from_dft_calculation(calculator.dft, functional, log=None)
        _, expected = reference.calculate(calculator.dft.ibzwfs, 0, 8)
        np.testing.assert_allclose(np.einsum("sknn->skn", hamiltonian), expected, atol=1e-9)

    def test_it_has_the_eigenvalues_of_gpaws_matrix(self, matrices, converged, functional):
        from gpaw.hybrids import non_self_consistent_matrix_elements

        expected = non_self_consistent_matrix_elements(converged().dft, functional)[:, :, :8, :8] * Ha
        _, _, hamiltonian = matrices(functional)
        np.testing.assert_allclose(np.linalg.eigvalsh(hamiltonian), np.linalg.eigvalsh(expected), atol=1e-4)

    def test_rotation_lowers_the_lowest_states_a_little_and_keeps_the_trace(self, matrices, functional):
        calculator, hybrid, hamiltonian = matrices(functional)
        states = calculator.dft.ibzwfs
        turned, diagonal = hybrid.eigenvalues(states), np.einsum("sknn->skn", hamiltonian).real
        np.testing.assert_allclose(turned.sum(axis=-1), diagonal.sum(axis=-1), atol=1e-9)
        fall = (diagonal - turned)[..., :4].sum(axis=-1)
        assert (fall > 1e-4).all()
        assert (fall < 0.1).all()
        rotations = hybrid.rotations(states)
        rebuilt = np.einsum("skna,ska,skma->sknm", rotations, turned, rotations.conj())
        np.testing.assert_allclose(rebuilt, hamiltonian, atol=1e-9)


def test_without_rotation_the_diagonal_is_taken(inputs, matrices):
    calculator, hybrid, hamiltonian = matrices("HSE06")
    first_order = PerturbativeHybrid(calculator, replace(hybrid.hybrid, rotates=False), inputs.kpoints.grid, 8)
    assert first_order.rotations(calculator.dft.ibzwfs) is None
    expected = np.einsum("sknn->skn", hamiltonian).real
    np.testing.assert_allclose(first_order.eigenvalues(calculator.dft.ibzwfs), expected, atol=1e-12)


@pytest.mark.slow
def test_rotation_goes_towards_self_consistency(matrices, converged):
    calculator, hybrid, hamiltonian = matrices("HSE06")
    loose = {"energy": 1e-4, "density": 1e-3, "eigenstates": 1e-4}
    consistent = np.array(converged(xc="HSE06", convergence=loose).eigenvalues())
    found = {
        "semilocal": np.array(calculator.eigenvalues()),
        "diagonal": np.einsum("sknn->skn", hamiltonian).real,
        "rotated": hybrid.eigenvalues(calculator.dft.ibzwfs),
    }
    errors = {name: np.abs(direct_gaps(values) - direct_gaps(consistent)) for name, values in found.items()}
    assert errors["semilocal"].min() > 2
    assert errors["rotated"].max() < 0.05
    assert errors["rotated"][0] < errors["diagonal"][0]


def direct_gaps(eigenvalues):
    return eigenvalues[0, :, 4] - eigenvalues[0, :, 3]


@pytest.fixture(scope="module")
def semilocal(tmp_path_factory):
    """Folder and result of a PBEsol run with points of zero weight."""
    folder = tmp_path_factory.mktemp("semilocal")
    incar = INCAR.replace("PE", "PS")
    return folder, run_in(write_run(folder, poscar=mgo(), incar=incar, kpoints=PATH, elements=["Mg", "O"]))


def hybrid_run(folder, semilocal, algo):
    incar = (
        INCAR.replace("PE", "PS") + f"LHFCALC = T\nAEXX = 0.317\nALGO = {algo}\nNELM = 1\nLORBIT = 11\nLWAVE = F\nLCHARG = F\n"
    )
    write_run(folder, poscar=mgo(), incar=incar, kpoints=PATH, elements=["Mg", "O"])
    (folder / "WAVECAR").write_bytes((semilocal[0] / "WAVECAR").read_bytes())
    return run_in(folder, Recorder())


def test_unscreened_exchange_on_mesh_and_path(semilocal, tmp_path):
    turned, diagonal = (hybrid_run(tmp_path / algo, semilocal, algo) for algo in ("Subrot", "Eigenval"))
    for result, mode in ((turned, "diagonalised"), (diagonal, "first-order eigenvalues")):
        bands = result.bands
        assert mode in result.provenance["hybrid"]["mode"]
        assert bands.eigenvalues[0, 4] == pytest.approx(bands.eigenvalues[0, 2], abs=5e-3)
        assert (np.diff(bands.eigenvalues[0, [0, 5], 3:5]) > 5).all()
    # bands leave the mesh's points without a step: near Gamma they run as those of the semilocal run do
    ours, theirs = (r.bands.eigenvalues[0, 5, :8] - r.bands.eigenvalues[0, 0, :8] for r in (turned, semilocal[1]))
    assert ours[:5] == pytest.approx(theirs[:5], abs=0.2)
    # characters are those of the states that are reported: turning them keeps their sum and changes them one by one
    ours, theirs = turned.bands.projections, diagonal.bands.projections
    assert ours.sum(axis=2) == pytest.approx(theirs.sum(axis=2), abs=1e-9)
    assert np.abs(ours - theirs).max() > 1e-4
    assert ours.sum(axis=(3, 4)).max() < 1.02


class Waves:
    """Wave vectors q + G as GPAW's descriptor of plane waves has them."""

    def __init__(self, kpt, reach=3):
        self.kpt_c = np.array(kpt, dtype=float)
        self.indices_cG = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij")).reshape(3, -1)
        vectors = (self.indices_cG.T + self.kpt_c) @ np.linalg.inv(FCC).T * 2 * np.pi
        self.ekin_G = (vectors**2).sum(axis=1) / 2


class TestCoulomb:
    @pytest.mark.parametrize("size", [(4, 4, 4), (3, 2, 4)])
    def test_it_is_gpaws_at_differences_of_mesh_points(self, size):
        from gpaw.hybrids.wstc import WignerSeitzTruncatedCoulomb

        ours, theirs = WignerSeitzCoulomb(FCC, size), WignerSeitzTruncatedCoulomb(FCC, size)
        for steps in ((0, 0, 0), (1, 0, 0), (1, -1, 2)):
            waves = Waves(np.array(steps) / size)
            np.testing.assert_allclose(ours(waves), theirs.get_potential_new(waves), rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("kpt", [(0.1, 0.03, -0.2), (0.25, 0, 0), (0.125, 0.125, 0)])
    def test_it_is_the_transform_of_the_interaction_in_the_wigner_seitz_cell(self, kpt):
        """By plain quadrature over the points that are nearer to the origin than to any other lattice point."""
        size = np.array([2, 2, 2])
        coulomb = WignerSeitzCoulomb(FCC, (2, 2, 2))
        cell = FCC * size[:, None]
        edges = (np.arange(96) + 0.5) / 96 * 3 - 1.5
        points = np.stack(np.meshgrid(edges, edges, edges, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
        others = np.array([n for n in itertools.product((-1, 0, 1), repeat=3) if any(n)]) @ cell
        inside = (points @ others.T <= 0.5 * (others**2).sum(axis=1)).all(axis=1)
        points, element = points[inside], abs(np.linalg.det(cell)) / 32**3
        distances = np.linalg.norm(points, axis=1)
        interaction = erf(coulomb.splitting * distances) / distances
        waves = Waves(kpt, reach=1)
        vectors = (waves.indices_cG.T + waves.kpt_c) @ np.linalg.inv(FCC).T * 2 * np.pi
        long_ranged = np.array([(interaction * np.cos(points @ q)).sum() * element for q in vectors])
        squares = 2 * waves.ekin_G
        expected = long_ranged + 4 * np.pi * -np.expm1(-squares / (4 * coulomb.splitting**2)) / squares
        np.testing.assert_allclose(coulomb(waves), expected, atol=0.02 * expected.max())

    def test_it_goes_smoothly_from_mesh_point_to_mesh_point(self):
        coulomb = WignerSeitzCoulomb(FCC, (4, 4, 4))
        line = np.linspace(0, 0.5, 41)
        values = np.array([coulomb(Waves((x, x, 0), reach=0))[0] for x in line])
        assert np.abs(np.diff(values)).max() < 0.1 * values[0]
        assert (np.diff(values[:20]) < 0).all()

    def test_at_mesh_points_short_waves_do_not_see_the_cutoff(self):
        waves = Waves((0.25, 0, 0))
        short = waves.ekin_G > 5
        ratio = WignerSeitzCoulomb(FCC, (4, 4, 4))(waves)[short] * waves.ekin_G[short] / (2 * np.pi)
        assert np.median(np.abs(ratio - 1)) < 0.005
        assert np.abs(ratio - 1).max() < 0.2

    def test_it_is_even(self):
        coulomb = WignerSeitzCoulomb(FCC, (3, 3, 3))
        there, back = coulomb(Waves((0.1, 0.05, -0.2))), coulomb(Waves((-0.1, -0.05, 0.2)))
        np.testing.assert_allclose(there, back[::-1], rtol=1e-9, atol=1e-9)


def test_nearest_corners_make_the_wigner_seitz_cell():
    shares = shares_of_corners(FCC, np.array([6, 6, 6]))
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    grid = np.stack(np.meshgrid(*[np.arange(6) / 6] * 3, indexing="ij"), axis=-1)
    distances = np.array([np.linalg.norm((grid - corner) @ FCC, axis=-1) for corner in CORNERS])
    np.testing.assert_allclose(np.where(shares > 0, distances, 0).max(axis=0), distances.min(axis=0))
    # the farthest corner of this lattice's Wigner-Seitz cell is half the cube's edge from the origin
    assert distances[shares > 0].max() <= np.linalg.norm(FCC[0]) / np.sqrt(2) + 1e-9


@pytest.mark.slow
def test_gap_of_the_dielectric_dependent_hybrid_of_mgo(tmp_path):
    """Published without self-consistency: 7.90 eV with 0.317 of exact exchange."""
    incar = INCAR.replace("PE", "PS").replace("250", "450").replace("NBANDS = 8", "NBANDS = 12")
    mesh = GAMMA_MESH.format(4, 4, 4)
    run_in(write_run(tmp_path / "s", poscar=mgo(), incar=incar, kpoints=mesh, elements=["Mg", "O"]))
    incar += "LHFCALC = T\nAEXX = 0.317\nALGO = Subrot\nNELM = 1\nLWAVE = F\n"
    folder = write_run(tmp_path / "h", poscar=mgo(), incar=incar, kpoints=mesh, elements=["Mg", "O"])
    (folder / "WAVECAR").write_bytes((tmp_path / "s" / "WAVECAR").read_bytes())
    bands = run_in(folder, Recorder()).bands
    assert bands.eigenvalues[0, :, 4].min() - bands.eigenvalues[0, :, 3].max() == pytest.approx(7.90, abs=0.3)
