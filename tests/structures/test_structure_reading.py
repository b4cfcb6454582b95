"""Structure files are read, and bad ones are refused with a number."""

from __future__ import annotations

import gzip
import json

import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from hibana.core.errors import HibanaError
from hibana.structures.identity import structure_key
from hibana.structures.reading import read_structures
from prototypes import make_prototypes

MGO = make_prototypes()["rock salt MgO"]
ZNO = make_prototypes()["wurtzite ZnO"]
CIF = MGO.to(fmt="cif")
ANGLES = ("alpha", "beta", "gamma")
ROCK_SALT = "_symmetry_space_group_name_H-M 'F m -3 m'"
FIRST_MAGNESIUM = "  Mg  Mg0  1  0.00000000  0.00000000  0.00000000  1"


def refusal(path):
    with pytest.raises(HibanaError) as caught:
        read_structures(path)
    return caught.value


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["MgO.cif", "POSCAR", "CONTCAR.1", "MgO.vasp", "MgO.json"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_same_crystal(tmp_path, name, packed):
    form = name.rpartition(".")[2]
    text = {"cif": CIF, "json": MGO.to(fmt="json")}.get(form, Poscar(MGO).get_str())
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    (read,) = read_structures(path)
    assert read.source == str(path)
    assert structure_key(read.structure) == structure_key(MGO)


def test_cif_with_symmetry(tmp_path):
    path = tmp_path / "ZnO.cif"
    CifWriter(ZNO, symprec=0.01).write_file(path)
    (read,) = read_structures(path)
    assert structure_key(read.structure) == structure_key(ZNO)


def test_oxidation_states_are_dropped_and_sites_sorted(tmp_path):
    ionic = Structure.from_sites([MGO[i] for i in (4, 0, 5, 1, 6, 2, 7, 3)])
    ionic.add_oxidation_state_by_element({"Mg": 2, "O": -2})
    (read,) = read_structures(write(tmp_path, "MgO.json", json.dumps(ionic.as_dict())))
    assert [site.species_string for site in read.structure] == ["Mg"] * 4 + ["O"] * 4


def test_several_blocks_and_lists(tmp_path):
    second = CIF.replace("4.212", "4.3").replace("data_MgO", "data_large")
    path = write(tmp_path, "two.cif", CIF + second + "\ndata_global\n_journal_year 2020\n")
    found = read_structures(path)
    assert [read.source for read in found] == [f"{path}#MgO", f"{path}#large"]
    assert [round(read.structure.volume, 2) for read in found] == [74.72, 79.51]
    path = write(tmp_path, "list.json", json.dumps([MGO.as_dict(), ZNO.as_dict()]))
    assert [read.structure.reduced_formula for read in read_structures(path)] == ["MgO", "ZnO"]


def test_moments_are_read(tmp_path):
    magnet = MGO.copy(site_properties={"magmom": [2.0] * 4 + [0.0] * 4})
    (read,) = read_structures(write(tmp_path, "x.json", json.dumps(magnet.as_dict())))
    assert read.structure.site_properties["magmom"] == [2.0] * 4 + [0.0] * 4


def test_folder_is_read_in_order_and_without_other_files(tmp_path):
    write(tmp_path, "b.cif", CIF)
    write(tmp_path, "a.vasp", Poscar(ZNO).get_str())
    write(tmp_path, "notes.txt", "not a structure")
    write(tmp_path, "dictionary.json", '{"columns": []}')
    assert [read.source for read in read_structures(tmp_path)] == [str(tmp_path / "a.vasp"), str(tmp_path / "b.cif")]


def test_nearly_full_sites_are_full(tmp_path):
    (read,) = read_structures(write(tmp_path, "x.cif", CIF.replace("0.00000000  1\n", "0.00000000  0.9999\n")))
    assert read.structure.is_ordered


def cif(formula: str, *symmetry: str, sites: str = "Mg1 Mg 0 0 0\nO1 O 0.5 0.5 0.5\n") -> str:
    lengths = "".join(f"_cell_length_{axis} 4.21\n_cell_angle_{angle} 90\n" for axis, angle in zip("abc", ANGLES, strict=True))
    columns = "".join(f"_atom_site_{name}\n" for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z"))
    return "\n".join(("data_x", f"_chemical_formula_sum {formula}", *symmetry, lengths, "loop_", columns + sites))


@pytest.mark.parametrize(
    ("formula", "symmetry", "said"),
    [
        ("'Mg O2 H2'", ROCK_SALT, "Mg O2 H2"),
        ("'Mg O2'", ROCK_SALT, "its sites make MgO"),
        ("'Mg O'", "_symmetry_space_group_name_H-M 'X y z'", "'X y z' is unknown"),
    ],
)
def test_a_cif_without_the_atoms_it_states_is_refused(tmp_path, formula, symmetry, said):
    """pymatgen warns and gives another compound, or P1."""
    error = refusal(write(tmp_path, "x.cif", cif(formula, symmetry)))
    assert error.kind.code == "HIB-019"
    assert said in error.what


@pytest.mark.parametrize("formula", ["'Mg O'", "'O4 Mg4'", "?", "'Mg1.001 O1'", "'not a formula'"])
def test_a_cif_that_states_its_atoms_is_read(tmp_path, formula):
    (read,) = read_structures(write(tmp_path, "x.cif", cif(formula, ROCK_SALT)))
    assert read.structure.formula == "Mg4 O4"
    (read,) = read_structures(write(tmp_path, "y.cif", cif(formula)))
    assert read.structure.formula == "Mg1 O1", "without any symmetry the atoms listed are all there are"


def test_deuterium_is_hydrogen_in_formula_and_sites(tmp_path):
    heavy = cif("'D2 O'", ROCK_SALT, sites="D1 D 0.25 0.25 0.25\nO1 O 0 0 0\n")
    (read,) = read_structures(write(tmp_path, "x.cif", heavy))
    assert read.structure.formula == "H8 O4"


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("empty.cif", "", "HIB-010"),
        ("blank.cif", " \n\n", "HIB-010"),
        ("prose.cif", "Dear editor,", "HIB-010"),
        ("no_atoms.cif", "data_x\n_cell_length_a 4\n", "HIB-010"),
        ("empty_POSCAR.vasp", "", "HIB-010"),
        ("other.json", '{"a": 1}', "HIB-010"),
        ("half.cif", CIF.replace(FIRST_MAGNESIUM, FIRST_MAGNESIUM[:-1] + "0.5"), "HIB-011"),
        ("near.cif", CIF + "  O  O9  1  0.02000000  0.00000000  0.00000000  1\n", "HIB-012"),
        ("same.cif", CIF + "  Fe  Fe9  1  0.00000000  0.00000000  0.00000000  1\n", "HIB-012"),
        ("flat.vasp", "x\n1.0\n4 0 0\n0 4 0\n0 0 0\nMg O\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "HIB-012"),
        ("cut.cif", CIF[: CIF.index("_atom_site_occupancy")], "HIB-013"),
        ("twice.cif", CIF + CIF, "HIB-013"),
        ("cut.vasp", "MgO\n1.0\n4 0 0\n", "HIB-013"),
        ("nameless.vasp", "x\n1.0\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "HIB-013"),
        ("nan.vasp", "x\n1.0\n4 0 0\n0 4 0\n0 0 4\nMg O\n1 1\nDirect\n0 0 nan\n.5 .5 .5\n", "HIB-013"),
        ("broken.json", '{"lattice": ', "HIB-013"),
        ("wrong.json", '{"lattice": 1, "sites": 2}', "HIB-013"),
        ("mixed.json", json.dumps([MGO.as_dict(), {"formula": "ZnO"}]), "HIB-013"),
        ("movie.mp4", "x", "HIB-013"),
        ("dummy.cif", CIF.replace("  Mg  Mg0", "  X  X0"), "HIB-015"),
        ("unknown.vasp", "x\n1.0\n4 0 0\n0 4 0\n0 0 4\nQq O\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "HIB-015"),
    ],
)
def test_bad_files_have_numbers(tmp_path, name, text, code):
    path = write(tmp_path, name, text)
    error = refusal(path)
    assert (error.kind.code, error.where) == (code, str(path))


def test_bad_places_have_numbers(tmp_path):
    assert refusal(tmp_path).kind.code == "HIB-014"
    assert refusal(tmp_path / "missing.cif").kind.code == "HIB-016"
    (tmp_path / "binary.cif").write_bytes(bytes(range(256)))
    assert refusal(tmp_path / "binary.cif").kind.code == "HIB-013"


def test_a_bad_file_in_a_folder_is_not_passed_over(tmp_path):
    write(tmp_path, "good.cif", CIF)
    bad = write(tmp_path, "bad.cif", "")
    assert refusal(tmp_path).where == str(bad)


def test_non_collinear_moments_are_refused(tmp_path):
    magnet = MGO.copy(site_properties={"magmom": [[1.0, 0.0, 1.0]] * 4 + [[0.0, 0.0, 0.0]] * 4})
    assert refusal(write(tmp_path, "x.json", json.dumps(magnet.as_dict()))).kind.code == "HIB-018"
