"""What is written into vasprun.xml is read back by pymatgen to the last printed digit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from pymatgen.electronic_structure.core import Orbital, OrbitalType, Spin
from pymatgen.io.vasp.outputs import BSVasprun, Vasprun
from synthetic_result import make_result, results, write_inputs

from hibana.rehearsal.result import ORBITALS, RunResult
from hibana.rehearsal.writers import write_outputs

SPINS = (Spin.up, Spin.down)


def equal(read: object, put: object, decimals: int) -> None:
    """Equal to the printed precision."""
    np.testing.assert_allclose(np.array(read, dtype=float), np.array(put, dtype=float), rtol=0, atol=0.501 * 10.0**-decimals)


def by_l(array: np.ndarray, axis: int) -> np.ndarray:
    parts = np.split(array, [1, 4], axis=axis)
    return np.stack([part.sum(axis=axis) for part in parts], axis=axis)


def read_back(result: RunResult, **options: object) -> Vasprun:
    with tempfile.TemporaryDirectory() as name:
        write_inputs(result, Path(name))
        write_outputs(result, Path(name))
        return Vasprun(Path(name) / "vasprun.xml", **options)


@settings(max_examples=30)
@given(results())
def test_every_number_comes_back(result):
    vasprun = read_back(result, parse_projected_eigen=True)
    check_steps(vasprun, result)
    check_electrons(vasprun, result)
    check_inputs(vasprun, result)


def check_steps(vasprun: Vasprun, result: RunResult) -> None:
    assert len(vasprun.ionic_steps) == len(result.steps)
    for read, put in zip(vasprun.ionic_steps, result.steps, strict=True):
        equal(read["forces"], put.forces, 8)
        equal(read["stress"], put.stress, 8)
        equal(read["structure"].lattice.matrix, put.lattice, 8)
        equal(read["structure"].frac_coords, put.frac_coords, 8)
        energies = [put.free_energy, put.energy_wo_entropy, put.energy_sigma0]
        equal([read[key] for key in ("e_fr_energy", "e_wo_entrp", "e_0_energy")], energies, 8)
        equal([step["e_fr_energy"] for step in read["electronic_steps"]], [step.energy for step in put.scf], 8)
        equal(read["electronic_steps"][-1]["eentropy"], put.free_energy - put.energy_wo_entropy, 8)
    equal(vasprun.final_energy, result.steps[-1].energy_sigma0, 8)
    equal(vasprun.initial_structure.frac_coords, result.steps[0].frac_coords, 8)
    equal(vasprun.final_structure.frac_coords, result.steps[-1].frac_coords, 8)
    equal(vasprun.final_structure.lattice.matrix, result.steps[-1].lattice, 8)


def check_electrons(vasprun: Vasprun, result: RunResult) -> None:
    bands, dos = result.bands, result.dos
    lorbit10 = result.parameters["LORBIT"] == 10
    equal(vasprun.efermi, result.efermi, 8)
    equal(vasprun.actual_kpoints, bands.kpoints, 8)
    weights = bands.weights if bands.weights.any() else np.full(len(bands.weights), 1 / len(bands.weights))
    equal(vasprun.actual_kpoints_weights, weights, 8)
    assert set(vasprun.eigenvalues) == set(SPINS[: result.nspin])
    equal(vasprun.tdos.energies, dos.energies, 4)
    for n, spin in enumerate(SPINS[: result.nspin]):
        equal(vasprun.eigenvalues[spin][..., 0], bands.eigenvalues[n], 4)
        equal(vasprun.eigenvalues[spin][..., 1], bands.occupations[n], 4)
        equal(vasprun.tdos.densities[spin], dos.total[n], 4)
        equal(vasprun.idos.densities[spin], dos.integrated[n], 4)
        if bands.projections is not None:
            projections = by_l(bands.projections[n], 3) if lorbit10 else bands.projections[n]
            equal(vasprun.projected_eigenvalues[spin], projections, 4)
        if dos.partial is not None:
            for site, partial in zip(vasprun.pdos, dos.partial[:, n], strict=True):
                kinds = OrbitalType if lorbit10 else Orbital
                columns = by_l(partial, 0) if lorbit10 else partial
                equal([site[kinds(c)][spin] for c in range(len(columns))], columns, 4)
    if bands.projections is None:
        assert not vasprun.projected_eigenvalues
        assert vasprun.pdos == []


def check_inputs(vasprun: Vasprun, result: RunResult) -> None:
    parameters = vasprun.parameters
    for tag, value in result.parameters.items():
        if isinstance(value, str):
            assert parameters[tag].upper() == value.upper()
        else:
            assert parameters[tag] == value
            assert isinstance(parameters[tag], type(value))
    assert {tag: str(v).upper() for tag, v in vasprun.incar.items()} == {t: str(v).upper() for t, v in result.incar.items()}
    assert vasprun.atomic_symbols == result.symbols
    assert vasprun.potcar_symbols == [s.potcar_header for s in result.species]
    assert vasprun.run_type == "PBEsol"
    assert vasprun.converged
    neutral = sum(s.zval * s.count for s in result.species)
    assert vasprun.final_structure.charge == pytest.approx(neutral - result.nelect)
    if result.kpoint_mesh.divisions is not None:
        assert vasprun.kpoints.style.name == "Gamma"
        assert vasprun.kpoints.kpts[0] == result.kpoint_mesh.divisions
    else:
        assert vasprun.kpoints.style.name == ("Reciprocal" if result.bands.weights.any() else "Line_mode")


def test_potcar_is_found_by_its_first_line(run_folder):
    vasprun = Vasprun(run_folder(make_result(charge=1.0)) / "vasprun.xml", parse_potcar_file=True)
    assert [spec["titel"] for spec in vasprun.potcar_spec] == ["PAW_GPAW Mg PBEsol-0123abcd", "PAW_GPAW O PBEsol-0123abcd"]
    assert all(spec["summary_stats"] for spec in vasprun.potcar_spec)
    assert vasprun.final_structure.charge == 1


@pytest.mark.parametrize(("electronic", "scf"), [(True, 5), (False, 60)])
@pytest.mark.parametrize(("ionic", "nsw"), [(True, 50), (False, 3)])
def test_convergence_is_what_pymatgen_says(run_folder, electronic, scf, ionic, nsw):
    result = make_result(steps=3, scf=scf, tags={"NSW": nsw}, electronic_converged=electronic, ionic_converged=ionic)
    vasprun = Vasprun(run_folder(result) / "vasprun.xml")
    assert vasprun.converged_electronic is electronic
    assert vasprun.converged_ionic is ionic


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({"GGA": "PE"}, "PBE"),
        ({"LHFCALC": True, "AEXX": 0.25, "HFSCREEN": 0.208}, "HSE06"),
        ({"LHFCALC": True, "AEXX": 0.25, "HFSCREEN": 0.0}, "PBEO or other Hybrid Functional"),
    ],
)
def test_functional_is_what_pymatgen_says(run_folder, tags, name):
    result = make_result()
    result.parameters.update(tags)
    assert Vasprun(run_folder(result) / "vasprun.xml").run_type == name


def test_values_keep_type_and_size(run_folder):
    tags = {"EDIFF": 1e-9, "ENCUT": 500, "MAGMOM": [5, -5], "KGAMMA": True, "SYSTEM": "<&>", "NELMIN": np.int64(4)}
    vasprun = Vasprun(run_folder(make_result(nspin=2, tags=tags)) / "vasprun.xml")
    for read in (vasprun.incar, vasprun.parameters):
        assert read["EDIFF"] == 1e-9
        assert isinstance(read["ENCUT"], float)
        assert read["MAGMOM"] == [5.0, -5.0]
        assert read["KGAMMA"] is True
        assert read["SYSTEM"].strip() == "<&>"
        assert isinstance(read["NELMIN"], int)


def test_value_without_a_type_is_refused(tmp_path):
    with pytest.raises(TypeError, match="NOTHING"):
        write_outputs(make_result(tags={"NOTHING": {}}), tmp_path)


def test_forces_and_stress_may_be_missing(run_folder):
    result = make_result()
    step = result.steps[0]
    bare = type(step)(**{**step.__dict__, "forces": None, "stress": None})
    folder = run_folder(type(result)(**{**result.__dict__, "steps": (bare,)}))
    step = Vasprun(folder / "vasprun.xml").ionic_steps[0]
    assert "forces" not in step
    assert "stress" not in step
    assert "TOTAL-FORCE" not in (folder / "OUTCAR").read_text()
    assert "in kB" not in (folder / "OUTCAR").read_text()


def test_selective_dynamics_come_back(run_folder):
    from pymatgen.io.vasp import Poscar

    flags = np.array([[True, False, True], [False, False, False]])
    folder = run_folder(make_result(selective_dynamics=flags))
    assert Vasprun(folder / "vasprun.xml").final_structure.site_properties["selective_dynamics"] == flags.tolist()
    np.testing.assert_array_equal(Poscar.from_file(folder / "CONTCAR").selective_dynamics, flags)


def test_orbitals_are_named_as_pymatgen_orders_them():
    assert [o.name for o in list(Orbital)[:9]] == [o.replace("x2-y2", "dx2_y2") for o in ORBITALS]


def test_band_structure_reader_gets_the_same(run_folder):
    result = make_result(kind="zero-weight", nspin=2, magnetization=2.0)
    folder = run_folder(result)
    whole, fast = Vasprun(folder / "vasprun.xml"), BSVasprun(folder / "vasprun.xml", parse_projected_eigen=True)
    assert fast.efermi == whole.efermi
    np.testing.assert_array_equal(fast.eigenvalues[Spin.down], whole.eigenvalues[Spin.down])
    equal(fast.projected_eigenvalues[Spin.down], result.bands.projections[1], 4)
    structure = fast.get_band_structure(kpoints_filename=str(folder / "KPOINTS"), line_mode=True)
    path = result.bands.weights == 0
    assert len(structure.kpoints) == path.sum()
    bands = np.sort(result.bands.eigenvalues[0][path].T, axis=1)
    equal(np.sort(structure.bands[Spin.up], axis=1), bands, 4)
