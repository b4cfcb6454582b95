"""A result that the files would tell wrongly is refused, and the files say whose they are."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymatgen.io.vasp.outputs import Outcar, Vasprun
from synthetic_result import make_result

from hibana.rehearsal.result import Dos, RunResult
from hibana.rehearsal.writers import SIDECAR, write_outputs
from hibana.rehearsal.writers.checks import REQUIRED


def without(tag: str) -> RunResult:
    result = make_result()
    return replace(result, parameters={k: v for k, v in result.parameters.items() if k != tag})


@pytest.mark.parametrize("tag", REQUIRED)
def test_missing_parameter(tmp_path, tag):
    with pytest.raises(ValueError, match=f"lack {tag}"):
        write_outputs(without(tag), tmp_path)
    assert not list(tmp_path.iterdir())


BANDS = ("kpoints", "weights", "eigenvalues", "occupations", "projections")
DENSITIES = ("energies", "total", "integrated", "partial")
STEP = ("lattice", "frac_coords", "forces", "stress", "free_energy", "energy_wo_entropy", "energy_sigma0")
RUN = ("core_potentials", "site_charges", "site_moments", "efermi")


def spoilt(name: str) -> RunResult:
    result = make_result(nspin=2)
    bands, dos, step = result.bands, result.dos, result.steps[0]
    if name in BANDS:
        return replace(result, bands=replace(bands, **{name: broken(getattr(bands, name))}))
    if name in DENSITIES:
        return replace(result, dos=replace(dos, **{name: broken(getattr(dos, name))}))
    if hasattr(step, name):
        return replace(result, steps=(replace(step, **{name: broken(getattr(step, name))}),))
    return replace(result, **{name: broken(getattr(result, name))})


def broken(value):
    if isinstance(value, float):
        return float("nan")
    copy = value.copy()
    copy.flat[-1] = np.inf
    return copy


@pytest.mark.parametrize("name", [*BANDS, *DENSITIES, *STEP, *RUN])
def test_number_that_is_none(tmp_path, name):
    with pytest.raises(ValueError, match="not finite"):
        write_outputs(spoilt(name), tmp_path)
    assert not list(tmp_path.iterdir())


def test_shapes_and_sizes_that_disagree(tmp_path):
    result = make_result(nspin=2)
    step = result.steps[0]
    wrong = [
        (replace(result, steps=(replace(step, forces=step.forces[:1]),)), "forces of ionic step 1 has shape"),
        (replace(result, core_potentials=result.core_potentials[:1]), "core_potentials has shape"),
        (replace(result, bands=replace(result.bands, weights=result.bands.weights[1:])), "weights has shape"),
        (replace(result, dos=replace(result.dos, total=result.dos.total[:1])), "total density of states has shape"),
        (replace(result, dos=Dos(np.array([]), np.zeros((2, 0)), np.zeros((2, 0)))), "density of states is empty"),
        (replace(result, steps=()), "no ionic step"),
        (replace(result, steps=(replace(step, scf=()),)), "no electronic step"),
        (replace(result, nelect=7.0), "NELECT = 8.0 but the result has 7.0"),
        (replace(result, parameters={**result.parameters, "ISPIN": 1}), "ISPIN = 1 but the result has 2"),
        (replace(result, parameters={**result.parameters, "NBANDS": 99}), "NBANDS = 99"),
        (replace(result, parameters={**result.parameters, "NELM": 3}), "5 electronic steps with NELM = 3"),
    ]
    for bad, message in wrong:
        with pytest.raises(ValueError, match=message):
            write_outputs(bad, tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_multiplicities(tmp_path):
    result = make_result(divisions=(2, 2, 2))
    weights = np.array([0.3, 0.2, 0.25, 0.25])
    with pytest.raises(ValueError, match="multiples of 1/8"):
        write_outputs(replace(result, bands=replace(result.bands, weights=weights)), tmp_path)


def test_word_that_would_change_the_reading_of_outcar(tmp_path):
    result = make_result()
    named = tuple(replace(s, titel="PAW_GPAW serial") for s in result.species)
    with pytest.raises(ValueError, match="serial"):
        write_outputs(replace(result, species=named), tmp_path)
    assert not list(tmp_path.iterdir())


def test_system_stays_out_of_outcar(tmp_path):
    write_outputs(make_result(tags={"SYSTEM": "serial running BZINTS"}), tmp_path)
    assert Outcar(tmp_path / "OUTCAR").run_stats["cores"] == 1


def test_every_file_says_that_it_is_not_vasps(tmp_path):
    write_outputs(make_result(provenance={"engine": "gpaw", "engine_version": "26.7.0"}), tmp_path)
    fields = generator(tmp_path)
    assert fields["program"] == "hibana-vasp"
    assert "NOT VASP" in fields["subversion"]
    assert "gpaw 26.7.0" in fields["subversion"]
    first = (tmp_path / "OUTCAR").read_text().splitlines()[0]
    assert "NOT VASP" in first
    assert "gpaw 26.7.0" in first
    for name in ("EIGENVAL", "DOSCAR"):
        assert "hibana-vasp, not VASP" in (tmp_path / name).read_text()[:200]
    assert json.loads((tmp_path / SIDECAR).read_text())["engine"] == "gpaw"


def generator(folder: Path) -> dict[str, str]:
    root = ElementTree.parse(folder / "vasprun.xml").getroot()
    return {element.get("name", ""): (element.text or "").strip() for element in root.find("generator") or ()}


def test_date_is_that_of_the_start(tmp_path):
    write_outputs(make_result(started=1.6e9), tmp_path)
    fields = generator(tmp_path)
    assert time.mktime(time.strptime(f"{fields['date']} {fields['time']}", "%Y %m %d %H:%M:%S")) == 1.6e9
    assert Vasprun(tmp_path / "vasprun.xml", parse_potcar_file=False).get_computed_entry().entry_id.startswith("vasprun-2020")


def test_nothing_temporary_is_left(tmp_path):
    write_outputs(make_result(), tmp_path)
    names = ["vasprun.xml", "OUTCAR", "CONTCAR", "OSZICAR", "EIGENVAL", "DOSCAR", "PROCAR", "IBZKPT", "XDATCAR"]
    assert {path.name for path in tmp_path.iterdir()} == {*names, SIDECAR}


def test_provenance_that_is_no_json_is_refused(tmp_path):
    with pytest.raises(TypeError):
        write_outputs(make_result(provenance={"engine": object()}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    from hibana.rehearsal.writers.files import write_atomically

    target = tmp_path / "OUTCAR"
    write_atomically(target, "old")
    original = Path.write_text

    def fails(self, text, **options):
        original(self, text[:2], **options)
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, "new and longer")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["OUTCAR"]
