from __future__ import annotations

from pathlib import Path

import pytest
from engine_runs import GAMMA_MESH, MGO, ZNO, mgo, write_run

from hibana.rehearsal.errors import KINDS, RehearsalError
from hibana.rehearsal.inputs import read_inputs
from hibana.rehearsal.settings import default_nbands
from hibana.rehearsal.tags import (
    HONOURED,
    NO_EFFECT,
    NO_FILE,
    REFUSED,
    SILENT_WITHOUT_PARENT,
    as_floats,
    parse_incar,
    plain_value,
    read_tags,
)

MESH = GAMMA_MESH.format(4, 4, 4)


def directory(tmp_path: Path, incar: str = "GGA = PS\n", **changes: object) -> Path:
    arguments: dict = {"poscar": mgo(), "kpoints": MESH, "elements": ["Mg", "O"], **changes}
    return write_run(tmp_path / "run", incar=incar, **arguments)


def test_values_in_force_are_vasp_defaults_unless_given(tmp_path):
    inputs = read_inputs(directory(tmp_path, "GGA = Ps\nEDIFF = 1d-6\nNSW = 5\nIBRION = 2\nISIF = 3\nLWAVE = .FALSE.\n"))
    s = inputs.settings
    assert (s.functional, s.encut, s.nelect, s.nbands, s.nelm) == ("PBEsol", 450.0, 8.0, 8, 60)
    assert (s.lwave, s.relaxes, s.relaxes_cell) == (False, True, True)
    assert (s.ediff, s.ediffg) == pytest.approx((1e-6, 1e-5))
    assert inputs.symbols == ["Mg", "O"]
    assert len(inputs.rotations) == 48
    assert read_inputs(directory(tmp_path, "ENCUT = 500")).settings.functional == "PBE"


def test_default_number_of_bands_follows_vasp():
    assert default_nbands(8, 2) == 8
    assert default_nbands(36, 4) == 22
    assert default_nbands(1000, 4) == 600


@pytest.mark.parametrize(
    ("incar", "number", "tag"),
    [
        ("LDAU = .TRUE.", 182, "LDAU"),
        ("LSORBIT = T", 182, "LSORBIT"),
        ("LNONCOLLINEAR = .TRUE.", 182, "LNONCOLLINEAR"),
        ("IVDW = 11", 182, "IVDW"),
        ("METAGGA = R2SCAN", 182, "METAGGA"),
        ("IMAGES = 4", 182, "IMAGES"),
        ("LCALCEPS = .TRUE.", 182, "LCALCEPS"),
        ("LCALCPOL = .TRUE.", 182, "LCALCPOL"),
        ("PSTRESS = 10", 182, "PSTRESS"),
        ("NUPDOWN = 2", 184, "NUPDOWN"),
        ("ISPIN = 2\nNUPDOWN = 2\nISMEAR = -5", 184, "NUPDOWN"),
        ("ISPIN = 2\nNUPDOWN = 2\nISMEAR = 0\nLOPTICS = T\nALGO = Normal", 184, "NUPDOWN"),
        ("ISPIN = 2\nNUPDOWN = 90\nISMEAR = 0", 192, "NBANDS"),
        ("LDIPOL = .TRUE.", 182, "LDIPOL"),
        ("EFERMI = 3.2", 182, "EFERMI"),
        ("ENCTU = 500", 183, "ENCTU"),
        ("ISMEAR = -2", 184, "ISMEAR"),
        ("ISMEAR = 7", 184, "ISMEAR"),
        ("SIGMA = 0", 184, "SIGMA"),
        ("NSW = 10", 184, "IBRION"),
        ("IBRION = 0\nNSW = 100", 184, "IBRION"),
        ("IBRION = 44\nNSW = 1", 184, "IBRION"),
        ("NSW = 10\nIBRION = 2\nISIF = 7", 184, "ISIF"),
        ("GGA = 91", 184, "GGA"),
        ("LORBIT = 12", 184, "LORBIT"),
        ("ENCUT = 5", 184, "ENCUT"),
        ("ENCUT = high", 184, "ENCUT"),
        ("EDIFF = -1", 184, "EDIFF"),
        ("EDIFFG = 0\nNSW = 3\nIBRION = 2", 184, "EDIFFG"),
        ("EMIN = 5\nEMAX = 1", 184, "EMIN"),
        ("ICHARG = 5", 184, "ICHARG"),
        ("ISPIN = 3", 184, "ISPIN"),
        ("ISPIN = 2\nMAGMOM = 1 1 1", 184, "MAGMOM"),
        ("NELECT = 100", 192, "NELECT"),
        ("NBANDS = 3", 192, "NBANDS"),
        ("ALGO = Subrot", 184, "ALGO"),
        ("LHFCALC = T\nHFSCREEN = 0.2", 184, "ALGO"),
        ("LHFCALC = T\nHFSCREEN = 0.2\nALGO = Damped", 184, "ALGO"),
        ("LHFCALC = T\nHFSCREEN = 0.2\nALGO = Eigenval\nNELM = 5", 184, "ALGO"),
        ("LHFCALC = T\nHFSCREEN = 0.3\nALGO = Eigenval\nNELM = 1", 184, "HFSCREEN"),
        ("LHFCALC = T\nHFSCREEN = 0.2\nALGO = Eigenval\nNELM = 1\nAEXX = 0", 184, "AEXX"),
        ("LHFCALC = T\nHFSCREEN = 0.2\nALGO = Subrot\nNELM = 1\nNSW = 10\nIBRION = 2", 184, "NSW"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(tmp_path, incar, number, tag):
    with pytest.raises(RehearsalError) as caught:
        read_inputs(directory(tmp_path, incar + "\n"))
    assert caught.value.number == number
    assert tag in str(caught.value)
    assert "mend:" in str(caught.value)


@pytest.mark.parametrize("incar", ["LDAU = F", "IVDW = 0", "METAGGA = --", "LSORBIT = .FALSE.", "EFERMI = MIDGAP", "LDAUU = 4 0"])
def test_refused_tags_that_are_switched_off_do_nothing(tmp_path, incar):
    assert read_inputs(directory(tmp_path, incar + "\n")).settings.encut == 450


def test_a_file_that_is_not_written_is_said(tmp_path):
    inputs = read_inputs(directory(tmp_path, "LELF = .TRUE.\nLVTOT = .FALSE.\nLAECHG = T\n"))
    assert len(inputs.warnings) == 2
    assert "ELFCAR" in inputs.warnings[0]
    assert "AECCAR1" in inputs.warnings[1]


def test_the_charge_density_is_written_unless_it_is_not_wanted(tmp_path):
    settings = read_inputs(directory(tmp_path / "default", "")).settings
    assert (settings.lcharg, settings.laechg, settings.lvhar) == (True, False, False)
    settings = read_inputs(directory(tmp_path / "set", "LCHARG = F\nLAECHG = T\nLVHAR = T\n")).settings
    assert (settings.lcharg, settings.laechg, settings.lvhar) == (False, True, True)


def test_each_tag_is_in_one_table_only():
    tables = [set(HONOURED), set(NO_EFFECT), set(NO_FILE), set(REFUSED), set(SILENT_WITHOUT_PARENT)]
    assert sum(map(len, tables)) == len(set().union(*tables))


def test_incar_is_read_by_vasp_rules(tmp_path):
    text = "System = MgO bulk # comment = 1\n encut=400 ; ISMEAR = 0 ! LDAU = T\nMAGMOM = 1.0 \\\n 2*0.5\n\nLREAL = Auto\n"
    tags = parse_incar(text)
    assert tags == {"SYSTEM": "MgO bulk", "ENCUT": "400", "ISMEAR": "0", "MAGMOM": "1.0   2*0.5", "LREAL": "Auto"}
    assert [plain_value(v) for v in tags.values()] == ["MgO bulk", 400, 0, [1.0, 0.5, 0.5], "Auto"]
    assert [plain_value(v) for v in (".FALSE.", "T", "1d-5", "-0.01", "")] == [False, True, 1e-5, -0.01, ""]
    assert parse_incar("NSW = 3\nNSW = 3") == {"NSW": "3"}


@pytest.mark.parametrize("line", ["NSW = 3\nNSW = 4", "ENCUT 400", "two words = 3"])
def test_an_incar_that_says_nothing_clear_is_refused(tmp_path, line):
    with pytest.raises(RehearsalError) as caught:
        read_inputs(directory(tmp_path, line))
    assert caught.value.number == 181


def test_fortran_numbers_and_repetitions():
    assert as_floats("2*1.5 -1d0 3") == [1.5, 1.5, -1.0, 3.0]
    assert read_tags({"magmom": "2*0.6"})[0] == {"MAGMOM": [0.6, 0.6]}


@pytest.mark.parametrize("missing", ["INCAR", "POSCAR", "POTCAR", "KPOINTS"])
def test_a_missing_file_is_named(tmp_path, missing):
    folder = directory(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(RehearsalError, match=missing) as caught:
        read_inputs(folder)
    assert caught.value.number == 180


def test_kspacing_replaces_kpoints(tmp_path):
    folder = directory(tmp_path, "KSPACING = 0.5\n", kpoints=None)
    assert read_inputs(folder).kpoints.mesh.divisions == (6, 6, 6)


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"elements": ["O", "Mg"]}, 186),
        ({"elements": ["Mg"]}, 186),
        ({"poscar": "nonsense\n"}, 181),
        ({"poscar": MGO.format(h=2.1).replace("0.5 0.5 0.5", "0.01 0 0")}, 190),
        ({"kpoints": "mesh\n0\nGamma\n4 x 4\n"}, 181),
        ({"kpoints": "mesh\n0\nGamma\n4 0 4\n"}, 189),
        ({"kpoints": "list\n2\nReciprocal\n0 0 0 1\n0.5 0 0 1\n"}, 189),
        ({"kpoints": "list\n1\nReciprocal\n0 0 0 -1\n"}, 189),
        ({"kpoints": "path\n10\nLine\nReciprocal\n0 0 0\n0.5 0 0\n"}, 195),
        ({"kpoints": "path\n1\nReciprocal\n0 0 0 0\n"}, 195),
    ],
)
def test_wrong_files_are_numbered_errors(tmp_path, changes, number):
    with pytest.raises(RehearsalError) as caught:
        read_inputs(directory(tmp_path, **changes))
    assert caught.value.number == number


def test_a_potcar_of_vasp_or_of_another_release_is_refused(tmp_path):
    folder = directory(tmp_path)
    potcar = folder / "POTCAR"
    text = potcar.read_text()
    potcar.write_text(text.replace("PAW_GPAW Mg", "PAW_PBE Mg"))
    with pytest.raises(RehearsalError, match="PAW_PBE") as caught:
        read_inputs(folder)
    assert caught.value.number == 185
    release = text.split()[2]
    potcar.write_text(text.replace(release, "hibana0-00000000"))
    with pytest.raises(RehearsalError, match="another release") as caught:
        read_inputs(folder)
    assert caught.value.number == 185


def test_cell_relaxation_with_fixed_atoms_is_refused(tmp_path):
    poscar = ZNO.replace("direct\n", "Selective dynamics\ndirect\n").replace("667 0\n", "667 0 F F F\n")
    lines = [line + " T T T" if line.startswith("0.") and not line.endswith("F") else line for line in poscar.splitlines()]
    folder = directory(tmp_path, "NSW = 3\nIBRION = 2\nISIF = 3\n", poscar="\n".join(lines) + "\n", elements=["Zn", "O"])
    with pytest.raises(RehearsalError, match="selective dynamics"):
        read_inputs(folder)
    (folder / "INCAR").write_text("NSW = 3\nIBRION = 2\nISIF = 2\n")
    movable = read_inputs(folder).movable
    assert movable is not None
    assert movable.tolist() == [[False] * 3] + [[True] * 3] * 3


def test_numbers_belong_to_this_engine_and_every_kind_has_title_and_fix():
    assert all(180 <= number <= 209 for number in KINDS)
    assert all(title and fix for title, fix in KINDS.values())
    error = RehearsalError(182, "LDAU = T", where="INCAR")
    assert str(error).splitlines()[0].startswith("HIB-182 INCAR holds a tag the engine cannot honour: LDAU = T")
