"""Dielectric runs: tensors, Born charges, Γ phonons and their units, and what is said of what is missing."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from pymatgen.io.vasp.outputs import Outcar, Vasprun

from hibana.vasp.dynmat import THZ, frequencies_of, read_dynmat, signed_frequencies
from hibana.vasp.numbers import DamagedTableError
from hibana.vasp.outcar import read_outcar
from hibana.vasp.reader import read_run
from hibana.vasp.vasprun import read_vasprun

WITH_PHONONS = {"NaCl_2_dielectric": "", "Si_dielectric_pbe": "THz^2"}
"""Recorded runs with second derivatives, and the unit their versions of VASP (6.1 and 6.2) name."""

COLLECTED = "MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects"


def unpacked(recorded: Path, case: str, name: str) -> bytes:
    path = next((recorded / "vasp_runs" / case / "outputs").glob(f"{name}*"))
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.fixture(params=sorted(WITH_PHONONS))
def case(request) -> str:
    return request.param


@pytest.fixture
def outputs(case, recorded) -> Path:
    return recorded / "vasp_runs" / case / "outputs"


@pytest.fixture
def nacl(recorded, tmp_path) -> Path:
    """A dielectric run whose files may be changed."""
    for name in ("vasprun.xml", "OUTCAR"):
        (tmp_path / name).write_bytes(unpacked(recorded, "NaCl_2_dielectric", name))
    return tmp_path


def change(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def masses_of(outputs: Path) -> np.ndarray:
    return read_vasprun(gzip.decompress((outputs / "vasprun.xml.gz").read_bytes())).masses


class TestForceConstants:
    def test_they_give_the_printed_frequencies(self, outputs):
        """From force constants and masses, whatever unit VASP chose; the square root magnifies the print of small ones."""
        _, arrays = read_run(outputs)
        ours = frequencies_of(arrays["force_constants"], masses_of(outputs))
        np.testing.assert_allclose(ours, arrays["gamma_frequencies"], atol=2e-3)
        np.testing.assert_allclose(ours[:3], arrays["gamma_frequencies"][:3], atol=2e-6)

    def test_they_are_the_second_derivatives_that_outcar_prints(self, outputs, recorded):
        """OUTCAR has the derivatives of the forces in eV/Å^2 before they are symmetrised."""
        _, arrays = read_run(outputs)
        text = gzip.decompress((outputs / "OUTCAR.gz").read_bytes()).decode()
        block = text[text.index("SECOND DERIVATIVES (NOT SYMMETRIZED)") :]
        rows = re.findall(r"^ +\d+[XYZ]((?: +-?\d+\.\d+)+)", block, re.MULTILINE)
        printed = -np.array([row.split() for row in rows], dtype=float)
        assert printed.shape == arrays["force_constants"].shape
        np.testing.assert_allclose(arrays["force_constants"], (printed + printed.T) / 2, atol=1e-3 * np.abs(printed).max())

    def test_they_are_pymatgens_hessian_with_masses_and_unit(self, case, outputs):
        theirs = Vasprun(str(next(outputs.glob("vasprun.xml*"))), parse_potcar_file=False)
        _, arrays = read_run(outputs)
        roots = np.sqrt(np.repeat(masses_of(outputs), 3))
        hessian = theirs.force_constants.transpose(0, 2, 1, 3).reshape(len(roots), len(roots))
        unit = THZ**-2 if WITH_PHONONS[case] else 1.0
        np.testing.assert_allclose(arrays["force_constants"], -hessian * np.outer(roots, roots) * unit, atol=1e-9)
        np.testing.assert_allclose(
            signed_frequencies(-unit * theirs.normalmode_eigenvals), arrays["gamma_frequencies"], atol=5e-5
        )

    def test_their_sum_over_atoms_vanishes(self, outputs):
        """Acoustic sum rule of the recorded runs, which VASP does not impose."""
        constants = read_run(outputs)[1]["force_constants"]
        residual = constants.reshape(len(constants), -1, 3).sum(axis=1)
        assert np.abs(residual).max() < 0.01
        np.testing.assert_allclose(constants, constants.T, atol=1e-6)
        assert np.linalg.eigvalsh(constants)[3] > 0.5

    def test_a_mode_of_two_atoms(self):
        """k(u1 - u2)^2/2 has one mode at sqrt(k (1/m1 + 1/m2))."""
        k, masses = 7.3, np.array([24.305, 15.999])
        bond = np.kron(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.diag([k, 0.0, 0.0]))
        expected = np.sqrt(k * (1 / masses).sum() * 1.602176634e-19 / 1.66053906892e-27 * 1e20) / (2 * np.pi) / 1e12
        found = frequencies_of(bond, masses)
        assert found[0] == pytest.approx(expected)
        np.testing.assert_allclose(found[1:], 0, atol=1e-6)
        assert frequencies_of(-bond, masses)[-1] == pytest.approx(-expected)

    @pytest.mark.parametrize(
        ("old", "new"),
        [("THz^2", "hartree"), ('name="hessian"', 'name="other"'), ("-119.69087593", "***"), ("-2.39381873E+002", "")],
    )
    def test_what_cannot_be_understood_is_refused(self, old, new, recorded):
        text = unpacked(recorded, "Si_dielectric_pbe", "vasprun.xml").decode()
        content = text[text.index("<dynmat>") : text.index("</dynmat>")]
        assert read_dynmat(content.encode(), np.full(2, 28.085)).frequencies[0] == pytest.approx(15.471971, abs=1e-5)
        assert old in content
        with pytest.raises(DamagedTableError):
            read_dynmat(content.replace(old, new).encode(), np.full(2, 28.085))

    def test_those_of_some_atoms_only_are_left_out(self, recorded):
        text = unpacked(recorded, "Si_dielectric_pbe", "vasprun.xml")
        content = text[text.index(b"<dynmat>") : text.index(b"</dynmat>")]
        with pytest.raises(DamagedTableError):
            read_dynmat(content, np.full(3, 28.085))

    def test_missing_ones_are_said(self, nacl):
        (nacl / "vasprun.xml").write_text(
            re.sub(r"<dynmat>.*?</dynmat>", "", (nacl / "vasprun.xml").read_text(), flags=re.DOTALL)
        )
        run, arrays = read_run(nacl)
        assert "force_constants" not in arrays
        assert "the force constants are not in vasprun.xml" in run.warnings
        assert len(arrays["gamma_frequencies"]) == 24


class TestFrequencies:
    def test_they_are_in_the_order_of_the_print(self, outputs):
        theirs = Outcar(str(outputs / "OUTCAR.gz"))
        theirs.read_pattern({"f": r"^ +\d+ f(/i| ) *= +([\d.]+) THz"}, postprocess=str)
        printed = [-float(value) if sign == "/i" else float(value) for sign, value in theirs.data["f"]]
        _, arrays = read_run(outputs)
        np.testing.assert_array_equal(arrays["gamma_frequencies"], printed)

    def test_imaginary_ones_are_negative(self, recorded):
        """The neon crystal, whose three translations are imaginary as printed (VASP 5.4.4)."""
        outcar = read_outcar(_neon(recorded))
        np.testing.assert_array_equal(outcar.frequencies, [-2.14872] * 3)

    def test_without_outcar_they_are_those_of_vasprun(self, nacl):
        printed = read_run(nacl)[1]["gamma_frequencies"]
        (nacl / "OUTCAR").unlink()
        run, arrays = read_run(nacl)
        np.testing.assert_allclose(arrays["gamma_frequencies"], printed, atol=5e-5)
        assert run.epsilon_ionic is not None

    def test_a_list_printed_twice_counts_once(self, nacl):
        text = (nacl / "OUTCAR").read_text()
        begin = text.index(" Eigenvectors and eigenvalues of the dynamical matrix")
        block = text[begin : text.index(" ELASTIC MODULI CONTR", begin)]
        again = block.split("\n", 2)[2]
        found = read_outcar((text[:begin] + block + " Eigenvectors after division by SQRT(mass)\n" + again).encode())
        assert len(found.frequencies) == 24

    def test_a_contradiction_is_said(self, nacl):
        assert not any("differ" in warning for warning in read_run(nacl)[0].warnings)
        change(nacl / "vasprun.xml", ("<dynmat>", '<dynmat>\n   <i name="unit" type="string">THz^2 </i>'))
        assert any("differ by 4.6" in warning for warning in read_run(nacl)[0].warnings)


def _neon(recorded: Path) -> bytes:
    return gzip.decompress((recorded / "vasp_runs" / "Ne_unitcell" / "outputs" / "dielectric" / "OUTCAR.gz").read_bytes())


class TestDielectricTensors:
    def test_what_is_missing_is_none_and_said(self, nacl):
        text = (nacl / "vasprun.xml").read_text()
        for name in ("epsilon_ion", "dielectric_ion"):
            text = re.sub(rf'<varray name="{name}" >.*?</varray>', "", text, flags=re.DOTALL)
        (nacl / "vasprun.xml").write_text(text)
        assert read_run(nacl)[0].epsilon_ionic[0][0] == pytest.approx(4.206895)
        (nacl / "OUTCAR").unlink()
        run, _ = read_run(nacl)
        assert run.epsilon_ionic is None
        assert "the ionic dielectric tensor is not in vasprun.xml, and there is no OUTCAR" in run.warnings
        assert run.epsilon_electronic is not None

    def test_a_run_without_ionic_part_has_none_and_no_complaint(self, recorded):
        run, arrays = read_run(recorded / "vasp_runs" / "SnO2_dielectric_pbesol" / "outputs")
        assert run.epsilon_ionic is None
        assert not any("dielectric" in warning for warning in run.warnings)
        assert "gamma_frequencies" not in arrays
        assert arrays["born_charges"].shape == (6, 3, 3)

    def test_a_tensor_with_other_local_fields_does_not_count(self, nacl):
        text = (nacl / "OUTCAR").read_text()
        begin = text.rindex(f" {COLLECTED}")
        block = text[begin : text.index(" PIEZOELECTRIC", begin)]
        assert read_outcar(text.encode()).epsilon[0, 0] == pytest.approx(2.524485)
        hartree = block.replace("effects in DFT", "effects in RPA (Hartree)").replace("2.524485", "2.211111")
        assert read_outcar((text + hartree).encode()).epsilon[0, 0] == pytest.approx(2.524485)
        assert read_outcar((text + block.replace("2.524485", "2.211111")).encode()).epsilon[0, 0] == pytest.approx(2.211111)

    def test_a_response_that_reached_nelm_is_no_answer(self, nacl):
        """pymatgen looks at the ground state only and calls this run converged."""
        change(nacl / "vasprun.xml", ('<i type="int" name="NELM">   200</i>', '<i type="int" name="NELM">    15</i>'))
        longest = max(read_vasprun((nacl / "vasprun.xml").read_bytes()).last.response_steps)
        change(nacl / "vasprun.xml", ('name="NELM">    15<', f'name="NELM">    {longest}<'))
        run, _ = read_run(nacl)
        assert run.status == "electronic_limit"


class TestNumbersThatAreNone:
    @pytest.mark.parametrize("printed", ["NaN", "************", "words"])
    def test_a_tensor_comes_from_outcar_where_vasprun_has_no_numbers(self, nacl, printed):
        whole, _ = read_run(nacl)
        spoil(nacl, "epsilon", printed)
        run, _ = read_run(nacl)
        assert np.array(run.epsilon_electronic) == pytest.approx(np.array(whole.epsilon_electronic), abs=1e-5)
        assert any("epsilon" in warning or "electronic dielectric tensor" in warning for warning in run.warnings)
        (nacl / "OUTCAR").unlink()
        assert read_run(nacl)[0].epsilon_electronic is None

    @pytest.mark.parametrize("printed", ["NaN", "************", "words"])
    def test_born_charges(self, nacl, printed):
        spoil(nacl, "born_charges", printed)
        run, arrays = read_run(nacl)
        assert np.isfinite(arrays["born_charges"]).all()
        assert any("orn" in warning for warning in run.warnings)
        (nacl / "OUTCAR").unlink()
        assert "born_charges" not in read_run(nacl)[1]


def spoil(folder: Path, name: str, printed: str) -> None:
    """Something else for the first number of a tensor in vasprun.xml."""
    text = (folder / "vasprun.xml").read_text()
    begin = text.index(f'name="{name}"')
    place = re.compile(r"<v>\s*(\S+)").search(text, begin)
    (folder / "vasprun.xml").write_text(text[: place.start(1)] + printed + text[place.end(1) :])


@pytest.fixture
def finite_field(nacl) -> Path:
    """A run with finite fields and finite displacements, put together from a recorded one of perturbation theory."""
    text = (nacl / "vasprun.xml").read_text()
    begin, end = text.index(" <calculation>"), text.index("</calculation>") + len("</calculation>\n")
    crystal = re.sub(r"<dynmat>.*?</dynmat>", "", text[begin:end], flags=re.DOTALL)
    for name in ("epsilon_ion", "dielectric_ion", "dielectric_dft"):
        crystal = re.sub(rf'<varray name="{name}" >.*?</varray>', "", crystal, flags=re.DOTALL)
    crystal = crystal.replace('<varray name="epsilon" >', '<varray name="epsilon_scf" >')
    displaced = re.sub(r'<varray name="epsilon" >.*?</varray>', "", text[begin:end], flags=re.DOTALL)
    displaced = re.sub(r'<array name="born_charges" >.*?</array>', "", displaced, flags=re.DOTALL)
    displaced = re.sub(r'(<varray name="positions" >\s*<v>\s*)0.00000000', r"\g<1>0.00300000", displaced)
    energy = re.findall(r'<i name="e_fr_energy">\s*(\S+) *</i>', displaced)[-1]
    displaced = displaced.replace(energy, f"{float(energy) + 0.01:.8f}")
    whole = text[:begin] + crystal + displaced * 2 + text[end:]
    whole = whole.replace('name="LEPSILON"> T', 'name="LCALCEPS"> T')
    (nacl / "vasprun.xml").write_text(re.sub(r'name="IBRION">\s*8<', 'name="IBRION">     6<', whole))
    (nacl / "OUTCAR").unlink()
    return nacl


class TestFiniteFields:
    def test_the_crystal_is_the_first_step_and_the_response_the_last(self, finite_field, recorded):
        dfpt, arrays_of_dfpt = read_run(recorded / "vasp_runs" / "NaCl_2_dielectric" / "outputs")
        run, arrays = read_run(finite_field)
        assert run.n_ionic_steps == 3
        assert (run.final.lattice, run.final.frac_coords) == (dfpt.final.lattice, dfpt.final.frac_coords)
        for name in ("energy", "forces", "stress", "space_group_number", "epsilon_electronic", "epsilon_ionic"):
            assert getattr(run, name) == getattr(dfpt, name), name
        for name in ("force_constants", "born_charges"):
            np.testing.assert_array_equal(arrays[name], read_vasprun_arrays(recorded)[name])
        np.testing.assert_allclose(arrays["gamma_frequencies"], arrays_of_dfpt["gamma_frequencies"], atol=5e-5)
        assert any("displaced" in warning for warning in run.warnings)
        assert run.status == "converged"

    def test_tensors_are_found_in_outcar_too(self, recorded):
        text = unpacked(recorded, "NaCl_2_dielectric", "OUTCAR").replace(b"local field effects in DFT)", b"local field effects)")
        found = read_outcar(text)
        assert found.epsilon[0, 0] == pytest.approx(2.524485)
        assert found.born_charges.shape == (8, 3, 3)

    def test_outcar_is_of_the_run_though_its_last_energy_is_a_displacement_s(self, finite_field, recorded):
        outcar = unpacked(recorded, "NaCl_2_dielectric", "OUTCAR").decode()
        (line,) = re.findall(r"\n  energy  without entropy=[^\n]*", outcar)
        energy = line.split()[-1]
        displaced = line.replace(energy, f"{float(energy) + 0.01:.8f}")
        (finite_field / "OUTCAR").write_text(outcar.replace("General timing", f"{displaced * 2}\n General timing"))
        run, arrays = read_run(finite_field)
        assert not any("another run" in warning for warning in run.warnings)
        assert "site_potentials" in arrays
        other = outcar.replace(energy, f"{float(energy) + 0.05:.8f}")
        (finite_field / "OUTCAR").write_text(other)
        assert any("another run" in warning for warning in read_run(finite_field)[0].warnings)

    def test_several_loops_in_one_list_are_counted_in_outcar(self, finite_field, recorded):
        """The loops of the fields may stand in vasprun.xml as one; the longest in OUTCAR decides."""
        text = (finite_field / "vasprun.xml").read_text()
        steps = re.findall(r"  <scstep>.*?</scstep>\n", text, re.DOTALL)
        ground = [step for step in steps if text.index(step) < text.index("</structure>", text.index("<calculation>"))]
        limit = len(ground) + 2
        doubled = text.replace(ground[0], ground[0] * (limit + 3), 1)
        doubled = re.sub(r'name="NELM">\s*200<', f'name="NELM">    {limit}<', doubled)
        (finite_field / "vasprun.xml").write_text(doubled)
        assert read_run(finite_field)[0].status == "electronic_limit"
        energy = read_run(finite_field)[0].energy
        outcar = "\n".join(f" Iteration    {loop}({step:4d})  " for loop in (1, 2) for step in range(1, limit))
        (finite_field / "OUTCAR").write_text(f"{outcar}\n energy(sigma->0) = {energy:.8f}\n General timing and accounting\n")
        assert read_run(finite_field)[0].status == "converged"
        (finite_field / "OUTCAR").write_text(f"{outcar}\n Iteration    2({limit:4d})  \n")
        assert read_run(finite_field)[0].status == "electronic_limit"


def read_vasprun_arrays(recorded: Path) -> dict[str, np.ndarray]:
    last = read_vasprun(unpacked(recorded, "NaCl_2_dielectric", "vasprun.xml")).last
    return {**last.tables, "born_charges": last.born_charges}


class TestDielectricFunction:
    @pytest.mark.parametrize("case", ["MgSe_optics_pbe", "Si_optics_2_optics", "Li6Bi2O7_optics_hse06"])
    def test_the_density_response_is_taken_and_that_is_said(self, case, recorded):
        """VASP 5 labels neither of the two, VASP 6 both."""
        run, arrays = read_run(recorded / "vasp_runs" / case / "outputs")
        theirs = Vasprun(str(next((recorded / "vasp_runs" / case / "outputs").glob("vasprun.xml*"))), parse_potcar_file=False)
        assert not np.allclose(theirs.dielectric_data["density"][1], theirs.dielectric_data["velocity"][1])
        np.testing.assert_array_equal(arrays["dielectric_real"], theirs.dielectric_data["density"][1])
        assert any("density response" in warning for warning in run.warnings)

    def test_the_order_in_the_file_does_not_matter_where_there_are_labels(self, recorded, tmp_path):
        text = unpacked(recorded, "Si_optics_2_optics", "vasprun.xml").decode()
        swapped = text.replace('comment="density-density"', 'comment="a"').replace(
            'comment="current-current"', 'comment="density-density"'
        )
        (tmp_path / "vasprun.xml").write_text(swapped)
        theirs = Vasprun(str(tmp_path / "vasprun.xml"), parse_potcar_file=False).dielectric_data
        np.testing.assert_array_equal(read_run(tmp_path)[1]["dielectric_real"], theirs["density"][1])
        assert np.array(theirs["density"][1])[0, 0] == pytest.approx(12.2935)
