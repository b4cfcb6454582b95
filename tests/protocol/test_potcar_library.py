"""Potentials come from the user's library, and each thing that can be wrong with it has its number."""

from __future__ import annotations

import gzip
import shutil

import pytest
from pymatgen.core import SETTINGS

from hibana.core.errors import HibanaError
from hibana.protocol.potcar import potcar_labels, potcar_library, potcar_titles, potcars
from hibana.protocol.protocol import load_protocol

PBESOL = load_protocol("pbesol")


def family(library):
    return library / "POT_GGA_PAW_PBE_54"


@pytest.fixture
def own_library(library, tmp_path, monkeypatch):
    copy = tmp_path / "library"
    shutil.copytree(library, copy)
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(copy))
    return copy


def refusal(species=("Mg", "O"), protocol=PBESOL):
    with pytest.raises(HibanaError) as caught:
        potcars(species, protocol)
    return caught.value.kind.code


def test_titles_follow_the_first_appearance_of_the_elements(library):
    assert potcar_titles(["Ga", "Ga", "O", "O", "O"], PBESOL) == ("PAW_PBE Ga_d 01Jan2000", "PAW_PBE O 01Jan2000")
    assert potcar_titles(["O", "Mg", "O"], PBESOL) == ("PAW_PBE O 01Jan2000", "PAW_PBE Mg 01Jan2000")


def test_labels_are_those_of_the_set():
    elements = ("K", "Sr", "Zr", "Nb", "Ga", "Tl", "La", "Ce", "Mg", "Ti")
    labels = ("K_pv", "Sr_sv", "Zr_sv", "Nb_pv", "Ga_d", "Tl_d", "La", "Ce", "Mg", "Ti")
    assert potcar_labels(elements, PBESOL) == labels
    own = PBESOL.model_copy(update={"potcar": PBESOL.potcar.model_copy(update={"overrides": {"Ti": "Ti_pv"}})})
    assert potcar_labels(["Ti", "O"], own) == ("Ti_pv", "O")
    with pytest.raises(HibanaError, match="HIB-035"):
        potcar_labels(["Og"], PBESOL)


def test_the_environment_is_looked_at_each_time(library, tmp_path, monkeypatch):
    assert potcar_library() == library
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "nowhere"))
    assert refusal() == "HIB-033"
    monkeypatch.delenv("PMG_VASP_PSP_DIR")
    assert potcar_library() == library, "pymatgen's settings are the second choice"
    monkeypatch.delitem(SETTINGS, "PMG_VASP_PSP_DIR")
    assert refusal() == "HIB-033"


def test_layouts_of_a_library(own_library):
    expected = potcar_titles(["Mg", "O"], PBESOL)
    source = family(own_library) / "Mg" / "POTCAR"
    text = source.read_text()
    source.unlink()
    assert refusal() == "HIB-034"
    (family(own_library) / "POTCAR.Mg").write_text(text)
    assert potcar_titles(["Mg", "O"], PBESOL) == expected
    (family(own_library) / "POTCAR.Mg").unlink()
    (family(own_library) / "Mg" / "POTCAR.gz").write_bytes(gzip.compress(text.encode()))
    assert potcar_titles(["Mg", "O"], PBESOL) == expected


def test_a_replaced_file_is_read_again(own_library):
    path = family(own_library) / "Mg" / "POTCAR"
    assert potcars(["Mg"], PBESOL)[0].ENMAX == 200
    path.write_text(path.read_text().replace("200.000", "210.5000"))
    assert potcars(["Mg"], PBESOL)[0].ENMAX == 210.5


def test_damaged_files(own_library):
    path = family(own_library) / "Mg" / "POTCAR"
    whole = path.read_text()
    for text in ("", "nothing", whole.replace("ENMAX", "ENMIX"), whole.replace("=Mg:", "=Ca:").replace("PBE Mg", "PBE Ca")):
        path.write_text(text)
        assert refusal() == "HIB-039"
