"""Static response, dielectric function, densities: what is written is what the programs read."""

from __future__ import annotations

import gzip
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lxml import etree
from pymatgen.io.vasp.outputs import Chgcar, Locpot, Outcar, Vasprun
from synthetic_result import make_result, with_response, with_spectrum, with_volumes
from test_against_recorded import paths
from test_vasprun_round_trip import equal

from hibana.rehearsal.result import Response, Spectrum
from hibana.rehearsal.writers import write_outputs
from hibana.rehearsal.writers.response import THZ, hessian

FOUR_ATOMS = (("Mg", 2), ("O", 2))


@pytest.fixture(params=[True, False], ids=["ions", "clamped"])
def responded(request, run_folder):
    result = with_response(make_result(blocks=FOUR_ATOMS), ions=request.param)
    return run_folder(result), result


def test_vasprun(responded):
    folder, result = responded
    vasprun, response = Vasprun(folder / "vasprun.xml"), result.response
    equal(vasprun.epsilon_static, response.epsilon, 8)
    equal(vasprun.epsilon_static_wolfe, response.epsilon_rpa, 8)
    assert vasprun.converged
    if response.epsilon_ionic is None:
        assert not vasprun.epsilon_ionic
        assert not hasattr(vasprun, "force_constants")
        return
    equal(vasprun.epsilon_ionic, response.epsilon_ionic, 8)
    found = vasprun.force_constants.transpose(0, 2, 1, 3).reshape(12, 12)
    equal(found, hessian(result, response.force_constants), 8)
    assert (response.frequencies < -1).any()
    assert (response.frequencies > 1).any()
    squares = -np.sign(response.frequencies) * response.frequencies**2
    np.testing.assert_allclose(vasprun.normalmode_eigenvals, squares, rtol=1e-8)
    np.testing.assert_allclose(vasprun.normalmode_eigenvecs, response.eigenvectors, rtol=1e-7)


def test_modes_diagonalise_the_hessian_that_is_written(run_folder):
    folder = run_folder(with_response(make_result(blocks=FOUR_ATOMS)))
    vasprun = Vasprun(folder / "vasprun.xml")
    matrix = vasprun.force_constants.transpose(0, 2, 1, 3).reshape(12, 12)
    vectors = vasprun.normalmode_eigenvecs.reshape(12, 12)
    np.testing.assert_allclose(vectors @ matrix @ vectors.T, np.diag(vasprun.normalmode_eigenvals), atol=2e-3)


def test_outcar(responded):
    folder, result = responded
    outcar, response = Outcar(folder / "OUTCAR"), result.response
    assert outcar.lepsilon
    assert outcar.dfpt is (response.epsilon_ionic is not None)
    equal(outcar.dielectric_tensor, response.epsilon, 6)
    equal(outcar.born, response.born_charges, 5)
    outcar.read_lepsilon_ionic()
    equal(outcar.dielectric_ionic_tensor, np.zeros((3, 3)) if response.epsilon_ionic is None else response.epsilon_ionic, 6)
    lines = [line.split() for line in (folder / "OUTCAR").read_text().splitlines() if "2PiTHz" in line]
    if response.frequencies is None:
        assert not lines
        return
    signs = [-1 if line[1].startswith("f/i") else 1 for line in lines]
    numbers = np.array([[float(line[i]) for i in (-8, -6, -4, -2)] for line in lines]) * np.array(signs)[:, None]
    equal(numbers[:, 0], response.frequencies, 6)
    np.testing.assert_allclose(numbers[:, 1:] / numbers[:, :1], [[2 * np.pi, 33.35641, 4.1356677]] * 12, rtol=1e-6)


def test_numbers_of_the_run_are_still_read(responded):
    from test_text_round_trip import check_outcar

    folder, result = responded
    outcar = Outcar(folder / "OUTCAR")
    outcar.lepsilon = outcar.dfpt = False
    check_outcar(outcar, result)


def test_phonopy(responded):
    from phonopy.interface.vasp import VasprunxmlExpat, get_force_constants_OUTCAR, parse_force_constants

    folder, result = responded
    response = result.response
    with (folder / "vasprun.xml").open("rb") as file:
        parsed = VasprunxmlExpat(file)
        parsed.parse()
    equal(parsed.born, response.born_charges, 8)
    equal(parsed.epsilon, response.epsilon, 8)
    if response.force_constants is None:
        return
    constants, elements = parse_force_constants(folder / "vasprun.xml")
    assert elements == ["Mg", "O"]
    for found, decimals in ((constants, 5), (get_force_constants_OUTCAR(folder / "OUTCAR"), 6)):
        equal(found.transpose(0, 2, 1, 3).reshape(12, 12), response.force_constants, decimals)


def test_symmetric_born_charges_through_phonopy(tmp_path):
    """Of a cubic crystal, where phonopy's symmetrisation changes nothing."""
    from phonopy.interface.vasp import get_born_OUTCAR, get_born_vasprunxml

    result = make_result()
    cell = 2.11 * (np.ones((3, 3)) - np.eye(3))
    step = replace(result.steps[0], lattice=cell, frac_coords=np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]))
    born = np.array([1.96, -1.96])[:, None, None] * np.eye(3)
    result = replace(with_response(replace(result, steps=(step,))), response=Response(3.1 * np.eye(3), 3.2 * np.eye(3), born))
    write_outputs(result, tmp_path)
    readings = get_born_vasprunxml(tmp_path / "vasprun.xml"), get_born_OUTCAR(tmp_path / "CONTCAR", tmp_path / "OUTCAR")
    for charges, epsilon, atoms in readings:
        equal(charges, born, 5)
        equal(epsilon, 3.1 * np.eye(3), 6)
        assert list(atoms) == [0, 1]


def test_displaced_ions_without_fields(run_folder):
    result = with_response(make_result(blocks=FOUR_ATOMS))
    tags = {"LEPSILON": False, "IBRION": 6}
    bare = replace(result.response, epsilon=None, epsilon_rpa=None, born_charges=None, epsilon_ionic=None)
    result = replace(result, incar=result.incar | tags, parameters=result.parameters | tags, response=bare)
    folder = run_folder(result)
    vasprun, outcar = Vasprun(folder / "vasprun.xml"), Outcar(folder / "OUTCAR")
    assert not vasprun.epsilon_static
    assert not outcar.lepsilon
    np.testing.assert_allclose(vasprun.normalmode_eigenvecs, bare.eigenvectors, rtol=1e-7)


def test_random_phase_approximation_alone(run_folder):
    result = with_response(make_result())
    response = replace(result.response, epsilon=result.response.epsilon_rpa)
    folder = run_folder(replace(result, parameters=result.parameters | {"LRPA": True}, response=response))
    equal(Outcar(folder / "OUTCAR").dielectric_tensor, response.epsilon_rpa, 6)
    equal(Vasprun(folder / "vasprun.xml").epsilon_static, response.epsilon_rpa, 8)
    assert "local field effects in DFT" not in (folder / "OUTCAR").read_text()


def test_pydefect_unit_cell(run_folder):
    from pydefect.cli.vasp.make_unitcell import make_unitcell_from_vasp

    result = with_response(make_result())
    folder = run_folder(result)
    outcars = [Outcar(folder / "OUTCAR") for _ in range(3)]
    unitcell = make_unitcell_from_vasp(Vasprun(folder / "vasprun.xml"), *outcars)
    equal(unitcell.ele_dielectric_const, result.response.epsilon, 6)
    equal(unitcell.ion_dielectric_const, result.response.epsilon_ionic, 6)


def test_emmet_and_custodian(responded):
    from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator
    from emmet.core.tasks import TaskDoc

    folder, result = responded
    assert not VasprunXMLValidator().check(str(folder))
    assert not VaspFilesValidator().check(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = TaskDoc.from_directory(folder)
    output = document.calcs_reversed[0].output
    equal(output.epsilon_static, result.response.epsilon, 8)
    if result.response.frequencies is not None:
        np.testing.assert_allclose(output.normalmode_frequencies, result.response.frequencies, rtol=1e-7)


@pytest.mark.parametrize("nspin", [1, 2])
def test_dielectric_function(run_folder, nspin):
    from vise.analyzer.vasp.make_diele_func import make_diele_func

    result = with_spectrum(make_result(nspin=nspin))
    folder, spectrum = run_folder(result), result.spectrum
    vasprun, outcar = Vasprun(folder / "vasprun.xml"), Outcar(folder / "OUTCAR")
    energies, real, imag = vasprun.dielectric_data["density"]
    equal(energies, spectrum.energies, 4)
    equal(real, spectrum.real, 4)
    equal(imag, spectrum.imag, 4)
    data = make_diele_func(vasprun, outcar)
    equal(data.diele_func_imag[:6], spectrum.imag.T, 4)
    equal(data.diele_func_real[6], spectrum.real[:, :3].mean(axis=1), 4)
    outcar.read_freq_dielectric()
    equal(outcar.dielectric_energies, spectrum.energies, 6)
    order = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]
    equal(outcar.dielectric_tensor_function.real, spectrum.real[:, order], 6)
    equal(outcar.dielectric_tensor_function.imag, spectrum.imag[:, order], 6)


@pytest.mark.parametrize("nspin", [1, 2])
@pytest.mark.parametrize("grid", [(4, 5, 3), (2, 3, 3), (5, 4, 2)])
def test_densities_and_potential(run_folder, nspin, grid):
    result = with_volumes(make_result(nspin=nspin), grid)
    folder = run_folder(result)
    for name, values in (
        ("CHGCAR", result.charge.valence[0]),
        ("AECCAR0", result.charge.core),
        ("AECCAR2", result.charge.all_electron_valence),
    ):
        chgcar = Chgcar.from_file(folder / name)
        np.testing.assert_allclose(chgcar.data["total"], values, rtol=1e-11)
        equal(chgcar.structure.frac_coords, result.steps[-1].frac_coords, 14)
        equal(chgcar.structure.lattice.matrix, result.steps[-1].lattice, 14)
    difference = Chgcar.from_file(folder / "CHGCAR").data.get("diff")
    if nspin == 1:
        assert difference is None
    else:
        np.testing.assert_allclose(difference, result.charge.valence[1], rtol=1e-11)
    np.testing.assert_allclose(Locpot.from_file(folder / "LOCPOT").data["total"], result.potential, rtol=1e-11)
    assert "NOT VASP" in (folder / "CHGCAR").read_text().splitlines()[0]


def test_a_chgcar_that_a_run_began_from_stays(tmp_path):
    (tmp_path / "CHGCAR").write_text("of another run")
    write_outputs(make_result(), tmp_path)
    assert (tmp_path / "CHGCAR").read_text() == "of another run"
    write_outputs(with_volumes(make_result()), tmp_path)
    assert "of another run" not in (tmp_path / "CHGCAR").read_text()


def test_contradictions_are_refused(tmp_path):
    whole = with_volumes(with_spectrum(with_response(make_result())))
    faulty = {
        "is there without LEPSILON": replace(whole, parameters=whole.parameters | {"LEPSILON": False}),
        "is missing with LEPSILON": replace(whole, response=replace(whole.response, epsilon=None)),
        "approximation is missing": replace(whole, response=replace(whole.response, epsilon_rpa=None)),
        "without LOPTICS": replace(whole, parameters=whole.parameters | {"LOPTICS": False}),
        "descending": replace(whole, response=replace(whole.response, frequencies=whole.response.frequencies[::-1])),
        "born_charges has shape": replace(whole, response=replace(whole.response, born_charges=np.zeros((3, 3, 3)))),
        "real dielectric function has shape": replace(whole, spectrum=replace(whole.spectrum, real=np.zeros((41, 3)))),
        "potential has shape": replace(whole, potential=np.zeros((4, 4, 4))),
        "2 parts with ISPIN": replace(whole, charge=replace(whole.charge, valence=np.zeros((2, 4, 5, 3)))),
        "core has numbers that are not finite": replace(whole, charge=replace(whole.charge, core=np.full((4, 5, 3), np.nan))),
    }
    for message, result in faulty.items():
        with pytest.raises(ValueError, match=message):
            write_outputs(result, tmp_path)
    assert not list(tmp_path.iterdir())


class TestRecorded:
    """Numbers of a real run of VASP 6 with LEPSILON and IBRION = 8, written by these writers."""

    @pytest.fixture
    def files(self, recorded, tmp_path):
        folder = recorded / "vasp_runs" / "Si_dielectric_pbe" / "outputs"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = Vasprun(folder / "vasprun.xml.gz", parse_potcar_file=False), Outcar(folder / "OUTCAR.gz")
        vasprun, outcar = theirs
        result = make_result(blocks=(("Al", 2),))
        silicon = tuple(replace(s, mass=28.085) for s in result.species)
        places = {"lattice": vasprun.final_structure.lattice.matrix, "frac_coords": vasprun.final_structure.frac_coords}
        result = replace(result, species=silicon, steps=(replace(result.steps[0], **places),))
        matrix = vasprun.force_constants.transpose(0, 2, 1, 3).reshape(6, 6)
        values = -np.array(vasprun.normalmode_eigenvals)
        order = np.argsort(-values, kind="stable")
        response = Response(
            np.array(vasprun.epsilon_static),
            np.eye(3),
            np.array(outcar.born),
            np.array(vasprun.epsilon_ionic),
            -matrix * 28.085 / THZ**2,
            (np.sign(values) * np.sqrt(np.abs(values)))[order],
            np.array(vasprun.normalmode_eigenvecs)[order],
        )
        write_outputs(replace(with_response(result), response=response), tmp_path)
        return folder, tmp_path

    def test_same_elements(self, files):
        theirs, ours = paths(files[0] / "vasprun.xml.gz"), paths(files[1] / "vasprun.xml")
        assert not {path for path in ours - theirs if "separator" not in path and path != "modeling/parameters/v"}
        for element in ("dynmat", "varray[@name='epsilon_ion']", "array[@name='born_charges']"):
            mine, vasps = (
                etree.tostring(etree.parse(opener(path))).decode()
                for opener, path in ((Path.open, files[1] / "vasprun.xml"), (gzip.open, files[0] / "vasprun.xml.gz"))
            )
            assert [words(e) for e in find(mine, element)] == [words(e) for e in find(vasps, element)], element

    def test_same_modes_in_outcar(self, files):
        theirs = gzip.decompress((files[0] / "OUTCAR.gz").read_bytes()).decode().splitlines()
        ours = (files[1] / "OUTCAR").read_text().splitlines()
        for start in ("BORN EFFECTIVE CHARGES (inc", "SECOND DERIVATIVES", "MACROSCOPIC STATIC DIELECTRIC TENSOR IONIC"):
            assert block(ours, start, 6) == block(theirs, start, 6), start
        assert block(ours, "Eigenvectors and eigenvalues", 8)[4:] == block(theirs, "Eigenvectors and eigenvalues", 8)[4:]


@pytest.mark.parametrize("case", ["Si_optics_2_optics", "MgSe_optics_pbe"])
def test_recorded_spectrum(recorded, tmp_path, case):
    """That of a real run of VASP 6 and one of VASP 5: both programs read ours as they read VASP's."""
    folder = recorded / "vasp_runs" / case / "outputs"
    options = {"parse_potcar_file": False, "parse_dos": False, "parse_eigen": False}
    theirs, outcar = Vasprun(folder / "vasprun.xml.gz", **options), Outcar(folder / "OUTCAR.gz")
    energies, real, imag = map(np.array, theirs.dielectric_data["density"])
    write_outputs(replace(with_spectrum(make_result()), spectrum=Spectrum(energies, real, imag)), tmp_path)
    ours, written = Vasprun(tmp_path / "vasprun.xml"), Outcar(tmp_path / "OUTCAR")
    for put, got in zip(theirs.dielectric_data["density"], ours.dielectric_data["density"], strict=True):
        np.testing.assert_array_equal(put, got)
    for reader in (outcar, written):
        reader.read_freq_dielectric()
    np.testing.assert_allclose(written.dielectric_energies, outcar.dielectric_energies, atol=6e-5)
    np.testing.assert_allclose(written.dielectric_tensor_function, outcar.dielectric_tensor_function, atol=8e-5)


def find(text: str, element: str) -> list[etree._Element]:
    return etree.fromstring(text).findall(f".//calculation/{element}")


def words(element: etree._Element) -> list[tuple[str, list[float | str]]]:
    """Names and numbers of an element and those in it."""
    found = []
    for part in element.iter():
        numbers = [number(word) for word in (part.text or "").split()]
        found.append((f"{part.tag} {dict(part.attrib)}", numbers))
    return found


def number(word: str) -> float | str:
    """A number without its smallest digits, or the word."""
    try:
        return round(float(word), 4) + 0.0
    except ValueError:
        return word


def block(lines: list[str], start: str, count: int) -> list[list[float | str]]:
    at = next(n for n, line in enumerate(lines) if start in line)
    return [[number(word) for word in line.split()] for line in lines[at : at + count]]
