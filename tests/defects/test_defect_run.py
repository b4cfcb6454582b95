from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recorded_defects import document, recorded_run

from hibana.defects.run import DefectRun, defect_run
from hibana.documents.arrays import ArrayRef, pack, unpack
from hibana.documents.task import RunDoc

ARRAYS = ("kpoints", "kpoint_weights", "eigenvalues", "occupations", "projections", "site_potentials")


@pytest.fixture(scope="module")
def cdte(recorded: Path) -> tuple[RunDoc, dict[str, np.ndarray]]:
    return document(recorded / "vasp_runs" / "CdTe_v_Cd_q-2_hse", projections=True)


def from_store(run: RunDoc, arrays: dict[str, np.ndarray]) -> DefectRun:
    """The run with its arrays packed and unpacked, as a store gives them."""
    packed = {run.arrays[name].sha256: pack(array) for name, array in arrays.items()}
    return defect_run(run, lambda ref: unpack(packed[ref.sha256]))


def test_values_of_the_run(cdte: tuple[RunDoc, dict[str, np.ndarray]]) -> None:
    run, arrays = cdte
    found = from_store(run, arrays)
    assert (found.crystal, found.initial) == (run.final, run.initial)
    assert (found.energy, found.magnetization, found.efermi) == (run.energy, run.magnetization, run.edges.efermi)
    assert (found.charge, found.electronic_converged, found.ionic_converged) == (-2.0, True, True)
    assert found.elements == ("Cd", "Te")
    assert set(found.missing) == {"site_weights"}, "the run is of one step"


def test_single_precision_of_the_store_loses_no_printed_digit(cdte: tuple[RunDoc, dict[str, np.ndarray]]) -> None:
    run, arrays = cdte
    found = from_store(run, arrays)
    for name in ("eigenvalues", "occupations", "site_potentials"):
        sign = -1 if name == "site_potentials" else 1
        np.testing.assert_array_equal(getattr(found, name), sign * arrays[name])
    np.testing.assert_allclose(found.projections, arrays["projections"], atol=1e-12)
    np.testing.assert_allclose(found.kpoints, arrays["kpoints"], atol=1e-7)
    assert found.kpoint_weights.sum() == pytest.approx(1.0)


def test_potentials_are_those_a_positive_charge_feels(recorded: Path) -> None:
    """Around a negatively charged vacancy they are lower than in the perfect crystal, and the lower the nearer."""
    vacancy, perfect = (recorded_run(recorded / "vasp_runs" / name) for name in ("CdTe_v_Cd_q-2_hse", "CdTe_supercell_hse"))
    assert (vacancy.site_potentials > 0).all()
    distances = np.linalg.norm((p := np.array(vacancy.crystal.frac_coords)) - np.rint(p), axis=1)
    change = vacancy.site_potentials - np.delete(perfect.site_potentials, 0)
    assert change[distances < 0.3].mean() < change[distances > 0.6].mean()


def test_what_is_missing_has_a_reason(recorded: Path) -> None:
    run, arrays = document(recorded / "vasp_runs" / "V2O5_supercell")
    found = from_store(run, arrays)
    assert found.site_potentials is None
    assert found.why_not("site_potentials") == "the run has no site potentials"
    assert found.why_not("projections") == "the run has no projections"
    assert found.why_not("magnetization") == "the run gives no total moment"
    assert found.eigenvalues is not None


def test_a_run_without_spin_has_no_moment(recorded: Path) -> None:
    found = recorded_run(recorded / "vasp_runs" / "MgO_supercell_perfect")
    assert found.magnetization == 0.0
    assert "magnetization" not in found.missing


def test_a_failed_run_says_what_it_has(recorded: Path) -> None:
    found = recorded_run(recorded / "vasp_runs" / "MgO_Va_O_transition_initial")
    assert (found.status, found.energy, found.magnetization) == ("failed", -490.08071773, 1.0)
    assert len(found.site_potentials) == 63
    assert {"eigenvalues", "charge"} <= set(found.missing)


def test_arrays_not_at_hand(cdte: tuple[RunDoc, dict[str, np.ndarray]]) -> None:
    def nowhere(ref: ArrayRef) -> np.ndarray:
        raise LookupError(f"array {ref.sha256[:12]} is not at hand")

    found = defect_run(cdte[0], nowhere)
    assert set(found.missing) == {*ARRAYS, "site_weights"}
    assert found.why_not("eigenvalues").endswith("is not at hand")
    assert found.energy == cdte[0].energy


def test_potentials_of_another_cell_are_not_taken(cdte: tuple[RunDoc, dict[str, np.ndarray]]) -> None:
    run, _ = cdte
    found = defect_run(run, lambda ref: np.zeros(64) if ref == run.arrays["site_potentials"] else np.zeros(ref.shape))
    assert found.site_potentials is None
    assert found.why_not("site_potentials") == "the run has 64 site potentials and 63 sites"
