"""Crystal and pymatgen's Structure hold the same."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition, Structure

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.structures.convert import from_pymatgen, to_pymatgen
from prototypes import make_prototypes

PROTOTYPES = make_prototypes()


@pytest.mark.parametrize("name", sorted(PROTOTYPES))
def test_there_and_back(name):
    crystal = from_pymatgen(PROTOTYPES[name])
    assert from_pymatgen(to_pymatgen(crystal)) == crystal
    assert Crystal.model_validate_json(crystal.model_dump_json()) == crystal
    np.testing.assert_array_equal(to_pymatgen(crystal).lattice.matrix, PROTOTYPES[name].lattice.matrix)


def test_moments_are_kept_and_zero_is_none():
    structure = PROTOTYPES["rock salt MgO"].copy(site_properties={"magmom": [2.5, -2.5] * 2 + [0.0] * 4})
    crystal = from_pymatgen(structure)
    assert crystal.magmoms == (2.5, -2.5, 2.5, -2.5, 0, 0, 0, 0)
    assert to_pymatgen(crystal).site_properties["magmom"] == list(crystal.magmoms)
    structure.add_site_property("magmom", [0.0] * 8)
    assert from_pymatgen(structure).magmoms is None


def test_disorder_is_refused():
    lattice = PROTOTYPES["rock salt MgO"].lattice
    mixed = Structure(lattice, [Composition({"Mg": 0.5, "Ca": 0.5}), "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(HibanaError, match="HIB-011"):
        from_pymatgen(mixed)


def test_isotopes_are_their_element():
    structure = Structure(PROTOTYPES["rock salt MgO"].lattice, ["D", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert from_pymatgen(structure).species == ("H", "O")
