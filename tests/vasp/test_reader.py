"""The reader against pymatgen and the recorded values, over every recorded run."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from pymatgen.io.vasp.outputs import Eigenval, Outcar, Procar, Vasprun
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from hibana.core.errors import HibanaError
from hibana.documents.arrays import pack
from hibana.documents.task import ARRAY_NAMES
from hibana.vasp.files import load_text
from hibana.vasp.reader import read_run

RECORDED = Path(os.environ.get("HIBANA_RECORDED", Path(__file__).resolve().parents[3] / "shared")) / "vasp_runs"
PRINTED = 1.01e-4
"""Eigenvalues are printed with four decimals."""


@dataclass(frozen=True)
class Part:
    """One recorded calculation: a case, or one part of it."""

    case: str
    name: str

    @property
    def outputs(self) -> Path:
        return RECORDED / self.case / "outputs" / self.name

    @property
    def inputs(self) -> Path:
        return RECORDED / self.case / "inputs" / self.name

    def has(self, file: str) -> bool:
        return any((self.outputs / f"{file}{suffix}").exists() for suffix in ("", ".gz"))

    @property
    def reference(self) -> dict:
        case = json.loads((RECORDED / self.case / "case.json").read_text())
        reference = case.get("reference", {})
        return reference.get("parts", {}).get(self.name, reference) if self.name else reference


def _parts() -> list[Part]:
    found = {path.parent for path in RECORDED.glob("*/outputs/**/*") if path.name.startswith(("vasprun.xml", "OUTCAR"))}
    return sorted(
        (Part(folder.relative_to(RECORDED).parts[0], "/".join(folder.relative_to(RECORDED).parts[2:])) for folder in found),
        key=lambda part: (part.case, part.name),
    )


PARTS = _parts()
WITH_VASPRUN = [part for part in PARTS if part.has("vasprun.xml")]
BOTH = [part for part in WITH_VASPRUN if part.has("OUTCAR")]
ONLY_OUTCAR = [part for part in PARTS if not part.has("vasprun.xml")]


def _name(part: Part) -> str:
    return f"{part.case}/{part.name}".rstrip("/")


@lru_cache(maxsize=4)
def read(part: Part):
    return read_run(part.outputs)


@lru_cache(maxsize=2)
def vasprun(part: Part, projected: bool = False) -> Vasprun:
    path = next(part.outputs.glob("vasprun.xml*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Vasprun(str(path), parse_potcar_file=False, parse_projected_eigen=projected)


@lru_cache(maxsize=2)
def outcar(part: Part) -> Outcar:
    return Outcar(str(next(part.outputs.glob("OUTCAR*"))))


def test_there_are_recorded_runs(recorded):
    assert len(WITH_VASPRUN) >= 55
    assert len(ONLY_OUTCAR) >= 5


@pytest.fixture(scope="module", params=WITH_VASPRUN, ids=_name)
def part(request) -> Part:
    return request.param


class TestAgainstPymatgen:
    def test_energy_structures_and_steps(self, part, recorded):
        run, _ = read(part)
        theirs = vasprun(part)
        assert run.energy == pytest.approx(float(theirs.final_energy), abs=1e-8)
        assert run.energy_per_atom == pytest.approx(float(theirs.final_energy) / len(theirs.final_structure), abs=1e-8)
        assert run.n_ionic_steps == len(theirs.ionic_steps)
        for ours, cell in ((run.initial, theirs.initial_structure), (run.final, theirs.final_structure)):
            assert ours.species == tuple(site.specie.symbol for site in cell)
            np.testing.assert_allclose(ours.lattice, cell.lattice.matrix, atol=1e-10)
            np.testing.assert_allclose(ours.frac_coords, cell.frac_coords, atol=1e-10)
        assert run.formula == theirs.final_structure.composition.reduced_formula
        assert run.ionic_converged == theirs.converged_ionic
        assert run.electronic_converged == theirs.converged_electronic

    def test_forces_and_stress(self, part, recorded):
        run, _ = read(part)
        last = {key: value for key, value in vasprun(part).ionic_steps[-1].items() if np.all(np.isfinite(_numbers(value)))}
        assert (run.forces is None) == ("forces" not in last)
        assert (run.stress is None) == ("stress" not in last)
        if run.forces is not None:
            np.testing.assert_array_equal(run.forces, last["forces"])
            assert run.max_force == pytest.approx(np.linalg.norm(last["forces"], axis=1).max())
        if run.stress is not None:
            np.testing.assert_array_equal(run.stress, last["stress"])

    def test_inputs(self, part, recorded):
        run, _ = read(part)
        theirs = vasprun(part)
        assert run.inputs.potcars == tuple(theirs.potcar_symbols)
        assert run.inputs.encut == theirs.parameters["ENMAX"]
        assert run.inputs.nelect == theirs.parameters["NELECT"]
        assert run.inputs.incar.keys() == theirs.incar.keys()
        assert run.calculator.name == "vasp"
        assert run.calculator.version.lower() == theirs.vasp_version.lower()

    def test_kpoints_and_eigenvalues(self, part, recorded):
        _, arrays = read(part)
        theirs = vasprun(part)
        np.testing.assert_array_equal(arrays["kpoints"], theirs.actual_kpoints)
        np.testing.assert_array_equal(arrays["kpoint_weights"], theirs.actual_kpoints_weights)
        expected = np.array(list(theirs.eigenvalues.values()))
        np.testing.assert_array_equal(arrays["eigenvalues"], expected[..., 0])
        np.testing.assert_array_equal(arrays["occupations"], expected[..., 1])

    def test_gap_and_band_edges(self, part, recorded):
        run, arrays = read(part)
        theirs = vasprun(part)
        occupations = arrays["occupations"]
        if np.abs(occupations - np.round(occupations)).max() < 1e-4:
            gap, cbm, vbm, direct = theirs.eigenvalue_band_properties
            assert run.edges.gap_class == "gapped"
            assert run.edges.band_gap == pytest.approx(gap, abs=1e-9)
            assert (run.edges.vbm, run.edges.cbm) == (vbm, cbm)
            assert run.edges.is_direct == direct or run.edges.direct_gap == pytest.approx(gap, abs=1e-3)
        elif run.edges.gap_class == "gapped":
            bands = theirs.get_band_structure(efermi=theirs.efermi)
            assert run.edges.band_gap == pytest.approx(bands.get_band_gap()["energy"], abs=1e-9)
            assert run.edges.vbm == pytest.approx(bands.get_vbm()["energy"])
            assert run.edges.cbm == pytest.approx(bands.get_cbm()["energy"])
            assert any("fractional" in warning for warning in run.warnings)
        else:
            assert part.case in METALS

    def test_magnetization(self, part, recorded):
        run, _ = read(part)
        if vasprun(part).parameters["ISPIN"] == 1:
            assert run.magnetization is None
        elif part.has("OUTCAR"):
            assert run.magnetization == outcar(part).total_mag
        elif part.has("OSZICAR"):
            assert run.magnetization is not None
        else:
            assert run.magnetization is None

    def test_dielectric_tensors_and_functions(self, part, recorded):
        run, arrays = read(part)
        theirs = vasprun(part)
        for ours, expected in ((run.epsilon_electronic, theirs.epsilon_static), (run.epsilon_ionic, theirs.epsilon_ionic)):
            assert (ours is None) == (len(expected) == 0)
            if ours is not None:
                np.testing.assert_array_equal(ours, expected)
        assert ("dielectric_energies" in arrays) == bool(theirs.parameters.get("LOPTICS"))
        if "dielectric_energies" in arrays:
            energies, real, imaginary = theirs.dielectric_data["density"]
            np.testing.assert_array_equal(arrays["dielectric_energies"], energies)
            np.testing.assert_array_equal(arrays["dielectric_real"], real)
            np.testing.assert_array_equal(arrays["dielectric_imag"], imaginary)

    def test_densities_of_states(self, part, recorded):
        _, arrays = read(part)
        theirs = vasprun(part)
        assert ("dos_total" in arrays) == hasattr(theirs, "tdos")
        if "dos_total" in arrays:
            np.testing.assert_array_equal(arrays["dos_energies"], theirs.tdos.energies)
            np.testing.assert_array_equal(arrays["dos_total"], list(theirs.tdos.densities.values()))
        assert ("dos_partial" in arrays) == bool(getattr(theirs, "pdos", None))
        if "dos_partial" in arrays:
            expected = _partial_by_element(theirs)
            assert arrays["dos_partial"].shape == expected.shape
            np.testing.assert_allclose(arrays["dos_partial"], expected, atol=1e-9)

    def test_projections(self, part, recorded):
        _, arrays = read(part)
        theirs = vasprun(part, projected=True)
        assert ("projections" in arrays) == (theirs.projected_eigenvalues is not None)
        if "projections" in arrays:
            by_ion = np.array(list(theirs.projected_eigenvalues.values()))
            expected = _by_element_and_shell(by_ion, theirs.atomic_symbols)
            assert arrays["projections"].shape == expected.shape
            np.testing.assert_allclose(arrays["projections"], expected, atol=1e-9)

    def test_densities_of_states_of_sites(self, part, recorded):
        _, arrays = read(part)
        theirs = vasprun(part)
        wanted = bool(getattr(theirs, "pdos", None)) and theirs.parameters["NEDOS"] > 301 and not theirs.parameters["LOPTICS"]
        assert ("site_dos" in arrays) == ("inequivalent_sites" in arrays) == wanted
        if wanted:
            symmetric = SpacegroupAnalyzer(theirs.final_structure, symprec=0.01).get_symmetrized_structure()
            orbits = {min(orbit): len(orbit) for orbit in symmetric.equivalent_indices}
            assert list(arrays["inequivalent_sites"]) == sorted(orbits)
            expected = _partial(theirs)
            np.testing.assert_allclose(arrays["site_dos"], expected[sorted(orbits)], atol=1e-9)
            assert arrays["site_dos"].shape[1:] == (len(theirs.tdos.densities), 4, len(theirs.tdos.energies))
            whole = sum(orbits[site] * dos for site, dos in zip(sorted(orbits), arrays["site_dos"], strict=True))
            np.testing.assert_allclose(whole, arrays["dos_partial"].sum(axis=0), atol=2e-3 * arrays["dos_partial"].max())

    def test_document_is_small_and_refers_to_its_arrays(self, part, recorded):
        run, arrays = read(part)
        assert run.status == "converged"
        assert set(arrays) <= set(ARRAY_NAMES)
        assert run.arrays.keys() == arrays.keys()
        assert all(pack(array).ref == run.arrays[name] for name, array in arrays.items())
        assert len(run.model_dump_json()) < 4000 + 350 * run.n_sites


def _numbers(value) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else np.zeros(1)


METALS = {"Mg_relax_pbesol", "Zr_relax_hse06", "O_atom_pbe"}
"""Two metals; and the O atom, whose three p states share one electron, so that its highest level is partly filled."""


def _partial(theirs: Vasprun) -> np.ndarray:
    """Partial DOS of each site, summed over the orbitals of a shell (n_sites, nspin, 4, ne)."""
    summed = np.zeros((len(theirs.pdos), len(theirs.tdos.densities), 4, len(theirs.tdos.energies)))
    for site, orbitals in enumerate(theirs.pdos):
        for orbital, densities in orbitals.items():
            for spin, density in enumerate(densities.values()):
                summed[site, spin, "spdf".index(orbital.name[0])] += density
    return summed


def _partial_by_element(theirs: Vasprun) -> np.ndarray:
    by_site, symbols = _partial(theirs), theirs.atomic_symbols
    return np.array(
        [sum(by_site[site] for site, symbol in enumerate(symbols) if symbol == name) for name in dict.fromkeys(symbols)]
    )


COLUMNS_OF_SHELLS = {1: [1], 3: [1, 1, 1], 4: [1, 1, 1, 1], 9: [1, 3, 5], 16: [1, 3, 5, 7]}
"""How many orbitals of each shell a projection has; three and four columns are whole shells (LORBIT = 10)."""


def _by_element_and_shell(by_ion: np.ndarray, symbols: list[str]) -> np.ndarray:
    """Projections (nspin, nk, nbands, n_ions, n_orbitals) summed over elements and shells."""
    ends = np.cumsum(COLUMNS_OF_SHELLS[by_ion.shape[-1]])
    starts = np.concatenate([[0], ends[:-1]])
    shells = [by_ion[..., start:end].sum(axis=-1) for start, end in zip(starts, ends, strict=True)]
    of_shell = np.stack([*shells, *[np.zeros_like(shells[0])] * (4 - len(shells))], axis=-1)
    rows = [[name == symbol for symbol in symbols] for name in dict.fromkeys(symbols)]
    return np.stack([of_shell[:, :, :, row].sum(axis=3) for row in rows], axis=3)


@pytest.fixture(scope="module", params=BOTH, ids=_name)
def both(request) -> Part:
    return request.param


class TestAgainstPymatgensOutcar:
    def test_site_potentials(self, both, recorded):
        _, arrays = read(both)
        theirs = outcar(both)
        assert ("site_potentials" in arrays) == (theirs.electrostatic_potential is not None)
        if "site_potentials" in arrays:
            np.testing.assert_array_equal(arrays["site_potentials"], theirs.read_avg_core_poten()[-1])

    def test_born_charges(self, both, recorded):
        _, arrays = read(both)
        theirs = outcar(both)
        assert ("born_charges" in arrays) == theirs.lepsilon
        if theirs.lepsilon:
            np.testing.assert_allclose(arrays["born_charges"], theirs.born, atol=1e-5)

    def test_dielectric_tensors(self, both, recorded):
        run, _ = read(both)
        theirs = outcar(both)
        if not theirs.lepsilon:
            assert run.epsilon_electronic is None
            return
        np.testing.assert_allclose(run.epsilon_electronic, theirs.dielectric_tensor, atol=1e-6)
        assert (run.epsilon_ionic is None) == (run.inputs.incar["IBRION"] not in (7, 8))
        if run.epsilon_ionic is not None:
            np.testing.assert_allclose(run.epsilon_ionic, theirs.dielectric_ionic_tensor, atol=1e-6)

    def test_site_moments(self, both, recorded):
        run, _ = read(both)
        theirs = [site["tot"] for site in outcar(both).magnetization]
        ordered = bool(theirs) and max(map(abs, theirs)) >= 0.1
        assert run.final.magmoms == (tuple(theirs) if ordered else None)


class TestAgainstPymatgensOtherFiles:
    @pytest.mark.parametrize("case", [part for part in WITH_VASPRUN if part.has("PROCAR")], ids=_name)
    def test_procar(self, case, recorded):
        """PROCAR has three digits of what vasprun.xml has four of."""
        _, arrays = read(case)
        theirs = Procar(str(next(case.outputs.glob("PROCAR*"))))
        by_ion = np.array(list(theirs.data.values()))
        expected = _by_element_and_shell(by_ion, vasprun(case).atomic_symbols)
        n_columns = by_ion.shape[3] * by_ion.shape[4]
        np.testing.assert_allclose(arrays["projections"], expected, atol=6e-4 * n_columns)
        np.testing.assert_allclose(arrays["projections"].mean(), expected.mean(), rtol=0.03)

    @pytest.mark.parametrize("case", [part for part in WITH_VASPRUN if part.has("EIGENVAL")], ids=_name)
    def test_eigenval(self, case, recorded):
        _, arrays = read(case)
        theirs = np.array(list(Eigenval(str(next(case.outputs.glob("EIGENVAL*")))).eigenvalues.values()))
        np.testing.assert_allclose(arrays["eigenvalues"], theirs[..., 0], atol=PRINTED)
        np.testing.assert_allclose(arrays["occupations"], theirs[..., 1], atol=PRINTED)

    @pytest.mark.parametrize("case", [part for part in WITH_VASPRUN if part.has("DOSCAR")], ids=_name)
    def test_doscar(self, case, recorded):
        """In the spin-polarised ones all of DOSCAR is divided by 99; both are brought to the number of states."""
        _, arrays = read(case)
        lines = load_text(case.outputs, "DOSCAR").splitlines()
        rows = np.array([line.split() for line in lines[6 : 6 + int(lines[5].split()[2])]], dtype=float)
        np.testing.assert_allclose(arrays["dos_energies"], rows[:, 0], atol=6e-4)
        nspin, _, n_bands = arrays["eigenvalues"].shape
        whole = rows[-1, 1 + nspin]
        np.testing.assert_allclose(arrays["dos_total"][0], rows[:, 1] * n_bands * 2 / nspin / whole, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("case", PARTS, ids=_name)
def test_recorded_values(case, recorded, tmp_path):
    """The values written down beside the run, by the file they were read from."""
    part = case
    for folder in (part.inputs, part.outputs):
        if folder.is_dir():
            shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    if part.case == "Ne_unitcell" and part.name == "dielectric":
        shutil.copy(RECORDED / part.case / "inputs" / "band" / "POSCAR", tmp_path)
    run, arrays = read_run(tmp_path)
    seen = 0
    if part.has("vasprun.xml"):
        seen += _check_vasprun_values(run, arrays, part.reference.get("vasprun", {}))
    if part.has("OUTCAR"):
        seen += _check_outcar_values(run, arrays, part.reference.get("outcar", {}), from_outcar=not part.has("vasprun.xml"))
    assert seen or part.name


def _check_vasprun_values(run, arrays, values) -> int:
    if "final_energy_eV" not in values:
        return 0
    assert run.energy == pytest.approx(values["final_energy_eV"], abs=1e-6)
    assert run.inputs.encut == values["ENCUT"]
    assert run.inputs.valence == pytest.approx(values["n_electrons_if_neutral"])
    assert run.inputs.valence - run.inputs.nelect == pytest.approx(values["charge"])
    assert run.n_ionic_steps == values["n_ionic_steps"]
    assert len(arrays["kpoints"]) == values["n_kpoints"]
    assert int((arrays["kpoint_weights"] == 0).sum()) == values["n_zero_weight_kpoints"]
    if "max_force_eV_per_A" in values:
        assert run.max_force == pytest.approx(values["max_force_eV_per_A"], abs=1e-4)
    lattice = np.array(run.final.lattice)
    assert np.linalg.norm(lattice, axis=1) == pytest.approx([values["lattice_final"][axis] for axis in "abc"], abs=1e-5)
    _check_response(run, arrays, values)
    if run.edges.gap_class == "gapped" and not any("fractional" in warning for warning in run.warnings):
        assert run.edges.band_gap == pytest.approx(values["band_gap_eV"], abs=PRINTED)
        assert run.edges.vbm == pytest.approx(values["vbm_eV"], abs=PRINTED)
        assert run.edges.cbm == pytest.approx(values["cbm_eV"], abs=PRINTED)
    return 1


def _check_response(run, arrays, values) -> None:
    """Tensors, spectra and densities of states that are written down."""
    for name in ("epsilon_electronic", "epsilon_ionic"):
        if name in values:
            np.testing.assert_allclose(getattr(run, name), values[name], atol=1e-4)
    if "optics" in values:
        expected = values["optics"]["density"]
        energies, imaginary = arrays["dielectric_energies"], arrays["dielectric_imag"]
        assert len(energies) == expected["n_energies"]
        assert energies[-1] == pytest.approx(expected["energy_max_eV"], abs=1e-4)
        np.testing.assert_allclose(arrays["dielectric_real"][0], expected["eps_real_at_zero"], atol=1e-4)
        average = imaginary[:, :3].mean(axis=1)
        assert average.max() == pytest.approx(expected["imag_peak_value"], abs=1e-3)
        assert energies[average.argmax()] == pytest.approx(expected["imag_peak_energy_eV"], abs=1e-3)
    if "dos" in values:
        assert len(arrays["dos_energies"]) == values["dos"]["n_points"]
        assert arrays["dos_energies"][0] == pytest.approx(values["dos"]["emin_eV"], abs=1e-4)
        assert arrays["dos_energies"][-1] == pytest.approx(values["dos"]["emax_eV"], abs=1e-4)


def _check_outcar_values(run, arrays, values, *, from_outcar: bool) -> int:
    if "final_energy_eV" not in values:
        return 0
    assert run.energy == pytest.approx(values["final_energy_eV"], abs=1e-6)
    if values.get("total_magnetization") is not None:
        assert run.magnetization == pytest.approx(values["total_magnetization"], abs=1e-4)
    if "site_potentials_V" in values:
        assert len(arrays["site_potentials"]) == values["site_potentials_V"]["n"]
        assert arrays["site_potentials"].mean() == pytest.approx(values["site_potentials_V"]["mean"], abs=1e-4)
    for name in ("epsilon_electronic", "epsilon_ionic"):
        if name in values:
            np.testing.assert_allclose(getattr(run, name), values[name], atol=1e-4)
    if "born_charges" in values:
        np.testing.assert_allclose(arrays["born_charges"], values["born_charges"], atol=1e-4)
    if from_outcar:
        assert run.status == "failed"
        assert run.failure.kind == "no_output"
        assert run.edges.gap_class == "unknown"
        assert run.edges.band_gap is None
    return 1


@pytest.mark.parametrize("case", ["MgO_relax_tight_pbesol", "Si_double_relax_2"])
def test_plain_and_gzipped_files_read_alike(case, recorded, tmp_path):
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.mkdir()
    packed.mkdir()
    for path in (recorded / "vasp_runs" / case / "outputs").iterdir():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        (plain / path.name.removesuffix(".gz")).write_bytes(data)
        (packed / f"{path.name.removesuffix('.gz')}.gz").write_bytes(gzip.compress(data))
    assert read_run(plain)[0] == read_run(packed)[0]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("case", ["MgO_relax_pbesol", "V2O5_relax_pbesolU", "NaCl_2_dielectric"])
def test_a_cut_off_file_is_a_failed_run(case, share, recorded, tmp_path):
    data = gzip.decompress((recorded / "vasp_runs" / case / "outputs" / "vasprun.xml.gz").read_bytes())
    (tmp_path / "vasprun.xml").write_bytes(data[: int(share * len(data))])
    shutil.copy(recorded / "vasp_runs" / case / "inputs" / "POSCAR", tmp_path)
    shutil.copy(recorded / "vasp_runs" / case / "inputs" / "INCAR", tmp_path)
    run, _ = read_run(tmp_path)
    assert run.status == "failed"
    assert run.failure.kind == "truncated"
    assert not run.electronic_converged
    assert not run.ionic_converged


def test_a_cut_off_relaxation_keeps_its_last_complete_step(recorded, tmp_path):
    data = gzip.decompress((recorded / "vasp_runs" / "V2O5_relax_pbesolU" / "outputs" / "vasprun.xml.gz").read_bytes())
    fifth_end = -1
    for _ in range(5):
        fifth_end = data.index(b"</calculation>", fifth_end + 1)
    (tmp_path / "vasprun.xml").write_bytes(data[: fifth_end + 400])
    run, _ = read_run(tmp_path)
    expected = vasprun(Part("V2O5_relax_pbesolU", "")).ionic_steps[4]
    assert run.n_ionic_steps == 5
    assert run.energy == pytest.approx(expected["e_0_energy"])
    np.testing.assert_allclose(run.final.frac_coords, expected["structure"].frac_coords)
    assert run.edges.gap_class == "unknown"


def test_a_cut_off_gzip_file_is_a_failed_run(recorded, tmp_path):
    source = recorded / "vasp_runs" / "MgO_dos_pbesol" / "outputs" / "vasprun.xml.gz"
    (tmp_path / "vasprun.xml.gz").write_bytes(source.read_bytes()[:-5000])
    run, _ = read_run(tmp_path)
    assert (run.status, run.failure.kind) == ("failed", "truncated")


def test_a_folder_without_a_run_is_a_numbered_error(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(HibanaError) as caught:
            read_run(folder)
        assert caught.value.kind.code == "HIB-050"


def test_an_unreadable_poscar_is_a_numbered_error(tmp_path):
    (tmp_path / "POSCAR").write_text("not\na structure\n")
    (tmp_path / "INCAR").write_text("NSW = 0\n")
    with pytest.raises(HibanaError) as caught:
        read_run(tmp_path)
    assert caught.value.kind.code == "HIB-051"


def test_inputs_alone_are_a_failed_run(recorded, tmp_path):
    shutil.copytree(recorded / "vasp_runs" / "NaCl_1_static" / "inputs", tmp_path, dirs_exist_ok=True)
    run, arrays = read_run(tmp_path)
    assert (run.status, run.failure.kind) == ("failed", "no_output")
    assert run.inputs.incar["ENCUT"] == 680
    assert run.energy is None
    assert arrays == {}


def test_a_non_self_consistent_hybrid_is_converged_though_its_scf_is_not(recorded):
    run, _ = read(Part("MgO_band_nhse", ""))
    assert run.inputs.incar["NELM"] == 1
    assert (run.status, run.electronic_converged, run.n_electronic_steps) == ("converged", False, 1)
    assert run.edges.band_gap == pytest.approx(6.571)


def test_settings_keep_the_digits_of_the_incar_file(recorded, tmp_path):
    for folder in ("inputs", "outputs"):
        shutil.copytree(recorded / "vasp_runs" / "MgO_relax_tight_pbesol" / folder, tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "vasprun.xml").read_text()
    printed = text[text.index('<i name="EDIFF">') :].split("</i>")[0].split(">")[1]
    (tmp_path / "vasprun.xml").write_text(text.replace(f'<i name="EDIFF">{printed}<', '<i name="EDIFF">      0.00000000<'))
    incar = (tmp_path / "INCAR").read_text().splitlines()
    (tmp_path / "INCAR").write_text("\n".join(line for line in incar if "EDIFF " not in line) + "\nEDIFF = 3E-9\n")
    assert read_run(tmp_path)[0].inputs.incar["EDIFF"] == 3e-9


def test_comments_behind_settings_are_dropped(recorded):
    assert read(Part("Cs2SnI6_dos_hse06", ""))[0].inputs.incar["ALGO"] == "All"


@pytest.mark.parametrize(
    ("case", "status", "kind"),
    [
        ("no_error_converged", "converged", None),
        ("unconverged_electronic", "electronic_limit", None),
        ("unconverged_ionic", "ionic_limit", None),
        ("unfinished_vasprun", "failed", "truncated"),
        ("real_optlay", "failed", "truncated"),
        ("brmix", "failed", "no_output"),
    ],
)
def test_how_runs_that_went_wrong_ended(case, status, kind, recorded):
    run, _ = read_run(recorded / "vasp_errors" / case)
    assert run.status == status
    assert (run.failure.kind if run.failure else None) == kind


@pytest.mark.parametrize("words", [" soft stop encountered!  aborting job ...", " hard stop encountered!  aborting job ..."])
def test_a_run_that_was_asked_to_stop_is_no_failure(words, recorded, tmp_path):
    shutil.copytree(recorded / "vasp_errors" / "unconverged_ionic", tmp_path, dirs_exist_ok=True)
    text = gzip.decompress((tmp_path / "OUTCAR.gz").read_bytes()) + words.encode() + b"\n"
    (tmp_path / "OUTCAR.gz").write_bytes(gzip.compress(text))
    run, _ = read_run(tmp_path)
    assert (run.status, run.failure, run.ionic_converged) == ("walltime", None, False)
