"""Structures in JSON of every dialect are one crystal; what is none, or not periodic, says so."""

from __future__ import annotations

import json

import pytest
from ase.io.jsonio import encode
from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from hibana.core.errors import HibanaError
from hibana.structures.checking import checked
from hibana.structures.identity import structure_key
from hibana.structures.reading import iterate_structures, read_structures
from hibana.structures.records import entries_of, structure_of_entry
from hibana.structures.values import values_of
from prototypes import make_prototypes

ZNO = make_prototypes()["wurtzite ZnO"]
KEY = structure_key(ZNO)


def optimade(structure: Structure, **changes):
    symbols = sorted({site.species_string for site in structure})
    attributes = {
        "lattice_vectors": structure.lattice.matrix.tolist(),
        "cartesian_site_positions": structure.cart_coords.tolist(),
        "species_at_sites": [site.species_string for site in structure],
        "species": [{"name": symbol, "chemical_symbols": [symbol], "concentration": [1.0]} for symbol in symbols],
        "dimension_types": [1, 1, 1],
        "_odbx_band_gap": 3.4,
    }
    return {"id": "odbx/1", "type": "structures", "attributes": {**attributes, **changes}}


def ase_database(structure: Structure) -> str:
    row = {**AseAtomsAdaptor.get_atoms(structure).todict(), "unique_id": "abc", "key_value_pairs": {"band_gap": 3.4}}
    return encode({"1": row, "ids": [1], "nextid": 2})


def forms() -> dict[str, object]:
    atoms = AseAtomsAdaptor.get_atoms(ZNO)
    entry = ComputedStructureEntry(ZNO, -10.0, entry_id="mp-2133", data={"band_gap": 3.4})
    document = {"material_id": "mp-2133", "structure": ZNO.as_dict(), "band_gap": 3.4, "energy_above_hull": 0.0}
    return {
        "pymatgen": ZNO.as_dict(),
        "document": document,
        "entry": json.loads(json.dumps(entry.as_dict())),
        "dump": {"data": [document]},
        "named": {"mp-2133": ZNO.as_dict()},
        "cif": {"material_id": "mp-2133", "cif": ZNO.to(fmt="cif")},
        "optimade": optimade(ZNO),
        "response": {"data": [optimade(ZNO)], "meta": {"query": {}}},
        "single": {"data": optimade(ZNO)},
        "ase": json.loads(encode(atoms)),
        "ase database": json.loads(ase_database(ZNO)),
        "ase in pymatgen": json.loads(json.dumps(AseAtomsAdaptor.get_atoms(ZNO, msonable=True).as_dict())),
    }


@pytest.mark.parametrize("name", forms())
def test_every_dialect_is_the_same_crystal(name, tmp_path):
    data = forms()[name]
    (entry,) = entries_of(data)
    assert structure_key(checked(structure_of_entry(entry, "x"), "x")) == KEY
    path = tmp_path / "x.json"
    path.write_text(json.dumps(data))
    assert [structure_key(read.structure) for read in read_structures(path)] == [KEY]


@pytest.mark.parametrize("name", ["document", "entry", "optimade", "ase database"])
def test_values_are_found_in_every_dialect(name):
    (entry,) = entries_of(forms()[name])
    assert values_of(entry.data)["band_gap"] == 3.4


def test_names_are_found():
    names = {name: next(iter(entries_of(data))).name for name, data in forms().items()}
    assert {names[name] for name in ("document", "entry", "dump", "named", "cif")} == {"mp-2133"}
    assert names["optimade"] == "odbx/1"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (optimade(ZNO, dimension_types=[1, 1, 0]), "HIB-020"),
        (json.loads(encode(AseAtomsAdaptor.get_atoms(ZNO) * 1)) | {"pbc": [True, True, False]}, "HIB-020"),
        (optimade(ZNO, lattice_vectors=None), "HIB-013"),
        (optimade(ZNO, cartesian_site_positions=[[0, 0, 0]]), "HIB-013"),
        (optimade(ZNO, species_at_sites=["X"] * 4, species=[]), "HIB-015"),
        ({"structure": {"lattice": {}, "sites": []}}, "HIB-013"),
        ({"cif": "data_x"}, "HIB-010"),
        ({"formula": "ZnO"}, "HIB-013"),
        (7, "HIB-013"),
    ],
)
def test_what_is_no_crystal_has_a_number(data, code):
    with pytest.raises(HibanaError) as caught:
        checked(structure_of_entry(next(iter(entries_of(data))), "x"), "x")
    assert caught.value.kind.code == code


def test_a_partly_occupied_site_of_optimade_is_disorder():
    species = [
        {"name": "Zn", "chemical_symbols": ["Zn", "vacancy"], "concentration": [0.9, 0.1]},
        {"name": "O", "chemical_symbols": ["O"], "concentration": [1.0]},
    ]
    (entry,) = entries_of(optimade(ZNO, species=species))
    with pytest.raises(HibanaError) as caught:
        checked(structure_of_entry(entry, "x"), "x")
    assert caught.value.kind.code == "HIB-011"


def test_json_lines_are_read_one_by_one(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"material_id": f"mp-{number}", "structure": ZNO.as_dict()}) for number in range(3)]
    path.write_text("\n".join([*lines, "", "{broken"]))
    found = iterate_structures(path)
    assert [next(found).source for _ in range(3)] == [f"{path}#{number}" for number in (1, 2, 3)]
    with pytest.raises(HibanaError) as caught:
        next(found)
    assert (caught.value.kind.code, caught.value.where) == ("HIB-013", f"{path}#5")
