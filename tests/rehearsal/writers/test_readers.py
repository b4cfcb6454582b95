"""The programs of a workflow read the files unchanged: vise, pydefect, emmet, custodian."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pymatgen.electronic_structure.core import Spin
from pymatgen.io.vasp.outputs import Outcar, Procar, Vasprun
from synthetic_result import GAP, make_result
from test_vasprun_round_trip import equal

from hibana.rehearsal.writers import SIDECAR, write_outputs


def edges(result, spin=0):
    """VBM and CBM of a result with a gap."""
    full = result.bands.occupations[spin] > 0.5
    energies = result.bands.eigenvalues[spin]
    return energies[full].max(), energies[~full].min()


class TestVise:
    def test_band_edges(self, run_folder):
        from vise.analyzer.vasp.band_edge_properties import VaspBandEdgeProperties

        result = make_result(nspin=2, magnetization=2.0)
        folder = run_folder(result)
        found = VaspBandEdgeProperties(Vasprun(folder / "vasprun.xml"), Outcar(folder / "OUTCAR"))
        vbm = max(edges(result, spin)[0] for spin in (0, 1))
        cbm = min(edges(result, spin)[1] for spin in (0, 1))
        assert found.vbm_cbm == pytest.approx([vbm, cbm], abs=1e-4)

    def test_partly_filled_bands_are_a_metal(self, run_folder):
        from vise.analyzer.vasp.band_edge_properties import VaspBandEdgeProperties

        folder = run_folder(make_result(charge=1.0))
        assert VaspBandEdgeProperties(Vasprun(folder / "vasprun.xml"), Outcar(folder / "OUTCAR")).is_metal

    def test_band_plot(self, run_folder):
        from vise.analyzer.vasp.plot_band import BandPlotInfoFromVasp

        result = make_result(kind="zero-weight")
        folder = run_folder(result)
        maker = BandPlotInfoFromVasp(Vasprun(folder / "vasprun.xml"), str(folder / "KPOINTS"))
        info = maker.make_band_plot_info().band_energy_infos["1"]
        path = result.bands.weights == 0
        energies = np.array(info.band_energies[0][0])
        equal(np.sort(energies, axis=0), np.sort(result.bands.eigenvalues[0][path].T, axis=0), 4)
        assert info.band_edge.cbm - info.band_edge.vbm > GAP

    def test_densities_of_states(self, run_folder):
        from vise.analyzer.vasp.dos_data import DosDataFromVasp

        result = make_result(nspin=2)
        data = DosDataFromVasp(Vasprun(run_folder(result) / "vasprun.xml")).make_dos_data()
        equal(data.total, result.dos.total, 4)
        equal(data.energies, result.dos.energies, 4)
        equal(data.pdos[1].dx2, result.dos.partial[1, :, 8], 4)
        equal(data.pdos[0].py, result.dos.partial[0, :, 1], 4)


class TestPydefect:
    def test_calculation_results(self, run_folder):
        from pydefect.cli.vasp.make_calc_results import make_calc_results_from_vasp

        result = make_result(nspin=2, magnetization=1.0, charge=1.0, steps=3, entropy=0.02)
        folder = run_folder(result)
        found = make_calc_results_from_vasp(Vasprun(folder / "vasprun.xml"), Outcar(folder / "OUTCAR"))
        equal(found.energy, result.steps[-1].energy_sigma0, 8)
        equal(found.magnetization, 1.0, 7)
        equal(found.potentials, -result.core_potentials, 4)
        assert found.electronic_conv
        assert found.ionic_conv
        assert found.structure.charge == 1

    def test_band_edge_state_of_a_perfect_cell(self, run_folder):
        from pydefect.cli.vasp.make_perfect_band_edge_state import make_perfect_band_edge_state_from_vasp

        result = make_result()
        folder = run_folder(result)
        found = make_perfect_band_edge_state_from_vasp(
            Procar(folder / "PROCAR"), Vasprun(folder / "vasprun.xml"), Outcar(folder / "OUTCAR")
        )
        vbm, cbm = edges(result)
        equal([found.vbm_info.energy, found.cbm_info.energy], [vbm, cbm], 4)
        k, band = np.argwhere(result.bands.eigenvalues[0] == vbm)[0]
        oxygen = result.bands.projections[0, k, band, 1]
        expected = [oxygen[0], oxygen[1:4].sum(), oxygen[4:].sum()]
        assert found.vbm_info.orbital_info.orbitals["O"][:3] == pytest.approx(expected, abs=5e-3)

    def test_orbitals_at_the_band_edges(self, run_folder):
        from pydefect.cli.vasp.make_band_edge_orbital_infos import make_band_edge_orbital_infos

        result = make_result(nspin=2, magnetization=0.0)
        folder = run_folder(result)
        vbm, cbm = edges(result)
        found = make_band_edge_orbital_infos(Procar(folder / "PROCAR"), Vasprun(folder / "vasprun.xml"), vbm, cbm)
        np.testing.assert_allclose(found.kpt_coords, result.bands.kpoints, atol=1e-8)
        np.testing.assert_allclose(found.kpt_weights, result.bands.weights, atol=1e-8)
        first = found.lowest_band_index
        for spin, of_spin in enumerate(found.orbital_infos):
            for k, of_point in enumerate(of_spin):
                shown = slice(first, first + len(of_point))
                equal([state.energy for state in of_point], result.bands.eigenvalues[spin, k, shown], 4)
                equal([state.occupation for state in of_point], result.bands.occupations[spin, k, shown], 4)


class TestEmmet:
    def read(self, folder: Path):
        from emmet.core.tasks import TaskDoc

        return TaskDoc.from_directory(folder)

    def test_relaxation(self, run_folder):
        result = make_result(nspin=2, magnetization=2.0, steps=3)
        document = self.read(run_folder(result))
        assert document.state.value == "successful"
        assert document.task_type.value == "Structure Optimization"
        assert str(document.run_type.value) == "PBEsol"
        equal(document.output.energy, result.steps[-1].energy_sigma0, 8)
        equal(document.output.forces, result.steps[-1].forces, 8)
        equal(document.output.stress, result.steps[-1].stress, 8)
        equal(document.output.structure.lattice.matrix, result.steps[-1].lattice, 8)
        equal(document.output.structure.site_properties["magmom"], result.site_moments.sum(axis=1), 3)
        output = document.calcs_reversed[0].output
        assert output.num_electronic_steps == [5, 5, 5]
        assert output.outcar["total_magnetization"] == 2
        equal(output.efermi, result.efermi, 8)
        assert document.run_stats["overall"].elapsed_time == 12.5
        assert document.run_stats["overall"].cores == 1

    def test_says_whose_numbers_they_are(self, run_folder):
        result = make_result(warnings=("a warning",))
        document = self.read(run_folder(result))
        assert document.additional_json[SIDECAR.removesuffix(".json")] == {**result.provenance, "warnings": ["a warning"]}
        assert document.calcs_reversed[0].input.potcar_type == ["PAW_GPAW", "PAW_GPAW"]

    @pytest.mark.parametrize("kind", ["mesh", "zero-weight", "path"])
    @pytest.mark.parametrize("projected", [True, False])
    def test_every_kind_of_run(self, run_folder, kind, projected):
        document = self.read(
            run_folder(make_result(kind=kind, projected=projected, tags={"NSW": 0, "LORBIT": 11 if projected else 0}))
        )
        assert document.state.value == "successful"

    def test_unconverged_run_has_failed(self, run_folder):
        document = self.read(run_folder(make_result(scf=60, electronic_converged=False)))
        assert document.state.value == "failed"

    def test_run_without_forces(self, run_folder):
        result = make_result()
        step = result.steps[0]
        bare = type(step)(**{**step.__dict__, "forces": None, "stress": None})
        document = self.read(run_folder(type(result)(**{**result.__dict__, "steps": (bare,)})))
        assert document.output.forces is None


class TestCustodian:
    """Handlers see trouble where there is some, and none elsewhere."""

    def test_validators(self, run_folder):
        from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator

        folder = run_folder(make_result())
        assert not VasprunXMLValidator().check(str(folder))
        assert not VaspFilesValidator().check(str(folder))

    @pytest.mark.parametrize("fraction", [0.0, 0.3, 0.7, 0.999])
    def test_truncated_file_is_rejected(self, run_folder, fraction):
        from custodian.vasp.validators import VasprunXMLValidator

        folder = run_folder(make_result())
        text = (folder / "vasprun.xml").read_text().strip()
        (folder / "vasprun.xml").write_text(text[: int(fraction * len(text))])
        assert VasprunXMLValidator().check(str(folder))

    @pytest.mark.parametrize("name", ["CONTCAR", "OSZICAR", "OUTCAR"])
    def test_missing_file_is_noticed(self, run_folder, name):
        from custodian.vasp.validators import VaspFilesValidator

        folder = run_folder(make_result())
        (folder / name).unlink()
        assert VaspFilesValidator().check(str(folder))

    @pytest.mark.parametrize("trouble", [None, "electronic", "ionic"])
    def test_unconverged_runs(self, run_folder, trouble):
        from custodian.vasp.handlers import UnconvergedErrorHandler

        result = make_result(
            steps=3,
            scf=60 if trouble == "electronic" else 5,
            electronic_converged=trouble != "electronic",
            ionic_converged=trouble != "ionic",
            tags={"NSW": 3 if trouble == "ionic" else 50},
        )
        handler = UnconvergedErrorHandler()
        assert handler.check(str(run_folder(result))) is (trouble is not None)

    @pytest.mark.parametrize("electronic", [True, False])
    def test_stopped_run_is_told_from_a_converged_one(self, run_folder, electronic):
        result = make_result(steps=3, electronic_converged=electronic, ionic_converged=False)
        assert Outcar(run_folder(result) / "OUTCAR").is_stopped

    def test_run_that_ended_by_itself_was_not_stopped(self, run_folder):
        folder = run_folder(make_result(steps=3, tags={"NSW": 3}, ionic_converged=False))
        assert not Outcar(folder / "OUTCAR").is_stopped

    @pytest.mark.parametrize(("per_atom", "seen"), [(0.0, False), (0.0005, False), (0.002, True)])
    @pytest.mark.parametrize("steps", [1, 3])
    def test_large_smearing(self, run_folder, per_atom, seen, steps):
        from custodian.vasp.handlers import LargeSigmaHandler

        handler = LargeSigmaHandler()
        assert handler.check(str(run_folder(make_result(entropy=2 * per_atom, steps=steps)))) is seen
        assert handler.entropy_per_atom == pytest.approx(per_atom, abs=1e-8)

    def test_large_smearing_in_any_ionic_step(self, run_folder):
        from custodian.vasp.handlers import LargeSigmaHandler

        result = make_result(steps=3)
        steps = list(result.steps)
        steps[1] = type(steps[1])(**{**steps[1].__dict__, "energy_wo_entropy": steps[1].free_energy + 0.1})
        handler = LargeSigmaHandler()
        assert handler.check(str(run_folder(type(result)(**{**result.__dict__, "steps": tuple(steps)}))))
        assert handler.entropy_per_atom == pytest.approx(0.05)

    @pytest.mark.parametrize(("limit", "seen"), [(10_000, False), (30, True)])
    def test_wall_time(self, run_folder, monkeypatch, limit, seen):
        from custodian.vasp.handlers import WalltimeHandler

        monkeypatch.delenv("CUSTODIAN_WALLTIME_START", raising=False)
        result = make_result(steps=3)
        steps = tuple(type(s)(**{**s.__dict__, "seconds": 20.0}) for s in result.steps)
        folder = run_folder(type(result)(**{**result.__dict__, "steps": steps}))
        assert WalltimeHandler(wall_time=limit, buffer_time=1).check(str(folder)) is seen
        os.environ.pop("CUSTODIAN_WALLTIME_START", None)

    def test_drift(self, run_folder):
        from custodian.vasp.handlers import DriftErrorHandler

        result = make_result(steps=3)
        steps = [type(s)(**{**s.__dict__, "forces": s.forces - s.forces.mean(axis=0)}) for s in result.steps]
        assert DriftErrorHandler().check(str(run_folder(result)))
        assert not DriftErrorHandler().check(str(run_folder(type(result)(**{**result.__dict__, "steps": tuple(steps)}))))

    def test_energy_that_jumps_or_is_positive(self, run_folder):
        from custodian.vasp.handlers import PositiveEnergyErrorHandler, PotimErrorHandler

        result = make_result(steps=3)
        folder = run_folder(result)
        assert not PotimErrorHandler().check(str(folder))
        assert not PositiveEnergyErrorHandler().check(str(folder))
        steps = list(result.steps)
        high = {"free_energy": 5.0, "energy_sigma0": 5.0, "energy_wo_entropy": 5.0}
        steps[2] = type(steps[2])(**{**steps[2].__dict__, **high})
        folder = run_folder(type(result)(**{**result.__dict__, "steps": tuple(steps)}))
        assert PotimErrorHandler().check(str(folder))
        assert PositiveEnergyErrorHandler().check(str(folder))

    def test_steps_that_never_converge(self, run_folder):
        from custodian.vasp.handlers import NonConvergingErrorHandler

        folder = run_folder(make_result(steps=4, scf=60, electronic_converged=False))
        assert NonConvergingErrorHandler(nionic_steps=2).check(str(folder))
        assert not NonConvergingErrorHandler(nionic_steps=2).check(str(run_folder(make_result(steps=4))))

    def test_no_message_of_vasp_is_imitated(self, run_folder):
        from custodian.vasp.handlers import StdErrHandler, VaspErrorHandler

        folder = run_folder(make_result(nspin=2, steps=3))
        messages = [m for known in (VaspErrorHandler, StdErrHandler) for kind in known.error_msgs.values() for m in kind]
        for path in folder.iterdir():
            if path.name not in {"INCAR", "POSCAR", "KPOINTS", "POTCAR"}:
                text = path.read_text()
                assert not [message for message in messages if message in text], path.name
        shutil.copy(folder / "OSZICAR", folder / "vasp.out")
        assert not VaspErrorHandler().check(str(folder))


def test_complete_density_of_states(run_folder):
    result = make_result(nspin=2)
    dos = Vasprun(run_folder(result) / "vasprun.xml").complete_dos
    magnesium = dos.get_element_dos()[dos.structure[0].specie].densities[Spin.down]
    np.testing.assert_allclose(magnesium, result.dos.partial[0, 1].sum(axis=0), atol=5e-4)


def test_band_structure_on_a_mesh(run_folder):
    result = make_result()
    structure = Vasprun(run_folder(result) / "vasprun.xml", parse_projected_eigen=True).get_band_structure(efermi="smart")
    vbm, cbm = edges(result)
    assert structure.get_band_gap()["energy"] == pytest.approx(cbm - vbm, abs=2e-4)


def test_outputs_are_enough_without_inputs(tmp_path):
    write_outputs(make_result(), tmp_path)
    assert Vasprun(tmp_path / "vasprun.xml", parse_potcar_file=False).converged
