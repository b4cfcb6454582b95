"""Which code made a run: it must not be mistaken, and files must not be mixed."""

from __future__ import annotations

import json

import pytest

from hibana.core.errors import HibanaError
from hibana.vasp.calculator import SIDECAR, identify
from hibana.vasp.reader import read_run

VASP = {"program": "vasp", "version": "6.4.2", "subversion": "(build Jan  1 2024) complex parallel"}
REHEARSAL = {
    "program": "hibana-vasp",
    "version": "6.4.2",
    "subversion": "hibana-vasp (NOT VASP), numbers by gpaw-rehearsal hibana 0.1, GPAW 26.7.0",
}
REAL, SYNTHETIC = ("PAW_PBE Mg 13Apr2007", "PAW_PBE O 08Apr2002"), ("PAW_GPAW Mg PBEsol-0123abcd", "PAW_GPAW O PBEsol-4567cdef")


def write_sidecar(folder):
    (folder / SIDECAR).write_text(json.dumps({"engine": "gpaw-rehearsal", "engine_version": "hibana 0.1, GPAW 26.7.0"}))


def test_vasp(tmp_path):
    calculator = identify(tmp_path, REAL, VASP)
    assert (calculator.name, calculator.version, calculator.provenance) == ("vasp", "6.4.2", {})


def test_the_rehearsal_engine_with_its_provenance(tmp_path):
    write_sidecar(tmp_path)
    calculator = identify(tmp_path, SYNTHETIC, REHEARSAL)
    assert (calculator.name, calculator.version) == ("gpaw-rehearsal", "hibana 0.1, GPAW 26.7.0")
    assert calculator.provenance["engine"] == "gpaw-rehearsal"


@pytest.mark.parametrize(("titles", "generator"), [(SYNTHETIC, REHEARSAL), (SYNTHETIC, {}), ((), REHEARSAL)])
def test_any_sign_of_the_rehearsal_engine_counts(titles, generator, tmp_path):
    assert identify(tmp_path, titles, generator).name == "gpaw-rehearsal"


@pytest.mark.parametrize(
    ("titles", "generator", "sidecar"),
    [
        (REAL, REHEARSAL, False),
        (SYNTHETIC, VASP, False),
        ((REAL[0], SYNTHETIC[1]), VASP, False),
        ((REAL[0], SYNTHETIC[1]), REHEARSAL, False),
        (REAL, VASP, True),
    ],
)
def test_mixed_files_are_a_numbered_error(titles, generator, sidecar, tmp_path):
    if sidecar:
        write_sidecar(tmp_path)
    with pytest.raises(HibanaError) as caught:
        identify(tmp_path, titles, generator)
    assert caught.value.kind.code == "HIB-052"


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_sidecar_is_a_numbered_error(text, tmp_path):
    (tmp_path / SIDECAR).write_text(text)
    with pytest.raises(HibanaError) as caught:
        identify(tmp_path, SYNTHETIC, REHEARSAL)
    assert caught.value.kind.code == "HIB-053"


def test_a_vasp_run_beside_a_sidecar_is_refused_by_the_reader(recorded, tmp_path):
    source = recorded / "vasp_runs" / "MgO_relax_tight_pbesol" / "outputs" / "vasprun.xml"
    (tmp_path / "vasprun.xml").write_bytes(source.read_bytes())
    assert read_run(tmp_path)[0].calculator.name == "vasp"
    write_sidecar(tmp_path)
    with pytest.raises(HibanaError) as caught:
        read_run(tmp_path)
    assert caught.value.kind.code == "HIB-052"
