"""Modes at Γ, the sum rule, the ionic tensor from them, and the document."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from response_evidence import evidence_of, recorded_run, rock_salt, run_of
from scipy import constants
from scipy.spatial.transform import Rotation

from hibana.documents.dielectric import PhononDoc
from hibana.documents.task import Failure
from hibana.properties.phonon import build_phonon, ionic_tensor, masses_of, modes_as_printed, modes_of

MGO = rock_salt("Mg", "O", 4.21)
STIFFNESS = 12.0


def springs(stiffness: float) -> np.ndarray:
    """Force constants of two atoms joined by a spring, eV/Å^2."""
    return np.kron(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.eye(3)) * stiffness


def two_body_frequency(stiffness: float) -> float:
    """THz, by the textbook: omega^2 = K/mu."""
    mg, o = masses_of(("Mg", "O")) * constants.atomic_mass
    omega = np.sqrt(stiffness * constants.e / constants.angstrom**2 * (1 / mg + 1 / o))
    return omega / (2 * np.pi) / 1e12


def document(arrays, **changes) -> PhononDoc:
    built = build_phonon(evidence_of({"dielectric": (run_of(MGO, **changes), arrays)}))
    assert isinstance(built.document, PhononDoc)
    return built.document


def test_two_atoms_on_a_spring():
    doc = document({"force_constants": springs(STIFFNESS)})
    expected = two_body_frequency(STIFFNESS)
    assert doc.frequencies == pytest.approx((0, 0, 0, expected, expected, expected), rel=1e-6)
    assert doc.frequencies[:3] == (0.0, 0.0, 0.0)
    assert (doc.status, doc.flags, doc.source, doc.is_stable, doc.n_imaginary) == ("complete", (), "force_constants", True, 0)
    assert doc.lowest_optical == pytest.approx(expected, rel=1e-6)
    assert doc.threshold == -0.3


def test_the_sum_rule_takes_off_what_holds_the_crystal_in_place():
    """A weak spring to a fixed point shifts the acoustic modes, and only those after the sum rule."""
    held = springs(STIFFNESS) + np.eye(6) * 0.002
    doc = document({"force_constants": held})
    assert doc.frequencies[:3] == (0.0, 0.0, 0.0)
    mass = masses_of(("Mg", "O")).sum() / 2
    shift = np.sqrt(0.002 * constants.e / constants.angstrom**2 / (mass * constants.atomic_mass)) / (2e12 * np.pi)
    assert doc.acoustic_residual == pytest.approx(shift, rel=1e-3)
    assert doc.acoustic_frequencies == pytest.approx((shift,) * 3, rel=1e-3)
    assert doc.lowest_optical == pytest.approx(two_body_frequency(STIFFNESS), rel=1e-3)


def test_an_unstable_crystal():
    doc = document({"force_constants": springs(-0.5)})
    assert doc.n_imaginary == 3
    assert doc.is_stable is False
    assert doc.frequencies[0] == pytest.approx(-two_body_frequency(0.5), rel=1e-6)
    assert [flag.partition(":")[0] for flag in doc.flags] == ["unstable", "soft_mode"]


def test_a_soft_mode_is_not_taken_for_an_acoustic_one():
    """With force constants the acoustic modes are known by their motion, not by their frequency."""
    masses = masses_of(("Mg", "O"))
    soft = springs(STIFFNESS)
    soft[2::3, 2::3] *= 1e-5
    momentum = np.tile(np.eye(3), (2, 1)) * np.repeat(masses, 3)[:, None]
    modes = modes_of(soft + 5e-4 * momentum @ momentum.T / masses.sum(), masses)
    assert modes.optical[0] == pytest.approx(two_body_frequency(STIFFNESS * 1e-5), rel=1e-6)
    assert modes.optical[0] < modes.acoustic.min()
    assert modes.acoustic == pytest.approx([modes.acoustic[0]] * 3, rel=1e-6)
    assert modes_as_printed(modes.raw).optical[0] > modes.optical[0]


def test_printed_frequencies_are_taken_as_they_are():
    doc = document({"gamma_frequencies": np.array([12.0, 11.5, 11.0, 0.05, -0.02, -0.1])})
    assert doc.source == "printed"
    assert doc.frequencies == doc.frequencies_raw == pytest.approx((-0.1, -0.02, 0.05, 11.0, 11.5, 12.0), abs=1e-6)
    assert doc.acoustic_frequencies == pytest.approx((-0.1, -0.02, 0.05), abs=1e-6)
    assert (doc.n_imaginary, doc.is_stable) == (0, True)
    assert modes_as_printed(np.array([0.5, -0.4, 0.1, 3.0, 0.2, 1.0])).optical == pytest.approx([0.5, 1.0, 3.0])


def test_no_modes_and_no_run():
    doc = document({})
    assert (doc.status, doc.frequencies) == ("unavailable", None)
    assert doc.reason == "the run has neither force constants nor frequencies"
    assert document({}, status="failed", failure=Failure(kind="zpotrf", message="LAPACK")).reason == "dielectric: zpotrf: LAPACK"


def test_numbers_that_are_none():
    reason = "the array force_constants of the run is not all finite numbers"
    doc = document({"force_constants": springs(np.nan)})
    assert (doc.status, doc.reason, doc.is_stable) == ("unavailable", reason, None)
    doc = document({"force_constants": springs(np.nan), "gamma_frequencies": np.array([12.0, 11.5, 11.0, 0.05, -0.02, -0.1])})
    assert (doc.source, doc.is_stable, doc.flags) == ("printed", True, (reason,))
    doc = document({"gamma_frequencies": np.full(6, np.nan)})
    assert (doc.status, doc.is_stable, doc.flags) == ("unavailable", None, ())


def test_force_constants_come_before_the_printed_list():
    doc = document({"force_constants": springs(STIFFNESS), "gamma_frequencies": np.arange(6.0)})
    assert doc.source == "force_constants"


def test_one_atom_has_no_optical_mode():
    modes = modes_of(np.eye(3) * 1e-4, masses_of(("W",)))
    assert modes.optical.size == 0
    assert modes.frequencies.tolist() == [0.0, 0.0, 0.0]


@given(seed=st.integers(0, 2**31 - 1))
def test_axes_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(9, 9))
    force_constants = half @ half.T
    masses = masses_of(("Mg", "O", "Ba"))
    charges = rng.normal(size=(3, 3, 3))
    turn = Rotation.random(random_state=seed).as_matrix()
    large = np.kron(np.eye(3), turn)
    one, other = modes_of(force_constants, masses), modes_of(large @ force_constants @ large.T, masses)
    assert other.frequencies == pytest.approx(one.frequencies, rel=1e-6, abs=1e-6)
    assert other.raw == pytest.approx(one.raw, rel=1e-6, abs=1e-6)
    ionic = ionic_tensor(force_constants, charges, 30.0)
    turned = ionic_tensor(large @ force_constants @ large.T, turn @ charges @ turn.T, 30.0)
    assert turned == pytest.approx(turn @ ionic @ turn.T, rel=1e-6, abs=1e-6 * np.abs(ionic).max())
    assert np.linalg.eigvalsh(ionic)[0] > 0


def test_ionic_tensor_of_two_charges_on_a_spring():
    """ε = e² Z²/(ε0 V K), and with it the relation of Lyddane, Sachs and Teller."""
    charge, volume, electronic = 1.96, 18.7, 3.2
    charges = np.array([np.eye(3), -np.eye(3)]) * charge
    tensor = ionic_tensor(springs(STIFFNESS), charges, volume)
    by_hand = (charge * constants.e) ** 2 / (constants.epsilon_0 * volume * 1e-30 * STIFFNESS * constants.e / 1e-20)
    assert tensor == pytest.approx(np.eye(3) * by_hand, rel=1e-9)
    field = constants.e**2 * charge**2 / (constants.epsilon_0 * electronic * volume * 1e-30) * 1e-20 / constants.e
    transverse, longitudinal = two_body_frequency(STIFFNESS), two_body_frequency(STIFFNESS + field)
    assert (longitudinal / transverse) ** 2 == pytest.approx((electronic + by_hand) / electronic, rel=1e-9)


@pytest.mark.parametrize(("case", "n_optical"), [("NaCl_2_dielectric", 21), ("Si_dielectric_pbe", 3)])
def test_recorded_modes_are_those_vasp_printed(recorded, case, n_optical):
    run, arrays = recorded_run(recorded, case)
    doc = build_phonon(evidence_of({"dielectric": (run, arrays)})).document
    assert isinstance(doc, PhononDoc)
    assert doc.frequencies_raw == pytest.approx(np.sort(arrays["gamma_frequencies"]), rel=2e-3, abs=5e-3)
    assert doc.acoustic_residual < 0.05
    assert len(doc.frequencies) == n_optical + 3
    assert (doc.is_stable, doc.n_imaginary, doc.flags) == (True, 0, ())


def test_recorded_silicon_has_the_raman_mode(recorded):
    """15.53 THz by experiment (520 cm^-1)."""
    run, arrays = recorded_run(recorded, "Si_dielectric_pbe")
    doc = build_phonon(evidence_of({"dielectric": (run, arrays)})).document
    assert doc.frequencies[3:] == pytest.approx((15.5,) * 3, rel=0.03)
