"""Gates: recorded runs pass them, and each invariant that is broken is named."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hibana.documents.task import Failure
from hibana.protocol.protocol import load_protocol
from hibana.vasp.gates import check_run
from hibana.vasp.reader import read_run

PROTOCOL = load_protocol("pbesol")


@cache
def run_of(outputs: Path):
    return read_run(outputs)[0]


@pytest.fixture
def read(recorded):
    return lambda case: run_of(recorded / "vasp_runs" / case / "outputs")


@pytest.fixture
def relaxed(read):
    """A relaxation that found nothing left to do."""
    return read("Si_double_relax_1").model_copy(update={"edges": read("MgO_dos_pbesol").edges, "magnetization": None})


def edges(run, **changes):
    return run.model_copy(update={"edges": run.edges.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("case", "task"),
    [
        ("MgO_band_pbesol", "band"),
        ("MgO_band_nhse", "band"),
        ("MgO_dos_pbesol", "dos"),
        ("MgO_relax_tight_pbesol", "structure_opt"),
        ("NaCl_2_dielectric", "dielectric_dfpt"),
        ("Si_dielectric_pbe", "dielectric_dfpt"),
        ("SnO2_dielectric_pbesol", "dielectric_dfpt"),
        ("NaCl_3_phonon_1", "phonon_force"),
        ("Zn3P2S8_dielectric_pbesol", "dielectric_dfpt"),
        ("MgSe_optics_pbe", "dielectric_function"),
        ("GaN_supercell", "defect"),
        ("MgMn2O4_fm_2_static", "dos"),
    ],
)
def test_sound_runs_pass(case, task, read):
    assert check_run(read(case), task, PROTOCOL) == ()


def test_a_relaxed_cell_passes(relaxed):
    assert check_run(relaxed, "structure_opt", PROTOCOL) == ()


def test_charged_cells_pass_by_their_nelect(read):
    for charge in ("+1", "-1"):
        flags = check_run(read(f"GaN_Mg_Ga_q{charge}"), "defect", PROTOCOL)
        assert not any("electrons" in flag for flag in flags)


def test_force_and_stress_above_the_limits(relaxed):
    (flag,) = check_run(relaxed.model_copy(update={"max_force": 0.0051}), "structure_opt", PROTOCOL)
    assert flag.startswith("force of 0.0051 eV/Å")
    stress = ((0.1, 0.0, 0.0), (0.0, -1.2, 0.0), (0.0, 0.0, 0.1))
    (flag,) = check_run(relaxed.model_copy(update={"stress": stress}), "structure_opt", PROTOCOL)
    assert flag.startswith("stress of 1.20 kbar")
    assert check_run(relaxed.model_copy(update={"stress": stress}), "band", PROTOCOL) == ()
    (flag,) = check_run(relaxed.model_copy(update={"stress": None}), "structure_opt", PROTOCOL)
    assert "missing" in flag


def test_a_round_that_moved_the_cell_is_not_judged_by_its_forces(relaxed):
    assert check_run(relaxed.model_copy(update={"n_ionic_steps": 3, "max_force": 1.0}), "structure_opt", PROTOCOL) == ()


def test_a_changed_space_group(relaxed):
    (flag,) = check_run(relaxed.model_copy(update={"space_group_number": 216}), "structure_opt", PROTOCOL)
    assert flag == "space group changed from 227 to 216"
    assert check_run(relaxed.model_copy(update={"space_group_number": 216}), "defect", PROTOCOL) == ()


def test_a_wrong_number_of_electrons(relaxed):
    inputs = relaxed.inputs.model_copy(update={"nelect": 7.0})
    (flag,) = check_run(relaxed.model_copy(update={"inputs": inputs}), "structure_opt", PROTOCOL)
    assert flag == "7 electrons, not 8"


def test_partly_filled_levels_in_a_gapped_crystal(relaxed, read):
    (flag,) = check_run(edges(relaxed, occupation_deviation=0.3), "structure_opt", PROTOCOL)
    assert flag.startswith("fractional_occupations")
    assert check_run(edges(relaxed, occupation_deviation=0.02), "structure_opt", PROTOCOL) == ()
    assert not any("fractional" in flag for flag in check_run(read("Mg_relax_pbesol"), "dos", PROTOCOL))


def test_inverted_edges_and_unknown_ones(relaxed):
    (flag,) = check_run(edges(relaxed, vbm=5.0, cbm=4.0), "dos", PROTOCOL)
    assert "VBM" in flag
    (flag,) = check_run(edges(relaxed, gap_class="unknown"), "dos", PROTOCOL)
    assert flag == "band edges are unknown"


def test_a_broken_moment(relaxed):
    (flag,) = check_run(relaxed.model_copy(update={"magnetization": 0.47}), "dos", PROTOCOL)
    assert "no integer" in flag
    assert check_run(relaxed.model_copy(update={"magnetization": 1.97}), "dos", PROTOCOL) == ()


def test_impossible_dielectric_tensors(dielectric):
    skew = ((3.0, 0.5, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0))
    (flag,) = check_run(dielectric.model_copy(update={"epsilon_electronic": skew}), "dielectric_dfpt", PROTOCOL)
    assert "not symmetric" in flag
    small = ((0.9, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0))
    (flag,) = check_run(dielectric.model_copy(update={"epsilon_electronic": small}), "dielectric_dfpt", PROTOCOL)
    assert "below 1" in flag


@pytest.fixture
def dielectric(read):
    """A run with both tensors and Born charges."""
    return read("NaCl_2_dielectric")


@pytest.mark.parametrize("task", ["dielectric_dfpt", "dielectric_finite_field"])
def test_what_a_dielectric_run_has_to_give(task, dielectric):
    assert check_run(dielectric, task, PROTOCOL) == ()
    without = {name: ref for name, ref in dielectric.arrays.items() if name != "born_charges"}
    for change, flag in (
        ({"epsilon_electronic": None}, "the electronic dielectric tensor is missing"),
        ({"epsilon_ionic": None}, "the ionic dielectric tensor is missing"),
        ({"arrays": without}, "Born charges are missing"),
    ):
        changed = dielectric.model_copy(update=change)
        assert check_run(changed, task, PROTOCOL) == (flag,)
        assert check_run(changed.model_copy(update={"status": "walltime"}), task, PROTOCOL) == ()
        assert check_run(changed, "dos", PROTOCOL) == ()


def test_the_ionic_tensor_is_missed_only_where_ions_were_displaced(dielectric):
    inputs = dielectric.inputs.model_copy(update={"incar": {**dielectric.inputs.incar, "IBRION": -1}})
    electronic = dielectric.model_copy(update={"epsilon_ionic": None, "inputs": inputs})
    assert check_run(electronic, "dielectric_dfpt", PROTOCOL) == ()


def test_a_gap_that_closed_in_a_dielectric_run(dielectric):
    closed = edges(dielectric, gap_class="metal", band_gap=0.0, vbm=None, cbm=None)
    assert check_run(closed, "dielectric_dfpt", PROTOCOL) == ("gap closed in the dielectric run",)
    assert check_run(closed, "dielectric_finite_field", PROTOCOL) == ("gap closed in the dielectric run",)
    assert check_run(closed, "dos", PROTOCOL) == ()


@pytest.mark.parametrize("case", ["MgSe_optics_pbe", "Si_optics_2_optics", "Li6Bi2O7_optics_hse06"])
def test_recorded_spectra_pass(case, recorded):
    run, arrays = read_run(recorded / "vasp_runs" / case / "outputs")
    assert check_run(run, "dielectric_function", PROTOCOL, arrays) == ()


def test_impossible_spectra(recorded):
    run, arrays = read_run(recorded / "vasp_runs" / "MgSe_optics_pbe" / "outputs")
    imaginary, energies = arrays["dielectric_imag"], arrays["dielectric_energies"]

    def flags(**changed):
        return check_run(run, "dielectric_function", PROTOCOL, {**arrays, **changed})

    (flag,) = flags(dielectric_imag=np.where(energies[:, None] > 10, -imaginary, imaginary))
    assert flag.startswith("the imaginary part of the dielectric function is -")
    off_diagonal = imaginary.copy()
    off_diagonal[:, 3] = 1.5 * off_diagonal[:, 0]
    (flag,) = flags(dielectric_imag=off_diagonal)
    assert "imaginary part" in flag
    noise = imaginary.copy()
    noise[5] = -1e-4
    assert flags(dielectric_imag=noise) == ()
    (flag,) = flags(dielectric_energies=energies / 3)
    assert flag == f"the dielectric function ends at {energies[-1] / 3:.2f} eV, below 15 eV"
    (flag,) = flags(dielectric_imag=np.where(imaginary > 10, np.nan, imaginary))
    assert "not all numbers" in flag
    arrays.pop("dielectric_imag")
    assert check_run(run, "dielectric_function", PROTOCOL, arrays) == ("the dielectric function is missing",)


def test_a_displaced_supercell_without_forces(read):
    run = read("NaCl_3_phonon_1")
    assert check_run(run.model_copy(update={"forces": None}), "phonon_force", PROTOCOL) == ("forces are missing",)


def test_a_failed_run_has_no_flags(relaxed):
    failed = relaxed.model_copy(update={"status": "failed", "failure": Failure(kind="killed", message="x"), "max_force": 9.0})
    assert check_run(failed, "structure_opt", PROTOCOL) == ()
