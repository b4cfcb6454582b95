"""LEPSILON and displaced ions by real runs: published values, invariants, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_runs import GAMMA_MESH, Recorder, mgo, run_in, write_run
from pymatgen.core import Lattice, Structure

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.inputs import read_inputs
from hibana.rehearsal.result import RunResult
from size import FULL

COMMON = "GGA = PS\nISMEAR = 0\nSIGMA = 0.05\nISIF = 0\nLWAVE = F\n"
DFPT = COMMON + "EDIFF = 1e-6\nLEPSILON = T\nIBRION = 8\nNSW = 1\n"
SKEW = Structure(Lattice.from_parameters(2.85, 3.05, 2.95, 64, 58, 61), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def run_mgo(folder: Path, incar: str, n: int, **changes: str) -> RunResult:
    """Primitive MgO, or another cell of Mg and O, on an n x n x n mesh."""
    write_run(folder, **{"poscar": mgo(), "kpoints": GAMMA_MESH.format(n, n, n), **changes}, incar=incar, elements=["Mg", "O"])
    return run_in(folder)


@pytest.fixture(scope="module")
def magnesia(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """MgO with LEPSILON and IBRION = 8."""
    n, cutoff = (6, 450) if FULL else (4, 400)
    return run_mgo(tmp_path_factory.mktemp("MgO"), DFPT + f"ENCUT = {cutoff}\n", n)


@pytest.mark.slow
def test_mgo_has_the_constants_of_vasp(magnesia):
    """VASP, PBEsol: electrons 3.2, ions 6.9, Z* 1.96, transverse mode about 400 cm-1."""
    r = magnesia.response
    assert np.trace(r.epsilon) / 3 == pytest.approx(3.2, rel=0.05)
    assert np.trace(r.epsilon_ionic) / 3 == pytest.approx(6.9, rel=0.2)
    assert r.born_charges[0] == pytest.approx(1.96 * np.eye(3), abs=0.1)
    assert r.frequencies[0] / 0.0299792458 == pytest.approx(400, rel=0.05)


@pytest.mark.slow
def test_mgo_obeys_symmetry_and_translation(magnesia):
    r = magnesia.response
    for tensor in (r.epsilon, r.epsilon_rpa, r.epsilon_ionic, *r.born_charges):
        assert tensor == pytest.approx(tensor[0, 0] * np.eye(3), abs=1e-6 * abs(tensor[0, 0]))
    assert np.abs(r.born_charges.sum(axis=0)).max() < 0.01
    assert r.epsilon[0, 0] > r.epsilon_rpa[0, 0] > 1  # exchange and correlation weaken the screening of local fields
    assert r.force_constants == pytest.approx(r.force_constants.T)
    assert np.abs(r.force_constants.reshape(2, 3, 2, 3).sum(axis=0)).max() < 0.02
    assert np.abs(r.frequencies[-3:]).max() < 0.3
    assert (np.diff(r.frequencies) <= 0).all()
    assert np.einsum("mai,nai->mn", r.eigenvectors, r.eigenvectors) == pytest.approx(np.eye(6), abs=1e-9)


@pytest.mark.slow
def test_mgo_says_how_its_numbers_were_made(magnesia):
    account = magnesia.provenance["response"]
    assert account["ions"]["displaced_calculations"] == 2
    assert account["electrons"]["bands"] >= 32
    assert magnesia.parameters["LEPSILON"] is True
    plain = np.trace(account["electrons"]["independent_particles_plain_mesh"])
    refined = np.trace(account["electrons"]["independent_particles_refined"])
    coarse = abs(plain - refined) > 0.05 * refined
    assert any("too coarse" in w for w in magnesia.warnings) == coarse


@pytest.mark.slow
def test_force_constants_are_those_of_two_displacements_by_hand(magnesia, tmp_path):
    n, cutoff = (6, 450) if FULL else (4, 400)
    forces = []
    for sign in (1, -1):
        structure = Structure.from_str(mgo(), fmt="poscar")
        structure.translate_sites([1], [0, 0, 0.02 * sign], frac_coords=False)
        incar = COMMON + f"ENCUT = {cutoff}\nEDIFF = 1e-7\n"
        result = run_mgo(tmp_path / str(sign), incar, n, poscar=structure.to(fmt="poscar"))
        forces.append(result.steps[-1].forces)
    by_hand = -(forces[0] - forces[1])[:, 2] / 0.04
    found = magnesia.response.force_constants.reshape(2, 3, 2, 3)[1, 2, :, 2]
    assert found == pytest.approx(by_hand, rel=0.01)


@pytest.mark.slow
def test_a_turned_and_relabelled_triclinic_crystal_has_turned_tensors(tmp_path):
    """All components, off-diagonal ones too, in a cell without symmetry but the inversion."""
    incar = DFPT + "ENCUT = 250\n"
    mesh = np.array([2, 2, 2] if FULL else [2, 2, 1])
    first = run_mgo(tmp_path / "1", incar, 2, poscar=SKEW.to(fmt="poscar"), kpoints=GAMMA_MESH.format(*mesh)).response
    axes = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(0.7), -np.sin(0.7)], [0, np.sin(0.7), np.cos(0.7)]]
    )
    turned = Structure(Lattice(axes @ SKEW.lattice.matrix @ turn.T), SKEW.species, SKEW.frac_coords @ axes.T)
    second = run_mgo(tmp_path / "2", incar, 2, poscar=turned.to(fmt="poscar"), kpoints=GAMMA_MESH.format(*axes @ mesh)).response
    assert np.abs(first.epsilon - np.diag(np.diag(first.epsilon))).max() > 0.02
    for name, tolerance in (("epsilon", 2e-3), ("epsilon_rpa", 2e-3), ("born_charges", 5e-3)):
        expected = turn @ getattr(first, name) @ turn.T
        assert getattr(second, name) == pytest.approx(expected, abs=tolerance), name
    turned_both = np.kron(np.eye(2), turn)
    assert second.force_constants == pytest.approx(turned_both @ first.force_constants @ turned_both.T, abs=0.03)
    assert second.frequencies[:3] == pytest.approx(first.frequencies[:3], abs=0.05)
    for tensor in (first.epsilon, first.epsilon_ionic):
        assert tensor == pytest.approx(tensor.T, abs=1e-6 * np.abs(tensor).max())
    assert np.linalg.eigvalsh(first.epsilon).min() > 1


def test_vibrations_alone_and_electrons_alone(tmp_path):
    coarse = "ENCUT = 300\n"
    vibrations = run_mgo(tmp_path / "1", COMMON + coarse + "IBRION = 6\nNSW = 1\nPOTIM = 0.02\n", 2)
    r = vibrations.response
    assert (r.epsilon, r.epsilon_rpa, r.born_charges, r.epsilon_ionic) == (None,) * 4
    assert r.frequencies.shape == (6,)
    assert vibrations.provenance["response"]["ions"]["displacement_A"] == 0.02
    electrons = run_mgo(tmp_path / "2", COMMON + coarse + "LEPSILON = T\nLRPA = T\n", 2)
    r = electrons.response
    assert r.epsilon == pytest.approx(r.epsilon_rpa)
    assert (r.born_charges, r.frequencies) == (None, None)
    assert any("Born charges" in w for w in electrons.warnings)
    assert any("too coarse" in w for w in electrons.warnings)
    assert electrons.provenance["response"]["electrons"]["kernel"] == "Hartree"


@pytest.mark.slow
def test_spin_polarisation_without_moments_changes_nothing(tmp_path):
    coarse = COMMON + "ENCUT = 300\nLEPSILON = T\nLRPA = T\nIBRION = 8\nNSW = 1\nEDIFF = 1e-6\n"
    plain = run_mgo(tmp_path / "1", coarse, 2).response
    polarised = run_mgo(tmp_path / "2", coarse + "ISPIN = 2\nMAGMOM = 2*0.1\n", 2).response
    assert polarised.epsilon == pytest.approx(plain.epsilon, abs=5e-3)
    assert polarised.born_charges == pytest.approx(plain.born_charges, abs=5e-3)


METAL = "Na\n1.0\n-2.1 2.1 2.1\n2.1 -2.1 2.1\n2.1 2.1 -2.1\nNa\n1\ndirect\n0 0 0\n"


@pytest.mark.parametrize("tag", ["LEPSILON = T\nIBRION = 8\nNSW = 1", "LOPTICS = T"])
def test_a_metal_is_refused(tmp_path, tag):
    incar = f"GGA = PS\nENCUT = 250\nISMEAR = 1\nSIGMA = 0.3\nISIF = 0\nLWAVE = F\nNBANDS = 6\n{tag}\n"
    write_run(tmp_path, poscar=METAL, incar=incar, kpoints=GAMMA_MESH.format(3, 3, 3), elements=["Na"])
    with pytest.raises(RehearsalError, match="gap") as caught:
        run_in(tmp_path)
    assert caught.value.number == 196


@pytest.mark.parametrize(
    ("incar", "changes", "number", "word"),
    [
        (DFPT + "LHFCALC = T\nHFSCREEN = 0.2\nALGO = Subrot\nNELM = 1\n", {}, 184, "LHFCALC"),
        (DFPT.replace("IBRION = 8\nNSW = 1", "IBRION = 2\nNSW = 9"), {}, 184, "relax first"),
        (DFPT + "NELECT = 7\n", {}, 184, "NELECT"),
        (DFPT + "ICHARG = 11\n", {}, 184, "ICHARG"),
        (DFPT + "ISPIN = 2\n", {}, 184, "LRPA"),
        (COMMON + "IBRION = 6\nNSW = 1\nPOTIM = 0.5\n", {}, 184, "POTIM"),
        (COMMON + "LOPTICS = T\nCSHIFT = -1\n", {}, 184, "CSHIFT"),
        (COMMON + "LOPTICS = T\nOMEGAMAX = 0\n", {}, 184, "OMEGAMAX"),
        (COMMON + "LOPTICS = T\nLHFCALC = T\nHFSCREEN = 0.2\nALGO = Subrot\nNELM = 1\n", {}, 184, "LHFCALC"),
        (COMMON + "LCALCEPS = T\n", {}, 182, "finite fields"),
    ],
)
def test_what_cannot_be_combined_is_refused_at_once(tmp_path, incar, changes, number, word):
    write_run(tmp_path, poscar=mgo(), incar=incar, kpoints=GAMMA_MESH.format(2, 2, 2), elements=["Mg", "O"])
    with pytest.raises(RehearsalError, match=word) as caught:
        read_inputs(tmp_path)
    assert caught.value.number == number


@pytest.mark.parametrize(
    ("changes", "number", "word"),
    [
        ({"kpoints": "list\n2\nReciprocal\n0 0 0 1\n0.1 0 0 0\n"}, 195, "regular mesh"),
        (
            {"poscar": mgo().replace("direct\n0 0 0\n0.5 0.5 0.5", "selective\ndirect\n0 0 0 F F F\n0.5 0.5 0.5 T T T")},
            184,
            "selective",
        ),
    ],
)
def test_what_points_or_flags_do_not_allow_is_refused_before_any_step(tmp_path, changes, number, word):
    arguments: dict = {"poscar": mgo(), "kpoints": GAMMA_MESH.format(2, 2, 2), **changes}
    write_run(tmp_path, incar=DFPT, elements=["Mg", "O"], **arguments)
    listener = Recorder()
    with pytest.raises(RehearsalError, match=word) as caught:
        run_in(tmp_path, listener)
    assert caught.value.number == number
    assert not listener.scf


def test_a_displaced_crystal_that_does_not_converge_is_an_error(tmp_path):
    write_run(
        tmp_path,
        poscar=mgo(),
        incar=DFPT.replace("1e-6", "1e-2") + "ENCUT = 300\nNELM = 6\n",
        kpoints=GAMMA_MESH.format(2, 2, 2),
        elements=["Mg", "O"],
    )
    with pytest.raises(RehearsalError, match="displaced") as caught:
        run_in(tmp_path)
    assert caught.value.number == 197
